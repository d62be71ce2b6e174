"""Level 3, labels: their categories, their term graphs, how many cells each category has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.structure.sink import ROOT, several
from scformat.validation.strings import read_strings, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Array, Label, Ontology
    from scformat.validation.files import Files
    from scformat.validation.report import Findings


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelFacts:
    """What is known of a label; None what is damaged.

    Attributes
    ----------
    texts
        Its categories.
    counts : int64 array, shape (n,)
        Cells of each category, as stated.
    term_counts : int64 array, shape (t,)
        Cells at or below each node, as stated.
    terms : int32 array, shape (n,)
        Node of each category.
    closure : tuple of int64 and int32 array
        Offsets and nodes of the stated closure.
    """

    texts: list[str] | None
    counts: NDArray[np.int64] | None
    term_counts: NDArray[np.int64] | None = None
    terms: NDArray[np.int32] | None = None
    closure: tuple[NDArray[np.int64], NDArray[np.int32]] | None = None


def check_label(files: Files, label: Label, n_parts: int) -> LabelFacts:
    """Check all of a label but its counts."""
    findings = files.findings
    categories = read_strings(files, label.categories)
    counts = files.whole(label.counts)
    if categories is not None:
        check_distinct(categories, "LAB-2", label.categories.bytes.path, findings)
        falls = [i for i in range(1, len(categories)) if categories[i] < categories[i - 1]]
        if len(falls) >= n_parts:  # each part but the first may have appended a sorted run
            where = f"{label.categories.bytes.path}, string {falls[0]}"
            text = "the categories are not sorted" if n_parts == 1 else "more sorted runs of categories than parts"
            findings.add("LAB-2", where, text, found=shown(categories[falls[0]]))
    texts = None if categories is None else [c.decode(errors="backslashreplace") for c in categories]
    if label.ontology is None:
        return LabelFacts(texts=texts, counts=counts)
    return _check_ontology(files, label.ontology, categories, texts, counts)


def check_distinct(texts: Sequence[bytes], requirement: str, path: str, findings: Findings) -> None:
    """Check that no two texts are the same."""
    seen: set[bytes] = set()
    twice = [i for i, text in enumerate(texts) if text in seen or seen.add(text)]  # type: ignore[func-returns-value]
    if twice:
        what = f"the text is there twice{several(len(twice))}"
        findings.add(requirement, f"{path}, string {twice[0]}", what, found=shown(texts[twice[0]]))


def check_counts(label: Label, facts: LabelFacts, cells: NDArray[np.int64], findings: Findings) -> None:
    """Hold the stated counts against the number of cells that have each code; int64, shape (n,)."""
    if facts.counts is not None:
        _compare(label.counts, facts.counts, cells, "LAB-4", "category", findings)
    graph, stated = label.ontology, facts.term_counts
    if graph is None or stated is None or facts.terms is None or facts.closure is None:
        return
    own = np.zeros(graph.n_terms, np.int64)
    held = facts.terms >= 0
    np.add.at(own, facts.terms[held], cells[held])
    offsets, nodes = facts.closure
    expected = np.zeros(graph.n_terms, np.int64)
    np.add.at(expected, nodes, np.repeat(own, np.diff(offsets)))
    _compare(graph.counts, stated, expected, "LAB-15", "node", findings)


def _compare(
    array: Array,
    stated: NDArray[np.int64],
    expected: NDArray[np.int64],
    requirement: str,
    what: str,
    findings: Findings,
) -> None:
    wrong = np.flatnonzero(stated != expected)
    if len(wrong):
        at = int(wrong[0])
        text = f"not the number of cells{several(len(wrong))}"
        findings.add(requirement, f"{array.path}, {what} {at}", text, expected=expected[at], found=stated[at])


def _check_ontology(
    files: Files,
    graph: Ontology,
    categories: list[bytes] | None,
    texts: list[str] | None,
    counts: NDArray[np.int64] | None,
) -> LabelFacts:
    findings, t = files.findings, graph.n_terms
    ids, names = read_strings(files, graph.id), read_strings(files, graph.name)
    edges, closure = files.whole(graph.edges), files.whole(graph.closure)
    offsets, stated = files.whole(graph.closure_offsets), files.whole(graph.counts)
    terms = files.whole(graph.category_terms)
    if ids is not None:
        _check_ids(graph, ids, findings)
    if names is not None and b"" in names:
        where = f"{graph.name.bytes.path}, string {names.index(b'')}"
        findings.add("LAB-11", where, "a term without a name, which would be its id")
    if terms is not None and not _terms_fit(graph, terms, findings):
        terms = None
    if terms is not None and ids is not None and names is not None and categories is not None:
        _check_category_names(graph, terms, ids, names, categories, findings)
    pairs = None
    if closure is not None and offsets is not None and _closure_fits(graph, offsets, closure, findings):
        pairs = (offsets, closure)
    if edges is not None and _edges_fit(graph, edges, findings):
        parents = _parents(edges, t)
        order = _top_down(edges, parents, t)
        if len(order) < t:
            stuck = int(np.setdiff1d(np.arange(t), np.array(order, np.int64))[0])
            text = "following the edges leads back to a node"
            findings.add("LAB-12", graph.edges.path, text, found=f"node {stuck} in or below a cycle")
        elif pairs is not None:
            _check_closure(graph, parents, *pairs, findings)
    return LabelFacts(texts=texts, counts=counts, term_counts=stated, terms=terms, closure=pairs)


def _check_ids(graph: Ontology, ids: list[bytes], findings: Findings) -> None:
    falls = [i for i in range(1, len(ids)) if ids[i] <= ids[i - 1]]
    if falls:
        where = f"{graph.id.bytes.path}, string {falls[0]}"
        findings.add("LAB-11", where, f"the term ids are not sorted and distinct{several(len(falls))}")
    prefixes = {i.partition(b":")[0].decode(errors="backslashreplace") for i in ids}
    missing = sorted(prefixes - graph.releases.keys())
    if missing:
        where = f"{ROOT}:scformat/labels, ontology {graph.id.bytes.path}"
        text = "no release of an ontology that a node comes from"
        findings.add("LAB-17", where, text, found=", ".join(map(repr, missing)))


def _terms_fit(graph: Ontology, terms: NDArray[np.int32], findings: Findings) -> bool:
    path, t = graph.category_terms.path, graph.n_terms
    bad = np.flatnonzero((terms < -1) | (terms >= t))
    if len(bad):
        where = f"{path}, category {bad[0]}"
        findings.add("LAB-14", where, f"no node{several(len(bad))}", expected=f"-1 to {t - 1}", found=terms[bad[0]])
        return False
    held, times = np.unique(terms[terms >= 0], return_counts=True)
    if (times > 1).any():
        findings.add("LAB-14", path, "two categories have one node", found=held[times > 1][0])
    return True


def _check_category_names(
    graph: Ontology,
    terms: NDArray[np.int32],
    ids: list[bytes],
    names: list[bytes],
    categories: list[bytes],
    findings: Findings,
) -> None:
    for c, node in enumerate(terms.tolist()):
        if node >= 0 and categories[c] not in {names[node], b"%s (%s)" % (names[node], ids[node])}:
            where = f"{graph.category_terms.path}, category {c}"
            found = shown(categories[c])
            findings.add("LAB-16", where, "not the name of its term", expected=shown(names[node]), found=found)


def _edges_fit(graph: Ontology, edges: NDArray[np.int32], findings: Findings) -> bool:
    path, t = graph.edges.path, graph.n_terms
    bad = np.flatnonzero(((edges < 0) | (edges >= t)).any(axis=0))
    if len(bad):
        text = f"an edge of a node that is not there{several(len(bad))}"
        found = edges[:, bad[0]].tolist()
        findings.add("LAB-12", f"{path}, edge {bad[0]}", text, expected=f"0 to {t - 1}", found=found)
        return False
    codes = edges[0].astype(np.int64) * t + edges[1]
    falls = np.flatnonzero(codes[1:] <= codes[:-1])
    if len(falls):
        text = f"the edges are not distinct and sorted by child, then parent{several(len(falls))}"
        findings.add("LAB-12", f"{path}, edge {falls[0] + 1}", text)
    return True


def _closure_fits(graph: Ontology, offsets: NDArray[np.int64], closure: NDArray[np.int32], findings: Findings) -> bool:
    path, t = graph.closure_offsets.path, graph.n_terms
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(closure):
        found = f"{offsets[0]} to {offsets[-1]}"
        findings.add("LAB-13", path, "the offsets do not fit the closure", expected=f"0 to {len(closure)}", found=found)
        return False
    bad = np.flatnonzero((closure < 0) | (closure >= t))
    if len(bad):
        where = f"{graph.closure.path}, element {bad[0]}"
        text = f"a node that is not there{several(len(bad))}"
        findings.add("LAB-13", where, text, expected=f"0 to {t - 1}", found=closure[bad[0]])
        return False
    return True


def _parents(edges: NDArray[np.int32], t: int) -> list[list[int]]:
    parents: list[list[int]] = [[] for _ in range(t)]
    for child, parent in edges.T.tolist():
        parents[child].append(parent)
    return parents


def _top_down(edges: NDArray[np.int32], parents: list[list[int]], t: int) -> list[int]:
    """Nodes in an order in which parents come first; those in or below a cycle are left out."""
    children: list[list[int]] = [[] for _ in range(t)]
    for child, parent in edges.T.tolist():
        children[parent].append(child)
    waiting = [len(above) for above in parents]
    order = [node for node in range(t) if not waiting[node]]
    for node in order:  # grows as it runs
        for child in children[node]:
            waiting[child] -= 1
            if not waiting[child]:
                order.append(child)
    return order


def _check_closure(
    graph: Ontology,
    parents: list[list[int]],
    offsets: NDArray[np.int64],
    closure: NDArray[np.int32],
    findings: Findings,
) -> None:
    """Check each node's closure against the stated ones of its parents: without cycles, all right means all of it."""
    wrong = []
    for node, above in enumerate(parents):
        pieces = [closure[offsets[p] : offsets[p + 1]] for p in above]
        expected = np.unique(np.concatenate([np.array([node], np.int32), *pieces]))
        if not np.array_equal(expected, closure[offsets[node] : offsets[node + 1]]):
            wrong.append((node, expected))
    if wrong:
        node, expected = wrong[0]
        text = f"not the nodes that the edges lead to{several(len(wrong))}"
        found = closure[offsets[node] : offsets[node + 1]][:20].tolist()
        findings.add("LAB-13", f"{graph.closure.path}, node {node}", text, expected=expected[:20].tolist(), found=found)

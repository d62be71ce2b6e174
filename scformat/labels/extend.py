"""Labels of a store to which sources are appended: codes stay, new categories come after the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.labels.bases import BASES, Coder, find_evidence
from scformat.labels.coded import repeated
from scformat.labels.model import Finding, Label, LabelOntology, LabelPlan
from scformat.labels.plan import open_library, plain_label
from scformat.labels.unify import unify
from scformat.ontology.graph import unite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.labels.model import SourceObs


def extend_labels(known: Sequence[Label], sources: Sequence[SourceObs], *, ontology: bool) -> LabelPlan:
    """Plan the labels of a store over sources that are appended to it.

    Parameters
    ----------
    known
        The store's labels, in its order; their codes are not looked at.
    sources
        The appended sources. A label that they do not have is missing in their cells.
    ontology
        Match the labels of ontologies to terms.

    Returns
    -------
    LabelPlan
        The same labels with the codes of the appended cells; categories, counts and terms are of all cells.

    Raises
    ------
    MissingExtraError
        `ontology`, a source has ids of terms, and cellxgene-ontology-guide is not installed.
    """
    coder = Coder(sources=sources)
    names = [label.name for label in known]
    bases = {base.name: base for base in BASES if base.name in names}
    evidence = {name: found for name, base in bases.items() if any(found := find_evidence(base, coder))}
    library, notes = open_library(evidence) if ontology else (None, ())
    labels, skipped = [], {}
    for label in known:
        fresh: Label | None = None
        if label.name in evidence:
            fresh = unify(bases[label.name], sources, evidence[label.name], library=library)
        elif _only_floats(label.name, sources):
            skipped[label.name] = "floating-point numbers in the appended sources: missing in their cells"
        elif any(label.name in s.obs or s.constants.get(label.name) for s in sources):
            fresh = plain_label(label.name, sources, coder)
        labels.append(_unchanged(label, sources) if fresh is None else extend_label(label, fresh))
    return LabelPlan(labels=tuple(labels), skipped=skipped, notes=notes)


def _only_floats(name: str, sources: Sequence[SourceObs]) -> bool:
    kinds = {s.obs[name].kind for s in sources if name in s.obs}
    return "float" in kinds and "categorical" not in kinds and not any(s.constants.get(name) for s in sources)


def _unchanged(label: Label, sources: Sequence[SourceObs]) -> Label:
    return Label(
        name=label.name,
        categories=label.categories,
        codes=tuple(repeated(-1, s.n_cells) for s in sources),
        counts=label.counts,
        ontology=label.ontology,
        columns=tuple(() for _ in sources),
    )


def extend_label(label: Label, fresh: Label) -> Label:
    """Put the categories of other cells after those of a label; one that has the term, or the text, of one there is it.

    Parameters
    ----------
    label
        What is there; its codes are not looked at.
    fresh
        The same label of other cells.

    Returns
    -------
    Label
        `fresh` in the codes of both together; categories, counts and terms are of all cells.
    """
    place = {text: i for i, text in enumerate(label.categories)}
    term_of, own_terms = _terms(label), _terms(fresh)
    place_of_term = {term: i for i, term in term_of.items()}
    texts: dict[int, str] = {}  # of the new ones
    to_old: dict[int, int] = {}
    findings = list(fresh.findings)
    for code, own in enumerate(fresh.categories):
        term = own_terms.get(code)
        text = _as_named(label.ontology, own, term)
        if term in place_of_term:
            to_old[code] = place_of_term[term]
        elif text in place and (term is None or label.ontology is None):
            to_old[code] = place[text]
        elif text in place:
            texts[code] = f"{text} ({term})"
            note = f"another category has this name: {texts[code]}"
            findings.append(_finding(label.name, text, int(fresh.counts[code]), note))
        else:
            texts[code] = text
    # Sorted by bytes, as those that a label is made with; of one text, one category.
    new = sorted(set(texts.values()) - place.keys(), key=str.encode)
    place |= {text: len(label.categories) + i for i, text in enumerate(new)}
    table = np.array([*(to_old.get(c, place.get(texts.get(c, ""), -1)) for c in range(len(fresh.categories))), -1])
    codes_of = table.astype(np.int32)
    counts = np.zeros(len(label.categories) + len(new), np.int64)
    counts[: len(label.counts)] = label.counts
    np.add.at(counts, codes_of[:-1], fresh.counts)
    terms = {**{int(codes_of[c]): term for c, term in own_terms.items()}, **term_of}
    return Label(
        name=label.name,
        categories=(*label.categories, *new),
        codes=tuple(_translated(codes, codes_of) for codes in fresh.codes),
        counts=counts,
        ontology=_ontology(label, fresh, terms, len(counts)),
        columns=fresh.columns,
        findings=tuple(findings),
    )


def _translated(codes: NDArray[np.int32], table: NDArray[np.int32]) -> NDArray[np.int32]:
    if codes.strides == (0,):
        return repeated(int(table[codes[0]]) if len(codes) else -1, len(codes))
    return table[codes]


def _terms(label: Label) -> dict[int, str]:
    """Term id of each category that is a term."""
    if label.ontology is None:
        return {}
    ids = label.ontology.graph.ids
    return {category: ids[node] for category, node in enumerate(label.ontology.terms.tolist()) if node >= 0}


def _as_named(known: LabelOntology | None, text: str, term: str | None) -> str:
    """Name a category as the store's graph names its term, which another release may have renamed."""
    if known is None or term is None or term not in known.graph.nodes:
        return text
    name = known.graph.names[known.graph.nodes[term]]
    return f"{name} ({term})" if text.endswith(f" ({term})") else name


def _ontology(label: Label, fresh: Label, terms: Mapping[int, str], n: int) -> LabelOntology | None:
    old, new = label.ontology, fresh.ontology
    graphs = [o.graph for o in (old, new) if o is not None]
    if not graphs:
        return None
    graph = graphs[0] if len(graphs) == 1 else unite(*graphs)
    nodes = np.full(n, -1, np.int32)
    for category, term in terms.items():
        nodes[category] = graph.nodes[term]
    return LabelOntology(graph=graph, terms=nodes)


def _finding(label: str, value: str, cells: int, note: str) -> Finding:
    return Finding(label=label, source="", value=value, status="name-taken", cells=cells, note=note)

"""The graph over the terms that a label holds: the terms themselves and all their ancestors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import InvalidDataError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from numpy.typing import NDArray

    from scformat.ontology.vocabulary import Vocabulary


@dataclass(frozen=True, kw_only=True, eq=False)
class TermGraph:
    """Terms with all their ancestors; node ``i`` is ``ids[i]``.

    Attributes
    ----------
    ids
        Term ids, sorted.
    names
        Their canonical names.
    releases
        Release of each vocabulary that a node comes from, by prefix.
    edges : int32 array, shape (n_edges, 2)
        Child and parent node of every edge, sorted. is_a and part_of are not told apart.
    ancestor_offsets : int64 array, shape (n_nodes + 1,)
    ancestors : int32 array, shape (n_pairs,)
        ``ancestors[ancestor_offsets[i]:ancestor_offsets[i + 1]]`` are the nodes at or above node ``i``, itself
        too, ascending.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    releases: dict[str, str] = field(default_factory=dict)
    edges: NDArray[np.int32]
    ancestor_offsets: NDArray[np.int64]
    ancestors: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def nodes(self) -> dict[str, int]:
        """Node of each term id."""
        return {term_id: node for node, term_id in enumerate(self.ids)}

    def ancestors_of(self, node: int) -> NDArray[np.int32]:
        """Nodes at or above `node`, ascending."""
        return self.ancestors[self.ancestor_offsets[node] : self.ancestor_offsets[node + 1]]

    def descendants_of(self, node: int) -> NDArray[np.int32]:
        """Nodes at or below `node`, ascending."""
        below = np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.ancestor_offsets))
        found: NDArray[np.int32] = below[self.ancestors == node]
        return found


def why_no_graph(graph: TermGraph) -> str | None:
    """Say why arrays are no graph whose nodes have all their ancestors; None where nothing speaks against it."""
    n, offsets, ancestors, edges = len(graph), graph.ancestor_offsets, graph.ancestors, graph.edges
    if int(offsets[0]) != 0 or int(offsets[-1]) != len(ancestors) or bool((np.diff(offsets) < 1).any()):
        return "offsets do not fit the ancestors"
    for nodes in (ancestors, edges):
        if nodes.size and not (int(nodes.min()) >= 0 and int(nodes.max()) < n):
            return "a term that is not there"
    # Whatever lies above a node has fewer nodes above it: so there is no way round in a circle.
    above = np.diff(offsets)
    of = np.repeat(np.arange(n), above)
    if (above[ancestors] >= above[of])[ancestors != of].any() or (above[edges[:, 1]] >= above[edges[:, 0]]).any():
        return "a term above itself"
    return None


def build_graph(
    vocabularies: Iterable[Vocabulary], present_term_ids: Iterable[str], *, slim: Collection[str] | None = None
) -> TermGraph:
    """Build the graph over some terms and all their ancestors.

    Parameters
    ----------
    vocabularies
        Where the terms are looked up; an id that several hold is taken from the first.
    present_term_ids
        The terms, in any order, repeats allowed.
    slim
        Restrict the ancestors to these ids (see :func:`restrict`); the present terms stay.

    Raises
    ------
    UnknownNameError
        A present term is in none of the vocabularies.
    InvalidDataError
        ``ontology-cycle``: a term is its own ancestor.
    """
    shelves = tuple(vocabularies)
    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    releases: dict[str, str] = {}
    present = sorted(set(present_term_ids))
    todo = list(present)
    while todo:
        term_id = todo.pop()
        if term_id in parents:
            continue
        home = next((vocabulary for vocabulary in shelves if term_id in vocabulary), None)
        if home is None:
            raise unknown_name("ontology term", term_id, (i for v in shelves for i in v.terms if i[:2] == term_id[:2]))
        term = home[term_id]
        # A vocabulary need not hold every term that it points at (the guide cuts off the top of NCBITaxon).
        parents[term_id] = tuple(sorted({p for p in term.parents if any(p in v for v in shelves)}))
        names[term_id] = term.name
        releases[home.prefix] = home.release
        todo.extend(parents[term_id])
    graph = assemble(parents, names, dict(sorted(releases.items())))
    return graph if slim is None else restrict(graph, {*slim, *present})


def restrict(graph: TermGraph, keep: Collection[str]) -> TermGraph:
    """Leave out all nodes but those of `keep`; what was reached through a removed node stays reached.

    Ids of `keep` that the graph does not hold are ignored: a slim list covers more than one label's terms.
    """
    kept = frozenset(keep)
    ups: list[list[int]] = [[] for _ in range(len(graph))]
    for child, parent in graph.edges.tolist():
        ups[child].append(parent)
    # An ancestor has fewer nodes at or above it than its descendants have: this order puts it before them.
    order = np.argsort(np.diff(graph.ancestor_offsets), kind="stable").tolist()
    nearest: list[set[int]] = [set() for _ in range(len(graph))]
    for node in order:
        for parent in ups[node]:
            nearest[node] |= {parent} if graph.ids[parent] in kept else nearest[parent]
    parents = {
        graph.ids[node]: tuple(graph.ids[up] for up in sorted(nearest[node]))
        for node in range(len(graph))
        if graph.ids[node] in kept
    }
    return assemble(parents, dict(zip(graph.ids, graph.names, strict=True)), graph.releases)


def unite(graph: TermGraph, more: TermGraph) -> TermGraph:
    """Put two graphs together; of a term that both have, the first says its name and what is above it.

    Where their vocabularies are of different releases, both are named.
    """
    parents: dict[str, tuple[str, ...]] = {}
    names: dict[str, str] = {}
    for one in (more, graph):
        names |= dict(zip(one.ids, one.names, strict=True))
        above: dict[str, list[str]] = {term_id: [] for term_id in one.ids}
        for child, parent in one.edges.tolist():
            above[one.ids[child]].append(one.ids[parent])
        parents |= {term_id: tuple(sorted(ups)) for term_id, ups in above.items()}
    releases = dict(graph.releases)
    for prefix, release in more.releases.items():
        known = releases.setdefault(prefix, release).split(", ")
        if release not in known:
            releases[prefix] = ", ".join([*known, release])
    return assemble(parents, names, dict(sorted(releases.items())))


def descendant_counts(graph: TermGraph, counts_per_node: NDArray[np.integer]) -> NDArray[np.int64]:
    """Cells at or below each node, every cell counted once however many ways lead up from it.

    Parameters
    ----------
    counts_per_node : integer array, shape (n_nodes,)
        Cells of each term itself.

    Returns
    -------
    int64 array, shape (n_nodes,)
    """
    own = np.asarray(counts_per_node, np.int64)
    if own.shape != (len(graph),):
        raise ValueError(own.shape)
    total = np.zeros(len(graph), np.int64)
    np.add.at(total, graph.ancestors, np.repeat(own, np.diff(graph.ancestor_offsets)))
    return total


def assemble(parents: dict[str, tuple[str, ...]], names: dict[str, str], releases: dict[str, str]) -> TermGraph:
    """Make a graph of the parents of each term, all of which are there.

    Raises
    ------
    InvalidDataError
        ``ontology-cycle``.
    """
    ids = tuple(sorted(parents))
    nodes = {term_id: node for node, term_id in enumerate(ids)}
    ups = [[nodes[parent] for parent in parents[term_id]] for term_id in ids]
    closure = _closure(ids, ups)
    edges = sorted((child, parent) for child, above in enumerate(ups) for parent in above)
    offsets = np.zeros(len(ids) + 1, np.int64)
    np.cumsum([len(row) for row in closure], out=offsets[1:])
    return TermGraph(
        ids=ids,
        names=tuple(names[term_id] for term_id in ids),
        releases=releases,
        edges=np.array(edges, np.int32).reshape(-1, 2),
        ancestor_offsets=offsets,
        ancestors=np.concatenate([*closure, np.zeros(0, np.int32)]),
    )


def _closure(ids: Sequence[str], ups: Sequence[Sequence[int]]) -> list[NDArray[np.int32]]:
    """Ancestors of every node, from the top down: each edge is followed once, whatever the diamonds."""
    below: list[list[int]] = [[] for _ in ids]
    for child, above in enumerate(ups):
        for parent in above:
            below[parent].append(child)
    waiting = [len(above) for above in ups]
    ready = [node for node, n_above in enumerate(waiting) if n_above == 0]
    rows: list[NDArray[np.int32]] = [np.zeros(0, np.int32)] * len(ids)
    done = 0
    while ready:
        node = ready.pop()
        done += 1
        own = np.array([node], np.int32)
        rows[node] = np.unique(np.concatenate([own, *(rows[parent] for parent in ups[node])]))
        for child in below[node]:
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    if done < len(ids):
        stuck = _one_cycle(ids, ups, {node for node, n_above in enumerate(waiting) if n_above})
        raise InvalidDataError(
            "ontology-cycle",
            "a term of the ontology is its own ancestor",
            found=" -> ".join(stuck),
            hint="use another release of the ontology, or --no-ontology",
        )
    return rows


def _one_cycle(ids: Sequence[str], ups: Sequence[Sequence[int]], stuck: set[int]) -> list[str]:
    """Walk up among nodes that wait for a parent until one comes again."""
    node, seen = min(stuck), list[int]()
    while node not in seen:
        seen.append(node)
        node = next(parent for parent in ups[node] if parent in stuck)
    return [ids[n] for n in [*seen[seen.index(node) :], node]]

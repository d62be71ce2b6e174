"""The terms of a label's ontology that tell its categories apart, as a tree that fits on a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.report.shares import LabelShares
    from scformat.store.labels import Ontology


@dataclass(frozen=True, kw_only=True)
class Term:
    """A term with what lies at or below it.

    Attributes
    ----------
    id, name
        Of the ontology.
    depth
        Terms of the tree above it.
    cells
        Cells at or below it, each counted once.
    shares
        The same of all cells, and of the draws of each table.
    """

    id: str
    name: str
    depth: int
    cells: int
    shares: tuple[float, ...]


def term_tree(shares: LabelShares, *, most: int) -> tuple[list[Term], int]:
    """Choose the terms of a label with the largest shares, and put each below its nearest chosen ancestor.

    Of terms that stand for the same categories one is taken: a category's own, else the lowest; at the top that which
    most lies below. The tree is one of many: a term of several parents stands below the one with the fewest categories.

    Returns
    -------
    terms
        At most `most`, in the order of the tree, larger ones first.
    left
        How many there are besides.
    """
    ontology = shares.label.ontology
    if ontology is None:
        return [], 0
    graph = ontology.graph
    below = _categories_below(ontology)
    members: dict[int, list[int]] = {}
    for node, mask in enumerate(below):
        if mask:
            members.setdefault(mask, []).append(node)
    own = set(ontology.category_terms.tolist())
    above = np.diff(graph.ancestor_offsets).tolist()
    under = np.bincount(graph.ancestors, minlength=len(graph)).tolist()
    chosen = {}
    for mask, nodes in members.items():
        is_top = any(above[n] == 1 for n in nodes)
        chosen[mask] = max(nodes, key=lambda n: (n in own, under[n] if is_top else 0, above[n], -n))
    totals = [_at_or_below(ontology, s) for s in shares.all_shares]
    # What lies above has no smaller share, and more categories: taken by this order, a term's ancestors are there.
    order = sorted(chosen, key=lambda m: (-max(float(t[chosen[m]]) for t in totals), -m.bit_count(), chosen[m]))
    kept = {chosen[mask]: mask for mask in order[:most]}
    children: dict[int | None, list[int]] = {}
    for node in kept:
        ancestors = [n for n in graph.ancestors_of(node).tolist() if n != node and n in kept]
        parent = min(ancestors, key=lambda n: (kept[n].bit_count(), n), default=None)
        children.setdefault(parent, []).append(node)
    counts = ontology.counts.to_numpy()
    terms: list[Term] = []

    def walk(parent: int | None, depth: int) -> None:
        for node in sorted(children.get(parent, []), key=lambda n: (-int(counts[n]), n)):
            terms.append(
                Term(
                    id=graph.ids[node],
                    name=graph.names[node],
                    depth=depth,
                    cells=int(counts[node]),
                    shares=tuple(float(t[node]) for t in totals),
                )
            )
            walk(node, depth + 1)

    walk(None, 0)
    return terms, len(order) - len(kept)


def _categories_below(ontology: Ontology) -> list[int]:
    """Which categories lie at or below each term, as the bits of a number."""
    masks = [0] * len(ontology.graph)
    for category, node in enumerate(ontology.category_terms.tolist()):
        if node >= 0:
            for above in ontology.graph.ancestors_of(node).tolist():
                masks[above] |= 1 << category
    return masks


def _at_or_below(ontology: Ontology, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum shares of categories over each term and all below it."""
    graph = ontology.graph
    terms = ontology.category_terms
    held = terms >= 0
    own = np.bincount(terms[held], weights=shares[:-1][held], minlength=len(graph))
    spread = np.repeat(own, np.diff(graph.ancestor_offsets))
    sums: NDArray[np.float64] = np.bincount(graph.ancestors, weights=spread, minlength=len(graph)).astype(float)
    return sums

"""Find a node of a term graph by what a person writes."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from scformat.errors import UnknownNameError

if TYPE_CHECKING:
    from scformat.ontology.graph import TermGraph


def node_of(graph: TermGraph, text: str) -> int:
    """Return the node whose id or name is `text`; the case of a name counts only where two differ in it alone.

    Raises
    ------
    UnknownNameError
        ``unknown-ontology-term``: no term at or above a present one is called so.
    """
    wanted = text.strip()
    as_id = wanted.replace("_", ":", 1)
    if as_id in graph.nodes:
        return graph.nodes[as_id]
    exact = [i for i, name in enumerate(graph.names) if name == wanted]
    folded = [i for i, name in enumerate(graph.names) if name.casefold() == wanted.casefold()]
    for found in (exact, folded):
        if len(found) == 1:
            return found[0]
    near = difflib.get_close_matches(wanted, [*graph.names, *graph.ids], n=3, cutoff=0.5)
    raise UnknownNameError(
        "unknown-ontology-term",
        f"no cell is at or below an ontology term {text!r}",
        hint=f"terms that cells have: {', '.join(map(repr, near))}"
        if near
        else "see store.labels[NAME].ontology.terms",
    )

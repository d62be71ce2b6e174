"""Find a node of a term graph by what a person writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.errors import unknown_name

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
    raise unknown_name("ontology term", text, [*graph.names, *graph.ids])

"""``scformat neighbours list|add``: tables of the cells nearest to each cell."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scformat.cli.output import emit, emit_json, message
from scformat.cli.parameters import Debug, Json, StorePath
from scformat.cli.progress import progress
from scformat.cli.tables import format_table


def list_neighbours(*, store: StorePath, json: Json = False, debug: Debug = False) -> None:
    """List the neighbour tables of a store."""
    import scformat

    opened = scformat.open(store)
    entries = {entry.name: _summary(entry) for entry in opened.manifest.neighbours or ()}
    if json:
        emit_json({"neighbours": entries})
    elif entries:
        columns = ["name", *next(iter(entries.values()))]
        emit(format_table(columns, [[name, *summary.values()] for name, summary in entries.items()]))
    else:
        message(f"{store}: no neighbours; scformat neighbours add takes them from the obsp of h5ad files")


def add(
    *,
    store: StorePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new table's name.")],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SRC...", help="h5ad files or AnnData-Zarr directories that the store was made from."),
    ],
    obsp: Annotated[str, typer.Option(metavar="KEY", help="The matrix in obsp.")] = "distances",
    k: Annotated[int, typer.Option("--k", metavar="K", help="Neighbours of a cell to keep, the nearest.")] = 15,
    weight: Annotated[
        str | None,
        typer.Option(
            metavar="MEANING", help="distance (less is nearer) or connectivity (more is nearer), unless KEY says it."
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Add the neighbours that sources carry in obsp; the cells of other sources have none."""
    import scformat
    from scformat.neighbours import add_neighbours, neighbours_from_sources
    from scformat.neighbours.publish import check_new
    from scformat.publishing import place_of

    opened = scformat.open(store)
    directory = place_of(opened, "neighbours").directory
    check_new(opened, name)
    with progress() as report:
        lists = neighbours_from_sources(
            opened, sources, key=obsp, k=k, weight=weight, directory=directory, progress=report
        )
        manifest = add_neighbours(opened, name, lists, progress=report)
    entry = (manifest.neighbours or [])[-1]
    message(
        f"wrote neighbours {name} to {store}: {entry.n_neighbours:,} neighbours of {entry.n_rows:,} cells"
        f", {entry.n_neighbours / max(entry.n_rows, 1):.3g} a cell"
    )


def _summary(entry: Any) -> dict[str, Any]:
    return {
        "k": entry.k,
        "cells": entry.n_rows,
        "neighbours": entry.n_neighbours,
        "weight": entry.weight,
        "source": entry.source,
        "digest": entry.sha256[:8],
    }

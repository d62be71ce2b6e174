"""``scformat weights list|add|show``: sampling tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.output import emit, emit_json, message
from scformat.cli.parameters import Debug, Json, StorePath, Where
from scformat.cli.progress import progress
from scformat.cli.tables import format_table

if TYPE_CHECKING:
    from scformat.tables import SamplingTable

TableArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A table's name, a text such as cell_type:balanced, or a table's path.")
]


def list_tables(*, store: StorePath, json: Json = False, debug: Debug = False) -> None:
    """List the sampling tables of a store."""
    import scformat

    opened = scformat.open(store)
    tables = {name: _summary(opened.tables[name]) for name in opened.tables}
    if json:
        emit_json({"tables": tables})
    elif tables:
        columns = ["name", *next(iter(tables.values()))]
        emit(format_table(columns, [[name, *summary.values()] for name, summary in tables.items()]))
    else:
        message(f"{store}: no stored tables; LABEL:SCHEME resolves for any label")


def add(
    *,
    store: StorePath,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The new table's name.")],
    by: Annotated[
        str, typer.Option(metavar="BY", help="Labels and schemes: cell_type:ontology_nodes,tissue:scaled(50).")
    ],
    scheme: Annotated[str | None, typer.Option(metavar="S", help="Scheme of labels that come without one.")] = None,
    split: Annotated[str | None, typer.Option(metavar="SPLIT", help="Cells of this split only.")] = None,
    where: Where = None,
    temperature: Annotated[float, typer.Option(metavar="T", help="Above 1 flattens, below sharpens.")] = 1.0,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="DIR", help="Write beside the store, not into it.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Add a sampling table to a store, or write one beside it."""
    import scformat
    from scformat.tables import add_table, build_table, write_table_file

    opened = scformat.open(store)
    with progress() as report:
        table = build_table(
            opened,
            by,
            name=name,
            scheme=scheme,
            split=split,
            where=where,
            temperature=temperature,
            progress=report,
        )
    if output is None:
        add_table(opened, name, table)
    else:
        write_table_file(output, name, table)
    summary = _summary(table)
    message(
        f"wrote table {name} to {output or store}: {summary['strata']:,} strata, {summary['cells']:,} cells"
        f", {summary['missing']:,} without a label, {summary['left_out']:,} left out"
    )


def show(
    *,
    store: StorePath,
    name: TableArgument,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Strata to show, the likeliest first.")] = 40,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the strata of a table: cells, probability, and the weight of one cell."""
    import scformat

    table = scformat.open(store).tables.find(name)
    strata = table.strata.sort_values("probability", ascending=False, kind="stable").astype(object)
    if json:
        records = [{str(k): v for k, v in row.items()} for row in strata.to_dict("records")]
        emit_json({"name": table.name, **_summary(table), "strata_by_probability": records})
        return
    emit(format_table(list(strata.columns), strata.head(n).to_numpy().tolist()))
    if len(strata) > n:
        message(f"{len(strata) - n:,} more strata")


def _summary(table: SamplingTable) -> dict[str, Any]:
    return {
        "by": table.info.by,
        "split": table.info.split,
        "where": table.info.where,
        "strata": len(table.counts),
        "cells": table.n_cells,
        "missing": table.info.n_missing,
        "left_out": table.info.n_left_out,
        "digest": table.digest[:8],
    }

"""``scformat head``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.output import emit
from scformat.cli.parameters import Debug, StorePath, names
from scformat.cli.tables import format_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.store import Store

FIGURES = ("source", "total_counts", "n_genes")


def head(
    *,
    store: StorePath,
    n: Annotated[int, typer.Option("-n", min=1, metavar="N", help="Number of cells.")] = 5,
    labels: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Labels to show; by default all of them.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Print the first cells of a store, with their labels."""
    import scformat

    opened = scformat.open(store)
    chosen = names(labels, "--labels")
    columns = first_cells(opened, n, list(opened.labels) if chosen is None else chosen)
    emit(format_table([name for name, _ in columns], list(zip(*(values for _, values in columns), strict=True))))


def first_cells(store: Store, n: int, labels: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Return the first cells by column, names and values: barcode, figures, then labels, None where one is missing.

    Raises
    ------
    UnknownNameError
        There is no such label.
    """
    import numpy as np

    rows = np.arange(min(n, store.n_cells))
    chosen = [(name, store.labels[name]) for name in labels]
    names = list(store.sources.index)
    figures = {name: store.field(name, rows).tolist() for name in FIGURES}
    figures["source"] = [names[number] for number in figures["source"]]
    columns: list[tuple[str, list[Any]]] = [("barcode", list(store.barcodes(rows)))]
    columns += [(name, figures[name]) for name in FIGURES]
    for name, label in chosen:
        columns.append((name, [label.categories[code] if code >= 0 else None for code in label.codes(rows).tolist()]))
    return columns

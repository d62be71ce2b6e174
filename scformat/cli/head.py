"""``scformat head``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.output import emit
from scformat.cli.parameters import Debug, StorePath, names
from scformat.cli.tables import format_table

if TYPE_CHECKING:
    import pandas as pd

    from scformat.store import Store

FIGURES = ("barcode", "source", "total_counts", "n_genes")


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
    frame = first_cells(opened, n, list(opened.labels) if chosen is None else chosen)
    emit(format_table(list(frame.columns), frame.to_numpy(object).tolist()))


def first_cells(store: Store, n: int, labels: list[str]) -> pd.DataFrame:
    """Return the first cells, one row each: figures, then labels; a missing label is None."""
    import numpy as np

    rows = np.arange(min(n, store.n_cells))
    frame = store.obs(columns=list(FIGURES), rows=rows)
    for name in labels:
        label = store.labels[name]
        values: list[Any] = [label.categories[code] if code >= 0 else None for code in label.codes(rows)]
        frame[name] = values
    return frame

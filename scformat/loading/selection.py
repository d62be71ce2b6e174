"""Which cells are drawn, and with which weights: a sampling table for a table's name, a split and an expression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.genes.organisms import organism_taxon
from scformat.sampling.table import Table
from scformat.tables.build import cells_digest

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from scformat.store import Store
    from scformat.tables.view import SamplingTable


def select_rows(
    store: Store, *, split: str | None = None, where: str | None = None, organism: str | None = None
) -> NDArray[np.int64] | None:
    """Return the rows of a split where an expression is true, ascending; None where nothing is asked for.

    Raises
    ------
    UsageError
        ``no-splits``; ``no-cells``: there is no such cell.
    UnknownNameError
        ``unknown-split``, ``unknown-column``.
    """
    of_organism = _cells_of(store, organism)
    if split is None and where is None and of_organism is None:
        return None
    every = store.check_rows(None)
    chosen = np.ones(len(every), np.bool_) if of_organism is None else of_organism
    if split is not None:
        splits = store.manifest.splits
        if splits is None:
            raise UsageError(
                "no-splits", f"no split {split!r}: the store has none", where=store.path, hint="convert with --splits"
            )
        if split not in splits.names:
            raise unknown_name("split", split, splits.names, where=store.path)
        chosen &= store.field("split", every) == splits.names.index(split)
    if where is not None:
        kept = np.zeros(store.n_cells, np.bool_)
        kept[store.select(where)] = True
        chosen &= kept
    rows = np.flatnonzero(chosen)
    if not len(rows):
        asked = {"split": split, "where": where, "organism": organism}
        found = ", ".join(f"{name}={value!r}" for name, value in asked.items() if value is not None)
        raise UsageError("no-cells", "there are no such cells", where=store.path, found=found)
    return rows


def _cells_of(store: Store, organism: str | None) -> NDArray[np.bool_] | None:
    """Return which cells are of sources of an organism, None where all are."""
    if organism is None:
        return None
    taxon = organism_taxon(organism)
    of_it = np.array([taxon in record.organisms for record in store.sources_view.records], np.bool_)
    if of_it.all():
        return None
    found: NDArray[np.bool_] = of_it[store.field("source", store.check_rows(None))]
    return found


def choose_table(
    store: Store,
    table: Table | SamplingTable | str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    where: str | None = None,
    organism: str | None = None,
) -> Table:
    """Return the table to draw with, over the cells that :func:`select_rows` chooses.

    Parameters
    ----------
    table
        A table; the name of one of the store; the path of a table's file; labels and schemes, such as
        ``cell_type:balanced``; None: every cell alike.
    split, where, organism
        Labels and schemes are weighed over the cells chosen. The strata of a finished table keep their shares of
        the draws; those that no cell is left of lose theirs to the others in proportion.

    Raises
    ------
    UsageError
        ``no-cells``: the table draws none of the rows. ``other-cells``: it belongs to another store.
    RowIndexError
        ``row-out-of-range``.
    UnknownNameError
        ``unknown-table``.
    """
    from scformat.tables import build_table

    if isinstance(table, str) and store.tables.is_text(table) and (split or where or organism) is not None:
        among = _cells_of(store, organism)
        return build_table(store, table, split=split, where=where, among=among).table
    rows = select_rows(store, split=split, where=where, organism=organism)
    digest = cells_digest(store.manifest)
    if table is None:
        if not store.n_cells:
            raise UsageError("no-cells", "there are no cells to draw", where=store.path)
        uniform = Table.uniform(store.check_rows(None) if rows is None else rows)
        return Table(uniform.masses, uniform.counts, uniform.strata, cells_digest=digest)
    found = _checked(store, table, digest) if isinstance(table, Table) else store.tables.find(table).table
    if rows is None:
        return found
    allowed = np.zeros(store.n_cells, np.bool_)
    allowed[rows] = True
    lists = [found.strata.rows_of(c) for c in range(len(found))]
    kept = [some[allowed[some]] for some in lists]
    weights = [float(mass) if len(some) else 0.0 for mass, some in zip(found.masses.tolist(), kept, strict=True)]
    if not any(weights):
        raise UsageError("no-cells", "the table draws none of the cells that are asked for", where=store.path)
    made = Table.from_weights(kept, weights)
    return Table(made.masses, made.counts, made.strata, cells_digest=digest)


def _checked(store: Store, table: Table, digest: str) -> Table:
    """Return a table that the user made, if its rows are those of the store."""
    if table.cells_digest not in ("", digest):
        raise UsageError(
            "other-cells", "the table belongs to other cells than the store has", where=store.path, expected=digest,
            found=table.cells_digest,
        )  # fmt: skip
    if not table.cells_digest:
        store.check_rows(table.strata.flattened().rows_of(0))
    return table

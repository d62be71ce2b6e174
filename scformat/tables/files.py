"""Tables as arrays: written to a store or beside it, and opened without reading more than is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.errors import InvalidDataError, UsageError
from scformat.manifest import Array, as_json
from scformat.sampling import AliasTable, ResidentRows, RowList, Strata, Table
from scformat.sampling.alias import CAPACITY
from scformat.store.codes import check_codes
from scformat.store.fetch import read_at
from scformat.tables.build import cells_digest
from scformat.tables.model import TableEntry
from scformat.tables.view import SamplingTable, TableInfo
from scformat.writing import write_array, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Manifest
    from scformat.storage import Storage

RESIDENT_ROWS = 1 << 26
"""Longest list of rows that is read whole when the first cell is drawn; of longer ones the chunks that are needed."""


def table_path(name: str, digest: str) -> str:
    """Directory of a table in a store: another content is another path."""
    return f"tables/{name}-{digest[:8]}"


def write_table_arrays(storage: Storage, path: str, table: SamplingTable, *, name: str) -> TableEntry:
    """Write the arrays of a table below `path` and describe it."""
    core, info = table.table, table.info
    strata = core.strata

    def write(member: str, values: NDArray[np.integer]) -> Array:
        return write_table(storage, f"{path}/{member}", values)

    rows = run_start = run_length = None
    if strata.rows is not None:
        values = _all_rows(strata.rows)
        rows = write_array(storage, layout.per_cell(f"{path}/rows", values.dtype.name, len(values)), values)
    else:
        assert strata.run_start is not None and strata.run_length is not None  # Strata's own contract
        run_start, run_length = write("run_start", strata.run_start), write("run_length", strata.run_length)
    return TableEntry(
        name=name,
        by=info.by,
        keys=list(info.keys),
        split=info.split,
        where=info.where,
        temperature=info.temperature,
        files=list(info.files),
        n_strata=len(core),
        bits=core.bits,
        n_cells=core.n_cells,
        n_missing=info.n_missing,
        n_left_out=info.n_left_out,
        n_rows=info.n_rows,
        cells=core.cells_digest,
        codes=write("codes", table.codes),
        counts=write("counts", core.counts),
        masses=write("masses", core.masses),
        threshold=write("threshold", core.alias.threshold),
        alias=write("alias", core.alias.alias),
        offsets=write("offsets", strata.offsets),
        run_start=run_start,
        run_length=run_length,
        rows=rows,
        sha256=core.digest,
    )


def open_entry(
    storage: Storage, entry: TableEntry, manifest: Manifest, categories: Callable[[str], Sequence[str]]
) -> SamplingTable:
    """Open a table of a store, or of a file beside it; reads nothing yet.

    Raises
    ------
    UsageError
        ``other-cells``: its rows are those of another store.
    """
    found = cells_digest(manifest, entry.n_rows)
    if found != entry.cells or entry.n_rows > manifest.n_cells:
        raise UsageError(
            "other-cells",
            f"the table {entry.name!r} belongs to other cells than the store has",
            where=storage.url,
            expected=entry.cells,
            found=found,
            hint="make the table anew for this store",
        )
    info = TableInfo(
        by=entry.by,
        keys=tuple(entry.keys),
        split=entry.split,
        where=entry.where,
        temperature=entry.temperature,
        files=tuple(entry.files),
        n_missing=entry.n_missing,
        n_left_out=entry.n_left_out,
        n_rows=entry.n_rows,
    )

    def table() -> Table:
        return Table(
            storage.read_array(entry.masses),
            storage.read_array(entry.counts),
            lambda: _read_strata(storage, entry),
            alias=lambda: _read_alias(storage, entry),
            cells_digest=entry.cells,
            digest=entry.sha256,
        )

    return SamplingTable(
        entry.name, info, codes=lambda: _read_codes(storage, entry, categories), table=table, categories=categories
    )


def _read_codes(storage: Storage, entry: TableEntry, categories: Callable[[str], Sequence[str]]) -> NDArray[np.int32]:
    codes: NDArray[np.int32] = storage.read_array(entry.codes)
    for key, some in zip(entry.keys, codes, strict=True):
        n = len(categories(key.name)) if key.levels is None else len(key.levels) - 1
        first = 0 if key.missing is None else -1
        check_codes(some, range(first, n), where=storage.at(entry.codes.path))
    return codes


def _read_alias(storage: Storage, entry: TableEntry) -> AliasTable:
    threshold, alias = storage.read_array(entry.threshold), storage.read_array(entry.alias)
    # What a kernel takes as an index is checked here, once.
    if int(threshold.min()) < 0 or int(threshold.max()) > CAPACITY or int(alias.min()) < 0:
        raise _bad(storage, entry.threshold, "a column of an alias table out of range")
    drawn = np.where(threshold > 0, np.arange(len(alias)), alias)
    if int(alias[threshold < CAPACITY].max(initial=0)) >= entry.n_strata or int(drawn.max()) >= entry.n_strata:
        raise _bad(storage, entry.alias, "an alias beyond the last stratum")
    return AliasTable(threshold=threshold, alias=alias)


def _read_strata(storage: Storage, entry: TableEntry) -> Strata:
    offsets = storage.read_array(entry.offsets)
    if entry.rows is not None:
        rows: RowList = StoredRows(storage, entry)
        if len(rows) <= RESIDENT_ROWS:
            rows = ResidentRows(_rows(storage, entry, storage.read_array(entry.rows)))
        return Strata(offsets=offsets, rows=rows)
    assert entry.run_start is not None and entry.run_length is not None  # the model's own contract
    start, length = storage.read_array(entry.run_start), storage.read_array(entry.run_length)
    if not _within(start, entry.n_rows) or (length < 1).any() or (length > entry.n_rows - start).any():
        raise _bad(storage, entry.run_start, "a run beyond the rows of the store")
    return Strata(offsets=offsets, run_start=start, run_length=length)


class StoredRows:
    """A row list that stays where it is; places that lie together are one read."""

    def __init__(self, storage: Storage, entry: TableEntry) -> None:
        assert entry.rows is not None  # a table of runs has none
        self._storage, self._entry, self._array = storage, entry, entry.rows

    def __len__(self) -> int:
        return self._array.shape[0]

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows at some places."""
        return np.asarray(_rows(self._storage, self._entry, read_at(self._storage, self._array, places)), np.int64)


def _rows(storage: Storage, entry: TableEntry, rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows of a table that are rows of the store."""
    if not _within(rows, entry.n_rows):
        raise _bad(storage, entry.offsets, "a row beyond those of the store")
    return rows


def _within(places: NDArray[Any], n: int) -> bool:
    return not places.size or (int(places.min()) >= 0 and int(places.max()) < n)


def _all_rows(rows: RowList) -> NDArray[np.integer]:
    if isinstance(rows, ResidentRows):
        return rows.values
    return rows.take(np.arange(len(rows), dtype=np.int64))


def _bad(storage: Storage, array: Array, what: str) -> InvalidDataError:
    return InvalidDataError("bad-table", what, where=storage.at(array.path), hint="run scformat validate")


def entry_arrays(entry: TableEntry) -> list[str]:
    """Path of every array of a table."""
    return [member["path"] for member in as_json(entry).values() if isinstance(member, dict) and "path" in member]

"""Neighbour tables of a store: the rows of the cells that are nearest to each cell, and their weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.store.fetch import read_at

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from scformat.manifest import Array, NeighboursEntry
    from scformat.store import Store

NONE = -1
"""Stands where a cell has no further neighbour."""


class NeighbourTable:
    """The neighbours of the cells of a store, nearest first.

    Attributes
    ----------
    entry
        What the manifest says of it.
    """

    def __init__(self, store: Store, entry: NeighboursEntry, *, first_row: int = 0) -> None:
        self._store = store
        self._first_row = first_row  # of the store among several that are read as one, for errors
        self.entry = entry

    def __repr__(self) -> str:
        weight = f", {self.weight}" if self.weight is not None else ""
        return f"<neighbours {self.name}: {self.k} of {self.n_rows:,} cells{weight}>"

    @property
    def name(self) -> str:
        """Its name."""
        return self.entry.name

    @property
    def k(self) -> int:
        """Neighbours of a cell, at most."""
        return self.entry.k

    @property
    def n_rows(self) -> int:
        """Cells that it covers: those of the store when it was made. Cells appended later have no neighbours."""
        return self.entry.n_rows

    @property
    def weight(self) -> str | None:
        """What weights are: ``distance``, or a similarity such as ``connectivity``; None where there are none."""
        return self.entry.weight

    @property
    def digest(self) -> str:
        """SHA-256 of its content."""
        return self.entry.sha256

    def rows(self, rows: ArrayLike | None = None) -> NDArray[np.int64]:
        """Return the neighbours of some cells.

        Parameters
        ----------
        rows : integer array-like, shape (n,)
            Rows of the store in any order, repeats allowed; None: all.

        Returns
        -------
        int64 array, shape (n, k)
            Rows of the store, nearest first; -1 where a cell has no more.

        Raises
        ------
        RowIndexError
            ``row-out-of-range``, an IndexError.
        InvalidDataError
            A chunk is missing or damaged; ``bad-neighbours``: a row that the store does not have.
        """
        wanted = self._store.check_rows(rows)
        found = self._read(self.entry.rows, wanted, NONE).astype(np.int64)
        if found.size and (int(found.min()) < NONE or int(found.max()) >= self.n_rows):
            raise InvalidDataError(
                "bad-neighbours",
                "a neighbour that is no row of the store",
                where=self._store._storage.at(self.entry.rows.path),
                hint="run scformat validate",
            )
        return found

    def weights(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Return the weights of :meth:`rows`; float32, shape (n, k), 0 where there is no neighbour.

        Raises
        ------
        UsageError
            ``no-weights``: it was made without.
        """
        if self.entry.weights is None:
            raise UsageError("no-weights", f"the neighbours {self.name!r} have no weights", where=self._store.path)
        return self._read(self.entry.weights, self._store.check_rows(rows), 0).astype(np.float32, copy=False)

    def _read(self, array: Array, rows: NDArray[np.int64], absent: int) -> NDArray[Any]:
        out = np.full((len(rows), self.k), absent, array.dtype)
        inside = np.flatnonzero(rows < self.n_rows)
        if len(inside):
            out[inside] = read_at(self._store._storage, array, rows[inside], cells=self._first_row + rows[inside]).T
        return out


class NeighbourTables(Mapping[str, NeighbourTable]):
    """The neighbour tables of a store by name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries = {entry.name: entry for entry in store.manifest.neighbours or ()}

    def __getitem__(self, name: str) -> NeighbourTable:
        """Open a table; reads nothing.

        Raises
        ------
        UnknownNameError
            ``unknown-neighbour-table``.
        UsageError
            ``other-cells``: its rows are those of another store.
        """
        from scformat.tables.build import cells_digest

        if name not in self._entries:
            raise unknown_name("neighbour table", name, self._entries, where=self._store.path)
        entry, manifest = self._entries[name], self._store.manifest
        found = cells_digest(manifest, entry.n_rows)
        if found != entry.cells or entry.n_rows > manifest.n_cells:
            raise UsageError(
                "other-cells",
                f"the neighbours {name!r} belong to other cells than the store has",
                where=self._store.path,
                expected=entry.cells,
                found=found,
                hint="make the table anew for this store",
            )
        return NeighbourTable(self._store, entry)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

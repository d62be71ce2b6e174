"""The neighbours of the cells of several stores: each cell has those of its own store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import unknown_name
from scformat.store.neighbours import NONE, NeighbourTable, NeighbourTables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from scformat.collection.united import Collection


class UnitedNeighbours(NeighbourTable):
    """A neighbour table of several stores; as :class:`scformat.store.neighbours.NeighbourTable`."""

    def __init__(self, store: Collection, tables: Sequence[NeighbourTable]) -> None:
        super().__init__(store, tables[0].entry)
        self._tables = tables
        self._firsts = np.cumsum([0, *(one.n_cells for one in store.stores[:-1])])

    @property
    def k(self) -> int:
        """Neighbours of a cell, at most."""
        return max(table.k for table in self._tables)

    @property
    def n_rows(self) -> int:
        """The last cell that it covers, and one; cells that were appended to a store have no neighbours."""
        return int(self._firsts[-1]) + self._tables[-1].n_rows

    def rows(self, rows: ArrayLike | None = None) -> NDArray[np.int64]:
        """Return the neighbours of some cells; int64, shape (n, k), -1 where a cell has no more."""
        wanted = self._store.check_rows(rows)
        out = np.full((len(wanted), self.k), NONE, np.int64)
        for table, first, some in self._by_table(wanted):
            found = table.rows(wanted[some] - first)
            out[some, : table.k] = np.where(found == NONE, NONE, found + first)
        return out

    def weights(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Return the weights of :meth:`rows`; float32, shape (n, k), 0 where there is no neighbour."""
        wanted = self._store.check_rows(rows)
        out = np.zeros((len(wanted), self.k), np.float32)
        for table, first, some in self._by_table(wanted):
            out[some, : table.k] = table.weights(wanted[some] - first)
        return out

    def _by_table(self, rows: NDArray[np.int64]) -> list[tuple[NeighbourTable, int, NDArray[np.int64]]]:
        which = np.searchsorted(self._firsts, rows, side="right") - 1
        return [(self._tables[k], int(self._firsts[k]), np.flatnonzero(which == k)) for k in np.unique(which).tolist()]


class UnitedNeighbourTables(NeighbourTables):
    """The neighbour tables that all stores have with weights of one kind, by name."""

    def __init__(self, store: Collection) -> None:
        super().__init__(store)
        self._collection = store
        first, *others = [{e.name: e for e in one.manifest.neighbours or ()} for one in store.stores]
        self._entries = {
            name: entry
            for name, entry in first.items()
            if all(name in other and other[name].weight == entry.weight for other in others)
        }

    def __getitem__(self, name: str) -> NeighbourTable:
        """Open a table; as of one store."""
        if name not in self._entries:
            raise unknown_name("neighbour table", name, self._entries, where=self._collection.path)
        tables, first = [], 0
        for store in self._collection.stores:
            tables.append(NeighbourTable(store, store.neighbours[name].entry, first_row=first))
            first += store.n_cells
        return UnitedNeighbours(self._collection, tables)

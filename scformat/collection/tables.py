"""The sampling tables of several stores: those that all of them have, made anew over all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.errors import InvalidDataError, UsageError
from scformat.tables import Tables, build_table, read_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.collection.united import Collection
    from scformat.manifest import Table
    from scformat.store import Store
    from scformat.tables import SamplingTable


def shared_tables(stores: Sequence[Store]) -> list[Table]:
    """Return the tables of the first store that all others have by the same name, labels, schemes and restrictions."""
    recipes = [{table.name: _recipe(table, store.path) for table in store.manifest.tables} for store in stores]
    shared = [name for name, recipe in recipes[0].items() if all(other.get(name) == recipe for other in recipes[1:])]
    return [table for table in stores[0].manifest.tables if table.name in shared]


def _recipe(table: Table, where: str) -> tuple[object, ...]:
    entry = read_entry(table, where)
    files = tuple((file.name, file.sha256) for file in entry.files)
    return entry.by, entry.split, entry.where, entry.temperature, files


class SharedTables(Tables):
    """The tables of several stores.

    ``tables["ct"]`` is made anew over all cells, where all stores have a table of that name that was made alike: a
    stratum has the share that it would have in one store of all cells, which no sum of the stores' tables gives.
    """

    def __init__(self, store: Collection) -> None:
        super().__init__(store)
        self._of_some = {table.name for one in store.stores for table in one.manifest.tables}

    def _find(self, name: str) -> SamplingTable:
        if name in self._stored:
            entry = read_entry(self._stored[name], self._store.path)
            made = build_table(
                self._store, entry.by, name=name, split=entry.split, where=entry.where, temperature=entry.temperature
            )
            if list(made.info.files) != entry.files:
                raise InvalidDataError("other-file", f"the file of weights of the table {name!r} has changed")
            return made
        if name in self._of_some:
            raise UsageError(
                "table-not-shared", f"not every store has a table {name!r} that is made alike", where=self._store.path,
                hint="give labels and schemes instead, for example cell_type:balanced",
            )  # fmt: skip
        return super()._find(name)

"""The tables of a store by name, and those that a text or a file names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.errors import unknown_name
from scformat.tables.build import resolve_table
from scformat.tables.files import open_entry
from scformat.tables.publish import open_table_file, read_entry
from scformat.tables.view import SamplingTable

if TYPE_CHECKING:
    from scformat.store import Store


class Tables(Mapping[str, SamplingTable]):
    """The tables of a store.

    ``tables["ct"]`` is a stored one; ``tables["cell_type:balanced"]`` is made of its text, for any label and scheme,
    and is not stored. Iteration goes over the stored ones.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stored = {table.name: table for table in store.manifest.tables}
        self._open: dict[str, SamplingTable] = {}

    def __getitem__(self, name: str) -> SamplingTable:
        if name not in self._open:
            self._open[name] = self._find(name)
        return self._open[name]

    def _find(self, name: str) -> SamplingTable:
        store = self._store
        if name in self._stored:
            entry = read_entry(self._stored[name], store.path)
            return open_entry(store._storage, entry, store.manifest, lambda label: store.labels[label].categories)
        if ":" in name:
            return resolve_table(store, name)
        texts = [f"{label}:balanced" for label in store.labels]
        raise unknown_name("table", name, [*self._stored, *texts], where=store.path)

    def __contains__(self, name: object) -> bool:
        return name in self._stored

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def find(self, given: str | os.PathLike[str] | SamplingTable) -> SamplingTable:
        """Return a table by its name, its text or the path of its file; a table as it is.

        A name of the store comes before a path.
        """
        if isinstance(given, SamplingTable):
            return given
        text = os.fspath(given)
        return open_table_file(text, self._store) if self._is_file(given) else self[text]

    def is_text(self, given: object) -> bool:
        """Whether `given` is labels and schemes, not the name or the path of a table that is there."""
        return isinstance(given, str) and ":" in given and given not in self._stored and not self._is_file(given)

    def _is_file(self, given: str | os.PathLike[str]) -> bool:
        text = os.fspath(given)
        is_path = not isinstance(given, str) or "://" in text or (Path(text) / "zarr.json").is_file()
        return is_path and text not in self._stored

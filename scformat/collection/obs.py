"""The obs columns of several stores: each in the kind that a conversion would have given it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.conversion.merge import merge_as, merged_kind
from scformat.layout import MISSING
from scformat.manifest import ObsColumn
from scformat.store.obs import absent_column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.collection.united import Collection
    from scformat.columns import Kind
    from scformat.manifest import Manifest, SourceColumn
    from scformat.store.segments import Segment

    Placed = Sequence[tuple[Segment, NDArray[np.int64]]]


_NO_ROWS = np.empty(0, np.int64)


class ObsColumns:
    """Reads the obs columns of several stores.

    Parameters
    ----------
    store
        The stores as one.
    """

    def __init__(self, store: Collection) -> None:
        self._store = store
        self._kinds: dict[str, Kind] = {}
        self._categories: dict[str, tuple[str, ...]] = {}

    def read(self, name: str, placed: Placed, rows: NDArray[np.int64]) -> Column:
        """Read a column of some rows; `placed` says which of them lie in each segment."""
        kind = self._kind(name)
        # Stores without a cell among them decide on type and missing values all the same.
        nothing = self._empty(name)
        pieces = [_own(segment, name, rows[some] - segment.part.start) for segment, some in placed]
        column = merge_as(kind, [*nothing, *pieces], [*(0 for _ in nothing), *(len(some) for _, some in placed)])
        if placed:
            column = column.take(np.argsort(np.concatenate([some for _, some in placed]), kind="stable"))
        if column.categories is None:
            return column
        categories = self._all_categories(name)
        place = {text: i for i, text in enumerate(categories)}
        table = np.array([*(place[text] for text in column.categories), MISSING], np.int32)
        return replace(column, values=table[column.codes], categories=categories)

    def _empty(self, name: str) -> list[Column | None]:
        """Return the column of each store without its cells, None where it has none."""
        return [_of_no_cells(store.manifest, name) for store in self._store.stores]

    def _whole(self, name: str) -> list[Column]:
        columns = [_own(s, name, np.arange(s.part.n_cells, dtype=np.int64)) for s in self._store.segments]
        return [column for column in columns if column is not None]

    def _kind(self, name: str) -> Kind:
        if name not in self._kinds:
            # As of the sources, not of what their stores made of them: text of numbers and text is no category.
            records = self._store.sources_view.records
            there = [_empty(column) for record in records for column in record.columns if column.name == name]
            kinds, types = {c.kind for c in there}, {c.dtype for c in there}
            by_values = kinds == {"integer", "float"} or (kinds == {"integer"} and "uint64" in types and len(types) > 1)
            self._kinds[name] = merged_kind(self._whole(name) if by_values else there)
        return self._kinds[name]

    def _all_categories(self, name: str) -> tuple[str, ...]:
        """Return the categories of all cells, sorted by their UTF-8 bytes."""
        if name not in self._categories:
            whole = any(column is not None and column.kind == "string" for column in self._empty(name))
            columns = self._whole(name) if whole else [_own(s, name, _NO_ROWS) for s in self._store.segments]
            texts: set[str] = set()
            for column in columns:
                if column is not None:
                    own = merge_as("categorical", [column], [len(column)]) if column.kind == "string" else column
                    texts |= set(own.categories or ())
            self._categories[name] = tuple(sorted(texts, key=str.encode))
        return self._categories[name]


def _empty(described: ObsColumn | SourceColumn) -> Column:
    """Return a column without cells."""
    column = ObsColumn(name=described.name, kind=described.kind, dtype=described.dtype)
    return replace(absent_column(column, 0), mask=None)


def _of_no_cells(manifest: Manifest, name: str) -> Column | None:
    described = _described(manifest, name)
    if described is None:
        return None
    values = [part.obs.get(name) for part in manifest.parts]
    can_miss = described.label is None and any(v is None or v.missing is not None for v in values)
    return replace(_empty(described), mask=np.empty(0, np.bool_) if can_miss else None)


def _described(manifest: Manifest, name: str) -> ObsColumn | None:
    return next((column for column in manifest.obs if column.name == name), None)


def _own(segment: Segment, name: str, rows: NDArray[np.int64]) -> Column | None:
    """Read a column as the segment's own store has it; None where that has none."""
    described = _described(segment.manifest, name)
    if described is None:
        return None
    if described.label is not None:
        label = segment.manifest.label(described.label)
        categories = () if label is None else tuple(segment.storage.read_strings(label.categories))
        codes = segment.own_codes(described.label, rows)
        return Column(kind="categorical", dtype="string", values=codes, categories=categories)
    column = segment.obs_column(described, rows)
    if described.categories is not None:
        return replace(column, categories=tuple(segment.storage.read_strings(described.categories)))
    return column

"""Obs columns of a store and of the sources that are appended to it, merged by the rule of a conversion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scformat import layout
from scformat.conversion.merge import merge, merge_as
from scformat.conversion.obs import ObsPlan, same_as_label, source_column
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.appending.existing import Existing
    from scformat.columns import Column, Kind
    from scformat.labels import LabelPlan
    from scformat.manifest import ObsColumn, SourceColumn


@dataclass(frozen=True, kw_only=True, eq=False)
class MergedColumn:
    """An obs column over the cells of a store and the appended ones.

    Attributes
    ----------
    name
        Its name.
    described
        What the store says of it, None where the column is new.
    fresh
        Of the appended cells; None where no appended source has it.
    kind, dtype
        Of all cells.
    categories
        Of a categorical without a label: those of all cells.
    label
        The label that has its codes and categories.
    older
        Of the store's cells, in the order of their rows, where they have to be written anew; None where what is
        there stays.
    """

    name: str
    described: ObsColumn | None
    fresh: ObsPlan | None
    kind: Kind
    dtype: str
    categories: tuple[str, ...] | None
    label: str | None
    older: ObsPlan | None = None


def merge_columns(
    existing: Existing, obs: Sequence[Mapping[str, Column]], n_cells: Sequence[int], labels: LabelPlan
) -> tuple[tuple[MergedColumn, ...], tuple[tuple[SourceColumn, ...], ...]]:
    """Merge the columns of a store and of appended sources, the store's first; and describe each new source's own.

    Parameters
    ----------
    existing
        The store.
    obs, n_cells
        Columns and cells of the appended sources.
    labels
        The store's labels with the codes of the appended cells.
    """
    merged = []
    by = () if existing.manifest.splits is None else existing.manifest.splits.by
    known = {c.name: c for c in existing.manifest.obs}
    own: list[dict[str, SourceColumn]] = [{} for _ in obs]
    for name in dict.fromkeys([*known, *(name for columns in obs for name in columns)]):
        fresh = [columns.get(name) for columns in obs]
        if name in by and known.get(name) is not None and known[name].kind == "integer":
            fresh = [_whole(c) for c in fresh]
        column = (
            _extended(existing, known[name], fresh, n_cells, labels, keeps_texts=name in by)
            if name in known
            else _new(name, fresh, n_cells)
        )
        merged.append(column)
        for described, columns in zip(own, obs, strict=True):
            if name in columns and column.fresh is not None:
                # Sorted ones alone may be left out of a record: as text the column would not keep another order.
                texts = column.categories
                whole = texts if texts is not None and list(texts) == sorted(texts, key=str.encode) else None
                described[name] = source_column(name, columns[name], replace(column.fresh.column, categories=whole))
    in_order = tuple(tuple(found[name] for name in columns) for found, columns in zip(own, obs, strict=True))
    return tuple(merged), in_order


def _new(name: str, fresh: Sequence[Column | None], n_cells: Sequence[int]) -> MergedColumn:
    column = merge(fresh, n_cells)
    return MergedColumn(
        name=name,
        described=None,
        fresh=ObsPlan(name=name, column=column, label=None),
        kind=column.kind,
        dtype=column.dtype,
        categories=column.categories,
        label=None,
    )


def _whole(column: Column | None) -> Column | None:
    """Take floats that are whole numbers for integers: a donor 1.0 is the donor 1."""
    if column is None or column.kind != "float" or isinstance(column.values, Strings):
        return column
    lost = np.isnan(column.values) | (False if column.mask is None else column.mask)
    values = np.where(lost, 0, column.values)
    if not (np.abs(values) <= 2**53).all() or (values != np.floor(values)).any():
        return column
    mask = lost if lost.any() else None
    return replace(column, kind="integer", dtype="int64", values=values.astype(np.int64), mask=mask)


def _extended(
    existing: Existing,
    described: ObsColumn,
    fresh: Sequence[Column | None],
    n_cells: Sequence[int],
    labels: LabelPlan,
    *,
    keeps_texts: bool,
) -> MergedColumn:
    """Merge a column of the store; `keeps_texts` where splits go by it: 1 must not become 1.0."""
    there = [c for c in fresh if c is not None]
    kind, dtype, older = described.kind, described.dtype, None
    kinds = {c.kind for c in existing.described(described.name) if c is not None} | {c.kind for c in there}
    types = {dtype, *(c.dtype for c in there)}
    if there and (kinds != {kind} or "uint64" in types):
        # Only the values themselves tell, and what a source's own texts were.
        before = existing.columns(described.name)
        whole = merge([*before, *fresh], [*map(len, existing.rows_of), *n_cells])
        kind, dtype = whole.kind, whole.dtype
        if keeps_texts and (described.kind, kind) == ("integer", "float"):
            kind = dtype = "string"
        if kind != described.kind:
            older = existing.in_row_order(merge_as(kind, before, [*map(len, existing.rows_of)]))
    elif kind in ("integer", "float") and len(types) > 1:
        dtype = "int64" if kind == "integer" else "float64"
    if kind == "categorical":
        return _categorical(existing, described, fresh, n_cells, labels, older)
    column = merge_as(kind, fresh, n_cells) if there else None
    return MergedColumn(
        name=described.name,
        described=described,
        fresh=None if column is None else ObsPlan(name=described.name, column=column, label=None),
        kind=kind,
        dtype=dtype,
        categories=None,
        label=None,
        older=None if older is None else ObsPlan(name=described.name, column=older, label=None),
    )


def _categorical(
    existing: Existing,
    described: ObsColumn,
    fresh: Sequence[Column | None],
    n_cells: Sequence[int],
    labels: LabelPlan,
    older: Column | None,
) -> MergedColumn:
    """Merge a categorical: the store's categories keep their places, new ones come after them."""
    name, label = described.name, described.label
    n = sum(n_cells)
    absent = all(c is None for c in fresh)
    column = None if absent else merge_as("categorical", fresh, n_cells)
    if label is not None:
        codes = np.concatenate(labels[label].codes)
        same = (codes < 0).all() if column is None else same_as_label(column, labels[label].categories, codes)
        if same:
            plain = None
            if column is not None:
                texts = labels[label].categories
                column = replace(column, values=np.broadcast_to(np.int32(layout.MISSING), n), categories=texts)
                plain = ObsPlan(name=name, column=column, label=label)
            return MergedColumn(
                name=name, described=described, fresh=plain, kind="categorical", dtype="string",
                categories=labels[label].categories, label=label,
            )  # fmt: skip
        # The label says something else of the appended cells: the column needs codes of its own.
        older = existing.store.obs_column(name, existing.every)
    if older is not None:
        known = older.categories or ()
    elif described.categories is not None:
        known = tuple(existing.store._storage.read_strings(described.categories))
    else:
        known = ()
    categories = known
    if column is not None:
        new = [text for text in column.categories or () if text not in set(known)]
        categories = (*known, *new)
        place = {text: i for i, text in enumerate(categories)}
        table = np.array([*(place[text] for text in column.categories or ()), layout.MISSING], np.int32)
        column = replace(column, values=table[column.codes], categories=categories)
    return MergedColumn(
        name=name,
        described=described,
        fresh=None if column is None else ObsPlan(name=name, column=column, label=None),
        kind="categorical",
        dtype="string",
        categories=categories,
        label=None,
        older=None if older is None else ObsPlan(name=name, column=replace(older, categories=categories), label=None),
    )

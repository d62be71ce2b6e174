"""How obs columns are laid out in a store, and what an export needs to give each source its own back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.manifest import ObsColumn, ObsValues, SourceColumn
from scformat.strings import Strings
from scformat.writing import write_array, write_strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.storage import Storage


@dataclass(frozen=True, kw_only=True, eq=False)
class ObsPlan:
    """A column of obs over all cells that are kept, in the order of the sources.

    Attributes
    ----------
    name
        Its name.
    column
        Its values.
    label
        Name of the label whose codes and categories are the very same; those are not stored twice.
    """

    name: str
    column: Column
    label: str | None


def same_as_label(column: Column, categories: Sequence[str], codes: NDArray[np.int32]) -> bool:
    """Whether a categorical column says of every cell, text by text, what a label says of it."""
    if column.categories is None or (codes < 0).sum() != (column.codes < 0).sum():
        return False
    place = {text: i for i, text in enumerate(categories)}
    table = np.array([*(place.get(text, layout.CODE_FILL) for text in column.categories), layout.MISSING], np.int32)
    return bool((table[column.codes] == codes).all())


def source_column(name: str, column: Column, merged: Column) -> SourceColumn:
    """Describe a column as its source has it.

    Categories are left out where they are those of the merged column, in its order, and the source's cells hold each.
    """
    categories = None
    if column.categories is not None:
        held = len(np.unique(column.codes[column.codes >= 0])) == len(column.categories)
        if not held or column.categories != merged.categories:
            categories = list(column.categories)
    return SourceColumn(
        name=name,
        kind=column.kind,
        dtype=column.dtype,
        nullable=column.nullable,
        ordered=column.ordered,
        categories=categories,
    )


def write_column(storage: Storage, path: str, plan: ObsPlan, order: NDArray[np.int64] | None) -> ObsValues:
    """Write the values of a column in the order of the part."""
    column = plan.column if order is None else plan.column.take(order)
    n = len(column)
    missing = None
    if column.mask is not None:
        missing = write_array(
            storage, layout.per_cell(f"{path}/missing", "uint8", n, fill=layout.FLAG_FILL), column.mask.astype(np.uint8)
        )
    if isinstance(column.values, Strings):
        return ObsValues(strings=write_strings(storage, f"{path}/text", column.values), missing=missing)
    if column.categories is not None:
        if plan.label is not None:
            return ObsValues()
        codes = write_array(storage, layout.per_cell(f"{path}/codes", "int32", n), column.codes)
        return ObsValues(codes=codes)
    values = stored_values(column.values, column.mask)
    fill = layout.FLAG_FILL if column.kind == "boolean" else layout.absent_value(values)
    spec = layout.per_cell(f"{path}/values", values.dtype.name, n, fill=fill)
    return ObsValues(values=write_array(storage, spec, values), missing=missing)


def stored_values(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> NDArray[Any]:
    """Return values in the type they are stored in, zero where masked.

    Booleans are 0 and 1; integers take 32 bits where they and a fill value fit.
    """
    if mask is not None and mask.any():
        values = np.where(mask, values.dtype.type(0), values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        return values if values.dtype.itemsize >= 4 else values.astype(np.float32)
    small = np.iinfo(np.int32)
    if len(values) == 0 or (int(values.max()) <= small.max and int(values.min()) > small.min):
        return values.astype(np.int32)
    return values


def obs_column(plan: ObsPlan, categories_path: str, storage: Storage) -> ObsColumn:
    """Describe a column for the manifest; writes the categories that no label holds."""
    categories = None
    if plan.column.categories is not None and plan.label is None:
        categories = write_strings(storage, categories_path, Strings.of(plan.column.categories))
    column = plan.column
    return ObsColumn(name=plan.name, kind=column.kind, dtype=column.dtype, categories=categories, label=plan.label)

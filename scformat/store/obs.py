"""Obs columns of a store as typed columns and as pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.columns import Column
from scformat.store.fetch import read_at
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.manifest import ObsColumn, ObsValues, SourceColumn, StringArray
    from scformat.storage import Storage


def read_column(
    storage: Storage, described: ObsColumn, values: ObsValues | None, rows: NDArray[np.int64], n_cells: int
) -> Column:
    """Read a column of one part for some of its rows; `values` is None where the part has no such column."""
    if values is None:
        return absent_column(described, len(rows))
    mask = None
    if values.missing is not None:
        mask = read_at(storage, values.missing, rows).astype(np.bool_)
    if values.strings is not None:
        strings = read_strings_at(storage, values.strings, rows, n_cells)
        return Column(kind="string", dtype="string", values=strings, mask=mask)
    if values.codes is not None:
        codes = read_at(storage, values.codes, rows)
        return Column(kind="categorical", dtype=described.dtype, values=codes, categories=())
    if values.values is None:
        raise TypeError(described.name)
    return Column(
        kind=described.kind, dtype=described.dtype, values=read_at(storage, values.values, rows).astype(described.dtype), mask=mask
    )


def absent_column(described: ObsColumn, n: int) -> Column:
    """A column of `n` missing values."""
    mask = np.ones(n, np.bool_)
    if described.kind == "categorical":
        return Column(kind="categorical", dtype="string", values=np.full(n, -1, np.int32), categories=())
    if described.kind == "string":
        empty = Strings(data=np.empty(0, np.uint8), offsets=np.zeros(n + 1, np.int64))
        return Column(kind="string", dtype="string", values=empty, mask=mask)
    return Column(kind=described.kind, dtype=described.dtype, values=np.zeros(n, described.dtype), mask=mask)


def read_strings_at(storage: Storage, strings: StringArray, rows: NDArray[np.int64], n: int) -> Strings:
    """Read some strings; many of them at once by reading all."""
    if len(rows) * 8 > n:
        return storage.read_strings(strings).take(rows)
    ends = read_at(storage, strings.offsets, np.concatenate([rows, rows + 1]))
    starts, stops = ends[: len(rows)], ends[len(rows) :]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(stops - starts)])
    places = np.repeat(starts - offsets[:-1], stops - starts) + np.arange(offsets[-1])
    data = read_at(storage, strings.bytes, places) if len(places) else np.empty(0, np.uint8)
    return Strings(data=data, offsets=offsets)


def to_pandas(column: Column, restore: SourceColumn | None = None) -> pd.Series[Any]:
    """Return a column as pandas has it: nullable types where values are missing, categoricals as categoricals.

    `restore` gives it the type, the categories and their order that a source had.
    """
    import pandas as pd

    if column.categories is not None:
        return pd.Series(_categorical(column, restore))
    if restore is not None and restore.kind == "categorical":
        raise TypeError(restore.name)
    if isinstance(column.values, Strings):
        if restore is not None and restore.kind != "string":
            return _parsed(column, restore)
        texts = column.values.to_numpy()
        if restore is not None and restore.nullable:
            return pd.Series(pd.array(np.where(mask_of(column), None, texts), dtype="string"))
        if column.mask is not None:
            texts[column.mask] = None if restore is not None else np.nan
        return pd.Series(texts, dtype=object)
    values = column.values if restore is None else column.values.astype(restore.dtype)
    nullable = restore.nullable if restore is not None else column.mask is not None
    if not nullable:
        return pd.Series(values)
    mask = mask_of(column)
    if column.kind == "boolean":
        return pd.Series(pd.arrays.BooleanArray(values, mask))
    if column.kind == "integer":
        return pd.Series(pd.arrays.IntegerArray(values, mask))
    return pd.Series(pd.arrays.FloatingArray(values, mask))


def mask_of(column: Column) -> NDArray[np.bool_]:
    """Where values are missing, all False where none can be."""
    return np.zeros(len(column), np.bool_) if column.mask is None else column.mask


def agreed(columns: Sequence[SourceColumn]) -> SourceColumn | None:
    """What all sources that have a column say of it, or None where they differ."""
    first = columns[0] if columns else None
    return first if all(c == first for c in columns) else None


def parse_category(text: str, dtype: str) -> Any:  # noqa: ANN401 (a value of any type)
    """Read a category back in the type it had."""
    if dtype == "string":
        return text
    if dtype == "bool":
        return text == "True"
    return np.dtype(dtype).type(text)


def _categorical(column: Column, restore: SourceColumn | None) -> pd.Categorical:
    import pandas as pd

    present = column.categories or ()
    codes = column.codes
    if restore is not None and restore.kind == "string":
        texts = np.array([*present, None], object)
        return texts[codes]
    wanted = list(present)
    ordered = False
    if restore is not None:
        used = np.bincount(codes[codes >= 0], minlength=len(present)) > 0
        kept = [c for c, there in zip(present, used, strict=True) if there]
        wanted = kept if restore.categories is None else restore.categories
        ordered = restore.ordered
        place = {text: i for i, text in enumerate(wanted)}
        table = np.array([*(place.get(text, -1) for text in present), -1], np.int32)
        codes = table[codes]
    dtype = "string" if restore is None else restore.dtype
    categories = pd.Index([parse_category(c, dtype) for c in wanted], dtype=object if dtype == "string" else dtype)
    return pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)


def _parsed(column: Column, restore: SourceColumn) -> pd.Series[Any]:
    """Numbers and booleans that share a column of text with others."""
    import pandas as pd

    mask = mask_of(column)
    parsed = [parse_category(t or "0", restore.dtype) for t in (column.values if isinstance(column.values, Strings) else ())]
    values = np.array(parsed, restore.dtype)
    if not restore.nullable:
        return pd.Series(values)
    array = pd.arrays.BooleanArray if restore.kind == "boolean" else pd.arrays.IntegerArray
    return pd.Series(array(values, mask))

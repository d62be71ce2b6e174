"""Obs columns of a store as typed columns and as pandas."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.columns import Column
from scformat.errors import DamagedDataError, InvalidDataError
from scformat.store.codes import check_codes
from scformat.store.fetch import read_at
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.manifest import ObsColumn, ObsValues, SourceColumn, StringArray
    from scformat.storage import Storage


_ANY_BYTES = 1 << 20
"""So many bytes of strings are believed; of more the files have to hold all before places are listed."""


def read_column(
    storage: Storage,
    described: ObsColumn,
    values: ObsValues | None,
    rows: NDArray[np.int64],
    n_cells: int,
    *,
    first: int = 0,
) -> Column:
    """Read a column of one part for some of its rows; `values` is None where the part has no such column.

    Parameters
    ----------
    n_cells
        Of the part.
    first
        Row of the store that the part begins with, for errors.

    Raises
    ------
    DamagedDataError
        A chunk is missing or damaged; the cells are named.
    """
    cells = first + rows
    if values is None:
        return absent_column(described, len(rows))
    mask = None
    if values.missing is not None:
        mask = read_at(storage, values.missing, rows, cells=cells).astype(np.bool_)
    if values.strings is not None:
        strings = read_strings_at(storage, values.strings, rows, n_cells, first=first)
        return Column(kind="string", dtype="string", values=strings, mask=mask)
    if values.codes is not None:
        codes = read_at(storage, values.codes, rows, cells=cells)
        n = 0 if described.categories is None else described.categories.n
        check_codes(codes, range(-1, n), where=storage.at(values.codes.path))
        return Column(kind="categorical", dtype=described.dtype, values=codes, categories=())
    if values.values is None:
        raise TypeError(described.name)  # the structure says so
    return Column(
        kind=described.kind,
        dtype=described.dtype,
        values=read_at(storage, values.values, rows, cells=cells).astype(described.dtype),
        mask=mask,
    )


def absent_column(described: ObsColumn, n: int) -> Column:
    """Return a column of `n` missing values."""
    mask = np.ones(n, np.bool_)
    if described.kind == "categorical":
        return Column(kind="categorical", dtype="string", values=np.full(n, -1, np.int32), categories=())
    if described.kind == "string":
        empty = Strings(data=np.empty(0, np.uint8), offsets=np.zeros(n + 1, np.int64))
        return Column(kind="string", dtype="string", values=empty, mask=mask)
    return Column(kind=described.kind, dtype=described.dtype, values=np.zeros(n, described.dtype), mask=mask)


def read_categories(storage: Storage, strings: StringArray) -> tuple[str, ...]:
    """Read categories, no two alike."""
    found = tuple(storage.read_strings(strings))
    if len(set(found)) < len(found):
        where = storage.at(strings.bytes.path)
        raise InvalidDataError("bad-categories", "a category twice", where=where, hint="run scformat validate")
    return found


def read_strings_at(
    storage: Storage, strings: StringArray, rows: NDArray[np.int64], n: int, *, first: int = 0
) -> Strings:
    """Read some strings; many of them at once by reading all.

    Parameters
    ----------
    n
        How many strings there are.
    first
        Row of the store that the first of them is of, for errors.
    """
    if len(rows) * 8 > n:
        with suppress(DamagedDataError):  # which of the strings that are wanted it concerns is found out below
            return storage.read_strings(strings).take(rows)
    distinct, place = np.unique(rows, return_inverse=True)
    cells = first + distinct
    ends = read_at(
        storage, strings.offsets, np.concatenate([distinct, distinct + 1]), cells=np.concatenate([cells, cells])
    )
    starts, stops = ends[: len(distinct)], ends[len(distinct) :]
    n_bytes = strings.bytes.shape[0]
    if (starts < 0).any() or (stops < starts).any() or (starts[1:] < stops[:-1]).any() or (stops > n_bytes).any():
        where = storage.at(strings.offsets.path)
        raise InvalidDataError("bad-offsets", "string offsets do not fit their bytes", where=where)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(stops - starts)])
    if offsets[-1] > _ANY_BYTES:
        storage.require(strings.bytes)
    places = np.repeat(starts - offsets[:-1], stops - starts) + np.arange(offsets[-1])
    each = np.repeat(cells, stops - starts)
    data = read_at(storage, strings.bytes, places, cells=each) if len(places) else np.empty(0, np.uint8)
    return storage.checked_text(strings, Strings(data=data, offsets=offsets)).take(place)


def to_pandas(column: Column, restore: SourceColumn | None = None) -> pd.Series[Any]:
    """Return a column as pandas has it: nullable types where values are missing, categoricals as categoricals.

    `restore` gives it the type, the categories and their order that a source had.

    Raises
    ------
    InvalidDataError
        ``bad-source-record``: the source cannot have had the type or the categories that its record says.
    """
    try:
        return _to_pandas(column, restore)
    except (ValueError, TypeError, OverflowError) as error:
        if restore is None:
            raise
        what = "values that the source cannot have had"
        raise InvalidDataError("bad-source-record", what, where=f"column {restore.name!r}", found=error) from None


def _to_pandas(column: Column, restore: SourceColumn | None) -> pd.Series[Any]:
    if column.categories is not None:
        return _from_categorical(column, restore)
    if isinstance(column.values, Strings):
        return _from_text(column.values, mask_of(column), restore)
    values = column.values if restore is None else _cast(column.values, mask_of(column), restore.dtype)
    nullable = restore.nullable if restore is not None else column.mask is not None
    return _from_numbers(values, mask_of(column) if nullable else None)


def mask_of(column: Column) -> NDArray[np.bool_]:
    """Where values are missing, all False where none can be."""
    return np.zeros(len(column), np.bool_) if column.mask is None else column.mask


def agreed(columns: Sequence[SourceColumn]) -> SourceColumn | None:
    """Return what all sources that have a column say of it, None where they differ."""
    first = columns[0] if columns else None
    return first if all(c == first for c in columns) else None


def with_categories(described: SourceColumn, whole: Column) -> SourceColumn:
    """Say a source's categories where its record leaves them out: those of its cells, in the store's order.

    `whole` is the store's column over all cells of the source. Where it is text, they are in the order of their bytes.
    """
    if described.kind != "categorical" or described.categories is not None:
        return described
    if whole.categories is not None:
        held = np.unique(whole.codes[whole.codes >= 0]).tolist()
        return described.model_copy(update={"categories": [whole.categories[code] for code in held]})
    there = whole.values if isinstance(whole.values, Strings) else ()
    texts = {text for text, lost in zip(there, mask_of(whole).tolist(), strict=True) if not lost}
    return described.model_copy(update={"categories": sorted(texts, key=str.encode)})


def parse_category(text: str, dtype: str) -> Any:
    """Read a category back in the type it had."""
    if dtype == "string":
        return text
    if dtype == "bool":
        return text == "True"
    return np.dtype(dtype).type(text)


def _cast(values: NDArray[Any], mask: NDArray[np.bool_], dtype: str) -> NDArray[Any]:
    """Values in the type a source had; what stands where a value is missing (NaN) need not fit it."""
    absent = values.dtype.type(np.nan if np.dtype(dtype).kind == "f" else 0)
    return np.where(mask, absent, values).astype(dtype)


def _from_numbers(values: NDArray[Any], mask: NDArray[np.bool_] | None) -> pd.Series[Any]:
    """Numbers or booleans; with a mask in a nullable type."""
    import pandas as pd

    if mask is None:
        return pd.Series(values)
    if values.dtype.kind == "b":
        return pd.Series(pd.arrays.BooleanArray(values, mask))
    if values.dtype.kind == "f":
        return pd.Series(pd.arrays.FloatingArray(values, mask))
    return pd.Series(pd.arrays.IntegerArray(values, mask))


def _from_text(strings: Strings, mask: NDArray[np.bool_], restore: SourceColumn | None) -> pd.Series[Any]:
    """Text, or what a source had before its values shared a column of text with those of others."""
    import pandas as pd

    texts = strings.to_numpy()
    if restore is None:
        texts[mask] = np.nan
        return pd.Series(texts, dtype=object)
    if restore.kind in ("string", "categorical"):
        texts[mask] = None
        if restore.kind == "string":
            return pd.Series(pd.array(texts, dtype="string")) if restore.nullable else pd.Series(texts, dtype=object)
        values = [None if t is None else parse_category(t, restore.dtype) for t in texts.tolist()]
        return pd.Series(
            pd.Categorical(values, _categories(restore.categories or (), restore), ordered=restore.ordered)
        )
    absent = "nan" if restore.kind == "float" and not restore.nullable else "0"
    numbers = [parse_category(absent if lost else t, restore.dtype) for t, lost in zip(texts, mask, strict=True)]
    return _from_numbers(np.array(numbers, restore.dtype), mask if restore.nullable else None)


def _from_categorical(column: Column, restore: SourceColumn | None) -> pd.Series[Any]:
    import pandas as pd

    present, codes = column.categories or (), column.codes
    if restore is None:
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(present, dtype=object)))
    if restore.kind == "string":
        texts = np.array([*present, None], object)[codes]
        return pd.Series(pd.array(texts, dtype="string")) if restore.nullable else pd.Series(texts, dtype=object)
    wanted = present if restore.categories is None else restore.categories
    place = {text: i for i, text in enumerate(wanted)}
    table = np.array([*(place.get(text, -1) for text in present), -1], np.int32)
    return pd.Series(pd.Categorical.from_codes(table[codes], _categories(wanted, restore), ordered=restore.ordered))


def _categories(texts: Sequence[str], restore: SourceColumn) -> pd.Index[Any]:
    import pandas as pd

    values = [parse_category(text, restore.dtype) for text in texts]
    index: pd.Index[Any] = pd.Index(values, dtype=object if restore.dtype == "string" else restore.dtype)
    return index

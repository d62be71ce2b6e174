"""One obs column of several sources becomes one column: the type that holds every source's values exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.columns import Column
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.columns import Kind

_EXACT = 2**53


def merge(columns: Sequence[Column | None], n_cells: Sequence[int]) -> Column:
    """Join a column of consecutive sources end to end.

    Parameters
    ----------
    columns
        The column in each source, None where it has none; at least one is there.
    n_cells
        Cells of each source.

    Returns
    -------
    Column
        Text and categorical give categorical, integers and floats float, other mixtures text. A source without
        the column gives missing values.
    """
    return merge_as(merged_kind([c for c in columns if c is not None]), columns, n_cells)


def merge_as(kind: Kind, columns: Sequence[Column | None], n_cells: Sequence[int]) -> Column:
    """Join columns as :func:`merge` does, to a column of a kind that holds all of them."""
    there = [c for c in columns if c is not None]
    if kind == "categorical":
        return _categorical(columns, n_cells)
    if kind == "string":
        pieces = [_texts(c, n) for c, n in zip(columns, n_cells, strict=True)]
        lost = np.concatenate([gone for _, gone in pieces])
        values = Strings.concatenate([texts for texts, _ in pieces])
        return Column(kind="string", dtype="string", values=values, mask=lost if lost.any() else None)
    dtype = _number_type(there, kind)
    parts = [
        np.zeros(n, dtype) if c is None else _array(c).astype(dtype) for c, n in zip(columns, n_cells, strict=True)
    ]
    mask = _mask(columns, n_cells)
    if kind == "float" and all(c.mask is None for c in there):
        # A float says missing with NaN unless a source had a nullable type.
        for part, column in zip(parts, columns, strict=True):
            if column is None:
                part[:] = np.nan
        mask = None
    elif kind == "float" and mask is not None:
        # Beside a nullable column the NaN of a plain one means missing too.
        mask |= np.isnan(np.concatenate(parts))
    return Column(kind=kind, dtype=np.dtype(dtype).name, values=np.concatenate(parts), mask=mask)


def merged_kind(columns: Sequence[Column]) -> Kind:
    """Kind of the column that holds all of `columns`."""
    kinds = {c.kind for c in columns}
    if kinds == {"integer"}:
        return "integer" if _common_integer(columns) else "string"
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {"string", "categorical"}:
        return "categorical"
    if kinds == {"integer", "float"} and all(_exact(c) for c in columns if c.kind == "integer"):
        return "float"
    return "string"


def column_texts(column: Column) -> list[str | None]:
    """Values of a column as text: numbers in their shortest exact notation, None where missing."""
    if column.categories is not None:
        return [column.categories[c] if c >= 0 else None for c in column.codes.tolist()]
    if isinstance(column.values, Strings):
        texts: list[str | None] = list(column.values)
    else:
        # Python's own numbers: str of a float is its shortest exact notation.
        texts = [str(v) for v in column.values.tolist()]
    lost = np.zeros(len(column), np.bool_) if column.mask is None else column.mask
    if column.kind == "float":
        lost = lost | np.isnan(_array(column))
    return [None if gone else text for text, gone in zip(texts, lost.tolist(), strict=True)]


def codes_and_texts(column: Column) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Return a column of any kind as codes, -1 missing, and the texts they stand for."""
    if column.categories is not None:
        return column.codes, column.categories
    texts = column_texts(column)
    categories = tuple(sorted({t for t in texts if t is not None}))
    place = {text: i for i, text in enumerate(categories)}
    return np.array([-1 if t is None else place[t] for t in texts], np.int32), categories


def _common_integer(columns: Sequence[Column]) -> bool:
    """Whether one type holds all of some integer columns."""
    arrays = [_array(c) for c in columns]
    beyond = any(int(a.max(initial=0)) > np.iinfo(np.int64).max for a in arrays)
    return not beyond or all(int(a.min(initial=0)) >= 0 for a in arrays)


def _exact(column: Column) -> bool:
    values = _array(column)
    return not len(values) or (int(values.max()) <= _EXACT and int(values.min()) >= -_EXACT)


def _array(column: Column) -> NDArray[Any]:
    if isinstance(column.values, Strings):
        raise TypeError(column.kind)
    return column.values


def _number_type(columns: Sequence[Column], kind: Kind) -> np.dtype[Any]:
    if kind == "boolean":
        return np.dtype(np.bool_)
    types = {c.dtype for c in columns}
    if len(types) == 1 and {c.kind for c in columns} == {kind}:
        return np.dtype(types.pop())
    if kind == "float":
        return np.dtype(np.float64)
    if any(_array(c).dtype == np.uint64 and _array(c).max(initial=0) > np.iinfo(np.int64).max for c in columns):
        return np.dtype(np.uint64)
    return np.dtype(np.int64)


def _mask(columns: Sequence[Column | None], n_cells: Sequence[int]) -> NDArray[np.bool_] | None:
    if all(c is not None and c.mask is None and c.kind != "categorical" for c in columns):
        return None
    parts = []
    for column, n in zip(columns, n_cells, strict=True):
        if column is None:
            parts.append(np.ones(n, np.bool_))
        elif column.categories is not None:
            parts.append(column.codes < 0)
        else:
            parts.append(np.zeros(n, np.bool_) if column.mask is None else column.mask)
    return np.concatenate(parts)


def _texts(column: Column | None, n: int) -> tuple[Strings, NDArray[np.bool_]]:
    """Return a column as text, and where it has no value."""
    if column is None:
        return Strings(data=np.empty(0, np.uint8), offsets=np.zeros(n + 1, np.int64)), np.ones(n, np.bool_)
    if isinstance(column.values, Strings):
        return column.values, np.zeros(n, np.bool_) if column.mask is None else column.mask
    texts = column_texts(column)
    return Strings.of(text or "" for text in texts), np.array([text is None for text in texts], np.bool_)


def _categorical(columns: Sequence[Column | None], n_cells: Sequence[int]) -> Column:
    """Categories sorted by their UTF-8 bytes, only those that a cell holds."""
    parts: list[tuple[NDArray[np.int32], list[str]]] = []
    for column, n in zip(columns, n_cells, strict=True):
        if column is None:
            parts.append((np.full(n, -1, np.int32), []))
        elif column.categories is not None:
            parts.append((column.codes, list(column.categories)))
        else:
            texts = column_texts(column)
            known = sorted({t for t in texts if t is not None})
            place = {t: i for i, t in enumerate(known)}
            parts.append((np.array([-1 if t is None else place[t] for t in texts], np.int32), known))
    held = set()
    for codes, names in parts:
        used = np.bincount(codes[codes >= 0], minlength=len(names)) > 0
        held |= {name for name, there in zip(names, used, strict=True) if there}
    categories = tuple(sorted(held, key=str.encode))
    place = {name: i for i, name in enumerate(categories)}
    joined = []
    for codes, names in parts:
        table = np.array([*(place.get(name, -1) for name in names), -1], np.int32)
        joined.append(table[codes])
    return Column(kind="categorical", dtype="string", values=np.concatenate(joined), categories=categories)

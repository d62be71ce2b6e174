"""The answer of one condition for every cell of a column.

An answer is a uint8 array of ``FALSE < UNKNOWN < TRUE``, so that *and* is the minimum, *or* the maximum
and *not* ``TRUE - x``.
"""

from __future__ import annotations

import math
import operator
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np

from scformat.expression.conditions import BOOLEAN_TEXT, ColumnType
from scformat.expression.tree import Compare, Condition, In, Missing, Op, Under, Value
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from numpy.typing import NDArray

    from scformat.columns import Column

Bools: TypeAlias = "NDArray[np.bool_]"
Answers: TypeAlias = "NDArray[np.uint8]"

FALSE, UNKNOWN, TRUE = np.uint8(0), np.uint8(1), np.uint8(2)

_FEW: Final = 8
_COMPARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Lookup(Protocol):
    """Where an expression finds its columns."""

    def column(self, name: str) -> Column:
        """Values of one column; an unknown name is an :func:`scformat.errors.unknown_name`."""

    def under(self, name: str, term: str) -> Set[int]:
        """Return the indices of the categories of `name` that are `term` or below it; an unknown term is an error."""


class _Values(Protocol):
    """What a condition is asked of: the cells of a column, or the categories that stand for them."""

    def equal(self, wanted: Sequence[Value]) -> Bools:
        """Which are among `wanted`."""

    def ordered(self, op: Op, value: Value) -> Bools:
        """Which stand in the order `op` to `value`."""


def answer(condition: Condition, column: Column, lookup: Lookup) -> Answers:
    """Answer a condition that passed the check of its column's type; uint8, shape (n,)."""
    if column.kind == "categorical":
        return _answer_categorical(condition, column, lookup)
    missing = _missing(column)
    if isinstance(condition, Missing):
        return np.zeros(len(column), np.uint8) if missing is None else missing * TRUE
    out = _decide(condition, _cells(column)) * TRUE
    if missing is not None:
        out[missing] = UNKNOWN
    return out


def _answer_categorical(condition: Condition, column: Column, lookup: Lookup) -> Answers:
    """One answer a category, then one look-up a cell; code -1 takes the table's last entry, which is for missing."""
    categories = column.categories or ()
    table = np.full(len(categories) + 1, FALSE)
    table[-1] = UNKNOWN
    if isinstance(condition, Missing):
        table[-1] = TRUE
    elif isinstance(condition, Under):
        table[sorted(lookup.under(condition.name, condition.term))] = TRUE
    else:
        table[:-1] = _decide(condition, _Categories(categories, ColumnType.of(column))) * TRUE
    return np.asarray(table[column.codes])


def _missing(column: Column) -> Bools | None:
    if column.kind != "float" or isinstance(column.values, Strings):
        return column.mask
    absent: Bools = np.isnan(column.values)
    return absent if column.mask is None else absent | column.mask


def _decide(condition: Condition, values: _Values) -> Bools:
    match condition:
        case In(_, wanted):
            return values.equal(wanted)
        case Compare(_, "==", value):
            return values.equal((value,))
        case Compare(_, "!=", value):
            return ~values.equal((value,))
        case Compare(_, op, value):
            return values.ordered(op, value)
        case _:
            return values.equal((True,))


def _cells(column: Column) -> _Values:
    if isinstance(column.values, Strings):
        return _Texts(column.values)
    return _Booleans(column.values) if column.kind == "boolean" else _Numbers(column.values)


class _Booleans:
    def __init__(self, array: Bools) -> None:
        self._array = array

    def equal(self, wanted: Sequence[Value]) -> Bools:
        asked = {BOOLEAN_TEXT[w.lower()] if isinstance(w, str) else w for w in wanted}
        if len(asked) == 2:
            return np.ones(len(self._array), bool)
        return self._array if True in asked else ~self._array

    def ordered(self, op: Op, value: Value) -> Bools:
        raise AssertionError(op)  # refused by the check of types


class _Numbers:
    """Integers compare exactly, with a fraction too; floats with the number rounded to their own precision."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array

    def equal(self, wanted: Sequence[Value]) -> Bools:
        found = [n for n in map(self._nearest, wanted) if n is not None]
        if len(found) > _FEW:
            return np.isin(self._array, np.array(found, self._array.dtype))
        out = np.zeros(len(self._array), bool)
        for number in found:
            out |= self._array == number
        return out

    def _nearest(self, value: Value) -> Any:
        """Return the number that an equal element holds, or None where the type has none."""
        dtype = self._array.dtype
        if dtype.kind == "f":
            number = _rounded(value, dtype)
            return number if np.isfinite(number) else None
        if isinstance(value, float) and not value.is_integer():
            return None
        whole = int(value)
        return whole if np.iinfo(dtype).min <= whole <= np.iinfo(dtype).max else None

    def ordered(self, op: Op, value: Value) -> Bools:
        array, compare = self._array, _COMPARE[op]
        if array.dtype.kind == "f":
            number = _rounded(value, array.dtype)
            if np.isfinite(number):
                return np.asarray(compare(array, number))
            return np.asarray(compare(array.astype(np.float64), float(value)))
        # x < 2.5 is x < 3 and x <= 2.5 is x <= 2.
        whole = math.ceil(float(value)) if isinstance(value, float) and op in ("<", ">=") else math.floor(_real(value))
        if whole > np.iinfo(array.dtype).max:
            return np.full(len(array), op in ("<", "<="))
        if whole < np.iinfo(array.dtype).min:
            return np.full(len(array), op in (">", ">="))
        return np.asarray(compare(array, whole))


def _real(value: Value) -> int | float:
    assert not isinstance(value, str)
    return value


def _rounded(value: Value, dtype: np.dtype[Any]) -> Any:
    with np.errstate(over="ignore"):
        return dtype.type(float(value))


class _Texts:
    """Cells of a string column."""

    def __init__(self, strings: Strings) -> None:
        self._strings = strings

    def equal(self, wanted: Sequence[Value]) -> Bools:
        encoded = {str(w).encode() for w in wanted}
        if len(encoded) > _FEW:
            return np.fromiter((piece in encoded for piece in self._pieces()), bool, len(self._strings))
        out = np.zeros(len(self._strings), bool)
        data, starts, lengths = self._strings.data, self._strings.offsets[:-1], np.diff(self._strings.offsets)
        for text in encoded:
            rows = np.flatnonzero(lengths == len(text))
            # Byte by byte over the rows still equal: few are left after the first bytes.
            for at, byte in enumerate(text):
                rows = rows[data[starts[rows] + at] == byte]
            out[rows] = True
        return out

    def ordered(self, op: Op, value: Value) -> Bools:
        # The order of UTF-8 bytes is that of the code points.
        compare, text = _COMPARE[op], str(value).encode()
        return np.fromiter((compare(piece, text) for piece in self._pieces()), bool, len(self._strings))

    def _pieces(self) -> list[bytes]:
        raw, offsets = self._strings.data.tobytes(), self._strings.offsets.tolist()
        return [raw[start:stop] for start, stop in pairwise(offsets)]


class _Categories:
    """Categories compare as what they are and, for equality, as the text they are written in."""

    def __init__(self, categories: Sequence[str], kind: ColumnType) -> None:
        self._texts = categories
        self._family = kind.family
        self._dtype = kind.dtype

    def equal(self, wanted: Sequence[Value]) -> Bools:
        if self._family == "boolean":
            return self._booleans().equal(wanted)
        texts = {w for w in wanted if isinstance(w, str)}
        out = np.array([c in texts for c in self._texts], bool)
        booleans = [w for w in wanted if isinstance(w, bool)]
        if booleans:
            out |= self._booleans().equal(booleans)
        numbers = [w for w in wanted if not isinstance(w, str | bool)]
        if numbers:
            out |= self._numbers().equal(numbers)
        return out

    def ordered(self, op: Op, value: Value) -> Bools:
        if isinstance(value, str):
            return np.array([_COMPARE[op](c, value) for c in self._texts], bool)
        return self._numbers().ordered(op, value)

    def _booleans(self) -> _Booleans:
        return _Booleans(np.array([c.lower() == "true" for c in self._texts], bool))

    def _numbers(self) -> _Numbers:
        read = float if self._family == "float" else int
        return _Numbers(np.array([read(c) for c in self._texts], self._dtype))

"""Any column as codes into texts, and the merging of several sources' texts into categories.

The work is on distinct values: cells are touched twice, once to count and once to write their codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from scformat.errors import InvalidDataError
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from scformat.columns import Column


Value = TypeVar("Value", bound=Hashable)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coded(Generic[Value]):
    """Values of the cells of one source.

    Attributes
    ----------
    values
        The values that codes stand for, in any order, some perhaps without a cell, some perhaps twice.
    codes : integer array, shape (n_cells,)
        Position in `values`, -1 missing.
    cells : int64 array, shape (n_values,)
        Cells of each value.
    """

    values: tuple[Value, ...]
    codes: NDArray[Any]
    cells: NDArray[np.int64]

    def used(self) -> Counter[Value]:
        """Cells of each value that has some."""
        found: Counter[Value] = Counter()
        for i in np.flatnonzero(self.cells).tolist():
            found[self.values[i]] += int(self.cells[i])
        return found

    @property
    def n_missing(self) -> int:
        """Cells without a value."""
        return len(self.codes) - int(self.cells.sum())

    def filled(self, value: Value) -> Coded[Value]:
        """Give the cells without a value this one."""
        n_missing, new = self.n_missing, len(self.values)
        if n_missing == 0:
            return self
        if n_missing == len(self.codes):
            codes = repeated(new, len(self.codes))
        else:
            codes = np.where(self.codes < 0, np.int32(new), self.codes)
        return Coded(values=(*self.values, value), codes=codes, cells=np.append(self.cells, n_missing))

    def translated(self, position: Mapping[Value, int]) -> NDArray[np.int32]:
        """Codes with each value at its `position`, missing where it has none; read only."""
        table = np.full(len(self.values) + 1, -1, np.int32)
        table[:-1] = [position.get(value, -1) for value in self.values]
        if self.codes.strides == (0,):
            return repeated(int(table[self.codes[0]]) if len(self.codes) else -1, len(self.codes))
        # Code -1 takes the last entry of the table, which is the missing one.
        codes: NDArray[np.int32] = table[self.codes]
        codes.flags.writeable = False
        return codes


def no_values(n_cells: int) -> Coded[Any]:
    """All cells without a value."""
    return Coded(values=(), codes=repeated(-1, n_cells), cells=np.zeros(0, np.int64))


def repeated(code: int, n_cells: int) -> NDArray[np.int32]:
    """One code for all cells, without memory of its own; read only."""
    codes: NDArray[np.int32] = np.broadcast_to(np.int32(code), (n_cells,))
    return codes


def count_codes(codes: NDArray[np.integer[Any]], n: int) -> NDArray[np.int64]:
    """Cells of each code ``0..n-1``; -1 is left out.

    Raises
    ------
    InvalidDataError
        ``bad-code``: a code below -1 or at or above `n`.
    """
    if len(codes) and (int(codes.min()) < -1 or int(codes.max()) >= n):
        raise InvalidDataError("bad-code", "a categorical's code is out of range", expected=f"-1 to {n - 1}")
    return np.bincount(codes + 1, minlength=n + 1)[1:].astype(np.int64, copy=False)


def code_column(column: Column) -> Coded[str]:
    """Take a column of any kind as texts; a float's NaN is missing."""
    values = column.values
    if column.kind == "categorical":
        assert column.categories is not None  # Column's own contract
        codes = column.codes
        return Coded(values=column.categories, codes=codes, cells=count_codes(codes, len(column.categories)))
    if isinstance(values, Strings):
        seen: dict[str, int] = {}
        codes = np.fromiter((seen.setdefault(text, len(seen)) for text in values), np.int32, len(values))
        texts = tuple(seen)
    else:
        distinct, inverse = np.unique(values, return_inverse=True)
        codes = inverse.astype(np.int32)
        shortest = repr if column.kind == "float" else str
        texts = tuple(shortest(value) for value in distinct.tolist())
        if column.kind == "float":
            codes[np.isnan(values)] = -1
    if column.mask is not None:
        codes[column.mask] = -1
    return Coded(values=texts, codes=codes, cells=count_codes(codes, len(texts)))


def sorted_categories(used: Iterable[Mapping[str, int]]) -> tuple[str, ...]:
    """All texts that some cell has, by their UTF-8 bytes: the same whatever the sources' order or the hash seed."""
    return tuple(sorted({text for texts in used for text in texts}, key=str.encode))

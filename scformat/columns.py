"""A typed column of per-cell values, between the files that bring it and the store that keeps it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scformat.strings import Strings

if TYPE_CHECKING:
    from numpy.typing import NDArray

Kind = Literal["integer", "float", "boolean", "string", "categorical"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """One obs column of one source.

    Attributes
    ----------
    kind
        What the values are.
    dtype
        numpy name of the values' type in the source (``int64``, ``float32``, ``bool``, ``string``); for a
        categorical, the type of its categories.
    values
        ``integer``, ``float``, ``boolean``: an array of `dtype`, shape (n,), anything where masked.
        ``string``: :class:`Strings`, empty where masked. ``categorical``: int32 codes, -1 missing.
    mask : bool array, shape (n,), or None
        True where a value is missing; None where none can be. A float's NaN is a value, not a mask, and a
        categorical's missing values are its -1 codes.
    nullable
        The source had one of pandas' nullable types, with or without missing values.
    categories
        A categorical's categories in the source's order, unused ones too; numbers and booleans in their
        shortest exact notation (``str`` of a Python int or bool, ``repr`` of a float).
    ordered
        A categorical whose order has a meaning.
    """

    kind: Kind
    dtype: str
    values: NDArray[Any] | Strings
    mask: NDArray[np.bool_] | None = None
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: NDArray[np.integer[Any]]) -> Column:
        """Return the same column of the cells at `rows`, in that order; categories stay as they are."""
        values = self.values.take(rows) if isinstance(self.values, Strings) else self.values[rows]
        return replace(self, values=values, mask=None if self.mask is None else self.mask[rows])

    @property
    def codes(self) -> NDArray[np.int32]:
        """Codes of a categorical, shape (n,)."""
        if self.categories is None or isinstance(self.values, Strings):
            raise TypeError(self.kind)
        return self.values

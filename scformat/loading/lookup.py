"""Which cells some draws are of, and where each of them lies among those: hashed, as sorting them takes longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FEW: Final = 16
"""A row looked up costs a search about as much as so many rows cost a table of them."""
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_BITS: Final = np.uint64(64)


def distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each row once, ascending; int64, shape (n,)."""
    found = np.empty(len(rows), np.int64)
    n = _distinct(np.ascontiguousarray(rows, np.int64), _table(len(rows)), found)
    found = found[:n].copy()
    found.sort()
    return found


def places(held: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find rows among others.

    Parameters
    ----------
    held : int64 array, shape (n,)
        Ascending, each once.
    rows : int64 array, of any shape
        All of them held.

    Returns
    -------
    int64 array, of the shape of `rows`
    """
    if rows.size * _FEW < len(held):
        return np.searchsorted(held, rows)
    found = np.empty(rows.shape, np.int64)
    _places(held, _table(len(held)), np.ascontiguousarray(rows).reshape(-1), found.reshape(-1))
    return found


def _table(n: int) -> NDArray[np.int32]:
    """Return an empty table that is never more than half full."""
    return np.full(1 << max(2 * n - 1, 1).bit_length(), -1, np.int32)


@kernel
def _distinct(rows: NDArray[np.int64], table: NDArray[np.int32], found: NDArray[np.int64]) -> int:
    shift = _BITS - np.uint64(np.log2(len(table)))
    n = 0
    for row in rows:
        slot = np.int64((np.uint64(row) * _MIX) >> shift)
        while table[slot] >= 0 and found[table[slot]] != row:
            slot = (slot + 1) & (len(table) - 1)
        if table[slot] < 0:
            table[slot] = n
            found[n] = row
            n += 1
    return n


@kernel
def _places(
    held: NDArray[np.int64], table: NDArray[np.int32], rows: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    shift = _BITS - np.uint64(np.log2(len(table)))
    for k in range(len(held)):
        slot = np.int64((np.uint64(held[k]) * _MIX) >> shift)
        while table[slot] >= 0:
            slot = (slot + 1) & (len(table) - 1)
        table[slot] = k
    for i in range(len(rows)):
        slot = np.int64((np.uint64(rows[i]) * _MIX) >> shift)
        while table[slot] >= 0 and held[table[slot]] != rows[i]:
            slot = (slot + 1) & (len(table) - 1)
        if table[slot] < 0:
            raise IndexError("a row that is not held")
        found[i] = table[slot]

"""The entries of a cell brought into the order of their columns, digit by digit. A kernel without the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIGITS: Final = 256


@kernel
def sort_entries(
    columns: NDArray[np.integer],
    values: NDArray[np.float32],
    other_columns: NDArray[np.integer],
    other_values: NDArray[np.float32],
    places: NDArray[np.int64],
) -> None:
    """Sort entries by their columns, none of them negative.

    A cell has a thousand or so, for which comparing them would take several times as long.

    Parameters
    ----------
    columns : integer array, shape (n,)
    values : float32 array, shape (n,)
    other_columns, other_values
        Of the same types and at least as long; for use in here.
    places : int64 array, shape (DIGITS + 1,)
        For use in here.
    """
    n = len(columns)
    largest, ascending = 0, True
    for k in range(1, n):
        ascending &= columns[k - 1] < columns[k]
        largest = max(largest, columns[k - 1], columns[k])
    if ascending:
        return
    from_columns, from_values, to_columns, to_values = columns, values, other_columns[:n], other_values[:n]
    moved = False
    shift = 0
    while largest >> shift > 0:
        places[:] = 0
        for k in range(n):
            places[((from_columns[k] >> shift) & (DIGITS - 1)) + 1] += 1
        for digit in range(1, DIGITS):
            places[digit] += places[digit - 1]
        for k in range(n):
            digit = (from_columns[k] >> shift) & (DIGITS - 1)
            place = places[digit]
            places[digit] = place + 1
            to_columns[place], to_values[place] = from_columns[k], from_values[k]
        from_columns, from_values, to_columns, to_values = to_columns, to_values, from_columns, from_values
        moved = not moved
        shift += 8
    if moved:
        columns[:] = from_columns
        values[:] = from_values

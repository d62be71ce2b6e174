"""Alias tables of integers: one random word picks a column, a second one decides between its two strata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import kernel
from scformat.sampling.masses import COLUMN_BITS, check_masses

if TYPE_CHECKING:
    from numpy.typing import NDArray

CAPACITY: Final = 1 << COLUMN_BITS
_FULL = np.int64(CAPACITY)


@dataclass(frozen=True, kw_only=True, eq=False)
class AliasTable:
    """Columns of capacity 2^32, each shared by its own stratum and at most one other.

    Attributes
    ----------
    threshold : int64 array, shape (2^(B-32),)
        How much of column j belongs to stratum j, 0 .. 2^32; all of it where it is full.
    alias : int32 array, shape (2^(B-32),)
        The stratum that has the rest; j itself where it is full.
    """

    threshold: NDArray[np.int64]
    alias: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.threshold)


def build_alias(masses: NDArray[np.int64]) -> AliasTable:
    """Build the alias table of masses (see :func:`scformat.sampling.masses.integer_masses`).

    Column j begins with the mass of stratum j, 0 beyond the last. Going from the highest index down, columns
    below 2^32 go on one stack and those above on another. While the first is not empty: s from its top, l from
    the top of the other; column s keeps what it has, its alias is l; l gives 2^32 less that; then l goes back
    on its stack, or on the first if it is below 2^32 now, or is done if it is full.

    Raises
    ------
    UsageError
        ``bad-masses``.
    """
    bits = check_masses(masses)
    threshold = np.zeros(1 << (bits - COLUMN_BITS), np.int64)
    threshold[: len(masses)] = masses
    alias = np.arange(len(threshold), dtype=np.int32)
    _fill(threshold, alias)
    return AliasTable(threshold=threshold, alias=alias)


@kernel
def _fill(rest: NDArray[np.int64], alias: NDArray[np.int32]) -> None:
    n = len(rest)
    # Both stacks in one array: small from the front, large from the back; together they never exceed n.
    stacks = np.empty(n, np.int32)
    small, large = 0, n
    for j in range(n - 1, -1, -1):
        if rest[j] < _FULL:
            stacks[small] = j
            small += 1
        elif rest[j] > _FULL:
            large -= 1
            stacks[large] = j
    while small:
        small -= 1
        s = stacks[small]
        at = stacks[large]
        alias[s] = at
        rest[at] -= _FULL - rest[s]
        if rest[at] <= _FULL:
            large += 1
            if rest[at] < _FULL:
                stacks[small] = at
                small += 1


def alias_masses(table: AliasTable, n_strata: int) -> NDArray[np.int64]:
    """Masses that an alias table draws with: what a stored table is checked against; int64, shape (n_strata,)."""
    total = np.zeros(len(table), np.int64)
    total += table.threshold
    np.add.at(total, table.alias, CAPACITY - table.threshold)
    return total[:n_strata]

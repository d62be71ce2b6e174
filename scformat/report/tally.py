"""Figures of any number of cells counted in little memory, exactly or nearly so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Tally:
    """How often each value occurred, in several groups.

    Values below 2^(`bits` + 1) are kept as they are, larger ones to `bits` + 1 leading binary digits.

    Parameters
    ----------
    groups
        Number of groups.
    bits
        Precision: quantiles are low by at most one part in 2^`bits`.
    """

    def __init__(self, groups: int = 1, *, bits: int) -> None:
        self._bits = bits
        self._counts = np.zeros((groups, 1 << bits), np.int64)
        self._sums = np.zeros(groups, np.int64)

    def add(self, values: NDArray[np.int64], group: NDArray[np.integer] | int = 0) -> None:
        """Count values, none below zero; `group` is one number or one a value."""
        if not len(values):
            return
        keys = self._keys(values)
        room = int(keys.max()) + 1
        groups, held = self._counts.shape
        if room > held:
            self._counts = np.pad(self._counts, ((0, 0), (0, room - held)))
            held = room
        flat = keys + np.asarray(group, np.int64) * held
        low = int(flat.min())
        found = np.bincount(flat - low)
        self._counts.reshape(-1)[low : low + len(found)] += found
        # As two halves: sums of weights in binary64 are exact below 2^53 only.
        whole = np.broadcast_to(np.asarray(group, np.int64), values.shape)
        for part, unit in ((values >> 26, 1 << 26), (values & ((1 << 26) - 1), 1)):
            self._sums += np.bincount(whole, weights=part, minlength=groups).astype(np.int64) * unit

    def n(self, group: int = 0) -> int:
        """Values counted."""
        return int(self._counts[group].sum())

    def mean(self, group: int = 0) -> float:
        """Mean of the values."""
        return int(self._sums[group]) / max(self.n(group), 1)

    def zeros(self, group: int = 0) -> int:
        """Values that are zero."""
        return int(self._counts[group, 0])

    def least_above_zero(self, group: int = 0) -> int:
        """Least value that is not zero; 1 where there is none."""
        keys = np.flatnonzero(self._counts[group, 1:])
        return self._values(int(keys[0]) + 1) if len(keys) else 1

    def quantiles(self, shares: Sequence[float], group: int = 0) -> list[int]:
        """Return the smallest value that at least each share of all values is not above; the least one for 0."""
        total = np.cumsum(self._counts[group])
        ranks = np.maximum(np.ceil(np.asarray(shares) * total[-1]), 1)
        return [int(self._values(key)) for key in np.searchsorted(total, ranks).tolist()]

    def between(self, edges: NDArray[np.float64], group: int = 0) -> NDArray[np.int64]:
        """Count the values in each bin: from an edge up to, and without, the next."""
        keys = np.flatnonzero(self._counts[group])
        values = np.array([self._values(key) for key in keys.tolist()], np.float64)
        out: NDArray[np.int64] = np.zeros(len(edges) - 1, np.int64)
        place = np.searchsorted(edges, values, side="right") - 1
        held = (place >= 0) & (place < len(out))
        np.add.at(out, place[held], self._counts[group, keys[held]])
        return out

    def _keys(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        shift = np.maximum(np.frexp(values.astype(np.float64))[1] - 1 - self._bits, 0).astype(np.int64)
        keys: NDArray[np.int64] = (shift << self._bits) + (values >> shift)
        return keys

    def _values(self, key: int) -> int:
        shift = max((key >> self._bits) - 1, 0)
        return (key - (shift << self._bits)) << shift

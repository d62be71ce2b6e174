"""Logarithmic levels of a figure: at most 16, from the bits of binary64 numbers, so exact in every language."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAX_LEVELS = 16
_LARGEST = (0x7FF << 52) - 1


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Levels of the figures between two of them, both above zero.

    The bits of a positive binary64 number, read as an integer, grow with the number, and their upper part with its
    logarithm. bits(x) >> s is the level, counted from that of the smallest figure, with the smallest s that leaves
    at most 16: equal steps within each octave, or whole octaves.

    Attributes
    ----------
    shift
        s.
    first
        bits(smallest) >> s.
    n
        Levels.
    """

    shift: int
    first: int
    n: int

    @classmethod
    def over(cls, smallest: float, largest: float) -> Levels:
        """Return the levels from `smallest` to `largest`."""
        low, high = (int(np.float64(x).view(np.int64)) for x in (smallest, largest))
        shift = 0
        while (high >> shift) - (low >> shift) >= MAX_LEVELS:
            shift += 1
        return cls(shift=shift, first=low >> shift, n=(high >> shift) - (low >> shift) + 1)

    def of(self, figures: NDArray[np.float64]) -> NDArray[np.int64]:
        """Level of each figure; int64, shape (n,)."""
        return (np.ascontiguousarray(figures, np.float64).view(np.int64) >> self.shift) - self.first

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Lower bound of each level, then the upper one of the last; float64, shape (n + 1,)."""
        # The bits above the largest finite number's are no number's.
        bits = [min((self.first + level) << self.shift, _LARGEST) for level in range(self.n + 1)]
        return np.array(bits, np.int64).view(np.float64)

    @property
    def middles(self) -> NDArray[np.float64]:
        """Middle of each level, low + (high - low) / 2; float64, shape (n,)."""
        low, high = self.bounds[:-1], self.bounds[1:]
        return low + (high - low) / 2

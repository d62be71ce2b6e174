"""Products of 128 bits in kernels that have 64."""

from __future__ import annotations

import numpy as np

from scformat.jit import kernel
from scformat.random import scaled

_U0, _U1, _U64 = np.uint64(0), np.uint64(1), np.uint64(64)


@kernel
def scaled_sum(x: np.uint64, q: np.uint64, phase: np.uint64, bits: np.uint64) -> np.uint64:
    """(x q + phase) >> bits, for 32 <= bits < 64, x below 2^62 and q up to 2^bits, so that the result fits."""
    a, b = np.uint64(x), np.uint64(q)
    low = a * b + np.uint64(phase)
    high = scaled(a, b)
    if low < np.uint64(phase):
        high += _U1
    return np.uint64((high << (_U64 - np.uint64(bits))) | (low >> np.uint64(bits)))

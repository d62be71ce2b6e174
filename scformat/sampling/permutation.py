"""Single images of the permutations of :mod:`scformat.random`, a whole Philox block of four words at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.jit import kernel
from scformat.random import SMALL, feistel, feistel_keys, words_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U0, _U1, _U2, _U3, _U8, _U32 = (np.uint64(x) for x in (0, 1, 2, 3, 8, 32))
_SMALL = np.uint64(SMALL)


@kernel
def image(k: np.uint64, n: np.uint64, seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> np.uint64:
    """Image of k, as :func:`scformat.random.permute` has it, in a quarter of its time up to n = 256."""
    size = np.uint64(n)
    if size > _SMALL:
        return feistel(k, size, feistel_keys(seed, domain, i, j))
    if size < _U2:
        return _U0
    # The exchanges undone from the last one, m = n-1-x: where did the element come from that ended at k?
    at = np.uint64(k)
    m = size - _U1 - max(at, _U1)
    block = m >> _U2
    while True:
        four = words_at(seed, np.uint64(domain) + (block << _U8), i, j)
        last = m & _U3
        for back in range(4):
            lane = _U3 - np.uint64(back)
            if lane <= last:
                x = size - _U1 - ((block << _U2) | lane)
                y = (np.uint64(four[3 - back]) * (x + _U1)) >> _U32
                if at == x:
                    at = y
                elif at == y:
                    at = x
        if block == _U0:
            return at
        block -= _U1
        m = (block << _U2) | _U3


@kernel
def shuffle_small(out: NDArray[np.uint64], seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> None:
    """Write all images of the permutation of n = ``len(out)``, at most 256, as :func:`scformat.random.shuffle`."""
    for k in range(len(out)):
        out[k] = k
    four = (np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0))
    for m in range(len(out) - 1):
        if m & 3 == 0:
            four = words_at(seed, np.uint64(domain) + (np.uint64(m >> 2) << _U8), i, j)
        x = len(out) - 1 - m
        y = np.int64((np.uint64(four[m & 3]) * np.uint64(x + 1)) >> _U32)
        out[x], out[y] = out[y], out[x]

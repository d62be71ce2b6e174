"""Single images of the permutations of :mod:`scformat.random`, a whole Philox block of four words at a time."""

from __future__ import annotations

import numpy as np

from scformat.jit import kernel
from scformat.random import SMALL, feistel, feistel_keys, words_at

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

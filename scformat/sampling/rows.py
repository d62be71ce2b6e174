"""Which cell of a stratum is its p-th: blocks in another order every time the stratum has been gone through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.jit import kernel
from scformat.random import (
    DOMAIN_BLOCKS,
    DOMAIN_ROTATION,
    SMALL,
    feistel,
    feistel_keys,
    scaled,
    u64_at,
)
from scformat.sampling.permutation import image, shuffle_small

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCKS, _ROTATION = np.uint64(DOMAIN_BLOCKS), np.uint64(DOMAIN_ROTATION)
_SMALL = np.uint64(SMALL)
_NO_KEYS = (np.uint32(0),) * 8
_MANY = np.uint64(4)
"""Images of a small permutation from which on all of it is made at once."""


@kernel
def cells_of(
    seed: np.uint64,
    c: np.uint64,
    n_cells: np.uint64,
    block: np.uint64,
    first: np.uint64,
    k: NDArray[np.int64],
    images: NDArray[np.uint64],
) -> None:
    """Write the cells number `first`, `first` + 1, ... of stratum `c` to `k`; `images` is room for 256 numbers.

    The p-th is at place p mod n_c of the order that domains 3 and 5 give for i = p div n_c and j = c.
    """
    e, o = first // n_cells, first % n_cells
    at, n = 0, len(k)
    one, zero = np.uint64(1), np.uint64(0)
    while at < n:
        rotation = scaled(u64_at(seed, _ROTATION, e, c), n_cells)
        step = min(n - at, int(n_cells - o))
        cells_at(seed, _BLOCKS, e, c, rotation, n_cells, block, o, k[at : at + step], images)
        at += step
        o = zero
        e += one


@kernel
def cells_at(
    seed: np.uint64,
    domain: np.uint64,
    i: np.uint64,
    j: np.uint64,
    rotation: np.uint64,
    n_cells: np.uint64,
    block: np.uint64,
    o: np.uint64,
    k: NDArray[np.int64],
    images: NDArray[np.uint64],
) -> None:
    """Write the cells at the places `o`, `o` + 1, ..., all below `n_cells`, of one order of a stratum to `k`.

    With m = n_c div b: the block is pi(o div b) with the permutation of the m full blocks that `domain`, `i` and
    `j` name, and the short one after them stays last; the cell is (b block + o mod b + rotation) mod n_c.
    """
    m = n_cells // block
    at, stop = 0, o + np.uint64(len(k))
    one = np.uint64(1)
    n_blocks = (stop - one) // block - o // block + one
    many = m <= _SMALL and n_blocks >= _MANY
    if many:
        shuffle_small(images[:m], seed, domain, i, j)
    keys = feistel_keys(seed, domain, i, j) if m > _SMALL else _NO_KEYS
    while o < stop:
        number, inner = o // block, o % block
        place = number
        if number < m:
            if m > _SMALL:
                place = feistel(number, m, keys)
            elif many:
                place = images[number]
            else:
                place = image(number, m, seed, domain, i, j)
        start = place * block + rotation
        for _ in range(min(block - inner, stop - o)):
            cell = start + inner
            # Both summands lie below n_c, so one subtraction is the remainder.
            k[at] = cell - n_cells if cell >= n_cells else cell
            at += 1
            inner += one
            o += one

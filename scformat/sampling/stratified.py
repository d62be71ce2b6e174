"""Quotas: how many of the first t positions each stratum has, for any t at once.

With phi_c = u64(P(2, 0, c)) >> (64 - B): a_c(x) = (x q_c + phi_c) >> B and N(x) = sum of all a_c(x). For A_c(t),
x is the largest number with N(x) <= t; A_c = a_c(x), and one more for the first t - N(x) strata, by their index,
with a_c(x + 1) > a_c(x). All A_c(t) sum to t; between two positions each grows by its share within a few cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.jit import kernel
from scformat.random import DOMAIN_PHASE, SMALL, u64_at
from scformat.sampling.arithmetic import scaled_sum
from scformat.sampling.rows import cells_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DOMAIN = np.uint64(DOMAIN_PHASE)
_U0, _U1, _U64 = np.uint64(0), np.uint64(1), np.uint64(64)


def phases(seed: int, n_strata: int, bits: int) -> NDArray[np.uint64]:
    """phi_c of each stratum; uint64, shape (K,), each below 2^B."""
    out = np.empty(n_strata, np.uint64)
    _phases(np.uint64(seed), np.uint64(bits), out)
    return out


def quotas(masses: NDArray[np.int64], phase: NDArray[np.uint64], bits: int, t: int) -> NDArray[np.int64]:
    """A_c(t): cells of each stratum among positions 0 .. t-1.

    Parameters
    ----------
    masses : int64 array, shape (K,)
    phase : uint64 array, shape (K,)
        See :func:`phases`.
    t
        0 .. 2^61.

    Returns
    -------
    int64 array, shape (K,)
    """
    out = np.empty(len(masses), np.int64)
    _quotas(masses.view(np.uint64), phase, np.uint64(bits), np.uint64(t), out)
    return out


def window_cells(
    counts: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], seed: int, block: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Stratum and cell of each slot: cells ``first[c] .. last[c] - 1`` of every stratum c, one after another.

    Returns
    -------
    stratum : int32 array, shape (n,)
    k : int64 array, shape (n,)
        Numbers of the cells in their strata, ascending in each: a cell that comes several times has slots side by
        side, most of them in one lane, and the other ranks need not read it too.
    """
    stratum = np.repeat(np.arange(len(counts), dtype=np.int32), last - first)
    k = np.empty(len(stratum), np.int64)
    _cells(np.uint64(seed), np.uint64(block), counts, first, last, k)
    return stratum, k


@kernel
def _phases(seed: np.uint64, bits: np.uint64, out: NDArray[np.uint64]) -> None:
    for c in range(len(out)):
        out[c] = u64_at(seed, _DOMAIN, _U0, np.uint64(c)) >> (_U64 - bits)


@kernel
def _total(masses: NDArray[np.uint64], phase: NDArray[np.uint64], bits: np.uint64, x: np.uint64) -> np.uint64:
    total = _U0
    for c in range(len(masses)):
        total += scaled_sum(x, masses[c], phase[c], bits)
    return total


@kernel
def _quotas(
    masses: NDArray[np.uint64], phase: NDArray[np.uint64], bits: np.uint64, t: np.uint64, out: NDArray[np.int64]
) -> None:
    # N(x) lies strictly between x - K and x + K, so the largest x with N(x) <= t is in [t - K, t + K).
    n = np.uint64(len(masses))
    low = t - n if t > n else _U0
    high = t + n
    at = _total(masses, phase, bits, low)
    halve = False
    while high - low > _U1:
        # N climbs by one a step on average, so what lacks to t is a good step; halving bounds their number.
        x = low + ((high - low) >> _U1) if halve else min(max(low + (t - at), low + _U1), high - _U1)
        halve = not halve
        found = _total(masses, phase, bits, x)
        if found <= t:
            low, at = x, found
        else:
            high = x
    rest = t - at
    for c in range(len(masses)):
        a = scaled_sum(low, masses[c], phase[c], bits)
        if rest > _U0 and scaled_sum(low + _U1, masses[c], phase[c], bits) > a:
            a += _U1
            rest -= _U1
        out[c] = a


@kernel
def _cells(
    seed: np.uint64,
    block: np.uint64,
    counts: NDArray[np.int64],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    k: NDArray[np.int64],
) -> None:
    at, images = 0, np.empty(SMALL, np.uint64)
    for c in range(len(counts)):
        n = last[c] - first[c]
        if n:
            some = k[at : at + n]
            cells_of(seed, np.uint64(c), np.uint64(counts[c]), block, np.uint64(first[c]), some, images)
            some.sort()
            at += n

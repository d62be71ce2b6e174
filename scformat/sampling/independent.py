"""Independent draws: draw t is a function of the seed and t.

With w = P(1, t, 0): j = w0 >> (64 - B), which is 0 for one stratum; c = j if w1 < threshold[j], else alias[j];
k = floor((w2 + 2^32 w3) n_c / 2^64). The draw is the k-th cell of stratum c; nothing is ever rejected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.errors import UsageError
from scformat.jit import kernel
from scformat.random import DOMAIN_DRAW, check_seed, scaled, words_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.sampling.alias import AliasTable

MAX_POSITION: Final = 1 << 61
"""Positions stay below: there every product of theirs fits."""

_DOMAIN = np.uint64(DOMAIN_DRAW)
_U0, _U32, _U64 = np.uint64(0), np.uint64(32), np.uint64(64)


def check_range(start: int, n: int, step: int = 1) -> None:
    """Refuse positions that are none (``bad-position``)."""
    if start < 0 or n < 0 or step < 1 or start + n * step > MAX_POSITION:
        raise UsageError(
            "bad-position", "no such positions", expected="0 to 2^61", found=f"{n} from {start} in steps of {step}"
        )


def draw_cells(
    table: AliasTable, counts: NDArray[np.int64], bits: int, seed: int, start: int, n: int, step: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Draw stratum and cell at positions `start`, `start` + `step`, ...

    Parameters
    ----------
    table
        Alias table of the masses.
    counts : int64 array, shape (K,)
        Cells of each stratum.
    bits
        B of the masses.

    Returns
    -------
    stratum : int32 array, shape (n,)
    k : int64 array, shape (n,)

    Raises
    ------
    UsageError
        ``bad-seed``, ``bad-position``.
    """
    check_range(start, n, step)
    stratum, k = np.empty(n, np.int32), np.empty(n, np.int64)
    place = (np.uint64(check_seed(seed)), np.uint64(start), np.uint64(step))
    _draw(table.threshold, table.alias, counts, np.uint64(bits), *place, stratum, k)
    return stratum, k


@kernel
def _draw(
    threshold: NDArray[np.int64],
    alias: NDArray[np.int32],
    counts: NDArray[np.int64],
    bits: np.uint64,
    seed: np.uint64,
    start: np.uint64,
    step: np.uint64,
    stratum: NDArray[np.int32],
    k: NDArray[np.int64],
) -> None:
    shift = _U64 - bits
    t = start
    for n in range(len(k)):
        w0, w1, w2, w3 = words_at(seed, _DOMAIN, t, _U0)
        # w0 has 32 bits and the shift is at most 32, within the 64 bits it is held in.
        c = np.int64(np.uint64(w0) >> shift)
        if np.int64(w1) >= threshold[c]:
            c = np.int64(alias[c])
        stratum[n] = c
        k[n] = scaled(np.uint64(w2) | (np.uint64(w3) << _U32), np.uint64(counts[c]))
        t += step

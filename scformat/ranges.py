"""Which reads of a file bring some chunks of it: those that lie close together are one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Ranges:
    """Reads of a file.

    Attributes
    ----------
    starts, stops : int64 arrays, shape (n_reads,)
        Bytes of the file; ascending, and none touches another.
    offsets : int64 array, shape (n_chunks,)
        Where each chunk lies in the reads laid end to end.
    n_bytes
        Of all reads.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    offsets: NDArray[np.int64]
    n_bytes: int


def plan_ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64], *, read_through: int) -> Ranges:
    """Plan reads of chunks, in any order and overlapping or not.

    Parameters
    ----------
    starts, lengths : int64 arrays, shape (n,)
        Bytes of the file.
    read_through
        Bytes between two chunks that are rather read than left out.
    """
    n = len(starts)
    order = np.arange(n) if (starts[1:] >= starts[:-1]).all() else np.argsort(starts, kind="stable")
    low, high, offsets = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64)
    reads, n_bytes = _plan(starts, lengths, order, read_through, low, high, offsets)
    return Ranges(starts=low[:reads], stops=high[:reads], offsets=offsets, n_bytes=int(n_bytes))


@kernel
def _plan(
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    order: NDArray[np.int64],
    gap: int,
    low: NDArray[np.int64],
    high: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> tuple[int, np.int64]:
    reads, before = 0, np.int64(0)  # reads begun, and bytes of all but the last
    for i in order:
        start, stop = starts[i], starts[i] + lengths[i]
        if reads == 0 or start - high[reads - 1] > gap:
            if reads:
                before += high[reads - 1] - low[reads - 1]
            low[reads], high[reads] = start, stop
            reads += 1
        else:
            high[reads - 1] = max(high[reads - 1], stop)
        offsets[i] = before + start - low[reads - 1]
    return reads, before + (high[reads - 1] - low[reads - 1] if reads else 0)

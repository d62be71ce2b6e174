"""Ranges of an object in blocks of one size: which blocks hold them, and what to ask for where some are missing.

Pure functions. A block is 4 KiB: a page of the system and of a sparse file, and a little less than a chunk of counts.
A range that is asked for begins with a block and ends where it has to, so a request brings 2 KiB more than without a
cache, which is nothing beside the 64 KiB that the request itself is worth; blocks of 256 KiB would bring fifty times
what a random cell needs. And to read a chunk back, no more than two blocks have to be checked.

What is asked for never ends behind the last byte that was wanted, so nobody has to know where an object ends: of the
block there its first bytes are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK = 4 << 10
"""Bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Blocks:
    """Blocks of an object.

    Attributes
    ----------
    numbers : int64 array, shape (n,)
        Ascending, each once.
    lengths : int64 array, shape (n,)
        Bytes of each that are meant, from its first on.
    """

    numbers: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.numbers)

    def where(self, mask: NDArray[np.bool_]) -> Blocks:
        """Return some of them."""
        return Blocks(numbers=self.numbers[mask], lengths=self.lengths[mask])


def blocks_of(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Blocks:
    """List the blocks that hold ranges of bytes, each with as much of it as some range needs.

    Parameters
    ----------
    starts, stops : int64 arrays, shape (n,)
        In any order; they may overlap, and be empty.
    """
    held = stops > starts
    first, last = starts[held] // BLOCK, (stops[held] - 1) // BLOCK
    each = last - first + 1
    ends = np.cumsum(each)
    numbers = np.repeat(first - (ends - each), each) + np.arange(int(each.sum()))
    lengths = np.full(len(numbers), BLOCK)
    lengths[ends - 1] = stops[held] - last * BLOCK
    order = np.argsort(numbers, kind="stable")
    distinct, opens = np.unique(numbers[order], return_index=True)
    most = np.maximum.reduceat(lengths[order], opens) if len(opens) else lengths
    return Blocks(numbers=distinct, lengths=most)


@dataclass(frozen=True, kw_only=True, eq=False)
class Requests:
    """Ranges of an object to ask for, and where blocks lie in their bytes laid end to end.

    Attributes
    ----------
    starts, stops : int64 arrays, shape (n,)
        Ascending; a start is that of a block.
    offsets : int64 array
        One for each block that they were planned for.
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """Bytes of all of them."""
        return int((self.stops - self.starts).sum())


def plan_requests(missing: Blocks, *, read_through: int) -> Requests:
    """Put blocks together that are at most `read_through` bytes apart."""
    starts, stops = missing.numbers * BLOCK, missing.numbers * BLOCK + missing.lengths
    opens = np.ones(len(missing), np.bool_)
    opens[1:] = starts[1:] - stops[:-1] > read_through
    closes = np.append(opens[1:], True)[: len(missing)]
    first, last = starts[opens], stops[closes]
    before = np.cumsum(last - first) - (last - first)
    run = np.cumsum(opens) - 1
    return Requests(starts=first, stops=last, offsets=before[run] + starts - first[run])


@kernel
def copy_ranges(
    source: NDArray[np.uint8],
    begins: NDArray[np.int64],
    lengths: NDArray[np.int64],
    target: NDArray[np.uint8],
    places: NDArray[np.int64],
) -> None:
    """Copy ranges of `source` that begin at `begins` to `target`, at `places`."""
    for i in range(len(begins)):
        target[places[i] : places[i] + lengths[i]] = source[begins[i] : begins[i] + lengths[i]]

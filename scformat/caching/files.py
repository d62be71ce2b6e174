"""Blocks of one object in a sparse file, each with its CRC-32C; read and written by any number of processes at once.

The file is groups of 512 blocks, each with a page before it that has eight bytes a block: how many of its bytes are
there, 0 where none is, and their checksum. Nobody takes a lock. Bytes are written before their entry, objects never
change, and so two writers write the same; whoever was killed, lost power or met another in between leaves entries that
do not fit their bytes, and such a block counts as one that is not there.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from scformat.caching.blocks import BLOCK, Blocks, blocks_of
from scformat.native import checksums, read_ranges

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ENTRY = np.dtype([("length", "<u4"), ("checksum", "<u4")])
GROUP = BLOCK // ENTRY.itemsize
"""Blocks whose entries fill a block of the file."""
STRIDE = (GROUP + 1) * BLOCK
"""Bytes of a group in the file."""


def take_blocks(path: Path, wanted: Blocks, out: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Read blocks that a file has, as far as they are whole.

    Parameters
    ----------
    wanted
        A block counts as there if as many of its bytes as this says are.
    out : uint8 array, shape (n, BLOCK)
        Out; rows of blocks that are not there have any content.

    Returns
    -------
    bool array, shape (n,)
        Which blocks are there; all False where there is no such file, or it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return np.zeros(len(wanted), np.bool_)
    try:
        entries = _entries(handle, wanted.numbers)
        there = (entries["length"] >= wanted.lengths) & (entries["length"] <= BLOCK)
        if there.any():
            there[there] = _take(handle, wanted.numbers[there], entries[there], out, np.flatnonzero(there))
            with suppress(OSError):  # another user's, or on a disk that is only read
                os.utime(handle)  # what was used last is evicted last
    except OSError:
        return np.zeros(len(wanted), np.bool_)
    finally:
        os.close(handle)
    return there


def _take(
    handle: int,
    numbers: NDArray[np.int64],
    entries: NDArray[np.void],
    out: NDArray[np.uint8],
    rows: NDArray[np.int64],
) -> NDArray[np.bool_]:
    every = len(rows) == len(out)
    data = out if every else np.empty((len(rows), BLOCK), np.uint8)
    at = _data_at(numbers)
    opens = np.ones(len(at), np.bool_)
    opens[1:] = np.diff(at) != BLOCK
    closes = np.append(opens[1:], True)
    # Where the file ends too early the rest is as it was, and does not fit its checksum, or is right all the same.
    read_ranges(handle, at[opens], at[closes] + BLOCK, data.reshape(-1))
    found = checksums(data.reshape(-1), np.arange(len(rows)) * BLOCK, entries["length"].astype(np.int64))
    sound: NDArray[np.bool_] = found == entries["checksum"]
    if not every:
        out[rows[sound]] = data[sound]
    return sound


def put_blocks(path: Path, starts: NDArray[np.int64], stops: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
    """Write ranges of an object.

    Parameters
    ----------
    starts, stops : int64 arrays, shape (n,)
        Ascending and apart, each start that of a block.
    data : uint8 array
        The ranges end to end.

    Raises
    ------
    OSError
        A full disk, for example. The file is as good as before.
    """
    blocks = blocks_of(starts, stops)
    run = np.searchsorted(starts, blocks.numbers * BLOCK, side="right") - 1
    before = np.cumsum(stops - starts) - (stops - starts)
    offsets = before[run] + blocks.numbers * BLOCK - starts[run]
    entries = np.empty(len(blocks), ENTRY)
    entries["length"] = blocks.lengths
    entries["checksum"] = checksums(data, offsets, blocks.lengths)
    opens = np.flatnonzero((np.diff(run, prepend=-1) != 0) | (np.diff(blocks.numbers // GROUP, prepend=-1) != 0))
    handle = _create(path)
    try:
        for first, last in zip(opens.tolist(), [*opens[1:].tolist(), len(blocks)], strict=True):
            stop = int(offsets[last - 1] + blocks.lengths[last - 1])
            _write(handle, data[int(offsets[first]) : stop], int(_data_at(blocks.numbers[first])))
            _write(handle, entries[first:last].view(np.uint8), int(_entry_at(blocks.numbers[first])))
    finally:
        os.close(handle)


def _create(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, flags, 0o666)


def _write(handle: int, data: NDArray[np.uint8], at: int) -> None:
    left = data.data
    while left:
        done = os.pwrite(handle, left, at)
        left, at = left[done:], at + done


def _entries(handle: int, numbers: NDArray[np.int64]) -> NDArray[np.void]:
    groups, which = np.unique(numbers // GROUP, return_inverse=True)
    pages = np.zeros((len(groups), GROUP), ENTRY)
    for page, group in zip(pages, groups.tolist(), strict=True):
        found = os.pread(handle, BLOCK, group * STRIDE)
        page[: len(found) // ENTRY.itemsize] = np.frombuffer(found, ENTRY, len(found) // ENTRY.itemsize)
    return pages[which, numbers % GROUP]


def _entry_at(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return numbers // GROUP * STRIDE + numbers % GROUP * ENTRY.itemsize


def _data_at(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    return numbers // GROUP * STRIDE + BLOCK + numbers % GROUP * BLOCK

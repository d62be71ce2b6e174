"""Rows to reads: which chunks hold them; the plan is apart from the reading."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.entries import DECODE_FAULTS, LOST, decode_rows
from scformat.errors import DamagedDataError, damaged_data
from scformat.layout import RECORD_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.manifest import Array, Part
    from scformat.storage import Storage


ROW_END = RECORD_FIELDS.index("row_end")


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunks:
    """Chunks along an axis that hold some items, and where each item begins in them.

    Attributes
    ----------
    numbers : int64 array, shape (n_chunks,)
        Ascending, each once.
    starts : int64 array, shape (n_items,)
        Where each item begins in the chunks laid end to end; consecutive chunks of an item lie so.
    """

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]


def plan_chunks(starts: NDArray[np.int64], stops: NDArray[np.int64], *, chunk: int) -> Chunks:
    """List the chunks that hold some items, each item a range of an axis.

    Parameters
    ----------
    starts, stops : int64 arrays, shape (n_items,)
        In any order, empty ones among them.
    chunk
        Elements a chunk.
    """
    held = stops > starts
    first, last = starts[held] // chunk, (stops[held] - 1) // chunk
    several = np.repeat(first, last - first + 1)
    begin = np.cumsum(last - first + 1) - (last - first + 1)
    several += np.arange(len(several)) - np.repeat(begin, last - first + 1)
    if (several[1:] < several[:-1]).any():
        several.sort()
    fresh = np.ones(len(several), np.bool_)
    fresh[1:] = several[1:] != several[:-1]
    numbers = several[fresh]  # as np.unique, which does not know that they are in order nearly always
    places = np.zeros(len(starts), np.int64)
    places[held] = np.searchsorted(numbers, first) * chunk + starts[held] % chunk
    return Chunks(numbers=numbers, starts=places)


def read_at(
    storage: Storage, array: Array, rows: NDArray[np.int64], *, cells: NDArray[np.int64] | None = None
) -> NDArray[Any]:
    """Read elements of a per-cell array (the last axis) in any order, repeats allowed.

    Parameters
    ----------
    cells : int64 array, shape (n,), or None
        Row of the store that each element belongs to, for errors.

    Raises
    ------
    DamagedDataError
        A chunk is missing or damaged, an element is the fill value.
    """
    try:
        values = _read_at(storage, array, rows)
    except DamagedDataError as error:
        if cells is None:
            raise
        raise error.of_cells(cells[np.isin(rows // array.chunk[-1], error.chunks)].tolist()) from None
    lost = (values == np.array(array.fill, array.dtype)).any(axis=tuple(range(values.ndim - 1)))
    if lost.any():
        fault = damaged_data(
            "lost-chunk",
            "a chunk or a file is missing",
            where=storage.at(array.path),
            found=f"the fill value at {int(rows[lost][0])}",
            array=array.path,
            chunks=np.unique(rows[lost] // array.chunk[-1]).tolist(),
        )
        raise fault if cells is None else fault.of_cells(cells[lost].tolist())
    return values


def _read_at(storage: Storage, array: Array, rows: NDArray[np.int64]) -> NDArray[Any]:
    order = np.argsort(rows, kind="stable")
    at = rows[order]
    numbers, first = np.unique(at // array.chunk[-1], return_index=True)
    bounds = [*first.tolist(), len(rows)]
    values = np.empty((*array.shape[:-1], len(rows)), array.dtype)
    # A chunk at a time: of rows far apart all chunks together can be far more than what is wanted of them.
    chunks = storage.each_chunk(array, numbers, keep=len(array.shape) == 2)  # records are read again
    for number, chunk, (low, high) in zip(numbers.tolist(), chunks, pairwise(bounds), strict=True):
        values[..., order[low:high]] = chunk[..., at[low:high] - number * array.chunk[-1]]
    return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """Rows of counts as CSR over the gene index.

    Attributes
    ----------
    offsets : int64 array, shape (n_rows + 1,)
    indices : int32 array, shape (nnz,)
        Genes, ascending within a row, each once.
    data : int64 array, shape (nnz,)
        Counts, all above zero.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.int64]


def locate_rows(
    storage: Storage, part: Part, shard_rows: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]:
    """Find the entries of some rows of a part.

    Returns
    -------
    starts, stops : int64 arrays, shape (n,)
        Where the entries of each row begin and end, counted over the whole entries array.
    records : int32 array, shape (n_fields, n)
        The rows' records, which were read for it.

    Raises
    ------
    DamagedDataError
        ``bad-row-end``; a chunk is missing or damaged.
    """
    shard = np.searchsorted(shard_rows, rows, side="right") - 1
    inner = rows > shard_rows[shard]
    cells = part.start + np.concatenate([rows, rows[inner]])  # a row begins where the one before it ends
    both = read_at(storage, part.index, np.concatenate([rows, rows[inner] - 1]), cells=cells)
    stops = both[ROW_END, : len(rows)].astype(np.int64)
    starts = np.zeros(len(rows), np.int64)
    starts[inner] = both[ROW_END, len(rows) :]
    capacity = part.entries.shard[1]
    bad = (stops < starts) | (stops > capacity) | (starts < 0)
    # A cell that is not read may have the wrong end, and kernels lay the chunks of the others end to end.
    order = np.argsort(rows, kind="stable")
    low, high = order[:-1], order[1:]
    bad[high] |= (starts[high] < stops[low]) & (shard[high] == shard[low]) & (rows[high] > rows[low])
    if bad.any():
        raise damaged_data(
            "bad-row-end",
            "a row that ends before it begins, begins before another ends, or ends beyond its shard",
            where=storage.at(part.index.path),
            found=f"{starts[bad][0]} to {stops[bad][0]}",
            array=part.index.path,
            hint="run scformat validate",
        ).of_cells((part.start + rows[bad]).tolist())
    return shard * capacity + starts, shard * capacity + stops, both[:, : len(rows)]


def entries_error(fault: int, storage: Storage, part: Part, cell: int) -> DamagedDataError:
    """Make the error for entries that a decoding kernel refused; `cell` is a row of the store."""
    return damaged_data(
        "lost-chunk" if fault == LOST else "bad-entries",
        DECODE_FAULTS[fault],
        where=storage.at(part.entries.path),
        array=part.entries.path,
        hint="run scformat validate to see what is damaged",
    ).of_cells([cell])


@contextmanager
def naming_cells(
    part: Part, starts: NDArray[np.int64], stops: NDArray[np.int64], cells: NDArray[np.int64]
) -> Iterator[None]:
    """Let errors of chunks of counts name the cells that have entries in them.

    Parameters
    ----------
    starts, stops : int64 arrays, shape (n,)
        Where the entries of each cell begin and end.
    cells : int64 array, shape (n,)
        Rows of the store.
    """
    try:
        yield
    except DamagedDataError as error:
        size = part.entries.chunk[1]
        chunks = np.array(error.chunks, np.int64)
        first, last = starts // size, (stops - 1) // size
        bad = (stops > starts) & (np.searchsorted(chunks, last, side="right") > np.searchsorted(chunks, first))
        raise error.of_cells(cells[bad].tolist()) from None


def read_rows(
    storage: Storage, part: Part, shard_rows: NDArray[np.int64], rows: NDArray[np.int64], n_genes: int
) -> Decoded:
    """Read rows of a part in any order; a repeated row is read once.

    Raises
    ------
    DamagedDataError
        A chunk is missing or damaged, or its entries break the encoding; the cells are named.
    """
    distinct, inverse = np.unique(rows, return_inverse=True)
    starts, stops, _ = locate_rows(storage, part, shard_rows, distinct)
    plan = plan_chunks(starts, stops, chunk=part.entries.chunk[1])
    with naming_cells(part, starts, stops, part.start + distinct):
        entries = storage.read_chunks(part.entries, plan.numbers)
    begin = plan.starts[inverse]
    end = begin + (stops - starts)[inverse]
    room = int((end - begin).sum())
    offsets = np.empty(len(rows) + 1, np.int64)
    indices = np.empty(room, np.int32)
    data = np.empty(room, np.int64)
    fault, row = decode_rows(entries, begin, end, n_genes, offsets, indices, data)
    if fault:
        raise entries_error(fault, storage, part, part.start + int(rows[row]))
    n = int(offsets[-1])
    return Decoded(offsets=offsets, indices=indices[:n], data=data[:n])

"""Rows to reads: which runs of chunks hold them, read side by side; the plan is apart from the reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.entries import DECODE_FAULTS, decode_rows
from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Array, Part
    from scformat.storage import Storage


@dataclass(frozen=True, kw_only=True, eq=False)
class Runs:
    """Disjoint ascending ranges of an axis, whole chunks each, and where each item lies in what they hold.

    Attributes
    ----------
    bounds : int64 array, shape (n_runs, 2)
        First element of each run, and the one after its last.
    starts : int64 array, shape (n_items,)
        Where each item begins in the runs laid end to end.
    """

    bounds: NDArray[np.int64]
    starts: NDArray[np.int64]


def plan_runs(starts: NDArray[np.int64], stops: NDArray[np.int64], *, chunk: int, size: int) -> Runs:
    """Cover items with the fewest runs of whole chunks.

    Parameters
    ----------
    starts, stops : int64 arrays, shape (n_items,)
        Range of each item, in any order, empty ones among them.
    chunk
        Elements a chunk.
    size
        Length of the axis.
    """
    held = stops > starts
    first = starts[held] // chunk
    last = (stops[held] - 1) // chunk
    order = np.argsort(first, kind="stable")
    first, last = first[order], np.maximum.accumulate(last[order]) if len(order) else last
    opens = np.ones(len(first), np.bool_)
    opens[1:] = first[1:] > last[:-1] + 1
    low = first[opens] * chunk
    high = np.minimum((last[np.append(opens[1:], True)] + 1) * chunk if len(first) else last, size)
    bounds = np.stack([low, high], axis=1).astype(np.int64)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(high - low)])
    run = np.clip(np.searchsorted(low, starts, side="right") - 1, 0, max(len(low) - 1, 0))
    places = np.where(held, before[run] + starts - low[run], 0) if len(low) else np.zeros(len(starts), np.int64)
    return Runs(bounds=bounds, starts=places)


def read_runs(storage: Storage, array: Array, runs: Runs) -> NDArray[Any]:
    """Read runs along the last axis and lay them end to end."""
    others = tuple((0, n) for n in array.shape[:-1])
    pieces = storage.read_regions(array, [(*others, (low, high)) for low, high in runs.bounds.tolist()])
    if not pieces:
        return np.empty((*array.shape[:-1], 0), array.dtype)
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)


def read_at(storage: Storage, array: Array, rows: NDArray[np.int64]) -> NDArray[Any]:
    """Read elements of a per-cell array (the last axis) in any order, repeats allowed."""
    n, chunk = array.shape[-1], array.chunk[-1]
    if len(rows) == n and n > 0 and rows[0] == 0 and (np.diff(rows) == 1).all():
        return storage.read_array(array)
    runs = plan_runs(rows, rows + 1, chunk=chunk, size=n)
    values: NDArray[Any] = read_runs(storage, array, runs)[..., runs.starts]
    storage.refuse_fill(array, values)
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
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the entries of some rows of a part begin and end, counted over the whole entries array."""
    shard = np.searchsorted(shard_rows, rows, side="right") - 1
    inner = rows > shard_rows[shard]
    both = read_at(storage, part.index, np.concatenate([rows, rows[inner] - 1]))[0].astype(np.int64)
    stops = both[: len(rows)]
    starts = np.zeros(len(rows), np.int64)
    starts[inner] = both[len(rows) :]
    capacity = part.entries.shard[1]
    bad = (stops < starts) | (stops > capacity) | (starts < 0)
    if bad.any():
        row = int(rows[bad][0])
        raise InvalidDataError(
            "bad-row-end",
            "a row ends before it begins, or beyond its shard",
            where=storage.at(part.index.path),
            found=f"row {row}: {starts[bad][0]} to {stops[bad][0]}",
            hint="run scformat validate",
        )
    return shard * capacity + starts, shard * capacity + stops


def read_rows(
    storage: Storage, part: Part, shard_rows: NDArray[np.int64], rows: NDArray[np.int64], n_genes: int
) -> Decoded:
    """Read rows of a part in any order; a repeated row is read once.

    Raises
    ------
    InvalidDataError
        A chunk is missing or damaged, or its entries break the encoding; the row is named.
    """
    distinct, inverse = np.unique(rows, return_inverse=True)
    starts, stops = locate_rows(storage, part, shard_rows, distinct)
    runs = plan_runs(starts, stops, chunk=part.entries.chunk[1], size=part.entries.shape[1])
    entries = read_runs(storage, part.entries, runs)
    begin = runs.starts[inverse]
    end = begin + (stops - starts)[inverse]
    room = int((end - begin).sum())
    offsets = np.empty(len(rows) + 1, np.int64)
    indices = np.empty(room, np.int32)
    data = np.empty(room, np.int64)
    fault, row = decode_rows(entries, begin, end, n_genes, offsets, indices, data)
    if fault:
        raise InvalidDataError(
            "bad-entries" if DECODE_FAULTS[fault][0] != "f" else "lost-chunk",
            DECODE_FAULTS[fault],
            where=f"{storage.at(part.entries.path)}, cell {part.start + int(rows[row])}",
            hint="run scformat validate to see what is damaged",
        )
    n = int(offsets[-1])
    return Decoded(offsets=offsets, indices=indices[:n], data=data[:n])

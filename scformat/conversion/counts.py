"""Second pass over the counts: every shard of a part, straight from the sources or through a shuffle on disk."""

from __future__ import annotations

import threading
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import blosc

from scformat.conversion.recount import shard_is_whole
from scformat.conversion.rows import row_ranges
from scformat.entries import gather_rows
from scformat.layout import ENTRY_SHARD, cut_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Set
    from concurrent.futures import Executor, Future
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.conversion.encoder import RowEncoder
    from scformat.conversion.journal import Journal
    from scformat.conversion.stats import GeneStats
    from scformat.sources.base import CountsMatrix
    from scformat.storage import ArrayWriter

_scratch = threading.local()


@dataclass(frozen=True, kw_only=True, eq=False)
class CellPlan:
    """The n cells of a part and the order they are written in.

    Attributes
    ----------
    source : int32 array, shape (n,)
        Source of each cell, counted within the part; ascending.
    row : int64 array, shape (n,)
        Row of each cell in its source; ascending within a source.
    needed : int64 array, shape (n,)
        Entries that it may take at most.
    order : int64 array, shape (n,), or None
        Which cell lies at each place; None: as they come.
    """

    source: NDArray[np.int32]
    row: NDArray[np.int64]
    needed: NDArray[np.int64]
    order: NDArray[np.int64] | None

    def shards(self) -> NDArray[np.int64]:
        """First place of each shard, then the number of cells; int64, shape (n_shards + 1,)."""
        return cut_shards(self.needed if self.order is None else self.needed[self.order])


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """What writing the counts of n cells in k shards gave.

    Attributes
    ----------
    row_end : int32 array, shape (n,)
        End of each row within its shard.
    n_entries
        Entries written.
    digests : uint8 array, shape (k, 64)
        SHA-256 of each shard's file, as hexadecimal digits in ASCII.
    """

    row_end: NDArray[np.int32]
    n_entries: int
    digests: NDArray[np.uint8]


def write_counts(
    writer: ArrayWriter,
    plan: CellPlan,
    encoders: Sequence[RowEncoder],
    matrices: Sequence[CountsMatrix],
    *,
    stats: Sequence[GeneStats],
    journal: Journal | None,
    pool: Executor,
    scratch: Path,
    bucket_bytes: int,
    block_values: int,
    advance: Callable[[int], None],
) -> Written:
    """Write every shard of a part that is not there yet.

    Parameters
    ----------
    writer
        Of the entries array.
    plan
        The cells and their order.
    encoders, matrices
        One per source of the plan.
    stats
        One per source; the encoders tell them of what they encode, here they are told of shards that were there.
    journal
        Of the shards that are there, and told of each that is written; None where nothing is kept.
    pool
        Runs the tasks: one a shard, or one a block of a source and then one a bucket of shards.
    scratch
        A directory for the shuffle.
    bucket_bytes, block_values
        Memory that a bucket's task may take, and values a block of a source.
    advance
        Called with the number of cells that a task encoded or wrote.
    """
    bounds = plan.shards()
    row_end = np.empty(len(plan.row), np.int32)
    digests = np.zeros((len(bounds) - 1, 64), np.uint8)
    ends = np.zeros(len(bounds) - 1, np.int64)
    there: set[int] = set()

    def finish(shard: int, out: NDArray[np.uint16], end: int) -> None:
        digests[shard] = np.frombuffer(writer.put((0, shard), out[:, :end]).encode(), np.uint8)
        ends[shard] = end

    def ended(done: Done) -> None:
        for shard in done.shards:
            if journal is None:
                break
            journal.add(
                "shard",
                writer.spec.key((0, shard)),
                arrays={"row_end": row_end[bounds[shard] : bounds[shard + 1]]},
                sha256=digests[shard].tobytes().decode(),
                end=int(ends[shard]),
            )
        advance(done.n_cells)

    def recheck(shard: int) -> Done:
        low, high = bounds[shard : shard + 2].tolist()
        key = writer.spec.key((0, shard))
        entry = None if journal is None else journal.find("shard", key)
        kept = None if entry is None or journal is None else journal.read(entry)
        if entry is None or kept is None or len(kept["row_end"]) != high - low:
            return Done(n_cells=0)
        digest, end = entry.facts["sha256"], entry.facts["end"]
        # A shuffle counts the values while it deals them.
        told = stats if plan.order is None else None
        if not shard_is_whole(writer, shard, digest, end, kept["row_end"], plan.source[low:high], told):
            return Done(n_cells=0)
        row_end[low:high], ends[shard] = kept["row_end"], end
        digests[shard] = np.frombuffer(digest.encode(), np.uint8)
        writer.adopt((0, shard), digest)
        there.add(shard)
        return Done(n_cells=high - low)

    if journal is not None and journal.names("shard"):
        run_all(pool, [lambda s=s: recheck(s) for s in range(len(bounds) - 1)], lambda done: advance(done.n_cells))  # type: ignore[misc]
    if plan.order is None:
        tasks: Iterable[Callable[[], Done]] = (
            _Direct(plan, encoders, shard, int(bounds[shard]), int(bounds[shard + 1]), row_end, finish)
            for shard in range(len(bounds) - 1)
            if shard not in there
        )
        run_all(pool, tasks, ended)
    else:
        shuffle = _Shuffle(plan, encoders, bounds, scratch, max(1, bucket_bytes // BYTES_A_SHARD))
        run_all(pool, shuffle.deal_tasks(matrices, block_values), ended)
        run_all(pool, shuffle.write_tasks(row_end, finish, there), ended)
    return Written(row_end=row_end, n_entries=int(ends.sum()), digests=digests)


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a task did: cells that it encoded or wrote, and the shards that are finished."""

    n_cells: int
    shards: Sequence[int] = ()


def run_all(pool: Executor, tasks: Iterable[Callable[[], Done]], ended: Callable[[Done], None]) -> None:
    """Run tasks on a pool; the first failure cancels what has not begun and is raised."""
    futures: list[Future[Done]] = [pool.submit(task) for task in tasks]
    try:
        for future in as_completed(futures):
            ended(future.result())
    finally:
        for future in futures:
            future.cancel()


def _shard_buffer() -> NDArray[np.uint16]:
    """Return room for a shard's entries, this thread's own."""
    if not hasattr(_scratch, "out"):
        _scratch.out = np.empty((2, ENTRY_SHARD), np.uint16)
    out: NDArray[np.uint16] = _scratch.out
    return out


@dataclass(frozen=True, eq=False)
class _Direct:
    """Encode one shard from the sources, whose rows it holds in their order."""

    plan: CellPlan
    encoders: Sequence[RowEncoder]
    shard: int
    first: int
    stop: int
    row_end: NDArray[np.int32]
    finish: Callable[[int, NDArray[np.uint16], int], None]

    def __call__(self) -> Done:
        out, end = _shard_buffer(), 0
        sources = self.plan.source[self.first : self.stop]
        for source in np.unique(sources).tolist():
            low = self.first + int(np.searchsorted(sources, source))
            high = self.first + int(np.searchsorted(sources, source, side="right"))
            end = self.encoders[source].encode(self.plan.row[low:high], out, end, self.row_end[low:high])
        self.finish(self.shard, out, end)
        return Done(n_cells=self.stop - self.first, shards=(self.shard,))


class _Shuffle:
    """Cells dealt to buckets of consecutive shards on disk, then written bucket by bucket.

    Which shard a cell goes to depends on the plan alone; how many shards a bucket takes, and in what order
    blocks end, changes nothing that is written.
    """

    def __init__(
        self,
        plan: CellPlan,
        encoders: Sequence[RowEncoder],
        bounds: NDArray[np.int64],
        scratch: Path,
        shards_a_bucket: int,
    ) -> None:
        if plan.order is None:
            raise TypeError("a shuffle needs an order")
        self._plan, self._encoders, self._bounds, self._scratch = plan, encoders, bounds, scratch
        self._place = np.empty(len(plan.order), np.int64)
        self._place[plan.order] = np.arange(len(plan.order))
        self._cuts = np.append(bounds[:-1:shards_a_bucket], bounds[-1])
        self._first_shard = range(0, len(bounds) - 1, shards_a_bucket)
        self._locks = [threading.Lock() for _ in self._first_shard]

    def deal_tasks(self, matrices: Sequence[CountsMatrix], block_values: int) -> list[Callable[[], Done]]:
        """One task for each block of each source."""
        tasks: list[Callable[[], Done]] = []
        for source, matrix in enumerate(matrices):
            low, high = (int(np.searchsorted(self._plan.source, source, side=s)) for s in ("left", "right"))
            rows = self._plan.row[low:high]
            for start, stop in row_ranges(matrix, at_most=block_values):
                first, last = np.searchsorted(rows, (start, stop)).tolist()
                if first < last:
                    tasks.append(lambda s=source, a=low + first, b=low + last: self._deal(s, a, b))  # type: ignore[misc]
        return tasks

    def _deal(self, source: int, low: int, high: int) -> Done:
        """Encode cells ``low..high-1`` of the plan and append each to its bucket."""
        capacity = int(self._plan.needed[low:high].sum())
        encoded = np.empty((2, capacity), np.uint16)
        row_end = np.empty(high - low, np.int32)
        self._encoders[source].encode(self._plan.row[low:high], encoded, 0, row_end)
        starts = np.concatenate([np.zeros(1, np.int64), row_end[:-1].astype(np.int64)])
        lengths = row_end - starts
        place = self._place[low:high]
        bucket = np.searchsorted(self._cuts, place, side="right") - 1
        order = np.argsort(bucket, kind="stable")
        ends = np.searchsorted(bucket[order], np.arange(len(self._locks)), side="right")
        for b, (first, last) in enumerate(zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)):
            if first < last:
                some = order[first:last]
                piece = np.empty((2, int(lengths[some].sum())), np.uint16)
                gather_rows(encoded, starts[some], lengths[some], piece, np.empty(len(some), np.int32))
                self._append(b, place[some], lengths[some], piece)
        return Done(n_cells=high - low)

    def _append(
        self, bucket: int, place: NDArray[np.int64], lengths: NDArray[np.int64], piece: NDArray[np.uint16]
    ) -> None:
        packed = blosc.compress(piece, b"lz4", 1, blosc.BITSHUFFLE, 0) if piece.size else b""
        head = np.array([len(place), piece.shape[1], len(packed)], np.int64)
        with self._locks[bucket], (self._scratch / f"bucket-{bucket}").open("ab") as file:
            # Not tofile, which loses the reason where a disk is full.
            for data in (head, place, lengths):
                file.write(data.tobytes())
            file.write(packed)

    def write_tasks(
        self,
        row_end: NDArray[np.int32],
        finish: Callable[[int, NDArray[np.uint16], int], None],
        there: Set[int],
    ) -> list[Callable[[], Done]]:
        """One task for each bucket; shards that are there are not written."""
        return [lambda b=b: self._write(b, row_end, finish, there) for b in range(len(self._locks))]  # type: ignore[misc]

    def _write(
        self,
        bucket: int,
        row_end: NDArray[np.int32],
        finish: Callable[[int, NDArray[np.uint16], int], None],
        there: Set[int],
    ) -> Done:
        last = min(self._first_shard[bucket] + self._first_shard.step, len(self._bounds) - 1)
        shards = [s for s in range(self._first_shard[bucket], last) if s not in there]
        if not shards:
            return Done(n_cells=0)
        place, starts, lengths, entries = self._load(bucket)
        order = np.argsort(place)
        first_place = int(self._cuts[bucket])
        out = _shard_buffer()
        n_cells = 0
        for shard in shards:
            low, high = self._bounds[shard : shard + 2].tolist()
            some = order[low - first_place : high - first_place]
            finish(shard, out, gather_rows(entries, starts[some], lengths[some], out, row_end[low:high]))
            n_cells += high - low
        return Done(n_cells=n_cells, shards=shards)

    def _load(self, bucket: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
        """Read a bucket: the place of each row, where it lies in the entries and its length, and the entries."""
        path = self._scratch / f"bucket-{bucket}"
        places, lengths, packed, sizes = [], [], [], []
        with path.open("rb") as file:
            while len(head := np.fromfile(file, np.int64, 3)):
                places.append(np.fromfile(file, np.int64, head[0]))
                lengths.append(np.fromfile(file, np.int64, head[0]))
                packed.append(file.read(head[2]))
                sizes.append(int(head[1]))
        path.unlink()
        entries = np.empty((2, sum(sizes)), np.uint16)
        at = 0
        for size in sizes:
            data: Any = packed.pop(0)
            if size:
                entries[:, at : at + size] = np.frombuffer(blosc.decompress(data), np.uint16).reshape(2, size)
            at += size
        all_lengths = np.concatenate(lengths)
        starts = np.cumsum(all_lengths) - all_lengths
        return np.concatenate(places), starts, all_lengths, entries


BYTES_A_SHARD = 12 * ENTRY_SHARD
"""Memory that a shard's entries take in a bucket: thrice their plain size, for the packed copies and the sorting."""

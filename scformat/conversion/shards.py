"""What one task of the second pass does: encode a shard, deal a block of cells to buckets, write a bucket's shards.

A shuffle lies on the disk in between: a file for each block, whose cells are sorted by bucket, and then each bucket
read from all of these. Which shard a cell goes to depends on the plan alone; how many shards a bucket takes, how the
sources are cut into blocks and in what order these end changes nothing that is written.
"""

from __future__ import annotations

import hashlib
import os
import threading
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numcodecs import blosc

from scformat.blobs import system_errors
from scformat.conversion.recount import recount
from scformat.conversion.stats import tallying
from scformat.entries import gather_rows
from scformat.layout import ENTRY_SHARD, cut_shards
from scformat.writing import WholeFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.conversion.encoder import RowEncoder
    from scformat.conversion.stats import Histogram
    from scformat.layout import ArraySpec
    from scformat.storage import Storage

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
class Kept:
    """What a journal says of a shard that is there: SHA-256 of its file, entries, and the end of each row in it."""

    sha256: str
    end: int
    row_end: NDArray[np.int32]


class Files(Protocol):
    """Where the files of an array go."""

    def put(self, index: tuple[int, ...], block: NDArray[Any]) -> str:
        """Encode and write the file at a grid index; return its SHA-256."""

    def read(self, index: tuple[int, ...]) -> bytes | None:
        """Return the bytes of the file at a grid index, None where there is none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CountsJob:
    """What all tasks of a part need to know.

    Attributes
    ----------
    plan, bounds
        The cells, their order, and the first place of each shard.
    encoders
        One for each source of the plan.
    n_genes
        Size of the gene index.
    storage, spec, files
        Of the entries array. In another process, files are written whole in one step instead.
    scratch
        A directory for files that nobody needs afterwards.
    place : int64 array, shape (n,), or None
        Place of each cell; None where they lie in the order of the sources.
    shards_a_bucket, n_blocks
        How a shuffle is cut.
    kept
        Shards of an earlier run.
    """

    plan: CellPlan
    bounds: NDArray[np.int64]
    encoders: Sequence[RowEncoder]
    n_genes: int
    storage: Storage
    spec: ArraySpec
    files: Files
    scratch: Path
    place: NDArray[np.int64] | None
    shards_a_bucket: int
    n_blocks: int
    kept: Mapping[int, Kept]

    @property
    def cuts(self) -> NDArray[np.int64]:
        """First place of each bucket, then the number of cells."""
        return np.append(self.bounds[: -1 : self.shards_a_bucket], self.bounds[-1])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "files": WholeFiles(self.storage, self.spec, self.scratch)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tallied:
    """What a task says of cells of one source: how many, and their values where it counted them."""

    source: int
    n_cells: int
    histogram: Histogram


@dataclass(frozen=True, kw_only=True, eq=False)
class WrittenShard:
    """A shard that is there: SHA-256 of its file, entries, the end of each row in it, and what was counted."""

    shard: int
    sha256: str
    end: int
    row_end: NDArray[np.int32]
    tallied: Sequence[Tallied] = ()


def write_shard(job: CountsJob, shard: int) -> WrittenShard:
    """Encode a shard from the sources, whose rows it holds in their order."""
    low, high = job.bounds[shard : shard + 2].tolist()
    out, end = _shard_buffer(), 0
    row_end = np.empty(high - low, np.int32)
    sources = job.plan.source[low:high]
    tallied = []
    for source in np.unique(sources).tolist():
        first, last = (int(np.searchsorted(sources, source, side=s)) for s in ("left", "right"))
        rows = job.plan.row[low + first : low + last]
        with tallying(job.n_genes) as tally:
            end = job.encoders[source].encode(rows, out, end, row_end[first:last], tally)
            tallied.append(Tallied(source=source, n_cells=last - first, histogram=tally.take()))
    return WrittenShard(
        shard=shard, sha256=job.files.put((0, shard), out[:, :end]), end=end, row_end=row_end, tallied=tallied
    )


def recheck_shard(job: CountsJob, shard: int) -> WrittenShard | None:
    """Check every byte of a shard that is there; None where it is not as it was."""
    low, high = job.bounds[shard : shard + 2].tolist()
    kept = job.kept[shard]
    data = job.files.read((0, shard))
    if len(kept.row_end) != high - low or data is None or hashlib.sha256(data).hexdigest() != kept.sha256:
        return None
    tallied = []
    if job.place is None:  # a shuffle counts the values while it deals them
        sources = job.plan.source[low:high]
        held = recount(data, job.spec, kept.end, kept.row_end, sources, job.n_genes)
        if held is None:
            return None
        tallied = [
            Tallied(source=source, n_cells=int((sources == source).sum()), histogram=histogram)
            for source, histogram in held.items()
        ]
    return WrittenShard(shard=shard, sha256=kept.sha256, end=kept.end, row_end=kept.row_end, tallied=tallied)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Cells ``low..high-1`` of a plan, all of one source; the blocks of a shuffle are numbered."""

    number: int
    source: int
    low: int
    high: int


def deal_block(job: CountsJob, block: Block) -> Tallied:
    """Encode a block and write its cells, sorted by bucket."""
    plan, place = job.plan, _placed(job)[block.low : block.high]
    encoded = np.empty((2, int(plan.needed[block.low : block.high].sum())), np.uint16)
    row_end = np.empty(block.high - block.low, np.int32)
    with tallying(job.n_genes) as tally:
        job.encoders[block.source].encode(plan.row[block.low : block.high], encoded, 0, row_end, tally)
        histogram = tally.take()
    starts = np.concatenate([np.zeros(1, np.int64), row_end[:-1].astype(np.int64)])
    lengths = row_end - starts
    bucket = np.searchsorted(job.cuts, place, side="right") - 1
    order = np.argsort(bucket, kind="stable")
    n_buckets = len(job.cuts) - 1
    cuts = np.searchsorted(bucket[order], np.arange(n_buckets + 1))
    index = np.empty(n_buckets + 1, np.int64)
    index[0] = index.nbytes
    path = job.scratch / f"block-{block.number}"
    made = path.with_name(f"{path.name}-{uuid.uuid4().hex}")
    with system_errors(made), made.open("wb") as file:
        file.seek(index.nbytes)
        for b in range(n_buckets):
            some = order[cuts[b] : cuts[b + 1]]
            index[b + 1] = index[b] + _write_piece(file, place[some], starts[some], lengths[some], encoded)
        file.seek(0)
        file.write(index.tobytes())  # not tofile, which loses the reason where a disk is full
    with system_errors(path):
        made.replace(path)
    return Tallied(source=block.source, n_cells=block.high - block.low, histogram=histogram)


def _write_piece(
    file: Any,
    place: NDArray[np.int64],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    encoded: NDArray[np.uint16],
) -> int:
    """Write what a block has for a bucket; return its bytes."""
    if not len(place):
        return 0
    piece = np.empty((2, int(lengths.sum())), np.uint16)
    gather_rows(encoded, starts, lengths, piece, np.empty(len(place), np.int32))
    packed = blosc.compress(piece, b"lz4", 1, blosc.BITSHUFFLE, 0) if piece.size else b""
    head = np.array([len(place), piece.shape[1]], np.int64)
    return sum(file.write(data) for data in (head.tobytes(), place.tobytes(), lengths.tobytes(), packed))


def write_bucket(job: CountsJob, shards: tuple[int, ...]) -> list[WrittenShard]:
    """Write some shards of one bucket from what all blocks have for it."""
    bucket = shards[0] // job.shards_a_bucket
    place, starts, lengths, entries = _load(job, bucket)
    order = np.argsort(place)
    first_place = int(job.cuts[bucket])
    out = _shard_buffer()
    written = []
    for shard in shards:
        low, high = job.bounds[shard : shard + 2].tolist()
        some = order[low - first_place : high - first_place]
        row_end = np.empty(high - low, np.int32)
        end = gather_rows(entries, starts[some], lengths[some], out, row_end)
        digest = job.files.put((0, shard), out[:, :end])
        written.append(WrittenShard(shard=shard, sha256=digest, end=end, row_end=row_end))
    return written


def _load(
    job: CountsJob, bucket: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint16]]:
    """Read a bucket: the place of each row, where it lies in the entries and its length, and the entries."""
    places, lengths, packed = [], [], []
    for number in range(job.n_blocks):
        data = _read_piece(job.scratch / f"block-{number}", bucket)
        if data:
            n_rows, n_entries = np.frombuffer(data, np.int64, 2).tolist()
            places.append(np.frombuffer(data, np.int64, n_rows, offset=16).copy())
            lengths.append(np.frombuffer(data, np.int64, n_rows, offset=16 + 8 * n_rows).copy())
            packed.append((n_entries, memoryview(data)[16 + 16 * n_rows :]))
    entries = np.empty((2, sum(n for n, _ in packed)), np.uint16)
    at = 0
    for _ in range(len(packed)):
        n, piece = packed.pop(0)
        if n:
            entries[:, at : at + n] = np.frombuffer(blosc.decompress(piece), np.uint16).reshape(2, n)
        at += n
    all_lengths = np.concatenate(lengths)
    return np.concatenate(places), np.cumsum(all_lengths) - all_lengths, all_lengths, entries


def _read_piece(path: Path, bucket: int) -> bytes:
    with system_errors(path):
        handle = os.open(path, os.O_RDONLY)
        try:
            start, stop = np.frombuffer(os.pread(handle, 16, 8 * bucket), np.int64).tolist()
            return os.pread(handle, stop - start, start)
        finally:
            os.close(handle)


def _placed(job: CountsJob) -> NDArray[np.int64]:
    if job.place is None:
        raise TypeError("a shuffle needs an order")
    return job.place


def _shard_buffer() -> NDArray[np.uint16]:
    """Return room for a shard's entries, this thread's own."""
    if not hasattr(_scratch, "out"):
        _scratch.out = np.empty((2, ENTRY_SHARD), np.uint16)
    out: NDArray[np.uint16] = _scratch.out
    return out


BYTES_A_SHARD = 12 * ENTRY_SHARD
"""Memory that a shard's entries take in a bucket: thrice their plain size, for the packed copies and the sorting."""

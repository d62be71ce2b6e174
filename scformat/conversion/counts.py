"""Second pass over the counts: every shard of a part, straight from the sources or through a shuffle on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.rows import row_ranges
from scformat.conversion.shards import (
    BYTES_A_SHARD,
    Block,
    CellPlan,
    CountsJob,
    Kept,
    WrittenShard,
    deal_block,
    recheck_shard,
    write_bucket,
    write_shard,
)
from scformat.conversion.stats import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.conversion.encoder import RowEncoder
    from scformat.conversion.engine import Engine
    from scformat.conversion.journal import Journal
    from scformat.storage import Storage
    from scformat.writing import ArrayWriter


@dataclass(frozen=True, kw_only=True, eq=False)
class Written:
    """What writing the counts of n cells of s sources in k shards gave.

    Attributes
    ----------
    row_end : int32 array, shape (n,)
        End of each row within its shard.
    n_entries
        Entries written.
    digests : uint8 array, shape (k, 64)
        SHA-256 of each shard's file, as hexadecimal digits in ASCII.
    stats : int64 array, shape (4, s, n_genes)
        See :class:`scformat.conversion.stats.Statistics`.
    """

    row_end: NDArray[np.int32]
    n_entries: int
    digests: NDArray[np.uint8]
    stats: NDArray[np.int64]


def write_counts(
    storage: Storage,
    writer: ArrayWriter,
    plan: CellPlan,
    encoders: Sequence[RowEncoder],
    *,
    n_genes: int,
    journal: Journal | None,
    engine: Engine,
    scratch: Path,
    bucket_bytes: int,
    block_values: int,
    advance: Callable[[int], None],
) -> Written:
    """Write every shard of a part that is not there yet.

    Parameters
    ----------
    storage, writer
        Of the entries array.
    plan
        The cells and their order.
    encoders
        One per source of the plan.
    n_genes
        Size of the gene index.
    journal
        Of the shards that are there, and told of each that is written; None where nothing is kept.
    engine
        Runs the tasks: one a shard, or one a block of a source and then one a bucket of shards.
    scratch
        A directory for the shuffle and for large values.
    bucket_bytes, block_values
        Memory that a bucket's task may take, and values a block of a source.
    advance
        Called with the number of cells that a task encoded or wrote.
    """
    bounds = plan.shards()
    n_shards = len(bounds) - 1
    row_end = np.empty(len(plan.row), np.int32)
    digests = np.zeros((n_shards, 64), np.uint8)
    ends = np.zeros(n_shards, np.int64)
    stats = Statistics(np.bincount(plan.source, minlength=len(encoders)).tolist(), n_genes, scratch)
    blocks = [] if plan.order is None else cut_blocks(plan, encoders, block_values)
    writer.prepare()
    job = CountsJob(
        plan=plan,
        bounds=bounds,
        encoders=encoders,
        n_genes=n_genes,
        storage=storage,
        spec=writer.spec,
        files=writer,
        scratch=scratch,
        place=None if plan.order is None else _inverse(plan.order),
        shards_a_bucket=max(1, bucket_bytes // BYTES_A_SHARD),
        n_blocks=len(blocks),
        kept={} if journal is None else _kept(journal, writer, n_shards),
    )

    def there(written: WrittenShard) -> None:
        shard = written.shard
        low, high = bounds[shard : shard + 2].tolist()
        row_end[low:high], ends[shard] = written.row_end, written.end
        digests[shard] = np.frombuffer(written.sha256.encode(), np.uint8)
        writer.adopt((0, shard), written.sha256)
        for part in written.tallied:
            stats.add(part.source, part.n_cells, part.histogram)

    def ended(written: WrittenShard) -> None:
        there(written)
        if journal is not None:
            journal.add(
                "shard",
                writer.spec.key((0, written.shard)),
                arrays={"row_end": written.row_end},
                sha256=written.sha256,
                end=written.end,
            )
        advance(len(written.row_end))

    missing = set(range(n_shards))
    with engine.submit(recheck_shard, job, list(job.kept)) as rechecked:
        for shard, found in rechecked:
            if found is not None:
                missing.discard(shard)
                there(found)
                advance(len(found.row_end))
    if plan.order is None:
        with engine.submit(write_shard, job, sorted(missing)) as shards:
            for _, written in shards:
                ended(written)
    else:
        with engine.submit(deal_block, job, blocks) as dealt:
            for _, tallied in dealt:
                stats.add(tallied.source, tallied.n_cells, tallied.histogram)
                advance(tallied.n_cells)
        buckets: dict[int, list[int]] = {}
        for shard in sorted(missing):
            buckets.setdefault(shard // job.shards_a_bucket, []).append(shard)
        with engine.submit(write_bucket, job, [tuple(some) for some in buckets.values()]) as several:
            for _, some in several:
                for written in some:
                    ended(written)
    return Written(row_end=row_end, n_entries=int(ends.sum()), digests=digests, stats=stats.finish())


def cut_blocks(plan: CellPlan, encoders: Sequence[RowEncoder], block_values: int) -> list[Block]:
    """Cut the cells of each source into blocks of so many stored values at most."""
    blocks: list[Block] = []
    for source, encoder in enumerate(encoders):
        low, high = (int(np.searchsorted(plan.source, source, side=s)) for s in ("left", "right"))
        rows = plan.row[low:high]
        for start, stop in row_ranges(encoder.matrix.matrix, at_most=block_values):
            first, last = np.searchsorted(rows, (start, stop)).tolist()
            if first < last:
                blocks.append(Block(number=len(blocks), source=source, low=low + first, high=low + last))
    return blocks


def _inverse(order: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def _kept(journal: Journal, writer: ArrayWriter, n_shards: int) -> dict[int, Kept]:
    """Shards that an earlier run finished, as far as its journal is whole."""
    found = {}
    if journal.names("shard"):
        for shard in range(n_shards):
            entry = journal.find("shard", writer.spec.key((0, shard)))
            arrays = None if entry is None else journal.read(entry)
            if entry is not None and arrays is not None:
                found[shard] = Kept(sha256=entry.facts["sha256"], end=entry.facts["end"], row_end=arrays["row_end"])
    return found

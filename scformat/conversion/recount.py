"""Shards that an earlier run wrote: they are trusted once every byte is checked, and counted as if written now."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from scformat.codec import DamagedError, decode_index, index_size
from scformat.entries import OK, decode_rows
from scformat.native import decode_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.conversion.stats import GeneStats
    from scformat.storage import ArrayWriter


def shard_is_whole(
    writer: ArrayWriter,
    shard: int,
    digest: str,
    end: int,
    row_end: NDArray[np.int32],
    source: NDArray[np.int32],
    stats: Sequence[GeneStats] | None,
) -> bool:
    """Check a shard's file against its digest, and tell the statistics of its sources what it holds.

    Parameters
    ----------
    writer
        Of the entries array.
    shard
        Number of the shard.
    digest
        SHA-256 that its file must have.
    end
        Entries that it holds.
    row_end : int32 array, shape (n,)
        End of each row of the shard.
    source : int32 array, shape (n,)
        Source of each row; ascending where there are statistics.
    stats
        One per source, or None where the values were counted before.

    Returns
    -------
    bool
        Whether the file is there and whole; if not, nothing was counted.
    """
    data = writer.read((0, shard))
    if data is None or hashlib.sha256(data).hexdigest() != digest:
        return False
    if stats is None:
        return True
    spec = writer.spec
    n_chunks = -(-end // spec.chunk[1])
    chunks = np.empty((n_chunks, *spec.chunk), np.uint16)
    try:
        places = decode_index(data[-index_size(spec) :], spec).reshape(-1, 2)[:n_chunks].astype(np.int64)
        starts, lengths = np.ascontiguousarray(places.T)
        decode_chunks(np.frombuffer(data, np.uint8), starts, lengths, chunks)
    except DamagedError:
        return False
    first = np.concatenate([np.zeros(1, np.int64), row_end[:-1].astype(np.int64)])
    last = row_end.astype(np.int64)
    found = []
    for number in np.unique(source).tolist():
        low, high = (int(np.searchsorted(source, number, side=s)) for s in ("left", "right"))
        n = int(last[high - 1] - first[low])
        offsets, genes, values = np.empty(high - low + 1, np.int64), np.empty(n, np.int32), np.empty(n, np.int64)
        fault, _ = decode_rows(chunks, first[low:high], last[low:high], stats[number].n_genes, offsets, genes, values)
        if fault != OK:
            return False
        found.append((number, genes[: offsets[-1]], values[: offsets[-1]]))
    for number, genes, values in found:
        stats[number].tell(genes, values)
    return True

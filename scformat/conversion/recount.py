"""What a shard of an earlier run holds, counted as if it were written now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.codec import DamagedError, decode_index, index_size
from scformat.conversion.stats import tallying
from scformat.entries import OK, decode_rows
from scformat.native import decode_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.conversion.stats import Histogram
    from scformat.layout import ArraySpec


def recount(
    data: bytes, spec: ArraySpec, end: int, row_end: NDArray[np.int32], source: NDArray[np.int32], n_genes: int
) -> dict[int, Histogram] | None:
    """Count what a shard holds.

    Parameters
    ----------
    data
        Its file.
    spec
        Of the entries array.
    end
        Entries that it holds.
    row_end : int32 array, shape (n,)
        End of each row of the shard.
    source : int32 array, shape (n,)
        Source of each row, ascending.
    n_genes
        Size of the gene index.

    Returns
    -------
    dict or None
        The values of each source; None where the shard is damaged.
    """
    n_chunks = -(-end // spec.chunk[1])
    chunks = np.empty((n_chunks, *spec.chunk), np.uint16)
    try:
        places = decode_index(data[-index_size(spec) :], spec).reshape(-1, 2)[:n_chunks].astype(np.int64)
        starts, lengths = np.ascontiguousarray(places.T)
        decode_chunks(np.frombuffer(data, np.uint8), starts, lengths, chunks)
    except DamagedError:
        return None
    first = np.concatenate([np.zeros(1, np.int64), row_end[:-1].astype(np.int64)])
    last = row_end.astype(np.int64)
    found = {}
    for number in np.unique(source).tolist():
        low, high = (int(np.searchsorted(source, number, side=s)) for s in ("left", "right"))
        n = int(last[high - 1] - first[low])
        offsets, genes, values = np.empty(high - low + 1, np.int64), np.empty(n, np.int32), np.empty(n, np.int64)
        fault, _ = decode_rows(chunks, first[low:high], last[low:high], n_genes, offsets, genes, values)
        if fault != OK:
            return None
        with tallying(n_genes) as tally:
            tally.tell(genes[: offsets[-1]], values[: offsets[-1]])
            found[number] = tally.take()
    return found

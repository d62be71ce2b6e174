"""Rows held small in memory, and batches made of them: kernels without the GIL.

A packed row is a list of 16-bit words, one for each gene with a count: the gap to the gene before it (from 0) in
the low byte and the count in the high one. What does not fit begins with a word whose count is 0: with a gap of 1
there follow the gap and the count in a word each; with a gap of 2, two words of the gap and four of the count, the
lowest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.entries import BAD_DELTA, BAD_GENE, BAD_VALUE, BAD_ZERO, LOST, OK
from scformat.jit import kernel
from scformat.loading.vectors import LANES, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS_AN_ENTRY: Final = 4
"""More than any packed row takes: three words for one entry, seven for two or more."""

_SHORT, _LONG = np.uint16(1), np.uint16(2)
_BYTE, _LOW = np.uint16(8), np.uint16(255)
_PACKED: Final = 32
"""Entries that are packed together: longer runs fit the processor's widest registers, but fail more often."""
_AT_ONCE = np.uint64(_PACKED)  # unsigned places spare the check for negative ones, which stands in the way of vectors
_LANES, _ALL = np.uint64(LANES), np.uint64((1 << LANES) - 1)
_U0, _U1, _U2, _U3, _U4, _U7 = (np.uint64(x) for x in (0, 1, 2, 3, 4, 7))


@kernel
def _put(out: NDArray[np.uint16], at: int, gap: np.int64, count: np.int64) -> int:
    """Pack one gene; return where the next one goes."""
    if gap < 256 and count < 256:
        out[at] = np.uint16(gap | (count << 8))
        return at + 1
    if gap < 65536 and count < 65536:
        out[at] = _SHORT
        out[at + 1] = np.uint16(gap)
        out[at + 2] = np.uint16(count)
        return at + 3
    out[at] = _LONG
    for k in range(2):
        out[at + 1 + k] = np.uint16((gap >> (16 * k)) & 65535)
    for k in range(4):
        out[at + 3 + k] = np.uint16((count >> (16 * k)) & 65535)
    return at + 7


@kernel
def pack_rows(  # noqa: PLR0912, PLR0915 - a kernel calls nothing that takes arrays within its loop
    chunks: NDArray[np.uint16],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    n_genes: int,
    first_gene: int,
    out: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    n_values: NDArray[np.int32],
) -> tuple[int, int]:
    """Pack rows of entries.

    Parameters
    ----------
    chunks : uint16 array, shape (n_chunks, 2, chunk)
    starts, ends : int64 arrays, shape (n_rows,)
        Where each row lies in the chunks laid end to end.
    n_genes
        Size of the gene index.
    first_gene
        What is added to each gene.
    out : uint16 array
        Out; room for :data:`WORDS_AN_ENTRY` words an entry.
    offsets : int64 array, shape (n_rows + 1,)
        Out: where each row lies in `out`.
    n_values : int32 array, shape (n_rows,)
        Out: genes with a count in each row.

    Returns
    -------
    tuple of int
        (fault, row) as :func:`scformat.entries.decode_rows`.
    """
    at = 0
    offsets[0] = 0
    size = chunks.shape[2]
    for row in range(len(starts)):
        left = ends[row] - starts[row]
        chunk = starts[row] // size
        p = starts[row] - chunk * size
        gene, gap, last_gap, last_count = np.int64(0), np.int64(first_gene), np.int64(0), np.int64(0)
        n, last = 0, at
        while left > 0:
            stop = min(size, p + left)
            left -= stop - p
            deltas, counts = chunks[chunk, 0], chunks[chunk, 1]
            check = p
            while p < stop:
                if p >= check and gap == 0 and stop - p >= _PACKED:
                    # Nearly every entry is short, and many at once are packed without a branch; where one is not,
                    # what was written here is written over.
                    bad, sum_ = np.uint16(0), np.uint32(0)
                    p_, at_ = np.uint64(p), np.uint64(at)
                    for k in range(_AT_ONCE):
                        delta_, count_ = deltas[p_ + k], counts[p_ + k]
                        bad |= ((delta_ | count_) >> _BYTE) | np.uint16(delta_ == 0) | np.uint16(count_ == 0)
                        sum_ += np.uint32(delta_)
                        out[at_ + k] = delta_ | (count_ << _BYTE)
                    if bad == 0:
                        gene += np.int64(sum_)
                        p, at, n = p + _PACKED, at + _PACKED, n + _PACKED
                        last, last_gap, last_count = at - 1, np.int64(deltas[p - 1]), np.int64(counts[p - 1])
                        continue
                    check = p + _PACKED
                delta = np.int64(deltas[p])
                count = np.int64(counts[p])
                p += 1
                gene += delta
                if gap == 0 and 0 < delta < 256 and 0 < count < 256:
                    # What a further entry of this gene would need is kept.
                    last, last_gap, last_count = at, delta, count
                    out[at] = np.uint16(delta | (count << 8))
                    at += 1
                    n += 1
                elif count == 0:
                    if delta != 65535:
                        return BAD_ZERO, row
                    gap += 65535
                elif delta == 65535:
                    return (LOST if count == 65535 else BAD_DELTA), row
                elif n > 0 and gap + delta == 0:
                    last_count += count
                    if last_count > 9007199254740991:
                        return BAD_VALUE, row
                    at = _put(out, last, last_gap, last_count)
                else:
                    last, last_gap, last_count = at, gap + delta, count
                    at = _put(out, at, last_gap, count)
                    gap = np.int64(0)
                    n += 1
            chunk += 1
            p = 0
        # Genes only ever grow within a row, so the last one is the largest.
        if gene >= n_genes and ends[row] > starts[row]:
            return BAD_GENE, row
        offsets[row + 1] = at
        n_values[row] = n
    return OK, 0


@kernel
def expand_row(
    words: NDArray[np.uint16],
    start: int,
    stop: int,
    genes: NDArray[np.integer],
    values: NDArray[np.float32],
    first: int,
) -> int:
    """Unpack one row to places `first` on; return its number of genes.

    Places behind the row may be written to, as far as `genes` reaches; all arrays are contiguous.
    Counts above 2^24 become the nearest float32.
    """
    n, gene = np.uint64(first), np.int32(0)
    at, end = np.uint64(start), np.uint64(stop)
    room = np.uint64(len(genes)) if genes.itemsize == 4 else _U0
    of_words, of_genes = np.uint64(words.ctypes.data), np.uint64(genes.ctypes.data)
    of_values = np.uint64(values.ctypes.data)
    while at < end:
        if at + _LANES <= end and n + _LANES <= room:
            found = unpack(of_words + at * _U2, of_genes + n * _U4, of_values + n * _U4, gene)
            if found & _ALL == _ALL:
                gene += np.int32(found >> _LANES)
                at += _LANES
                n += _LANES
                continue
            # What stands after the first word that is no gene by itself is written over.
            single = found & _ALL
            while single & _U1:
                single >>= _U1
                at += _U1
                n += _U1
            if n > np.uint64(first):
                gene = np.int32(genes[n - _U1])
        word = words[at]
        count = np.int64(word >> _BYTE)
        if count > 0:
            gene += np.int32(word & _LOW)
            at += _U1
        elif word == _SHORT:
            gene += np.int32(words[at + _U1])
            count = np.int64(words[at + _U2])
            at += _U3
        else:
            gene += np.int32(words[at + _U1]) | (np.int32(words[at + _U2]) << np.int32(16))
            for i in range(4):
                count |= np.int64(words[at + _U3 + np.uint64(i)]) << (16 * i)
            at += _U7
        genes[n] = gene
        values[n] = np.float32(count)
        n += _U1
    return int(n) - first


@kernel
def sum_row(words: NDArray[np.uint16], start: int, stop: int) -> np.int64:
    """Sum the counts of one row."""
    total = np.int64(0)
    at = start
    while at < stop:
        word = words[at]
        if word >> 8:
            total += np.int64(word >> 8)
            at += 1
        elif word == _SHORT:
            total += np.int64(words[at + 2])
            at += 3
        else:
            for k in range(4):
                total += np.int64(words[at + 3 + k]) << (16 * k)
            at += 7
    return total

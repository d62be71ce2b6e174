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
from scformat.jit import borrowed, kernel, returned, taken
from scformat.loading.vectors import LANES, ordered, pack, store_past, unpack
from scformat.native import decode_one
from scformat.pool import ALIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORDS_AN_ENTRY: Final = 4
"""More than any entry takes but the first of a row: three words, or seven for two or more of one gene."""
_LINE: Final = ALIGNED // 2
"""Words that rows are aligned to."""
MORE_A_ROW: Final = 3 + _LINE
"""What the first entry takes beyond that, where it is of a gene far from 0 (see `first_gene` of :func:`pack_rows`), and
what a row leaves free at its end."""

_SHORT, _LONG = np.uint16(1), np.uint16(2)
_BYTE, _LOW = np.uint16(8), np.uint16(255)
_LOW_BYTE, _STEPS = np.uint64(255), np.uint64(2**64 - LANES)
_U0, _U1, _U2, _U3, _U4, _U7, _U8 = (np.uint64(x) for x in (0, 1, 2, 3, 4, 7, 8))


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
    stored: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]] | None,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    n_genes: int,
    first_gene: int,
    words: NDArray[np.uint16],
    used: NDArray[np.int64],
    row_starts: NDArray[np.int64],
    row_stops: NDArray[np.int64],
    n_values: NDArray[np.int32],
) -> tuple[int, int]:
    """Pack rows of entries, behind what others pack at the same time.

    Parameters
    ----------
    chunks : uint16 array, shape (n_chunks, 2, chunk)
        All of them; or room for one.
    stored : (data uint8, offsets int64 (n_chunks,), lengths int64 (n_chunks,)), or None
        The chunks as they are stored, each decoded where the first row that lies in it comes; None: they are decoded.
    starts, ends : int64 arrays, shape (n_rows,)
        Where each row lies in the chunks laid end to end.
    n_genes
        Size of the gene index.
    first_gene
        What is added to each gene.
    words : uint16 array
        Out; aligned to :data:`scformat.pool.ALIGNED` bytes, with room for :data:`WORDS_AN_ENTRY` words an entry and
        :data:`MORE_A_ROW` a row.
    used : int64 array, shape (1,)
        Words that are taken: added to.
    row_starts, row_stops : int64 arrays, shape (n_rows,)
        Out: where each row lies in `words`.
    n_values : int32 array, shape (n_rows,)
        Out: genes with a count in each row.

    Returns
    -------
    tuple of int
        (fault, row) as :func:`scformat.entries.decode_rows`; or (-fault, chunk), see
        :func:`scformat.native.decode_one`.
    """
    size = chunks.shape[2]
    n_chunks = len(chunks) if stored is None else len(stored[1])
    longest = np.int64(0)
    for row in range(len(starts)):
        if starts[row] < 0 or ends[row] < starts[row] or ends[row] > size * n_chunks:
            raise IndexError("a row outside of the chunks")
        longest = max(longest, ends[row] - starts[row])
    # A chunk and a row stay in the innermost cache from one step to the next. Where rows go they are not read before
    # all others are there too.
    out = np.empty(WORDS_AN_ENTRY * longest + MORE_A_ROW + 2 * _LINE, np.uint16)
    out = out[(-(out.ctypes.data // 2)) % _LINE :]
    of_out, of_words = np.uint64(out.ctypes.data), np.uint64(words.ctypes.data)
    apart = np.empty(4 * size, np.uint8)
    chunks, planes = borrowed(chunks), borrowed(apart)
    one = chunks.reshape(-1).view(np.uint8)
    data = one if stored is None else borrowed(stored[0])
    decoded = np.int64(-1)
    for row in range(len(starts)):
        at = 0
        left = ends[row] - starts[row]
        chunk = starts[row] // size
        p = starts[row] - chunk * size
        gene, gap, last_gap, last_count = np.int64(0), np.int64(first_gene), np.int64(0), np.int64(0)
        n, last = 0, at
        while left > 0:
            stop = min(size, p + left)
            left -= stop - p
            here = chunk
            if stored is not None:
                if chunk != decoded:
                    fault = decode_one(data, stored[1][chunk], stored[2][chunk], one, planes)
                    if fault:
                        return -fault, chunk
                    decoded = chunk
                here = np.int64(0)
            deltas, counts = chunks[here, 0], chunks[here, 1]
            while p < stop:
                if gap == 0 and p + LANES <= size and at + LANES <= len(out):
                    # Nearly every entry is short: many at once, up to the first that is not.
                    room = np.uint64(min(LANES, stop - p))
                    of_deltas, of_counts = np.uint64(deltas.ctypes.data), np.uint64(counts.ctypes.data)
                    here = _U2 * np.uint64(p)
                    found = pack(of_deltas + here, of_counts + here, of_out + _U2 * np.uint64(at), room)
                    gene += np.int64(found >> _U8)
                    k = int(found & _LOW_BYTE)
                    if k == LANES:  # a step of a fixed size: the processor begins the next one before it knows
                        p, at, n = p + LANES, at + LANES, n + LANES
                        last = at - 1
                        continue
                    p, at, n = p + k, at + k, n + k
                    last = at - 1 if k > 0 else last
                    if p == stop:
                        continue
                delta = np.int64(deltas[p])
                count = np.int64(counts[p])
                p += 1
                gene += delta
                if gap == 0 and 0 < delta < 256 and 0 < count < 256:
                    last = at
                    out[at] = np.uint16(delta | (count << 8))
                    at += 1
                    n += 1
                elif count == 0:
                    if delta != 65535:
                        return BAD_ZERO, row
                    gap += 65535
                elif delta == 65535:
                    return (LOST if count == 65535 else BAD_DELTA), row
                elif n > 0 and gap + delta == 0:  # a further entry of the last gene
                    if out[last] >> _BYTE:
                        last_gap, last_count = np.int64(out[last] & _LOW), np.int64(out[last] >> _BYTE)
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
        n_values[row] = n
        lines = (at + _LINE - 1) // _LINE * _LINE
        begin = taken(used, lines)
        if lines:
            store_past(of_out, of_words + _U2 * np.uint64(begin), _U2 * np.uint64(lines))
        row_starts[row], row_stops[row] = begin, begin + at
    ordered()
    returned(apart)
    return OK, 0


@kernel
def expand_row(
    words: NDArray[np.uint16],
    start: int,
    stop: int,
    coming: int,
    genes: NDArray[np.integer],
    values: NDArray[np.float32],
    first: int,
) -> int:
    """Unpack one row to places `first` on; return its number of genes.

    Places behind the row may be written to, as far as `genes` reaches; all arrays are contiguous. `coming` is where
    the row begins that is unpacked next: rows lie anywhere, and the memory answers sooner if it is told.
    Counts above 2^24 become the nearest float32.
    """
    n, gene = np.uint64(first), np.int32(0)
    at, end, held = np.uint64(start), np.uint64(stop), np.uint64(len(words))
    room = np.uint64(len(genes)) if genes.itemsize == 4 else _U0
    of_words, of_genes = np.uint64(words.ctypes.data), np.uint64(genes.ctypes.data)
    of_values = np.uint64(values.ctypes.data)
    ahead = np.uint64(coming) - np.uint64(start)
    while at < end:
        # As many as there are, or as steps that are whole have room to read from and to write to.
        most = min(end - at, min(held - at, room - n) & _STEPS) if n < room else _U0
        if most > _U0:
            here, soon = of_words + at * _U2, of_words + (at + ahead) * _U2
            k = unpack(here, of_genes + n * _U4, of_values + n * _U4, gene, most, soon)
            at += k
            n += k
            if at == end:
                break
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

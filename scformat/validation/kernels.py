"""Checks of entries, of source rows and of offsets, compiled, without the GIL. Written apart from the reader's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

OK, BAD_ZERO, BAD_DELTA, LOST, BAD_GENE, BAD_VALUE, BAD_FORM = range(7)
FAULTS = {
    BAD_ZERO: ("CNT-4", "an entry with the count 0 whose delta is not 65535"),
    BAD_DELTA: ("CNT-4", "an entry with the delta 65535 and a count"),
    LOST: ("ZAR-18", "an entry is the fill value"),
    BAD_GENE: ("CNT-5", "a gene beyond the index"),
    BAD_VALUE: ("CNT-5", "a value of 2^53 or more"),
    BAD_FORM: ("CNT-3", "the entries are not the canonical form"),
}
"""Requirement and text of each fault of a row."""

CELLS, SUM, SQUARES, BELOW, AT_MOST, MEDIAN = range(6)
N_FIGURES = 6
"""Figures that are kept of each gene and source. The median is the stated one, so that two counters check it."""

_LARGEST = 2**53 - 1
_FULL = 2**62
SATURATED = 2**63 - 1
"""Sum of squares that is too large for 63 bits."""
_LARGEST_ROOT = 3_037_000_499


@kernel
def _add(figures: NDArray[np.int64], value: np.int64) -> None:
    """Add a value of a gene to the six figures of its source."""
    figures[CELLS] += 1
    figures[SUM] = min(figures[SUM] + value, _FULL)
    if value > _LARGEST_ROOT or figures[SQUARES] > SATURATED - value * value:
        figures[SQUARES] = SATURATED
    else:
        figures[SQUARES] += value * value
    if value < figures[MEDIAN]:
        figures[BELOW] += 1
    if value <= figures[MEDIAN]:
        figures[AT_MOST] += 1


@kernel
def check_rows(  # noqa: PLR0912, PLR0915 - one loop over the entries; calls would cost half its speed
    entries: NDArray[np.uint16],
    ends: NDArray[np.int64],
    source: NDArray[np.int64],
    n_genes: int,
    keys: NDArray[np.uint64],
    figures: NDArray[np.int64],
    total: NDArray[np.int64],
    genes: NDArray[np.int64],
    content: NDArray[np.int64],
    faults: NDArray[np.uint8],
) -> None:
    """Check the rows of a shard and measure them.

    Parameters
    ----------
    entries : uint16 array, shape (2, n)
    ends : int64 array, shape (n_rows,)
        Where each row ends, ascending, none beyond `entries`; the first begins at 0.
    source : int64 array, shape (n_rows,)
        Source of each row within the part, -1 for one that is not there.
    n_genes
        Genes of the part.
    keys : uint64 array, shape (n_genes,)
        Content key of each gene.
    figures : int64 array, shape (n_sources, n_genes, 6)
        Added to.
    total, genes, content : int64 arrays, shape (n_rows,)
        Out: sum of the counts, genes with a count, content hash.
    faults : uint8 array, shape (n_rows,)
        Out: the first fault of each row, 0 for none; the other results of a row with a fault mean nothing, but
        for ``BAD_FORM``.
    """
    start = 0
    for row in range(len(ends)):
        stop = ends[row]
        where = source[row]
        gene = np.int64(0)
        value = np.int64(0)
        current = np.int64(0)
        last = np.int64(0)
        after_gap = False
        fault = OK
        form = OK
        sum_: Any = np.int64(0)
        n = 0
        hash_ = np.uint64(0)
        for p in range(start, stop):
            delta = np.int64(entries[0, p])
            count = np.int64(entries[1, p])
            if count == 0:
                if delta != 65535:
                    fault = BAD_ZERO
                    break
                gene += delta
                after_gap = True
                continue
            if delta == 65535:
                fault = LOST if count == 65535 else BAD_DELTA
                break
            gene += delta
            if gene >= n_genes:
                fault = BAD_GENE
                break
            if delta == 0 and p > start and not after_gap:
                if last != 65535:
                    form = BAD_FORM
                value += count
            else:
                if value > 0 and where >= 0:
                    _add(figures[where, current], value)
                current = gene
                value = count
                n += 1
            if value > _LARGEST:
                fault = BAD_VALUE
                break
            sum_ = min(sum_ + count, _FULL)
            hash_ += np.uint64(count) * keys[gene]
            last = count
            after_gap = False
        if fault == OK and after_gap:
            fault = BAD_GENE if gene >= n_genes else OK
            form = BAD_FORM
        if fault == OK and value > 0 and where >= 0:
            _add(figures[where, current], value)
        hash_ ^= hash_ >> np.uint64(32)
        hash_ *= np.uint64(0xD6E8FEB86659FD93)
        total[row] = sum_
        genes[row] = n
        content[row] = np.int64(hash_ >> np.uint64(1))
        faults[row] = fault if fault != OK else form
        start = stop


@kernel
def mark_rows(bits: NDArray[np.uint64], rows: NDArray[Any]) -> tuple[int, int]:
    """Set the bit of each row; return how many were set before, and the first place in `rows` of such a one or -1."""
    n = 0
    first = -1
    for i in range(len(rows)):
        word = rows[i] >> 6
        bit = np.uint64(1) << np.uint64(rows[i] & 63)
        if bits[word] & bit:
            if n == 0:
                first = i
            n += 1
        bits[word] |= bit
    return n, first

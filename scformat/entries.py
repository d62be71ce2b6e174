"""The row encoding: a cell as (gene delta, count) pairs of uint16. Numba kernels, all of them without the GIL.

Before a row's first entry g = 0. Each entry adds its delta to g; the value of gene g is the sum of the counts
of the entries that end there. A gap of d genes takes d div 65,535 entries (65535, 0), then one of d mod 65,535;
a count v takes ceil(v / 65535) entries, all but the last 65,535, later ones with delta 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEAR_BINS = 16
FAR_BINS = 256
"""Non-zero values are counted one bin each: below NEAR_BINS in a table of one cache line a gene, below FAR_BINS
in a second one; larger ones (rare in counts of molecules) are listed one by one."""

OK, NOT_WHOLE, NEGATIVE, NOT_A_NUMBER, TOO_LARGE, BAD_COLUMN = range(6)
FAULTS = {
    NOT_WHOLE: "a fraction",
    NEGATIVE: "a negative number",
    NOT_A_NUMBER: "NaN",
    TOO_LARGE: "a number of 2^53 or more",
    BAD_COLUMN: "a column index outside of the matrix",
}
BAD_DELTA, BAD_ZERO, BAD_GENE, BAD_VALUE, LOST = range(1, 6)
DECODE_FAULTS = {
    BAD_DELTA: "a gene delta of 65,535 with a count",
    BAD_ZERO: "an entry with no count that is no gap",
    BAD_GENE: "a gene beyond the index",
    BAD_VALUE: "a count of 2^53 or more",
    LOST: "fill values where entries should be: a chunk is missing",
}


def _cttz(typing_context: Any, word: Any) -> Any:
    """Count the zero bits below the lowest set bit of a uint64, in one instruction."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, 1))

    return types.uint64(types.uint64), generate


_trailing_zeros: Any = intrinsic(_cttz)


@kernel
def scan_rows(
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    data: NDArray[Any],
    keys: NDArray[np.uint64],
    detection: NDArray[np.int64],
    seen: NDArray[np.int64],
    first_row: int,
    needed: NDArray[np.int64],
    total: NDArray[np.int64],
    n_genes: NDArray[np.int64],
    content: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Check the values of CSR rows and measure each row.

    Parameters
    ----------
    offsets, indices, data
        A block of rows as CSR; entries of one column may repeat, zeros may be stored.
    keys : uint64 array, shape (n_columns,)
        Content key of each column.
    detection : int64 array, shape (n_columns,)
        Rows with a non-zero value in each column: added to.
    seen : int64 array, shape (n_columns,)
        Scratch, kept between calls; starts at -1.
    first_row
        Number of the block's first row in its source.
    needed, total, n_genes, content : int64 arrays, shape (n_rows,)
        Out: entries that the row may take at most (gaps aside), sum of its counts, columns with a non-zero
        count, and the content hash (63 bits).

    Returns
    -------
    tuple of int
        (fault, row, position in the block) of the first bad value; fault 0 where there is none.
    """
    n_columns = len(keys)
    for row in range(len(offsets) - 1):
        entries = 0
        sum_ = 0
        genes = 0
        hash_ = np.uint64(0)
        for p in range(offsets[row], offsets[row + 1]):
            column = indices[p]
            if column < 0 or column >= n_columns:
                return BAD_COLUMN, row, p
            value = data[p]
            if value == 0:
                continue
            if not value >= 0:
                return (NEGATIVE if value < 0 else NOT_A_NUMBER), row, p
            if value >= 9007199254740992.0:
                return TOO_LARGE, row, p
            count = int(value)
            if count != value:
                return NOT_WHOLE, row, p
            entries += 1
            if count > 65535:
                entries += (count - 1) // 65535
            sum_ += count
            hash_ += np.uint64(count) * keys[column]
            if seen[column] != first_row + row:
                seen[column] = first_row + row
                detection[column] += 1
                genes += 1
        needed[row] = entries
        total[row] = sum_
        n_genes[row] = genes
        hash_ ^= hash_ >> np.uint64(32)
        hash_ *= np.uint64(0xD6E8FEB86659FD93)
        content[row] = np.int64(hash_ >> np.uint64(1))
    return OK, 0, 0


@kernel
def encode_rows(
    rows: NDArray[np.int64],
    offsets: NDArray[np.int64],
    indices: NDArray[Any],
    data: NDArray[Any],
    gene_of_column: NDArray[np.int32],
    dense: NDArray[np.int64],
    bits: NDArray[np.uint64],
    near: NDArray[np.uint32],
    far: NDArray[np.uint32],
    large: NDArray[np.int64],
    out: NDArray[np.uint16],
    start: int,
    row_end: NDArray[np.int32],
) -> tuple[int, int]:
    """Encode CSR rows as entries, genes ascending, columns of one gene summed.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        Which rows of the block to encode, in this order.
    offsets, indices, data
        The block, checked by :func:`scan_rows`.
    gene_of_column : int32 array, shape (n_columns,)
        Gene of each column, -1 for a column that is left out.
    dense : int64 array, shape (n_genes,), and bits : uint64 array, shape (n_genes / 64 rounded up,)
        Scratch, all zero before and after.
    near, far : uint32 arrays, shapes (n_genes, NEAR_BINS) and (n_genes, FAR_BINS)
        Added to: cells of each gene with each small non-zero value.
    large : int64 array, shape (2, n_large)
        Out: (gene, value) of the values beyond both.
    out : uint16 array, shape (2, capacity)
        Out: the entries from column `start` on.
    row_end : int32 array, shape (n,)
        Out: end of each row in `out`.

    Returns
    -------
    tuple of int
        End of the last row in `out`, and the number of values put in `large`.
    """
    end = start
    n_large = 0
    for k in range(len(rows)):
        row = rows[k]
        for p in range(offsets[row], offsets[row + 1]):
            target = gene_of_column[indices[p]]
            value = np.int64(data[p])
            if target >= 0 and value > 0:
                dense[target] += value
                bits[target >> 6] |= np.uint64(1) << np.uint64(target & 63)
        at = np.int64(0)
        for w in range(len(bits)):
            word = bits[w]
            bits[w] = 0
            while word != 0:
                gene = (w << 6) + np.int64(_trailing_zeros(word))
                word &= word - np.uint64(1)
                count = dense[gene]
                dense[gene] = 0
                if count < NEAR_BINS:
                    near[gene, count] += np.uint32(1)
                elif count < FAR_BINS:
                    far[gene, count] += np.uint32(1)
                else:
                    large[0, n_large] = gene
                    large[1, n_large] = count
                    n_large += 1
                gap = gene - at
                at = gene
                while gap >= 65535:
                    out[0, end] = 65535
                    out[1, end] = 0
                    end += 1
                    gap -= 65535
                while count > 65535:
                    out[0, end] = gap
                    out[1, end] = 65535
                    end += 1
                    gap = np.int64(0)
                    count -= 65535
                out[0, end] = gap
                out[1, end] = count
                end += 1
        row_end[k] = end
    return end, n_large


@kernel
def decode_rows(
    chunks: NDArray[np.uint16],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    n_genes: int,
    offsets: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.int64],
) -> tuple[int, int]:
    """Decode rows to CSR, genes ascending, one value a gene.

    Parameters
    ----------
    chunks : uint16 array, shape (n_chunks, 2, chunk)
        Chunks of entries that hold the rows.
    starts, ends : int64 arrays, shape (n_rows,)
        Where each row lies in the chunks laid end to end; any order, repeats allowed.
    n_genes
        Size of the gene index.
    offsets : int64 array, shape (n_rows + 1,); indices : int32 array; data : int64 array
        Out; `indices` and `data` have room for the sum of the rows' lengths.

    Returns
    -------
    tuple of int
        (fault, row): a key of :data:`DECODE_FAULTS` and the first row that has it; (0, 0) where none has.
    """
    at = 0
    offsets[0] = 0
    size = chunks.shape[2]
    for row in range(len(starts)):
        first = at
        gene = np.int64(0)
        chunk = starts[row] // size
        p = starts[row] - chunk * size - 1
        for _ in range(ends[row] - starts[row]):
            p += 1
            if p == size:
                p = 0
                chunk += 1
            delta = np.int64(chunks[chunk, 0, p])
            count = np.int64(chunks[chunk, 1, p])
            gene += delta
            if count == 0:
                if delta != 65535:
                    return BAD_ZERO, row
                continue
            if delta == 65535:
                return (LOST if count == 65535 else BAD_DELTA), row
            if gene >= n_genes:
                return BAD_GENE, row
            if at > first and indices[at - 1] == gene:
                data[at - 1] += count
                if data[at - 1] > 9007199254740991:
                    return BAD_VALUE, row
            else:
                indices[at] = gene
                data[at] = count
                at += 1
        if gene >= n_genes and ends[row] > starts[row]:
            return BAD_GENE, row
        offsets[row + 1] = at
    return OK, 0


@kernel
def gather_rows(
    pieces: NDArray[np.uint16],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    out: NDArray[np.uint16],
    row_end: NDArray[np.int32],
) -> int:
    """Copy rows of entries, one after another, into a shard.

    Parameters
    ----------
    pieces : uint16 array, shape (2, n)
        Entries in any order of rows.
    starts, lengths : int64 arrays, shape (n_rows,)
        Where each row lies in `pieces`, in the order wanted.
    out : uint16 array, shape (2, capacity)
        Out.
    row_end : int32 array, shape (n_rows,)
        Out: end of each row in `out`.

    Returns
    -------
    int
        Number of entries written.
    """
    end = 0
    for row in range(len(starts)):
        start = starts[row]
        for p in range(lengths[row]):
            out[0, end] = pieces[0, start + p]
            out[1, end] = pieces[1, start + p]
            end += 1
        row_end[row] = end
    return end


def max_gap_entries(n_genes: int) -> int:
    """Gap entries that a row over `n_genes` genes can take at most."""
    return max(n_genes - 1, 0) // 65535

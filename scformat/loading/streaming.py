"""Dense batches that are larger than what a processor's caches keep, written past them.

Zeros and values put together in memory would cross the bus three times: read to be written over, written, and read
again for the values. Here a few thousand columns at a time are put together in the innermost cache and then stored
to where they go without reading what was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import borrowed, kernel, returned
from scformat.loading.cell import TOO_MANY_MOLECULES, make_cell
from scformat.loading.vectors import ordered, store_past
from scformat.pool import ALIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE: Final = 4 << 20
"""Bytes of a batch that is written so: smaller ones may still be in a cache when they are used."""
_COLUMNS: Final = 2048
"""That are put together at once: 8 KB."""
_SOME = np.uint64(8)
"""Values that are put in place at once, where the last of them still belongs there."""
_U4 = np.uint64(4)


@kernel
def stream_dense(
    words: NDArray[np.uint16],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    total: NDArray[np.int64],
    positions: NDArray[np.uint64],
    seed: np.uint64,
    codes: NDArray[np.int64],
    arguments: NDArray[np.float64],
    column_of_gene: NDArray[np.int32],
    n_genes: int,
    out: NDArray[np.float32],
) -> tuple[int, int]:
    """Write dense rows, their columns in the order of the genes; return (fault, row).

    Parameters
    ----------
    words, starts, stops, total, positions, seed, codes, arguments, column_of_gene
        See :func:`scformat.loading.cell.make_cell`; one item a row.
    n_genes
        Most values a row has.
    out : float32 array, shape (n_rows, n_columns)
        Out; contiguous, aligned to :data:`scformat.pool.ALIGNED` bytes.
    """
    words, codes, arguments = borrowed(words), borrowed(codes), borrowed(arguments)
    column_of_gene = borrowed(column_of_gene)
    of_cell = np.empty(n_genes, np.int32), np.empty(n_genes, np.float32), np.empty(256, np.float32)
    columns, values, known = borrowed(of_cell[0]), borrowed(of_cell[1]), borrowed(of_cell[2])
    room = np.zeros(_COLUMNS + ALIGNED // 4, np.float32)
    skipped = (-(room.ctypes.data // 4)) % (ALIGNED // 4)
    here = room[skipped : skipped + _COLUMNS]
    size, width = np.uint64(_COLUMNS), np.uint64(out.shape[1])
    of_here, of_out = np.uint64(here.ctypes.data), np.uint64(out.ctypes.data)
    # Places are counted through all rows: where one row ends and the next begins is nothing special.
    low, first = np.uint64(0), np.uint64(0)
    for row in range(len(starts)):
        coming = starts[min(row + 1, len(starts) - 1)]
        place = (starts[row], stops[row], coming, total[row], seed, positions[row])
        n = make_cell(words, *place, codes, arguments, column_of_gene, columns, values, 0, known)
        if n < 0:
            return TOO_MANY_MOLECULES, row
        k, stop, written = np.uint64(0), np.uint64(n), np.uint64(0)
        shared = bool(low < first)
        while low + size <= first + width:
            shift, end = first - low, np.int64(low + size) - np.int64(first)
            while k + _SOME <= stop and columns[k + _SOME - np.uint64(1)] < end:
                for i in range(k, k + _SOME):
                    here[shift + np.uint64(np.uint32(columns[i]))] = values[i]
                k += _SOME
            while k < stop and columns[k] < end:
                here[shift + np.uint64(np.uint32(columns[k]))] = values[k]
                k += np.uint64(1)
            store_past(of_here, of_out + _U4 * low, _U4 * size)
            if shared:  # with rows before
                here[:] = np.float32(0)
                shared = False
            else:  # fewer stores than for all of it
                for i in range(written, k):
                    here[shift + np.uint64(np.uint32(columns[i]))] = np.float32(0)
            written = k
            low += size
        shift = first - low
        while k < stop:
            here[shift + np.uint64(np.uint32(columns[k]))] = values[k]
            k += np.uint64(1)
        first += width
    flat = out.reshape(-1)
    for i in range(first - low):
        flat[low + np.uint64(i)] = here[i]
    ordered()
    returned(of_cell[0]), returned(of_cell[1]), returned(of_cell[2])
    return 0, 0

"""Dense batches that are larger than what a processor's caches keep, written past them.

Zeros and values put together in memory would cross the bus three times: read to be written over, written, and read
again for the values. Here a few thousand columns at a time are put together in the innermost cache and then stored
to where they go without reading what was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from scformat.jit import kernel
from scformat.loading.cell import TOO_MANY_MOLECULES, make_cell
from scformat.pool import ALIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGE: Final = 4 << 20
"""Bytes of a batch that is written so: smaller ones may still be in a cache when they are used."""
_COLUMNS: Final = 2048
"""That are put together at once: 8 KB."""
_LANES: Final = 64
_U4 = np.uint64(4)


def _store_past(typing_context: Any, source: Any, target: Any, size: Any) -> Any:
    """Make the loop that copies a multiple of 64 floats with stores that no cache keeps."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        start, to, n_bytes = args
        word, floats = ir.IntType(64), ir.VectorType(ir.FloatType(), _LANES)
        before = builder.block
        loop, after = (builder.append_basic_block(name) for name in ("past", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        at = builder.phi(word)
        at.add_incoming(ir.Constant(word, 0), before)
        some = builder.load(builder.inttoptr(builder.add(start, at), floats.as_pointer()), align=ALIGNED)
        stored = builder.store(some, builder.inttoptr(builder.add(to, at), floats.as_pointer()), align=ALIGNED)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        following = builder.add(at, ir.Constant(word, 4 * _LANES))
        at.add_incoming(following, loop)
        builder.cbranch(builder.icmp_unsigned("<", following, n_bytes), loop, after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), generate


def _fence(typing_context: Any) -> Any:
    """Make what orders those stores before whatever tells others of them."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


_past: Any = intrinsic(_store_past)
_ordered: Any = intrinsic(_fence)


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
    columns, values = np.empty(n_genes, np.int32), np.empty(n_genes, np.float32)
    known = np.empty(256, np.float32)
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
        k, stop = np.uint64(0), np.uint64(n)
        while low + size <= first + width:
            shift, end = first - low, np.int64(low + size) - np.int64(first)
            while k < stop and columns[k] < end:
                here[shift + np.uint64(np.uint32(columns[k]))] = values[k]
                k += np.uint64(1)
            _past(of_here, of_out + _U4 * low, _U4 * size)
            here[:] = np.float32(0)
            low += size
        shift = first - low
        while k < stop:
            here[shift + np.uint64(np.uint32(columns[k]))] = values[k]
            k += np.uint64(1)
        first += width
    flat = out.reshape(-1)
    for i in range(first - low):
        flat[low + np.uint64(i)] = here[i]
    _ordered()
    return 0, 0

"""Blocks of rows of bounded size from a matrix of any layout, as CSR with whole-number types numba knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.sources.base import Block, CountsMatrix

KERNEL_TYPES = ("float32", "float64", "int32", "int64")
"""Value types that the kernels are compiled for; others are widened."""


def row_ranges(matrix: CountsMatrix, *, at_most: int) -> list[tuple[int, int]]:
    """Cut a CSR or dense matrix into consecutive row ranges of at most `at_most` stored values, one row at least.

    Ranges of a chunked dense matrix are whole chunks, so that none is decoded twice.
    """
    n_rows, n_columns = matrix.shape
    if matrix.layout == "dense":
        step = max(1, at_most // max(1, n_columns))
        step = max(matrix.row_step, step // matrix.row_step * matrix.row_step)
        return [(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
    offsets = matrix.row_offsets()
    ranges = []
    start = 0
    while start < n_rows:
        stop = int(np.searchsorted(offsets, offsets[start] + at_most, side="right")) - 1
        stop = min(max(stop, start + 1), n_rows)
        ranges.append((start, stop))
        start = stop
    return ranges


def ranges_of(matrix: CountsMatrix, rows: NDArray[np.int64], *, at_most: int) -> Iterator[tuple[int, int, slice]]:
    """Yield the row ranges to read for some ascending rows, and which of `rows` each range holds.

    Ranges without a wanted row are not read; each is cut to the wanted rows' extent.
    """
    if len(rows) == 0:
        return
    first = int(rows[0])
    if matrix.layout == "dense":
        step = max(matrix.row_step, at_most // max(1, matrix.shape[1]))
        group = rows // step
    else:
        offsets = matrix.row_offsets()
        group = (offsets[rows] - offsets[first]) // at_most
    cuts = np.flatnonzero(np.diff(group)) + 1
    for low, high in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
        yield int(rows[low]), int(rows[high - 1]) + 1, slice(low, high)


def as_csr(block: Block) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """Return a block's (offsets, indices, data); of a dense block, its values other than 0, NaN among them."""
    if block.dense is not None:
        values = np.ascontiguousarray(kernel_type(block.dense))
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum(np.count_nonzero(values, axis=1), out=offsets[1:])
        indices = np.empty(offsets[-1], np.int32)
        data = np.empty(offsets[-1], values.dtype)
        _compress(values, offsets, indices, data)
        return offsets, indices, data
    if block.offsets is None or block.indices is None or block.data is None:
        raise TypeError("a block is either dense or sparse")
    return block.offsets, block.indices, kernel_type(block.data)


def kernel_type(values: NDArray[Any]) -> NDArray[Any]:
    """Return values in a type that the kernels are compiled for, without changing any."""
    if values.dtype.name in KERNEL_TYPES:
        return values
    if values.dtype.kind == "u" and values.dtype.itemsize == 8:
        # Beyond 2^62 a count is too large in any case, and stays so.
        values = np.minimum(values, np.uint64(2**62))
    wide: NDArray[Any] = values.astype(np.float64 if values.dtype.kind == "f" else np.int64)
    return wide


@kernel
def _compress(values: NDArray[Any], offsets: NDArray[np.int64], indices: NDArray[np.int32], data: NDArray[Any]) -> None:
    for row in range(values.shape[0]):
        at = offsets[row]
        for column in range(values.shape[1]):
            value = values[row, column]
            if value != 0:
                indices[at] = column
                data[at] = value
                at += 1

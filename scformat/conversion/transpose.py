"""A matrix stored by columns becomes one stored by rows, out of core.

Entries are dealt to buckets of consecutive rows, one file each, and every bucket is then sorted by row in
memory. Two passes over the source, and twice its entries on the disk for a while.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.conversion.rows import kernel_type
from scformat.errors import InvalidDataError
from scformat.jit import kernel
from scformat.sources.matrices import SparseMatrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.sources.base import CountsMatrix


class FileRows:
    """A vector in a raw file, read piece by piece with plain reads, so that it never counts as memory."""

    row_step = 1

    def __init__(self, path: Path, dtype: np.dtype[Any], n: int) -> None:
        self._path = path
        self.dtype = dtype
        self.shape = (n,)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read elements ``start..stop-1``."""
        return np.fromfile(self._path, self.dtype, count=stop - start, offset=start * self.dtype.itemsize)


def transpose(matrix: CountsMatrix, directory: Path, *, where: str, at_most: int) -> None:
    """Make a row-wise copy of a CSC matrix, columns ascending within a row; :func:`open_transposed` reads it.

    Parameters
    ----------
    matrix
        A CSC matrix.
    directory
        Where the copy shall be; it appears whole, and where there is one already, nothing happens. It is needed for
        as long as the copy is read.
    where
        File and place, for messages.
    at_most
        Entries to hold in memory at once.
    """
    made = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f"{directory.name}-"))
    try:
        _write(matrix, made, where=where, at_most=at_most)
        if not directory.exists():
            made.rename(directory)
    except OSError:
        if not directory.exists():  # or another process was faster with the same copy
            raise
    finally:
        shutil.rmtree(made, ignore_errors=True)


def open_transposed(matrix: CountsMatrix, directory: Path, *, where: str) -> CountsMatrix:
    """Open the row-wise copy of a CSC matrix."""
    offsets = np.load(directory / "offsets.npy")
    n = int(offsets[-1])
    return SparseMatrix(
        location=matrix.location,
        where=where,
        layout="csr",
        shape=matrix.shape,
        offsets=offsets,
        indices=FileRows(directory / "indices", np.dtype(np.int32), n),
        data=FileRows(directory / "data", kernel_type(np.empty(0, matrix.dtype)).dtype, n),
        var=lambda: matrix.var,
    )


def _write(matrix: CountsMatrix, directory: Path, *, where: str, at_most: int) -> None:
    n_rows = matrix.shape[0]
    counts = np.zeros(n_rows, np.int64)
    for start, stop in _column_ranges(matrix, at_most):
        rows = matrix.read_columns(start, stop).indices
        if rows is not None and len(rows):
            if rows.min() < 0 or rows.max() >= n_rows:
                raise InvalidDataError(
                    "bad-matrix",
                    "a row index outside of the matrix",
                    where=where,
                    expected=f"0 to {n_rows - 1}",
                    found=f"{rows.min()} to {rows.max()}",
                )
            counts += np.bincount(rows, minlength=n_rows)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    bounds = [0]
    while bounds[-1] < n_rows:
        stop = int(np.searchsorted(offsets, offsets[bounds[-1]] + at_most, side="right")) - 1
        bounds.append(min(max(stop, bounds[-1] + 1), n_rows))
    dtype = _deal(matrix, directory, np.array(bounds, np.int64), at_most)
    np.save(directory / "offsets.npy", offsets)
    with (directory / "indices").open("wb") as index_file, (directory / "data").open("wb") as data_file:
        for bucket, (first, last) in enumerate(itertools.pairwise(bounds)):
            path = directory / f"bucket-{bucket}"
            entries = np.fromfile(path, _record(dtype))
            path.unlink()
            columns, values = np.empty(len(entries), np.int32), np.empty(len(entries), dtype)
            _place(
                entries["row"],
                entries["column"],
                entries["value"],
                offsets[first:last] - offsets[first],
                columns,
                values,
            )
            index_file.write(columns.tobytes())
            data_file.write(values.tobytes())


def _column_ranges(matrix: CountsMatrix, at_most: int) -> Iterator[tuple[int, int]]:
    offsets = matrix.col_offsets()
    start, n = 0, matrix.shape[1]
    while start < n:
        stop = int(np.searchsorted(offsets, offsets[start] + at_most, side="right")) - 1
        stop = min(max(stop, start + 1), n)
        yield start, stop
        start = stop


def _record(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype([("row", np.int32), ("column", np.int32), ("value", dtype)])


def _deal(matrix: CountsMatrix, directory: Path, bounds: NDArray[np.int64], at_most: int) -> np.dtype[Any]:
    """Append every entry to its bucket's file; return the type of the values there."""
    dtype = kernel_type(np.empty(0, matrix.dtype)).dtype
    files = [(directory / f"bucket-{bucket}").open("wb") for bucket in range(len(bounds) - 1)]
    try:
        for start, stop in _column_ranges(matrix, at_most):
            block = matrix.read_columns(start, stop)
            if block.offsets is None or block.indices is None or block.data is None:
                raise TypeError("a block of columns is sparse")
            values = kernel_type(block.data)
            records = np.empty(len(values), _record(dtype))
            records["column"] = np.repeat(np.arange(start, stop, dtype=np.int32), np.diff(block.offsets))
            records["value"] = values
            bucket = np.searchsorted(bounds, block.indices, side="right") - 1
            records["row"] = block.indices - bounds[bucket]
            order = np.argsort(bucket, kind="stable")
            ends = np.cumsum(np.bincount(bucket, minlength=len(files)))
            for file, low, high in zip(files, [0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                file.write(records[order[low:high]].tobytes())
    finally:
        for file in files:
            file.close()
    return dtype


@kernel
def _place(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[Any],
    cursor: NDArray[np.int64],
    out_columns: NDArray[np.int32],
    out_values: NDArray[Any],
) -> None:
    """Scatter entries to their rows; `cursor` holds where each row begins and is used up."""
    for p in range(len(rows)):
        at = cursor[rows[p]]
        cursor[rows[p]] += 1
        out_columns[at] = columns[p]
        out_values[at] = values[p]

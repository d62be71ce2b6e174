"""Graphs over cells, read in blocks: matrices of weights, of which a row holds what one cell is tied to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, UsageError
from scformat.neighbours.lists import MAX_K

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.sources import Block, CountsMatrix

BLOCK_TIES = 1 << 22
"""Elements of a matrix that are read together."""

Ties = tuple["NDArray[np.int64]", "NDArray[np.int64]", "NDArray[Any]"]
"""Rows, columns and weights."""


def read_ties(matrix: CountsMatrix) -> Iterator[Ties]:
    """Yield the ties of a square matrix, those of a row together.

    Stored elements are ties; of a dense matrix those that are not 0. Elements that are stored twice are summed.

    Raises
    ------
    InvalidDataError
        ``index-out-of-range``.
    """
    n = matrix.shape[0]
    if matrix.layout == "csc":
        # By columns nothing is known of a row before all of it has been read: as many elements as are stored.
        offsets = matrix.col_offsets()
        pieces = [matrix.read_columns(low, high) for low, high in _cuts(offsets)]
        turned = _csr(offsets, pieces, n, _where(matrix)).T.tocsr()
        for low, high in _cuts(turned.indptr.astype(np.int64)):
            yield from _ties_of(turned[low:high], low)
        return
    if matrix.layout == "csr":
        offsets = matrix.row_offsets()
        for low, high in _cuts(offsets):
            block = matrix.read_rows(low, high)
            yield from _ties_of(_csr(offsets[low : high + 1] - offsets[low], [block], n, _where(matrix)), low)
        return
    step = -(-max(1, BLOCK_TIES // max(n, 1)) // matrix.row_step) * matrix.row_step
    for low in range(0, n, step):
        dense = matrix.read_rows(low, min(low + step, n)).dense
        assert dense is not None  # the layout says so
        rows, columns = np.nonzero(dense)
        yield rows + low, columns, dense[rows, columns]


def longest_list(matrix: CountsMatrix) -> int:
    """Return the most ties of a row of a CSR matrix.

    Raises
    ------
    UsageError
        ``bad-k``: there are more than a table can have; the user has to choose.
    """
    most = int(np.diff(matrix.row_offsets()).max(initial=1))
    if most > MAX_K:
        raise UsageError("bad-k", "cells have more ties than a table has room for", expected=f"at most {MAX_K}",
                         found=most, hint="say with k how many to keep")  # fmt: skip
    return most


def _cuts(offsets: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of rows of at most :data:`BLOCK_TIES` elements, or one row."""
    low, n = 0, len(offsets) - 1
    while low < n:
        high = int(np.searchsorted(offsets, offsets[low] + BLOCK_TIES, side="right")) - 1
        high = min(max(high, low + 1), n)
        yield low, high
        low = high


def _csr(offsets: NDArray[np.int64], blocks: list[Block], n: int, where: str) -> Any:
    from scipy import sparse

    indices = np.concatenate([block.indices for block in blocks if block.indices is not None] or [np.empty(0, int)])
    data = np.concatenate([block.data for block in blocks if block.data is not None] or [np.empty(0)])
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= n):
        raise InvalidDataError("index-out-of-range", "an index beyond the cells", where=where, expected=f"below {n}")
    # concatenate has made copies, so nobody else's arrays are sorted or summed.
    made = sparse.csr_matrix((data.astype(np.float64), indices, offsets), shape=(len(offsets) - 1, n))
    made.sum_duplicates()
    return made


def _ties_of(matrix: Any, first: int) -> Iterator[Ties]:
    rows = np.repeat(np.arange(first, first + matrix.shape[0]), np.diff(matrix.indptr))
    yield rows, matrix.indices.astype(np.int64), matrix.data


def _where(matrix: CountsMatrix) -> str:
    return str(getattr(matrix, "where", matrix.location))

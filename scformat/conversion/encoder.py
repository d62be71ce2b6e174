"""Rows of one source, encoded over the store's gene index."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.rows import as_csr, ranges_of
from scformat.entries import encode_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.conversion.stats import GeneStats
    from scformat.sources.base import CountsMatrix

_scratch = threading.local()


class RowEncoder:
    """Reads rows of a source and encodes them; used from several threads.

    Parameters
    ----------
    matrix
        Row-wise counts, checked by a scan.
    gene_of_column : int32 array, shape (n_columns,)
        Place of each column in the gene index, -1 left out.
    n_genes
        Size of the index.
    stats
        Told of every value encoded.
    at_most
        Stored values to read at once.
    """

    def __init__(
        self,
        matrix: CountsMatrix,
        gene_of_column: NDArray[np.int32],
        *,
        n_genes: int,
        stats: GeneStats,
        at_most: int,
    ) -> None:
        self._matrix = matrix
        self._gene_of_column = gene_of_column
        self._n_genes = n_genes
        self._stats = stats
        self._at_most = at_most

    def encode(self, rows: NDArray[np.int64], out: NDArray[np.uint16], start: int, row_end: NDArray[np.int32]) -> int:
        """Encode ascending source rows into `out` from column `start` on; return where they end.

        `row_end`, int32 of shape (n_rows,), receives the end of each row in `out`.
        """
        dense, bits = _workspace(self._n_genes)
        for first, stop, some in ranges_of(self._matrix, rows, at_most=self._at_most):
            offsets, indices, data = as_csr(self._matrix.read_rows(first, stop))
            near, far = self._stats.borrow()
            large = np.empty((2, len(data)), np.int64)
            start, n_large = encode_rows(
                rows[some] - first,
                offsets,
                indices,
                data,
                self._gene_of_column,
                dense,
                bits,
                near,
                far,
                large,
                out,
                start,
                row_end[some],
            )
            self._stats.give_back((near, far), large[:, :n_large])
        return start


def _workspace(n_genes: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Arrays of this thread, all zero between uses."""
    if getattr(_scratch, "n_genes", None) != n_genes:
        _scratch.n_genes = n_genes
        _scratch.dense = np.zeros(n_genes, np.int64)
        _scratch.bits = np.zeros((n_genes + 63) // 64, np.uint64)
    return _scratch.dense, _scratch.bits

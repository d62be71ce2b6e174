"""Rows of one source, encoded over the store's gene index."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.rows import as_csr, ranges_of
from scformat.entries import encode_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.conversion.located import LocatedMatrix
    from scformat.conversion.stats import Tally

_scratch = threading.local()


@dataclass(frozen=True, kw_only=True, eq=False)
class RowEncoder:
    """Reads rows of a source and encodes them; used from several threads and processes.

    Attributes
    ----------
    matrix
        Row-wise counts, checked by a scan.
    gene_of_column : int32 array, shape (n_columns,)
        Place of each column in the gene index, -1 left out.
    n_genes
        Size of the index.
    at_most
        Stored values to read at once.
    """

    matrix: LocatedMatrix
    gene_of_column: NDArray[np.int32]
    n_genes: int
    at_most: int

    def encode(
        self, rows: NDArray[np.int64], out: NDArray[np.uint16], start: int, row_end: NDArray[np.int32], tally: Tally
    ) -> int:
        """Encode ascending source rows into `out` from column `start` on; return where they end.

        `row_end`, int32 of shape (n_rows,), receives the end of each row in `out`; `tally` is told of every value.
        """
        dense, bits = _workspace(self.n_genes)
        matrix = self.matrix.matrix
        for first, stop, some in ranges_of(matrix, rows, at_most=self.at_most):
            offsets, indices, data = as_csr(matrix.read_rows(first, stop))
            large = np.empty((2, len(data)), np.int64)
            start, n_large = encode_rows(
                rows[some] - first,
                offsets,
                indices,
                data,
                self.gene_of_column,
                dense,
                bits,
                tally.near,
                tally.far,
                large,
                out,
                start,
                row_end[some],
            )
            tally.keep_large(large[:, :n_large])
        return start


def _workspace(n_genes: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Arrays of this thread, all zero between uses."""
    if getattr(_scratch, "n_genes", None) != n_genes:
        _scratch.n_genes = n_genes
        _scratch.dense = np.zeros(n_genes, np.int64)
        _scratch.bits = np.zeros((n_genes + 63) // 64, np.uint64)
    return _scratch.dense, _scratch.bits

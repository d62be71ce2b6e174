"""Cells that were read: their counts as CSR or dense, and what their sources measured."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import scipy.sparse
    from numpy.typing import DTypeLike, NDArray

    from scformat.store.fetch import Decoded
    from scformat.store.sources import Sources


class Cells:
    """Counts of some cells over the gene index of their store.

    Attributes
    ----------
    rows : int64 array, shape (n,)
        The rows that were asked for.
    n_genes
        Size of the gene index.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        read_source: Callable[[], NDArray[np.int32]],
        counts: Decoded,
        sources: Sources,
        n_genes: int,
    ) -> None:
        self.rows = rows
        self._read_source = read_source
        self.n_genes = n_genes
        self._counts = counts
        self._sources = sources

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{len(self):,} cells x {self.n_genes:,} genes, {len(self._counts.data):,} non-zeros>"

    @cached_property
    def source(self) -> NDArray[np.int32]:
        """Number of each cell's source; int32, shape (n,)."""
        return self._read_source()

    def csr(self, dtype: DTypeLike = np.float32) -> scipy.sparse.csr_matrix:
        """Return the counts as a CSR matrix.

        Parameters
        ----------
        dtype
            Type of the values; one that cannot hold every count exactly is refused.

        Returns
        -------
        csr_matrix, shape (n, n_genes)
            Columns ascending within a row, no stored zeros.

        Raises
        ------
        InvalidDataError
            ``count-not-exact``.
        """
        from scipy.sparse import csr_matrix

        shape = (len(self), self.n_genes)
        return csr_matrix((self._values(dtype), self._counts.indices.copy(), self._counts.offsets.copy()), shape=shape)

    def dense(self, dtype: DTypeLike = np.float32) -> NDArray[Any]:
        """Return the counts as an array of shape (n, n_genes); `dtype` as for :meth:`csr`."""
        out = np.zeros((len(self), self.n_genes), dtype)
        rows = np.repeat(np.arange(len(self)), np.diff(self._counts.offsets))
        out[rows, self._counts.indices] = self._values(dtype)
        return out

    def measured(self) -> NDArray[np.bool_]:
        """Return which genes each cell's source measured; bool, shape (n, n_genes).

        A zero where this is False says nothing of the cell.
        """
        held, which = np.unique(self.source, return_inverse=True)
        return self._sources.measured(held)[which]

    def exact_dtype(self) -> np.dtype[Any]:
        """Return float32 where it holds every count exactly, else float64."""
        return np.dtype(np.float32 if int(self._counts.data.max(initial=0)) <= 2**24 else np.float64)

    def _values(self, dtype: DTypeLike) -> NDArray[Any]:
        wanted = np.dtype(dtype)
        if wanted.kind not in "iuf":
            raise UsageError("bad-dtype", "counts are numbers", expected="an integer or floating type", found=wanted)
        values = self._counts.data
        largest = int(values.max(initial=0))
        limit = 2 ** (np.finfo(wanted).nmant + 1) if wanted.kind == "f" else np.iinfo(wanted).max
        if largest > limit:
            raise InvalidDataError(
                "count-not-exact",
                f"a count that {wanted.name} cannot hold exactly",
                expected=f"at most {limit}",
                found=largest,
                hint="ask for a wider dtype, for example float64 or int64",
            )
        return values.astype(wanted)

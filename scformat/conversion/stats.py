"""What a source says of each gene: cells, sum, sum of squares, median. Exact, in one pass, in bounded memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from scformat.entries import FAR_BINS, NEAR_BINS
from scformat.jit import kernel
from scformat.layout import RECOMPUTE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

CELLS, SUM, SQUARES, MEDIAN = range(4)
"""Rows of the statistics array."""

_LARGE = np.dtype([("gene", "<u4"), ("value", "<u8")])
_PIECE = 1 << 22
_GENES_AT_ONCE = 4096
_VALUES = np.arange(FAR_BINS, dtype=np.int64)


class GeneStats:
    """Accumulates the statistics of one source's genes, from several threads.

    Parameters
    ----------
    n_genes
        Size of the gene index.
    path
        A file for values too large for the histograms; made when there are any.
    """

    def __init__(self, n_genes: int, path: Path) -> None:
        self.n_genes = n_genes
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []
        self._all: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []
        self._large = np.zeros((3, n_genes), np.int64)
        self._large_squares = np.zeros(n_genes, np.float64)

    def borrow(self) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Histograms for one thread to add to (see :func:`scformat.entries.encode_rows`)."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            tables = np.zeros((self.n_genes, NEAR_BINS), np.uint32), np.zeros((self.n_genes, FAR_BINS), np.uint32)
            self._all.append(tables)
            return tables

    def give_back(self, tables: tuple[NDArray[np.uint32], NDArray[np.uint32]], large: NDArray[np.int64]) -> None:
        """Return histograms, with the (gene, value) pairs, int64 of shape (2, n), that were too large for them."""
        if large.shape[1]:
            genes, values = large
            records = np.empty(len(genes), _LARGE)
            records["gene"], records["value"] = genes, values
            squares = np.square(values.astype(np.float64))
        with self._lock:
            self._idle.append(tables)
            if large.shape[1]:
                np.add.at(self._large[CELLS], genes, 1)
                np.add.at(self._large[SUM], genes, values)
                np.add.at(self._large[SQUARES], genes, values * values)
                np.add.at(self._large_squares, genes, squares)
                with self._path.open("ab") as file:
                    file.write(records.tobytes())

    def tell(self, genes: NDArray[np.int32], values: NDArray[np.int64]) -> None:
        """Count non-zero values of genes, both of shape (n,)."""
        near, far = self.borrow()
        large = np.empty((2, len(values)), np.int64)
        n_large = _tally(genes, values, near, far, large)
        self.give_back((near, far), large[:, :n_large])

    def finish(self) -> NDArray[np.int64]:
        """Return cells, sum, sum of squares and lower median of the non-zero values; int64, shape (4, n_genes).

        A sum of squares beyond 2^53 is :data:`scformat.layout.RECOMPUTE`.
        """
        out = np.zeros((4, self.n_genes), np.int64)
        out[:3] = self._large
        rank_beyond = np.zeros(self.n_genes, np.int64)
        for start in range(0, self.n_genes, _GENES_AT_ONCE):
            some = slice(start, start + _GENES_AT_ONCE)
            histogram = np.zeros((len(rank_beyond[some]), FAR_BINS), np.int64)
            for near, far in self._all:
                histogram[:, :NEAR_BINS] += near[some]
                histogram += far[some]
            out[CELLS, some] += histogram.sum(axis=1)
            out[SUM, some] += histogram @ _VALUES
            squares = histogram @ (_VALUES * _VALUES)
            too_large = self._large_squares[some] + squares > 2.0**53
            out[SQUARES, some] = np.where(too_large, RECOMPUTE, out[SQUARES, some] + squares)
            # The lower median of n values is the smallest with at least (n + 1) div 2 of them at or below it.
            rank = (out[CELLS, some] + 1) // 2
            at_or_below = np.cumsum(histogram, axis=1)
            out[MEDIAN, some] = np.where(rank > 0, (at_or_below < rank[:, None]).sum(axis=1), 0)
            rank_beyond[some] = rank - at_or_below[:, -1]
        beyond = np.flatnonzero(out[MEDIAN] == FAR_BINS)
        if len(beyond):
            self._select(out[MEDIAN], beyond, rank_beyond)
        return out

    def _select(self, medians: NDArray[np.int64], genes: NDArray[np.int64], rank: NDArray[np.int64]) -> None:
        """Find the medians that lie among the listed values, a bounded number of values at once."""
        ends = np.cumsum(self._large[CELLS][genes])
        start = 0
        while start < len(genes):
            before = ends[start - 1] if start else 0
            stop = max(int(np.searchsorted(ends, before + _PIECE, side="right")), start + 1)
            wanted = np.zeros(self.n_genes, np.bool_)
            wanted[genes[start:stop]] = True
            pairs = np.concatenate([piece[wanted[piece["gene"]]] for piece in self._pieces()])
            pairs = pairs[np.lexsort((pairs["value"], pairs["gene"]))]
            first = np.searchsorted(pairs["gene"], genes[start:stop])
            medians[genes[start:stop]] = pairs["value"][first + rank[genes[start:stop]] - 1]
            start = stop

    def _pieces(self) -> Iterator[NDArray[np.void]]:
        n = self._path.stat().st_size // _LARGE.itemsize
        for first in range(0, n, _PIECE):
            yield np.fromfile(self._path, _LARGE, _PIECE, offset=first * _LARGE.itemsize)


@kernel
def _tally(
    genes: NDArray[np.int32],
    values: NDArray[np.int64],
    near: NDArray[np.uint32],
    far: NDArray[np.uint32],
    large: NDArray[np.int64],
) -> int:
    n_large = 0
    for i in range(len(values)):
        if values[i] < NEAR_BINS:
            near[genes[i], values[i]] += np.uint32(1)
        elif values[i] < FAR_BINS:
            far[genes[i], values[i]] += np.uint32(1)
        else:
            large[0, n_large] = genes[i]
            large[1, n_large] = values[i]
            n_large += 1
    return n_large

"""What a source says of each gene: cells, sum, sum of squares, median. Exact, in one pass, in bounded memory.

Whoever encodes rows tallies their values in tables; what these hold of one task and one source, which is little, goes
to the source's statistics as a list. Tables of a source are there only while its cells are being written.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import blosc

from scformat.entries import FAR_BINS, NEAR_BINS
from scformat.jit import kernel
from scformat.layout import RECOMPUTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

CELLS, SUM, SQUARES, MEDIAN = range(4)
"""Rows of the statistics array."""

_LARGE = np.dtype([("gene", "<u4"), ("value", "<u8")])
_PIECE = 1 << 22
_GENES_AT_ONCE = 4096
_VALUES = np.arange(FAR_BINS, dtype=np.int64)
_tallies = threading.local()


@dataclass(frozen=True, eq=False)
class Histogram:
    """How often genes have values, of some cells of one source. It travels packed.

    Attributes
    ----------
    genes : int32 array, values : uint8 array, counts : uint32 array, all of shape (n,)
        Cells with a value of a gene; each pair once.
    large : int64 array, shape (2, k)
        (gene, value) of each value from FAR_BINS on.
    """

    genes: NDArray[np.int32]
    values: NDArray[np.uint8]
    counts: NDArray[np.uint32]
    large: NDArray[np.int64]

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, tuple(_packed(a) for a in (self.genes, self.values, self.counts, self.large))


def _packed(values: NDArray[Any]) -> tuple[str, tuple[int, ...], bytes]:
    data = blosc.compress(np.ascontiguousarray(values), b"lz4", 1, blosc.BITSHUFFLE, 0) if values.size else b""
    return values.dtype.str, values.shape, bytes(data)


def _unpacked(*arrays: tuple[str, tuple[int, ...], bytes]) -> Histogram:
    return Histogram(
        *(np.frombuffer(blosc.decompress(data) if data else b"", dtype).reshape(shape) for dtype, shape, data in arrays)
    )


class Tally:
    """Counts the values of cells; for one thread, used again and again.

    Attributes
    ----------
    near, far : uint32 arrays, shapes (n_genes, NEAR_BINS) and (n_genes, FAR_BINS)
        See :func:`scformat.entries.encode_rows`, which adds to them.
    """

    def __init__(self, n_genes: int) -> None:
        self.near = np.zeros((n_genes, NEAR_BINS), np.uint32)
        self.far = np.zeros((n_genes, FAR_BINS), np.uint32)
        self._large: list[NDArray[np.int64]] = []

    def keep_large(self, pairs: NDArray[np.int64]) -> None:
        """Keep (gene, value) pairs, shape (2, k), that are too large for the tables."""
        if pairs.shape[1]:
            self._large.append(pairs.copy())

    def tell(self, genes: NDArray[np.int32], values: NDArray[np.int64]) -> None:
        """Count non-zero values of genes, both of shape (n,)."""
        large = np.empty((2, len(values)), np.int64)
        self.keep_large(large[:, : _tally(genes, values, self.near, self.far, large)])

    def take(self) -> Histogram:
        """Return what was counted, and begin anew."""
        n = np.count_nonzero(self.near) + np.count_nonzero(self.far)
        genes, values, counts = np.empty(n, np.int32), np.empty(n, np.uint8), np.empty(n, np.uint32)
        _take(self.near, self.far.view(np.uint64), genes, values, counts)
        large = np.concatenate([np.empty((2, 0), np.int64), *self._large], axis=1)
        self._large.clear()
        return Histogram(genes, values, counts, large)

    def clear(self) -> None:
        """Forget what was counted."""
        self.near[:] = 0
        self.far[:] = 0
        self._large.clear()


@contextmanager
def tallying(n_genes: int) -> Iterator[Tally]:
    """Give this thread's own tally, empty."""
    tally: Tally | None = getattr(_tallies, "tally", None)
    if tally is None or len(tally.near) != n_genes:
        tally = _tallies.tally = Tally(n_genes)
    try:
        yield tally
    except BaseException:
        tally.clear()
        raise


class Statistics:
    """The statistics of several sources; the table of each is given up once all its cells are counted.

    Parameters
    ----------
    n_cells
        Cells of each source.
    n_genes
        Size of the gene index.
    directory
        For files of values too large for the tables.
    """

    def __init__(self, n_cells: Sequence[int], n_genes: int, directory: Path) -> None:
        self._left = list(n_cells)
        self._n_genes, self._directory = n_genes, directory
        self._open: dict[int, GeneStats] = {}
        self._done = np.zeros((4, len(n_cells), n_genes), np.int64)

    def add(self, source: int, n_cells: int, histogram: Histogram) -> None:
        """Count some cells of a source."""
        if source not in self._open:
            self._open[source] = GeneStats(self._n_genes, self._directory / f"large-{source}")
        self._open[source].add(histogram)
        self._left[source] -= n_cells
        if self._left[source] == 0:
            self._done[:, source] = self._open.pop(source).finish()

    def finish(self) -> NDArray[np.int64]:
        """Return cells, sum, sum of squares and lower median of the non-zero values; shape (4, n_sources, n_genes).

        A sum of squares beyond 2^53 is :data:`scformat.layout.RECOMPUTE`.
        """
        if any(self._left):
            raise ValueError(f"{sum(self._left)} cells were not counted")
        return self._done


class GeneStats:
    """Accumulates the statistics of one source's genes.

    Parameters
    ----------
    n_genes
        Size of the gene index.
    path
        A file for values too large for the table; made when there are any.
    """

    def __init__(self, n_genes: int, path: Path) -> None:
        self.n_genes = n_genes
        self._path = path
        self._table = np.zeros((n_genes, FAR_BINS), np.uint32)
        self._large = np.zeros((3, n_genes), np.int64)
        self._large_squares = np.zeros(n_genes, np.float64)

    def add(self, histogram: Histogram) -> None:
        """Count the values of some cells."""
        _add(histogram.genes, histogram.values, histogram.counts, self._table)
        genes, values = histogram.large
        if len(genes):
            records = np.empty(len(genes), _LARGE)
            records["gene"], records["value"] = genes, values
            np.add.at(self._large[CELLS], genes, 1)
            np.add.at(self._large[SUM], genes, values)
            np.add.at(self._large[SQUARES], genes, values * values)
            np.add.at(self._large_squares, genes, np.square(values.astype(np.float64)))
            with self._path.open("ab") as file:
                file.write(records.tobytes())

    def finish(self) -> NDArray[np.int64]:
        """Return cells, sum, sum of squares and lower median of the non-zero values; int64, shape (4, n_genes)."""
        out = np.zeros((4, self.n_genes), np.int64)
        out[:3] = self._large
        rank_beyond = np.zeros(self.n_genes, np.int64)
        for start in range(0, self.n_genes, _GENES_AT_ONCE):
            some = slice(start, start + _GENES_AT_ONCE)
            histogram = self._table[some].astype(np.int64)
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


@kernel
def _take(
    near: NDArray[np.uint32],
    far: NDArray[np.uint64],
    genes: NDArray[np.int32],
    values: NDArray[np.uint8],
    counts: NDArray[np.uint32],
) -> None:
    """List what two tables hold, and empty them; two bins of `far` are looked at together, as nearly all are empty."""
    n = 0
    for gene in range(len(near)):
        for value in range(NEAR_BINS):
            if near[gene, value] != 0:
                genes[n], values[n], counts[n] = gene, value, near[gene, value]
                near[gene, value] = 0
                n += 1
        for pair in range(FAR_BINS // 2):
            both = far[gene, pair]
            if both == 0:
                continue
            far[gene, pair] = 0
            for half in range(2):
                count = np.uint32((both >> np.uint64(32 * half)) & np.uint64(0xFFFFFFFF))
                if count != 0:
                    genes[n], values[n], counts[n] = gene, 2 * pair + half, count
                    n += 1


@kernel
def _add(
    genes: NDArray[np.int32], values: NDArray[np.uint8], counts: NDArray[np.uint32], table: NDArray[np.uint32]
) -> None:
    for i in range(len(genes)):
        table[genes[i], values[i]] += counts[i]

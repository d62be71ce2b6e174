"""Cells as sequences of genes: which ones, in which order. Kernels without the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import borrowed, kernel, returned
from scformat.loading.cell import make_cell
from scformat.random import DOMAIN_TOKENS, stream_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOO_MANY_TOKENS: Final = -2

_TOP, _RANDOM, _ALL = range(3)
_DOMAIN = np.uint64(DOMAIN_TOKENS)
_U32 = np.uint64(32)
_OF_VALUES, _OF_ZEROS = np.uint64(0), np.uint64(1)


@kernel
def _choose(items: NDArray[np.int64], n: int, seed: np.uint64, t: np.uint64, j: np.uint64) -> None:
    """Bring a random choice of `n` items to the front, sorted.

    Item k changes places with item k + ((S(12, t, j)[k] (N - k)) >> 32), k from 0.
    """
    size = len(items)
    for k in range(n):
        word = np.uint64(stream_at(seed, _DOMAIN, t, j, np.uint64(k)))
        other = k + np.int64((word * np.uint64(size - k)) >> _U32)
        items[k], items[other] = items[other], items[k]
    items[:n].sort()


@kernel
def tokenize(
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
    n_columns: int,
    how: int,
    add_zero_genes: int,
    source: NDArray[np.int64],
    measured: NDArray[np.bool_],
    out_genes: NDArray[np.int64],
    out_values: NDArray[np.float32],
    out_padding: NDArray[np.bool_],
) -> tuple[int, int]:
    """Write the sequences of cells over arrays that are all padding; return (fault, row)."""
    words, codes, arguments = borrowed(words), borrowed(codes), borrowed(arguments)
    column_of_gene = borrowed(column_of_gene)
    of_cell = np.empty(n_genes, np.int32), np.empty(n_genes, np.float32), np.empty(256, np.float32)
    columns, values, known = borrowed(of_cell[0]), borrowed(of_cell[1]), borrowed(of_cell[2])
    held = np.zeros(n_columns, np.bool_)
    room = out_genes.shape[1]
    for row in range(len(starts)):
        t = positions[row]
        coming = starts[min(row + 1, len(starts) - 1)]
        place = (starts[row], stops[row], coming, total[row], seed, t)
        n = make_cell(words, *place, codes, arguments, column_of_gene, columns, values, 0, known)
        if n < 0:
            return n, row
        if how == _ALL and n > room:
            return TOO_MANY_TOKENS, row
        # Genes in the order of their columns: equal values rank by it, and a random choice is given in it.
        order = np.argsort(columns[:n])
        kept = min(n, room)
        if how == _TOP:
            order = order[np.argsort(-values[order], kind="mergesort")]
        elif how == _RANDOM and kept < n:
            places = np.arange(n)
            _choose(places, kept, seed, t, _OF_VALUES)
            order = order[places[:kept]]
        for k in range(kept):
            out_genes[row, k] = columns[order[k]]
            out_values[row, k] = values[order[k]]
            out_padding[row, k] = False
        if add_zero_genes and kept < room:
            for k in range(n):
                held[columns[k]] = True
            zeros = np.flatnonzero(~held & measured[source[row]])
            more = min(add_zero_genes, room - kept, len(zeros))
            _choose(zeros, more, seed, t, _OF_ZEROS)
            for k in range(more):
                out_genes[row, kept + k] = zeros[k]
                out_padding[row, kept + k] = False
            for k in range(n):
                held[columns[k]] = False
    returned(of_cell[0]), returned(of_cell[1]), returned(of_cell[2])
    return 0, 0

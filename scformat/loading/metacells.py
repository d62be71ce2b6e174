"""Metacells: the counts of a cell and its neighbours, summed exactly before anything is done to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import borrowed, kernel, returned
from scformat.loading.kernels import _put

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.loading.window import Held

_LONGEST: Final = 7
"""Words of a gene of a packed row, at most."""
_SHORT = np.uint16(1)


def metacells(held: Held, rows: NDArray[np.int64], neighbours: NDArray[np.int64], *, n_genes: int) -> Held:
    """Sum cells and their neighbours to cells that are held like others.

    Parameters
    ----------
    held
        All of them, and as row -1 a cell without counts.
    rows : int64 array, shape (n,)
        In any order, repeats allowed: a row has the same neighbours every time.
    neighbours : int64 array, shape (n, k)
    n_genes
        Of the store.

    Returns
    -------
    Held
        A metacell for each distinct row: with the row, source and labels of the cell itself, and the sum of all totals.
    """
    distinct, first = np.unique(rows, return_index=True)
    members = held.places(np.concatenate([distinct[:, None], neighbours[first]], axis=1))
    # Room for the worst case: only what is used is ever touched and takes memory.
    room = np.minimum(held.n_values[members].sum(axis=1, dtype=np.int64), n_genes)
    words = held.pool.empty(_LONGEST * int(room.sum()), np.uint16)
    bounds = np.empty(len(distinct) + 1, np.int64)
    n_values = np.empty(len(distinct), np.int32)
    _sum_rows(held.words, held.starts[members], held.stops[members], n_genes, words, bounds, n_values)
    own = members[:, 0]
    return replace(
        held,
        rows=distinct,
        words=words,
        starts=bounds[:-1],
        stops=bounds[1:],
        n_values=n_values,
        source=held.source[own],
        total=held.total[members].sum(axis=1),
        labels=held.labels[:, own],
    )


@kernel
def _sum_rows(
    words: NDArray[np.uint16],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    n_genes: int,
    out: NDArray[np.uint16],
    bounds: NDArray[np.int64],
    n_values: NDArray[np.int32],
) -> None:
    """Sum packed rows to packed rows.

    Parameters
    ----------
    words, starts, stops
        Packed rows; `starts` and `stops` of shape (n, m): m rows for each sum.
    out, bounds, n_values
        Out: the sums, where each begins and the last ends, and the number of genes of each.
    """
    room = np.zeros(n_genes, np.int64)
    words, out, sums = borrowed(words), borrowed(out), borrowed(room)
    at = 0
    bounds[0] = 0
    for row in range(starts.shape[0]):
        last = -1
        for member in range(starts.shape[1]):
            last = max(last, _add_row(words, starts[row, member], stops[row, member], sums))
        n = 0
        before = np.int64(0)
        for gene in range(last + 1):
            if sums[gene] > 0:
                at = _put(out, at, gene - before, sums[gene])
                before = np.int64(gene)
                sums[gene] = 0
                n += 1
        n_values[row] = n
        bounds[row + 1] = at
    returned(room)


@kernel
def _add_row(words: NDArray[np.uint16], start: int, stop: int, sums: NDArray[np.int64]) -> int:
    """Add the counts of a packed row; return its last gene, -1 where it has none."""
    gene = np.int64(0)
    at = start
    while at < stop:
        word = words[at]
        count = np.int64(word >> 8)
        if count > 0:
            gene += np.int64(word & 255)
            at += 1
        elif word == _SHORT:
            gene += np.int64(words[at + 1])
            count = np.int64(words[at + 2])
            at += 3
        else:
            gene += np.int64(words[at + 1]) | (np.int64(words[at + 2]) << 16)
            for k in range(4):
                count |= np.int64(words[at + 3 + k]) << (16 * k)
            at += 7
        sums[gene] += count
    return int(gene) if stop > start else -1

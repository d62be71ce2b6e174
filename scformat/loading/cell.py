"""One cell of a batch: unpacked, thinned, its genes chosen, its values transformed. Kernels without the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.jit import kernel
from scformat.loading.kernels import expand_row
from scformat.loading.transforms import BINS, LOG1P, SCALE_SELECTED, SCALE_STORED, THIN_SHARE, THIN_TOTAL
from scformat.random import DOMAIN_TRANSFORM, MAX_STREAM, words_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOO_MANY_MOLECULES: Final = -1
"""Result of :func:`make_cell` for a cell to thin that has more molecules than a stream has words."""

_U0, _U8 = np.uint64(0), np.uint64(8)
_DOMAIN = np.uint64(DOMAIN_TRANSFORM)


@kernel
def make_cell(  # noqa: PLR0912
    words: NDArray[np.uint16],
    start: int,
    stop: int,
    coming: int,
    total: int,
    seed: np.uint64,
    t: np.uint64,
    codes: NDArray[np.int64],
    arguments: NDArray[np.float64],
    column_of_gene: NDArray[np.int32],
    columns: NDArray[np.integer],
    values: NDArray[np.float32],
    first: int,
    known: NDArray[np.float32],
) -> int:
    """Make one cell; return its number of genes with a value.

    Parameters
    ----------
    words, start, stop
        A packed row.
    coming
        Where the one begins that is made next.
    total
        The cell's ``total_counts``.
    seed, t
        What random numbers depend on.
    codes, arguments
        See :class:`scformat.loading.transforms.Recipe`.
    column_of_gene : int32 array, shape (n_genes,) or (0,)
        Column of each gene, -1 left out; empty: every gene is its own column.
    columns, values : integer and float32 arrays
        Out, from place `first` on, with room for all genes of the row; columns in the order of the genes.
    known : float32 array, shape (256,)
        For use in here.
    """
    n = expand_row(words, start, stop, coming, columns, values, first)
    op = 0
    if len(codes) and (codes[0] == THIN_SHARE or codes[0] == THIN_TOTAL):
        share = arguments[0] if codes[0] == THIN_SHARE else min(1.0, arguments[0] / max(total, 1))
        n = _thin(columns, values, first, n, share, seed, t)
        if n < 0:
            return n
        op = 1
    if len(column_of_gene):
        kept = first
        for k in range(first, first + n):
            column = column_of_gene[columns[k]]
            if column >= 0:
                columns[kept] = column
                values[kept] = values[k]
                kept += 1
        n = kept - first
    factor = 1.0
    if op < len(codes) and (codes[op] == SCALE_STORED or codes[op] == SCALE_SELECTED):
        factor = _factor(values, first, n, codes[op], arguments[op], total)
        op += 1
        if op == len(codes) or codes[op] != LOG1P:
            _scale(values, first, n, factor)
    if op < len(codes) and codes[op] == LOG1P:
        _log_counts(values, first, n, factor, known)
        op += 1
    for i in range(op, len(codes)):
        if codes[i] == LOG1P:
            for k in range(first, first + n):
                values[k] = np.log1p(values[k])
        elif codes[i] == BINS:
            _bin(values[first : first + n], arguments[i])
        else:
            _scale(values, first, n, _factor(values, first, n, codes[i], arguments[i], total))
    return n


@kernel
def _factor(values: NDArray[np.float32], first: int, n: int, code: int, target: float, total: int) -> float:
    """Return what a cell is multiplied by, 1 where it has no counts."""
    sum_ = 0.0
    if code == SCALE_STORED:
        sum_ = float(total)
    else:
        for k in range(first, first + n):
            sum_ += values[k]
    return target / sum_ if sum_ > 0 else 1.0


@kernel
def _scale(values: NDArray[np.float32], first: int, n: int, factor: float) -> None:
    for k in range(first, first + n):
        values[k] = np.float32(values[k] * factor)


@kernel
def _log_counts(values: NDArray[np.float32], first: int, n: int, factor: float, known: NDArray[np.float32]) -> None:
    """Replace counts c by log1p(factor c); a cell has few distinct counts, and a logarithm takes long."""
    known[:] = np.float32(-1)
    for k in range(first, first + n):
        value = values[k]
        if value >= np.float32(256):
            values[k] = np.log1p(np.float32(value * factor))
            continue
        count = np.uint8(value)
        found = known[count]
        if found < 0:
            found = np.log1p(np.float32(value * factor))
            known[count] = found
        values[k] = found


@kernel
def _thin(
    columns: NDArray[np.integer],
    values: NDArray[np.float32],
    first: int,
    n: int,
    share: float,
    seed: np.uint64,
    t: np.uint64,
) -> int:
    """Keep the m-th molecule, gene by gene, where S(11, t, 0)[m] < floor(share 2^32)."""
    limit = np.uint64(np.floor(share * 4294967296.0))
    m = np.uint64(0)
    word = words_at(seed, _DOMAIN, t, _U0)
    kept = first
    for k in range(first, first + n):
        left = 0
        for _ in range(np.int64(values[k])):
            lane = np.int64(m & np.uint64(3))
            if lane == 0:
                word = words_at(seed, _DOMAIN + ((m >> np.uint64(2)) << _U8), t, _U0)
            if np.uint64(word[lane]) < limit:
                left += 1
            m += np.uint64(1)
            if m >= np.uint64(MAX_STREAM):
                return TOO_MANY_MOLECULES
        if left:
            columns[kept] = columns[k]
            values[kept] = left
            kept += 1
    return kept - first


@kernel
def _bin(values: NDArray[np.float32], bins: float) -> None:
    order = np.argsort(values)
    n = len(values)
    below = 0
    last = np.float32(0)
    for k in range(n):
        if values[order[k]] != last:
            below = k
        last = values[order[k]]
        values[order[k]] = 1.0 + (below * np.int64(bins)) // n

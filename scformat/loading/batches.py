"""Batches as numpy arrays, made of the cells that are held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scformat.errors import InvalidDataError
from scformat.jit import kernel
from scformat.loading.cell import TOO_MANY_MOLECULES, make_cell
from scformat.loading.tokens import TOO_MANY_TOKENS, tokenize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.loading.neighbours import NeighbourArrays
    from scformat.loading.transforms import Recipe, TokenSpec
    from scformat.loading.window import Held

Output = Literal["dense", "csr", "tokens"]
OUTPUTS = ("dense", "csr", "tokens")


@dataclass(frozen=True, kw_only=True, eq=False)
class Assembly:
    """How batches are made.

    Attributes
    ----------
    output
        ``dense``, ``csr`` or ``tokens``.
    n_columns
        Genes of a batch.
    column_of_gene : int32 array, shape (n_genes,), or None
        Column of each gene of the store, -1 left out; None: all genes in their order.
    recipe
        Transforms.
    seed
        Of the stream.
    tokens
        For ``tokens``.
    measured : bool array, shape (n_sources, n_columns), or None
        For tokens with zero genes.
    """

    output: Output
    n_genes: int
    n_columns: int
    column_of_gene: NDArray[np.int32] | None
    recipe: Recipe
    seed: int
    tokens: TokenSpec | None = None
    measured: NDArray[np.bool_] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """One batch.

    Attributes
    ----------
    rows : int64 array, shape (n,)
    positions : uint64 array, shape (n,)
        Of the draws.
    source : int32 array, shape (n,)
        -1 for a cell that has nothing.
    total : int64 array, shape (n,)
    labels : int64 array, shape (n_labels, n)
    dense : float32 array, shape (n, n_columns), or None
    csr : (offsets int32 (n + 1,), columns int32 (nnz,), values float32 (nnz,)), or None
        int64 where there are 2^31 values or more.
    tokens : (gene ids int64 (n, max_len), values float32 (n, max_len), padding bool (n, max_len)), or None
    control : Arrays, or None
        Of sets with controls: the control cells.
    neighbours
        Where cells carry theirs.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.uint64]
    source: NDArray[np.int32]
    total: NDArray[np.int64]
    labels: NDArray[np.int64]
    dense: NDArray[np.float32] | None = None
    csr: tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]] | None = None
    tokens: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]] | None = None
    control: Arrays | None = None
    neighbours: NeighbourArrays | None = None


def make_batch(held: Held, rows: NDArray[np.int64], positions: NDArray[np.uint64], how: Assembly) -> Arrays:
    """Make a batch of rows, all of them held.

    Raises
    ------
    InvalidDataError
        ``too-many-molecules``: a cell that cannot be thinned. ``too-many-tokens``.
    """
    at = held.places(rows)
    starts, stops, total = held.starts[at], held.stops[at], held.total[at]
    mapping = np.empty(0, np.int32) if how.column_of_gene is None else how.column_of_gene
    ops = how.recipe
    of_all = (held.words, starts, stops, total, positions, np.uint64(how.seed))
    cells = (*of_all, ops.codes, ops.arguments, mapping, how.n_genes)
    dense = csr = tokens = None
    fault, bad = 0, 0
    if how.output == "dense":
        dense = held.pool.empty((len(rows), how.n_columns), np.float32)
        fault, bad = _dense(*cells, dense)
    elif how.output == "csr":
        room = int(held.n_values[at].sum())
        index = np.int32 if room < 1 << 31 else np.int64
        offsets: NDArray[Any] = np.empty(len(rows) + 1, index)
        columns = held.pool.empty(room, index)
        values = held.pool.empty(room, np.float32)
        chosen = mapping[mapping >= 0]
        fault, bad = _csr(*cells, bool((np.diff(chosen) < 0).any()), offsets, columns, values)
        n = int(offsets[-1]) if not fault else 0
        csr = (offsets, columns, values) if n == room else (offsets, columns[:n].copy(), values[:n].copy())
    else:
        assert how.tokens is not None  # a loader of tokens has one
        spec = how.tokens
        shape = (len(rows), spec.max_len)
        tokens = np.empty(shape, np.int64), np.zeros(shape, np.float32), np.ones(shape, np.bool_)
        tokens[0][:] = how.n_columns if spec.pad_id is None else spec.pad_id
        measured = np.ones((1, 0), np.bool_) if how.measured is None else how.measured
        kind = ("top", "random", "all").index(spec.how)
        fault, bad = tokenize(*cells, how.n_columns, kind, spec.add_zero_genes, held.source[at], measured, *tokens)
        absent = held.source[at] < 0  # zero genes are not for cells that are not there
        tokens[0][absent] = how.n_columns if spec.pad_id is None else spec.pad_id
        tokens[1][absent], tokens[2][absent] = 0, True
    if fault == TOO_MANY_TOKENS:
        assert how.tokens is not None
        raise InvalidDataError(
            "too-many-tokens", "a cell has more genes than a sequence has room for", where=f"cell {int(rows[bad])}",
            expected=f"at most {how.tokens.max_len}", hint="use how='top' or 'random', or a larger max_len",
        )  # fmt: skip
    if fault:
        raise InvalidDataError(
            "too-many-molecules", "a cell has too many molecules to be thinned", where=f"cell {int(rows[bad])}",
            expected="less than 2^26",
        )  # fmt: skip
    return Arrays(
        rows=rows,
        positions=positions,
        source=held.source[at],
        total=total,
        labels=held.labels[:, at].astype(np.int64),
        dense=dense,
        csr=csr,
        tokens=tokens,
    )


@kernel
def _dense(
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
    out: NDArray[np.float32],
) -> tuple[int, int]:
    columns, values = np.empty(n_genes, np.int32), np.empty(n_genes, np.float32)
    known = np.empty(256, np.float32)
    for row in range(len(starts)):
        coming = starts[min(row + 1, len(starts) - 1)]
        place = (starts[row], stops[row], coming, total[row], seed, positions[row])
        n = make_cell(words, *place, codes, arguments, column_of_gene, columns, values, 0, known)
        if n < 0:
            return TOO_MANY_MOLECULES, row
        # Line by line: it is still in the cache when its values are put in.
        line = out[row]
        line[:] = np.float32(0)
        for k in range(np.uint64(n)):
            line[np.uint32(columns[k])] = values[k]
    return 0, 0


@kernel
def _csr(
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
    unsorted: bool,  # noqa: FBT001
    out_offsets: NDArray[np.integer],
    out_columns: NDArray[np.integer],
    out_values: NDArray[np.float32],
) -> tuple[int, int]:
    known = np.empty(256, np.float32)
    out_offsets[0] = 0
    at = 0
    for row in range(len(starts)):
        coming = starts[min(row + 1, len(starts) - 1)]
        place = (starts[row], stops[row], coming, total[row], seed, positions[row])
        n = make_cell(words, *place, codes, arguments, column_of_gene, out_columns, out_values, at, known)
        if n < 0:
            return TOO_MANY_MOLECULES, row
        if unsorted:
            order = np.argsort(out_columns[at : at + n])
            out_columns[at : at + n] = out_columns[at : at + n][order]
            out_values[at : at + n] = out_values[at : at + n][order]
        at += n
        out_offsets[row + 1] = at
    return 0, 0

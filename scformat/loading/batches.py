"""Batches as numpy arrays, made of the cells that are held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scformat.errors import InvalidDataError
from scformat.jit import borrowed, kernel, returned
from scformat.loading.cell import TOO_MANY_MOLECULES, make_cell
from scformat.loading.sorting import DIGITS, sort_entries
from scformat.loading.tokens import TOO_MANY_TOKENS, tokenize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scformat.loading.neighbours import NeighbourArrays
    from scformat.loading.transforms import Recipe, TokenSpec
    from scformat.loading.window import Held

Output = Literal["dense", "csr", "tokens"]
OUTPUTS = ("dense", "csr", "tokens")

MOST_VALUES = 1 << 31
"""Of a CSR batch whose offsets and columns are int32."""
TILE_COLUMNS = 2048
"""Of a dense batch, that are filled together: 8 KB."""
_SOME = 8
"""Values that are put in place at once, where the last of them still belongs there."""


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

    @cached_property
    def mapping(self) -> NDArray[np.int32]:
        """`column_of_gene` as kernels take it."""
        return np.empty(0, np.int32) if self.column_of_gene is None else self.column_of_gene

    @cached_property
    def unsorted(self) -> bool:
        """Whether columns are in another order than the genes."""
        return bool((np.diff(self.mapping[self.mapping >= 0]) < 0).any())


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrays:
    """One batch.

    Attributes
    ----------
    rows : int64 array, shape (n,)
    positions : uint64 array, shape (n,)
        Of the draws.
    source : int64 array, shape (n,)
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
    source: NDArray[np.int64]
    total: NDArray[np.int64]
    labels: NDArray[np.int64]
    dense: NDArray[np.float32] | None = None
    csr: tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float32]] | None = None
    tokens: tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]] | None = None
    control: Arrays | None = None
    neighbours: NeighbourArrays | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Draws of cells that are held, and all that is known of each: looked up at once for many batches.

    Attributes
    ----------
    held
        The cells.
    rows : int64 array, shape (n,)
    positions : uint64 array, shape (n,)
    starts, stops : int64 arrays, shape (n,)
        Where each lies in the words of `held`.
    before : int64 array, shape (n + 1,)
        Genes with a count in all draws before each.
    source : int64 array, shape (n,)
    total : int64 array, shape (n,)
    labels : int64 array, shape (n_labels, n)
    """

    held: Held
    rows: NDArray[np.int64]
    positions: NDArray[np.uint64]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    before: NDArray[np.int64]
    source: NDArray[np.int64]
    total: NDArray[np.int64]
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, held: Held, rows: NDArray[np.int64], positions: NDArray[np.uint64]) -> Drawn:
        """Look up rows, all of them held."""
        at = held.places(rows)
        before = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(held.n_values[at], out=before[1:])
        return cls(
            held=held,
            rows=rows,
            positions=positions,
            starts=held.starts[at],
            stops=held.stops[at],
            before=before,
            source=held.source[at].astype(np.int64),
            total=held.total[at],
            labels=held.labels[:, at].astype(np.int64),
        )


def make_batch(held: Held, rows: NDArray[np.int64], positions: NDArray[np.uint64], how: Assembly) -> Arrays:
    """Make a batch of rows, all of them held.

    Raises
    ------
    InvalidDataError
        ``too-many-molecules``: a cell that cannot be thinned. ``too-many-tokens``.
    """
    return next(make_batches(Drawn.of(held, rows, positions), [0, len(rows)], how))


def make_batches(drawn: Drawn, bounds: Sequence[int], how: Assembly) -> Iterator[Arrays]:
    """Make batches as :func:`make_batch`, of the draws between `bounds`; an error comes after those before it.

    CSR batches are small: they are made by one call of a kernel and are views of one piece of memory, as is what all
    batches have besides counts.
    """
    if how.output == "csr":
        yield from _make_csr(drawn, bounds, how)
        return
    held = drawn.held
    for low, high in pairwise(bounds):
        some = slice(low, high)
        cells = (*_cells(drawn, some, how), how.n_genes)
        dense = tokens = None
        if how.output == "dense":
            dense = held.pool.empty((high - low, how.n_columns), np.float32)
            fault, bad = _dense(*cells, how.n_columns if how.unsorted else TILE_COLUMNS, dense)
        else:
            assert how.tokens is not None  # a loader of tokens has one
            spec, source = how.tokens, drawn.source[some]
            shape, pad = (high - low, spec.max_len), how.n_columns if spec.pad_id is None else spec.pad_id
            tokens = np.full(shape, pad, np.int64), np.zeros(shape, np.float32), np.ones(shape, np.bool_)
            measured = np.ones((1, 0), np.bool_) if how.measured is None else how.measured
            kind = ("top", "random", "all").index(spec.how)
            fault, bad = tokenize(*cells, how.n_columns, kind, spec.add_zero_genes, source, measured, *tokens)
            absent = source < 0  # zero genes are not for cells that are not there
            tokens[0][absent], tokens[1][absent], tokens[2][absent] = pad, 0, True
        if fault:
            raise _error(fault, int(drawn.rows[low + bad]), how)
        yield _arrays(drawn, some, dense=dense, tokens=tokens)


def _arrays(drawn: Drawn, some: slice, **counts: Any) -> Arrays:
    return Arrays(
        rows=drawn.rows[some],
        positions=drawn.positions[some],
        source=drawn.source[some],
        total=drawn.total[some],
        labels=drawn.labels[:, some],
        **counts,
    )


def _cells(drawn: Drawn, some: slice, how: Assembly) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
    """Return what every kernel is given first."""
    recipe = how.recipe
    return (
        drawn.held.words, drawn.starts[some], drawn.stops[some], drawn.total[some], drawn.positions[some],
        np.uint64(how.seed), recipe.codes, recipe.arguments, how.mapping,
    )  # fmt: skip


def _make_csr(drawn: Drawn, bounds: Sequence[int], how: Assembly) -> Iterator[Arrays]:
    first, last = bounds[0], bounds[-1]
    places = drawn.before[bounds] - drawn.before[first]
    room = int(places[-1])
    index = np.dtype(np.int32 if room < MOST_VALUES else np.int64)
    memory = drawn.held.pool.empty((index.itemsize + 4) * room, np.uint8)
    columns = memory[: index.itemsize * room].view(index)
    values = memory[index.itemsize * room :].view(np.float32)
    offsets = np.empty(last - first + len(bounds) - 1, index)
    ends = np.array(bounds) - first
    cells = _cells(drawn, slice(first, last), how)
    fault, bad = _csr(*cells, how.unsorted, ends, places, columns, values, offsets)
    of_batches = zip(pairwise(bounds), pairwise(places.tolist()), strict=True)
    for k, ((low, high), (start, stop)) in enumerate(of_batches):
        if fault and low <= first + bad < high:
            raise _error(fault, int(drawn.rows[first + bad]), how)
        own = offsets[low - first + k : high - first + k + 1]
        n = int(own[-1])
        some = slice(start, start + n)
        # What is left out of many counts should not be kept for as long as the others are.
        csr = (columns[some], values[some]) if start + n == stop else (columns[some].copy(), values[some].copy())
        yield _arrays(drawn, slice(low, high), csr=(own, *csr))


def _error(fault: int, row: int, how: Assembly) -> InvalidDataError:
    if fault == TOO_MANY_TOKENS:
        assert how.tokens is not None
        return InvalidDataError(
            "too-many-tokens", "a cell has more genes than a sequence has room for", where=f"cell {row}",
            expected=f"at most {how.tokens.max_len}", hint="use how='top' or 'random', or a larger max_len",
        )  # fmt: skip
    return InvalidDataError(
        "too-many-molecules", "a cell has too many molecules to be thinned", where=f"cell {row}",
        expected="less than 2^26",
    )  # fmt: skip


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
    tile: int,
    out: NDArray[np.float32],
) -> tuple[int, int]:
    """Write dense rows, `tile` columns at a time: those of a cell ascend, or are fewer than that."""
    words, codes, arguments = borrowed(words), borrowed(codes), borrowed(arguments)
    column_of_gene, flat = borrowed(column_of_gene), borrowed(out).reshape(-1)
    room = np.empty(n_genes, np.int32), np.empty(n_genes, np.float32), np.empty(256, np.float32)
    columns, values, known = borrowed(room[0]), borrowed(room[1]), borrowed(room[2])
    width, some = np.uint64(out.shape[1]), np.uint64(_SOME)
    for row in range(len(starts)):
        coming = starts[min(row + 1, len(starts) - 1)]
        place = (starts[row], stops[row], coming, total[row], seed, positions[row])
        n = make_cell(words, *place, codes, arguments, column_of_gene, columns, values, 0, known)
        if n < 0:
            return TOO_MANY_MOLECULES, row
        # A tile is still in the innermost cache when its values are put in.
        first, low, k, stop = np.uint64(row) * width, np.uint64(0), np.uint64(0), np.uint64(n)
        while low < width:
            high = min(low + np.uint64(tile), width)
            for at in range(first + low, first + high):
                flat[at] = np.float32(0)
            end = np.int64(high)
            while k + some <= stop and columns[k + some - np.uint64(1)] < end:
                for i in range(k, k + some):
                    flat[first + np.uint64(np.uint32(columns[i]))] = values[i]
                k += some
            while k < stop and columns[k] < end:
                flat[first + np.uint64(np.uint32(columns[k]))] = values[k]
                k += np.uint64(1)
            low = high
    returned(room[0]), returned(room[1]), returned(room[2])
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
    unsorted: bool,  # noqa: FBT001
    ends: NDArray[np.int64],
    places: NDArray[np.int64],
    columns: NDArray[np.integer],
    values: NDArray[np.float32],
    out_offsets: NDArray[np.integer],
) -> tuple[int, int]:
    """Make batches of the rows between `ends`, the values of each from one of `places` on."""
    words, codes, arguments = borrowed(words), borrowed(codes), borrowed(arguments)
    column_of_gene, columns, values = borrowed(column_of_gene), borrowed(columns), borrowed(values)
    room = np.empty(256, np.float32)
    known = borrowed(room)
    other_columns, other_values = np.empty(0, columns.dtype), np.empty(0, np.float32)
    digits = np.empty(DIGITS + 1, np.int64)
    place = 0
    for k in range(len(ends) - 1):
        at = places[k]
        out_offsets[place] = 0
        place += 1
        for row in range(ends[k], ends[k + 1]):
            coming = starts[min(row + 1, len(starts) - 1)]
            cell = (starts[row], stops[row], coming, total[row], seed, positions[row])
            n = make_cell(words, *cell, codes, arguments, column_of_gene, columns, values, at, known)
            if n < 0:
                return TOO_MANY_MOLECULES, row
            if unsorted:
                if n > len(other_columns):
                    other_columns, other_values = np.empty(2 * n, columns.dtype), np.empty(2 * n, np.float32)
                sort_entries(columns[at : at + n], values[at : at + n], other_columns, other_values, digits)
            at += n
            out_offsets[place] = at - places[k]
            place += 1
    returned(room)
    return 0, 0

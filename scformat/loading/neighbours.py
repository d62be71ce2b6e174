"""The neighbours of the cells of a batch: which they are, and batches that carry them or sum them up."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.layout import RECOMPUTE
from scformat.loading.batches import Arrays, make_batch
from scformat.loading.metacells import metacells
from scformat.loading.records import read_records
from scformat.sampling.draws import CONTROL_POSITIONS
from scformat.store.neighbours import NONE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.loading.batches import Assembly
    from scformat.loading.window import Held
    from scformat.store import Store
    from scformat.store.neighbours import NeighbourTable

_CONTROL, _NEIGHBOUR = np.uint64(CONTROL_POSITIONS), np.uint64(1 << 62)
_SLOTS = np.uint64(10)
"""Bits of the place in a list of neighbours: at most 1024 of them."""


@dataclass(frozen=True, kw_only=True, init=False)
class Neighbours:
    """What batches have of the neighbours of their cells.

    Attributes
    ----------
    name
        Of the store's table of neighbours.
    k
        The nearest so many; None: all that the table has.
    metacells
        ``batch.x`` is the sum of the counts of each cell and its neighbours, before any transform, and
        ``batch.total_counts`` the sum of theirs.
    counts
        ``batch.neighbours.x`` has the counts of each neighbour, made like ``batch.x``; without them it has rows and
        weights. With `metacells` there are none.
    across_splits
        A loader of one split leaves out neighbours of others, and the next nearest of its own take their places: a
        model that is trained does not see what is held out. True: it takes them.

    Raises
    ------
    UsageError
        ``bad-neighbours``.
    """

    name: str
    k: int | None
    metacells: bool
    counts: bool
    across_splits: bool

    def __init__(
        self,
        name: str,
        k: int | None = None,
        *,
        metacells: bool = False,
        counts: bool = True,
        across_splits: bool = False,
    ) -> None:
        for member, value in (
            ("name", name),
            ("k", k),
            ("metacells", metacells),
            ("counts", counts),
            ("across_splits", across_splits),
        ):
            object.__setattr__(self, member, value)
        if k is not None and (type(k) is not int or k < 1):
            raise UsageError("bad-neighbours", "not a number of neighbours", expected="1 or more", found=repr(k))
        if not isinstance(name, str):
            raise UsageError("bad-neighbours", "not the name of a table of neighbours", found=repr(name))


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourArrays:
    """The neighbours of the cells of one batch.

    Attributes
    ----------
    cells
        Of n k rows, those of a cell together, nearest first; row -1, source -1 and no counts where there is none.
    k
        Neighbours of a cell.
    weights : float32 array, shape (n, k), or None
    """

    cells: Arrays
    k: int
    weights: NDArray[np.float32] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Surrounded:
    """Cells that are held, with their neighbours.

    Attributes
    ----------
    held
        Cells and neighbours, and as row -1 a cell without counts.
    others
        The same, or, where no counts of neighbours are needed, neighbours as cells without counts.
    rows : int64 array, shape (n,)
        The cells; ascending, each once.
    neighbours : int64 array, shape (n, k)
    weights : float32 array, shape (n, k), or None
    how
        What is made of them.
    lost : int64 array, shape (m,)
        Those of `rows` that have nothing, as they or a neighbour cannot be read; ascending.
    """

    held: Held
    others: Held
    rows: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    weights: NDArray[np.float32] | None
    how: Neighbours
    lost: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def with_nothing(self, rows: NDArray[np.int64]) -> Surrounded:
        """Add cells that have nothing and no neighbours; none of `rows` is among these."""
        joined = np.concatenate([self.rows, rows])
        order = np.argsort(joined, kind="stable")
        lists = np.concatenate([self.neighbours, np.full((len(rows), self.neighbours.shape[1]), NONE)])[order]
        weights = self.weights
        if weights is not None:
            weights = np.concatenate([weights, np.zeros((len(rows), weights.shape[1]), weights.dtype)])[order]
        lost = np.union1d(self.lost, rows)  # they may be held all the same, as neighbours of others
        return replace(self, rows=joined[order], neighbours=lists, weights=weights, lost=lost)

    @property
    def nbytes(self) -> int:
        """Memory, records included."""
        lists = sum(a.nbytes for a in (self.rows, self.neighbours, self.weights) if a is not None)
        return self.held.nbytes + lists + (0 if self.others is self.held else self.others.nbytes)


class NeighbourReader:
    """Reads cells together with their neighbours.

    Attributes
    ----------
    table
        Where neighbours are listed.
    k
        Neighbours of a cell.
    """

    def __init__(self, store: Store, table: NeighbourTable, how: Neighbours, *, split: int | None) -> None:
        self._store = store
        self._how = how
        self._split = split
        self.table = table
        self.k = table.k if how.k is None else how.k

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32] | None]:
        """Return the neighbours of some cells, and their weights; both of shape (n, k)."""
        neighbours = self.table.rows(rows)
        weights = None if self.table.weight is None else self.table.weights(rows)
        if self._split is not None:
            outside = ~self._in_split(neighbours)
            order = np.argsort(outside, axis=1, kind="stable")
            neighbours = np.take_along_axis(np.where(outside, NONE, neighbours), order, axis=1)
            if weights is not None:
                weights = np.take_along_axis(np.where(outside, np.float32(0), weights), order, axis=1)
        return neighbours[:, : self.k].copy(), None if weights is None else weights[:, : self.k].copy()

    def _in_split(self, neighbours: NDArray[np.int64]) -> NDArray[np.bool_]:
        distinct, places = np.unique(neighbours, return_inverse=True)
        there = distinct >= 0
        there[there] = self._store.field("split", distinct[there]) == self._split
        return there[places].reshape(neighbours.shape)

    @property
    def cells_a_draw(self) -> int:
        """Cells whose counts are read for each cell that is drawn, at most."""
        return 1 + self.k if self._how.metacells or self._how.counts else 1

    def all_rows(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows whose counts are read for some cells, each once: theirs and those of their neighbours."""
        rows = np.unique(rows)
        return rows if self.cells_a_draw == 1 else _union(rows, self.of(rows)[0])

    def concerned(self, rows: NDArray[np.int64], cells: Sequence[int]) -> NDArray[np.int64]:
        """Return those of some rows that are among cells that cannot be read, or have one as a neighbour."""
        own = np.isin(rows, cells)
        # A row that cannot be read may have no list of neighbours either.
        return rows[own if own.any() else np.isin(self.table.rows(rows), cells).any(axis=1)]

    def read(
        self, rows: NDArray[np.int64], read: Callable[[NDArray[np.int64]], Held], *, labels: Sequence[str] = ()
    ) -> Surrounded:
        """Read some cells and their neighbours at once; a cell that is both, or is drawn twice, is read once.

        Parameters
        ----------
        rows : int64 array, shape (n,)
            Of the store, in any order.
        read
            Reads cells: :func:`scformat.loading.window.read_window`.
        labels
            Labels that it reads with them.
        """
        distinct = np.unique(rows)
        neighbours, weights = self.of(distinct)
        if self.cells_a_draw > 1:
            held = others = _with_none(read(_union(distinct, neighbours)))
        else:
            held = read(distinct)
            others = _with_none(_without_counts(self._store, held, _union(distinct[:0], neighbours), read, labels))
        return Surrounded(
            held=held, others=others, rows=distinct, neighbours=neighbours, weights=weights, how=self._how
        )


def choose_neighbours(
    store: Store, given: Neighbours | str | None, *, split: str | None = None
) -> NeighbourReader | None:
    """Find the neighbours that are asked for; None where none are.

    Raises
    ------
    UnknownNameError
        ``unknown-neighbour-table``, ``unknown-split``.
    UsageError
        ``bad-neighbours``: something else than a name, or more neighbours than the table has; ``other-cells``.
    """
    if given is None:
        return None
    how = Neighbours(given) if isinstance(given, str) else given
    if not isinstance(how, Neighbours):
        raise UsageError("bad-neighbours", "not neighbours", expected="a name or Neighbours(...)", found=repr(given))
    table = store.neighbours[how.name]
    if how.k is not None and how.k > table.k:
        raise UsageError(
            "bad-neighbours",
            "more neighbours than the table has",
            where=store.path,
            expected=f"at most {table.k} of {how.name!r}",
            found=how.k,
        )
    splits, code = store.manifest.splits, None
    if split is not None and not how.across_splits and splits is not None:
        if split not in splits.names:
            raise unknown_name("split", split, splits.names, where=store.path)
        code = splits.names.index(split)
    return NeighbourReader(store, table, how, split=code)


def make_cells(
    held: Held | Surrounded, rows: NDArray[np.int64], positions: NDArray[np.uint64], how: Assembly
) -> Arrays:
    """Make a batch as :func:`scformat.loading.batches.make_batch`, with neighbours where they are held."""
    if not isinstance(held, Surrounded):
        return make_batch(held, rows, positions, how)
    around = held
    at = np.searchsorted(around.rows, rows)
    neighbours = around.neighbours[at]
    made = np.where(np.isin(rows, around.lost), NONE, rows) if len(around.lost) else rows
    cells = metacells(around.held, made, neighbours, n_genes=how.n_genes) if around.how.metacells else around.held
    weights = None if around.weights is None else around.weights[at]
    carried = _carried(around, neighbours, positions, how)
    arrays = make_batch(cells, made, positions, how)
    return replace(arrays, rows=rows, neighbours=NeighbourArrays(cells=carried, k=neighbours.shape[1], weights=weights))


def _carried(around: Surrounded, neighbours: NDArray[np.int64], positions: NDArray[np.uint64], how: Assembly) -> Arrays:
    held, rows = around.others, neighbours.reshape(-1)
    streams = _streams(positions, neighbours.shape[1])
    if around.how.metacells or not around.how.counts:
        at = held.places(rows)
        return Arrays(
            rows=rows,
            positions=streams,
            source=held.source[at].astype(np.int64),
            total=held.total[at],
            labels=held.labels[:, at].astype(np.int64),
        )
    return make_batch(held, rows, streams, how)


def _streams(positions: NDArray[np.uint64], k: int) -> NDArray[np.uint64]:
    """Positions for what is random in neighbours: one for each neighbour of each draw, and none that a draw has."""
    drawn = (positions & ~_CONTROL) << _SLOTS & ~_CONTROL
    slots = np.arange(k, dtype=np.uint64)
    return ((positions & _CONTROL | _NEIGHBOUR | drawn)[:, None] | slots).reshape(-1)


def _union(rows: NDArray[np.int64], neighbours: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.union1d(rows, neighbours[neighbours >= 0])


def _without_counts(
    store: Store,
    like: Held,
    rows: NDArray[np.int64],
    read: Callable[[NDArray[np.int64]], Held],
    labels: Sequence[str],
) -> Held:
    """Read the records of some cells alone."""
    n = len(rows)
    source, total = np.empty(n, np.int32), np.empty(n, np.int64)
    codes = np.empty((len(labels), n), np.int32)
    for segment, some in store.by_segment(rows):
        found = read_records(segment, rows[some] - segment.part.start, labels)
        source[some], total[some], codes[:, some] = found.source, found.total, found.labels
    large = np.flatnonzero(total == RECOMPUTE)
    if len(large):
        total[large] = read(rows[large]).total
    nothing = np.zeros(n, np.int64)
    return replace(
        like,
        rows=rows,
        words=like.words[:0],
        starts=nothing,
        stops=nothing,
        n_values=np.zeros(n, np.int32),
        source=source,
        total=total,
        labels=codes,
    )


def _with_none(held: Held) -> Held:
    """Add, as row -1, a cell that has nothing: a list of neighbours can end early."""
    return held.with_nothing(np.array([NONE]))

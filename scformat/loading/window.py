"""What a run of draws needs of a store, read once and held small: packed rows and their records."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from scformat.layout import RECOMPUTE
from scformat.loading.kernels import MORE_A_ROW, WORDS_AN_ENTRY, pack_rows, sum_row
from scformat.loading.lookup import distinct, places
from scformat.loading.records import Records, read_records
from scformat.native import FAULTS, available
from scformat.pool import SMALLEST, Pool
from scformat.store.fetch import entries_error, naming_cells, plan_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from numpy.typing import NDArray

    from scformat.storage import Fetched
    from scformat.store import Store
    from scformat.store.segments import Segment

    Work: TypeAlias = Iterator[Callable[[], None]]

I = TypeVar("I", np.int32, np.int64)  # noqa: E741

PIECE_ENTRIES = 1 << 20
"""Entries of the rows that one thread decodes at a time: see :class:`scformat.loading.prefetch._Pipeline`."""

SEGMENTS_AHEAD = 8
"""Whose cells are asked for at once, where an answer takes its time: each may have some reads on their way."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """The distinct cells of a run of draws.

    Attributes
    ----------
    rows : int64 array, shape (n,)
        Of the store; ascending, each once.
    words : uint16 array
        Packed rows; see :mod:`scformat.loading.kernels`.
    starts, stops : int64 arrays, shape (n,)
        Where each lies in `words`.
    n_values : int32 array, shape (n,)
        Genes with a count.
    source : int32 array, shape (n,)
        -1 for a cell that has nothing: it could not be read, or stands for no cell.
    total : int64 array, shape (n,)
        Stored sum over all columns of the cell's source.
    labels : int32 array, shape (n_labels, n)
    pool
        Lends memory, for these arrays and for what is made of them.
    """

    rows: NDArray[np.int64]
    words: NDArray[np.uint16]
    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    n_values: NDArray[np.int32]
    source: NDArray[np.int32]
    total: NDArray[np.int64]
    labels: NDArray[np.int32]
    pool: Pool

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows of the store, all of them held, lie here."""
        return places(self.rows, rows)

    def with_nothing(self, rows: NDArray[np.int64]) -> Held:
        """Add cells without counts and labels, source -1; none of them is held."""
        joined = np.concatenate([self.rows, rows])
        order = np.argsort(joined, kind="stable")

        def after(values: NDArray[I], fill: int) -> NDArray[I]:
            more = np.full((*values.shape[:-1], len(rows)), fill, values.dtype)
            return np.concatenate([values, more], axis=-1)[..., order]

        return replace(
            self,
            rows=joined[order],
            starts=after(self.starts, 0),
            stops=after(self.stops, 0),
            n_values=after(self.n_values, 0),
            source=after(self.source, -1),
            total=after(self.total, 0),
            labels=after(self.labels, -1),
        )

    @property
    def nbytes(self) -> int:
        """Memory, records included."""
        arrays = (self.rows, self.words, self.starts, self.stops, self.n_values, self.source, self.total, self.labels)
        return sum(a.nbytes for a in arrays)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What reading a run of draws takes.

    Attributes
    ----------
    draws, cells
        Draws, and distinct cells among them.
    chunks
        Chunks of counts that hold them.
    requests, bytes
        Reads of the files of counts, and what they bring.
    """

    draws: int
    cells: int
    chunks: int
    requests: int
    bytes: int


def in_order(work: Work) -> None:
    """Do pieces of work one after another."""
    for piece in work:
        piece()


def read_window(
    store: Store,
    rows: NDArray[np.int64],
    *,
    labels: Sequence[str] = (),
    run: Callable[[Work], None] = in_order,
    pool: Pool | None = None,
) -> Held:
    """Read the cells of some draws; a repeated one is read once.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        Of the store, in any order.
    labels
        Labels to read with them.
    run
        Does the decoding, given as an iterator of functions that may run side by side.
    pool
        Lends memory; None: a new one.

    Raises
    ------
    DamagedDataError
        A chunk is missing or damaged, or its entries break the encoding; the cells are named.
    """
    return _Reader(store, distinct(rows), labels, Pool() if pool is None else pool).read(run)


def costs(store: Store, rows: NDArray[np.int64]) -> Costs:
    """Tell what :func:`read_window` takes for these rows; reads, but decodes nothing."""
    cells = distinct(rows)
    reader = _Reader(store, cells, (), Pool())
    chunks = requests = size = 0
    segments = list(reader.segments())
    for (segment, _, _), found in zip(segments, reader.records(segments), strict=True):
        part = segment.part
        numbers = plan_chunks(found.starts, found.stops, chunk=part.entries.chunk[1]).numbers
        for fetched in segment.storage.fetch_chunks(part.entries, numbers):
            requests += fetched.requests
            size += len(fetched.data)
        chunks += len(numbers)
    return Costs(draws=len(rows), cells=len(cells), chunks=chunks, requests=requests, bytes=size)


class _Reader:
    """Fills the arrays of one :class:`Held`, tile by tile, from any thread."""

    def __init__(self, store: Store, rows: NDArray[np.int64], labels: Sequence[str], pool: Pool) -> None:
        n = len(rows)
        self._pool = pool
        self._store = store
        self._labels = labels
        self._rows = rows
        self._starts, self._stops = np.zeros(n, np.int64), np.zeros(n, np.int64)
        self._n_values = np.zeros(n, np.int32)
        self._source = np.empty(n, np.int32)
        self._total = np.empty(n, np.int64)
        self._codes = np.empty((len(labels), n), np.int32)
        self._entry = np.empty(n, np.int64), np.empty(n, np.int64)
        self._words = np.empty(0, np.uint16)
        self._used = np.zeros(1, np.int64)

    def segments(self) -> Iterator[tuple[Segment, int, int]]:
        """Which of the rows lie in each segment."""
        for segment in self._store.segments:
            part = segment.part
            low, high = np.searchsorted(self._rows, [part.start, part.start + part.n_cells]).tolist()
            if high > low:
                yield segment, low, high

    def read(self, run: Callable[[Work], None]) -> Held:
        segments = list(self.segments())
        for (_, low, high), found in zip(segments, self.records(segments), strict=True):
            self._entry[0][low:high], self._entry[1][low:high] = found.starts, found.stops
            self._source[low:high] = found.source
            self._total[low:high] = found.total
            self._codes[:, low:high] = found.labels
        # Room for the worst case is asked for, but only what is used is ever touched and takes memory.
        entries = int((self._entry[1] - self._entry[0]).sum())
        room = WORDS_AN_ENTRY * entries + MORE_A_ROW * len(self._rows)
        self._words = self._pool.empty(max(room, SMALLEST), np.uint16)  # what is smaller may not be aligned
        works = [self._pieces(*each) for each in segments]
        run(_in_turn(works) if _waits(segments) else chain.from_iterable(works))
        for at in np.flatnonzero(self._total == RECOMPUTE).tolist():
            self._total[at] = sum_row(self._words, self._starts[at], self._stops[at])
        return Held(
            rows=self._rows,
            words=self._words[: int(self._used[0])],
            starts=self._starts,
            stops=self._stops,
            n_values=self._n_values,
            source=self._source,
            total=self._total,
            labels=self._codes,
            pool=self._pool,
        )

    def records(self, segments: list[tuple[Segment, int, int]]) -> Iterator[Records]:
        """Read the records of the rows of each segment."""

        def read(each: tuple[Segment, int, int]) -> Records:
            segment, low, high = each
            return read_records(segment, self._rows[low:high] - segment.part.start, self._labels)

        if not _waits(segments):
            yield from map(read, segments)
            return
        with ThreadPoolExecutor(SEGMENTS_AHEAD) as threads:
            yield from threads.map(read, segments)

    def _pieces(self, segment: Segment, low: int, high: int) -> Work:
        """Fetch shard by shard and yield the decoding of some rows at a time."""
        part = segment.part
        starts, stops = self._entry[0][low:high], self._entry[1][low:high]
        numbers = plan_chunks(starts, stops, chunk=part.entries.chunk[1]).numbers
        size, capacity = part.entries.chunk[1], part.entries.shard[1]
        with self._naming_cells(segment, low, high):
            for fetched in segment.storage.fetch_chunks(part.entries, numbers):
                shard = int(fetched.numbers[0]) * size // capacity
                a, b = np.searchsorted(starts, [shard * capacity, (shard + 1) * capacity]).tolist()
                entries = np.cumsum(stops[a:b] - starts[a:b])
                cut = np.searchsorted(entries, np.arange(PIECE_ENTRIES, entries[-1], PIECE_ENTRIES))
                for first, last in _pairs(low + a, low + b, cut):
                    yield partial(self._decode, segment, (low, high), fetched, first, last)

    def _naming_cells(self, segment: Segment, low: int, high: int) -> AbstractContextManager[None]:
        starts, stops = (ends[low:high] for ends in self._entry)
        return naming_cells(segment.part, starts, stops, self._rows[low:high])

    def _decode(self, segment: Segment, rows: tuple[int, int], fetched: Fetched, low: int, high: int) -> None:
        """Decode and pack the rows `low` .. `high` - 1, all of one shard; `rows` are those of the segment."""
        storage, part = segment.storage, segment.part
        starts, stops = self._entry[0][low:high], self._entry[1][low:high]
        held = np.flatnonzero(stops > starts)
        if not len(held):
            return
        size = part.entries.chunk[1]
        at = np.searchsorted(fetched.numbers, starts[held] // size)
        first, last = int(at[0]), int(np.searchsorted(fetched.numbers, (int(stops[held[-1]]) - 1) // size))
        begin = np.zeros(high - low, np.int64)
        begin[held] = (at - first) * size + starts[held] % size
        with self._naming_cells(segment, *rows):
            stored, n = None, last - first + 1
            if available():
                some = slice(first, last + 1)
                stored, n = (fetched.data, fetched.offsets[some], fetched.lengths[some]), 1
            chunks = self._pool.empty((n, *part.entries.chunk), np.uint16)
            if stored is None:
                storage.decode_fetched(fetched, chunks, first=first)
            fault, place = pack_rows(
                chunks, stored, begin, begin + stops - starts, segment.n_genes, segment.first_gene, self._words,
                self._used, self._starts[low:high], self._stops[low:high], self._n_values[low:high],
            )  # fmt: skip
            if fault < 0:
                raise storage.damaged(fetched, first + place, FAULTS[-fault])
        if fault:
            raise entries_error(fault, storage, part, int(self._rows[low + place]))


def _waits(segments: Sequence[tuple[Segment, int, int]]) -> bool:
    """Whether it is worth asking for the cells of several segments at once."""
    return len(segments) > 1 and any(segment.storage.waits for segment, _, _ in segments)


def _in_turn(works: Sequence[Work]) -> Work:
    """Yield one after another, while the first pieces of some that follow are waited for."""
    following = iter(works)
    coming: deque[tuple[Work, Future[Callable[[], None] | None]]] = deque()
    with ThreadPoolExecutor(SEGMENTS_AHEAD) as threads:
        while True:
            for work in islice(following, 1 + SEGMENTS_AHEAD - len(coming)):
                coming.append((work, threads.submit(next, work, None)))
            if not coming:
                return
            work, first = coming.popleft()
            piece = first.result()
            if piece is not None:
                yield piece
                yield from work


def _pairs(low: int, high: int, cut: NDArray[Any]) -> Iterator[tuple[int, int]]:
    bounds = np.unique(np.concatenate([[low], low + cut, [high]])).tolist()
    return pairwise(bounds)

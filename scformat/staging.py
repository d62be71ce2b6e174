"""Bringing all that reading some cells needs to a local disk, so that no later epoch asks the network for anything."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scformat.caching import Cache, home_of
from scformat.caching.room import files_below
from scformat.collection import open_stores
from scformat.errors import StorageError, UsageError
from scformat.loading.selection import choose_table
from scformat.manifest import every_array
from scformat.store import Store
from scformat.store.fetch import locate_rows, plan_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from scformat.manifest import Array
    from scformat.storage import Storage
    from scformat.store.segments import Segment

    Progress = Callable[[str, int, int], None]

AT_ONCE = 16
"""Small arrays that are read side by side: each is two requests, one after the other."""
ROWS_AT_ONCE = 1 << 20
"""Cells whose chunks are listed together."""
CHUNKS_AT_ONCE = 1 << 14
"""Chunks between two reports of progress."""


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What was staged, or would be.

    Attributes
    ----------
    directory
        The cache that has it.
    cells
        How many.
    bytes
        Of the store, as they are kept.
    """

    directory: Path
    cells: int
    bytes: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Staging:
    """What is to be brought, found out and not yet begun.

    Attributes
    ----------
    planned
        How much it is.
    """

    planned: Staged
    _urls: frozenset[str]
    _small: tuple[tuple[Storage, Array], ...]
    _counts: tuple[tuple[Segment, NDArray[np.int64]], ...]

    def bring(self, progress: Progress | None = None) -> None:
        """Bring it; what is there already is not asked for again.

        Raises
        ------
        StorageError
            ``no-room``, ``cannot-write``.
        """
        _check_room(self.planned, self._urls)
        with _side_by_side() as pool:
            done = 0
            first = pool.map(lambda one: _bring(*one), self._small)
            for size in chain(first, chain.from_iterable(_bring_counts(*some) for some in self._counts)):
                done += size
                if progress is not None:
                    progress("staging", done, self.planned.bytes)


def plan_staging(
    store: Store | str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    where: str | None = None,
    table: str | None = None,
) -> Staging:
    """Find out what staging takes; see :func:`scformat.stage`."""
    directory = _directory(store, cache)
    given = list(dict.fromkeys(s.storage.url for s in store.segments)) if isinstance(store, Store) else store
    opened = open_stores(given, cache=Cache(directory=directory, limit=None))
    if isinstance(store, Store) and _digests(opened) != _digests(store):
        raise StorageError("store-changed", "the store has changed since it was opened", where=store.path)
    rows = _drawn_rows(opened, split=split, where=where, table=table)
    small = tuple({(s.storage, a.path): (s.storage, a) for s in opened.segments for a in _whole_arrays(s)}.values())
    counts = tuple((segment, _chunks_of(segment, some)) for segment, some in _by_segment(opened, rows))
    with _side_by_side() as pool:
        total = sum(pool.map(lambda one: one[0].stored_bytes(one[1]), small))
    total += sum(segment.storage.stored_bytes(segment.part.entries, numbers) for segment, numbers in counts)
    return Staging(
        planned=Staged(directory=directory, cells=len(rows), bytes=total),
        _urls=frozenset(segment.storage.url for segment in opened.segments),
        _small=small,
        _counts=counts,
    )


def stage_store(
    store: Store | str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    where: str | None = None,
    table: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Staged:
    """Stage cells of a store; see :func:`scformat.stage`."""
    staging = plan_staging(store, cache, split=split, where=where, table=table)
    if not dry_run:
        staging.bring(progress)
    return staging.planned


@contextmanager
def _side_by_side() -> Iterator[ThreadPoolExecutor]:
    """Give threads for small reads; after an interrupt none begins that has not."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _digests(store: Store) -> list[str]:
    return [segment.manifest.sha256 for segment in store.segments]


def _directory(store: Store | str | os.PathLike[str], cache: str | os.PathLike[str] | None) -> Path:
    if cache is not None:
        return Path(cache).expanduser().absolute()
    known = store.segments[0].storage.cache if isinstance(store, Store) else None
    if known is not None:
        return known.directory
    if os.environ.get("SCFORMAT_CACHE"):
        return Path(os.environ["SCFORMAT_CACHE"]).expanduser().absolute()
    raise UsageError("no-cache", "no directory to stage to", hint="give cache, or open the store with one")


def _drawn_rows(store: Store, *, split: str | None, where: str | None, table: str | None) -> NDArray[np.int64]:
    """Return the cells that a loader with these options may draw, ascending."""
    chosen = choose_table(store, table, split=split, where=where)
    drawn = [chosen.strata.rows_of(k) for k in np.flatnonzero(chosen.masses).tolist()]
    return np.unique(np.concatenate(drawn))


def _by_segment(store: Store, rows: NDArray[np.int64]) -> Iterator[tuple[Segment, NDArray[np.int64]]]:
    for segment in store.segments:
        first = segment.part.start
        low, high = np.searchsorted(rows, [first, first + segment.part.n_cells]).tolist()
        yield segment, rows[low:high] - first


def _whole_arrays(segment: Segment) -> list[Array]:
    """Return what any reading of cells may need besides counts: genes, labels, records, splits, what was measured."""
    part, manifest = segment.part, segment.manifest
    places = [*part.labels.values(), *([] if part.split is None else [part.split])]
    models = (manifest.genes, *manifest.labels, part.sources.records, *places)
    found = [part.index, part.shard_rows, part.sources.measured, *chain.from_iterable(map(every_array, models))]
    return list({array.path: array for array in found if 0 not in array.shape}.values())


def _chunks_of(segment: Segment, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """List the chunks of counts that hold some rows of a part."""
    found = [np.empty(0, np.int64)]
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[begin : begin + ROWS_AT_ONCE]
        starts, stops, _ = locate_rows(segment.storage, segment.part, segment.shard_rows, some)
        found.append(plan_chunks(starts, stops, chunk=segment.part.entries.chunk[1]).numbers)
    return np.unique(np.concatenate(found))


def _bring(storage: Storage, array: Array) -> int:
    return sum(int(fetched.lengths.sum()) for fetched in storage.fetch_whole(array))


def _bring_counts(segment: Segment, numbers: NDArray[np.int64]) -> Iterator[int]:
    for fetched in segment.storage.fetch_chunks(segment.part.entries, numbers, at_most=CHUNKS_AT_ONCE):
        yield int(fetched.lengths.sum())


def _check_room(planned: Staged, urls: frozenset[str]) -> None:
    """Refuse to begin what the disk has no room for; a part of it may be there."""
    homes = {home_of(planned.directory, url) for url in urls}
    there = [(path, s) for path, s in files_below(planned.directory, staged=True) if Path(path).parent in homes]
    place = next(p for p in (planned.directory, *planned.directory.parents) if p.is_dir())
    room = shutil.disk_usage(place).free + sum(s.st_blocks * 512 for _, s in there)
    if planned.bytes > room:
        raise StorageError(
            "no-room", "not enough room to stage", where=planned.directory, expected=f"{planned.bytes:,} bytes",
            found=f"{room:,}",
        )  # fmt: skip

"""Arrays, chunks and strings of stores are read and checked; `writing` writes them. Nothing else opens their files."""

from __future__ import annotations

import itertools
import math
import os
import threading
from collections import OrderedDict, deque
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.blobs import Blobs, Pending, Ranges, Written, open_blobs
from scformat.caching import Cache, Cached
from scformat.codec import (
    ABSENT,
    MOST_CHUNK,
    MOST_INDEX,
    DamagedError,
    decode_index,
    index_size,
)
from scformat.errors import DamagedDataError, InvalidDataError, damaged_data
from scformat.layout import ArraySpec
from scformat.manifest import Array, StringArray
from scformat.native import decode_chunks
from scformat.pool import Pool
from scformat.ranges import plan_ranges
from scformat.regions import Region, chunks_within, copy_shared, files_of, spans_of
from scformat.strings import Strings, offsets_fit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

MANIFEST_KEY = "zarr.json"
INDEX_BYTES = 64 << 20
"""Shard indexes that are kept: 16 bytes a chunk."""
UNPROVEN = 64 << 20
"""Bytes that are made because indexes say so; for more, each file has to show that it reaches as far as they say."""
CHUNKS_AT_ONCE = 256
"""Chunks that are decoded together where one after another is wanted."""
CHUNKS_AHEAD = 16_384
"""Chunks that are asked for together, where one after another is wanted and an answer takes its time."""
INDEXES_AT_ONCE = 256
"""Shard indexes that are asked for together, where an answer takes its time."""
KEPT_BYTES = 128 << 20
"""Decoded records that are kept: a random read needs one of 1,024 cells, and the next read often the same."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fetched:
    """Chunks of one shard as they are stored.

    Attributes
    ----------
    array
        Path of the array.
    key
        Of the shard.
    numbers : int64 array, shape (n,)
        Which chunks of the array these are.
    data : uint8 array
        Their bytes, and perhaps some between them.
    offsets, lengths : int64 arrays, shape (n,)
        Where each lies in `data`.
    requests
        Reads that it took.
    """

    array: str
    key: str
    numbers: NDArray[np.int64]
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    requests: int


class Storage:
    """A place that holds a store: a directory, a bucket prefix or an HTTP address.

    It can be pickled, used by several threads, and, where it is a directory, by forked processes.

    Parameters
    ----------
    url
        A path, ``s3://``, ``gs://``, ``http(s)://``.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self._blobs: Blobs = open_blobs(self.url)
        self._cached: Cached | None = None
        self._ranges: Ranges = self._blobs
        self._indexes = _Cache(INDEX_BYTES)
        self._kept = _Cache(KEPT_BYTES)
        self._pool = Pool()

    def __getstate__(self) -> dict[str, Any]:
        # Another process may have another current directory.
        url = self.url if "://" in self.url else str(Path(self.url).absolute())
        return {"url": url, "keeping": None if self._cached is None else (self._cached.cache, self._cached.digests)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Storage.__init__(self, state["url"])
        if state["keeping"] is not None:
            self.keep(*state["keeping"])

    def keep(self, cache: Cache, digests: Mapping[str, str]) -> None:
        """Keep what is read of arrays from now on in a cache.

        Parameters
        ----------
        digests
            Of every array of the store by its path.
        """
        self._ranges = self._cached = Cached(self._blobs, cache, digests)

    @property
    def waits(self) -> bool:
        """Whether an answer takes its time, so that it pays to ask for more than is wanted next."""
        return self._ranges.ahead > 0

    @property
    def cache(self) -> Cache | None:
        """Where what is read is kept."""
        return None if self._cached is None else self._cached.cache

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a key, None where there is none."""
        return self._blobs.read(key)

    def write(self, key: str, data: bytes) -> Written:
        """Start writing a key; the result's ``result()`` waits until it lies there whole."""
        return self._blobs.write(key, data)

    def prepare(self, key: str) -> None:
        """Make what has to be there before :meth:`write_whole` of a key."""
        self._blobs.prepare(key)

    def write_whole(self, key: str, data: bytes, *, through: Path) -> None:
        """Write a key in one step, by way of a file in a directory if need be, and wait for it."""
        self._blobs.write_whole(key, data, through=through)

    def replace(self, key: str, data: bytes, *, expected: bytes | None) -> bool:
        """Write a key in one step if it has the bytes `expected`, None: if there is none; tell whether it was so."""
        return self._blobs.replace(key, data, expected=expected)

    def discard(self, path: str) -> None:
        """Remove everything below a path, unless it is in doubt what the root names; empty: all there is."""
        self._blobs.discard(path)

    def check_place(self) -> None:
        """Raise where it can be told why there is nothing at all (``no-bucket``)."""
        self._blobs.check_place()

    def size(self) -> int | None:
        """Bytes of everything that lies there; None where that is not cheap to tell."""
        return self._blobs.size()

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._blobs.sync()

    def adopt(self, key: str) -> None:
        """Count what lies at a key among what was written."""
        self._blobs.adopt(key)

    def keys(self) -> list[str]:
        """Every key, sorted."""
        return self._blobs.keys()

    def at(self, key: str) -> str:
        """Address of a key, for messages."""
        return f"{self.url.rstrip('/')}/{key}"

    def read_array(self, array: Array, region: Any = ...) -> NDArray[Any]:
        """Read a region of an array, in the notation of numpy; a lost chunk raises.

        Not for counts, whose fill value is a pair of elements and only the decoder can tell.
        """
        spans, shape = spans_of(region, array.shape)
        values = self._read_region(array, spans)
        self.refuse_fill(array, values)
        return values.reshape(shape)

    def _read_region(self, array: Array, region: Region) -> NDArray[Any]:
        """Read a region of an array of any grid, shard by shard."""
        spec = array_spec(array)
        extent = [stop - start for start, stop in region]
        if 0 in extent:
            return np.empty(extent, array.dtype)
        self._require(spec, region)
        out = np.empty(extent, array.dtype)
        a_shard = [s // c for s, c in zip(spec.shard, spec.chunk, strict=True)]
        for shard in files_of(region, spec.shard):
            held = chunks_within(region, shard, spec)
            here = list(itertools.product(*(range(first, last) for first, last in held)))
            inner = np.array([[i % n for i, n in zip(chunk, a_shard, strict=True)] for chunk in here])
            numbers = np.ravel_multi_index(tuple(inner.T), a_shard)
            fetched = self._begin(spec, shard, numbers, self._index(spec, shard).reshape(-1, 2)[numbers]).result()
            decoded = np.empty((len(here), *spec.chunk), spec.dtype)
            self.decode_fetched(fetched, decoded)
            for chunk, values in zip(here, decoded, strict=True):
                copy_shared(values, chunk, spec, out, region)
        return out

    def require(self, array: Array) -> None:
        """Raise unless the files hold all of an array, as its shape says.

        Indexes are read one after another, so that whoever lies of a shape is found out at the first file that is
        not there, before anything of that size is made.
        """
        self._require(array_spec(array), tuple((0, n) for n in array.shape))

    def _require(self, spec: ArraySpec, region: Region) -> None:
        made = math.prod(stop - start for start, stop in region) * np.dtype(spec.dtype).itemsize
        for shard in files_of(region, spec.shard):
            index = self._index(spec, shard)
            if made > UNPROVEN:
                self._check_end(spec, shard, index, made=made)
            some = tuple(
                slice(first - i * s // c, last - i * s // c)
                for (first, last), i, s, c in zip(
                    chunks_within(region, shard, spec), shard, spec.shard, spec.chunk, strict=True
                )
            )
            absent = index[some][..., 0] == ABSENT
            if absent.any():
                found = f"chunk {np.argwhere(absent)[0].tolist()} of what was asked for"
                raise _lost(self.at(spec.key(shard)), found, spec.path, _chunks_of(spec, shard))

    def read_chunks(self, array: Array, numbers: NDArray[np.int64]) -> NDArray[Any]:
        """Read whole chunks of an array whose chunks are cut along the last axis alone.

        Parameters
        ----------
        array
            Every other axis lies in one chunk.
        numbers : int64 array, shape (n,)
            Chunks along the last axis, ascending, each once.

        Returns
        -------
        array, shape (n, *chunk)

        Raises
        ------
        InvalidDataError
            ``lost-chunk``, ``damaged-chunk``: the file and the chunk are named.
        """
        spec, last = array_spec(array), array.shard[-1] // array.chunk[-1]
        shards, made = [_along(spec, shard) for shard in np.unique(numbers // last).tolist()], len(numbers)
        for shard, index in zip(shards, self._indexes_of(spec, shards), strict=True):
            if made * spec.chunk_bytes > UNPROVEN:
                self._check_end(spec, shard, index, made=made * spec.chunk_bytes)
        out = np.empty((len(numbers), *array.chunk), array.dtype)
        low = 0
        for fetched in self.fetch_chunks(array, numbers):
            high = low + len(fetched.numbers)
            self.decode_fetched(fetched, out[low:high])
            low = high
        return out

    def fetch_chunks(
        self, array: Array, numbers: NDArray[np.int64], *, at_most: int | None = None
    ) -> Iterator[Fetched]:
        """Read chunks as :meth:`read_chunks` does, but leave them as they are stored; one item a shard.

        Where an answer takes its time, what comes next is asked for before it is wanted, up to so many bytes: the
        indexes of all shards in one round, then the chunks of all shards in another.

        Parameters
        ----------
        at_most
            Chunks an item; None: as many as there are of a shard.

        Raises
        ------
        InvalidDataError
            ``lost-chunk``, ``damaged-chunk``: the file and the chunk are named.
        """
        spec = array_spec(array)
        a_shard = spec.shard[-1] // spec.chunk[-1]
        shards, firsts = np.unique(numbers // a_shard, return_index=True)
        bounds = [*firsts.tolist(), len(numbers)]
        grids = [_along(spec, shard) for shard in shards.tolist()]
        begun: deque[_Begun] = deque()
        for shard, index, (low, high) in zip(
            shards.tolist(), self._indexes_of(spec, grids), itertools.pairwise(bounds), strict=True
        ):
            for first in range(low, high, at_most or high - low):
                some = numbers[first : min(high, first + (at_most or high))]
                begun.append(self._begin(spec, _along(spec, shard), some, index.reshape(-1, 2)[some - shard * a_shard]))
                while begun and sum(b.nbytes for b in begun) > self._ranges.ahead:
                    yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()

    def fetch_whole(self, array: Array) -> Iterator[Fetched]:
        """Read all chunks of an array of any grid, but leave them as they are stored; one item a file."""
        spec = array_spec(array)
        for grid, places in self._places_of(spec):
            numbers = np.flatnonzero(places[:, 0] != ABSENT)
            yield self._begin(spec, grid, numbers, places[numbers]).result()

    def stored_bytes(self, array: Array, numbers: NDArray[np.int64] | None = None) -> int:
        """Return the bytes of chunks as they are stored; of all, or those of an array as in :meth:`read_chunks`."""
        spec = array_spec(array)
        if numbers is None:
            return sum(int(p[p[:, 0] != ABSENT, 1].sum()) for _, p in self._places_of(spec))
        shards, within = np.divmod(numbers, array.shard[-1] // array.chunk[-1])
        several, firsts = np.unique(shards, return_index=True)
        indexes = self._indexes_of(spec, [_along(spec, shard) for shard in several.tolist()])
        pieces = np.split(within, firsts[1:])
        return sum(int(i.reshape(-1, 2)[some, 1].sum()) for i, some in zip(indexes, pieces, strict=True))

    def _places_of(self, spec: ArraySpec) -> Iterator[tuple[tuple[int, ...], NDArray[np.uint64]]]:
        """Yield each file of an array, and where its chunks lie in it."""
        grids = [grid for grid, _ in spec.files()]
        for grid, index in zip(grids, self._indexes_of(spec, grids), strict=True):
            yield grid, index.reshape(-1, 2)

    def decode_fetched(self, fetched: Fetched, out: NDArray[Any], *, first: int = 0) -> None:
        """Decode chunks of one shard, as many as `out` has room for, from the `first` fetched on."""
        some = slice(first, first + len(out))
        try:
            decode_chunks(fetched.data, fetched.offsets[some], fetched.lengths[some], out)
        except DamagedError as error:
            raise self.damaged(fetched, first + error.place, str(error)) from None

    def damaged(self, fetched: Fetched, place: int, why: str) -> DamagedDataError:
        """Make the error for one of the chunks that were fetched, which cannot be decoded."""
        self._forget(fetched.key)
        number = int(fetched.numbers[place])
        return _damaged(self.at(fetched.key), f"chunk {number}: {why}", fetched.array, [number])

    def each_chunk(self, array: Array, numbers: NDArray[np.int64], *, keep: bool) -> Iterator[NDArray[Any]]:
        """Do as :meth:`read_chunks`, one chunk after another, a few at a time in memory.

        Parameters
        ----------
        keep
            Hold on to what was decoded for the next reads, the latest :data:`KEPT_BYTES`.
        """
        together = CHUNKS_AHEAD if self._ranges.ahead else CHUNKS_AT_ONCE
        for begin in range(0, len(numbers), together):
            some = numbers[begin : begin + together]
            keys = [f"{array.path}:{number}" for number in some.tolist()]
            held = [self._kept.get(key) if keep else None for key in keys]
            fresh = self._decoded(array, some[[chunk is None for chunk in held]])
            for key, known in zip(keys, held, strict=True):
                chunk = next(fresh) if known is None else known
                if keep and known is None:
                    chunk = chunk.copy()  # the others of its read need not stay
                    self._kept.put(key, chunk)
                yield chunk

    def _decoded(self, array: Array, numbers: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """Yield chunks one after another, decoded a few at a time."""
        for fetched in self.fetch_chunks(array, numbers, at_most=CHUNKS_AT_ONCE):
            decoded = np.empty((len(fetched.numbers), *array.chunk), array.dtype)
            self.decode_fetched(fetched, decoded)
            yield from decoded

    def _begin(
        self,
        spec: ArraySpec,
        grid: tuple[int, ...],
        numbers: NDArray[np.int64],
        places: NDArray[np.uint64],
    ) -> _Begun:
        """Ask for chunks of one shard; those that lie close together are one read."""
        key = spec.key(grid)
        absent = places[:, 0] == ABSENT
        if absent.any():
            raise _lost(self.at(key), f"chunk {int(numbers[absent][0])}", spec.path, numbers[absent].tolist())
        starts, lengths = np.ascontiguousarray(places.astype(np.int64).T)
        plan = plan_ranges(starts, lengths, read_through=self._ranges.read_through)
        data = self._pool.empty(plan.n_bytes, np.uint8)
        fetched = Fetched(
            array=spec.path,
            key=key,
            numbers=numbers,
            data=data,
            offsets=plan.offsets,
            lengths=lengths,
            requests=len(plan.starts),
        )
        with _naming_chunks(fetched.array, fetched.numbers.tolist()):
            return _Begun(fetched, self._ranges.begin_ranges(key, plan.starts, plan.stops, data))

    def _index(self, spec: ArraySpec, shard: tuple[int, ...]) -> NDArray[np.uint64]:
        return next(self._indexes_of(spec, [shard]))

    def _indexes_of(self, spec: ArraySpec, shards: Sequence[tuple[int, ...]]) -> Iterator[NDArray[np.uint64]]:
        """Yield the index of each file; where an answer takes its time, some are asked for before they are wanted."""
        at_once = INDEXES_AT_ONCE if self._ranges.ahead else 1
        size = index_size(spec)
        asked: deque[Pending[bytes | None] | NDArray[np.uint64]] = deque()
        following = iter(shards)
        for shard in shards:
            for later in itertools.islice(following, at_once - len(asked)):
                known = self._indexes.get(spec.key(later))
                if known is None and (size > MOST_INDEX or spec.chunk_bytes > MOST_CHUNK):
                    found = f"an index of {size} bytes and chunks of {spec.chunk_bytes}, more than any file needs"
                    raise _damaged(self.at(spec.key(later)), found, spec.path, _chunks_of(spec, later))
                asked.append(self._ranges.begin_tail(spec.key(later), size) if known is None else known)
            first = asked.popleft()
            yield first if isinstance(first, np.ndarray) else self._read_index(spec, shard, first.result())

    def _read_index(self, spec: ArraySpec, shard: tuple[int, ...], tail: bytes | None) -> NDArray[np.uint64]:
        key = spec.key(shard)
        if tail is None:
            raise _lost(self.at(key), "the whole file", spec.path, _chunks_of(spec, shard))
        try:
            index = decode_index(tail, spec)
        except DamagedError as error:
            self._forget(key)
            raise _damaged(self.at(key), f"the index: {error}", spec.path, _chunks_of(spec, shard)) from None
        self._check_end(spec, shard, index)
        self._indexes.put(key, index)
        return index

    def _forget(self, key: str) -> None:
        """Let the next read of a damaged file go to where it lies: it may be whole there, or become so."""
        if self._cached is not None:
            self._cached.forget(key)

    def _check_end(self, spec: ArraySpec, shard: tuple[int, ...], index: NDArray[np.uint64], *, made: int = 0) -> None:
        """Read the last byte that an index promises, where much is to be made of it.

        Parameters
        ----------
        made
            Bytes that follow from this index and others; they count where a read takes no time.
        """
        held = index[index[..., 0] != ABSENT].astype(np.int64)
        if max(len(held) * spec.chunk_bytes, 0 if self._blobs.ahead else made) > UNPROVEN and len(held):
            end = held.sum(axis=1).max(keepdims=True)
            with _naming_chunks(spec.path, _chunks_of(spec, shard)):
                self._ranges.begin_ranges(spec.key(shard), end - 1, end, np.empty(1, np.uint8)).result()

    def refuse_fill(self, array: Array, values: NDArray[Any]) -> None:
        """Raise where values of an array are its fill value, which no valid element is."""
        lost = values == np.array(array.fill, array.dtype)
        if lost.any():
            found = f"the fill value at {np.argwhere(lost)[0].tolist()} of what was read"
            raise _lost(self.at(array.path), found, array.path)

    def read_strings(self, strings: StringArray) -> Strings:
        """Read a whole string array and check that its offsets fit its bytes and its bytes are UTF-8."""
        offsets = self.read_array(strings.offsets)
        n_bytes = strings.bytes.shape[0]
        data = self.read_array(strings.bytes) if n_bytes else np.empty(0, np.uint8)
        where = self.at(strings.offsets.path)
        if not offsets_fit(offsets, n_bytes):
            raise InvalidDataError("bad-offsets", "string offsets do not fit their bytes", where=where)
        return self.checked_text(strings, Strings(data=data, offsets=offsets))

    def checked_text(self, strings: StringArray, found: Strings) -> Strings:
        """Return what was read of a string array if it is UTF-8, string by string."""
        why = found.why_no_text()
        if why is not None:
            raise InvalidDataError("bad-utf8", why, where=self.at(strings.bytes.path), hint="run scformat validate")
        return found


class _Begun:
    """Chunks that were asked for."""

    def __init__(self, fetched: Fetched, pending: Pending[None]) -> None:
        self.nbytes = fetched.data.nbytes
        self._fetched, self._pending = fetched, pending

    def result(self) -> Fetched:
        with _naming_chunks(self._fetched.array, self._fetched.numbers.tolist()):
            self._pending.result()
        return self._fetched


@contextmanager
def _naming_chunks(array: str, chunks: Iterable[int]) -> Iterator[None]:
    """Let the error of a file that is shorter than its index says name the chunks that were to be read."""
    try:
        yield
    except InvalidDataError as error:
        raise damaged_data(
            error.code, error.what, where=error.where, found=error.found, hint=error.hint, array=array, chunks=chunks
        ) from None


class _Cache:
    """The arrays used last, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[str, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> NDArray[Any] | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: str, index: NDArray[Any]) -> None:
        with self._lock:
            if key not in self._held:
                self._held[key] = index
                self._size += index.nbytes
            while self._size > self._limit and len(self._held) > 1:
                self._size -= self._held.popitem(last=False)[1].nbytes


def array_spec(array: Array) -> ArraySpec:
    """Return the layout of an array of a manifest."""
    return ArraySpec(
        path=array.path,
        dtype=array.dtype,
        shape=tuple(array.shape),
        chunk=tuple(array.chunk),
        shard=tuple(array.shard),
        fill=array.fill,
    )


def _lost(where: str, found: str, array: str, chunks: Iterable[int] = ()) -> DamagedDataError:
    return damaged_data(
        "lost-chunk", "a chunk or a file is missing", where=where, found=found, array=array, chunks=chunks
    )


def _damaged(where: str, found: str, array: str, chunks: Iterable[int]) -> DamagedDataError:
    return damaged_data("damaged-chunk", "damaged data", where=where, found=found, array=array, chunks=chunks)


def _along(spec: ArraySpec, shard: int) -> tuple[int, ...]:
    """Place in the grid of a file of an array that is cut along its last axis alone."""
    return (*(0 for _ in spec.shape[:-1]), shard)


def _chunks_of(spec: ArraySpec, shard: tuple[int, ...]) -> range:
    """Chunks of one file, along the last axis."""
    size = spec.shard[-1] // spec.chunk[-1]
    return range(shard[-1] * size, (shard[-1] + 1) * size)

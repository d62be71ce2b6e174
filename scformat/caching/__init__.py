"""What was read of a remote store, kept on a local disk: checked, bounded, shared by processes.

All objects of a store but its root stay what they are, and the root is not kept. An object is known by the address of
the store, its key and the digest of its array, so that a store that was appended to keeps what it had, and one that
was replaced shares nothing with what was there before but the arrays that are the same.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from scformat.blobs import Done, local_path
from scformat.caching.blocks import BLOCK, Blocks, Requests, blocks_of, copy_ranges, plan_requests
from scformat.caching.files import put_blocks, take_blocks
from scformat.caching.room import STAGED, Room
from scformat.errors import StorageError, UsageError
from scformat.pool import Pool
from scformat.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from scformat.blobs import Blobs, Pending

T = TypeVar("T")

SIZE = "10GB"
"""Of a cache for which none is given."""


@dataclass(frozen=True, kw_only=True)
class Cache:
    """Where to keep what was read.

    Attributes
    ----------
    directory
        Of any number of stores, for any number of processes.
    limit
        Bytes that it may take; None: what is read is staged, which stays and is not counted.
    """

    directory: Path
    limit: int | None


def choose_cache(
    directory: str | os.PathLike[str] | None, size: str | int | None, *, url: str, environment: Mapping[str, str]
) -> Cache | None:
    """Return the cache to use for an address, None where there is none.

    Parameters
    ----------
    directory
        None: SCFORMAT_CACHE of the environment, and not for what lies in a directory itself.
    size
        None: SCFORMAT_CACHE_SIZE of the environment, or :data:`SIZE`.

    Raises
    ------
    UsageError
        ``bad-size``; ``no-cache``: a size, but no directory.
    """
    by_default = environment.get("SCFORMAT_CACHE") if local_path(url) is None else None
    given = by_default if directory is None else os.fspath(directory)
    if not given:
        if size is not None:
            raise UsageError("no-cache", "a size of a cache, but no directory", hint="give cache too")
        return None
    limit = parse_size(environment.get("SCFORMAT_CACHE_SIZE") or SIZE if size is None else size)
    return Cache(directory=Path(given).expanduser().absolute(), limit=limit)


class Cached:
    """Reads ranges of objects from a cache, and what it does not have from where they lie.

    Parameters
    ----------
    place
        Where they lie.
    cache
        Where they are kept.
    digests
        Of each array by its path; what belongs to none of them is not kept.
    """

    read_through = BLOCK

    def __init__(self, place: Blobs, cache: Cache, digests: Mapping[str, str]) -> None:
        self.ahead = place.ahead
        self._place = place
        self.cache, self.digests = cache, digests
        self._home = home_of(cache.directory, place.url)
        self._room = None if cache.limit is None else Room(cache.directory, cache.limit)
        self._pool = Pool()
        self._warned = False

    def begin_tail(self, key: str, size: int) -> Pending[bytes | None]:
        """Ask for the last bytes of an object."""
        self._place.check_process()
        name = self._name(key)
        if name is None or size < 1:
            return self._place.begin_tail(key, size)
        starts, stops = np.array([0]), np.array([size])
        name = f"{name}-{size}"
        wanted = blocks_of(starts, stops)
        held = np.empty((len(wanted), BLOCK), np.uint8)
        if self._take(name, wanted, held).all():
            return Done(held.reshape(-1)[:size].tobytes())
        asked = self._place.begin_tail(key, size)

        def take() -> bytes | None:
            tail = asked.result()
            if tail is not None and len(tail) == size:
                self._put(name, starts, stops, np.frombuffer(bytearray(tail), np.uint8))
            return tail

        return _Later(take)

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Pending[None]:
        """Ask for ranges of an object; all that is missing of them is asked for together."""
        self._place.check_process()
        name = self._name(key)
        wanted = blocks_of(starts, stops)
        if name is None or not len(wanted):
            return self._place.begin_ranges(key, starts, stops, out)
        held = self._pool.empty((len(wanted), BLOCK), np.uint8)
        there = self._take(name, wanted, held)
        if there.all():
            _hand_out(wanted, held, starts, stops, out)
            return Done(None)
        missing = wanted.where(~there)
        requests = plan_requests(missing, read_through=self._place.read_through)
        fresh = self._pool.empty(requests.nbytes, np.uint8)
        asked = self._place.begin_ranges(key, requests.starts, requests.stops, fresh)

        def take() -> None:
            asked.result()
            copy_ranges(fresh, requests.offsets, missing.lengths, held.reshape(-1), np.flatnonzero(~there) * BLOCK)
            _hand_out(wanted, held, starts, stops, out)
            self._put(name, requests.starts, requests.stops, fresh)

        return _Later(take)

    def forget(self, key: str) -> None:
        """Keep nothing of an object: what was read of it is not what was written."""
        name = self._name(key)
        if name is not None:
            for path in self._home.glob(f"{name}*"):
                with suppress(OSError):
                    path.unlink()

    def _name(self, key: str) -> str | None:
        digest = self.digests.get(key.rpartition("/c/")[0])
        return None if digest is None else hashlib.sha256(f"{digest} {key}".encode()).hexdigest()[:40]

    def _take(self, name: str, wanted: Blocks, out: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Read blocks that are kept, of what was staged first."""
        there = take_blocks(self._home / f"{name}{STAGED}", wanted, out)
        if there.all():
            return there
        rest = wanted.where(~there)
        found = np.empty((len(rest), BLOCK), np.uint8)
        also = take_blocks(self._home / name, rest, found)
        if also.any():
            out[np.flatnonzero(~there)[also]] = found[also]
            if self._room is None:
                self._stage(name, rest.where(also), found[also])
            there[~there] = also
        return there

    def _stage(self, name: str, blocks: Blocks, held: NDArray[np.uint8]) -> None:
        """Stage blocks that were kept on the way."""
        packed: Requests = plan_requests(blocks, read_through=0)
        data = np.empty(packed.nbytes, np.uint8)
        copy_ranges(held.reshape(-1), np.arange(len(blocks)) * BLOCK, blocks.lengths, data, packed.offsets)
        self._put(name, packed.starts, packed.stops, data)

    def _put(self, name: str, starts: NDArray[np.int64], stops: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
        """Keep ranges of an object; where that is not possible, reading goes on without, but staging does not."""
        if self._room is not None and not self._room.claim(len(data)):
            return
        try:
            put_blocks(self._home / (f"{name}{STAGED}" if self._room is None else name), starts, stops, data)
        except OSError as error:
            why = error.strerror or str(error)
            if self._room is None:
                hint = "what is staged so far stays; make room and run it again, or remove the directory"
                raise StorageError("cannot-write", why, where=self._home, hint=hint) from None
            if not self._warned:
                self._warned = True
                text = f"{self._home}: {why}: what is read is not kept, and read again when it is wanted"
                warnings.warn(text, UserWarning, stacklevel=2)


def home_of(directory: Path, url: str) -> Path:
    """Return where a cache keeps what is of one address."""
    address = url.rstrip("/") if "://" in url else str(Path(url).absolute())
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", address.rpartition("/")[2])[:60]
    return directory / f"{readable}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"


def _hand_out(
    blocks: Blocks,
    held: NDArray[np.uint8],
    starts: NDArray[np.int64],
    stops: NDArray[np.int64],
    out: NDArray[np.uint8],
) -> None:
    """Copy ranges out of the blocks that hold them; those of one range lie end to end."""
    begins = np.searchsorted(blocks.numbers, starts // BLOCK) * BLOCK + starts % BLOCK
    lengths = stops - starts
    copy_ranges(held.reshape(-1), begins, lengths, out, np.cumsum(lengths) - lengths)


class _Later(Generic[T]):
    """What was asked for."""

    def __init__(self, take: Callable[[], T]) -> None:
        self._take = take

    def result(self) -> T:
        return self._take()

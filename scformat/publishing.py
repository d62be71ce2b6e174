"""Adding to a published store: who may, where new files go, and the one step that replaces the root.

In a directory writers hold locks. A bucket has none: there a root is replaced by a conditional request, a number is
taken by another, and what a writer that failed has left stays unless nobody else can need it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from scformat.blobs import local_path, system_errors
from scformat.codec import encode_json
from scformat.errors import ScformatError, StorageError, UnsupportedError, UsageError
from scformat.layout import group_metadata
from scformat.manifest import OPTIONAL_FEATURES
from scformat.root import decode_root, encode_root
from scformat.storage import MANIFEST_KEY, Storage
from scformat.store.opening import open_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from scformat.manifest import Manifest
    from scformat.store import Store

_LOCKED = "parts"
"""Group that every store has; writers hold a lock on its directory, which leaves no file behind."""


class Place(Protocol):
    """Where a store lies that something is added to."""

    storage: Storage

    @property
    def directory(self) -> Path | None:
        """The directory; None for a bucket."""

    def root(self) -> Manifest:
        """Read the manifest that is there now."""

    def adding(self) -> AbstractContextManager[list[str]]:
        """Say, while files are written that no root names yet, that someone is at work; see :func:`adding`."""

    def claim(self, path: str) -> bool:
        """Take a path that nobody has; False where another did."""

    def replace_root(self, store: Store, new: Manifest) -> Manifest:
        """Put another manifest in the place of the one that `store` was opened with; return it as it was written.

        Raises
        ------
        StorageError
            ``store-changed``: another process replaced the root since the store was opened.
        """


def place_of(store: Store, what: str, *, hint: str | None = None) -> Place:
    """Return the place of a store that `what` can be added to.

    Raises
    ------
    UsageError
        ``cannot-add``: it can only be read.
    UnsupportedError
        ``unknown-feature``: it has an optional feature that this release could not keep the promise of.
    """
    unknown = [name for name in store.manifest.optional_features if name not in OPTIONAL_FEATURES]
    if unknown:
        raise UnsupportedError(
            "unknown-feature",
            f"{what} cannot be added to a store with a feature that this release does not know",
            where=store.path,
            found=", ".join(map(repr, unknown)),
            hint="install a newer scformat",
        )
    address = store.alone().path  # of one store: what is added belongs to it alone
    path = local_path(address)
    if path is not None:
        return _InDirectory(Path(path))
    if urlsplit(address).scheme in ("s3", "gs", "gcs"):
        return _InBucket(Storage(address))
    raise UsageError(
        "cannot-add",
        f"{what} are added to stores in directories and buckets only",
        where=store.path,
        hint=hint,
    )


class _InDirectory:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.storage = Storage(directory)

    def root(self) -> Manifest:
        return read_root(self.directory)

    def adding(self) -> AbstractContextManager[list[str]]:
        return adding(self.directory)

    def claim(self, path: str) -> bool:
        with system_errors(self.directory / path):
            try:
                (self.directory / path).mkdir()
            except FileExistsError:
                return False
        return True

    def replace_root(self, store: Store, new: Manifest) -> Manifest:
        with replacing(self.directory):
            return _replace(self.storage, store, new)


class _InBucket:
    directory: Path | None = None

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def root(self) -> Manifest:
        return _root_of(self.storage)[1]

    @contextmanager
    def adding(self) -> Iterator[list[str]]:
        """Say nothing, and remove nothing: who adds the same at the same time writes to the same places."""
        yield []

    def claim(self, path: str) -> bool:
        return claim_group(self.storage, path)

    def replace_root(self, store: Store, new: Manifest) -> Manifest:
        return _replace(self.storage, store, new)


def claim_group(storage: Storage, path: str) -> bool:
    """Be the first in a bucket to write a group; False where another was.

    Its bytes are some that nobody else writes: of two alike, each would find its own. Those of the group take their
    place later.
    """
    mine = {**group_metadata(), "attributes": {"claimed": uuid.uuid4().hex}}
    return storage.replace(f"{path}/{MANIFEST_KEY}", encode_json(mine), expected=None)


def _replace(storage: Storage, store: Store, new: Manifest) -> Manifest:
    old, manifest = _root_of(storage)
    if manifest.sha256 != store.manifest.sha256:
        raise _changed(store)
    data = encode_root(new)
    if not storage.replace(MANIFEST_KEY, data, expected=old):
        raise _changed(store)
    return decode_root(data, where=store.path)


def _root_of(storage: Storage) -> tuple[bytes, Manifest]:
    data = storage.read(MANIFEST_KEY)
    if data is None:
        raise StorageError("no-store", "the store is gone", where=storage.url)
    return data, open_root(data, where=storage.url)


def read_root(directory: Path) -> Manifest:
    """Read the manifest that is there now; what opening a store refuses is refused."""
    return _root_of(Storage(directory))[1]


def root_groups(directory: Path) -> frozenset[str]:
    """Paths of the groups that the root names now."""
    return frozenset(read_root(directory).groups)


def check_unchanged(store: Store, place: Place) -> None:
    """Refuse where the root is no longer the one that `store` was opened with (``store-changed``)."""
    if place.root().sha256 != store.manifest.sha256:
        raise _changed(store)


def _changed(store: Store) -> StorageError:
    return StorageError(
        "store-changed",
        "another process changed the store meanwhile",
        where=store.path,
        hint="open the store again and repeat",
    )


@contextmanager
def adding(directory: Path) -> Iterator[list[str]]:
    """Say, while files are written that no root names yet, that someone is at work; several may be at once.

    Yields
    ------
    list of str
        For the directories that are begun, relative to the store. On failure they are removed again, but for what the
        root names, and where nobody else is at work: who adds the same at the same time writes to the same places.
    """
    begun: list[str] = []
    try:
        with _locked(directory / _LOCKED, fcntl.LOCK_SH):
            yield begun
    except BaseException:
        with suppress(ScformatError, OSError):  # vacuum removes what stays
            _discard(directory, begun)
        raise


@contextmanager
def alone(directory: Path) -> Iterator[bool]:
    """Give whether nobody else is adding to the store; if so, nobody can begin to until the end."""
    with _locked(directory / _LOCKED, fcntl.LOCK_EX | fcntl.LOCK_NB) as free:
        yield free


@contextmanager
def replacing(directory: Path) -> Iterator[None]:
    """Keep the root from being replaced, and the whole store from being moved away, by anybody else."""
    with _locked(directory, fcntl.LOCK_EX):
        yield


def busy(directory: object) -> StorageError:
    """Build the error of who cannot go on while others are adding to a store."""
    return StorageError(
        "store-busy", "another process is adding to the store", where=directory, hint="wait until it has finished"
    )


def _discard(directory: Path, begun: Sequence[str]) -> None:
    """Remove what a writer that failed had begun, unless a root names it or another writer may be to."""
    with alone(directory) as free:
        if free and begun:
            named = root_groups(directory)
            for path in [*begun, *(path.split("/")[0] for path in begun)]:
                if path not in named:
                    shutil.rmtree(directory / path, ignore_errors=True)


@contextmanager
def _locked(directory: Path, how: int) -> Iterator[bool]:
    """Hold a lock on a directory itself, which leaves no file behind; give False where another holds it.

    A store that was overwritten while its lock was waited for is not the one at that path any more.
    """
    while True:
        with system_errors(directory), _opened(directory) as handle:
            try:
                fcntl.flock(handle, how)
            except BlockingIOError:
                yield False
                return
            if os.path.samestat(os.fstat(handle), directory.stat()):
                yield True
                return


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    handle = os.open(directory, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)

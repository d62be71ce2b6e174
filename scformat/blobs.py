"""Keys and bytes: a directory by the system's own calls, buckets and HTTP through TensorStore's key-value layer.

A directory is read without TensorStore because that aborts a forked process, and forked workers are how most
training code reads.
"""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

import numpy as np

from scformat.errors import InvalidDataError, ScformatError, StorageError, UsageError
from scformat.native import read_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    from numpy.typing import NDArray

SYNCS_AT_ONCE = 16
"""Files that are made durable side by side: the disk takes many in one go, and one by one is ten times slower."""


class Written(Protocol):
    """A write under way."""

    def result(self) -> object:
        """Wait until the bytes lie there whole."""


class _Done:
    """A write that was done at once."""

    def result(self) -> None:
        """Return at once."""


class Blobs(Protocol):
    """A place of keys and bytes."""

    url: str
    read_through: int
    """Bytes between two ranges that are cheaper to read than to ask for again."""

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a key, None where there is none."""

    def read_tail(self, key: str, size: int) -> bytes | None:
        """Return the last `size` bytes of a key, or all where it is shorter; None where there is none."""

    def read_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> None:
        """Read ranges of a key's bytes to `out`, end to end; ``damaged-object`` where they pass its end."""

    def write(self, key: str, data: bytes) -> Written:
        """Start writing a key."""

    def prepare(self, key: str) -> None:
        """Make what has to be there before a key is written whole."""

    def write_whole(self, key: str, data: bytes, *, through: Path) -> None:
        """Write a key in one step, by way of a file in a directory if need be; :meth:`adopt` counts it."""

    def adopt(self, key: str) -> None:
        """Count what lies at a key among what was written."""

    def sync(self) -> None:
        """Make everything written so far durable."""

    def size(self) -> int | None:
        """Bytes of everything that lies there, where that is cheap to tell."""

    def keys(self) -> list[str]:
        """Every key, sorted."""


def open_blobs(url: str | os.PathLike[str]) -> Blobs:
    """Open a path or an address: ``s3://``, ``gs://``, ``http(s)://``, ``file://``.

    Raises
    ------
    UsageError
        ``unknown-scheme``.
    """
    text = os.fspath(url)
    parts = urlsplit(text)
    if "://" not in text:
        return Directory(text)
    if parts.scheme == "file":
        return Directory(parts.path)
    key = parts.path.strip("/")
    prefix = f"{key}/" if key else ""
    if parts.scheme == "s3":
        return Remote(text, {"driver": "s3", "bucket": parts.netloc, "path": prefix})
    if parts.scheme in ("gs", "gcs"):
        return Remote(text, {"driver": "gcs", "bucket": parts.netloc, "path": prefix})
    if parts.scheme in ("http", "https"):
        base = f"{parts.scheme}://{parts.netloc}"
        return Remote(text, {"driver": "http", "base_url": base, "path": f"/{prefix}"})
    raise UsageError(
        "unknown-scheme",
        "cannot open this kind of address",
        where=text,
        expected="a path, s3://, gs:// or http(s)://",
        found=f"{parts.scheme}://",
    )


class Directory:
    """A directory of files."""

    read_through = 4 << 10

    def __init__(self, path: str) -> None:
        self.url = path
        self._root = Path(path)
        self._unsynced: set[Path] = set()

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes."""
        with system_errors(self._root / key):
            try:
                return (self._root / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_tail(self, key: str, size: int) -> bytes | None:
        """Return a file's last bytes."""
        with system_errors(self._root / key), _opened(self._root / key) as handle:
            if handle is None:
                return None
            length = os.fstat(handle).st_size
            return os.pread(handle, size, max(0, length - size))

    def read_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> None:
        """Read ranges of a file."""
        with system_errors(self._root / key), _opened(self._root / key) as handle:
            if handle is None:
                raise StorageError("not-found", "there is nothing", where=self._root / key)
            place, had = read_ranges(handle, starts, stops, out)
        if place >= 0:
            raise _too_short(self._root / key, int(stops[place]), int(starts[place]) + had)

    def write(self, key: str, data: bytes) -> Written:
        """Write a file; :meth:`sync` makes it durable."""
        path = self._root / key
        with system_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb", buffering=0) as file:
                    write_all(file, data)
            except FileExistsError:
                # A root may name it, and whoever reads it must never find half of it.
                if path.read_bytes() != data:
                    replace_file(path, data)
        self._unsynced.add(path)
        return _Done()

    def prepare(self, key: str) -> None:
        """Make the directory of a file."""
        path = self._root / key
        with system_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)

    def write_whole(self, key: str, data: bytes, *, through: Path) -> None:
        """Write a file elsewhere on the same disk and rename it; its directory has to be there."""
        path, made = self._root / key, through / f"file-{uuid.uuid4().hex}"
        with system_errors(path):
            made.write_bytes(data)
            made.replace(path)

    def adopt(self, key: str) -> None:
        """Let :meth:`sync` make a file durable that another process wrote."""
        self._unsynced.add(self._root / key)

    def sync(self) -> None:
        """Make every file written so far durable, and the directories that name them."""
        files = sorted(self._unsynced)
        parents = {parent for path in files for parent in path.parents if parent.is_relative_to(self._root)}
        with system_errors(self._root), ThreadPoolExecutor(SYNCS_AT_ONCE) as pool:
            for some in (files, sorted(parents)):
                for _ in pool.map(sync_path, some):
                    pass
        self._unsynced.clear()

    def size(self) -> int:
        """Bytes of all files."""
        with system_errors(self._root):
            return sum(p.stat().st_size for p in self._root.rglob("*") if p.is_file())

    def keys(self) -> list[str]:
        """Every file, relative to the directory."""
        with system_errors(self._root):
            return sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if p.is_file())


class Remote:
    """A bucket or an HTTP address."""

    read_through = 64 << 10

    def __init__(self, url: str, spec: dict[str, Any]) -> None:
        import tensorstore as ts

        self.url = url
        self._pid = os.getpid()
        self._batch = ts.Batch
        with remote_errors(url):
            self._kv = ts.KvStore.open(spec).result()

    def read(self, key: str) -> bytes | None:
        """Return an object's bytes."""
        return self._read(key, None)

    def read_tail(self, key: str, size: int) -> bytes | None:
        """Return an object's last bytes."""
        return self._read(key, slice(-size, None))

    def read_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> None:
        """Read ranges of an object, all requests under way at once."""
        self._check_process()
        where = f"{self.url}/{key}"
        ranges = list(zip(starts.tolist(), stops.tolist(), strict=True))
        with remote_errors(where):
            batch = self._batch()
            reads = [self._kv.read(key, byte_range=slice(start, stop), batch=batch) for start, stop in ranges]
            batch.submit()
            pieces = [read.result().value for read in reads]
        at = 0
        for piece, (start, stop) in zip(pieces, ranges, strict=True):
            if len(piece) != stop - start:
                raise _too_short(where, stop, start + len(piece))
            out[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)

    def write(self, key: str, data: bytes) -> Written:
        """Start writing an object."""
        self._check_process()
        with remote_errors(f"{self.url}/{key}"):
            written: Written = self._kv.write(key, data)
            return written

    def prepare(self, key: str) -> None:
        """Do nothing: an object needs no directory."""

    def write_whole(self, key: str, data: bytes, *, through: Path) -> None:
        """Write an object, which appears whole in any case."""
        self.write(key, data).result()

    def adopt(self, key: str) -> None:
        """Do nothing: an object that is there is durable."""

    def sync(self) -> None:
        """Return at once: an object that was written is durable."""

    def size(self) -> None:
        """Say nothing: a bucket would have to be listed."""

    def keys(self) -> list[str]:
        """Every object's key."""
        self._check_process()
        with remote_errors(self.url):
            return sorted(key.decode() for key in self._kv.list().result())

    def _read(self, key: str, some: slice | None) -> bytes | None:
        self._check_process()
        with remote_errors(f"{self.url}/{key}"):
            result = self._kv.read(key, byte_range=some).result()
        return bytes(result.value) if result.state == "value" else None

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise UsageError(
                "opened-before-fork",
                "a remote store that was opened before this process was forked",
                where=self.url,
                hint="open it in the worker, or start workers with spawn",
            )


def _too_short(where: object, expected: int, found: int) -> InvalidDataError:
    return InvalidDataError(
        "damaged-object", "a truncated file", where=where, expected=f"{expected} bytes or more", found=found,
        hint="restore the file from a copy, or convert again",
    )  # fmt: skip


def write_all(file: FileIO, data: bytes) -> None:
    """Write bytes to an unbuffered file; a buffered one would fail a second time when it is closed on a full disk."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def replace_file(path: Path, data: bytes) -> None:
    """Replace a file in one step; the new content is durable before it takes the old one's place."""
    made = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")
    with system_errors(path):
        try:
            with made.open("wb", buffering=0) as file:
                write_all(file, data)
                os.fsync(file.fileno())
            made.replace(path)
            sync_path(path.parent)
        finally:
            made.unlink(missing_ok=True)


def write_whole(target: Path, content: bytes) -> None:
    """Write a file, whole or not at all, in the place of what is there.

    Raises
    ------
    StorageError
        ``cannot-write``.
    """
    # Of a name that is known before it is made, so that an interrupt at any moment finds it.
    made = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        made.write_bytes(content)
        made.replace(target)
    except OSError as error:
        raise StorageError("cannot-write", error.strerror or str(error), where=target) from None
    finally:
        with suppress(OSError):
            made.unlink(missing_ok=True)


def sync_path(path: Path) -> None:
    """Make a file's content, or a directory's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


@contextmanager
def system_errors(where: object) -> Iterator[None]:
    """Turn errors of the operating system into those of the interface."""
    try:
        yield
    except ScformatError:
        raise
    except OSError as error:
        raise StorageError("storage-failed", error.strerror or str(error), where=where) from None


@contextmanager
def remote_errors(where: str) -> Iterator[None]:
    """Turn errors of TensorStore into those of the interface; it begins its messages with a status word."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, ScformatError):
            raise
        text = str(error)
        if text.startswith("NOT_FOUND"):
            raise StorageError("not-found", "there is nothing", where=where, hint="check the address") from None
        if text.startswith("DATA_LOSS"):
            raise InvalidDataError("damaged-object", "a truncated object", where=where, found=text[:300]) from None
        raise StorageError("storage-failed", "reading or writing failed", where=where, found=text[:300]) from None

"""Keys and bytes: a directory by the system's own calls; buckets and HTTP are in :mod:`scformat.objects`.

A directory is read without TensorStore because that aborts a forked process, and forked workers are how most
training code reads.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import urlsplit

from scformat.errors import ScformatError, StorageError, UsageError, truncated_file
from scformat.native import read_ranges
from scformat.objects import SCHEMES, Objects, object_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

    import numpy as np
    from numpy.typing import NDArray

T_co = TypeVar("T_co", covariant=True)

_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A pipe is opened without waiting for its other end, and refused then."""
SYNCS_AT_ONCE = 16
"""Files that are made durable side by side: the disk takes many in one go, and one by one is ten times slower."""


class Pending(Protocol[T_co]):
    """A request under way."""

    def result(self) -> T_co:
        """Wait for its answer; of a write, until the bytes lie there whole."""


Written: TypeAlias = "Pending[object]"
"""A write under way."""


class Done(Generic[T_co]):
    """What was done at once."""

    def __init__(self, answer: T_co) -> None:
        self._answer = answer

    def result(self) -> T_co:
        """Return at once."""
        return self._answer


class Ranges(Protocol):
    """What gives pieces of the bytes of keys."""

    read_through: int
    """Bytes between two ranges that are cheaper to read than to ask for again."""
    ahead: int
    """Bytes that may be asked for before they are wanted; 0 where asking takes no time."""

    def begin_tail(self, key: str, size: int) -> Pending[bytes | None]:
        """Ask for the last `size` bytes of a key, or all where it is shorter; None where there is none."""

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Pending[None]:
        """Ask for ranges of a key's bytes, to `out`, end to end; ``damaged-object`` where they pass its end."""


class Blobs(Ranges, Protocol):
    """A place of keys and bytes."""

    url: str

    def check_process(self) -> None:
        """Raise where this process was forked and cannot read here (``opened-before-fork``)."""

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a key, None where there is none."""

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

    def replace(self, key: str, data: bytes, *, expected: bytes | None) -> bool:
        """Write a key in one step if it has the bytes `expected`, None: if there is none; tell whether it was so.

        Of several writers that expect the same one wins; but in a directory only while they hold its lock.
        """

    def discard(self, path: str) -> None:
        """Remove everything below a path; empty: all there is.

        Nothing, once a :meth:`replace` got no answer: what it wrote, and may come to be, may name what lies there.
        """

    def check_place(self) -> None:
        """Raise where it can be told why there is nothing at all (``no-bucket``)."""

    def size(self) -> int | None:
        """Bytes of everything that lies there, where that is cheap to tell."""

    def keys(self) -> list[str]:
        """Every key, sorted."""


def local_path(url: str) -> str | None:
    """Return the path that an address stands for, None where it is one of a bucket or a server."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return parts.path if parts.scheme == "file" else None


def open_blobs(url: str | os.PathLike[str]) -> Blobs:
    """Open a path or an address: ``s3://``, ``gs://``, ``http(s)://``, ``file://``.

    Raises
    ------
    UsageError
        ``unknown-scheme``.
    """
    text = os.fspath(url)
    path = local_path(text)
    if path is not None:
        return Directory(path)
    parts = urlsplit(text)
    if parts.scheme in SCHEMES:
        return Objects(text, object_spec(parts, os.environ))
    raise UsageError(
        "unknown-scheme",
        "cannot open this kind of address",
        where=text,
        expected="a path, s3://, gs:// or http(s)://",
        found=f"{parts.scheme}://",
    )


class Directory:
    """A directory of files. Links are followed within it only, and nothing but files is read."""

    read_through = 4 << 10
    ahead = 0

    def __init__(self, path: str) -> None:
        self.url = path
        self._root = Path(path)
        self._folder = str(self._root)
        self._unsynced: set[Path] = set()
        self._inside: set[str] = set()

    def check_process(self) -> None:
        """Do nothing: files are opened anew for every read."""

    def read(self, key: str) -> bytes | None:
        """Return a file's bytes."""
        with self._opened(key) as handle:
            if handle is None:
                return None
            with open(handle, "rb", buffering=0, closefd=False) as file:
                return file.readall()

    def begin_tail(self, key: str, size: int) -> Pending[bytes | None]:
        """Read a file's last bytes."""
        with self._opened(key) as handle:
            if handle is None:
                return Done(None)
            length = os.fstat(handle).st_size
            return Done(os.pread(handle, size, max(0, length - size)))

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Pending[None]:
        """Read ranges of a file."""
        self.read_ranges(key, starts, stops, out)
        return Done(None)

    def read_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> None:
        """Read ranges of a file."""
        with self._opened(key) as handle:
            if handle is None:
                raise StorageError("not-found", "there is nothing", where=self._root / key)
            place, had = read_ranges(handle, starts, stops, out)
        if place >= 0:
            raise truncated_file(self._root / key, expected=int(stops[place]), found=int(starts[place]) + had)

    def write(self, key: str, data: bytes) -> Written:
        """Write a file; :meth:`sync` makes it durable."""
        path = self._root / key
        with system_errors(path):
            self._check_place(str(path.parent))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with path.open("xb", buffering=0) as file:
                    write_all(file, data)
            except FileExistsError:
                # A root may name it, and whoever reads it must never find half of it.
                if self.read(key) != data:
                    replace_file(path, data)
        self._unsynced.add(path)
        return Done(None)

    def prepare(self, key: str) -> None:
        """Make the directory of a file."""
        path = self._root / key
        with system_errors(path):
            self._check_place(str(path.parent))
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

    def replace(self, key: str, data: bytes, *, expected: bytes | None) -> bool:
        """Replace a file."""
        if self.read(key) != expected:
            return False
        self.prepare(key)
        replace_file(self._root / key, data)
        return True

    def discard(self, path: str) -> None:
        """Remove a directory, as far as that can be done."""
        shutil.rmtree(self._root / path, ignore_errors=True)

    def check_place(self) -> None:
        """Do nothing: where a directory is missing, so is what was to be in it."""

    def size(self) -> int:
        """Bytes of all files."""
        with system_errors(self._root):
            return sum(p.stat().st_size for p in self._root.rglob("*") if p.is_file())

    def keys(self) -> list[str]:
        """Every file, relative to the directory."""
        with system_errors(self._root):
            return sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if p.is_file())

    @contextmanager
    def _opened(self, key: str) -> Iterator[int | None]:
        """Open a file to read; None where there is none."""
        path = f"{self._folder}/{key}"  # making a Path takes longer than opening it
        with system_errors(path):
            self._check_place(path.rpartition("/")[0])
            try:
                handle = os.open(path, _READING)
            except (FileNotFoundError, NotADirectoryError):
                yield None
                return
            except OSError as error:
                if error.errno != errno.ELOOP:
                    raise
                target = os.path.realpath(path)
                self._check_place(target)
                handle = os.open(target, _READING)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise StorageError("not-a-file", "no regular file", where=path)
                yield handle
            finally:
                os.close(handle)

    def _check_place(self, path: str) -> None:
        """Refuse what lies outside by way of a link; the directory itself may be reached by one."""
        if path in self._inside:
            return
        place = _real(path)
        if not place.is_relative_to(_real(self._folder)):
            raise StorageError(
                "outside-store",
                "a link that leads out of the store",
                where=path,
                found=place,
                hint="copy what it points to into the store, if you trust it",
            )
        self._inside.add(path)


def _real(path: str) -> Path:
    """Follow all links; unlike :meth:`pathlib.Path.resolve` without an error where they go round in a circle."""
    return Path(os.path.realpath(path))


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
    _remove_left(target)
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


def _remove_left(target: Path) -> None:
    """Remove what processes that are no more left when they were killed in :func:`write_whole` of the same file."""
    named = re.compile(rf"\.{re.escape(target.name)}\.([0-9]{{1,9}})\.partial")
    with suppress(OSError):
        for path in target.parent.iterdir():
            match = named.fullmatch(path.name)
            if match is not None and path.is_file() and not _runs(int(match[1])):
                path.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        """Somebody else's."""
    return True


def sync_path(path: Path) -> None:
    """Make a file's content, or a directory's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
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

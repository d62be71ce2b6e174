"""A store appears whole or not at all: it is made beside its destination and moved there at the end."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.blobs import sync_path, system_errors
from scformat.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_destination(destination: Path, *, overwrite: bool) -> None:
    """Refuse a destination that exists, or whose directory does not, before any work is done."""
    if not destination.parent.is_dir():
        raise StorageError(
            "no-directory", "there is no such directory", where=destination.parent, hint="create it first"
        )
    if not destination.exists() and not destination.is_symlink():
        return
    if not overwrite:
        raise UsageError(
            "destination-exists",
            "the destination exists",
            where=destination,
            hint="choose another, or give --overwrite",
        )
    if not (destination / "zarr.json").is_file() or not (destination / "parts").is_dir():
        raise UsageError(
            "not-a-store",
            "the destination is not a store, and is left as it is",
            where=destination,
            hint="choose another",
        )


@contextlib.contextmanager
def staging(destination: Path, *, overwrite: bool) -> Iterator[tuple[Path, Path]]:
    """Give two directories beside a destination: one that becomes the store, one for scratch files.

    On leaving without an error the first is moved to the destination; in any case nothing else stays behind. What
    a killed process left there is taken over; a process that is still at work is not disturbed.
    """
    home = destination.parent / f".{destination.name}.partial"
    ours = False
    lock = -1
    try:
        with system_errors(home):
            home.mkdir(exist_ok=True)
            lock = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        ours = _locked(lock, home / "lock")
        if not ours:
            raise StorageError(
                "already-converting",
                "another conversion to this destination is under way",
                where=destination,
                hint="wait for it, or choose another destination",
            )
        made, scratch = home / "store", home / "scratch"
        for directory in (made, scratch):
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
        yield made, scratch
        shutil.rmtree(scratch)
        _move(made, destination, overwrite=overwrite)
    finally:
        if ours:
            shutil.rmtree(home, ignore_errors=True)
        elif lock < 0:
            # Interrupted between the two steps; a directory that another process uses is not empty.
            with contextlib.suppress(OSError):
                home.rmdir()
        if lock >= 0:
            os.close(lock)


def _locked(lock: int, path: Path) -> bool:
    """Take the lock, unless another process holds it or has just finished and removed its file."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return path.stat().st_ino == os.fstat(lock).st_ino
    except OSError:
        return False


def _move(made: Path, destination: Path, *, overwrite: bool) -> None:
    with system_errors(destination):
        if overwrite and destination.exists():
            if not _exchange(made, destination):
                aside = made.with_name("replaced")
                destination.rename(aside)
                made.rename(destination)
        else:
            try:
                made.rename(destination)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                raise UsageError("destination-exists", "the destination has come to exist", where=destination) from None
        sync_path(destination.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step, where the system can."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return bool(rename(_AT_FDCWD, bytes(one), _AT_FDCWD, bytes(other), _RENAME_EXCHANGE) == 0)

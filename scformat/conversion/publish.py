"""A store appears whole or not at all: it is made beside its destination and moved there at the end."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scformat.blobs import sync_path, system_errors
from scformat.conversion.journal import Journal
from scformat.conversion.resume import check_same
from scformat.errors import (
    InvalidDataError,
    MissingExtraError,
    ScformatError,
    StorageError,
    UnsupportedError,
    UsageError,
)
from scformat.publishing import alone, busy, replacing
from scformat.sources.digest import file_sha256
from scformat.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_parent(destination: Path) -> None:
    """Refuse a destination whose directory does not exist."""
    if not destination.parent.is_dir():
        raise StorageError(
            "no-directory", "there is no such directory", where=destination.parent, hint="create it first"
        )


def check_destination(destination: Path, *, overwrite: bool) -> None:
    """Refuse a destination that exists, before any work is done."""
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


KEPT = "what is finished is kept, and the same command with --resume goes on from there"
_BEGUN = ("scan", "shard")
"""Entries of a journal that are worth keeping."""


State = Literal["anew", "on", "published"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Workplace:
    """Where a store is made.

    Attributes
    ----------
    storage
        What becomes the store; of an earlier run it holds no more than the shards of the journal.
    scratch
        An empty directory for files that nobody needs afterwards, from the root on.
    journal
        What is finished; None where nothing is kept.
    """

    storage: Storage
    scratch: Path
    journal: Journal | None


@contextlib.contextmanager
def staging(
    destination: Path, *, overwrite: bool, resume: bool, asked: Mapping[str, Any]
) -> Iterator[Workplace | None]:
    """Give a place beside a destination where its store is made.

    On leaving without an error the store is moved to the destination and nothing else stays behind. After an
    interrupt or a failure of the machine the place stays for a run that resumes, where anything was finished; after
    one of the data or the options nothing stays, unless this run resumed another. A process that is still at work is
    not disturbed.

    Parameters
    ----------
    destination
        Where the store shall be.
    overwrite
        Replace a store that is there.
    resume
        Take up what an earlier run left, instead of starting anew.
    asked
        What the conversion was asked for; a run that was asked for anything else is not taken up (``cannot-resume``).

    Yields
    ------
    Workplace or None
        None where an earlier run was killed after it had moved the store to its destination, and this one resumes.
    """
    home = destination.parent / f".{destination.name}.partial"
    if not home.exists():
        check_destination(destination, overwrite=overwrite)
    with _held(home, destination):
        state = _look(home, destination, resume=resume, asked=asked)
        if state == "published":
            yield None
            return
        check_destination(destination, overwrite=overwrite)
        journal = None
        done = state == "anew"
        try:
            journal = _begin(home, asked) if state == "anew" else Journal(home)
            # Of a name of its own: a task of a killed run that a cluster still has at work finds its directory gone.
            made, scratch = home / "store", home.absolute() / "scratch" / uuid.uuid4().hex
            shutil.rmtree(scratch.parent, ignore_errors=True)
            for directory in (made, scratch):
                directory.mkdir(parents=True, exist_ok=True)
            _prune(made, set(journal.names("shard")))
            yield Workplace(storage=Storage(made), scratch=scratch, journal=journal)
            shutil.rmtree(scratch.parent)
            journal.add("published", "root", sha256=file_sha256(made / "zarr.json"))
            _move(made, destination, overwrite=overwrite)
            done = True
        except BaseException as error:
            if journal is not None:
                at_fault = isinstance(error, (InvalidDataError, UsageError, UnsupportedError, MissingExtraError))
                done = state == "anew" and (at_fault or not any(journal.names(what) for what in _BEGUN))
                # What was made of a source in two states cannot be told from what was made of one.
                done = done or getattr(error, "code", None) == "source-changed"
            if not done:
                _tell(error)
            raise
        finally:
            if journal is not None:
                journal.close()
            if done:
                _clear(home)


def _look(home: Path, destination: Path, *, resume: bool, asked: Mapping[str, Any]) -> State:
    """Tell what an earlier run left is good for; what is left of one that had its store in place is removed."""
    aside = home / "replaced"
    if aside.exists() and not destination.exists():
        aside.rename(destination)  # a killed run had moved the old store away, and not yet the new one there
    if not (home / "journal").exists():
        return "anew"
    journal = Journal(home)
    journal.close()
    begun, published = journal.find("conversion", "asked"), journal.find("published", "root")
    root = destination / "zarr.json"
    if published is not None and root.is_file() and file_sha256(root) == published.facts["sha256"]:
        _clear(home)
        return "published" if resume and begun is not None and begun.facts == asked else "anew"
    if not resume or begun is None:
        return "anew"
    check_same(begun.facts, asked, where=destination)
    return "on"


@contextlib.contextmanager
def left_behind(destination: Path) -> Iterator[Path | None]:
    """Give the place beside a store that a killed conversion left and no run would resume, held for its removal.

    None where there is no such place, where another process holds it, or where its conversion is not finished.
    """
    home = destination.parent / f".{destination.name}.partial"
    if home.is_symlink():  # of no conversion, and what it points to is somebody else's
        yield None
        return
    try:
        lock = os.open(home / "lock", os.O_RDWR)
    except FileNotFoundError:  # nothing, or killed before anything was in it
        yield home if home.is_dir() and not any(home.iterdir()) else None
        return
    try:
        yield home if _locked(lock, home / "lock") and destination.exists() and not _resumable(home) else None
    finally:
        os.close(lock)


def _resumable(home: Path) -> bool:
    """Tell whether what lies in a place is a conversion whose store was not moved to its destination."""
    if not (home / "journal").exists():
        return False
    journal = Journal(home)
    journal.close()
    published, root = journal.find("published", "root"), home / "store" / "zarr.json"
    return published is None or (root.is_file() and file_sha256(root) == published.facts["sha256"])


def _begin(home: Path, asked: Mapping[str, Any]) -> Journal:
    """Start anew: remove what an earlier run left, and write down what is asked for."""
    _clear(home)
    journal = Journal(home)
    try:
        journal.add("conversion", "asked", **asked)
    except BaseException:
        journal.close()
        raise
    return journal


@contextlib.contextmanager
def _held(home: Path, destination: Path) -> Iterator[None]:
    """Hold the lock of a place, made if need be; afterwards the place stays only where its journal does."""
    lock = -1
    ours = False
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
        yield
    finally:
        # An interrupt may come between any two steps: what they would have said is asked again.
        with contextlib.suppress(OSError):
            if lock < 0:
                lock = os.open(home / "lock", os.O_RDWR)
            ours = ours or _locked(lock, home / "lock")
        if ours and not (home / "journal").exists():
            shutil.rmtree(home, ignore_errors=True)
        elif lock < 0:
            # A directory that another process uses is not empty.
            with contextlib.suppress(OSError):
                home.rmdir()
        if lock >= 0:
            os.close(lock)


def _clear(home: Path) -> None:
    """Remove everything but the lock, the journal last: while it is there, a run that resumes knows how far it was."""
    for name in ("scratch", "store", "replaced"):
        shutil.rmtree(home / name, ignore_errors=True)
    for path in (home / "arrays", home / "journal"):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _prune(made: Path, kept: set[str]) -> None:
    """Remove every file but some: the rest of a store is written anew, and what nobody writes must not be in it."""
    for path in sorted(made.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            with contextlib.suppress(OSError):
                path.rmdir()
        elif path.relative_to(made).as_posix() not in kept:
            path.unlink()


def _tell(error: BaseException) -> None:
    """Let an error say that the work can be resumed."""
    if not isinstance(error, ScformatError):
        error.add_note(KEPT)
    elif error.code != "cannot-resume":
        error.hint = KEPT if error.hint is None else f"{error.hint}; {KEPT}"


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
            with replacing(destination), alone(destination) as free:
                if not free:
                    raise busy(destination)
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

"""SHA-256 of what a source is made of, and whether it is still what it was."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

from scformat.errors import StorageError

_READ_BYTES = 8 << 20


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal; StorageError if it cannot be read."""
    try:
        with io.BufferedReader(io.FileIO(path), _READ_BYTES) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError("read-failed", f"cannot be read ({error.strerror})", where=path) from error


def directory_sha256(path: str | Path) -> str:
    """Return the SHA-256 over a directory's lines ``relative-path TAB sha256 LF``, sorted by the path's bytes."""
    root = Path(path)
    names = sorted(os.fsencode(file.relative_to(root).as_posix()) for file in root.rglob("*") if file.is_file())
    lines = [name + b"\t" + file_sha256(root / os.fsdecode(name)).encode() + b"\n" for name in names]
    return hashlib.sha256(b"".join(lines)).hexdigest()


def stamp(path: str | Path) -> str:
    """Return what tells without reading it whether a file, or any in a directory, was written to or replaced.

    Size, time of change and inode of each. Links made, permissions and mere reading change none of them.
    """
    root = Path(path)
    try:
        files = sorted(file for file in root.rglob("*") if file.is_file()) if root.is_dir() else [root]
        lines = []
        for file in files:
            found = file.stat()
            lines.append(f"{file.relative_to(root)}\t{found.st_size}\t{found.st_mtime_ns}\t{found.st_ino}\n")
    except OSError as error:
        return f"unreadable ({error.strerror})"
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def check_unchanged(path: str | Path, before: str) -> None:
    """Refuse a source that is no more what it was when its :func:`stamp` was taken (``source-changed``)."""
    now = stamp(path)
    if now != before:
        raise StorageError(
            "source-changed",
            "the source changed while it was read",
            where=path,
            expected="a file that nobody writes to, moves or removes",
            found=now if now.startswith("unreadable") else "another size, time of change or inode",
            hint="begin again once it stays as it is",
        )

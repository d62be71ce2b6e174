"""SHA-256 of what a source is made of."""

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

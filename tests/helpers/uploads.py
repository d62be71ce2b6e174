"""Stores brought to a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def upload(directory: Path, url: str) -> None:
    """Copy a store to a bucket, as any tool would."""
    from scformat.storage import Storage

    target = Storage(url)
    writes = [
        target.write(path.relative_to(directory).as_posix(), path.read_bytes())
        for path in directory.rglob("*")
        if path.is_file()
    ]
    for written in writes:
        written.result()

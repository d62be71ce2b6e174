"""The bound of a cache: what was used least recently goes, counted by the file system itself.

There is no index and no lock, so nothing can be left half-done by a process that was killed. Every process looks at
what lies there before it has written another 1/128 of the limit, and makes room above 7/8. Sixteen processes that fill
a cache side by side therefore stay within the limit.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGED = ".staged"
"""Ends the name of files that stay and are not counted."""
_STEP = 128
_FULL, _CLEARED = 7 / 8, 3 / 4
_LARGEST = 8


class Room:
    """Keeps the files in directories below one within a limit.

    Parameters
    ----------
    limit
        Bytes that they may take on the disk.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._directory, self._limit = directory, limit
        self._written: int | None = None  # by this process since it looked
        self._lock = threading.Lock()

    def claim(self, size: int) -> bool:
        """Tell whether `size` bytes may be written, after making room for them if need be."""
        if size > self._limit // _LARGEST:
            return False
        with self._lock:
            look = self._written is None or self._written + size > self._limit // _STEP
            self._written = size if look or self._written is None else self._written + size
        if look:
            self._look(size)
        return True

    def _look(self, size: int) -> None:
        found = sorted((s.st_mtime_ns, s.st_blocks * 512, path) for path, s in files_below(self._directory))
        total = size + sum(taken for _, taken, _ in found)
        if total <= _FULL * self._limit:
            return
        for _, taken, path in found:
            if total <= _CLEARED * self._limit:
                break
            with suppress(OSError):  # another process was faster
                os.unlink(path)  # noqa: PTH108
            total -= taken


def files_below(directory: Path, *, staged: bool = False) -> Iterator[tuple[str, os.stat_result]]:
    """Yield files of a cache and what the system says of them: those that were staged, or the others."""
    with suppress(OSError), os.scandir(directory) as homes:
        for home in homes:
            with suppress(OSError), os.scandir(home) as entries:
                for entry in entries:
                    if entry.name.endswith(STAGED) == staged:
                        with suppress(OSError):  # gone meanwhile
                            yield entry.path, entry.stat(follow_symlinks=False)

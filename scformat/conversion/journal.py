"""What a conversion has finished, kept on disk as it goes, so that a killed one can go on from there.

Two files only ever grow: `journal` has a line for each thing that is finished, `arrays` the numbers that belong to it.
Both are checked when they are read: what a kill or a power cut tore is as if it had not been written. Nothing waits for
the disk, because whoever takes a file up again checks its digest first.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import FileIO
    from pathlib import Path

    from numpy.typing import NDArray

_READ_BYTES = 8 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One finished thing.

    Attributes
    ----------
    facts
        What is to be known of it, as plain JSON values.
    arrays
        Where its arrays lie in `arrays`: type, shape, offset, CRC-32C.
    """

    facts: Mapping[str, Any]
    arrays: Mapping[str, tuple[str, tuple[int, ...], int, int]]


class Journal:
    """The journal of a conversion in a directory, made there or taken up again.

    Parameters
    ----------
    directory
        Where its two files lie or are made.
    """

    def __init__(self, directory: Path) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        self._adding = threading.Lock()
        self._arrays_path = directory / "arrays"
        path = directory / "journal"
        whole = 0
        if path.exists():
            whole = self._load(path.read_bytes())
        # Without buffers, which would fail a second time when they are closed on a full disk.
        self._lines = path.open("ab", buffering=0)
        self._lines.truncate(whole)  # a torn line would swallow the next one
        self._arrays = self._arrays_path.open("ab", buffering=0)

    def _load(self, data: bytes) -> int:
        """Read every line up to the first one that is torn; return where that begins."""
        whole = 0
        for line in data.splitlines(keepends=True):
            check, _, body = line.partition(b" ")
            if not line.endswith(b"\n") or check != _crc(body):
                break
            what, name, facts, arrays = json.loads(body)
            places = {k: (dtype, tuple(shape), offset, crc) for k, (dtype, shape, offset, crc) in arrays.items()}
            self._entries[what, name] = Entry(facts=facts, arrays=places)
            whole += len(line)
        return whole

    def add(self, what: str, name: str, *, arrays: Mapping[str, NDArray[Any]] | None = None, **facts: Any) -> None:
        """Write that something is finished; a later entry of a name takes an earlier one's place."""
        with self._adding:
            places = {}
            for key, values in (arrays or {}).items():
                data = np.ascontiguousarray(values).tobytes()
                offset = self._arrays.seek(0, os.SEEK_END)
                _write(self._arrays, data)
                places[key] = (values.dtype.str, values.shape, offset, int(google_crc32c.value(data)))
            body = json.dumps([what, name, facts, places], ensure_ascii=False).encode() + b"\n"
            _write(self._lines, _crc(body) + b" " + body)
            self._entries[what, name] = Entry(facts=facts, arrays=places)

    def find(self, what: str, name: str) -> Entry | None:
        """Return an entry, None where there is none."""
        return self._entries.get((what, name))

    def names(self, what: str) -> list[str]:
        """Names of all entries of a kind, in the order they were first written."""
        return [name for kind, name in list(self._entries) if kind == what]

    def read(self, entry: Entry) -> dict[str, NDArray[Any]] | None:
        """Return the arrays of an entry, None where one of them is damaged."""
        found = {}
        with self._arrays_path.open("rb") as file:
            for key, (dtype, shape, offset, crc) in entry.arrays.items():
                file.seek(offset)
                data = file.read(int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
                if int(google_crc32c.value(data)) != crc:
                    return None
                found[key] = np.frombuffer(data, dtype).reshape(shape)
        return found

    def close(self) -> None:
        """Close the files."""
        self._lines.close()
        self._arrays.close()


def file_crc(path: Path) -> int | None:
    """Return the CRC-32C of a file's bytes, None where there is no such file."""
    crc = 0
    try:
        with path.open("rb") as file:
            while data := file.read(_READ_BYTES):
                crc = google_crc32c.extend(crc, data)
    except FileNotFoundError:
        return None
    return crc


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _crc(body: bytes) -> bytes:
    return b"%08x" % google_crc32c.value(body)

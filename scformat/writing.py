"""Arrays, strings and groups of a store are written, and their digests told."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from scformat import layout
from scformat.codec import encode_json, encode_shard
from scformat.manifest import Array, StringArray

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.blobs import Written
    from scformat.layout import ArraySpec
    from scformat.storage import Storage
    from scformat.strings import Strings

WRITES_AT_ONCE = 8
"""Files of an array that may be on their way to the disk while the next one is encoded."""


class ArrayWriter:
    """Writes one array file by file, in any order and from any thread, and keeps the digest of each file."""

    def __init__(self, storage: Storage, spec: ArraySpec) -> None:
        self.spec = spec
        self._storage = storage
        self._lock = threading.Lock()
        self._digests: dict[str, str] = {}
        self._pending: deque[Written] = deque()
        self._write(f"{spec.path}/zarr.json", encode_json(layout.array_metadata(spec)))

    def put(self, index: tuple[int, ...], block: NDArray[Any]) -> str:
        """Encode and write the file at a grid index (see :func:`scformat.codec.encode_shard`); return its SHA-256."""
        return self._write(self.spec.key(index), encode_shard(self.spec, block))

    def read(self, index: tuple[int, ...]) -> bytes | None:
        """Return the bytes of the file at a grid index, None where there is none."""
        return self._storage.read(self.spec.key(index))

    def prepare(self) -> None:
        """Make the directory of the files, for those who do not (see :class:`WholeFiles`)."""
        self._storage.prepare(self.spec.key((0,) * len(self.spec.shape)))

    def adopt(self, index: tuple[int, ...], digest: str) -> None:
        """Take the file at a grid index as it lies there, with its SHA-256."""
        key = self.spec.key(index)
        self._storage.adopt(key)
        with self._lock:
            self._digests[key] = digest

    def _write(self, key: str, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        written = self._storage.write(key, data)
        with self._lock:
            self._digests[key] = digest
            self._pending.append(written)
            late = self._pending.popleft() if len(self._pending) > WRITES_AT_ONCE else None
        if late is not None:
            late.result()
        return digest

    def finish(self) -> Array:
        """Wait for all writes and describe the array for the manifest."""
        while self._pending:
            self._pending.popleft().result()
        spec = self.spec
        names = [f"{spec.path}/zarr.json", *(key for _, key in spec.files())]
        return Array(
            path=spec.path,
            dtype=spec.dtype,  # type: ignore[arg-type]
            shape=list(spec.shape),
            chunk=list(spec.chunk),
            shard=list(spec.shard),
            fill=spec.fill,
            sha256=array_digest((name[len(spec.path) + 1 :], self._digests[name]) for name in names),
        )


class WholeFiles:
    """Writes files of an array as one of many processes, any of which may be killed: each appears whole, or not.

    Parameters
    ----------
    storage, spec
        The array; whoever has begun it has its metadata written and its directory made.
    scratch
        Where a file is made. What lies there afterwards nobody needs.
    """

    def __init__(self, storage: Storage, spec: ArraySpec, scratch: Path) -> None:
        self.spec = spec
        self._storage, self._scratch = storage, scratch

    def put(self, index: tuple[int, ...], block: NDArray[Any]) -> str:
        """Encode and write the file at a grid index (see :func:`scformat.codec.encode_shard`); return its SHA-256."""
        data = encode_shard(self.spec, block)
        self._storage.write_whole(self.spec.key(index), data, through=self._scratch)
        return hashlib.sha256(data).hexdigest()

    def read(self, index: tuple[int, ...]) -> bytes | None:
        """Return the bytes of the file at a grid index, None where there is none."""
        return self._storage.read(self.spec.key(index))


def array_digest(files: Iterable[tuple[str, str]]) -> str:
    """Digest of an array: SHA-256 over a line ``<sha256>  <name>`` LF for each file, as ``sha256sum`` prints them.

    ``zarr.json`` first, then the files of the grid in C order, named relative to the array.
    """
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files).encode()).hexdigest()


def write_array(storage: Storage, spec: ArraySpec, values: NDArray[Any]) -> Array:
    """Write a whole array that lies in memory."""
    writer = ArrayWriter(storage, spec)
    for index, _ in spec.files():
        writer.put(index, values[spec.slices(index)])
    return writer.finish()


def write_strings(storage: Storage, path: str, strings: Strings) -> StringArray:
    """Write strings as their bytes and offsets."""
    data = strings.data[strings.offsets[0] : strings.offsets[-1]]
    offsets = strings.offsets - strings.offsets[0]
    return StringArray(
        bytes=write_array(storage, layout.flat_bytes(f"{path}/bytes", len(data)), data),
        offsets=write_array(storage, layout.per_cell(f"{path}/offsets", "int64", len(offsets)), offsets),
    )


def write_table(storage: Storage, path: str, values: NDArray[Any], *, fill: float = layout.CODE_FILL) -> Array:
    """Write a small array in one file."""
    return write_array(storage, layout.table(path, values, fill=fill), values)


def write_groups(storage: Storage, arrays: Iterable[str]) -> dict[str, str]:
    """Write the group above every array path, the root apart; return the SHA-256 of each."""
    groups = sorted(layout.groups_above(arrays))
    data = encode_json(layout.group_metadata())
    for written in [storage.write(f"{group}/zarr.json", data) for group in groups]:
        written.result()
    return dict.fromkeys(groups, hashlib.sha256(data).hexdigest())

"""All input and output of stores: keys and bytes, arrays, digests. Nothing else opens a file of a store.

Keys go through TensorStore's key-value layer, so that a directory, S3, GCS and HTTP are one code path.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import tensorstore as ts

from scformat import layout
from scformat.codec import encode_json, encode_shard
from scformat.errors import InvalidDataError, ScformatError, StorageError, UsageError
from scformat.manifest import Array, StringArray
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scformat.layout import ArraySpec

MANIFEST_KEY = "zarr.json"
WRITES_AT_ONCE = 8
"""Files of an array that may be on their way to the disk while the next one is encoded."""


def kvstore_spec(url: str) -> dict[str, Any]:
    """Translate a path or URL to TensorStore's key-value specification."""
    parts = urlsplit(url)
    if parts.scheme in ("", "file") or len(parts.scheme) == 1:
        path = Path(parts.path if parts.scheme == "file" else url).absolute()
        return {"driver": "file", "path": f"{path}/"}
    key = parts.path.lstrip("/").rstrip("/")
    prefix = f"{key}/" if key else ""
    if parts.scheme == "s3":
        return {"driver": "s3", "bucket": parts.netloc, "path": prefix}
    if parts.scheme in ("gs", "gcs"):
        return {"driver": "gcs", "bucket": parts.netloc, "path": prefix}
    if parts.scheme in ("http", "https"):
        return {"driver": "http", "base_url": f"{parts.scheme}://{parts.netloc}", "path": f"/{prefix}"}
    if parts.scheme == "memory":
        return {"driver": "memory", "path": f"{parts.netloc}/{prefix}"}
    raise UsageError(
        "unknown-scheme",
        "cannot open this kind of address",
        where=url,
        expected="a path, s3://, gs:// or http(s)://",
        found=f"{parts.scheme}://",
    )


class Storage:
    """A place that holds a store: a directory, a bucket prefix or an HTTP address.

    Parameters
    ----------
    url
        A path, ``s3://``, ``gs://``, ``http(s)://``.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = os.fspath(url)
        self._spec = kvstore_spec(self.url)
        self._lock = threading.Lock()
        self._opened: dict[str, Any] = {}
        self._connect()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
        with io_errors(self.url):
            self._kv = ts.KvStore.open(self._spec, context=self._context).result()

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Storage.__init__(self, state["url"])

    def read(self, key: str) -> bytes | None:
        """Return the bytes of a key, None where there is none."""
        with io_errors(self.at(key)):
            result = self._kv.read(key).result()
        return bytes(result.value) if result.state == "value" else None

    def write(self, key: str, data: bytes) -> Any:
        """Start writing a key; the future's ``result()`` waits until it lies there whole."""
        with io_errors(self.at(key)):
            return self._kv.write(key, data)

    def keys(self) -> list[str]:
        """Every key, sorted."""
        with io_errors(self.url):
            return sorted(key.decode() for key in self._kv.list().result())

    def at(self, key: str) -> str:
        """Address of a key, for messages."""
        return f"{self.url.rstrip('/')}/{key}"

    def array(self, array: Array) -> Any:
        """Open an array with TensorStore, once, and check that it is what the manifest says."""
        with self._lock:
            found = self._opened.get(array.path)
        if found is None:
            found = self._open(array)
            with self._lock:
                self._opened[array.path] = found
        return found

    def _open(self, array: Array) -> Any:
        spec = {"driver": "zarr3", "kvstore": {**self._spec, "path": f"{self._spec['path']}{array.path}/"}}
        where = self.at(array.path)
        with io_errors(where, missing="lost-array"):
            opened = ts.open(spec, open=True, read=True, context=self._context).result()
        found = (opened.dtype.name, list(opened.shape), list(opened.chunk_layout.read_chunk.shape or ()))
        expected = (array.dtype, array.shape, array.chunk)
        if found != expected:
            raise InvalidDataError(
                "array-mismatch", "the array is not what the manifest says", where=where, expected=expected, found=found
            )
        return opened

    def read_array(self, array: Array, region: Any = ...) -> NDArray[Any]:
        """Read a region of an array; a lost chunk raises, because no valid element is the fill value."""
        opened = self.array(array)
        with io_errors(self.at(array.path)):
            values: NDArray[Any] = opened[region].read().result()
        self.refuse_fill(array, values)
        return values

    def refuse_fill(self, array: Array, values: NDArray[Any]) -> None:
        """Raise where values read from `array` hold its fill value: a chunk or a file is missing."""
        lost = values == np.array(array.fill, array.dtype)
        if lost.any():
            first = np.argwhere(lost)[0].tolist()
            raise InvalidDataError(
                "lost-chunk",
                "fill values where data should be: a chunk or a file is missing",
                where=self.at(array.path),
                found=f"the first at {first} of what was read",
                hint="restore the file from a copy, or convert again",
            )

    def read_strings(self, strings: StringArray) -> Strings:
        """Read a whole string array and check that its offsets fit its bytes and its bytes are UTF-8."""
        offsets = self.read_array(strings.offsets)
        n_bytes = strings.bytes.shape[0]
        data = self.read_array(strings.bytes) if n_bytes else np.empty(0, np.uint8)
        where = self.at(strings.offsets.path)
        if offsets[0] != 0 or offsets[-1] != n_bytes or (np.diff(offsets) < 0).any():
            raise InvalidDataError("bad-offsets", "string offsets do not fit their bytes", where=where)
        try:
            data.tobytes().decode()
        except UnicodeDecodeError as error:
            raise InvalidDataError("bad-utf8", str(error), where=self.at(strings.bytes.path)) from None
        return Strings(data=data, offsets=offsets)


@contextmanager
def io_errors(where: str, *, missing: str = "not-found") -> Iterator[None]:
    """Turn errors of TensorStore and of the system into those of the interface."""
    try:
        yield
    except ScformatError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        text = str(error)
        if "NOT_FOUND" in text or isinstance(error, FileNotFoundError):
            raise StorageError(missing, "there is nothing", where=where, hint="check the path") from None
        if any(mark in text for mark in ("DATA_LOSS", "checksum", "crc32c", "Error decoding", "blosc", "shard")):
            raise InvalidDataError("damaged-chunk", "damaged data", where=where, found=text[:300]) from None
        raise StorageError("storage-failed", "reading or writing failed", where=where, found=text[:300]) from None


class ArrayWriter:
    """Writes one array file by file, in any order and from any thread, and keeps the digest of each file."""

    def __init__(self, storage: Storage, spec: ArraySpec) -> None:
        self.spec = spec
        self._storage = storage
        self._lock = threading.Lock()
        self._digests: dict[str, str] = {}
        self._pending: deque[Any] = deque()
        self._write(f"{spec.path}/zarr.json", encode_json(layout.array_metadata(spec)))

    def put(self, index: tuple[int, ...], block: NDArray[Any]) -> str:
        """Encode and write the file at a grid index (see :func:`scformat.codec.encode_shard`); return its SHA-256."""
        return self._write(self.spec.key(index), encode_shard(self.spec, block))

    def _write(self, key: str, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        future = self._storage.write(key, data)
        with self._lock:
            self._digests[key] = digest
            self._pending.append((key, future))
            late = self._pending.popleft() if len(self._pending) > WRITES_AT_ONCE else None
        if late is not None:
            self._wait(*late)
        return digest

    def _wait(self, key: str, future: Any) -> None:
        with io_errors(self._storage.at(key)):
            future.result()

    def finish(self) -> Array:
        """Wait for all writes and describe the array for the manifest."""
        while self._pending:
            self._wait(*self._pending.popleft())
        spec = self.spec
        names = [f"{spec.path}/zarr.json", *(key for _, key in spec.keys())]
        return Array(
            path=spec.path,
            dtype=spec.dtype,  # type: ignore[arg-type]
            shape=list(spec.shape),
            chunk=list(spec.chunk),
            shard=list(spec.shard),
            fill=spec.fill,
            sha256=array_digest((name[len(spec.path) + 1 :], self._digests[name]) for name in names),
        )


def array_digest(files: Iterator[tuple[str, str]]) -> str:
    """Digest of an array: SHA-256 over a line ``<sha256>  <name>`` LF for each file, as ``sha256sum`` prints them.

    ``zarr.json`` first, then the files of the grid in C order, named relative to the array.
    """
    return hashlib.sha256("".join(f"{digest}  {name}\n" for name, digest in files).encode()).hexdigest()


def write_array(storage: Storage, spec: ArraySpec, values: NDArray[Any]) -> Array:
    """Write a whole array that lies in memory."""
    writer = ArrayWriter(storage, spec)
    for index, _ in spec.keys():
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


def write_groups(storage: Storage, arrays: Sequence[str]) -> dict[str, str]:
    """Write the group above every array path, the root apart; return the SHA-256 of each."""
    groups = {path[:i] for path in arrays for i, letter in enumerate(path) if letter == "/"}
    data = encode_json(layout.group_metadata())
    for group in sorted(groups):
        with io_errors(storage.at(group)):
            storage.write(f"{group}/zarr.json", data).result()
    return dict.fromkeys(sorted(groups), hashlib.sha256(data).hexdigest())

"""Rows of an HDF5 dataset, read by several threads at once.

The HDF5 library does one thing at a time, whatever asks it. Here it is asked once where the bytes of a
dataset lie; then each thread reads them with ``pread`` and undoes the two common filters, gzip and byte
shuffle, itself. What is stored in any other way is read by the library. This module does without it: whoever
has it, in this process or another, is a :class:`Library`.
"""

from __future__ import annotations

import itertools
import os
import stat
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scformat.errors import InvalidDataError, RowIndexError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEFLATE, SHUFFLE = 1, 2
"""Numbers that HDF5 gives its filters."""
# Decoded chunks of the last band of rows that a thread keeps; a wider band is decoded again when it is re-entered.
_KEPT_BYTES = 64 << 20
# No compression of HDF5 makes more of a byte: deflate at its best gives 1032.
_MOST_A_BYTE = 1100
_ANYWAY = 64 << 20

_READING = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0)
"""A pipe is opened without waiting for its other end."""
_COPY = "what comes through a pipe has to be a file first: HDF5 reads it in no order"


class Descriptor:
    """A file opened for reading its bytes by position, closed with the last reader at the latest.

    Raises
    ------
    StorageError
        When it cannot be opened; ``not-a-file`` for a pipe or a device, without waiting for it.
    """

    _fd = -1

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._fd = os.open(path, _READING)
        except OSError as error:
            raise StorageError("cannot-open", f"cannot be opened ({error.strerror})", where=path) from error
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise StorageError("not-a-file", "no regular file", where=path, hint=_COPY)

    def fileno(self) -> int:
        """Return the descriptor; StorageError once closed, for the number may be another file's by then."""
        if self._fd < 0:
            raise StorageError("source-closed", "it is closed already", where=self.path)
        return self._fd

    def size(self) -> int:
        """Size of the file in bytes."""
        return os.fstat(self.fileno()).st_size

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


def check_size(n_bytes: int, file_size: int, *, where: str) -> None:
    """Refuse to make room for more than a file of this size can hold: a number in it is wrong."""
    if n_bytes > _MOST_A_BYTE * file_size + _ANYWAY:
        raise InvalidDataError(
            "impossible-size",
            "it says to be larger than its file can hold",
            where=where,
            expected=f"what {file_size:,} bytes can hold",
            found=f"{n_bytes:,} bytes",
            hint="the file is damaged: copy or download it again",
        )


@dataclass(frozen=True, kw_only=True)
class Stored:
    """How a dataset is stored.

    Attributes
    ----------
    shape
        Its shape, 1-D or 2-D.
    dtype
        Its type in native byte order.
    chunk
        Shape of a chunk, None where it has none.
    offset
        Where its bytes lie, all of them as in memory; None where they do not, or that is not known.
    filters
        Filters of its chunks in the order they were applied, where :class:`Hdf5Rows` can undo them; None where it
        cannot, or there are no chunks.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...] | None
    offset: int | None
    filters: tuple[int, ...] | None


class Library(Protocol):
    """The HDF5 library with one dataset open."""

    def chunks(self) -> Chunks:
        """Return where its chunks lie."""

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a range of it; InvalidDataError where that fails."""


class Hdf5Rows:
    """Reader of consecutive rows of a 1-D or 2-D numeric dataset.

    Parameters
    ----------
    stored
        How it is stored: integers, floats or booleans.
    descriptor
        The file, opened for its bytes; the caller closes it.
    library
        Reads what cannot be read from the file's bytes.
    where
        File and dataset, for messages.

    Attributes
    ----------
    shape
        The dataset's shape.
    dtype
        Type of what is read: the dataset's in native byte order.
    row_step
        Rows of a chunk; 1 for a contiguous dataset.
    """

    def __init__(self, stored: Stored, *, descriptor: Descriptor, library: Library, where: str) -> None:
        self.shape = stored.shape
        self.dtype = stored.dtype
        self.row_step = stored.chunk[0] if stored.chunk else 1
        self.where = where
        self._stored = stored
        self._descriptor = descriptor
        self._library = library
        self._lock = threading.Lock()
        self._kept = threading.local()
        self._index: Chunks | None = None

    @property
    def direct(self) -> bool:
        """Whether the bytes are read without the HDF5 library."""
        return self._stored.offset is not None or self._stored.filters is not None

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read rows ``start..stop-1``.

        Returns
        -------
        array of `dtype`, shape (stop - start, *shape[1:])
            Owned by the caller.

        Raises
        ------
        RowIndexError
            For rows outside of the dataset.
        InvalidDataError
            For a chunk that is damaged or lies beyond the end of the file, and for more than a file of its size holds.
        StorageError
            When the operating system cannot read, or the file was closed.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise RowIndexError(
                "row-out-of-range", f"rows {start}:{stop}", where=self.where, expected=f"rows in 0:{self.shape[0]}"
            )
        fd = self._descriptor.fileno()
        row_bytes = self.dtype.itemsize * int(np.prod(self.shape[1:], dtype=object))
        size, offset = self._descriptor.size(), self._stored.offset
        if offset is not None and offset + stop * row_bytes > size and stop > start:
            end = offset + stop * row_bytes
            raise InvalidDataError("truncated-file", f"the file ends before byte {end}", where=self.where)
        check_size((stop - start) * row_bytes, size, where=self.where)
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        if out.size == 0:
            return out
        if offset is not None:
            pread_into(fd, out, offset + start * row_bytes, where=self.where)
        elif self._stored.filters is not None:
            chunks = self._chunk_index()
            flat = out.reshape(len(out), -1)
            if chunks.plain:
                self._read_runs(chunks, start, stop, flat)
            else:
                self._read_bands(chunks, start, stop, flat)
        else:
            self._read_through_library((slice(start, stop),), out)
        return out

    def _chunk_index(self) -> Chunks:
        with self._lock:
            if self._index is None:
                index = self._library.chunks()
                index.check(self._descriptor.size(), where=self.where)
                self._index = index
            return self._index

    def _read_through_library(self, key: tuple[slice, ...], out: NDArray[Any]) -> None:
        out[...] = self._library.read(key).reshape(out.shape)

    def _read_runs(self, chunks: Chunks, start: int, stop: int, out: NDArray[Any]) -> None:
        """Read chunks without filters that span all columns; those next to each other in the file at once."""
        step = chunks.shape[0]
        first, last = start // step, (stop - 1) // step
        address = chunks.address[first : last + 1, 0]
        row_bytes = chunks.n_bytes // step
        absent = address < 0
        joined = np.where(absent[1:], absent[:-1], np.diff(address) == chunks.n_bytes)
        heads = np.concatenate([[0], np.flatnonzero(~joined) + 1, [len(address)]]).tolist()
        for head, tail in itertools.pairwise(heads):
            low = max(start, (first + head) * step)
            high = min(stop, (first + tail) * step)
            target = out[low - start : high - start]
            if absent[head]:
                self._read_through_library((slice(low, high),), target)
            else:
                skipped = (low - (first + head) * step) * row_bytes
                pread_into(self._descriptor.fileno(), target, int(address[head]) + skipped, where=self.where)

    def _read_bands(self, chunks: Chunks, start: int, stop: int, out: NDArray[Any]) -> None:
        step, width = chunks.shape
        for band in range(start // step, (stop - 1) // step + 1):
            low, high = max(start, band * step), min(stop, (band + 1) * step)
            for column in range(chunks.address.shape[1]):
                left, right = column * width, min((column + 1) * width, out.shape[1])
                target = out[low - start : high - start, left:right]
                if chunks.address[band, column] < 0:
                    key = (slice(low, high), slice(left, right))[: len(self.shape)]
                    self._read_through_library(key, target)
                else:
                    decoded = self._decoded(chunks, band, column)
                    target[...] = decoded[low - band * step : high - band * step, : right - left]

    def _decoded(self, chunks: Chunks, band: int, column: int) -> NDArray[Any]:
        """Decode a chunk, or take it from those of the last band that this thread decoded."""
        kept = self._kept.__dict__
        if kept.get("band") != band:
            kept.clear()
            kept["band"] = band
        found: NDArray[Any] | None = kept.get(str(column))
        if found is None:
            found = chunks.decode(self._descriptor.fileno(), band, column, self.dtype, self.where)
            n_columns = chunks.address.shape[1]
            if n_columns == 1 or n_columns * chunks.n_bytes <= _KEPT_BYTES:
                kept[str(column)] = found
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunks:
    """Where the chunks of a dataset lie in its file.

    Attributes
    ----------
    shape
        Rows and columns of a chunk; a 1-D dataset has one column.
    n_bytes
        Bytes of a decoded chunk.
    filters
        In the order they were applied.
    address, size, mask : int64 arrays, shape (bands, columns)
        Byte of the file where each chunk begins, -1 where it was never written; its bytes there; the filters that it
        was stored without.
    """

    shape: tuple[int, int]
    n_bytes: int
    filters: tuple[int, ...]
    address: NDArray[np.int64]
    size: NDArray[np.int64]
    mask: NDArray[np.int64]

    def check(self, file_size: int, *, where: str) -> None:
        """Refuse chunks beyond the end of the file, and those of sizes that cannot be."""
        address, size = self.address, self.size
        beyond = (address > file_size - size) | (size < 0)
        if beyond.any():
            at = int(address[beyond][0])
            raise InvalidDataError("truncated-file", f"the file ends within the chunk at byte {at}", where=where)
        if not self.filters and (size[address >= 0] != self.n_bytes).any():
            at = int(address[(address >= 0) & (size != self.n_bytes)][0])
            raise InvalidDataError("damaged-chunk", f"the chunk at byte {at} has a wrong length", where=where)
        check_size(self.n_bytes, file_size, where=where)

    @property
    def plain(self) -> bool:
        """No filters, and a chunk's rows are whole rows."""
        return not self.filters and self.address.shape[1] == 1

    def decode(self, fd: int, band: int, column: int, dtype: np.dtype[Any], where: str) -> NDArray[Any]:
        """Read one chunk and undo its filters; an array of the chunk's shape, also at the edge of the dataset."""
        at, skipped = int(self.address[band, column]), int(self.mask[band, column])
        raw: memoryview | bytes = _pread(fd, int(self.size[band, column]), at, where)
        for position in reversed(range(len(self.filters))):
            if skipped >> position & 1:
                continue
            if self.filters[position] == DEFLATE:
                try:
                    raw = zlib.decompress(raw, bufsize=max(self.n_bytes, 1))
                except zlib.error as error:
                    raise InvalidDataError(
                        "damaged-chunk", f"the chunk at byte {at} does not inflate ({error})", where=where
                    ) from error
            elif len(raw) == self.n_bytes:
                raw = _unshuffle(raw, dtype.itemsize)
        if len(raw) != self.n_bytes:
            raise InvalidDataError(
                "damaged-chunk",
                f"the chunk at byte {at} decodes to a wrong length",
                where=where,
                expected=f"{self.n_bytes} bytes",
                found=len(raw),
            )
        return np.frombuffer(raw, dtype).reshape(self.shape)


def pread_into(fd: int, out: NDArray[Any], offset: int, *, where: str) -> None:
    """Fill the C-contiguous array `out` with the file's bytes from `offset` on."""
    view = out.reshape(-1).view(np.uint8).data
    while view:
        try:
            got = os.preadv(fd, [view], offset)
        except OSError as error:
            raise StorageError("read-failed", f"reading failed ({error.strerror})", where=where) from error
        if got == 0:
            raise InvalidDataError("truncated-file", f"the file ends before byte {offset + len(view)}", where=where)
        view, offset = view[got:], offset + got


def _pread(fd: int, size: int, offset: int, where: str) -> memoryview:
    raw = np.empty(size, np.uint8)
    pread_into(fd, raw, offset, where=where)
    return raw.data


def _unshuffle(raw: memoryview | bytes, item_size: int) -> memoryview:
    planes = np.frombuffer(raw, np.uint8).reshape(item_size, -1)
    out = np.empty(planes.shape[::-1], np.uint8)
    for k in range(item_size):
        out[:, k] = planes[k]
    return out.reshape(-1).data

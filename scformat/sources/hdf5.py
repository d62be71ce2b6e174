"""Rows of an HDF5 dataset, read by several threads at once.

The HDF5 library does one thing at a time, whatever asks it. Here it is asked once where the bytes of a
dataset lie; then each thread reads them with ``pread`` and undoes the two common filters, gzip and byte
shuffle, itself. What is stored in any other way is read through h5py, whose own lock keeps that safe.
"""

from __future__ import annotations

import itertools
import os
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from scformat.errors import InvalidDataError, RowIndexError, StorageError, UnsupportedError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

# Decoded chunks of the last band of rows that a thread keeps; a wider band is decoded again when it is re-entered.
_KEPT_BYTES = 64 << 20
_DEFLATE, _SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE


class Descriptor:
    """A file opened for reading its bytes by position, closed with the last reader at the latest.

    Raises
    ------
    StorageError
        When it cannot be opened.
    """

    _fd = -1

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._fd = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise StorageError("cannot-open", f"cannot be opened ({error.strerror})", where=path) from error

    def fileno(self) -> int:
        """Return the descriptor; StorageError once closed, for the number may be another file's by then."""
        if self._fd < 0:
            raise StorageError("source-closed", "it is closed already", where=self.path)
        return self._fd

    def close(self) -> None:
        """Close it; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    __del__ = close


class Hdf5Rows:
    """Reader of consecutive rows of a 1-D or 2-D numeric dataset.

    Parameters
    ----------
    dataset
        An open dataset, 1-D or 2-D, of integers, floats or booleans.
    descriptor
        The same file, opened for its bytes; the caller closes it.
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

    def __init__(self, dataset: h5py.Dataset, *, descriptor: Descriptor, where: str) -> None:
        _check_filters(dataset, where)
        self.shape: tuple[int, ...] = tuple(dataset.shape)
        self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")
        self.row_step = int(dataset.chunks[0]) if dataset.chunks else 1
        self.where = where
        self._dataset = dataset
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._kept = threading.local()
        self._chunks: _Chunks | None = None
        direct = _stored_as_in_memory(dataset)
        self._offset: int | None = _contiguous_offset(dataset) if direct else None
        self._chunked = direct and dataset.chunks is not None and _filters(dataset) is not None

    @property
    def direct(self) -> bool:
        """Whether the bytes are read without the HDF5 library."""
        return self._offset is not None or self._chunked

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
            For a chunk that is damaged or lies beyond the end of the file.
        StorageError
            When the operating system cannot read, or the file was closed.
        """
        if not 0 <= start <= stop <= self.shape[0]:
            raise RowIndexError(
                "row-out-of-range", f"rows {start}:{stop}", where=self.where, expected=f"rows in 0:{self.shape[0]}"
            )
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        if out.size == 0:
            return out
        fd = self._descriptor.fileno()
        if self._offset is not None:
            row_bytes = out.nbytes // len(out)
            pread_into(fd, out, self._offset + start * row_bytes, where=self.where)
        elif self._chunked:
            chunks = self._chunk_index()
            flat = out.reshape(len(out), -1)
            if chunks.plain:
                self._read_runs(chunks, start, stop, flat)
            else:
                self._read_bands(chunks, start, stop, flat)
        else:
            self._read_through_library(start, stop, out)
        return out

    def _chunk_index(self) -> _Chunks:
        with self._lock:
            if self._chunks is None:
                self._chunks = _Chunks.of(self._dataset, os.fstat(self._descriptor.fileno()).st_size, self.where)
            return self._chunks

    def _read_through_library(self, start: int, stop: int, out: NDArray[Any]) -> None:
        try:
            out[...] = self._dataset[start:stop]
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidDataError("unreadable-array", f"HDF5 cannot read it ({error})", where=self.where) from error

    def _read_runs(self, chunks: _Chunks, start: int, stop: int, out: NDArray[Any]) -> None:
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
                self._read_through_library(low, high, target.reshape(high - low, *self.shape[1:]))
            else:
                skipped = (low - (first + head) * step) * row_bytes
                pread_into(self._descriptor.fileno(), target, int(address[head]) + skipped, where=self.where)

    def _read_bands(self, chunks: _Chunks, start: int, stop: int, out: NDArray[Any]) -> None:
        step, width = chunks.shape
        for band in range(start // step, (stop - 1) // step + 1):
            low, high = max(start, band * step), min(stop, (band + 1) * step)
            for column in range(chunks.address.shape[1]):
                left, right = column * width, min((column + 1) * width, out.shape[1])
                target = out[low - start : high - start, left:right]
                if chunks.address[band, column] < 0:
                    key = (slice(low, high), slice(left, right))[: len(self.shape)]
                    target[...] = self._dataset[key].reshape(target.shape)
                else:
                    decoded = self._decoded(chunks, band, column)
                    target[...] = decoded[low - band * step : high - band * step, : right - left]

    def _decoded(self, chunks: _Chunks, band: int, column: int) -> NDArray[Any]:
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
class _Chunks:
    """Where the chunks of a dataset lie in its file. Arrays of shape (bands, columns); a 1-D dataset has one column."""

    shape: tuple[int, int]
    n_bytes: int
    filters: tuple[int, ...]
    address: NDArray[np.int64]
    size: NDArray[np.int64]
    mask: NDArray[np.int64]

    @classmethod
    def of(cls, dataset: h5py.Dataset, file_size: int, where: str) -> _Chunks:
        shape = (int(dataset.chunks[0]), int(dataset.chunks[1]) if dataset.ndim > 1 else 1)
        extent = (dataset.shape[0], dataset.shape[1] if dataset.ndim > 1 else 1)
        grid = tuple(-(-n // c) for n, c in zip(extent, shape, strict=True))
        address, size, mask = np.full(grid, -1, np.int64), np.zeros(grid, np.int64), np.zeros(grid, np.int64)

        def place(info: Any) -> None:
            row, *column = info.chunk_offset
            at = (row // shape[0], column[0] // shape[1] if column else 0)
            address[at], size[at], mask[at] = info.byte_offset, info.size, info.filter_mask

        try:
            dataset.id.chunk_iter(place)
        except (OSError, RuntimeError, IndexError, OverflowError) as error:
            raise InvalidDataError(
                "unreadable-array", f"its index of chunks cannot be read ({error})", where=where
            ) from error
        beyond = address > file_size - size
        if beyond.any():
            at = int(address[beyond][0])
            raise InvalidDataError("truncated-file", f"the file ends within the chunk at byte {at}", where=where)
        n_bytes = shape[0] * shape[1] * dataset.dtype.itemsize
        chunks = cls(
            shape=shape, n_bytes=n_bytes, filters=_filters(dataset) or (), address=address, size=size, mask=mask
        )
        if not chunks.filters and (size[address >= 0] != n_bytes).any():
            at = int(address[(address >= 0) & (size != n_bytes)][0])
            raise InvalidDataError("damaged-chunk", f"the chunk at byte {at} has a wrong length", where=where)
        return chunks

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
            if self.filters[position] == _DEFLATE:
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


def _filters(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Return the filters in the order they were applied; None if there are others than shuffle and gzip."""
    plist = dataset.id.get_create_plist()
    codes = tuple(int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters()))
    return codes if codes in {(), (_DEFLATE,), (_SHUFFLE,), (_SHUFFLE, _DEFLATE)} else None


def _check_filters(dataset: h5py.Dataset, where: str) -> None:
    plist = dataset.id.get_create_plist()
    for i in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            raise UnsupportedError(
                "unknown-hdf5-filter",
                f"it is compressed with HDF5 filter {code} ({name.decode(errors='replace') or 'unnamed'})",
                where=where,
                hint="write the file again with gzip or without compression",
            )


def _stored_as_in_memory(dataset: h5py.Dataset) -> bool:
    """Whether the bytes in the file are those of a native array, in this very file, from its start."""
    return bool(
        hasattr(os, "preadv")
        and dataset.dtype.kind in "iuf"
        and dataset.dtype.isnative
        and h5py.h5t.py_create(dataset.dtype).equal(dataset.id.get_type())
        and not dataset.is_virtual
        and not dataset.external
        and dataset.file.userblock_size == 0
    )


def _contiguous_offset(dataset: h5py.Dataset) -> int | None:
    if dataset.id.get_create_plist().get_layout() != h5py.h5d.CONTIGUOUS:
        return None
    offset = dataset.id.get_offset()
    return offset if offset is None else int(offset)

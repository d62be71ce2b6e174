"""Asks the HDF5 library how a dataset is stored and where its chunks lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from scformat.errors import InvalidDataError, UnsupportedError
from scformat.sources.hdf5 import DEFLATE, SHUFFLE, Chunks, Hdf5Rows, Stored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.sources.hdf5 import Descriptor

_SPACE_OF_A_CHUNK = 8
"""Bytes of a file that a chunk takes at least, in the index of chunks alone."""


def open_rows(dataset: h5py.Dataset, *, descriptor: Descriptor, where: str) -> Hdf5Rows:
    """Open a dataset of this process' library for reading by rows; see :class:`Hdf5Rows`."""
    return Hdf5Rows(how_stored(dataset, where), descriptor=descriptor, library=OpenDataset(dataset, where), where=where)


def how_stored(dataset: h5py.Dataset, where: str) -> Stored:
    """Say how a dataset of numbers, 1-D or 2-D, is stored.

    Raises
    ------
    UnsupportedError
        ``unknown-hdf5-filter``: it has a filter that is not installed.
    """
    _check_filters(dataset, where)
    direct = _stored_as_in_memory(dataset)
    chunk = dataset.chunks
    return Stored(
        shape=tuple(int(n) for n in dataset.shape),
        dtype=np.dtype(dataset.dtype.str).newbyteorder("="),
        chunk=None if chunk is None else tuple(int(n) for n in chunk),
        offset=_contiguous_offset(dataset) if direct else None,
        filters=_filters(dataset) if direct and chunk is not None else None,
    )


class OpenDataset:
    """A dataset that is open in this process."""

    def __init__(self, dataset: h5py.Dataset, where: str) -> None:
        self._dataset = dataset
        self._where = where

    def chunks(self) -> Chunks:
        """Return where its chunks lie; InvalidDataError where that cannot be read, or not be."""
        dataset = self._dataset
        shape = (int(dataset.chunks[0]), int(dataset.chunks[1]) if dataset.ndim > 1 else 1)
        extent = (int(dataset.shape[0]), int(dataset.shape[1]) if dataset.ndim > 1 else 1)
        grid = (-(-extent[0] // shape[0]), -(-extent[1] // shape[1]))
        if grid[0] * grid[1] * _SPACE_OF_A_CHUNK > dataset.file.id.get_filesize():
            found = f"{grid[0] * grid[1]:,} chunks"
            raise InvalidDataError(
                "impossible-size", "it says to have more chunks than its file can hold", where=self._where, found=found
            )
        address, size, mask = np.full(grid, -1, np.int64), np.zeros(grid, np.int64), np.zeros(grid, np.int64)

        def place(info: Any) -> None:
            row, *column = info.chunk_offset
            at = (row // shape[0], column[0] // shape[1] if column else 0)
            address[at], size[at], mask[at] = info.byte_offset, info.size, info.filter_mask

        try:
            dataset.id.chunk_iter(place)
        except (OSError, RuntimeError, IndexError, OverflowError) as error:
            raise InvalidDataError(
                "unreadable-array", f"its index of chunks cannot be read ({error})", where=self._where
            ) from error
        return Chunks(
            shape=shape, n_bytes=shape[0] * shape[1] * dataset.dtype.itemsize, filters=_filters(dataset) or (),
            address=address, size=size, mask=mask,
        )  # fmt: skip

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a range of it."""
        try:
            values: NDArray[Any] = self._dataset[key]
        except (OSError, RuntimeError, ValueError) as error:
            raise InvalidDataError("unreadable-array", f"HDF5 cannot read it ({error})", where=self._where) from error
        return values


def _filters(dataset: h5py.Dataset) -> tuple[int, ...] | None:
    """Return the filters in the order they were applied; None if there are others than shuffle and gzip."""
    plist = dataset.id.get_create_plist()
    codes = tuple(int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters()))
    return codes if codes in {(), (DEFLATE,), (SHUFFLE,), (SHUFFLE, DEFLATE)} else None


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

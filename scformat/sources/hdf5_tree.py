"""An HDF5 file as a tree of nodes."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from scformat.errors import InvalidDataError, ScformatError
from scformat.sources.hdf5 import Descriptor, Hdf5Rows, check_size
from scformat.sources.hdf5_stored import open_rows
from scformat.sources.tree import ArrayNode, GroupNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


class Hdf5File:
    """An HDF5 file, opened for reading twice: by the library, and by the operating system for the bytes of arrays.

    Parameters
    ----------
    path
        Where it lies.
    shown
        How messages call it; `path` where None.

    Raises
    ------
    StorageError
        When it cannot be opened.
    InvalidDataError
        When it is no HDF5 file, or shorter than it says.
    """

    def __init__(self, path: str | Path, *, shown: str | None = None) -> None:
        self.path = shown or str(path)
        self.descriptor = Descriptor(path)
        self._owned = True
        try:
            if not h5py.is_hdf5(path):
                raise InvalidDataError("not-hdf5", "it is no HDF5 file", where=self.path, hint=_guess(Path(path)))
            self.file = h5py.File(path, "r")
        except (OSError, RuntimeError, ValueError, MemoryError) as error:
            if isinstance(error, ScformatError):
                raise
            if "truncated" in str(error):
                raise InvalidDataError(
                    "truncated-file", "the file is shorter than it says", where=self.path,
                    hint="copy or download it again",
                ) from error  # fmt: skip
            raise InvalidDataError("unreadable-file", f"HDF5 cannot open it ({error})", where=self.path) from error

    @classmethod
    def borrowed(cls, file: h5py.File) -> Hdf5File:
        """Read along in a file that someone else has opened, and will close."""
        self = cls.__new__(cls)
        if file.mode != "r":
            file.flush()
        self.path, self.file = str(file.filename), file
        self.descriptor = Descriptor(self.path)
        self._owned = False
        return self

    def node(self, item: h5py.Group | h5py.Dataset) -> Hdf5Group | Hdf5Array:
        """Return the node of a group or dataset of this file."""
        return Hdf5Group(self, item) if isinstance(item, h5py.Group) else Hdf5Array(self, item)

    @property
    def root(self) -> Hdf5Group:
        """The root group."""
        return Hdf5Group(self, self.file)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self._owned:
            self.file.close()
        self.descriptor.close()


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn what h5py raises on a damaged file into InvalidDataError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        if isinstance(error, ScformatError):
            raise
        raise InvalidDataError("unreadable-file", f"HDF5 cannot read it ({error})", where=where) from error


class _Hdf5Node:
    """What groups and datasets share."""

    def __init__(self, file: Hdf5File, item: Any) -> None:
        self._file, self._item = file, item
        # An object that only a reference leads to has no name.
        name = item.name if item.name is not None else "(unnamed)"
        self.where = f"{file.path}:{_text(name).strip('/')}".rstrip(":")

    def attribute(self, name: str) -> Any:
        """Return an attribute, None if it is not there."""
        with reading(self.where):
            return self._item.attrs.get(name)

    def attribute_names(self) -> list[str]:
        """Names of its attributes."""
        with reading(self.where):
            return list(self._item.attrs)


class Hdf5Group(_Hdf5Node, GroupNode):
    """A group."""

    def names(self) -> list[str]:
        """Names of its members, sorted."""
        with reading(self.where):
            # A name that is not UTF-8 comes as bytes; it is shown, but cannot be asked for.
            return sorted(map(_text, self._item))

    def get(self, name: str) -> GroupNode | ArrayNode | None:
        """Return a member, None if it is not there or a link to nothing."""
        with reading(self.where):
            item = self._item.get(name) if name in self._item else None
        return self._file.node(item) if isinstance(item, (h5py.Group, h5py.Dataset)) else None


class Hdf5Array(_Hdf5Node, ArrayNode):
    """A dataset."""

    @property
    def dataset(self) -> h5py.Dataset:
        """The open dataset."""
        return self._item

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape; None where it has an empty dataspace."""
        shape: tuple[int, ...] | None = self._item.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype as h5py gives it."""
        with reading(self.where):
            dtype: np.dtype[Any] = self._item.dtype
        return dtype

    def values(self) -> NDArray[Any]:
        """Read all of it."""
        with reading(self.where):
            if self.shape is not None and len(self.shape) in {1, 2} and self.dtype.kind in "iuf":
                return self.rows().read(0, self.shape[0])
            n_bytes = math.prod(self.shape or ()) * self.dtype.itemsize
            check_size(n_bytes, self._file.descriptor.size(), where=self.where)
            values = np.asarray(self._item[()])
        return values if values.dtype.names else values.astype(values.dtype.newbyteorder("="), copy=False)

    def rows(self) -> Hdf5Rows:
        """Open it for reading by rows."""
        with reading(self.where):
            return open_rows(self._item, descriptor=self._file.descriptor, where=self.where)

    def referred(self, name: str) -> ArrayNode | None:
        """Follow an attribute that holds an object reference."""
        reference = self.attribute(name)
        if not isinstance(reference, h5py.Reference) or not reference:
            return None
        with reading(self.where):
            item = self._file.file[reference]
        return Hdf5Array(self._file, item) if isinstance(item, h5py.Dataset) else None


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode(errors="replace")


def _guess(path: Path) -> str:
    """Guess from its first bytes what a file that is no HDF5 is instead."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        return "the file is empty"
    if head.startswith(b"\x1f\x8b"):
        return "it is compressed with gzip: unpack it first"
    if head.startswith(b"PK\x03\x04"):
        return "it is a zip archive: unpack it first"
    if head.startswith(b"%%MatrixMarket"):
        return "it is a Matrix Market file: read it with anndata and convert the object"
    if head.startswith((b"<!DOCTYPE", b"<html", b"version https://git-lfs")):
        return "it is a web page or a pointer to a file: download the file itself"
    return "h5ad files, 10x .h5 files and AnnData-Zarr directories can be read"

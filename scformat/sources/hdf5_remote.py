"""An HDF5 file as a tree of nodes, read by the process that has the HDF5 library.

Only the bytes of matrices are read here, where the library says that they lie, so that threads are not in its way.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.errors import ScformatError
from scformat.sources.hdf5 import Descriptor, Hdf5Rows
from scformat.sources.hdf5_messages import FileKey, state_of
from scformat.sources.hdf5_process import hdf5_process
from scformat.sources.tree import ArrayNode, GroupNode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scformat.sources.hdf5 import Chunks
    from scformat.sources.hdf5_messages import Address, Described, Descriptions


class RemoteFile:
    """An HDF5 file, opened for reading.

    Raises
    ------
    StorageError
        When it cannot be opened.
    InvalidDataError
        When it is no HDF5 file, shorter than it says, or crashes the library.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.descriptor = Descriptor(path)
        self._key = FileKey(str(Path(path).absolute()), self.path, state_of(self.descriptor.fileno()))
        self._described: Descriptions = {}
        self._release = weakref.finalize(self, _release, self._key)
        self._release.atexit = False
        _ = self.root

    @property
    def root(self) -> RemoteGroup:
        """The root group."""
        root = self.node(())
        assert isinstance(root, RemoteGroup)
        return root

    def ask(self, what: str, *arguments: Any) -> Any:
        """Ask the library."""
        self.descriptor.fileno()  # refuses where it is closed
        return hdf5_process().ask(self._key, what, *arguments)

    def node(self, address: Address) -> RemoteGroup | RemoteArray | None:
        """Return the node at an address; it is asked for once."""
        if address not in self._described:
            self._described |= self.ask("describe", address)
        found = self._described[address]
        if isinstance(found, ScformatError):
            raise found
        if found is None:
            return None
        return RemoteArray(self, address, found) if found.names is None else RemoteGroup(self, address, found)

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self.descriptor.close()
        self._release()


def _release(key: FileKey) -> None:
    hdf5_process().release(key)


class _RemoteNode:
    """What groups and arrays share."""

    def __init__(self, file: RemoteFile, address: Address, described: Described) -> None:
        self._file, self._address, self._described = file, address, described
        self.where = described.where

    def attribute(self, name: str) -> Any:
        """Return an attribute, None if it is not there."""
        value = self._described.attributes.get(name)
        if isinstance(value, ScformatError):
            raise value
        return value

    def attribute_names(self) -> list[str]:
        """Names of its attributes."""
        return list(self._described.attributes)


class RemoteGroup(_RemoteNode, GroupNode):
    """A group."""

    def names(self) -> list[str]:
        """Names of its members, sorted."""
        names = self._described.names
        if isinstance(names, ScformatError):
            raise names
        return list(names or ())

    def get(self, name: str) -> GroupNode | ArrayNode | None:
        """Return a member, None if it is not there or a link to nothing."""
        return self._file.node((*self._address, ("member", name)))


class RemoteArray(_RemoteNode, ArrayNode):
    """A dataset."""

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Its shape; None where it has an empty dataspace."""
        return self._described.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        assert self._described.dtype is not None
        return self._described.dtype

    def values(self) -> NDArray[Any]:
        """Read all of it."""
        values: NDArray[Any] = self._file.ask("values", self._address)
        return values

    def rows(self) -> Hdf5Rows:
        """Open it for reading by rows."""
        return Hdf5Rows(
            self._file.ask("stored", self._address), descriptor=self._file.descriptor, library=self, where=self.where
        )

    def chunks(self) -> Chunks:
        """Return where its chunks lie."""
        found: Chunks = self._file.ask("chunks", self._address)
        return found

    def read(self, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a range of it through the library."""
        found: NDArray[Any] = self._file.ask("part", self._address, key)
        return found

    def referred(self, name: str) -> ArrayNode | None:
        """Follow an attribute that holds an object reference."""
        found = self._file.node((*self._address, ("reference", name)))
        return found if isinstance(found, RemoteArray) else None

"""A hierarchy of groups and arrays with attributes: what HDF5 and Zarr have in common.

AnnData writes the same tree into both; everything above this module reads that tree and does not know which.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from scformat.errors import InvalidDataError
from scformat.sources.text import plain_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Rows(Protocol):
    """Reader of consecutive rows of a 1-D or 2-D array; may be called from several threads."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of what is read, in native byte order."""

    @property
    def row_step(self) -> int:
        """Rows that are stored, and decoded, together."""

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Read rows ``start..stop-1``, shape (stop - start, *shape[1:])."""


class Node(ABC):
    """A group or an array.

    Attributes
    ----------
    where
        ``FILE:PATH`` of the node, for messages.
    """

    where: str

    @abstractmethod
    def attribute(self, name: str) -> Any:
        """Return an attribute as stored, None if it is not there."""

    @abstractmethod
    def attribute_names(self) -> list[str]:
        """Names of its attributes."""

    def text_attribute(self, name: str) -> str | None:
        """Return an attribute that holds one string, None if it is not there or no string."""
        return plain_text(self.attribute(name))

    @property
    def encoding(self) -> str:
        """AnnData's name for what the node holds; empty where it has none."""
        return self.text_attribute("encoding-type") or ""


class ArrayNode(Node):
    """An array."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...] | None:
        """Its shape; None for an empty HDF5 dataspace, which holds nothing at all."""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype[Any]:
        """Its numpy dtype; strings of variable length are objects or numpy's StringDType."""

    @abstractmethod
    def values(self) -> NDArray[Any]:
        """Read all of it, in native byte order."""

    @abstractmethod
    def rows(self) -> Rows:
        """Open it for reading by rows."""

    @abstractmethod
    def referred(self, name: str) -> ArrayNode | None:
        """Return the array that attribute `name` refers to (an HDF5 object reference, a path in Zarr)."""


class GroupNode(Node):
    """A group."""

    @abstractmethod
    def names(self) -> list[str]:
        """Names of its members, sorted."""

    @abstractmethod
    def get(self, name: str) -> GroupNode | ArrayNode | None:
        """Return a member, None if it is not there."""

    def group(self, name: str) -> GroupNode:
        """Return the group `name`; InvalidDataError if there is none."""
        node = self.get(name)
        if not isinstance(node, GroupNode):
            raise self._missing(name, "a group", node)
        return node

    def array(self, name: str) -> ArrayNode:
        """Return the array `name`; InvalidDataError if there is none."""
        node = self.get(name)
        if not isinstance(node, ArrayNode):
            raise self._missing(name, "an array", node)
        return node

    def _missing(self, name: str, what: str, node: Node | None) -> InvalidDataError:
        found = "nothing" if node is None else "an array" if isinstance(node, ArrayNode) else "a group"
        return InvalidDataError("missing-node", f"no {name!r}", where=self.where, expected=what, found=found)

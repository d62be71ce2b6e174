"""What goes to and fro between a process and the one that it reads HDF5 files with, and how."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import socket

    from scformat.errors import ScformatError

Step = tuple[Literal["member", "reference"], str]
Address = tuple[Step, ...]
"""How to get from the root to a node: members of groups, and attributes that refer to a dataset."""
State = tuple[int, int, int, int]
NO_MEMORY = 12
"""Status of the process where its memory is not enough even to say so."""


@dataclass(frozen=True)
class FileKey:
    """A file as it was when it was opened first.

    Attributes
    ----------
    path
        Where it lies, absolute.
    shown
        How messages call it.
    state
        See :func:`state_of`.
    """

    path: str
    shown: str
    state: State

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.state[2]


def state_of(descriptor: int) -> State:
    """Device, inode, size and time of change of an open file: what was replaced or edited has others."""
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, kw_only=True)
class Described:
    """All there is to say of a node but what an array holds.

    Attributes
    ----------
    where
        ``FILE:PATH``.
    attributes
        By name; an error in place of one that cannot be read, a :class:`Reference` in place of a reference.
    names
        Of the members of a group; an error where they cannot be read, None for an array.
    shape, dtype
        Of an array.
    """

    where: str
    attributes: dict[str, Any]
    names: list[str] | ScformatError | None = None
    shape: tuple[int, ...] | None = None
    dtype: np.dtype[Any] | None = None


class Reference:
    """Stands for an attribute that refers to another node."""


Descriptions: TypeAlias = "dict[Address, Described | ScformatError | None]"
"""Nodes by address; an error in place of one that cannot be read, None where there is none."""


_HEAD = struct.Struct("<QQ")


def pack(value: Any) -> list[bytes | memoryview]:
    """Make a message of a value; arrays in it are as they lie in memory."""
    arrays: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=arrays.append)
    raw = [array.raw() for array in arrays]
    sizes = struct.pack(f"<{len(raw)}Q", *(array.nbytes for array in raw))
    return [_HEAD.pack(len(data), len(raw)) + sizes + data, *raw]


def send(connection: socket.socket, message: list[bytes | memoryview]) -> None:
    """Send what :func:`pack` made."""
    for piece in message:
        connection.sendall(piece)


def receive(connection: socket.socket) -> Any:
    """Return what was sent; EOFError where the other side has ended."""
    size, n_arrays = _HEAD.unpack(_filled(connection, _HEAD.size))
    sizes = struct.unpack(f"<{n_arrays}Q", _filled(connection, 8 * n_arrays))
    data = _filled(connection, size)
    return pickle.loads(data, buffers=[_filled(connection, n) for n in sizes])


def _filled(connection: socket.socket, size: int) -> memoryview:
    made = np.empty(size, np.uint8).data
    left = made
    while left:
        n = connection.recv_into(left)
        if n == 0:
            raise EOFError
        left = left[n:]
    return made

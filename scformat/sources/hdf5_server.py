"""What runs in the process of the HDF5 library: it answers one question after another, within limits.

A question is a file, what is wanted, and an address: the steps that lead from the root to a node.
"""

from __future__ import annotations

import importlib
import math
import os
import resource
import select
import signal
import socket
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from scformat.errors import InvalidDataError, ScformatError, StorageError
from scformat.sources.hdf5_messages import NO_MEMORY, Described, Reference, pack, receive, send, state_of
from scformat.sources.hdf5_stored import OpenDataset, how_stored
from scformat.sources.hdf5_tree import Hdf5Array, Hdf5File, Hdf5Group, reading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.sources.hdf5 import Chunks, Stored
    from scformat.sources.hdf5_messages import Address, Descriptions, FileKey

IDLE = 60.0
"""Seconds without a question after which the process ends; the next one starts another."""
BYTES_A_CPU_SECOND = 10_000_000
"""Slower than anything that is read: what takes more processor time does not come to an end at all."""
NODES = 500
"""Nodes, at most, that are described at once."""
MEMORY = 1 << 30
MEMORY_A_BYTE = 16
"""Memory that a question may take, and for each byte of the file."""


class _Open:
    """A file that is open, and its nodes by address."""

    def __init__(self, key: FileKey) -> None:
        self.file = Hdf5File(key.path, shown=key.shown)
        if state_of(self.file.descriptor.fileno()) != key.state:
            self.file.close()
            raise StorageError("source-changed", "the source changed while it was read", where=key.shown)
        self.nodes: dict[Address, Hdf5Group | Hdf5Array | None] = {(): self.file.root}

    def node(self, address: Address) -> Hdf5Group | Hdf5Array | None:
        if address not in self.nodes:
            (kind, name), before = address[-1], self.node(address[:-1])
            found: Any = None
            if kind == "member" and isinstance(before, Hdf5Group):
                found = before.get(name)
            elif kind == "reference" and before is not None:
                found = before.referred(name) if isinstance(before, Hdf5Array) else None
            self.nodes[address] = found
        return self.nodes[address]

    def array(self, address: Address) -> Hdf5Array:
        node = self.node(address)
        if not isinstance(node, Hdf5Array):
            raise InvalidDataError("missing-node", "an array is not there any more", where=self.file.path)
        return node


class _Files:
    """The files that are open.

    Attributes
    ----------
    sound
        No damaged file was closed. The library may hold on to one, and take what lies there later for it.
    """

    def __init__(self) -> None:
        self.sound = True
        self._opened: dict[FileKey, _Open] = {}
        self._damaged: set[FileKey] = set()

    def open(self, key: FileKey) -> _Open:
        """Return a file, opened now if it is not yet."""
        if key not in self._opened:
            self._opened[key] = _Open(key)
        return self._opened[key]

    def damaged(self, key: FileKey) -> None:
        """Note that something of a file cannot be read; one that cannot be opened is closed already."""
        self._damaged.add(key)
        self.sound = self.sound and key in self._opened

    def close(self, key: FileKey) -> None:
        """Close a file if it is open."""
        self.sound = self.sound and key not in self._damaged
        if key in self._opened:
            self._opened.pop(key).file.close()


def describe(opened: _Open, address: Address) -> Descriptions:
    """Describe a node and what lies below it, the nearest first, so that for most files one question is enough."""
    found: Descriptions = {}
    waiting = deque([address])
    while waiting and len(found) < NODES:
        at = waiting.popleft()
        node = found[at] = _describe(opened, at)
        if isinstance(node, Described) and isinstance(node.names, list):
            waiting.extend((*at, ("member", name)) for name in node.names[:NODES])
    return found


def _is_faulty(node: Described | ScformatError | None) -> bool:
    parts = (node.names, *node.attributes.values()) if isinstance(node, Described) else (node,)
    return any(isinstance(part, ScformatError) for part in parts)


def _describe(opened: _Open, address: Address) -> Described | ScformatError | None:
    try:
        node = opened.node(address)
        return None if node is None else _described(node)
    except ScformatError as error:
        return error


def _described(node: Hdf5Group | Hdf5Array) -> Described:
    attributes: dict[str, Any] = {}
    for name in node.attribute_names():
        try:
            attributes[name] = _sendable(node.attribute(name), node.where)
        except ScformatError as error:
            attributes[name] = error
    if isinstance(node, Hdf5Array):
        return Described(where=node.where, attributes=attributes, shape=node.shape, dtype=_plain(node.dtype))
    names: list[str] | ScformatError
    try:
        names = node.names()
    except ScformatError as error:
        names = error
    return Described(where=node.where, attributes=attributes, names=names)


def values(opened: _Open, address: Address) -> NDArray[Any]:
    """Read all of an array."""
    return opened.array(address).values()


def stored(opened: _Open, address: Address) -> Stored:
    """Say how an array is stored."""
    node = opened.array(address)
    with reading(node.where):
        return how_stored(node.dataset, node.where)


def chunks(opened: _Open, address: Address) -> Chunks:
    """Say where the chunks of an array lie."""
    node = opened.array(address)
    return OpenDataset(node.dataset, node.where).chunks()


def part(opened: _Open, address: Address, key: tuple[slice, ...]) -> NDArray[Any]:
    """Read a range of an array."""
    node = opened.array(address)
    return OpenDataset(node.dataset, node.where).read(key)


ANSWERS = {answer.__name__: answer for answer in (describe, values, stored, chunks, part)}


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a type without what h5py knows of it."""
    if dtype.names is not None:
        return np.dtype([(name, _plain(dtype[name])) for name in dtype.names])
    return np.dtype(dtype.str) if dtype.subdtype is None else np.dtype((_plain(dtype.base), dtype.shape))


def _sendable(value: Any, where: str) -> Any:
    """Return an attribute as the other process can have it, which does without h5py."""
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, h5py.Reference):
        return Reference()
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        if not all(isinstance(item, str | bytes) for item in value.reshape(-1).tolist()):
            raise InvalidDataError("unreadable-file", "an attribute of a type that cannot be read", where=where)
        return value.astype(object)
    return value


def limit(file_size: int, cpu_seconds: float) -> None:
    """Set what the next question may take, beside what a file of this size adds."""
    if Path("/proc/self/statm").exists():
        held = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, held + MEMORY + MEMORY_A_BYTE * file_size)
    spent = resource.getrusage(resource.RUSAGE_SELF)
    seconds = spent.ru_utime + spent.ru_stime + cpu_seconds + file_size / BYTES_A_CPU_SECOND
    _lower(resource.RLIMIT_CPU, math.ceil(seconds))


def _lower(what: int, to: int) -> None:
    _, hard = resource.getrlimit(what)
    resource.setrlimit(what, (to if hard == resource.RLIM_INFINITY else min(to, hard), hard))


def serve(descriptor: str, cpu_seconds: str, *modules: str) -> None:
    """Answer until nobody asks any more.

    Parameters
    ----------
    descriptor
        Of the connection.
    cpu_seconds
        Processor time that a question may take, whatever the file.
    modules
        To import, as they bring filters.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    for name in modules:
        with suppress(ImportError):
            importlib.import_module(name)
    files = _Files()
    with socket.socket(fileno=int(descriptor)) as connection, suppress(EOFError, ConnectionError):
        send(connection, pack(None))
        while files.sound and select.select([connection], [], [], IDLE)[0]:
            key, what, arguments = receive(connection)
            limit(key.size, float(cpu_seconds))
            send(connection, _answer(files, key, what, arguments))


def _answer(files: _Files, key: FileKey, what: str, arguments: tuple[Any, ...]) -> list[bytes | memoryview]:
    """Answer a question; an error where that fails, whatever it is, for a file led to it."""
    found: Any = None
    try:
        if what == "close":
            files.close(key)
        else:
            found = ANSWERS[what](files.open(key), *arguments)
            if what == "describe" and any(map(_is_faulty, found.values())):
                files.damaged(key)
        return pack(found)
    except ScformatError as error:
        files.damaged(key)
        return pack(error)
    except MemoryError:
        os._exit(NO_MEMORY)
    except Exception as error:
        files.damaged(key)
        text = f"HDF5 cannot read it ({type(error).__name__}: {error})"
        return pack(InvalidDataError("unreadable-file", text, where=key.shown))

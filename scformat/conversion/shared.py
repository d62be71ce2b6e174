"""What the tasks of a batch share, as a file that other processes map: those of one machine hold its arrays once."""

from __future__ import annotations

import json
import mmap
import pickle
import socket
from typing import TYPE_CHECKING, Any

import numcodecs

from scformat.blobs import system_errors
from scformat.errors import StorageError
from scformat.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

_ALIGNED = 64
"""Each piece begins at a multiple of so many bytes."""


def save(path: Path, value: Any) -> None:
    """Write a value to a file that does not exist yet; :func:`load` gives it to another process."""
    buffers: list[pickle.PickleBuffer] = []
    pickled = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    pieces = [memoryview(pickled), *(buffer.raw() for buffer in buffers)]
    head = json.dumps({"versions": _versions(), "sizes": [piece.nbytes for piece in pieces]}).encode() + b"\n"
    with system_errors(path), path.open("xb") as file:
        file.write(head)
        for piece in pieces:
            file.seek(_aligned(file.tell()))
            file.write(piece)


def load(path: Path) -> Any:
    """Return what lies in a file; its arrays are mapped, and private where they are written to.

    Raises
    ------
    StorageError
        ``not-shared``: this process does not see it; ``other-worker``: another release wrote it.
    """
    here = f"worker on {socket.gethostname()}"
    with system_errors(path):
        try:
            with path.open("rb") as file:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        except FileNotFoundError:
            raise StorageError(
                "not-shared", "a worker of the cluster does not see the place of the conversion",
                where=here, expected=f"the directory {path.parent}",
                hint="write to a file system that all workers share, mounted at the same path",
            ) from None  # fmt: skip
    head = json.loads(mapped.readline())
    if head["versions"] != _versions():
        raise StorageError(
            "other-worker", "a worker of the cluster has other versions", where=here,
            expected=_listed(head["versions"]), found=_listed(_versions()), hint="install the same on every worker",
        )  # fmt: skip
    at, pieces, view = mapped.tell(), [], memoryview(mapped)
    for size in head["sizes"]:
        at = _aligned(at)
        pieces.append(view[at : at + size])
        at += size
    return pickle.loads(pieces[0], buffers=pieces[1:])


def _aligned(position: int) -> int:
    return -(-position // _ALIGNED) * _ALIGNED


def _versions() -> dict[str, str]:
    """Versions of what tasks are, and of what the bytes they write come from."""
    return {"scformat": __version__, "numcodecs": numcodecs.__version__}


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())

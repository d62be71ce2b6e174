"""Between numpy blocks and the bytes of a file, exactly as TensorStore would write and read them.

Shards are encoded and decoded here rather than by TensorStore's array layer because it takes half the processor
time, the bytes are at hand for their digest, and forked processes can read; a test holds both to the same bytes.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import blosc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.layout import ArraySpec

ABSENT = 2**64 - 1
"""Offset and length of a chunk that a shard does not hold."""

_CRC = 4
_BLOSC_HEAD = 16
_MOST_OFFSET = 1 << 62
"""No file reaches as far, and sums of two such numbers fit 64 bits."""
MOST_PACKED = 256
"""Bytes that one byte of a packed chunk can stand for, rounded up: a chunk that claims more of them lies."""
MOST_INDEX = 1 << 24
"""Bytes of the largest index that is read: a million chunks in one file."""
MOST_CHUNK = 1 << 28
"""Bytes of the largest chunk that is read. Those of this package have at most 2^23: the neighbours of 1,024 cells."""


class DamagedError(Exception):
    """Bytes that are not what was written; the text says why, `place` which of several chunks it is."""

    def __init__(self, why: str, *, place: int = 0) -> None:
        super().__init__(why)
        self.place = place


def encode_shard(spec: ArraySpec, block: NDArray[Any]) -> bytes:
    """Encode one file of an array.

    Parameters
    ----------
    spec
        The array.
    block : array of the array's type
        The part of it that the file covers, from the file's first element on; chunks that lie wholly beyond
        it are left out of the file, and a chunk that it fills in part is filled up with the fill value.

    Returns
    -------
    bytes
        Chunks in C order of their grid, each followed by its CRC-32C; then the index, and its CRC-32C.
    """
    counts = [s // c for s, c in zip(spec.shard, spec.chunk, strict=True)]
    held = [math.ceil(n / c) for n, c in zip(block.shape, spec.chunk, strict=True)]
    index = np.full((*counts, 2), ABSENT, np.uint64)
    pieces: list[bytes] = []
    at = 0
    for place in np.ndindex(*held):
        region = tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, spec.chunk, strict=True))
        piece = encode_chunk(_filled(block[region], spec))
        index[place] = (at, len(piece))
        at += len(piece)
        pieces.append(piece)
    pieces.append(with_crc(index.tobytes()))
    return b"".join(pieces)


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Compress one whole chunk and append its CRC-32C."""
    blosc.use_threads = False  # its own pool neither helps with chunks this small nor survives a fork
    return with_crc(blosc.compress(np.ascontiguousarray(values), b"lz4", 5, blosc.BITSHUFFLE, 0))


def decode_chunk(data: bytes, out: NDArray[Any]) -> None:
    """Check and decompress one chunk into `out`, contiguous and of the chunk's shape and type.

    Raises
    ------
    DamagedError
        The checksum differs, or the content has another size.
    """
    body = without_crc(data)
    sizes = tuple(int.from_bytes(body[at : at + 4], "little") for at in (4, 12))
    # The header's own sizes come before any decompression: a lie must not make blosc write or read past an end.
    if len(body) < _BLOSC_HEAD or sizes != (out.nbytes, len(body)):
        raise DamagedError("a chunk of another size")
    blosc.use_threads = False
    try:
        blosc.decompress(body, out)
    except (RuntimeError, ValueError) as error:
        raise DamagedError(str(error)) from None


def index_size(spec: ArraySpec) -> int:
    """Bytes of a shard's index with its checksum."""
    return 16 * math.prod(s // c for s, c in zip(spec.shard, spec.chunk, strict=True)) + _CRC


def decode_index(data: bytes, spec: ArraySpec) -> NDArray[np.uint64]:
    """Check and decode a shard's index, the last :func:`index_size` bytes of its file.

    Returns
    -------
    uint64 array, shape (chunks along each axis..., 2)
        Offset and length of each chunk; both :data:`ABSENT` where the shard does not hold it.

    Raises
    ------
    DamagedError
        The file is too short, the checksum differs, or chunks lie where they cannot.
    """
    if len(data) != index_size(spec):
        raise DamagedError("a file shorter than its index")
    counts = [s // c for s, c in zip(spec.shard, spec.chunk, strict=True)]
    index = np.frombuffer(without_crc(data), "<u8")
    _check_places(index.reshape(-1, 2), spec.chunk_bytes)
    return index.reshape(*counts, 2)


def _check_places(places: NDArray[np.uint64], chunk_bytes: int) -> None:
    """Refuse chunks that overlap, or that cannot have the size that they say: what is allocated follows from it."""
    held = np.flatnonzero((places != ABSENT).any(axis=1))
    offsets, lengths = places[held].T
    packed = np.uint64(-(-chunk_bytes // MOST_PACKED))
    for what, bad in (
        ("an offset of", offsets >= _MOST_OFFSET),
        ("a length of", (lengths > min(2 * chunk_bytes + 64, _MOST_OFFSET)) | (lengths < packed)),
    ):
        if bad.any():
            values = offsets if what == "an offset of" else lengths
            raise DamagedError(f"chunk {held[bad][0]}: {what} {values[bad][0]}")
    order = np.argsort(offsets, kind="stable")
    overlap = np.flatnonzero(offsets[order][1:] < (offsets + lengths)[order][:-1])
    if len(overlap):
        raise DamagedError(f"chunk {held[order][overlap[0] + 1]}: it overlaps another one")


def with_crc(data: bytes) -> bytes:
    """Append the CRC-32C of `data`, little-endian."""
    return data + int(google_crc32c.value(data)).to_bytes(_CRC, "little")


def without_crc(data: bytes) -> bytes:
    """Check the CRC-32C at the end of `data` and return what stands before it."""
    body = data[:-_CRC]
    if len(data) < _CRC or int(google_crc32c.value(body)) != int.from_bytes(data[-_CRC:], "little"):
        raise DamagedError("a wrong checksum")
    return body


def encode_json(document: Any) -> bytes:
    """Serialise metadata: two spaces of indent, members in the order given, one newline at the end."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _filled(values: NDArray[Any], spec: ArraySpec) -> NDArray[Any]:
    if values.shape == spec.chunk:
        return values
    whole = np.full(spec.chunk, spec.fill, spec.dtype)
    whole[tuple(slice(0, n) for n in values.shape)] = values
    return whole

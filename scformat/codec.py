"""From numpy blocks to the bytes of a file, exactly as TensorStore would write them.

Shards are encoded here rather than by TensorStore's array layer because it takes half the processor time and
the bytes are at hand for their digest; a test holds both to the same bytes.
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
    return with_crc(blosc.compress(np.ascontiguousarray(values), b"lz4", 5, blosc.BITSHUFFLE, 0))


def with_crc(data: bytes) -> bytes:
    """Append the CRC-32C of `data`, little-endian."""
    return data + int(google_crc32c.value(data)).to_bytes(4, "little")


def encode_json(document: Any) -> bytes:
    """Serialise metadata: two spaces of indent, members in the order given, one newline at the end."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _filled(values: NDArray[Any], spec: ArraySpec) -> NDArray[Any]:
    if values.shape == spec.chunk:
        return values
    whole = np.full(spec.chunk, spec.fill, spec.dtype)
    whole[tuple(slice(0, n) for n in values.shape)] = values
    return whole

"""What arrays look like on disk: types, fill values, chunk grids, Zarr metadata. Pure functions, no I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

ENTRY_CHUNK = 2_048
"""Entries a chunk: small enough for a random cell, large enough to compress; see the rationale of the specification."""
ENTRY_SHARD = 4 << 20
"""Entries a shard, the unit of work of a conversion and one file."""
RECORD_CHUNK = 1_024
CELL_CHUNK = 4_096
CELL_SHARD = 1 << 20
NEIGHBOUR_SHARD = 1 << 24
"""Elements of a file of neighbours, at most."""
TABLE_CHUNK = 1 << 16
BYTES_CHUNK = 1 << 16
BYTES_SHARD = 1 << 24

ENTRY_FILL = 65_535
CODE_FILL = -2
FLAG_FILL = 255
BYTE_FILL = 255
WEIGHT_FILL = -((2.0**24 - 1) * 2.0**104)
"""The lowest finite float32: no weight of a neighbour."""
MISSING = -1
"""Code of a missing label."""
RECOMPUTE = -3
"""Stands in a structural field for a number that its type cannot hold; readers recompute it."""

MAX_DELTA = 65_535
MAX_COUNT = 2**53 - 1

RECORD_FIELDS = ("row_end", "source", "source_row", "total_counts", "n_genes")
"""Fields that every cell's record begins with, in this order."""
MAX_RECORD_LABELS = 8
"""Labels packed into the record; further ones lie in arrays of their own, so that one read stays small."""


@dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Everything that determines an array's ``zarr.json`` and the names of its files.

    Attributes
    ----------
    path
        Relative to the store's root, without a leading slash.
    dtype
        numpy and Zarr name of the element type.
    shape, chunk
        Extent of the array, and of the unit that is compressed and read.
    shard
        Extent of one file: whole chunks, each compressed alone, and their index.
    fill
        A value that no valid element has, so that a lost chunk is noticed.
    """

    path: str
    dtype: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    fill: int | float

    @property
    def chunk_bytes(self) -> int:
        """Plain size of a chunk."""
        return math.prod(self.chunk) * np.dtype(self.dtype).itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of files along each axis."""
        return tuple(math.ceil(n / s) for n, s in zip(self.shape, self.shard, strict=True))

    def files(self) -> Iterator[tuple[tuple[int, ...], str]]:
        """Yield the grid index and the file name (relative to the root) of every file, in C order."""
        for index in np.ndindex(*self.grid):
            yield index, self.key(index)

    def key(self, index: tuple[int, ...]) -> str:
        """Name of the file at a grid index."""
        return "/".join([self.path, "c", *map(str, index)])

    def slices(self, index: tuple[int, ...]) -> tuple[slice, ...]:
        """Region of the array that the file at a grid index covers, cut to the array's shape."""
        return tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, self.shard, self.shape, strict=True))


def table(path: str, values: NDArray[Any], *, fill: float = CODE_FILL) -> ArraySpec:
    """Describe a small array in one file, chunked along its last axis: one row of a matrix is one read."""
    chunk = (*([1] * (values.ndim - 1)), max(1, min(TABLE_CHUNK, values.shape[-1])))
    shard = tuple(max(1, math.ceil(n / c)) * c for n, c in zip(values.shape, chunk, strict=True))
    return ArraySpec(path=path, dtype=values.dtype.name, shape=values.shape, chunk=chunk, shard=shard, fill=fill)


def per_cell(path: str, dtype: str, n_cells: int, *, fill: float = CODE_FILL) -> ArraySpec:
    """Describe an array of one value a cell."""
    return ArraySpec(path=path, dtype=dtype, shape=(n_cells,), chunk=(CELL_CHUNK,), shard=(CELL_SHARD,), fill=fill)


def records(path: str, n_fields: int, n_cells: int) -> ArraySpec:
    """Describe the record array: int32, `n_fields` values a cell in one chunk."""
    return ArraySpec(
        path=path,
        dtype="int32",
        shape=(n_fields, n_cells),
        chunk=(n_fields, RECORD_CHUNK),
        shard=(n_fields, CELL_SHARD),
        fill=CODE_FILL,
    )


def neighbours(path: str, dtype: str, k: int, n_cells: int, *, fill: float = CODE_FILL) -> ArraySpec:
    """Describe `k` values a cell in one chunk: the rows of its neighbours, or their weights."""
    shard = min(CELL_SHARD, max(1, NEIGHBOUR_SHARD // k // RECORD_CHUNK) * RECORD_CHUNK)
    return ArraySpec(path=path, dtype=dtype, shape=(k, n_cells), chunk=(k, RECORD_CHUNK), shard=(k, shard), fill=fill)


def entries(path: str, n_shards: int) -> ArraySpec:
    """Describe the counts: uint16, row 0 gene deltas and row 1 counts."""
    return ArraySpec(
        path=path,
        dtype="uint16",
        shape=(2, n_shards * ENTRY_SHARD),
        chunk=(2, ENTRY_CHUNK),
        shard=(2, ENTRY_SHARD),
        fill=ENTRY_FILL,
    )


def flat_bytes(path: str, n_bytes: int) -> ArraySpec:
    """Describe the UTF-8 bytes of strings."""
    return ArraySpec(
        path=path, dtype="uint8", shape=(n_bytes,), chunk=(BYTES_CHUNK,), shard=(BYTES_SHARD,), fill=BYTE_FILL
    )


def array_metadata(spec: ArraySpec) -> dict[str, Any]:
    """Return the ``zarr.json`` of an array as a JSON object."""
    sharding = {
        "chunk_shape": list(spec.chunk),
        "codecs": _chunk_codecs(spec.dtype),
        "index_codecs": [_BYTES, _CRC32C],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(spec.shape),
        "data_type": spec.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(spec.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": spec.fill,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }


def groups_above(arrays: Iterable[str]) -> set[str]:
    """Return the path of every group that some arrays lie in, the root apart."""
    return {path[:i] for path in arrays for i, letter in enumerate(path) if letter == "/"}


def group_metadata() -> dict[str, Any]:
    """Return the ``zarr.json`` of a group below the root."""
    return {"zarr_format": 3, "node_type": "group", "attributes": {}}


_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC32C = {"name": "crc32c"}


def _chunk_codecs(dtype: str) -> list[dict[str, Any]]:
    size = np.dtype(dtype).itemsize
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": size, "blocksize": 0}
    serial = _BYTES if size > 1 else {"name": "bytes"}
    return [serial, {"name": "blosc", "configuration": blosc}, _CRC32C]


def absent_value(values: NDArray[Any]) -> int | float:
    """Smallest value of an array's type that the array does not hold: its fill value.

    For floats the most negative finite number, then the next ones above it.
    """
    if values.dtype.kind == "f":
        candidate = np.finfo(values.dtype).min
        while (values == candidate).any():
            candidate = np.nextafter(candidate, values.dtype.type(0))
        return float(candidate)
    lowest = int(np.iinfo(values.dtype).min)
    # Every 64-bit candidate is a multiple of 4,096, so that JSON readers with 53-bit numbers keep it exactly.
    step = 4096 if values.dtype.itemsize == 8 else 1
    candidate = lowest
    held = set(np.unique(values[values <= lowest + step * len(values)]).tolist())
    while candidate in held:
        candidate += step
    return candidate


def cut_shards(lengths: NDArray[np.integer[Any]], *, capacity: int = ENTRY_SHARD) -> NDArray[np.int64]:
    """Cut consecutive rows into shards of at most `capacity` entries; a row that does not fit starts the next.

    Parameters
    ----------
    lengths : integer array, shape (n_rows,)
        Entries that each row may need, none above `capacity`.

    Returns
    -------
    int64 array, shape (n_shards + 1,)
        First row of each shard, then the number of rows.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    bounds = [0]
    while bounds[-1] < len(lengths):
        start = bounds[-1]
        before = int(ends[start - 1]) if start else 0
        bounds.append(max(int(np.searchsorted(ends, before + capacity, side="right")), start + 1))
    return np.array(bounds, np.int64)

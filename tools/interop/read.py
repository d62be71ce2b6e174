"""Reads every array of a cell store with TensorStore, zarr-python or zarrs: the twin of read.mjs, see README.md.

    python read.py (tensorstore | zarr | zarrs) STORE

It uses nothing of scformat, so that the tests compare readers that know Zarr and the manifest only.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    Region = tuple[slice, ...]


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An array as a library sees it.

    Attributes
    ----------
    dtype
        Zarr's name of the element type.
    shape, chunk
        Extent of the array, and of what is compressed and read.
    fill
        The fill value, in the type of the array.
    read
        Returns a region.
    """

    dtype: str
    shape: list[int]
    chunk: list[int]
    fill: NDArray[Any]
    read: Callable[[Region], NDArray[Any]]


def open_tensorstore(store: Path, path: str) -> Opened:
    """Open an array with TensorStore."""
    import tensorstore as ts

    kvstore = {"driver": "file", "path": f"{store.absolute() / path}/"}
    array: Any = ts.open({"driver": "zarr3", "kvstore": kvstore}, open=True, read=True).result()
    return Opened(
        dtype=array.dtype.name,
        shape=list(array.shape),
        chunk=list(array.chunk_layout.read_chunk.shape),
        fill=np.asarray(array.fill_value),
        read=lambda region: np.asarray(array[region].read().result()),
    )


def open_zarr(store: Path, path: str) -> Opened:
    """Open an array with zarr-python."""
    return _of_zarr(_open_array(store, path))


def open_zarrs(store: Path, path: str) -> Opened:
    """Open an array with zarrs: zarr-python, whose chunks are read and decoded in Rust and by nothing else.

    Raises
    ------
    RuntimeError
        Chunks of the array would be decoded in Python.
    """
    import zarr
    from zarrs import ZarrsCodecPipeline

    # Strict: what the Rust library does not support is an error. The default is to decode it in Python, with a warning.
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "codec_pipeline.strict": True}):
        array = _open_array(store, path)
    pipeline = array.async_array.codec_pipeline
    if not isinstance(pipeline, ZarrsCodecPipeline) or pipeline.impl is None or pipeline.python_impl is not None:
        raise RuntimeError(f"read by {type(pipeline).__name__}, not by zarrs alone")
    return _of_zarr(array)


def _open_array(store: Path, path: str) -> Any:
    import zarr
    from zarr.storage import LocalStore

    return zarr.open_array(LocalStore(store, read_only=True), path=path, mode="r", zarr_format=3)


def _of_zarr(array: Any) -> Opened:
    return Opened(
        dtype=array.dtype.name,
        shape=list(array.shape),
        chunk=list(array.chunks),
        fill=np.asarray(array.fill_value, array.dtype),
        read=lambda region: np.asarray(array[region]),
    )


LIBRARIES = {"tensorstore": open_tensorstore, "zarr": open_zarr, "zarrs": open_zarrs}


def arrays_of(value: object) -> Iterator[dict[str, Any]]:
    """Yield the arrays that a manifest names, wherever in it they stand."""
    if isinstance(value, dict):
        if "sha256" in value and "chunk" in value:
            yield value
        else:
            for member in value.values():
                yield from arrays_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from arrays_of(member)


def regions_of(shape: Sequence[int], shard: Sequence[int]) -> Iterator[Region]:
    """Yield the regions of an array that its files cover, cut to its shape, in C order."""
    axes = [[slice(i, min(i + s, n)) for i in range(0, n, s)] for n, s in zip(shape, shard, strict=True)]
    yield from itertools.product(*axes)


def little_endian(values: NDArray[Any]) -> bytes:
    """Bytes of an array in C order."""
    return values.astype(values.dtype.newbyteorder("<"), order="C", copy=False).tobytes()


def read_array(opened: Opened, shard: Sequence[int]) -> dict[str, Any]:
    """Read an array file by file; return what read.mjs prints of it."""
    digest = hashlib.sha256()
    for region in regions_of(opened.shape, shard):
        digest.update(little_endian(opened.read(region)))
    return {
        "dtype": opened.dtype,
        "shape": opened.shape,
        "chunk": opened.chunk,
        "fill": little_endian(opened.fill).hex(),
        "sha256": digest.hexdigest(),
    }


def read_store(library: str, store: Path) -> Iterator[dict[str, Any]]:
    """Yield what a library reads of each array of a store, in the order of the manifest."""
    document = json.loads((store / "zarr.json").read_text(encoding="utf-8"))
    for array in arrays_of(document["attributes"]["scformat"]):
        try:
            found = read_array(LIBRARIES[library](store, array["path"]), array["shard"])
        except (ValueError, OSError, RuntimeError) as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        yield {"path": array["path"], **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one JSON line an array."""
    parser = argparse.ArgumentParser(description="Read every array of a cell store.")
    parser.add_argument("library", choices=sorted(LIBRARIES))
    parser.add_argument("store", type=Path)
    given = parser.parse_args(arguments)
    for reading in read_store(given.library, given.store):
        print(json.dumps(reading, separators=(",", ":"), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())

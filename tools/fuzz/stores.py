"""Surfaces that are whole stores: a hostile root over good arrays, hostile arrays with right checksums."""

from __future__ import annotations

import json
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.codec import encode_shard
from scformat.errors import ScformatError
from scformat.loading.batches import Assembly, make_batch
from scformat.loading.neighbours import choose_neighbours, make_cells
from scformat.loading.transforms import Log1p, NormalizeTotal, recipe
from scformat.loading.window import read_window
from scformat.manifest import Array, Manifest
from scformat.storage import array_spec
from scformat.store import Store
from scformat.store.opening import open_root
from tools.fuzz.base import small_store
from tools.fuzz.mutation import mutate_json, mutate_values
from tools.fuzz.parsers import sealed, short_root
from tools.fuzz.surface import Surface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

    from numpy.typing import NDArray
    from pydantic import BaseModel

    from tools.fuzz.parsers import Prepared

ROWS = np.array([5, 40, 3, 3, 0, 23, 24, 47])
"""Cells that are read: of both parts, in no order, one twice."""


def readings(store: Store) -> Iterator[Callable[[], Any]]:
    """Everything that reads a store, one after another."""
    rows = ROWS[store.n_cells > ROWS]
    yield lambda: store.read(rows).csr(np.int64)
    yield lambda: store.read(rows).measured()
    yield lambda: _batch(store, rows)
    yield lambda: _surrounded(store, rows)
    yield lambda: (store.genes, store.sources)
    yield lambda: [store.sources_view.statistics(k) for k in range(2)]
    yield lambda: [store.sources_view.genes(k) for k in range(2)]
    yield lambda: store.obs(rows=rows)
    yield lambda: store.barcodes(rows[:2])
    for name in list(store.labels)[:4]:
        yield partial(_label, store, name, rows)
    for name in list(store.tables)[:3]:
        yield partial(_table, store, name)
    for name in list(store.neighbours)[:2]:
        yield partial(_neighbours, store, name, rows)
    if store.n_cells <= 4096:
        yield lambda: store.select("cell_type == 'B cell' or score > 2 or split == 'train'")
        yield store.obs
        yield lambda: store.tables["cell_type:balanced"].draw(1, 0, 50)


def _label(store: Store, name: str, rows: NDArray[np.int64]) -> None:
    label = store.labels[name]
    _ = label.codes(rows), label.categories, label.counts
    if label.ontology is not None:
        _ = label.ontology.terms, label.ontology.categories_under("lymphocyte")


def _table(store: Store, name: str) -> None:
    table = store.tables[name]
    _ = table.draw(1, 0, 50), table.strata


def _neighbours(store: Store, name: str, rows: NDArray[np.int64]) -> None:
    table = store.neighbours[name]
    _ = table.rows(rows), table.weights(rows)


def _batch(store: Store, rows: NDArray[Any]) -> None:
    how = Assembly(
        output="csr", n_genes=store.n_genes, n_columns=store.n_genes, column_of_gene=None,
        recipe=recipe([NormalizeTotal(1e4), Log1p()]), seed=1,
    )  # fmt: skip
    held = read_window(store, rows, labels=list(store.labels)[:2])
    make_batch(held, rows, np.arange(len(rows), dtype=np.uint64), how)


def _surrounded(store: Store, rows: NDArray[Any]) -> None:
    for name in list(store.neighbours)[:1]:
        reader = choose_neighbours(store, name)
        if reader is None:
            continue
        how = Assembly(
            output="csr", n_genes=store.n_genes, n_columns=store.n_genes, column_of_gene=None, recipe=recipe([]), seed=1
        )
        held = reader.read(rows, partial(read_window, store))
        make_cells(held, rows, np.arange(len(rows), dtype=np.uint64), how)


def read_all(store: Store) -> None:
    """Read a store in every way; raise the first error of the interface, after all ways were tried."""
    first: ScformatError | None = None
    for reading in readings(store):
        try:
            reading()
        except ScformatError as error:
            first = first or error
    if first is not None:
        raise first


def _roots(work: Path) -> Prepared:
    store = small_store(work)
    root = short_root((work / "small.cells" / "zarr.json").read_bytes())

    def read(data: bytes) -> None:
        manifest = open_root(sealed(data), where="fuzzed")
        read_all(Store(type(store._storage)(store.path), manifest))

    return [root], read


def _arrays_of(model: BaseModel | list[Any] | dict[str, Any] | None) -> Iterator[Array]:
    """Every array of a manifest, in its order."""
    if isinstance(model, Array):
        yield model
    elif isinstance(model, list):
        for item in model:
            yield from _arrays_of(item)
    elif isinstance(model, dict):
        for item in model.values():
            yield from _arrays_of(item)
    elif hasattr(model, "__pydantic_fields__"):
        for value in {**model.__dict__, **(getattr(model, "__pydantic_extra__", None) or {})}.values():
            yield from _arrays_of(value)


def arrays_of(manifest: Manifest, document: dict[str, Any]) -> list[Array]:
    """Every array that a root describes, those of tables too."""
    found = {array.path: array for array in _arrays_of(manifest)}
    for table in document.get("tables", ()):
        for value in table.values():
            if isinstance(value, dict) and "chunk" in value:
                found[value["path"]] = Array.model_validate(value)
    return list(found.values())


def _values(work: Path, *, of: Callable[[str], bool]) -> Prepared:
    """One array of a store, written anew with other values."""
    store = small_store(work)
    document = json.loads((work / "small.cells" / "zarr.json").read_bytes())["attributes"]["scformat"]
    arrays = [a for a in arrays_of(store.manifest, document) if of(a.path) and min(a.shape) > 0]
    held = {part.entries.path: part.n_entries for part in store.manifest.parts}  # there is nothing behind the last

    def content(array: Array) -> NDArray[Any]:
        *others, last = array.shape
        region = tuple((0, n) for n in (*others, held.get(array.path, last)))
        return np.ascontiguousarray(store._storage._read_region(array, region))

    contents = [content(array) for array in arrays]

    def write(array: Array, values: NDArray[Any]) -> None:
        spec = array_spec(array)
        for index, key in spec.files():
            (work / "small.cells" / key).write_bytes(encode_shard(spec, values[spec.slices(index)]))

    def read(data: bytes) -> None:
        if len(data) < 2:
            return
        which = struct.unpack("<H", data[:2])[0] % len(arrays)
        array, whole = arrays[which], contents[which].copy()
        flat = whole.reshape(-1).view(np.uint8)
        given = np.frombuffer(data[2:], np.uint8)[: len(flat)]
        flat[: len(given)] = given
        write(array, whole)
        try:
            read_all(Store(type(store._storage)(store.path), store.manifest))
        finally:
            write(array, contents[which])

    return [struct.pack("<H", k) + values.tobytes() for k, values in enumerate(contents)], read


def _mutate_values(data: bytes, rng: Random) -> bytes:
    return data[:2] + mutate_values(data[2:], rng, unit=rng.choice((1, 2, 4, 4, 8, 8)))


def _is_table(path: str) -> bool:
    return path.startswith(("tables/", "neighbours/"))


SURFACES = {
    "store": Surface(about="a hostile root over good arrays: read in every way", prepare=_roots, mutate=mutate_json),
    "records": Surface(
        about="hostile records, entries, labels, obs, genes, sources, checksums right: read in every way",
        prepare=partial(_values, of=lambda path: not _is_table(path)), mutate=_mutate_values,
    ),
    "tables": Surface(
        about="hostile sampling and neighbour tables, checksums right: read in every way",
        prepare=partial(_values, of=_is_table), mutate=_mutate_values,
    ),
}  # fmt: skip

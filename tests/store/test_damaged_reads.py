"""Whatever reads cells names the array, the chunk and the cells concerned when a chunk is damaged, and no others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from samples import counts_matrix, gene_ids, rich_obs, sample

import scformat
from scformat.codec import decode_index, index_size
from scformat.errors import DamagedDataError
from scformat.loading.window import read_window
from scformat.storage import array_spec
from scformat.store import Store
from scformat.store.fetch import locate_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.manifest import Array

N = 2500
"""Three chunks of records a part."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two parts, so that rows of the store are not rows of a part."""
    work = tmp_path_factory.mktemp("damaged")
    obs = {name: column.to_numpy() for name, column in rich_obs(N).items() if name in ("score", "lane")}
    obs["note"] = [f"a note of its own, {i} \u00e9" for i in range(N)]
    for k, name in enumerate(("a", "b")):
        sample(counts_matrix(N, 60, seed=k), genes=gene_ids(60), obs=obs, prefix=name).write_h5ad(work / f"{name}.h5ad")
    scformat.convert([work / "a.h5ad"], work / "good.cells", jobs=1)
    return scformat.append(work / "good.cells", [work / "b.h5ad"], jobs=1)


def broken(good: Store, target: Path, array: Array, chunk: int | None) -> Store:
    """Copy a store and flip a bit of one chunk, or of the index of the array's first file."""
    shutil.copytree(good.path, target)
    spec = array_spec(array)
    (_, key), *_ = spec.files()
    file = target / key
    data = bytearray(file.read_bytes())
    if chunk is None:
        data[-6] ^= 4
    else:
        offset, length = decode_index(bytes(data[-index_size(spec) :]), spec).reshape(-1, 2)[chunk].tolist()
        data[offset + length // 2] ^= 4
    file.write_bytes(data)
    return scformat.open(target)


def told(error: DamagedDataError) -> None:
    """The text says what the attributes say."""
    text = str(error)
    assert error.array in text
    assert f"cell {', '.join(map(str, error.cells[:5]))}" in text
    assert len(error.cells) <= 5 or f" and {len(error.cells) - 5} more" in text
    assert "\n" not in text


def cells_of_counts(good: Store, chunk: int) -> set[int]:
    part = good.manifest.parts[1]
    starts, stops, _ = locate_rows(good._storage, part, good.segments[0].shard_rows, np.arange(N))
    size = part.entries.chunk[1]
    return {
        N + row
        for row, (a, b) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True))
        if b > a and a // size <= chunk <= (b - 1) // size
    }


READ: dict[str, Callable[[Store, Any], Any]] = {
    "read": Store.read,
    "window": read_window,
}


@pytest.mark.parametrize("way", READ)
@pytest.mark.parametrize("chunk", [0, 3, None])
def test_counts(good: Store, tmp_path: Path, way: str, chunk: int | None) -> None:
    array = good.manifest.parts[1].entries
    store = broken(good, tmp_path / "bad.cells", array, chunk)
    bad = (
        cells_of_counts(good, chunk) if chunk is not None else {r for c in range(99) for r in cells_of_counts(good, c)}
    )
    wanted = np.random.default_rng(0).permutation(2 * N)[: 2 * N - 200]
    with pytest.raises(DamagedDataError) as caught:
        READ[way](store, wanted)
    error = caught.value
    told(error)
    assert error.code == "damaged-chunk"
    assert error.array == array.path
    assert chunk is None or error.chunks == (chunk,)
    assert error.cells == tuple(sorted(bad & set(wanted.tolist())))
    fine = np.setdiff1d(np.arange(2 * N), list(bad))
    assert (store.read(fine).csr() != good.read(fine).csr()).nnz == 0


@pytest.mark.parametrize("way", READ)
def test_records(good: Store, tmp_path: Path, way: str) -> None:
    """A cell is found by its own record and that of the one before."""
    array = good.manifest.parts[1].index
    store = broken(good, tmp_path / "bad.cells", array, 1)
    with pytest.raises(DamagedDataError) as caught:
        READ[way](store, np.arange(2 * N))
    told(caught.value)
    assert (caught.value.array, caught.value.chunks) == (array.path, (1,))
    assert caught.value.cells == tuple(range(N + 1024, N + 2049))
    assert len(store.read([N + 1023, N + 2049, 5])) == 3


def test_fields_obs_and_barcodes(good: Store, tmp_path: Path) -> None:
    part = good.manifest.parts[1]
    score, note = part.obs["score"].values, part.obs["note"].strings
    assert score is not None and note is not None
    cases: list[tuple[Array, Callable[[Store, Any], Any]]] = [
        (part.index, lambda store, rows: store.field("total_counts", rows)),
        (score, lambda store, rows: store.obs(["score"], rows)),
        (note.offsets, lambda store, rows: store.obs(["note"], rows)),
        (note.bytes, lambda store, rows: store.obs(["note"], rows)),
        (part.barcode.offsets, lambda store, rows: store.barcodes(rows)),
        (part.barcode.bytes, lambda store, rows: store.barcodes(rows)),
    ]
    for k, (array, read) in enumerate(cases):
        store = broken(good, tmp_path / f"{k}.cells", array, 0)
        some = np.random.default_rng(k).permutation(2 * N)[:30]
        for rows in (some, np.arange(2 * N)):  # one by one and whole
            with pytest.raises(DamagedDataError) as caught:
                read(store, rows)
            error = caught.value
            told(error)
            assert (error.array, error.chunks) == (array.path, (0,))
            assert set(error.cells) <= set(rows[rows >= N].tolist())
            sound = np.setdiff1d(rows, error.cells)
            read(store, sound)
            assert len(sound)


def test_an_element_that_is_the_fill_value(good: Store, tmp_path: Path) -> None:
    """As another library leaves out a chunk of nothing but fill values."""
    from scformat.codec import encode_shard

    array = good.manifest.parts[1].index
    values = good._storage.read_array(array).copy()
    values[1, 7] = array.fill
    shutil.copytree(good.path, tmp_path / "bad.cells")
    spec = array_spec(array)
    for index, key in spec.files():
        (tmp_path / "bad.cells" / key).write_bytes(encode_shard(spec, values[spec.slices(index)]))
    with pytest.raises(DamagedDataError) as caught:
        scformat.open(tmp_path / "bad.cells").field("source", np.arange(2 * N))
    told(caught.value)
    assert (caught.value.code, caught.value.cells) == ("lost-chunk", (N + 7,))

"""Neighbour tables of stores: added, opened, read, refused; from graphs, arrays and the files that cells came from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, gene_ids, sample
from scipy import sparse

import scformat
from scformat import storage as storage_module
from scformat.errors import (
    InvalidDataError,
    RowIndexError,
    ScformatError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)
from scformat.neighbours import FEATURE, NeighbourLists, add_neighbours, neighbours_from_sources
from scformat.neighbours import lists as lists_module
from scformat.root import encode_root, root_digest
from scformat.storage import Storage
from scformat.writing import write_array

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.store import Store

N, OTHERS = 1500, 400


def graph(n: int, seed: int, *, ties: int = 8) -> sparse.csr_matrix:
    """Distances with equal ones, ties of cells to themselves, cells without any."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.flatnonzero(rng.random(n) < 0.95), ties)
    columns = rng.integers(0, n, len(rows))
    made = sparse.coo_matrix((rng.integers(1, 9, len(rows)) / 4, (rows, columns)), shape=(n, n)).tocsr()
    made.sum_duplicates()
    return made


def samples() -> list[anndata.AnnData]:
    made = []
    for seed, n, prefix in ((1, N, "a"), (2, OTHERS, "b")):
        data = sample(
            counts_matrix(n, 30, seed=seed),
            genes=gene_ids(30),
            prefix=prefix,
            obs={"kind": pd.Categorical(np.where(np.arange(n) % 3 == 0, "x", "y")), "age": np.arange(n) % 50},
        )
        data.obsp["distances"] = graph(n, seed)
        data.obsp["connectivities"] = graph(n, seed + 10).tocsc()
        data.obsp["dense_distances"] = graph(n, seed + 20).toarray().astype(np.float32)
        made.append(data)
    return made


@pytest.fixture(scope="module")
def data() -> list[anndata.AnnData]:
    return samples()


@pytest.fixture(scope="module")
def files(data: list[anndata.AnnData], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("files")
    paths = [directory / "first.h5ad", directory / "second.zarr"]
    data[0].write_h5ad(paths[0])
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=3):
        warnings.simplefilter("ignore")  # anndata announces new defaults
        data[1].write_zarr(paths[1])
    return paths


@pytest.fixture(scope="module")
def original(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in another order than its files, without some of their cells."""
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    scformat.convert(files, target, order="shuffled", where="age < 40", splits="train=0.8,test=0.2", jobs=2)
    return target


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "a.cells")
    return tmp_path / "a.cells"


@pytest.fixture
def store(path: Path) -> Store:
    return scformat.open(path)


def plain_lists(matrix: Any, k: int, *, distance: bool = True) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The nearest k of each row of a small matrix."""
    coo = sparse.coo_matrix(matrix)
    n = coo.shape[0]
    own: list[list[tuple[float, int]]] = [[] for _ in range(n)]
    for i, j, w in zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True):
        if i != j:
            own[i].append((w if distance else -w, j))
    rows, weights = np.full((n, k), -1), np.zeros((n, k), np.float32)
    for i, found in enumerate(own):
        for slot, (w, j) in enumerate(sorted(found)[:k]):
            rows[i, slot], weights[i, slot] = j, w if distance else -w
    return rows, weights


# A table in a store


def test_a_graph_over_the_rows_of_a_store(store: Store, path: Path) -> None:
    before = files_of(path)
    made = graph(store.n_cells, 5)
    copy = made.copy()
    manifest = add_neighbours(store, "knn", made, k=6, weight="distance", source="by hand")
    assert (made != copy).nnz == 0
    again = scformat.open(path)
    assert again.manifest == manifest
    assert list(again.neighbours) == ["knn"]
    assert FEATURE in manifest.optional_features
    table = again.neighbours["knn"]
    rows, weights = plain_lists(made, 6)
    found = table.rows()
    assert (found.dtype, found.shape) == (np.int64, (store.n_cells, 6))
    assert np.array_equal(found, rows)
    assert np.array_equal(table.weights(), weights)
    assert table.weights().dtype == np.float32
    assert (table.name, table.k, table.n_rows, table.weight) == ("knn", 6, store.n_cells, "distance")
    assert table.entry.n_neighbours == int((rows >= 0).sum())
    assert table.entry.source == "by hand"
    some = np.array([store.n_cells - 1, 0, 5, 5])
    assert np.array_equal(table.rows(some), rows[some])
    assert np.array_equal(table.weights(some), weights[some])
    assert table.rows([]).shape == table.weights([]).shape == (0, 6)
    # Nothing that was there changed but the root; nothing is left over.
    after = files_of(path)
    assert {k: v for k, v in after.items() if k in before and k != "zarr.json"} == {
        k: v for k, v in before.items() if k != "zarr.json"
    }
    directory = f"neighbours/knn-{table.digest[:8]}"
    assert {name.rsplit("/", 2)[0] for name in set(after) - set(before)} >= {directory, f"{directory}/rows/c"}
    assert all(name.startswith((directory, "neighbours/zarr.json")) for name in set(after) - set(before))
    data = (path / "zarr.json").read_bytes()
    assert root_digest(data, json.loads(data)["attributes"]["scformat"]) == manifest.sha256
    assert scformat.validate(path).findings == ()
    # The store as it was opened before goes on.
    assert len(store.neighbours) == 0
    assert len(store.read([0, 5]).rows) == 2


def test_few_chunks_at_a_time(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "CHUNKS_AT_ONCE", 1)
    made = graph(store.n_cells, 5)
    add_neighbours(store, "knn", made, k=6, weight="distance")
    assert store.n_cells > 1024
    assert np.array_equal(scformat.open(path).neighbours["knn"].rows(), plain_lists(made, 6)[0])


def test_arrays_without_weights(store: Store, path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.permutation(store.n_cells)[:5] for _ in range(store.n_cells)])
    rows[7] = -1
    add_neighbours(store, "ann", (rows, None), k=4)
    table = scformat.open(path).neighbours["ann"]
    expected = [[j for j in own if j not in (i, -1)][:4] for i, own in enumerate(rows.tolist())]
    assert table.rows().tolist() == [own + [-1] * (4 - len(own)) for own in expected]
    assert table.weight is None
    assert table.entry.weights is None
    with pytest.raises(UsageError, match="no-weights"):
        table.weights([0])
    assert scformat.validate(path).findings == ()


def test_similarities_fall(store: Store, path: Path) -> None:
    made = graph(store.n_cells, 6)
    add_neighbours(store, "near", made, k=3, weight="jaccard")
    table = scformat.open(path).neighbours["near"]
    rows, weights = plain_lists(made, 3, distance=False)
    assert np.array_equal(table.rows(), rows)
    assert np.array_equal(table.weights(), weights)
    assert (np.diff(table.weights(), axis=1) <= 0).all()


def test_all_that_a_graph_has(store: Store, path: Path) -> None:
    made = graph(store.n_cells, 6, ties=3)
    made.setdiag(1.0)
    add_neighbours(store, "all", made, weight="distance")
    table = scformat.open(path).neighbours["all"]
    assert table.k == 3  # the tie of a cell to itself takes no place
    assert table.entry.n_neighbours == made.nnz - store.n_cells
    add_neighbours(scformat.open(path), "none", sparse.csr_matrix(made.shape), weight="distance")
    assert scformat.open(path).neighbours["none"].rows().tolist() == [[-1]] * store.n_cells
    assert scformat.validate(path).findings == ()


def test_a_second_table_and_a_taken_name(store: Store, path: Path) -> None:
    made = graph(store.n_cells, 5)
    add_neighbours(store, "one", made, k=2, weight="distance")
    with pytest.raises(StorageError, match="store-changed"):
        add_neighbours(store, "two", made, k=3, weight="distance")
    store = scformat.open(path)
    add_neighbours(store, "two", made, k=3, weight="distance")
    store = scformat.open(path)
    assert list(store.neighbours) == ["one", "two"]
    assert store.manifest.optional_features.count(FEATURE) == 1
    with pytest.raises(UsageError, match="neighbours-exist"):
        add_neighbours(store, "one", made, k=2, weight="distance")
    for name in ("", "a/b", "..", "a b", "x" * 65, "é"):
        with pytest.raises(UsageError, match="bad-name"):
            add_neighbours(store, name, made, k=2, weight="distance")
    with pytest.raises(UnknownNameError, match=r"did you mean one of 'one'.*unknown-neighbour-table"):
        store.neighbours["on"]
    assert "one" in store.neighbours
    assert "on" not in store.neighbours


def test_the_same_neighbours_are_the_same_bytes(store: Store, path: Path, original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "other.cells")
    made = graph(store.n_cells, 5)
    add_neighbours(store, "knn", made, k=6, weight="distance")
    turned = made.tocsc()  # the same graph, its elements in another order
    add_neighbours(scformat.open(tmp_path / "other.cells"), "knn", turned, k=6, weight="distance")
    assert files_of(path) == files_of(tmp_path / "other.cells")
    assert all((path / name).stat().st_size < 300_000 for name in files_of(path))


@pytest.mark.parametrize(
    ("made", "options", "code"),
    [
        (lambda n: graph(n - 1, 0), {"weight": "distance"}, "bad-graph"),
        (lambda n: np.zeros((n, n)), {"weight": "distance"}, "bad-graph"),
        (lambda _: "obsp", {}, "bad-graph"),
        (lambda n: graph(n, 0), {}, "no-weight-meaning"),
        (lambda n: graph(n, 0), {"weight": "distance", "k": 0}, "bad-k"),
        (lambda n: graph(n, 0), {"weight": "distance", "k": 1025}, "bad-k"),
        (lambda n: graph(n, 0) * np.nan, {"weight": "distance"}, "bad-neighbour-weight"),
        (lambda n: graph(n, 0).astype(complex), {"weight": "distance"}, "bad-matrix"),
        (lambda n: (np.zeros((n, 2), int), None), {}, "bad-neighbours"),
        (lambda n: (np.ones((n - 1, 1), int), None), {}, "bad-neighbours"),
        (lambda _: NeighbourLists(rows=np.full((3, 1), -1)), {}, "bad-graph"),
        (lambda n: NeighbourLists(rows=np.full((n, 1), -1)), {"k": 2}, "bad-k"),
        (lambda n: NeighbourLists(rows=np.full((n, 1), -1)), {"weight": "distance"}, "no-weight-meaning"),
    ],
)
def test_what_is_refused_leaves_nothing(
    store: Store, path: Path, made: Callable[[int], Any], options: dict[str, Any], code: str
) -> None:
    before = files_of(path)
    with pytest.raises(ScformatError) as caught:
        add_neighbours(store, "knn", made(store.n_cells), **options)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert files_of(path) == before


def test_a_feature_that_nobody_knows_is_not_broken(store: Store, path: Path) -> None:
    manifest = store.manifest.model_copy(update={"optional_features": ["x-mine"]})
    (path / "zarr.json").write_bytes(encode_root(manifest))
    with pytest.raises(UnsupportedError, match=r"'x-mine'.*unknown-feature"):
        add_neighbours(scformat.open(path), "knn", graph(store.n_cells, 0), weight="distance")


def test_other_cells_are_refused(store: Store, path: Path) -> None:
    manifest = add_neighbours(store, "knn", graph(store.n_cells, 0), weight="distance")
    entry = manifest.neighbours[0]  # type: ignore[index]
    for change, refused in (
        ({"cells": "0" * 64}, pytest.raises(UsageError, match="other-cells")),
        ({"n_rows": store.n_cells + 1}, pytest.raises(InvalidDataError, match="bad-manifest")),
    ):
        changed = manifest.model_copy(update={"neighbours": [entry.model_copy(update=change)]})
        (path / "zarr.json").write_bytes(encode_root(changed))
        with refused:
            scformat.open(path).neighbours["knn"]


def test_cells_that_came_later_have_no_neighbours(store: Store, path: Path, tmp_path: Path) -> None:
    made = graph(store.n_cells, 0)
    add_neighbours(store, "knn", made, k=4, weight="distance")
    sample(counts_matrix(30, 20, seed=9), prefix="late").write_h5ad(tmp_path / "late.h5ad")
    later = scformat.append(path, [tmp_path / "late.h5ad"], jobs=1, ontology=False)
    table = later.neighbours["knn"]
    assert (table.n_rows, later.n_cells) == (store.n_cells, store.n_cells + 30)
    some = np.array([store.n_cells, 3, later.n_cells - 1, store.n_cells - 1])
    rows, weights = plain_lists(made, 4)
    assert table.rows(some)[[1, 3]].tolist() == rows[some[[1, 3]]].tolist()
    assert (table.rows(some)[[0, 2]] == -1).all()
    assert table.weights(some).tolist() == [[0] * 4, weights[3].tolist(), [0] * 4, weights[some[3]].tolist()]
    with pytest.raises(RowIndexError):
        table.rows([later.n_cells])
    with pytest.raises(RowIndexError):
        table.weights([-1])


def test_opening_reads_the_manifest_alone(store: Store, path: Path) -> None:
    add_neighbours(store, "knn", graph(store.n_cells, 0), weight="distance")
    opened = scformat.open(path)
    for directory in ("neighbours", "parts", "labels"):
        shutil.rmtree(path / directory)
    table = opened.neighbours["knn"]
    assert table.k == 8
    with pytest.raises(InvalidDataError, match="lost-chunk"):
        table.rows([0])


@pytest.mark.parametrize("member", ["rows", "weights"])
def test_lost_and_damaged_arrays_are_refused(store: Store, path: Path, member: str) -> None:
    manifest = add_neighbours(store, "knn", graph(store.n_cells, 0), weight="distance")
    file = path / getattr(manifest.neighbours[0], member).path / "c" / "0" / "0"  # type: ignore[index]
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(InvalidDataError, match="damaged-chunk"):
        getattr(scformat.open(path).neighbours["knn"], member)([0])
    file.unlink()
    with pytest.raises(InvalidDataError, match="lost-chunk"):
        getattr(scformat.open(path).neighbours["knn"], member)([0])


@pytest.mark.parametrize("value", [-3, 10**6, -2])
def test_rows_that_would_lead_astray_are_refused(store: Store, path: Path, value: int) -> None:
    from scformat.storage import array_spec

    manifest = add_neighbours(store, "knn", graph(store.n_cells, 0), weight="distance")
    array = manifest.neighbours[0].rows  # type: ignore[index]
    values = Storage(path).read_array(array)
    values[0, 5] = value
    write_array(Storage(path), array_spec(array), values)
    with pytest.raises(InvalidDataError, match=r"bad-neighbours|lost-chunk"):
        scformat.open(path).neighbours["knn"].rows([5])


def test_in_another_process_and_as_plain_zarr(store: Store, path: Path) -> None:
    import pickle

    import zarr

    add_neighbours(store, "knn", graph(store.n_cells, 0), k=3, weight="distance")
    opened = scformat.open(path)
    table = opened.neighbours["knn"]
    code = (
        "import scformat, sys; t = scformat.open(sys.argv[1]).neighbours['knn']; print(t.rows([7, 1]).tolist(), "
        "t.weights([7, 1]).tolist(), sep=';')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{table.rows([7, 1]).tolist()};{table.weights([7, 1]).tolist()}"
    assert np.array_equal(pickle.loads(pickle.dumps(opened)).neighbours["knn"].rows([7]), table.rows([7]))
    group = zarr.open_group(path, mode="r")
    assert np.array_equal(group[table.entry.rows.path][:].T, table.rows())
    assert np.array_equal(group[table.entry.weights.path][:].T, table.weights())  # type: ignore[union-attr]


# From the sources


def expected_lists(
    store: Store,
    data: list[anndata.AnnData],
    key: str,
    k: int,
    *,
    distance: bool = True,
    given: tuple[int, ...] = (0, 1),
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Put the graphs of all files into one over the rows of the store, and take its lists."""
    frame = store.obs(["source", "source_row"]).reset_index(drop=True)
    names = list(store.sources.index)
    row_of = {(names.index(s), r): i for i, (s, r) in enumerate(zip(frame.source, frame.source_row, strict=True))}
    ties = []
    for number in given:
        coo = sparse.coo_matrix(data[number].obsp[key])
        for i, j, w in zip(coo.row.tolist(), coo.col.tolist(), coo.data.tolist(), strict=True):
            if (number, i) in row_of and (number, j) in row_of:
                ties.append((row_of[number, i], row_of[number, j], w))
    rows, columns, weights = zip(*ties, strict=True)
    n = store.n_cells
    return plain_lists(sparse.coo_matrix((weights, (rows, columns)), shape=(n, n)), k, distance=distance)


@pytest.mark.parametrize("block", [100, 1 << 16])
@pytest.mark.parametrize("key", ["distances", "connectivities", "dense_distances"])
def test_neighbours_of_the_files(
    store: Store,
    files: list[Path],
    data: list[anndata.AnnData],
    key: str,
    block: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from scformat.neighbours import graph as graph_module
    from scformat.neighbours import sources as sources_module

    for module in (lists_module, sources_module):
        monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(graph_module, "BLOCK_TIES", block)
    assert store.n_cells < N + OTHERS
    stages: list[tuple[str, int, int]] = []
    lists = neighbours_from_sources(store, files, key=key, k=5, progress=lambda *args: stages.append(args))
    distance = key != "connectivities"
    rows, weights = expected_lists(store, data, key, 5, distance=distance)
    assert np.array_equal(lists.rows, rows)
    assert np.array_equal(lists.weights, weights)
    assert lists.weight == ("distance" if distance else "connectivity")
    assert lists.source == f"obsp/{key}"
    assert stages[-1] == ("reading neighbours", 2, 2)
    add_neighbours(store, "knn", lists)
    table = scformat.open(store.path).neighbours["knn"]
    assert np.array_equal(table.rows(), rows)
    # Lists stay within a file: nothing else has ties.
    source = store.field("source", np.arange(store.n_cells))
    assert (source[rows[rows >= 0]] == np.repeat(source[:, None], 5, axis=1)[rows >= 0]).all()
    assert scformat.validate(store.path).findings == ()


def test_some_of_the_files(
    store: Store, files: list[Path], data: list[anndata.AnnData], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists_module, "IN_MEMORY", 1000)
    before = files_of(path)
    lists = neighbours_from_sources(store, files[1], k=4, directory=path)
    assert files_of(path) == before
    rows, _ = expected_lists(store, data, "distances", 4, given=(1,))
    assert np.array_equal(lists.rows, rows)
    assert (rows == -1).all(axis=1).sum() > OTHERS
    assert isinstance(lists.rows, np.memmap)
    add_neighbours(store, "knn", lists)
    assert np.array_equal(scformat.open(path).neighbours["knn"].rows(), rows)


def test_a_file_under_another_name_is_known_by_its_digest(
    store: Store, files: list[Path], data: list[anndata.AnnData], tmp_path: Path
) -> None:
    shutil.copy(files[0], tmp_path / "renamed.h5ad")
    lists = neighbours_from_sources(store, tmp_path / "renamed.h5ad", k=4)
    assert np.array_equal(lists.rows, expected_lists(store, data, "distances", 4, given=(0,))[0])


def test_a_graph_that_came_after_the_conversion(store: Store, data: list[anndata.AnnData], tmp_path: Path) -> None:
    """As scanpy leaves it: the same cells, another file."""
    later = data[0].copy()
    later.obsp["bbknn_distances"] = graph(N, 77)
    later.uns["neighbors"] = {"params": {"n_neighbors": 8}}
    later.write_h5ad(tmp_path / "first.h5ad")
    lists = neighbours_from_sources(store, tmp_path / "first.h5ad", key="bbknn_distances", k=4)
    expected = expected_lists(store, [later, data[1]], "bbknn_distances", 4, given=(0,))
    assert np.array_equal(lists.rows, expected[0])


def test_objects_in_memory(tmp_path: Path) -> None:
    made = samples()
    store = scformat.convert(made, tmp_path / "m.cells", order="shuffled", jobs=1)
    lists = neighbours_from_sources(store, made, k=4)
    assert np.array_equal(lists.rows, expected_lists(store, made, "distances", 4)[0])
    # Each alone is called "anndata"; its content tells which it is.
    second = neighbours_from_sources(store, made[1], k=4)
    assert np.array_equal(second.rows, expected_lists(store, made, "distances", 4, given=(1,))[0])


def test_sources_that_do_not_fit_are_refused(
    store: Store, files: list[Path], data: list[anndata.AnnData], tmp_path: Path
) -> None:
    def refused(sources: Any, code: str, **options: Any) -> str:
        with pytest.raises(ScformatError) as caught:
            neighbours_from_sources(store, sources, **options)
        assert caught.value.code == code, caught.value
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "'distances'" in refused(files, "unknown-obsp-matrix", key="distance")
    assert "obsp/mine" in refused(files, "unknown-obsp-matrix", key="obsp/mine")
    refused(files, "bad-k", k=0)
    refused([files[0], files[0]], "duplicate-source")
    refused(tmp_path / "nothing.h5ad", "source-not-found")

    other = data[0].copy()
    other.obsp["mine"] = other.obsp["distances"]
    other.write_h5ad(tmp_path / "firts.h5ad")
    assert "'first'" in refused(tmp_path / "firts.h5ad", "unknown-source")
    other.write_h5ad(tmp_path / "first.h5ad")
    assert "weight='distance'" in refused(tmp_path / "first.h5ad", "no-weight-meaning", key="mine")
    neighbours_from_sources(store, tmp_path / "first.h5ad", key="mine", weight="distance", k=2)

    turned = other[::-1].copy()
    turned.write_h5ad(tmp_path / "first.h5ad")
    assert "barcode" in refused(tmp_path / "first.h5ad", "other-source")
    other[:-1].copy().write_h5ad(tmp_path / "first.h5ad")
    assert f"{N} cells" in refused(tmp_path / "first.h5ad", "other-source")
    shutil.copy(files[0], tmp_path / "copy.h5ad")
    assert "twice" in refused([files[0], tmp_path / "copy.h5ad"], "duplicate-source")

    damaged = data[0].copy()
    damaged.write_h5ad(tmp_path / "first.h5ad")
    import h5py

    with h5py.File(tmp_path / "first.h5ad", "r+") as file:
        file["obsp/distances/indices"][3] = N
    refused(tmp_path / "first.h5ad", "index-out-of-range")
    with h5py.File(tmp_path / "first.h5ad", "r+") as file:
        file["obsp/distances"].attrs["shape"] = [N, N - 1]
    refused(tmp_path / "first.h5ad", "wrong-length")


def test_ten_x_files_have_no_graphs(shared_data: Path, tmp_path: Path) -> None:
    file = shared_data / "scanpy_10x_v3.10x.h5"
    store = scformat.convert(file, tmp_path / "t.cells", jobs=1)
    with pytest.raises(UnknownNameError, match="there is no obsp matrix at all"):
        neighbours_from_sources(store, file)


# Real files


def read(path: Path) -> anndata.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old files
        return anndata.read_h5ad(path)


@pytest.mark.parametrize("key", ["distances", "connectivities"])
def test_a_real_file(shared_data: Path, tmp_path: Path, key: str) -> None:
    file = shared_data / "anndataR_example.h5ad"
    whole = read(file)
    store = scformat.convert(file, tmp_path / "r.cells", order="shuffled", seed=3, jobs=1)
    lists = neighbours_from_sources(store, file, key=key, k=15)
    rows, weights = expected_lists(store, [whole], key, 15, distance=key == "distances", given=(0,))
    assert np.array_equal(lists.rows, rows)
    assert np.array_equal(lists.weights, weights)
    add_neighbours(store, "knn", lists)
    table = scformat.open(store.path).neighbours["knn"]
    assert np.array_equal(table.rows(), rows)
    # Its 15 nearest count the cell itself.
    assert ((table.rows() >= 0).sum(axis=1) == 14).all() == (key == "distances")
    assert scformat.validate(store.path).findings == ()


@pytest.mark.parametrize("key", ["array", "sparse"])
def test_a_real_file_of_an_old_version(shared_data: Path, tmp_path: Path, key: str) -> None:
    file = shared_data / "anndata_archive_v0.7.0.h5ad"
    whole = read(file)
    store = scformat.convert(file, tmp_path / "r.cells", jobs=1)
    lists = neighbours_from_sources(store, file, key=key, k=3, weight="similarity")
    rows, weights = expected_lists(store, [whole], key, 3, distance=False, given=(0,))
    assert np.array_equal(lists.rows, rows)
    assert np.array_equal(lists.weights, weights)


def test_graphs_from_before_there_was_obsp(shared_data: Path) -> None:
    from scformat.neighbours.graph import read_ties
    from scformat.sources import open_source

    file = shared_data / "anndata_archive_v0.5.0_pbmc68k.h5ad"
    whole = read(file)
    source = open_source(file)
    assert source.graphs() == ["connectivities", "distances"]
    for name in source.graphs():
        pieces = list(read_ties(source.graph(name)))
        rows, columns, values = (np.concatenate(part) for part in zip(*pieces, strict=True))
        found = sparse.csr_matrix((values, (rows, columns)), shape=whole.obsp[name].shape)
        assert (found != whole.obsp[name]).nnz == 0
    source.close()

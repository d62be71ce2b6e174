"""Reading cells: any rows equal the slice of the whole; zeros that were measured; statistics; processes; damage."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import counts_matrix, gene_ids, rich_obs, sample

import scformat
from scformat.errors import InvalidDataError, RowIndexError, ScformatError, StorageError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import anndata
    from numpy.typing import NDArray

    from scformat.store import Store

N = 5000


def sources() -> list[anndata.AnnData]:
    first = sample(counts_matrix(N - 1000, 90, seed=1, mean=1.2), genes=gene_ids(90), prefix="a")
    values = counts_matrix(1000, 70, seed=2, mean=1.2)
    values[500:, 3] = 70_000
    values[100, 4] = 300_000
    second = sample(values, genes=gene_ids(70, first=51), prefix="b")
    first.obs = rich_obs(first.n_obs, seed=3).set_axis(first.obs_names)
    second.obs = rich_obs(second.n_obs, seed=4).set_axis(second.obs_names)
    return [first, second]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    scformat.convert(sources(), target, order="shuffled", splits="train=0.9,test=0.1", jobs=2)
    return target


@pytest.fixture(scope="module")
def store(path: Path) -> Store:
    return scformat.open(path)


@pytest.fixture(scope="module")
def whole(store: Store) -> NDArray[np.int64]:
    """All counts, taken from the sources."""
    cells = store.obs(["source", "source_row"])
    out = np.zeros((N, store.n_genes), np.int64)
    for name, data in zip(["anndata", "anndata-2"], sources(), strict=True):
        mine = np.flatnonzero(cells["source"] == name)
        columns = store.genes.index.get_indexer(data.var_names)
        values = data.to_df().to_numpy().astype(np.int64)[cells["source_row"].to_numpy()[mine]]
        out[np.ix_(mine, columns)] = values
    return out


def test_all_rows(store: Store, whole: NDArray[np.int64]) -> None:
    cells = store.read(np.arange(N))
    np.testing.assert_array_equal(cells.dense(np.int64), whole)
    assert cells.dense().dtype == np.float32
    csr = cells.csr(np.int32)
    assert csr.shape == (N, store.n_genes)
    assert csr.dtype == np.int32
    assert csr.has_canonical_format
    assert (csr.data > 0).all()
    assert csr.nnz == np.count_nonzero(whole)
    np.testing.assert_array_equal(csr.toarray(), whole)


indexes = st.lists(st.one_of(st.integers(0, N - 1), st.sampled_from([0, N - 1, 1023, 1024, 4095, 4096])), max_size=40)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=indexes)
def test_any_rows_are_the_slice_of_the_whole(rows: list[int], store: Store, whole: NDArray[np.int64]) -> None:
    cells = store.read(rows)
    assert len(cells) == len(rows)
    assert cells.rows.tolist() == rows
    np.testing.assert_array_equal(cells.dense(np.int64), whole[rows])
    np.testing.assert_array_equal(cells.csr(np.int64).toarray(), whole[rows])
    obs = store.obs(["source", "source_row", "total_counts", "n_genes", "kind", "masked", "note"], rows)
    assert list(obs.index) == [store_barcodes(store)[r] for r in rows]
    np.testing.assert_array_equal(cells.source, obs["source"].cat.codes)
    pd.testing.assert_frame_equal(obs, everything(store).iloc[rows])


def store_barcodes(store: Store) -> list[str]:
    if "_test_barcodes" not in store.__dict__:
        store.__dict__["_test_barcodes"] = list(store.barcodes())
    return store.__dict__["_test_barcodes"]


def everything(store: Store) -> pd.DataFrame:
    if "_test_obs" not in store.__dict__:
        names = ["source", "source_row", "total_counts", "n_genes", "kind", "masked", "note"]
        store.__dict__["_test_obs"] = store.obs(names)
    return store.__dict__["_test_obs"]


@pytest.mark.parametrize(
    "rows",
    [
        range(10, 20),
        (3, 1),
        np.array([3, 1], np.uint8),
        np.array([3, 1], np.uint64),
        pd.Series([3, 1], index=[8, 9]),
        pd.Index([3, 1]),
        np.arange(20)[::-3],
    ],
    ids=str,
)
def test_rows_of_any_kind(rows: Any, store: Store, whole: NDArray[np.int64]) -> None:
    np.testing.assert_array_equal(store.read(rows).dense(np.int64), whole[list(rows)])


def test_no_rows(store: Store) -> None:
    for rows in ([], np.empty(0, np.int64), range(0)):
        cells = store.read(rows)
        assert len(cells) == 0
        assert cells.dense().shape == cells.measured().shape == (0, store.n_genes)
        assert cells.csr().shape == (0, store.n_genes)
        obs = store.obs(rows=rows)
        assert len(obs) == 0
        assert list(obs.columns) == list(store.obs(rows=[0]).columns)
        assert obs.dtypes.to_dict() == store.obs(rows=[0]).dtypes.to_dict()
        assert store.labels["kind"].codes(rows).shape == (0,)
        assert store.to_anndata(rows).shape == (0, store.n_genes)


@pytest.mark.parametrize("rows", [[-1], [0, N], [2**40], [0, 1, -5], np.array([2**63], np.uint64)])
def test_rows_outside(rows: Any, store: Store) -> None:
    for read in (store.read, store.labels["kind"].codes, lambda r: store.obs(rows=r), store.barcodes, store.to_anndata):
        with pytest.raises(IndexError) as caught:
            read(rows)
        assert isinstance(caught.value, RowIndexError)
        assert caught.value.code == "row-out-of-range"
        assert f"0 to {N - 1}" in str(caught.value)


@pytest.mark.parametrize("rows", [3, [0.5], [[0, 1]], np.ones(N, bool), ["a"], [None]], ids=str)
def test_what_is_no_rows(rows: Any, store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        store.read(rows)
    assert caught.value.code == "bad-rows"


def test_types_of_counts(store: Store, whole: NDArray[np.int64]) -> None:
    big = np.flatnonzero(whole.max(axis=1) == 300_000)
    small = np.flatnonzero(whole.max(axis=1) < 128)[:20]
    for dtype in ("uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"):
        found = store.read(small).dense(dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, whole[small])
        assert store.read(small).csr(dtype).dtype == dtype
    for dtype in ("uint8", "int16", "uint16", "float16"):
        for read in (store.read(big).csr, store.read(big).dense):
            with pytest.raises(InvalidDataError) as caught:
                read(dtype)
            assert caught.value.code == "count-not-exact"
            assert dtype in str(caught.value)
    for wrong in (bool, complex, "U3"):
        with pytest.raises(UsageError, match="bad-dtype"):
            store.read(small).csr(wrong)


def test_float32_is_exact_or_refused(tmp_path: Path) -> None:
    values = np.array([[2**24, 1], [2**24 + 1, 1]])
    store = scformat.convert(sample(values, dtype=np.int64), tmp_path / "a.cells", jobs=1)
    assert store.read([0]).dense().max() == 2**24
    for read in (store.read([0, 1]).csr, store.read([1]).dense):
        with pytest.raises(InvalidDataError, match="16777216") as caught:
            read()
        assert caught.value.code == "count-not-exact"
    assert store.to_anndata([0]).X.dtype == np.float32
    both = store.to_anndata()
    assert both.X.dtype == np.float64
    np.testing.assert_array_equal(both[:, gene_ids(2)].X.toarray(), values)


def test_results_own_their_memory(store: Store, whole: NDArray[np.int64]) -> None:
    cells = store.read([5, 6, 7])
    for _ in range(2):
        taken = cells.csr(np.int64)
        np.testing.assert_array_equal(taken.toarray(), whole[5:8])
        taken.data[:] = 0
        taken.indices[:] = 0
        taken.indptr[:] = 0
        taken.eliminate_zeros()
        dense = cells.dense(np.int64)
        np.testing.assert_array_equal(dense, whole[5:8])
        dense[:] = 9
    rows = np.array([5, 6, 7])
    cells = store.read(rows)
    rows[:] = 0
    assert cells.rows.tolist() == [5, 6, 7]


def test_zeros_that_were_measured_and_zeros_that_were_not(store: Store, whole: NDArray[np.int64]) -> None:
    rows = np.random.default_rng(0).permutation(N)[:300]
    cells = store.read(rows)
    mask = cells.measured()
    assert mask.dtype == bool
    first, second = (store.genes.index.isin(data.var_names) for data in sources())
    np.testing.assert_array_equal(mask, np.where((cells.source == 0)[:, None], first, second))
    assert not (cells.dense(np.int64)[~mask]).any()
    assert (mask & (whole[rows] == 0)).any()
    assert first.sum() == 90
    assert second.sum() == 70
    assert (first & second).sum() == 40


def test_statistics_of_each_source(store: Store, whole: NDArray[np.int64]) -> None:
    source = store.field("source", np.arange(N))
    for number in range(2):
        table = store.sources_view.statistics(number)
        assert len(table) == store.n_genes
        for gene in range(store.n_genes):
            held = np.sort(whole[source == number, gene])
            held = held[held > 0]
            median = held[(len(held) - 1) // 2] if len(held) else 0
            assert table.iloc[gene].tolist() == [len(held), held.sum(), (held**2).sum(), median]
    assert 70_000 in store.sources_view.statistics(1)["median"].to_numpy()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([255, 256, 257], 256),
        ([1, 2, 254, 255, 256, 300], 254),
        ([15, 16], 15),
        ([256, 256], 256),
        ([1, 70_000], 1),
        ([1, 65_536, 70_000, 10**8], 65_536),
        ([65_535, 65_536], 65_535),
        ([10**9, 1, 10**9], 10**9),
        ([0, 0, 7, 0], 7),
    ],
)
def test_lower_medians(values: list[int], expected: int, tmp_path: Path) -> None:
    columns = np.array([values, values[::-1], [1] * len(values)]).T
    store = scformat.convert(sample(columns, dtype=np.int64), tmp_path / "a.cells", jobs=2)
    table = store.sources_view.statistics(0).set_index(store.genes.index)
    held = [v for v in values if v]
    for gene in gene_ids(2):
        assert table.loc[gene, "median"] == expected
        assert table.loc[gene, "n_cells"] == len(held)
        assert table.loc[gene, "sum"] == sum(held)
        squares = sum(v * v for v in held)
        assert table.loc[gene, "sum_of_squares"] == (squares if squares <= 2**53 else -3)
    assert table.loc[gene_ids(3)[2]].tolist() == [len(values), len(values), len(values), 1]


def test_opening_reads_the_manifest_only(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.cells"
    bare.mkdir()
    shutil.copy(path / "zarr.json", bare)
    store = scformat.open(bare)
    assert (store.n_cells, store.n_genes) == (N, 120)
    assert store.manifest.n_entries > 0
    assert list(store.labels) == list(scformat.open(path).labels)
    assert "5,000 cells" in repr(store)
    for read in (lambda: store.read([0]), store.obs, lambda: store.genes, lambda: store.sources):
        with pytest.raises(ScformatError) as caught:
            read()
        assert caught.value.code in ("lost-chunk", "lost-array", "not-found")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request of a file, as it comes."""
    from scformat import blobs

    asked: list[str] = []
    plain = {name: getattr(blobs.Directory, name) for name in ("read", "begin_tail", "read_ranges")}

    def watching(name: str) -> Any:
        def read(self: Any, key: str, *rest: Any) -> Any:
            asked.append(f"{name} {key}")
            return plain[name](self, key, *rest)

        return read

    for name in plain:
        monkeypatch.setattr(blobs.Directory, name, watching(name))
    return asked


def test_a_cell_is_two_requests(path: Path, asked: list[str]) -> None:
    store = scformat.open(path)
    store.read([17])
    asked.clear()
    store.read([4000])
    assert len(asked) == 2, asked
    asked.clear()
    store.read([4001])
    assert len(asked) == 1, "records that were read are kept"


def test_requests(path: Path, asked: list[str]) -> None:
    store = scformat.open(path)
    assert asked == ["read zarr.json"]
    asked.clear()
    store.read([17])
    assert len(asked) <= 7, asked  # the list of shards, the record and the entries: an index and a range each
    asked.clear()
    store.read(range(1000, 2000))
    assert len(asked) <= 3, asked
    asked.clear()
    store.labels["kind"].codes([5, 4500])
    assert len(asked) <= 1, asked


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        scformat.open(tmp_path / "nowhere")
    assert (caught.value.code, caught.value.exit_code) == ("no-store", 3)
    with pytest.raises(StorageError):
        scformat.open(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        scformat.open(tmp_path / "file")
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(InvalidDataError, match="not-a-store"):
        scformat.open(tmp_path)
    with pytest.raises(UsageError, match="unknown-scheme"):
        scformat.open("ftp://example.org/a.cells")


def test_an_unknown_feature(path: Path, tmp_path: Path) -> None:
    text = (path / "zarr.json").read_text()
    (tmp_path / "zarr.json").write_text(text.replace('"required_features": []', '"required_features": ["protein"]', 1))
    with pytest.raises(UnsupportedError, match="protein") as caught:
        scformat.open(tmp_path)
    assert caught.value.exit_code == 4


def figures_of(store: Store) -> tuple[int, int, list[int]]:
    return store.read([4999, 0, 7]).csr().nnz, len(store.genes), store.labels["kind"].codes([1, 0]).tolist()


def into(queue: Any, store: Store) -> None:
    try:
        queue.put(figures_of(store))
    except BaseException as error:
        queue.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize("used", ["", "used"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_other_processes(method: str, used: str, path: Path) -> None:
    expected = figures_of(scformat.open(path))
    store = scformat.open(path)
    if used:
        figures_of(store)
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=into, args=(queue, store))
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert found == expected
    assert figures_of(store) == expected


def test_pickling(store: Store) -> None:
    figures_of(store)
    again = pickle.loads(pickle.dumps(store))
    assert figures_of(again) == figures_of(store)
    assert again.manifest == store.manifest
    assert again.path == store.path
    assert len(pickle.dumps(store)) < 200_000


def test_threads(path: Path, whole: NDArray[np.int64]) -> None:
    store = scformat.open(path)
    rng = np.random.default_rng(3)
    wanted = [rng.integers(0, N, 50) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        for rows, found in zip(wanted, pool.map(lambda r: store.read(r).dense(np.int64), wanted), strict=True):
            np.testing.assert_array_equal(found, whole[rows])


def test_it_is_all_plain_zarr(path: Path, store: Store, whole: NDArray[np.int64]) -> None:
    """A reader of forty lines that knows the specification and zarr-python only."""
    import zarr

    group = zarr.open_group(path, mode="r", zarr_format=3)
    manifest: Any = group.attrs["scformat"]
    part = manifest["parts"][0]

    def read(array: Any) -> Any:
        return group[array["path"]][...]

    def strings(where: Any) -> list[str]:
        data, offsets = read(where["bytes"]), read(where["offsets"])
        return [bytes(data[a:b]).decode() for a, b in itertools.pairwise(offsets)]

    assert strings(manifest["genes"]["id"]) == list(store.genes.index)
    index = group[part["index"]["path"]][...]
    shard_rows = read(part["shard_rows"])
    entries, per_shard = group[part["entries"]["path"]], part["entries"]["shard"][1]
    for cell in (0, 17, 4999):
        shard = int(np.searchsorted(shard_rows, cell, side="right")) - 1
        start = 0 if cell == shard_rows[shard] else int(index[0, cell - 1])
        pairs = entries[:, shard * per_shard + start : shard * per_shard + int(index[0, cell])].astype(np.int64)
        row = np.zeros(manifest["genes"]["n"], np.int64)
        np.add.at(row, np.cumsum(pairs[0]), pairs[1])
        np.testing.assert_array_equal(row, whole[cell])
    np.testing.assert_array_equal(index[3], whole.sum(axis=1))
    label = next(x for x in manifest["labels"] if x["name"] == "kind")
    field = part["labels"]["kind"]["field"]
    assert strings(label["categories"]) == list(store.labels["kind"].categories)
    np.testing.assert_array_equal(index[field], store.labels["kind"].codes())


@pytest.fixture
def damaged(path: Path, tmp_path: Path) -> Path:
    return shutil.copytree(path, tmp_path / "damaged.cells")


def reading(store: Store) -> None:
    """Read everything that there is."""
    store.read(np.arange(N)).csr()
    store.read(np.arange(N)).measured()
    store.obs()
    store.obs(["split", "source"])
    assert len(store.genes)
    assert len(store.sources)
    for number in range(2):
        store.sources_view.statistics(number)
        store.sources_view.genes(number)
    for label in store.labels.values():
        assert len(label.categories) == len(label.counts)
        label.codes()


def files_read(path: Path) -> list[str]:
    left = ("parts/1/cells/content", "parts/1/counts/shard_digests", "genes/1/by_id")
    found = [p.relative_to(path).as_posix() for p in sorted(path.rglob("c/**/*")) if p.is_file()]
    return [name for name in found if not name.startswith(left)]


def test_every_lost_truncated_or_flipped_file_is_noticed(damaged: Path) -> None:
    """Reading everything never returns numbers that are not the store's: each file is damaged in three ways."""
    rng = np.random.default_rng(8)
    names = files_read(damaged)
    assert len(names) > 40
    for number, name in enumerate(names):
        file = damaged / name
        data = file.read_bytes()
        # A bit of a chunk or of the index; the rest of a large index belongs to chunks that are not there.
        flipped = bytearray(data)
        flipped[int(rng.integers(0, min(len(data), 60)))] ^= 1 << int(rng.integers(0, 8))
        ways = {"lost": None, "truncated": data[: len(data) // 2], "empty": b"", "flipped": bytes(flipped)}
        if number % 3:
            ways.pop("empty")
        for way, content in ways.items():
            if content is None:
                file.unlink()
            else:
                file.write_bytes(content)
            with pytest.raises(InvalidDataError) as caught:
                reading(scformat.open(damaged))
            assert caught.value.code in ("lost-chunk", "damaged-chunk"), (name, way)
            assert name.split("/c/")[0] in str(caught.value), (name, way)
            assert "\n" not in str(caught.value)
        file.write_bytes(data)
    reading(scformat.open(damaged))


def test_a_chunk_that_another_writer_left_out_is_lost(damaged: Path) -> None:
    """TensorStore omits chunks of fill values only: emptied through it, a chunk is absent rather than zero."""
    import tensorstore as ts

    for path in ("parts/1/counts/entries", "parts/1/cells/index"):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{damaged / path}/"}}
        opened = ts.open(spec, open=True, write=True).result()
        opened[:, : opened.chunk_layout.read_chunk.shape[1]].write(np.array(opened.fill_value)).result()
        with pytest.raises(InvalidDataError) as caught:
            scformat.open(damaged).read([0])
        assert caught.value.code == "lost-chunk"
        assert path in str(caught.value)
        shutil.rmtree(damaged / path)


@pytest.mark.parametrize(
    ("array", "read"),
    [
        ("genes/1/taxon", lambda s: s.genes),
        ("parts/1/cells/index", lambda s: s.read([0])),
        ("parts/1/counts/shard_rows", lambda s: s.read([0])),
        ("parts/1/sources/measured", lambda s: s.read([0, 1, 2, 3, 4, 5, 6, 7]).measured()),
        ("parts/1/sources/stats", lambda s: s.sources_view.statistics(0)),
        ("parts/1/cells/barcode/offsets", lambda s: s.obs()),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_an_element_that_is_the_fill_value_is_no_datum(array: str, read: Any, damaged: Path) -> None:
    import tensorstore as ts

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{damaged / array}/"}}
    opened = ts.open(spec, open=True, write=True).result()
    opened[(0,) * opened.ndim].write(np.array(opened.fill_value)).result()
    with pytest.raises(InvalidDataError) as caught:
        read(scformat.open(damaged))
    assert caught.value.code == "lost-chunk"
    assert array in str(caught.value)


def test_entries_that_break_the_encoding_name_the_cell(damaged: Path, store: Store) -> None:
    import tensorstore as ts

    part = store.manifest.parts[0]
    starts = store.field("row_end", np.arange(N))
    cell = int(np.flatnonzero(np.diff(starts) > 5)[40]) + 1
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{damaged / part.entries.path}/"}}
    opened = ts.open(spec, open=True, write=True).result()
    for pair in ([60_000, 1], [3, 0], [65_535, 9]):
        opened[:, int(starts[cell - 1]) + 1].write(np.array(pair, np.uint16)).result()
        bad = scformat.open(damaged)
        with pytest.raises(InvalidDataError) as caught:
            bad.read([0, 1, cell, 2])
        assert caught.value.code == "bad-entries"
        assert f"cell {cell}" in str(caught.value)
        assert bad.read([0, 1, 2]).csr().shape[0] == 3, "other cells are as good as before"


def test_a_directory_without_permission_or_in_place_of_a_file(damaged: Path) -> None:
    file = damaged / "parts/1/counts/entries/c/0/0"
    file.unlink()
    file.mkdir()
    with pytest.raises(ScformatError) as caught:
        scformat.open(damaged).read([0])
    assert caught.value.code in ("storage-failed", "not-a-file", "lost-chunk")
    assert "\n" not in str(caught.value)

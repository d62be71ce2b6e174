"""The real files: each alone, refused ones, all human ones in one store, two organisms together."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scformat
from scformat.errors import InvalidDataError
from scformat.exporting import source_anndata

if TYPE_CHECKING:
    from collections.abc import Callable

    import anndata

    from scformat.store import Store


class Expected(NamedTuple):
    """A line of the table in the README of the files."""

    n_cells: int
    n_vars: int
    n_nonzero: int
    total: int
    counts: str
    layout: str


TABLE = {
    "pbmc_facs": Expected(3774, 16791, 2_702_861, 7_500_459, "X", "csc"),
    "mixology_sc_celseq2": Expected(274, 28204, 1_954_979, 10_321_416, "X", "csr"),
    "mixology_sc_dropseq": Expected(225, 15127, 1_290_921, 5_830_998, "X", "csc"),
    "cas_test_adata": Expected(100, 18082, 186_299, 365_299, "X", "csr"),
    "heart_1k_mouse": Expected(712, 31053, 1_297_265, 5_851_495, "X", "csr"),
    "pegasus_heart_1k_v2.10x": Expected(712, 31053, 1_297_265, 5_851_495, "matrix", "csr"),
    "scanpy_10x_v3.10x": Expected(1107, 507, 23_866, 41_549, "matrix", "csr"),
    "scvi_pbmc_10k_protein_v3": Expected(200, 16727, 317_760, 909_531, "X", "dense"),
    "scvi_pbmc_5k_protein_v3": Expected(200, 16581, 387_353, 1_351_231, "X", "dense"),
    "scimilarity_test": Expected(1000, 1000, 90_431, 295_271, "layers/counts", "csr"),
    "cxg_example_with_labels": Expected(320, 123, 19_430, 168_546, "X", "csr"),
    "cxg_example_valid": Expected(2, 7, 13, 49, "raw", "csr"),
    "scp_test": Expected(238, 187, 34_169, 34_772_921, "X", "dense"),
    "anndata_archive_v0.7.0": Expected(30, 40, 480, 627, "raw", "csr"),
    "bpcells_mini_v0.6.22": Expected(3, 5, 8, 15, "X", "csr"),
    "anndataR_example": Expected(50, 100, 4317, 9805, "layers/counts", "csr"),
}
REFUSED = {
    "anndata_archive_v0.5.0_pbmc68k": {"X": "a negative number", "raw": "a fraction", "layers/counts": "absent"},
    "soma_categorical_int_nan": {"X": "a negative number", "raw": "absent", "layers/counts": "absent"},
    "soma_x_none": {"X": "absent", "raw": "absent", "layers/counts": "absent"},
}
ENSEMBL = ["pbmc_facs", "mixology_sc_celseq2", "mixology_sc_dropseq"]
HUMAN = [
    *ENSEMBL,
    "cas_test_adata",
    "scvi_pbmc_10k_protein_v3",
    "scvi_pbmc_5k_protein_v3",
    "scimilarity_test",
    "scp_test",
]


def file_of(directory: Path, name: str) -> Path:
    return next(p for p in (directory / f"{name}.h5ad", directory / f"{name}.h5") if p.exists())


def read(path: Path) -> anndata.AnnData:
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old files, and of names that are not unique
        return anndata.read_h5ad(path)


def original(directory: Path, name: str) -> tuple[sparse.csr_matrix, list[str], pd.DataFrame]:
    """Counts, var names and obs of a file, read without this package."""
    path = file_of(directory, name)
    if path.suffix == ".h5":
        return read_10x(path)
    data = read(path)
    place = TABLE[name].counts
    table = data.raw if place == "raw" else data
    matrix = table.X if place in ("X", "raw") else data.layers[place.removeprefix("layers/")]
    return sparse.csr_matrix(matrix), list(table.var_names), data.obs


def read_10x(path: Path) -> tuple[sparse.csr_matrix, list[str], pd.DataFrame]:
    import h5py

    with h5py.File(path) as file:
        (group,) = file.values()
        features = group.get("features", group)
        ids = features["id" if "features" in group else "genes"][:].astype(str).tolist()
        shape = (len(group["barcodes"]), len(ids))
        counts = sparse.csr_matrix((group["data"][:], group["indices"][:], group["indptr"][:]), shape)
        return counts, ids, pd.DataFrame(index=group["barcodes"][:].astype(str))


@pytest.fixture(scope="module")
def converted(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Store]:
    """Return a function that converts one file, once."""
    directory = tmp_path_factory.mktemp("single")
    made: dict[str, Store] = {}

    def convert(name: str) -> Store:
        if name not in made:
            made[name] = scformat.convert(file_of(shared_data, name), directory / f"{name}.cells", jobs=2)
        return made[name]

    return convert


@pytest.mark.parametrize("name", TABLE)
def test_each_file_alone(name: str, converted: Callable[..., Store], shared_data: Path, tmp_path: Path) -> None:
    expected = TABLE[name]
    store = converted(name)
    record = store.sources.iloc[0]
    assert record[["n_cells", "n_vars", "n_nonzero", "total", "counts", "layout"]].tolist() == list(expected)
    assert store.sources.index.tolist() == [name]
    counts = store.read(np.arange(store.n_cells)).csr(np.int64)
    assert (counts.shape[0], counts.nnz, counts.sum()) == (expected.n_cells, expected.n_nonzero, expected.total)

    matrix, var_names, obs = original(shared_data, name)
    path = tmp_path / "back.h5ad"
    scformat.export(store, path, source=name)
    back = read(path)
    assert back.shape == matrix.shape
    assert (matrix != back.X).nnz == 0
    assert list(back.obs_names) == list(obs.index)
    assert back.X.dtype == matrix.dtype
    if file_of(shared_data, name).suffix == ".h5ad":
        assert list(back.var_names) == var_names
        pd.testing.assert_frame_equal(back.obs, obs)
        assert back.obs.index.name == obs.index.name
        pd.testing.assert_frame_equal(store.obs(list(obs.columns)), obs, check_names=False)
    rows = np.arange(store.n_cells)
    np.testing.assert_array_equal(store.field("total_counts", rows), matrix.sum(axis=1).A1)
    matrix.eliminate_zeros()
    np.testing.assert_array_equal(store.field("n_genes", rows), np.diff(matrix.indptr))


@pytest.mark.parametrize("name", TABLE)
def test_statistics_of_each_file(name: str, converted: Callable[..., Store]) -> None:
    store = converted(name)
    counts = store.read(np.arange(store.n_cells)).csr(np.int64).tocsc()
    counts.sort_indices()
    table = store.sources_view.statistics(0)
    np.testing.assert_array_equal(table["n_cells"], np.diff(counts.indptr))
    np.testing.assert_array_equal(table["sum"], counts.sum(axis=0).A1)
    np.testing.assert_array_equal(table["sum_of_squares"], counts.multiply(counts).sum(axis=0).A1)
    medians = [
        int(np.sort(column)[(len(column) - 1) // 2]) if len(column) else 0
        for column in np.split(counts.data, counts.indptr[1:-1])
    ]
    assert table["median"].tolist() == medians


@pytest.mark.parametrize("name", REFUSED)
def test_refused_files(name: str, shared_data: Path, tmp_path: Path) -> None:
    path = file_of(shared_data, name)
    with pytest.raises(InvalidDataError) as caught:
        scformat.convert(path, tmp_path / "a.cells", jobs=1)
    text = str(caught.value)
    assert caught.value.code == "counts-not-found"
    assert caught.value.exit_code == 1
    assert "\n" not in text
    for place, found in REFUSED[name].items():
        assert f"{place}: {found}" in text
    assert path.name in text
    assert not list(tmp_path.iterdir())


def test_refused_files_are_one_line_of_the_command(shared_data: Path, tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    for name, places in REFUSED.items():
        command = [sys.executable, "-W", "error", "-m", "scformat", "convert"]
        ended = subprocess.run(
            [*command, str(file_of(shared_data, name)), str(tmp_path / "a.cells")],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = ended.stderr.strip().splitlines()
        assert line.startswith("error: ")
        assert all(place in line for place in places)
    assert not list(tmp_path.iterdir())


def test_refused_files_are_skipped(shared_data: Path, tmp_path: Path) -> None:
    names = [*REFUSED, "bpcells_mini_v0.6.22"]
    sources = [file_of(shared_data, name) for name in names]
    store = scformat.convert(sources, tmp_path / "a.cells", on_bad="skip", jobs=1)
    assert store.sources.index.tolist() == ["bpcells_mini_v0.6.22"]
    assert [s.path for s in store.manifest.skipped] == [f"{name}.h5ad" for name in REFUSED]


@pytest.fixture(scope="module")
def human(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    sources = [file_of(shared_data, name) for name in HUMAN]
    return scformat.convert(sources, tmp_path_factory.mktemp("human") / "human.cells", order="shuffled", jobs=2)


def test_all_human_files_cell_by_cell(human: Store, shared_data: Path) -> None:
    assert human.sources.index.tolist() == HUMAN
    assert human.n_cells == sum(TABLE[name].n_cells for name in HUMAN)
    assert human.sources["total"].tolist() == [TABLE[name].total for name in HUMAN]
    rows = np.arange(human.n_cells)
    source, source_row = human.field("source", rows), human.field("source_row", rows)
    barcodes = human.barcodes().to_numpy()
    for number, name in enumerate(HUMAN):
        matrix, var_names, obs = original(shared_data, name)
        genes = human.sources_view.genes(number)
        assert list(genes.names) == var_names
        assert (genes.gene >= 0).all(), "a union keeps every gene"
        mine = rows[source == number]
        assert sorted(source_row[mine].tolist()) == list(range(matrix.shape[0]))
        columns = np.arange(matrix.shape[1])
        mapping = sparse.csr_matrix((np.ones(len(columns)), (columns, genes.gene)), (len(columns), human.n_genes))
        found = human.read(mine).csr(np.float64)
        assert (found != matrix[source_row[mine]].astype(np.float64) @ mapping).nnz == 0
        assert barcodes[mine].tolist() == obs.index[source_row[mine]].tolist()


def test_measured_tells_zeros_apart(human: Store, shared_data: Path) -> None:
    rows = np.arange(human.n_cells)
    source = human.field("source", rows)
    for number, name in enumerate(HUMAN):
        some = rows[source == number][:20]
        cells = human.read(some)
        mask = cells.measured()
        mapped = np.zeros(human.n_genes, bool)
        mapped[human.sources_view.genes(number).gene] = True
        assert (mask == mapped).all()
        assert not cells.dense()[~mask].any()
        assert mask.sum() < mask.size, f"{name} does not measure every gene"
        assert (mask & (cells.dense() == 0)).any(), "and some of what it measures is zero"


def test_ensembl_files_share_genes_by_id(human: Store) -> None:
    first, second = (human.sources_view.measured(np.array([HUMAN.index(name)]))[0] for name in ENSEMBL[1:])
    assert (first & second).sum() == 15_073
    assert first.sum() == 28_204
    assert second.sum() == 15_127


def test_symbols_find_the_genes_of_ensembl_files(human: Store) -> None:
    of_symbols = human.sources_view.genes(HUMAN.index("scvi_pbmc_10k_protein_v3")).gene
    numbers = np.array([HUMAN.index(name) for name in [*ENSEMBL, "cas_test_adata"]])
    measured = human.sources_view.measured(numbers).any(axis=0)
    assert measured[of_symbols].mean() >= 0.8
    assert human.genes["resolved"].to_numpy()[of_symbols].mean() >= 0.8


def test_exports_of_the_common_store(human: Store, shared_data: Path) -> None:
    for name in HUMAN:
        matrix, var_names, obs = original(shared_data, name)
        back = source_anndata(human, name)
        assert (matrix != back.X).nnz == 0
        assert list(back.var_names) == var_names
        pd.testing.assert_frame_equal(back.obs, obs)


def test_two_organisms(shared_data: Path, tmp_path: Path) -> None:
    names = ["pegasus_heart_1k_v2.10x", "heart_1k_mouse", "mixology_sc_dropseq"]
    sources = [file_of(shared_data, name) for name in names]
    store = scformat.convert(sources, tmp_path / "a.cells", splits="train=0.5,test=0.5", jobs=2)
    organisms = {o.taxon: o.n_genes for o in store.manifest.genes.organisms}
    assert set(organisms) == {9606, 10090}
    assert organisms[10090] == 31_053, "both files of the mouse measured the same genes"
    assert organisms[9606] == 15_127
    heart, again = (store.read(range(a, a + 712)).csr(np.int64) for a in (0, 712))
    assert (heart != again).nnz == 0, "one experiment in two formats"
    duplicates = [(f.source, f.cells) for f in store.manifest.findings if f.what == "duplicate-cells"]
    assert duplicates == [("heart_1k_mouse", 712)]
    split = store.field("split", np.arange(1424))
    np.testing.assert_array_equal(split[:712], split[712:])
    taxa = store.genes["taxon"].to_numpy()
    assert not store.read(range(1424)).dense()[:, taxa == 9606].any()
    both = store.read([0, 1424]).measured()
    assert (both[0] == (taxa == 10090)).all()
    assert (both[1] == (taxa == 9606)).all()
    human = scformat.convert(sources, tmp_path / "b.cells", where="source == 'mixology_sc_dropseq'", jobs=2)
    assert human.n_cells == 225


def test_a_count_above_uint16(converted: Callable[..., Store], shared_data: Path) -> None:
    store = converted("scp_test")
    counts = store.read(np.arange(store.n_cells)).csr()
    assert counts.max() == 67_938
    matrix, _, _ = original(shared_data, "scp_test")
    assert (counts > 65_535).sum() == (matrix > 65_535).sum() > 0
    with pytest.raises(InvalidDataError, match="count-not-exact"):
        store.read(np.arange(store.n_cells)).csr(np.uint16)


def test_human_and_mouse_cells_of_one_file(converted: Callable[..., Store], shared_data: Path) -> None:
    store = converted("cxg_example_with_labels")
    obs = original(shared_data, "cxg_example_with_labels")[2]
    assert store.labels["organism"].counts.sum() == 320
    assert len(store.labels["organism"].categories) == obs["organism"].nunique() > 1
    ontology = store.labels["cell_type"].ontology
    assert ontology is not None
    for term in ontology.terms.index[:5]:
        assert set(store.select(f"cell_type under '{term}'")) <= set(range(320))


def size_of(path: Path) -> int:
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


@pytest.mark.parametrize("name", ["heart_1k_mouse", "pegasus_heart_1k_v2.10x", "scvi_pbmc_10k_protein_v3"])
def test_bytes_a_non_zero(name: str, converted: Callable[..., Store]) -> None:
    store = converted(name)
    entries = size_of(Path(store.path) / store.manifest.parts[0].entries.path)
    assert entries / TABLE[name].n_nonzero <= 1.2


def test_places_named_by_hand(shared_data: Path, tmp_path: Path) -> None:
    stores = {
        place: scformat.convert(
            file_of(shared_data, "anndataR_example"), tmp_path / f"{place[7:]}.cells", counts=place, jobs=1
        )
        for place in ("layers/counts", "layers/csc_counts", "layers/dense_counts")
    }
    layouts = [store.sources.iloc[0]["layout"] for store in stores.values()]
    assert layouts == ["csr", "csc", "dense"]
    first, *others = (store.read(np.arange(50)).dense() for store in stores.values())
    for other in others:
        np.testing.assert_array_equal(other, first)


def test_sources_are_only_read(shared_data: Path, tmp_path: Path) -> None:
    path = file_of(shared_data, "cxg_example_valid")
    before: Any = (path.read_bytes(), path.stat().st_mtime_ns, sorted(p.name for p in shared_data.iterdir()))
    scformat.convert(path, tmp_path / "a.cells", jobs=1)
    assert before == (path.read_bytes(), path.stat().st_mtime_ns, sorted(p.name for p in shared_data.iterdir()))

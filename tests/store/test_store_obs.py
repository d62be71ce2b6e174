"""Obs columns, labels and selections of a store, and the way back to AnnData."""

from __future__ import annotations

import functools
import json
import warnings
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, gene_ids, rich_obs, sample

import scformat
from scformat.errors import InvalidDataError, UnknownNameError, UsageError
from scformat.exporting import source_anndata

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.store import Store

N = 300


def with_obs(obs: dict[str, Any], *, seed: int = 0, prefix: str = "a") -> anndata.AnnData:
    n = len(next(iter(obs.values())))
    return sample(counts_matrix(n, 8, seed=seed, mean=1.0), obs=obs, prefix=prefix)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Store]:
    """Return a function that converts sources to a new store."""
    number = iter(range(99))

    def make(*sources: anndata.AnnData, **options: Any) -> Store:
        return scformat.convert(list(sources), tmp_path / f"{next(number)}.cells", jobs=1, **options)

    return make


@pytest.fixture(scope="module")
def rich() -> anndata.AnnData:
    data = sample(counts_matrix(N, 20, seed=5))
    data.obs = rich_obs(N).set_axis(data.obs_names)
    return data


@pytest.fixture(scope="module")
def store(rich: anndata.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return scformat.convert(rich, tmp_path_factory.mktemp("stores") / "a.cells", jobs=2)


def test_every_type_comes_back(rich: anndata.AnnData, store: Store) -> None:
    pd.testing.assert_frame_equal(store.obs(), rich.obs)
    rows = [N - 1, 3, 3, 0]
    pd.testing.assert_frame_equal(store.obs(rows=rows), rich.obs.iloc[rows])
    pd.testing.assert_frame_equal(store.obs(["score", "stage"], rows), rich.obs.iloc[rows][["score", "stage"]])


def test_types_do_not_depend_on_the_rows(rich: anndata.AnnData, store: Store) -> None:
    for rows in ([0], [7, 8], []):
        assert store.obs(rows=rows).dtypes.to_dict() == rich.obs.dtypes.to_dict()


@pytest.mark.parametrize("order", ["source", "shuffled"])
def test_export_of_a_source_is_the_source(
    order: str, rich: anndata.AnnData, made: Callable[..., Store], tmp_path: Path
) -> None:
    other = with_obs({"kind": pd.Categorical(["x", "T cell"]), "score": [1, 2], "note": ["p", "q"]}, prefix="b")
    rich = rich.copy()
    rich.obs.index.name, rich.var.index.name = "barcode", "gene"
    store = made(rich, other, order=order)
    for name, data in {"anndata": rich, "anndata-2": other}.items():
        path = tmp_path / f"{name}.h5ad"
        scformat.export(store, path, source=name)
        back = anndata.read_h5ad(path)
        pd.testing.assert_frame_equal(back.obs, data.obs)
        assert back.obs.index.name == data.obs.index.name
        assert back.var.index.name == data.var.index.name
        assert list(back.var_names) == list(data.var_names)
        assert back.X.dtype == data.X.dtype
        np.testing.assert_array_equal(back.X.toarray(), data.X.toarray())


def test_export_of_rows_of_a_source(rich: anndata.AnnData, made: Callable[..., Store], tmp_path: Path) -> None:
    other = with_obs({"kind": ["x", "y"]}, prefix="b")
    store = made(rich, other, order="shuffled")
    where = "kind == 'T cell' or kind == 'x'"
    scformat.export(store, tmp_path / "a.h5ad", source="anndata", where=where)
    back = anndata.read_h5ad(tmp_path / "a.h5ad")
    expected = rich.obs[rich.obs["kind"] == "T cell"]
    pd.testing.assert_frame_equal(back.obs, expected)
    rows = store.select(where)[:40]
    (tmp_path / "rows.txt").write_text("\n".join(map(str, rows)))
    scformat.export(store, tmp_path / "b.h5ad", rows=tmp_path / "rows.txt", where="source == 'anndata'")
    back = anndata.read_h5ad(tmp_path / "b.h5ad")
    inside = rows[np.isin(rows, store.select("source == 'anndata'"))]
    np.testing.assert_array_equal(back.X.toarray(), store.read(inside).dense())
    for bad in ([0.5], np.ones(store.n_cells, bool), [-1], [10**6]):
        with pytest.raises(UsageError):
            scformat.export(store, tmp_path / "c.h5ad", source="anndata", rows=bad)
    assert not (tmp_path / "c.h5ad").exists()


def test_a_source_that_measured_too_little_keeps_its_columns(made: Callable[..., Store]) -> None:
    values = counts_matrix(5, 6, mean=2.0)
    store = made(sample(values), sample(values[:, :3], genes=gene_ids(3), prefix="b"), genes="intersection")
    back = source_anndata(store, "anndata")
    assert list(back.var_names) == gene_ids(6)
    np.testing.assert_array_equal(back.X.toarray()[:, :3], values[:, :3])
    assert back.X[:, 3:].nnz == 0
    assert store.sources["n_left_out"].tolist() == [3, 0]


def test_to_anndata(rich: anndata.AnnData, store: Store) -> None:
    rows = [5, 200, 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = store.to_anndata(rows)
        whole = store.to_anndata()
    assert data.X.format == "csr"
    np.testing.assert_array_equal(data[:, list(rich.var_names)].X.toarray(), rich.X.toarray()[rows])
    pd.testing.assert_frame_equal(data.obs, rich.obs.iloc[rows])
    pd.testing.assert_frame_equal(data.var, store.genes, check_names=False)
    assert whole.shape == (N, 20)


# -- columns of several sources -----------------------------------------------------------------------------------


SOME: dict[str, tuple[Any, str]] = {
    "integers": ([1, 2, 3], "Int64"),
    "booleans": ([True, False, True], "boolean"),
    "small": (np.array([1, 2, 3], np.uint8), "UInt8"),
    "floats": ([0.5, 1.0, 2.0], "float64"),
    "single": (np.array([0.5, 1, 2], np.float32), "float32"),
    "texts": (["a", "b", "a"], "object"),
    "categories": (pd.Categorical(["a", "b", "a"]), "category"),
    "masked integers": (pd.array([1, None, 3], dtype="Int64"), "Int64"),
    "masked booleans": (pd.array([True, None, False], dtype="boolean"), "boolean"),
}


@pytest.mark.parametrize("at", [0, 1])
def test_columns_that_only_some_sources_have(at: int, made: Callable[..., Store]) -> None:
    sources = [with_obs({"y": [1, 2]}, prefix="b")]
    sources.insert(at, with_obs({name: values for name, (values, _) in SOME.items()}))
    store = made(*sources)
    mine = store.field("source", np.arange(5)) == at
    for name, (values, dtype) in SOME.items():
        column = store.obs([name])[name]
        assert str(column.dtype) == dtype
        assert column[~mine].isna().all(), name
        assert column[mine].isna().tolist() == pd.Series(values).isna().tolist()
        assert column[mine].dropna().tolist() == pd.Series(values).dropna().tolist()
        assert store.select(f"`{name}` is missing").tolist() == np.flatnonzero(column.isna()).tolist()
    pd.testing.assert_frame_equal(source_anndata(store, store.sources.index[at]).obs, sources[at].obs)


COLUMNS: dict[str, Any] = {
    "integers": [1, 2, 2**40],
    "small": np.array([1, 2, 3], np.int8),
    "floats": [0.1, 2.0, -np.inf],
    "single": np.array([0.1, 2, np.nan], np.float32),
    "booleans": [True, False, True],
    "strings": ["a", "", "2"],
    "categorical": pd.Categorical(["b", "a", "b"], ["b", "a", "unused"], ordered=True),
    "numbers": pd.Categorical([3, 1, 3]),
    "halves": pd.Categorical([0.5, 1.0, 0.5]),
    "flags": pd.Categorical([True, False, True]),
    "missing": pd.Categorical(["a", None, "c"]),
    "Int64": pd.array([1, None, 2**53 + 1], dtype="Int64"),
    "Float64": pd.array([1.5, None, 3.25], dtype="Float64"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "text": pd.array(["a", None, "2"], dtype="string"),
    "unsigned": np.array([2**63 + 5, 1, 2], np.uint64),
    "negative": [-1, -2, -(2**63)],
}


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[anndata.AnnData], Store]]:
    """Return a function that gives a store of two sources: `first` in all columns of one, every type in the other."""
    directory = tmp_path_factory.mktemp("paired")

    @functools.cache
    def paired(first: str) -> tuple[list[anndata.AnnData], Store]:
        sources = [
            with_obs(dict.fromkeys(COLUMNS, COLUMNS[first])),
            with_obs(COLUMNS, prefix="b", seed=1),
        ]
        return sources, scformat.convert(sources, directory / f"{first}.cells", jobs=1)

    return paired


@pytest.mark.parametrize("first", COLUMNS)
def test_each_source_gets_its_own_types_back(first: str, paired: Callable[[str], Any]) -> None:
    sources, store = paired(first)
    for name, data in zip(store.sources.index, sources, strict=True):
        pd.testing.assert_frame_equal(source_anndata(store, name).obs, data.obs)


def lost(values: Any) -> list[bool]:
    return pd.isna(pd.Series(list(values), dtype=object)).tolist()


@pytest.mark.parametrize("second", COLUMNS)
@pytest.mark.parametrize("first", COLUMNS)
def test_a_column_of_two_types_holds_every_value(first: str, second: str, paired: Callable[[str], Any]) -> None:
    _, store = paired(first)
    column = store.obs([second])[second]
    expected = [*pd.Series(COLUMNS[first]), *pd.Series(COLUMNS[second])]
    assert lost(column) == lost(expected)
    for found, wanted in zip(column[column.notna()], [v for v in expected if not pd.isna(v)], strict=True):
        assert found == (str(wanted) if isinstance(found, str) else wanted)


def test_missing_text(made: Callable[..., Store]) -> None:
    data = with_obs({"x": np.array(["a", None, "", np.nan], object)})
    store = made(data)
    for column in (store.obs()["x"], source_anndata(store, "anndata").obs["x"]):
        assert column.isna().tolist() == [False, True, False, True]
        assert column.dropna().tolist() == ["a", ""]
    assert store.select("x is missing").tolist() == [1, 3]
    assert store.select("x == ''").tolist() == [2]


def test_extreme_numbers(made: Callable[..., Store]) -> None:
    obs = {
        "low32": np.array([-(2**31), -(2**31) + 1, 2**31 - 1]),
        "low64": np.array([-(2**63), -(2**63) + 4096, 2**63 - 1]),
        "u64": np.array([0, 4096, 2**64 - 1], np.uint64),
        "u8": np.array([0, 1, 255], np.uint8),
        "f32": np.array([np.finfo(np.float32).min, np.nan, -0.0], np.float32),
        "f64": np.array([np.finfo(np.float64).min, np.inf, 5e-324]),
        "f16": np.array([0.5, np.nan, 65504], np.float16),
        "i8": np.array([-128, 0, 127], np.int8),
    }
    data = with_obs(obs)
    for order in ("source", "shuffled"):
        store = made(data, order=order)
        pd.testing.assert_frame_equal(store.obs().loc[data.obs_names], data.obs)
        assert np.signbit(store.obs()["f32"].loc["a-2"])


@pytest.mark.parametrize(
    "values",
    [pd.Categorical(["p", "q", "p"]), ["p", "q", "r"], [5, 6, 7], [0.5, 1.5, 2.5]],
    ids=["categories", "texts", "integers", "floats"],
)
def test_columns_named_like_fields_of_the_store(values: Any, made: Callable[..., Store]) -> None:
    names = ["source", "source_row", "split", "total_counts", "n_genes", "row_end", "study"]
    one, two = with_obs(dict.fromkeys(names, values)), with_obs(dict.fromkeys(names, values), prefix="b", seed=1)
    store = made(one, two, order="shuffled", splits="a=0.5,b=0.5")
    for source, data in {"anndata": one, "anndata-2": two}.items():
        back = source_anndata(store, source)
        pd.testing.assert_frame_equal(back.obs, data.obs)
        np.testing.assert_array_equal(back.X.toarray(), data.X.toarray())
    for name in names:
        assert store.obs([name])[name].loc["a-1"] == values[1]


def test_names_of_columns_are_data(made: Callable[..., Store]) -> None:
    names = ["é/ü", "a b", "../x", "zarr.json", "c", "\N{GREEK SMALL LETTER ALPHA}", "x'\"", ".", "n"]
    data = with_obs({name: [1, 2, 3] for name in names} | {"k " + name: pd.Categorical(list("aba")) for name in names})
    store = made(data)
    pd.testing.assert_frame_equal(store.obs(), data.obs)
    assert set(store.labels) == {"k " + name for name in names}


# -- labels -------------------------------------------------------------------------------------------------------


def test_labels(store: Store, rich: anndata.AnnData) -> None:
    assert set(store.labels) == {"kind", "stage", "cluster", "doublet"}
    assert len(store.labels) == 4
    for name in store.labels:
        label, column = store.labels[name], rich.obs[name]
        assert label.name == name
        assert label.categories == tuple(sorted({str(v) for v in column.dropna()}, key=str.encode))
        codes = label.codes()
        assert codes.dtype == np.int32
        texts = [None if c < 0 else label.categories[c] for c in codes.tolist()]
        assert texts == [None if pd.isna(v) else str(v) for v in column]
        assert label.counts.to_dict() == {c: texts.count(c) for c in label.categories}
        assert label.codes([7, 7, 0]).tolist() == [codes[7], codes[7], codes[0]]
        assert label.ontology is None
    assert (store.labels["cluster"].codes() == -1).sum() == rich.obs["cluster"].isna().sum() > 0
    with pytest.raises(UnknownNameError, match="did you mean one of 'stage'") as caught:
        store.labels["stag"]
    assert isinstance(caught.value, KeyError)
    assert "nothing" not in store.labels


def test_identifiers_are_no_labels(made: Callable[..., Store]) -> None:
    data = with_obs({"id": pd.Categorical([f"c{i}" for i in range(80)]), "k": pd.Categorical(["a", "b"] * 40)})
    store = made(data)
    assert list(store.labels) == ["k"]
    assert [(f.value, f.what) for f in store.manifest.findings if f.what == "not-a-label"] == [("id", "not-a-label")]
    pd.testing.assert_frame_equal(store.obs(), data.obs)


ONTOLOGY = {
    "cell_type_ontology_term_id": ["CL:0000236", "CL:0000084", "CL:0000624", "CL:0000084", "unknown"],
    "cell_type": ["B cell", "T cell", "CD4-positive, alpha-beta T cell", "T cell", "unknown"],
}


def test_ontology_labels(made: Callable[..., Store]) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    named = with_obs({"cell_type": pd.Categorical(["T cell", "mystery", "B cell"])}, prefix="b", seed=1)
    full = with_obs({name: pd.Categorical(values) for name, values in ONTOLOGY.items()})
    store = made(full, named)
    label = store.labels["cell_type"]
    assert label.counts["T cell"] == 3
    assert label.counts["B cell"] == 2
    assert label.ontology is not None
    graph = label.ontology
    assert "CL:0000084" in graph.parents("CL:0000624") or "CL:0000084" in graph.ancestors("CL:0000624")
    assert "CL:0000624" in graph.descendants("T cell")
    assert graph.counts["CL:0000084"] == 4
    assert graph.counts["CL:0000624"] == 1
    assert graph.terms.loc["CL:0000236", "name"] == "B cell"
    under = store.select("cell_type under 'T cell'")
    assert under.tolist() == [1, 2, 3, 5]
    assert store.select("cell_type under 'CL:0000084'").tolist() == under.tolist()
    assert store.select("cell_type == 'T cell'").tolist() == [1, 3, 5]
    pd.testing.assert_frame_equal(source_anndata(store, "anndata").obs, full.obs)
    pd.testing.assert_frame_equal(source_anndata(store, "anndata-2").obs, named.obs)
    plain = made(full, ontology=False)
    assert plain.labels["cell_type"].ontology is None
    with pytest.raises(UsageError, match="no-ontology"):
        plain.select("cell_type under 'T cell'")


# -- selections ---------------------------------------------------------------------------------------------------

MASKS: dict[str, Callable[[pd.DataFrame], Any]] = {
    "kind == 'T cell'": lambda o: o["kind"] == "T cell",
    "kind != 'T cell'": lambda o: o["kind"] != "T cell",
    "kind in ('T cell', 'B cell') and good": lambda o: o["kind"].isin(["T cell", "B cell"]) & o["good"],
    "not good": lambda o: ~o["good"],
    "score > 0.5 or score < -1": lambda o: (o["score"] > 0.5) | (o["score"] < -1),
    "depth >= 1000000000": lambda o: o["depth"] >= 10**9,
    "masked >= 2": lambda o: (o["masked"] >= 2).fillna(value=False),
    "masked is missing": lambda o: o["masked"].isna(),
    "maybe": lambda o: o["maybe"].fillna(value=False),
    "fraction < 0.25": lambda o: o["fraction"] < 0.25,
    "fraction is missing": lambda o: o["fraction"].isna(),
    "stage == 'mid' and not (kind == 'B cell' or lane < 100)": lambda o: (
        (o["stage"] == "mid") & ~((o["kind"] == "B cell") | (o["lane"] < 100))
    ),
    "note == 'note 3 é'": lambda o: o["note"] == "note 3 é",
    "cluster is missing": lambda o: o["cluster"].isna(),
}


@pytest.mark.parametrize("expression", MASKS)
def test_select_is_the_mask_of_pandas(expression: str, store: Store, rich: anndata.AnnData) -> None:
    expected = np.flatnonzero(MASKS[expression](rich.obs).to_numpy(bool))
    found = store.select(expression)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
    assert 0 < len(found) < N


def test_select_by_figures(store: Store, rich: anndata.AnnData) -> None:
    totals = rich.X.sum(axis=1).A1
    np.testing.assert_array_equal(store.select("total_counts >= 10"), np.flatnonzero(totals >= 10))
    np.testing.assert_array_equal(store.select("n_genes < 4"), np.flatnonzero(rich.X.getnnz(axis=1) < 4))
    assert store.select("source == 'anndata'").tolist() == list(range(N))
    assert store.select("total_counts < 0").tolist() == []


def test_unknown_columns(store: Store) -> None:
    for call in (lambda: store.obs(["scor"]), lambda: store.select("scor > 1")):
        with pytest.raises(UnknownNameError, match="did you mean one of 'score'") as caught:
            call()
        assert caught.value.code == "unknown-column"
    with pytest.raises(UsageError, match="not-a-list"):
        store.obs("score")
    with pytest.raises(UsageError):
        store.select("score > 'x'")
    with pytest.raises(UnknownNameError):
        source_anndata(store, "anndatta")


def test_what_a_store_says_of_itself(store: Store, rich: anndata.AnnData) -> None:
    genes = store.genes
    assert genes.index.name == "id"
    assert list(genes.columns) == ["symbol", "taxon", "biotype", "resolved"]
    assert sorted(genes.index) == sorted(rich.var_names)
    assert not genes["resolved"].any()
    described = scformat.describe(store)
    json.dumps(described)
    assert described["n_cells"] == N
    assert store.sources.index.name == "name"
    assert store.manifest.generator == f"scformat {scformat.__version__}"


def test_a_store_without_splits(store: Store) -> None:
    with pytest.raises(UnknownNameError) as caught:
        store.obs(["split"])
    assert "'split', " not in str(caught.value).split(";")[1]
    assert "split" not in store.column_names()


def test_an_export_refuses_to_replace_a_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.h5ad").write_text("precious")
    with pytest.raises(UsageError, match="destination-exists"):
        scformat.export(store, tmp_path / "a.h5ad")
    assert (tmp_path / "a.h5ad").read_text() == "precious"
    with pytest.raises(scformat.ScformatError):
        scformat.export(store, tmp_path / "no" / "a.h5ad")
    with pytest.raises(scformat.ScformatError):
        scformat.export(store, tmp_path / "b.h5ad", where="nothing == 1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5ad"]


def test_an_export_of_no_cells_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError) as caught:
        scformat.export(store, tmp_path / "a.h5ad", where="total_counts < 0")
    assert caught.value.code == "no-cells"
    assert not list(tmp_path.iterdir())

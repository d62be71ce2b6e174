"""obs and var columns of every form: h5ad, Zarr of both versions, memory; and tables that contradict themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from scformat.errors import InvalidDataError
from scformat.sources import Source, open_source
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.columns import Column

N = 6


def example() -> anndata.AnnData:
    """Make an object with obs columns of every type that AnnData writes."""
    codes = np.array([0, 1, -1, 1, 0, 1])

    def cat(*categories: Any, ordered: bool = False) -> pd.Categorical[Any]:
        return pd.Categorical.from_codes(codes, pd.Index(categories), ordered=ordered)

    obs = pd.DataFrame(
        {
            "text": ["a", "", "ü\U0001f9ec", "tab\t", "x" * 300, "a"],
            "cat": cat("zeta", "alpha", "unused"),
            "ordered": cat("low", "high", ordered=True),
            "cat_int": cat(10, 2),
            "cat_float": cat(0.1, 1e300),
            "cat_bool": cat(*np.array([1, 0], bool)),
            "all_missing": pd.Categorical([None] * N, ["a"]),
            "i8": np.arange(N, dtype=np.int8) - 3,
            "u64": np.full(N, 2**64 - 1, np.uint64),
            "f32": np.array([0.1, np.nan, np.inf, -np.inf, 0, 1], np.float32),
            "f64": np.linspace(0, 1, N),
            "flag": np.arange(N) % 2 == 0,
            "Int16": pd.array([1, None, 3, None, -5, 6], "Int16"),
            "UInt8": pd.array([1, 2, 3, 4, 5, 255], "UInt8"),
            "boolean": pd.array([True, None, False, True, None, False], "boolean"),
        },
        index=pd.Index([f"cell{i}-é" for i in range(N)], name="barcode"),
    )
    var = pd.DataFrame({"symbol": [f"S{i}" for i in range(4)]}, index=[f"ENSG{i}" for i in range(4)])
    x = sparse.random(N, 4, 0.6, "csr", np.float32, np.random.default_rng(0))
    adata = anndata.AnnData(x, obs, var, uns={"title": "T", "one": np.array(["only"]), "n": 3, "many": ["a", "b"]})
    adata.layers["counts"] = sparse.csc_matrix(x)
    adata.layers["dense"] = x.toarray()
    adata.obsm["X_pca"] = np.zeros((N, 2))
    adata.raw = adata[:, :3]
    return adata


@pytest.fixture
def stored(tmp_path: Path, write_zarr: Callable[..., None]) -> Callable[[anndata.AnnData, str], Source]:
    """Return a function that writes an object in one of the forms and opens it."""

    def store(adata: anndata.AnnData, form: str) -> Source:
        if form == "memory":
            return open_source(adata)
        if form == "h5ad":
            adata.write_h5ad(tmp_path / "s.h5ad", compression="gzip", convert_strings_to_categoricals=False)
            return open_source(tmp_path / "s.h5ad")
        write_zarr(adata, tmp_path / "s.zarr", int(form[-1]))
        return open_source(tmp_path / "s.zarr")

    return store


FORMS = ["h5ad", "zarr2", "zarr3", "memory"]


@pytest.mark.parametrize("form", FORMS)
def test_every_type_of_column(
    stored: Callable[[anndata.AnnData, str], Source],
    series: Callable[[Column], pd.Series[Any]],
    whole: Callable[..., np.ndarray[Any, Any]],
    form: str,
) -> None:
    adata = example()
    expected = adata.obs.copy()
    source = stored(adata, form)
    assert list(source.obs()) == list(expected.columns)
    for name, column in source.obs().items():
        pd.testing.assert_series_equal(
            series(column), expected[name].reset_index(drop=True), check_names=False, check_exact=True
        )
        assert len(column) == N
    assert source.obs()["cat_float"].categories == ("0.1", "1e+300")
    assert source.obs()["cat_bool"].categories == ("True", "False")
    assert source.obs()["ordered"].ordered
    assert not source.obs()["cat"].ordered
    assert list(source.barcodes()) == list(expected.index)
    assert source.index_name == "barcode"
    assert source.uns_text() == {"title": "T", "one": "only"}
    assert source.locations() == ["raw", "layers/counts", "X", "layers/dense"]
    for location in source.locations():
        matrix = source.matrix(location)
        dense = adata.X.toarray()[:, : matrix.shape[1]]
        np.testing.assert_array_equal(whole(matrix, 4), dense)
        assert matrix.bytes_stored == matrix.n_stored * (4 if matrix.layout == "dense" else 8)
        assert list(matrix.var.index) == [f"ENSG{i}" for i in range(matrix.shape[1])]
        assert list(matrix.var.columns["symbol"].values) == [f"S{i}" for i in range(matrix.shape[1])]
    assert {"obsm/X_pca", "var/symbol", "uns/many", "uns/n"} <= set(source.not_kept())
    assert len(source.sha256()) == 64
    source.close()


@pytest.mark.parametrize("form", FORMS)
def test_nullable_strings(stored: Callable[[anndata.AnnData, str], Source], form: str) -> None:
    adata = anndata.AnnData(np.ones((3, 2), np.float32))
    adata.obs["s"] = pd.array(["a", None, ""], dtype="string")
    with anndata.settings.override(allow_write_nullable_strings=True):
        column = stored(adata, form).obs()["s"]
    assert (column.kind, column.dtype, column.nullable) == ("string", "string", True)
    assert list(column.values) == ["a", "", ""]
    assert column.mask is not None
    assert column.mask.tolist() == [False, True, False]


def test_columns_of_memory_that_cannot_be_kept_are_listed() -> None:
    adata = anndata.AnnData(np.ones((3, 2), np.float32))
    adata.obs["when"] = pd.to_datetime(["2020-01-01"] * 3)
    adata.obs["mixed"] = [1, "a", None]
    adata.obs["gap"] = ["a", None, "c"]
    adata.obs["cat_when"] = pd.Categorical(pd.to_datetime(["2020-01-01"] * 3))
    source = open_source(adata, name="mine")
    assert source.name == "mine"
    assert list(source.obs()) == ["gap"]
    assert source.obs()["gap"].mask is not None
    assert not source.obs()["gap"].nullable
    left = source.not_kept()
    assert any(line.startswith("obs/when (type datetime64") for line in left)
    assert any(line.startswith("obs/mixed (objects: mixed") for line in left)
    assert any(line.startswith("obs/cat_when (categories of type datetime64") for line in left)


def test_columns_of_a_file_that_cannot_be_kept_are_listed(tmp_path: Path) -> None:
    example().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        del file["obs/f64"], file["obs/flag"], file["obs/i8"]
        file["obs/f64"] = np.zeros((N, 2))
        file["obs/i8"] = np.zeros(N, np.complex64)
        file.create_group("obs/flag").attrs["encoding-type"] = "awkward-array"
        file["obs/stray"] = np.zeros(N)
    source = open_source(tmp_path / "a.h5ad")
    assert not {"f64", "i8", "flag", "stray"} & set(source.obs())
    assert source.not_kept()[:4] == [
        "obs/stray (not in column-order)",
        "obs/i8 (type complex64)",
        "obs/f64 (shape (6, 2))",
        "obs/flag (type awkward-array)",
    ]


def old_file(path: Path, *, categories: object) -> Path:
    """Write a file as anndata 0.6 did: compound tables, categories in uns, raw.X beside X."""
    with h5py.File(path, "w") as file:
        obs = np.zeros(3, [("index", "S4"), ("louvain", "i1"), ("n", "<i4"), ("text", "S3"), ("ok", "?")])
        obs["index"], obs["louvain"], obs["text"] = [b"c0", b"c1", b"c2"], [0, -1, 0], [b"a", "é".encode(), b""]
        file["obs"] = obs
        var = np.zeros(2, [("index", h5py.string_dtype()), ("kind", "i1")])
        var["index"], var["kind"] = ["g0", "g1"], [1, 0]
        file["var"] = var
        raw = np.zeros(3, [("index", "S2"), ("kind", "i1")])
        raw["index"], raw["kind"] = [b"g0", b"g1", b"g2"], [0, 1, 1]
        file["raw.var"] = raw
        file["raw.cat/kind_categories"] = np.array([b"x", b"y"])
        file["uns/louvain_categories"] = categories
        file["uns/kind_categories"] = np.array([b"p", b"q"])
        file["X"] = np.eye(3, 2, dtype=np.float32)
        group = file.create_group("raw.X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = "csr", (3, 3)
        stored_as = sparse.csr_matrix(np.arange(9, dtype=np.float32).reshape(3, 3))
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(stored_as, name)
        file["obsm"] = np.zeros(3, [("X_pca", "f4", (2,))])
    return path


def test_tables_from_before_0_7(tmp_path: Path, whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    source = open_source(old_file(tmp_path / "old.h5ad", categories=np.array([b"T cell"])))
    obs = source.obs()
    assert list(obs) == ["louvain", "n", "text", "ok"]
    assert obs["louvain"].categories == ("T cell",)
    assert obs["louvain"].codes.tolist() == [0, -1, 0]
    assert list(obs["text"].values) == ["a", "é", ""]
    assert [obs[name].kind for name in obs] == ["categorical", "integer", "string", "boolean"]
    raw, x = source.matrices()
    np.testing.assert_array_equal(whole(raw), np.arange(9).reshape(3, 3))
    np.testing.assert_array_equal(whole(x), np.eye(3, 2))
    assert raw.var.columns["kind"].categories == ("x", "y")
    assert x.var.columns["kind"].categories == ("p", "q")
    assert list(x.var.index) == ["g0", "g1"]
    assert "obsm/X_pca" in source.not_kept()
    assert "uns/louvain_categories" not in source.not_kept()


def test_a_single_category_stored_as_a_scalar(tmp_path: Path) -> None:
    source = open_source(old_file(tmp_path / "old.h5ad", categories="only"))
    assert source.obs()["louvain"].categories == ("only",)


def test_categories_by_path_in_old_zarr(tmp_path: Path) -> None:
    import zarr

    root = zarr.open_group(tmp_path / "old.zarr", mode="w", zarr_format=2)
    for table, n in (("obs", 3), ("var", 2)):
        group = root.create_group(table, attributes={"_index": "_index", "column-order": ["c"]})
        group.create_array("_index", data=np.array([f"{table}{i}" for i in range(n)]))
        codes = group.create_array("c", data=np.arange(n, dtype=np.int8) - 1)
        codes.attrs["categories"] = "__categories/c"
        names = group.create_array("__categories/c", data=np.array(["é", "b"]))
        names.attrs["ordered"] = True
    root.create_array("X", data=np.ones((3, 2)))
    column = open_source(tmp_path / "old.zarr").obs()["c"]
    assert column.categories == ("é", "b")
    assert column.codes.tolist() == [-1, 0, 1]
    assert column.ordered


def broken(path: Path, change: Callable[[h5py.File], None]) -> Source:
    """Write the example, spoil it and open it."""
    example().write_h5ad(path / "b.h5ad", convert_strings_to_categoricals=False)
    with h5py.File(path / "b.h5ad", "r+") as file:
        change(file)
    return open_source(path / "b.h5ad")


def replace(name: str, values: object) -> Callable[[h5py.File], None]:
    """Return a change that puts other values in place of an array."""

    def change(file: h5py.File) -> None:
        attributes = dict(file[name].attrs)
        del file[name]
        file[name] = values
        file[name].attrs.update(attributes)

    return change


def without(name: str) -> Callable[[h5py.File], None]:
    """Return a change that removes a node."""
    return lambda file: file.__delitem__(name)


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (replace("obs/cat/codes", np.full(N, 3, np.int8)), "code-out-of-range", "b.h5ad:obs/cat: a code without a cat"),
        (replace("obs/cat/codes", np.full(N, -2, np.int8)), "code-out-of-range", "expected -1 to 2; found -2 to -2"),
        (replace("obs/cat/codes", np.zeros(N)), "bad-codes", "b.h5ad:obs/cat"),
        (replace("obs/cat/codes", np.zeros(N - 1, np.int8)), "wrong-length", "b.h5ad:obs/cat"),
        (replace("obs/cat/categories", ["a", "b", "a"]), "duplicate-category", "'a'"),
        (replace("obs/f64", np.zeros(N + 1)), "wrong-length", "expected 6; found 7"),
        (replace("obs/Int16/mask", np.zeros(2, bool)), "wrong-length", "obs/Int16: mask and values differ"),
        (replace("obs/text", np.array([b"\xff"] * N)), "not-utf8", "b.h5ad:obs/text"),
        (without("obs/f64"), "missing-column", "b.h5ad:obs/f64"),
        (without("obs/cat/codes"), "missing-node", "b.h5ad:obs/cat: no 'codes'"),
    ],
)
def test_a_column_that_contradicts_itself(
    tmp_path: Path, change: Callable[[h5py.File], None], code: str, text: str
) -> None:
    source = broken(tmp_path, change)
    with pytest.raises(InvalidDataError) as error:
        source.obs()
    assert error.value.code == code
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (without("obs"), "unknown-format"),
        (without("var"), "unknown-format"),
        (without("obs/barcode"), "missing-index"),
        (replace("obs/barcode", [b"\xff\xfe"] * N), "not-utf8"),
    ],
)
def test_a_table_that_cannot_be_read_fails_at_opening(
    tmp_path: Path, change: Callable[[h5py.File], None], code: str
) -> None:
    with pytest.raises(InvalidDataError) as error:
        broken(tmp_path, change)
    assert error.value.code == code


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (without("X/indptr"), "missing-node", "b.h5ad:X: no 'indptr'"),
        (replace("X/indptr", np.arange(N)), "bad-matrix", "expected 7 integers"),
        (replace("X/indptr", np.array([1, 2, 3, 4, 5, 6, 7])), "bad-matrix", "does not start at 0"),
        (replace("X/indptr", np.array([0, 3, 2, 4, 5, 6, 14])), "bad-matrix", "a smaller value after row 1"),
        (replace("X/indptr", np.array([0, 1, 2, 3, 4, 5, 99])), "bad-matrix", "expected 99 as indptr ends with"),
        (replace("X/data", np.zeros(3)), "bad-matrix", "X/data"),
        (replace("X/data", ["a"] * 14), "bad-matrix", "X/data"),
        (replace("X/indices", np.zeros(14)), "bad-matrix", "X/indices"),
        (lambda file: file["X"].attrs.__delitem__("shape"), "bad-matrix", "no shape"),
        (lambda file: file["X"].attrs.__setitem__("encoding-type", "coo_matrix"), "bad-matrix", "found coo_matrix"),
        (lambda file: file["X"].attrs.__setitem__("shape", (5, 4)), "bad-matrix", "expected 6 integers"),
        (replace("X", np.zeros((N + 1, 4))), "wrong-length", "expected 6 rows; found 7"),
        (replace("X", np.zeros(N)), "bad-matrix", "no matrix of numbers"),
    ],
)
def test_a_matrix_that_contradicts_itself(
    tmp_path: Path, change: Callable[[h5py.File], None], code: str, text: str
) -> None:
    source = broken(tmp_path, change)
    with pytest.raises(InvalidDataError) as error:
        source.matrix("X")
    assert error.value.code == code
    assert text in str(error.value)


def test_var_and_matrix_of_different_width(tmp_path: Path) -> None:
    source = broken(tmp_path, replace("X", np.zeros((N, 5))))
    with pytest.raises(InvalidDataError, match="expected 4 columns; found 5"):
        _ = source.matrix("X").var


def test_x_that_is_an_empty_dataspace(tmp_path: Path) -> None:
    source = broken(tmp_path, replace("X", h5py.Empty("f4")))
    assert "X" not in source.locations()


def test_fixed_strings_without_a_character(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        replace("obs/text", np.array([b""] * N, "S1"))(file)

    column = broken(tmp_path, change).obs()["text"]
    assert isinstance(column.values, Strings)
    assert list(column.values) == [""] * N

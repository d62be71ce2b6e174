"""Every real file: sizes and sums as published with them, obs and var as anndata reads them."""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from scformat.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.columns import Column

# file, format, location, layout, dtype, cells, genes, non-zeros, sum
COUNTS = [
    ("pbmc_facs.h5ad", "h5ad", "X", "csc", "float64", 3774, 16791, 2_702_861, 7_500_459),
    ("mixology_sc_celseq2.h5ad", "h5ad", "X", "csr", "float32", 274, 28204, 1_954_979, 10_321_416),
    ("mixology_sc_dropseq.h5ad", "h5ad", "X", "csc", "int64", 225, 15127, 1_290_921, 5_830_998),
    ("cas_test_adata.h5ad", "h5ad", "X", "csr", "float32", 100, 18082, 186_299, 365_299),
    ("heart_1k_mouse.h5ad", "h5ad", "X", "csr", "int32", 712, 31053, 1_297_265, 5_851_495),
    ("pegasus_heart_1k_v2.10x.h5", "10x-v2", "matrix", "csr", "int32", 712, 31053, 1_297_265, 5_851_495),
    ("scanpy_10x_v3.10x.h5", "10x-v3", "matrix", "csr", "int32", 1107, 507, 23_866, 41_549),
    ("scvi_pbmc_10k_protein_v3.h5ad", "h5ad", "X", "dense", "float32", 200, 16727, 317_760, 909_531),
    ("scvi_pbmc_5k_protein_v3.h5ad", "h5ad", "X", "dense", "float32", 200, 16581, 387_353, 1_351_231),
    ("scimilarity_test.h5ad", "h5ad", "layers/counts", "csr", "float32", 1000, 1000, 90_431, 295_271),
    ("cxg_example_with_labels.h5ad", "h5ad", "X", "csr", "float32", 320, 123, 19_430, 168_546),
    ("cxg_example_valid.h5ad", "h5ad", "raw", "csr", "float32", 2, 7, 13, 49),
    ("scp_test.h5ad", "h5ad", "X", "dense", "float32", 238, 187, 34_169, 34_772_921),
    ("anndata_archive_v0.7.0.h5ad", "h5ad", "raw", "csr", "float32", 30, 40, 480, 627),
    ("bpcells_mini_v0.6.22.h5ad", "h5ad", "X", "csr", "float32", 3, 5, 8, 15),
    ("anndataR_example.h5ad", "h5ad", "layers/counts", "csr", "float32", 50, 100, 4_317, 9_805),
    ("anndataR_example.h5ad", "h5ad", "layers/csc_counts", "csc", "float32", 50, 100, 4_317, 9_805),
    ("anndataR_example.h5ad", "h5ad", "layers/dense_counts", "dense", "int64", 50, 100, 4_317, 9_805),
    ("bpcells_mini_v0.6.22.h5ad", "h5ad", "layers/transpose", "csc", "float64", 3, 5, 8, 15),
]

H5AD = [
    *sorted({row[0] for row in COUNTS if row[1] == "h5ad"}),
    "anndata_archive_v0.5.0_pbmc68k.h5ad",
    "soma_categorical_int_nan.h5ad",
    "soma_x_none.h5ad",
]


@pytest.mark.parametrize("expected", COUNTS, ids=lambda row: f"{row[0]}-{row[2]}")
def test_counts(shared_data: Path, whole: Callable[..., np.ndarray[Any, Any]], expected: tuple[Any, ...]) -> None:
    file, kind, location, layout, dtype, cells, genes, non_zeros, total = expected
    source = open_source(shared_data / file)
    matrix = source.matrix(location)
    assert source.format == kind
    assert source.name == file.removesuffix(".h5ad").removesuffix(".h5")
    assert source.n_cells == cells == len(source.barcodes())
    assert (matrix.layout, str(matrix.dtype), matrix.shape) == (layout, dtype, (cells, genes))
    assert len(matrix.var.index) == genes
    values = whole(matrix)
    assert values.dtype == matrix.dtype
    assert np.count_nonzero(values) == non_zeros
    assert values.sum(dtype=np.float64) == total
    source.close()


@pytest.mark.parametrize("file", H5AD)
def test_equals_anndata(
    shared_data: Path,
    whole: Callable[..., np.ndarray[Any, Any]],
    series: Callable[[Column], pd.Series[Any]],
    file: str,
) -> None:
    import anndata
    from scipy import sparse

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_h5ad(shared_data / file)
    source = open_source(shared_data / file)

    def same(ours: dict[str, Column], frame: pd.DataFrame) -> None:
        assert list(ours) == list(frame.columns)
        for name, column in ours.items():
            pd.testing.assert_series_equal(
                series(column), frame[name].reset_index(drop=True), check_names=False, check_exact=True
            )

    same(source.obs(), adata.obs)
    assert list(source.barcodes()) == list(adata.obs_names)
    assert source.index_name == adata.obs.index.name
    if adata.X is None:
        assert "X" not in source.locations()
    for location in source.locations():
        holder = adata.raw if location == "raw" else adata
        stored = holder.X if location in {"raw", "X"} else adata.layers[location.removeprefix("layers/")]
        dense = stored.toarray() if sparse.issparse(stored) else np.asarray(stored)
        matrix = source.matrix(location)
        np.testing.assert_array_equal(whole(matrix, 7), dense)
        assert list(matrix.var.index) == list(holder.var_names)
        assert matrix.var.index_name == holder.var.index.name
        assert matrix.var.not_kept == []
        same(matrix.var.columns, holder.var)
    texts = {name: value for name, value in adata.uns.items() if isinstance(value, str)}
    assert texts.items() <= source.uns_text().items()
    source.close()


def test_every_real_file_opens(shared_data: Path) -> None:
    files = sorted(shared_data.glob("*.h5*"))
    assert len(files) == 19
    for file in files:
        source = open_source(file)
        assert source.path == str(file)
        assert [m.location for m in source.matrices()] == [
            place for place in source.locations() if place in {"raw", "layers/counts", "X", "matrix"}
        ]
        assert source.not_kept() == sorted(set(source.not_kept()), key=source.not_kept().index)
        assert source.sha256() == hashlib.sha256(file.read_bytes()).hexdigest()
        source.close()


def test_order_of_candidates(shared_data: Path) -> None:
    assert open_source(shared_data / "anndata_archive_v0.7.0.h5ad").locations()[:2] == ["raw", "X"]
    assert [m.location for m in open_source(shared_data / "scimilarity_test.h5ad").matrices()] == ["layers/counts", "X"]


def test_not_kept_depends_on_the_counts_taken(shared_data: Path) -> None:
    source = open_source(shared_data / "scimilarity_test.h5ad")
    assert "X" not in source.not_kept()
    assert "X" in source.not_kept(counts="layers/counts")
    assert "layers/counts" not in source.not_kept(counts="layers/counts")


def test_nullable_columns_keep_their_mask(shared_data: Path) -> None:
    obs = open_source(shared_data / "anndataR_example.h5ad").obs()
    for name, kind in (("IntNA", "integer"), ("BoolNA", "boolean")):
        assert obs[name].kind == kind
        assert obs[name].nullable
        mask = obs[name].mask
        assert mask is not None
        assert mask.sum() == 1


def test_a_categorical_of_integers_without_any_value(shared_data: Path) -> None:
    column = open_source(shared_data / "soma_categorical_int_nan.h5ad").obs()["categ_int_nan"]
    assert (column.kind, column.dtype) == ("categorical", "int64")
    assert (column.codes == -1).all()
    assert column.categories is not None
    assert len(column.categories) == 80


def test_organism_in_uns(shared_data: Path) -> None:
    texts = open_source(shared_data / "cxg_example_valid.h5ad").uns_text()
    assert texts["organism_ontology_term_id"] == "NCBITaxon:9606"
    assert texts["title"] == "A title"


def test_10x_var(shared_data: Path) -> None:
    import h5py

    var = open_source(shared_data / "pegasus_heart_1k_v2.10x.h5").matrix("matrix").var
    with h5py.File(shared_data / "pegasus_heart_1k_v2.10x.h5") as file:
        assert list(var.index) == [text.decode() for text in file["mm10/genes"][:]]
        assert list(var.columns["name"].values) == [text.decode() for text in file["mm10/gene_names"][:]]
    assert set(var.columns["genome"].values) == {"mm10"}
    var = open_source(shared_data / "scanpy_10x_v3.10x.h5").matrix("matrix").var
    assert set(var.columns["feature_type"].values) == {"Gene Expression"}
    assert list(var.columns) == ["id", "name", "feature_type", "genome"]

"""Opening: 10x, Zarr, memory, wrong files; expanding patterns and naming sources."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from scformat.errors import (
    InvalidDataError,
    RowIndexError,
    ScformatError,
    StorageError,
    UnknownNameError,
    UnsupportedError,
    UsageError,
)
from scformat.sources import expand, open_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def genome(file: h5py.File, name: str, values: np.ndarray[Any, Any], *, barcodes: list[bytes]) -> None:
    """Write a genome of a 10x file of version 2; `values` are cells by genes."""
    group = file.create_group(name)
    stored = sparse.csr_matrix(values)
    group["data"], group["indices"], group["indptr"] = stored.data, stored.indices.astype(np.int64), stored.indptr
    group["shape"] = np.array(values.shape[::-1], np.int32)
    group["barcodes"] = np.array(barcodes)
    group["genes"] = np.array([f"{name}_{i}".encode() for i in range(values.shape[1])])
    group["gene_names"] = np.array([f"N{i}".encode() for i in range(values.shape[1])])


CELLS = [b"AAA-1", b"AAC-1", b"AAG-1", b"AAT-1"]


def test_several_genomes_are_one_matrix(tmp_path: Path, whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    rng = np.random.default_rng(1)
    human, mouse = (rng.integers(0, 3, (4, n)).astype(np.int32) for n in (5, 3))
    with h5py.File(tmp_path / "two.h5", "w") as file:
        genome(file, "GRCh38", human, barcodes=CELLS)
        genome(file, "mm10", mouse, barcodes=CELLS)
        file["other"] = 1
    source = open_source(tmp_path / "two.h5")
    matrix = source.matrix("matrix")
    assert (source.format, source.n_cells, matrix.shape) == ("10x-v2", 4, (4, 8))
    both = np.concatenate([human, mouse], axis=1)
    for step in (1, 3, 4):
        np.testing.assert_array_equal(whole(matrix, step), both)
    np.testing.assert_array_equal(np.diff(matrix.row_offsets()), np.count_nonzero(both, axis=1))
    assert matrix.n_stored == np.count_nonzero(both)
    assert list(matrix.var.index) == [f"GRCh38_{i}" for i in range(5)] + [f"mm10_{i}" for i in range(3)]
    assert list(matrix.var.columns["genome"].values) == ["GRCh38"] * 5 + ["mm10"] * 3
    assert source.not_kept() == ["var/id", "var/name", "var/genome", "other"]
    with pytest.raises(RowIndexError):
        matrix.read_rows(2, 5)
    with pytest.raises(UnknownNameError):
        source.matrix("X")


def test_genomes_with_different_barcodes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "two.h5", "w") as file:
        genome(file, "GRCh38", np.eye(4, dtype=np.int32), barcodes=CELLS)
        genome(file, "mm10", np.eye(3, 4, dtype=np.int32), barcodes=CELLS[:3])
    with pytest.raises(InvalidDataError, match=r"two\.h5:mm10") as error:
        open_source(tmp_path / "two.h5")
    assert error.value.code == "genomes-differ"


def test_an_index_beyond_its_genome(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "two.h5", "w") as file:
        genome(file, "GRCh38", np.eye(4, dtype=np.int32), barcodes=CELLS)
        genome(file, "mm10", np.eye(4, dtype=np.int32), barcodes=CELLS)
        file["GRCh38/indices"][0] = 4
    with pytest.raises(InvalidDataError) as error:
        open_source(tmp_path / "two.h5").matrix("matrix").read_rows(0, 4)
    assert error.value.code == "index-out-of-range"


def test_feature_types_of_version_3(tmp_path: Path, whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    values = np.arange(12, dtype=np.int32).reshape(4, 3)
    with h5py.File(tmp_path / "v3.h5", "w") as file:
        genome(file, "matrix", values, barcodes=CELLS)
        del file["matrix/genes"], file["matrix/gene_names"]
        features = file.create_group("matrix/features")
        features["id"] = ["ENSG1", "ENSG2", "CD3"]
        features["name"] = ["A", "B", "CD3_TotalSeqB"]
        features["feature_type"] = ["Gene Expression", "Gene Expression", "Antibody Capture"]
        features["genome"] = ["GRCh38", "GRCh38", ""]
        features["pattern"] = ["", "", "5PNN"]
        features["_all_tag_keys"] = ["a", "b", "c"]
        file.attrs["software_version"] = "cellranger-7"
    source = open_source(tmp_path / "v3.h5")
    var = source.matrix("matrix").var
    assert source.format == "10x-v3"
    assert list(var.columns) == ["id", "name", "feature_type", "genome", "pattern"]
    assert list(var.columns["feature_type"].values)[-1] == "Antibody Capture"
    assert list(var.index) == ["ENSG1", "ENSG2", "CD3"]
    np.testing.assert_array_equal(whole(source.matrix("matrix")), values)
    assert source.uns_text() == {"software_version": "cellranger-7"}
    assert list(source.barcodes()) == [barcode.decode() for barcode in CELLS]


def test_content_decides_not_the_extension(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "a.txt").write_bytes((shared_data / "bpcells_mini_v0.6.22.h5ad").read_bytes())
    (tmp_path / "b.h5ad").write_bytes((shared_data / "scanpy_10x_v3.10x.h5").read_bytes())
    assert open_source(tmp_path / "a.txt").format == "h5ad"
    assert open_source(tmp_path / "b.h5ad").format == "10x-v3"


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"%%MatrixMarket matrix", "Matrix Market"),
        (b"<!DOCTYPE html>", "web page"),
        (b"a,b\n1,2\n", "h5ad files"),
    ],
)
def test_a_file_that_is_no_hdf5(tmp_path: Path, content: bytes, hint: str) -> None:
    (tmp_path / "a.h5ad").write_bytes(content)
    with pytest.raises(InvalidDataError, match=hint) as error:
        open_source(tmp_path / "a.h5ad")
    assert error.value.code == "not-hdf5"


@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, shared_data: Path, kept: float) -> None:
    whole_file = (shared_data / "scimilarity_test.h5ad").read_bytes()
    (tmp_path / "a.h5ad").write_bytes(whole_file[: int(len(whole_file) * kept)])
    with pytest.raises(InvalidDataError, match=r"a\.h5ad: the file is shorter") as error:
        open_source(tmp_path / "a.h5ad")
    assert error.value.code == "truncated-file"


def test_a_damaged_superblock(tmp_path: Path, shared_data: Path) -> None:
    content = bytearray((shared_data / "bpcells_mini_v0.6.22.h5ad").read_bytes())
    content[8:60] = b"\xff" * 52
    (tmp_path / "a.h5ad").write_bytes(content)
    with pytest.raises(InvalidDataError, match=r"a\.h5ad"):
        open_source(tmp_path / "a.h5ad")


def test_files_that_are_not_there_or_not_known(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as error:
        open_source(tmp_path / "none.h5ad")
    assert error.value.code == "source-not-found"
    with pytest.raises(InvalidDataError) as invalid:
        open_source(tmp_path)
    assert invalid.value.code == "not-zarr"
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["table"] = 1
    with pytest.raises(InvalidDataError, match="found table") as unknown:
        open_source(tmp_path / "other.h5")
    assert unknown.value.code == "unknown-format"
    with pytest.raises(UsageError) as usage:
        open_source(3)
    assert usage.value.code == "bad-source"


def test_zarr_that_is_no_anndata_or_damaged(tmp_path: Path) -> None:
    import zarr

    zarr.open_group(tmp_path / "z.zarr", mode="w")
    with pytest.raises(InvalidDataError) as error:
        open_source(tmp_path / "z.zarr")
    assert error.value.code == "unknown-format"
    (tmp_path / "z.zarr" / "zarr.json").write_text("{")
    with pytest.raises(InvalidDataError, match=r"z\.zarr"):
        open_source(tmp_path / "z.zarr")


@pytest.mark.parametrize("version", [2, 3])
def test_ranges_of_zarr_and_its_digest(tmp_path: Path, version: int, write_zarr: Callable[..., None]) -> None:
    x = sparse.random(50, 20, 0.3, "csr", np.float32, np.random.default_rng(0))
    path = tmp_path / "a.zarr"
    write_zarr(anndata.AnnData(x), path, version)
    source = open_source(path)
    assert (source.name, source.format) == ("a", "anndata-zarr")
    for start, stop in ((0, 50), (3, 17), (20, 20)):
        block = source.matrix("X").read_rows(start, stop)
        np.testing.assert_array_equal(block.indices, x[start:stop].indices)
        np.testing.assert_array_equal(block.data, x[start:stop].data)
    lines = io.BytesIO()
    for name in sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()):
        lines.write(f"{name}\t{hashlib.sha256((path / name).read_bytes()).hexdigest()}\n".encode())
    assert source.sha256() == hashlib.sha256(lines.getvalue()).hexdigest()


STORED = [
    sparse.csr_matrix,
    sparse.csc_matrix,
    sparse.csr_array,
    sparse.csc_array,
    np.asarray,
    np.asfortranarray,
]


@pytest.mark.parametrize("make", STORED, ids=lambda make: make.__name__)
def test_matrices_in_memory(make: Callable[..., Any], whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    values = np.random.default_rng(0).integers(0, 4, (30, 12)).astype(np.int64)
    source = open_source(anndata.AnnData(make(values)))
    assert (source.name, source.path, source.format) == ("anndata", None, "anndata")
    matrix = source.matrix("X")
    assert matrix.layout == (make.__name__[:3] if "cs" in make.__name__[:2] else "dense")
    np.testing.assert_array_equal(whole(matrix, 7), values)


def test_a_view_in_memory(whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    values = np.random.default_rng(0).integers(0, 4, (30, 12)).astype(np.float32)
    view = anndata.AnnData(sparse.csr_matrix(values))[5:20, ::2]
    source = open_source(view)
    np.testing.assert_array_equal(whole(source.matrix("X")), values[5:20, ::2])
    assert list(source.barcodes()) == [str(i) for i in range(5, 20)]


def test_entries_beyond_the_last_offset_are_ignored(whole: Callable[..., np.ndarray[Any, Any]]) -> None:
    x = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    x.data, x.indices = np.append(x.data, 9).astype(np.float32), np.append(x.indices, 0).astype(np.int32)
    np.testing.assert_array_equal(whole(open_source(anndata.AnnData(x)).matrix("X")), np.eye(3))


@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, np.asarray], ids=["csr", "csc", "dense"])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_backed_objects(
    tmp_path: Path, make: Callable[..., Any], mode: Any, whole: Callable[..., np.ndarray[Any, Any]]
) -> None:
    values = np.random.default_rng(0).integers(0, 4, (30, 12)).astype(np.float32)
    adata = anndata.AnnData(make(values))
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = anndata.read_h5ad(tmp_path / "a.h5ad", backed=mode)
    source = open_source(backed)
    for location in ("X", "raw"):
        np.testing.assert_array_equal(whole(source.matrix(location), 7), values)
    source.close()
    source.close()
    assert backed.file.is_open
    backed.file.close()


def test_a_matrix_of_another_type() -> None:
    adata = anndata.AnnData(np.zeros((2, 2), np.float32))
    adata.layers["counts"] = np.ma.masked_array(np.zeros((2, 2), np.float32))
    source = open_source(adata)
    source.matrix("layers/counts")
    adata._X = sparse.coo_matrix(np.eye(2))
    with pytest.raises(UnsupportedError) as error:
        open_source(adata).matrix("X")
    assert error.value.code == "unsupported-matrix"


def test_a_digest_in_memory_is_of_the_content() -> None:
    def digest(change: Callable[[anndata.AnnData], None]) -> str:
        adata = anndata.AnnData(sparse.csr_matrix(np.eye(4, dtype=np.float32)))
        adata.obs["a"] = ["x", "y", "x", "y"]
        change(adata)
        return open_source(adata).sha256()

    changes: list[Callable[[anndata.AnnData], None]] = [
        lambda adata: None,
        lambda adata: adata.X.data.__setitem__(2, 7),
        lambda adata: adata.obs.__setitem__("a", ["x", "y", "x", "z"]),
        lambda adata: setattr(adata, "obs_names", list("abcd")),
        lambda adata: setattr(adata, "var_names", list("abcd")),
    ]
    digests = [digest(change) for change in changes]
    assert len(set(digests)) == len(changes)
    assert digest(changes[0]) == digests[0]


def test_reading_in_the_wrong_direction(tmp_path: Path) -> None:
    rows = open_source(anndata.AnnData(sparse.csr_matrix(np.eye(3)))).matrix("X")
    columns = open_source(anndata.AnnData(sparse.csc_matrix(np.eye(3)))).matrix("X")
    dense = open_source(anndata.AnnData(np.eye(3))).matrix("X")
    for call in (rows.col_offsets, columns.row_offsets, dense.row_offsets, dense.col_offsets):
        with pytest.raises(TypeError):
            call()
    for read in (rows.read_columns, columns.read_rows, dense.read_columns):
        with pytest.raises(TypeError):
            read(0, 1)
    for read in (rows.read_rows, columns.read_columns, dense.read_rows):
        with pytest.raises(RowIndexError):
            read(0, 4)


def test_unknown_matrices_list_those_there(shared_data: Path) -> None:
    with pytest.raises(UnknownNameError, match="'layers/counts'") as error:
        open_source(shared_data / "scimilarity_test.h5ad").matrix("layers/count")
    assert error.value.code == "unknown-matrix"


def touch(root: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names_of(*sources: Any) -> list[str]:
    """Names after expansion."""
    return [given.name for given in expand(sources)]


def test_patterns_are_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.h5ad", "a.h5ad", "c.10x.h5", "d/e.h5ad")
    (tmp_path / "z.zarr").mkdir()
    assert names_of(f"{tmp_path}/*.h5ad") == ["a", "b"]
    assert names_of(f"{tmp_path}/**/*.h5ad") == ["a", "b", "e"]
    assert names_of(tmp_path / "c.10x.h5", f"{tmp_path}/z.zarr/", tmp_path / "b.h5ad") == ["c.10x", "z", "b"]
    assert [given.name for given in expand(tmp_path / "a.h5ad")] == ["a"]


def test_a_file_with_a_bracket_in_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].h5ad")
    assert names_of(str(tmp_path / "a[1].h5ad")) == ["a[1]"]


def test_names_that_clash_get_their_parents(tmp_path: Path) -> None:
    touch(tmp_path, "s1/out/filtered.h5", "s2/out/filtered.h5", "s2/out/other.h5", "x/one.h5ad", "x/one.h5")
    assert names_of(f"{tmp_path}/s*/out/*.h5") == ["s1/out/filtered", "s2/out/filtered", "other"]
    assert names_of(tmp_path / "x/one.h5ad", tmp_path / "x/one.h5") == ["one.h5ad", "one.h5"]


def test_objects_in_memory_are_numbered(tmp_path: Path) -> None:
    touch(tmp_path, "anndata-2.h5ad")
    one, two = (anndata.AnnData(np.eye(2)) for _ in range(2))
    assert names_of(one, tmp_path / "anndata-2.h5ad", two) == ["anndata", "anndata-2", "anndata-3"]
    assert [given.source for given in expand(one)] == [one]
    with pytest.raises(UsageError, match="duplicate-source"):
        expand([one, one])


def test_what_cannot_be_expanded(tmp_path: Path) -> None:
    touch(tmp_path, "a.h5ad")
    (tmp_path / "link.h5ad").symlink_to(tmp_path / "a.h5ad")
    cases: list[tuple[Any, type[ScformatError], str]] = [
        ([], UsageError, "no-sources"),
        ([f"{tmp_path}/*.nothing"], UsageError, "empty-match"),
        ([tmp_path / "none.h5ad"], StorageError, "source-not-found"),
        ([tmp_path / "a.h5ad", f"{tmp_path}/./a.h5ad"], UsageError, "duplicate-source"),
        ([tmp_path / "a.h5ad", tmp_path / "link.h5ad"], UsageError, "duplicate-source"),
        ([tmp_path / "a.h5ad", f"{tmp_path}/*.h5ad"], UsageError, "duplicate-source"),
    ]
    for sources, kind, code in cases:
        with pytest.raises(kind) as error:
            expand(sources)
        assert error.value.code == code

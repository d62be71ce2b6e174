"""What simulated files are: readable, skewed, uneven between studies, the same for a seed, close to real counts."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from scformat.errors import StorageError, UsageError
from scformat.genes import load
from scformat.simulation import simulate

if TYPE_CHECKING:
    from pathlib import Path

    import anndata
    from numpy.typing import NDArray


def read(path: Path) -> anndata.AnnData:
    import anndata

    return anndata.read_h5ad(path)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return simulate(tmp_path_factory.mktemp("simulated"), cells=9_001, studies=3, genes=20_000, seed=5)


@pytest.fixture(scope="module")
def studies(paths: list[Path]) -> list[anndata.AnnData]:
    return [read(path) for path in paths]


def test_files_and_sizes(paths: list[Path], studies: list[anndata.AnnData]) -> None:
    assert [path.name for path in paths] == ["study_01.h5ad", "study_02.h5ad", "study_03.h5ad"]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == [path.name for path in paths]
    sizes = [study.n_obs for study in studies]
    assert sum(sizes) == 9_001
    assert sizes[0] > sizes[1] > sizes[2]


def test_counts_are_csr_of_whole_numbers(studies: list[anndata.AnnData]) -> None:
    for study in studies:
        x = study.X
        assert x.format == "csr"
        assert x.dtype == np.float32
        assert x.indices.dtype == np.int32
        assert x.has_canonical_format  # sorted columns, none twice
        assert x.data.min() >= 1
        assert np.array_equal(x.data, np.rint(x.data))


def test_density_is_that_of_real_libraries(studies: list[anndata.AnnData]) -> None:
    mean = sum(study.X.nnz for study in studies) / 9_001
    assert 1_400 < mean < 1_650
    per_cell = np.diff(studies[0].X.indptr)
    assert 0.25 < per_cell.std() / per_cell.mean() < 0.8


def test_density_follows_the_number_of_genes(tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, cells=3_000, studies=1, genes=2_000, seed=1)
    assert read(path).X.nnz / 3_000 == pytest.approx(152.4, rel=0.1)


def test_genes_are_real_and_sets_are_uneven(studies: list[anndata.AnnData]) -> None:
    reference = load(9606)
    sets = [set(study.var_names) for study in studies]
    assert len(set.union(*sets)) == 20_000
    assert set.union(*sets) <= set(reference.ids)
    for one in sets:
        assert 0.85 * 20_000 < len(one) < 20_000
        assert all(one - other for other in sets if other is not one)
    orders = [list(study.var_names) for study in studies]
    assert orders[0] == sorted(orders[0])
    assert orders[1] != sorted(orders[1])
    row = reference.row_of_id[orders[1][7]]
    assert studies[1].var["feature_name"].iloc[7] == (reference.symbols[row] or orders[1][7])


def test_cell_types_are_skewed_and_in_no_order(studies: list[anndata.AnnData]) -> None:
    counts: dict[str, int] = {}
    for study in studies:
        for name, n in study.obs["cell_type"].value_counts().items():
            counts[str(name)] = counts.get(str(name), 0) + int(n)
    share = np.sort(np.array(list(counts.values())) / 9_001)
    assert share[-1] > 0.1
    assert share[0] < 5e-4
    assert len(share) > 35
    codes = studies[0].obs["cell_type"].cat.codes.to_numpy()
    expected = float(((np.bincount(codes) / len(codes)) ** 2).sum())
    assert float((codes[1:] == codes[:-1]).mean()) == pytest.approx(expected, abs=0.03)


def test_terms_stand_beside_their_names(studies: list[anndata.AnnData]) -> None:
    for study in studies:
        for label in ("cell_type", "tissue", "disease", "assay", "development_stage", "sex", "organism"):
            pairs = study.obs[[label, f"{label}_ontology_term_id"]].drop_duplicates()
            assert pairs[label].is_unique
            assert pairs[f"{label}_ontology_term_id"].is_unique


def test_studies_differ_in_their_columns(studies: list[anndata.AnnData]) -> None:
    first, second, third = (study.obs for study in studies)
    assert "phase" not in second
    assert "phase" in first
    assert "phase" in third
    assert first["phase"].isna().any()
    assert str(first["age_years"].dtype) == "Int64"
    assert "age_years" not in third
    assert first["severity"].cat.ordered
    assert first["pct_counts_mt"].dtype == np.float32
    assert first["is_primary_data"].dtype == bool
    assert bool(first["is_primary_data"].all())
    assert not bool(third["is_primary_data"].all())
    assert 3 <= first["donor_id"].nunique() <= 12
    assert set(first["donor_id"]) & set(second["donor_id"])


def test_float_column_is_that_of_the_counts(studies: list[anndata.AnnData]) -> None:
    study = studies[2]
    mitochondrial = study.var["feature_name"].astype(str).str.startswith("MT-").to_numpy()
    assert mitochondrial.any()
    x = study.X.astype(np.float64)
    expected = 100 * np.asarray(x[:, mitochondrial].sum(axis=1)).ravel() / np.asarray(x.sum(axis=1)).ravel()
    np.testing.assert_allclose(study.obs["pct_counts_mt"], expected, rtol=1e-5)


def test_markers_stand_out(studies: list[anndata.AnnData]) -> None:
    study = studies[0]
    own = (study.obs["cell_type"] == "classical monocyte").to_numpy()
    column = int(np.flatnonzero(study.var["feature_name"] == "LYZ")[0])
    counts = study.X[:, column].toarray().ravel()
    assert counts[own].mean() > 4 * counts[~own].mean()


def test_barcodes_are_unique_in_a_study_and_repeat_between_them(studies: list[anndata.AnnData]) -> None:
    first, second, third = (study.obs_names for study in studies)
    assert first.is_unique
    assert second.is_unique
    assert first.str.fullmatch("[ACGT]{16}-1").all()
    assert len(first.intersection(second)) > 100
    assert first[0] == second[0] == third[0]


def figures(x: Any) -> dict[str, float]:
    """Describe counts by what storage and models see of them."""
    values, n = np.unique(x.data, return_counts=True)
    share = n / n.sum()
    detected = np.sort(np.bincount(x.indices, minlength=x.shape[1]) / x.shape[0])[::-1]
    sums = np.sort(np.asarray(x.sum(axis=0)).ravel())[::-1]
    return {
        "ones": float(share[values == 1][0]),
        "entropy": float(-(share * np.log2(share)).sum()),
        "mean": float(x.data.mean()),
        "top_100": float(sums[:100].sum() / sums.sum()),
        "seen_in_half": float((detected > 0.5).sum()),
        "seen_in_hundredth": float((detected > 0.01).sum()),
    }


@pytest.mark.parametrize("name", ["scvi_pbmc_10k_protein_v3", "scvi_pbmc_5k_protein_v3"])
def test_counts_look_like_real_ones(studies: list[anndata.AnnData], shared_data: Path, name: str) -> None:
    """Files of the same chemistry and about as many genes a cell; tolerances are those between the two of them."""
    import h5py
    from scipy.sparse import csr_matrix

    with h5py.File(shared_data / f"{name}.h5ad") as file:
        x = csr_matrix(file["X"][:])
    real, own = figures(x), figures(studies[1].X)
    assert own["ones"] == pytest.approx(real["ones"], abs=0.05)
    assert own["entropy"] == pytest.approx(real["entropy"], abs=0.2)
    assert own["mean"] == pytest.approx(real["mean"], rel=0.25)
    assert own["top_100"] == pytest.approx(real["top_100"], abs=0.08)
    assert own["seen_in_half"] == pytest.approx(real["seen_in_half"], rel=0.5)
    assert own["seen_in_hundredth"] == pytest.approx(real["seen_in_hundredth"], rel=0.3)


def test_counts_are_overdispersed_as_their_distribution_says() -> None:
    """Mean and variance of the compound draw are those of the negative binomial."""
    from scformat.simulation import kernels
    from scformat.simulation.profiles import burst_rates

    means, shape, n = np.array([0.2, 3.0, 60.0]), np.array([2.0, 1.5, 4.0]), 40_000
    rate, p = burst_rates(means, shape)
    table = np.zeros((1, 3, 2), np.uint32)
    kernels.alias_table(rate, table[0])
    sizes = np.zeros((n, 2), np.int64)
    sizes[:, 0] = np.random.Generator(np.random.Philox(3)).poisson(rate.sum(), n)
    ends, totals = np.empty(n, np.int64), np.empty((n, 2), np.int64)
    indices, data = np.empty(3 * n, np.int32), np.empty(3 * n, np.float32)
    kept = np.full((1, 3), 2**32 - 1, np.uint32)
    nothing = np.zeros(n, np.int16)
    kernels.draw_counts(
        np.uint64(9),
        0,
        nothing,
        nothing,
        sizes,
        table,
        p.astype(np.float32)[None],
        table[0],
        kept,
        np.array([True, False, False]),
        ends,
        indices,
        data,
        totals,
    )
    dense = np.zeros((n, 3))
    rows: NDArray[np.int64] = np.repeat(np.arange(n), np.diff(ends, prepend=0))
    dense[rows, indices[: ends[-1]]] = data[: ends[-1]]
    np.testing.assert_array_equal(totals, np.column_stack([dense.sum(axis=1), dense[:, 0]]))
    np.testing.assert_allclose(dense.mean(axis=0), means, rtol=0.03)
    np.testing.assert_allclose(dense.var(axis=0), means + means**2 / shape, rtol=0.06)


def test_same_seed_same_files(tmp_path: Path) -> None:
    first = simulate(tmp_path / "a", cells=5_000, studies=2, genes=500, seed=7)
    second = simulate(tmp_path / "b", cells=5_000, studies=2, genes=500, seed=7)
    other = simulate(tmp_path / "c", cells=5_000, studies=2, genes=500, seed=8)
    assert [digest(p) for p in first] == [digest(p) for p in second]
    a, c = read(first[0]), read(other[0])
    assert set(a.var_names) != set(c.var_names)
    assert a.X.nnz != c.X.nnz


def test_threads_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    many = simulate(tmp_path / "many", cells=6_000, studies=1, genes=300, seed=2)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    one = simulate(tmp_path / "one", cells=6_000, studies=1, genes=300, seed=2)
    assert digest(many[0]) == digest(one[0])


def test_compression_changes_the_file_only(tmp_path: Path) -> None:
    plain = simulate(tmp_path / "plain", cells=700, studies=1, genes=3_000, seed=4)[0]
    packed = simulate(tmp_path / "packed", cells=700, studies=1, genes=3_000, seed=4, compression="gzip")[0]
    assert packed.stat().st_size < 0.6 * plain.stat().st_size
    a, b = read(plain), read(packed)
    assert (a.X != b.X).nnz == 0
    assert a.obs.equals(b.obs)
    assert a.var.equals(b.var)


@pytest.mark.parametrize(
    ("cells", "studies", "genes"), [(10, 3, 20_000), (3, 3, 50), (1, 1, 1), (2_049, 1, 40), (4_097, 5, 100)]
)
def test_any_size(tmp_path: Path, cells: int, studies: int, genes: int) -> None:
    files = [read(path) for path in simulate(tmp_path, cells=cells, studies=studies, genes=genes, seed=11)]
    assert len(files) == studies
    assert sum(file.n_obs for file in files) == cells
    assert min(file.n_obs for file in files) >= 1
    assert len(set().union(*(file.var_names for file in files))) == genes
    for file in files:
        assert file.X.shape == (file.n_obs, file.n_vars)
        assert file.obs_names.is_unique
        assert not file.obs["cell_type"].isna().any()


def test_one_study_measures_all_genes(tmp_path: Path) -> None:
    (path,) = simulate(tmp_path, cells=30, studies=1, genes=800)
    study = read(path)
    assert study.n_vars == 800
    assert {"phase", "age_years"} <= set(study.obs.columns)
    assert bool(study.obs["is_primary_data"].all())


def test_backed_and_lazy_readers_find_the_rows(tmp_path: Path) -> None:
    import anndata

    (path,) = simulate(tmp_path, cells=5_000, studies=1, genes=400, seed=1)
    whole, backed = read(path), anndata.read_h5ad(path, backed="r")
    assert (backed.X[4_000:4_100] != whole.X[4_000:4_100]).nnz == 0
    backed.file.close()


def test_progress_ends_at_all_cells(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    simulate(tmp_path, cells=4_500, studies=2, genes=50, progress=lambda *step: seen.append(step))
    done = [step[1] for step in seen]
    assert done == sorted(done)
    assert seen[-1] == ("simulate", 4_500, 4_500)
    assert len(seen) >= 3


_PEAK = """
import json, resource, sys
from scformat.simulation import simulate
simulate(sys.argv[1], cells=int(sys.argv[2]), studies=1, genes=20_000)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux")
def test_memory_does_not_grow_with_the_cells(tmp_path: Path) -> None:
    """30,000 cells are 360 MB of counts; the process grows by what is in flight at most."""

    def peak(cells: int) -> int:
        command = [sys.executable, "-c", _PEAK, str(tmp_path / str(cells)), str(cells)]
        return int(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)) * 1024

    small, large = peak(8_000), peak(30_000)
    assert (tmp_path / "30000" / "study_01.h5ad").stat().st_size > 300_000_000
    assert large < small + 100_000_000


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"cells": 2, "studies": 3}, "bad-number"),
        ({"cells": 10.5}, "bad-number"),
        ({"cells": True}, "bad-number"),
        ({"cells": 2**31 + 1}, "bad-number"),
        ({"studies": 0}, "bad-number"),
        ({"genes": 0}, "bad-number"),
        ({"genes": 1_000_000}, "too-many-genes"),
        ({"seed": -1}, "bad-seed"),
        ({"compression": "zip"}, "bad-compression"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        simulate(tmp_path / "new", **options)
    assert caught.value.code == code
    assert not (tmp_path / "new").exists()


def test_existing_files_stay(tmp_path: Path) -> None:
    (tmp_path / "study_02.h5ad").write_text("mine")
    with pytest.raises(UsageError) as caught:
        simulate(tmp_path, cells=10, studies=3, genes=50)
    assert caught.value.code == "destination-exists"
    assert [path.name for path in tmp_path.iterdir()] == ["study_02.h5ad"]
    assert (tmp_path / "study_02.h5ad").read_text() == "mine"


def test_nothing_is_left_of_a_broken_run(tmp_path: Path) -> None:
    def stop(_stage: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path, cells=100, studies=1, genes=50, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_unwritable_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError) as caught:
        simulate(tmp_path / "file" / "below", cells=10, genes=50)
    assert caught.value.code == "cannot-write"

"""Appending: every cell equal to its source, no donor moves, tables as of a fresh conversion, one writer wins."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, gene_ids, rich_obs, sample

import scformat
from scformat.errors import InvalidDataError, ScformatError, StorageError, UsageError
from scformat.exporting import source_anndata
from scformat.publishing import adding

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OPTIONS: dict[str, Any] = {
    "splits": "train=0.6,test=0.4",
    "split_by": ["donor_id"],
    "weights": ["ct=cell_type:balanced@train", "two=cell_type:scaled(10),donor_id:balanced"],
    "ontology": False,
    "jobs": 1,
}
TYPES = ["T cell", "B cell", "monocyte"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four sources: overlapping genes, new categories, columns that change their kind, come and go."""
    place = tmp_path_factory.mktemp("sources")
    changes: list[dict[str, Any]] = [
        {},
        {},
        {"note": np.arange(50), "depth": np.linspace(0, 1, 50), "kind": pd.Categorical(["A", "b"] * 25)},
        {"lane": pd.Categorical(["x", "y"] * 25), "added": np.arange(50) * 1.5, "cell_type": None},
    ]
    made = []
    for k, change in enumerate(changes):
        n = 50
        obs = rich_obs(n, seed=k)
        obs["donor_id"] = pd.Categorical([f"donor {(i * 7 + k) % 9}" for i in range(n)])
        obs["cell_type"] = pd.Categorical([[*TYPES, f"odd {9 - k}"][(i + k) % 4] for i in range(n)])
        for name, values in change.items():
            obs[name] = values
        obs = obs.drop(columns=[name for name, values in change.items() if values is None])
        data = sample(counts_matrix(n, 30, seed=k), genes=gene_ids(30, first=1 + 12 * (k % 3)), prefix=f"s{k}")
        obs.index = data.obs_names
        data.obs = obs
        path = place / f"source_{k}.h5ad"
        data.write_h5ad(path)
        made.append(path)
    return made


def grown(place: Path, files: Sequence[Path], **options: Any) -> list[scformat.store.Store]:  # type: ignore[name-defined]
    stores = [scformat.convert(files[:2], place, **{**OPTIONS, **options})]
    for path in files[2:]:
        stores.append(scformat.append(stores[-1], [path], ontology=False, jobs=1))
    return stores


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory, files: list[Path]) -> list[Any]:
    return grown(tmp_path_factory.mktemp("grown") / "s.cells", files)


def test_every_source_comes_back_as_it_was(stores: list[Any], files: list[Path]) -> None:
    for path in files:
        original, restored = anndata.read_h5ad(path), source_anndata(stores[-1], path.stem)
        assert (original.X != restored.X).nnz == 0
        assert list(original.var_names) == list(restored.var_names)
        pd.testing.assert_frame_equal(original.obs, restored.obs)


def test_the_store_is_valid_and_numbers_stay(stores: list[Any]) -> None:
    first, last = stores[0], stores[-1]
    assert scformat.validate(last.path, level=4).ok
    assert last.manifest.required_features == ["parts"]
    assert list(last.genes.index[: first.n_genes]) == list(first.genes.index)
    assert last.n_genes > first.n_genes
    for name, label in first.labels.items():
        assert last.labels[name].categories[: len(label.categories)] == label.categories
        rows = np.arange(first.n_cells)
        assert (last.labels[name].codes(rows) == label.codes(rows)).all()
    assert last.labels["cell_type"].categories[-1] == "odd 7"
    assert (last.labels["cell_type"].codes(np.arange(150, 200)) == -1).all()


def test_a_reader_of_the_old_root_goes_on(stores: list[Any], files: list[Path]) -> None:
    first = pickle.loads(pickle.dumps(stores[0]))
    assert first.n_cells == 100
    assert (
        first.read([99, 0]).csr(np.int64).toarray() == stores[-1].read([99, 0]).dense(np.int64)[:, : first.n_genes]
    ).all()
    assert len(first.obs()) == 100
    assert first.tables["ct"].n_cells < stores[-1].tables["ct"].n_cells


def test_splits_and_tables_are_those_of_a_fresh_conversion(
    stores: list[Any], files: list[Path], tmp_path: Path
) -> None:
    last = stores[-1]
    fresh = scformat.convert(files, tmp_path / "fresh.cells", **OPTIONS)
    assert last.obs(["split"])["split"].astype(str).tolist() == fresh.obs(["split"])["split"].astype(str).tolist()
    groups = last.obs(["donor_id", "split"]).groupby("donor_id", observed=True)["split"].nunique()
    assert (groups == 1).all()
    assert last.manifest.splits is not None and fresh.manifest.splits is not None
    assert last.manifest.splits.counts == fresh.manifest.splits.counts
    for name in fresh.tables:
        mine, theirs = (
            s.tables[name].strata.astype({k.name: str for k in s.tables[name].info.keys}) for s in (last, fresh)
        )
        keys = [k.name for k in fresh.tables[name].info.keys]
        for frame in (mine, theirs):
            frame.set_index(keys, inplace=True)
            frame.sort_index(inplace=True)
        pd.testing.assert_frame_equal(mine[["cells", "probability"]], theirs[["cells", "probability"]], atol=1e-8)


def test_a_repeated_cell_is_in_no_second_split(tmp_path: Path) -> None:
    values = counts_matrix(40, 20, seed=5, mean=3.0)
    donors = pd.Categorical(["a", "b", "c", "d"] * 10)
    first = sample(values, obs={"donor_id": donors})
    again = sample(values, obs={"donor_id": donors.rename_categories(["e", "f", "g", "h"])}, prefix="again")
    first.write_h5ad(tmp_path / "first.h5ad")
    again.write_h5ad(tmp_path / "again.h5ad")
    store = scformat.convert([tmp_path / "first.h5ad"], tmp_path / "s.cells", **{**OPTIONS, "weights": None})
    more = scformat.append(store, [tmp_path / "again.h5ad"])
    before, after = more.field("split", np.arange(40)), more.field("split", np.arange(40, 80))
    assert (before == store.field("split", np.arange(40))).all()
    differs = (after != before) & (values.sum(axis=1) > 0)
    assert differs.any() and (after[differs] == -1).all()
    assert any(f.what == "duplicate-cells" and f.source == "again" for f in more.manifest.findings)
    assert scformat.validate(more.path, level=4).ok


def test_splits_of_a_file_go_on(files: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "splits.tsv"
    table.write_text("donor_id\tsplit\n" + "".join(f"donor {i}\t{'train' if i < 4 else 'test'}\n" for i in range(8)))
    options = {**OPTIONS, "splits": None, "split_by": None, "weights": None, "splits_file": table}
    store = scformat.convert(files[:1], tmp_path / "s.cells", **options)
    more = scformat.append(store, files[1:2], ontology=False)
    by_donor = more.obs(["donor_id", "split"]).groupby("donor_id", observed=True)["split"]
    assert by_donor.nunique().drop("donor 8").eq(1).all()
    assert by_donor.count()["donor 8"] == 0
    table.write_text("donor_id\tsplit\ndonor 8\ttest\ndonor 0\ttest\n")
    with pytest.raises(InvalidDataError) as moved:
        scformat.append(more, files[2:3], ontology=False, splits_file=table)
    assert moved.value.code == "group-moves"
    table.write_text("donor_id\tsplit\ndonor 8\ttest\n")
    last = scformat.append(more, files[2:3], ontology=False, splits_file=table)
    new = last.obs(["donor_id", "split"]).iloc[100:]
    assert (new.loc[new["donor_id"] == "donor 8", "split"] == "test").all()


def test_fixed_genes_do_not_grow(files: list[Path], tmp_path: Path) -> None:
    store = scformat.convert(files[:2], tmp_path / "s.cells", genes="intersection", ontology=False)
    more = scformat.append(store, files[2:3], ontology=False)
    assert more.n_genes == store.n_genes
    assert any(f.what == "genes-left-out" and f.source == "source_2" for f in more.manifest.findings)
    assert scformat.validate(more.path, level=4).ok


def test_of_two_appends_one_wins_and_the_other_leaves_nothing(files: list[Path], tmp_path: Path) -> None:
    scformat.convert(files[:1], tmp_path / "s.cells", **OPTIONS)
    one, other = scformat.open(tmp_path / "s.cells"), scformat.open(tmp_path / "s.cells")
    won = scformat.append(one, files[1:2], ontology=False)
    before = files_of(tmp_path / "s.cells")
    with pytest.raises(StorageError) as lost:
        scformat.append(other, files[1:2], ontology=False)
    assert lost.value.code == "store-changed"
    assert files_of(tmp_path / "s.cells") == before
    with pytest.raises(UsageError) as known:
        scformat.append(won, files[1:2])
    assert known.value.code == "source-exists"
    assert scformat.validate(won.path, level=4).ok


def test_an_append_that_lost_late_leaves_nothing(files: list[Path], tmp_path: Path) -> None:
    """The root is replaced while the part is written, by another append of the same source."""
    scformat.convert(files[:1], tmp_path / "s.cells", **OPTIONS)
    late = scformat.open(tmp_path / "s.cells")
    seen: dict[str, str] = {}

    def meanwhile(stage: str, done: int, total: int) -> None:
        if stage == "collecting rows" and not seen:
            scformat.append(tmp_path / "s.cells", files[1:2], ontology=False)
            seen.update(files_of(tmp_path / "s.cells"))

    with pytest.raises(StorageError) as lost:
        scformat.append(late, files[1:2], ontology=False, progress=meanwhile)
    assert lost.value.code == "store-changed"
    left = files_of(tmp_path / "s.cells")
    named = {k: v for k, v in seen.items() if k in left}
    assert left == named and scformat.validate(tmp_path / "s.cells", level=4).ok


def test_vacuum_leaves_what_the_root_names(files: list[Path], tmp_path: Path) -> None:
    store = scformat.convert(files[:1], tmp_path / "s.cells", **OPTIONS)
    code = (
        "import os, sys, scformat\n"
        "def die(stage, done, total):\n"
        "    if stage == 'collecting rows':\n"
        "        os.kill(os.getpid(), 9)\n"
        "scformat.append(sys.argv[1], [sys.argv[2]], ontology=False, progress=die)\n"
    )
    whole = files_of(tmp_path / "s.cells")
    killed = subprocess.run([sys.executable, "-c", code, store.path, str(files[1])], check=False)
    assert killed.returncode == -9
    assert files_of(tmp_path / "s.cells") != whole
    listed = scformat.vacuum(store, dry_run=True)
    assert set(listed.keys) == files_of(tmp_path / "s.cells").keys() - whole.keys()
    with adding(tmp_path / "s.cells"), pytest.raises(StorageError) as busy:
        scformat.vacuum(store)
    assert busy.value.code == "store-busy"
    assert scformat.vacuum(store) == listed
    assert files_of(tmp_path / "s.cells") == whole
    assert not os.path.exists(tmp_path / "s.cells/parts/2")  # noqa: PTH110
    more = scformat.append(store, files[1:2], ontology=False)
    assert scformat.vacuum(more).keys  # the genes, labels and tables of the old root
    assert scformat.validate(more.path, level=4).ok
    assert not scformat.vacuum(more).keys
    with pytest.raises(ScformatError):
        store.tables["ct"].draw(0, 0, 10)


def test_the_same_append_gives_the_same_bytes(files: list[Path], tmp_path: Path) -> None:
    made = []
    for name, jobs in (("a", 1), ("b", 2)):
        scformat.convert(files[:1], tmp_path / f"{name}.cells", **OPTIONS)
        scformat.append(tmp_path / f"{name}.cells", files[1:3], ontology=False, jobs=jobs)
        made.append(files_of(tmp_path / f"{name}.cells"))
    assert made[0] == made[1]


def test_a_dry_run_says_what_is_new_and_writes_nothing(files: list[Path], tmp_path: Path) -> None:
    store = scformat.convert(files[:2], tmp_path / "s.cells", **OPTIONS)
    before = files_of(tmp_path / "s.cells")
    plan = scformat.plan_append(store, files[2:4], ontology=False)
    assert files_of(tmp_path / "s.cells") == before
    new = plan.as_dict()["append"]
    assert new["categories_new"]["cell_type"] == ["odd 7"]
    assert new["n_genes_new"] == 12
    assert new["obs_new"] == ["added"]
    assert {label["name"]: label["missing"] for label in plan.as_dict()["labels"]}["cell_type"] == 50
    assert any(line.startswith("appended to 100 cells; new: 12 genes") for line in plan.lines())


def test_an_unreadable_source_changes_nothing(files: list[Path], tmp_path: Path) -> None:
    store = scformat.convert(files[:1], tmp_path / "s.cells", **OPTIONS)
    before = files_of(tmp_path / "s.cells")
    (tmp_path / "bad.h5ad").write_bytes(b"nothing")
    with pytest.raises(ScformatError):
        scformat.append(store, [tmp_path / "bad.h5ad"])
    assert files_of(tmp_path / "s.cells") == before
    more = scformat.append(store, [tmp_path / "bad.h5ad", files[1]], ontology=False, on_bad="skip")
    assert [s.path for s in more.manifest.skipped] == ["bad.h5ad"]
    assert scformat.validate(more.path, level=4).ok


def test_a_stratified_store_goes_on_stratified(files: list[Path], tmp_path: Path) -> None:
    store = scformat.convert(files[:1], tmp_path / "s.cells", stratify_by=["cell_type"], **OPTIONS)
    more = scformat.append(store, files[1:3], ontology=False)
    assert [p.order.kind for p in more.manifest.parts] == ["stratified", "stratified"]
    codes = more.labels["cell_type"].codes(np.arange(50, 150))
    assert (np.diff(codes) >= 0).all()
    assert scformat.validate(more.path, level=4).ok


def test_terms_come_to_the_graph_and_old_ones_stay(tmp_path: Path) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    names = [["CD4-positive, alpha-beta T cell", "B cell", "sort 17"], ["natural killer cell", "T cell", "sort 3"]]
    for k, types in enumerate(names):
        obs = {
            "cell_type": pd.Categorical([types[i % 3] for i in range(30)]),
            "donor_id": pd.Categorical(["a", "b"] * 15),
        }
        sample(counts_matrix(30, 20, seed=k), obs=obs, prefix=f"n{k}").write_h5ad(tmp_path / f"n{k}.h5ad")
    options = {"weights": ["ct=cell_type:ontology_nodes"], "jobs": 1}
    store = scformat.convert([tmp_path / "n0.h5ad"], tmp_path / "s.cells", **options)
    more = scformat.append(store, [tmp_path / "n1.h5ad"])
    fresh = scformat.convert([tmp_path / "n0.h5ad", tmp_path / "n1.h5ad"], tmp_path / "fresh.cells", **options)
    mine, theirs = more.labels["cell_type"], fresh.labels["cell_type"]
    assert mine.categories[:3] == store.labels["cell_type"].categories
    assert list(mine.categories[3:]) == sorted(set(theirs.categories) - set(mine.categories[:3]), key=str.encode)
    assert mine.ontology is not None and theirs.ontology is not None
    pd.testing.assert_frame_equal(mine.ontology.terms, theirs.ontology.terms)
    assert scformat.validate(more.path, level=4).ok
    shares = [
        s.tables["ct"].strata.astype({"cell_type": str}).set_index("cell_type").sort_index() for s in (more, fresh)
    ]
    pd.testing.assert_frame_equal(shares[0][["cells", "probability"]], shares[1][["cells", "probability"]], atol=1e-8)


def test_what_a_published_root_names_stays_whatever_fails_then(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails right after the root took its place, when the append can no longer be undone."""
    store = scformat.convert(files[:1], tmp_path / "s.cells", **OPTIONS)

    def failing(_: int) -> None:
        if "parts/2" in scformat.open(store.path).manifest.groups:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(StorageError):
        scformat.append(store, files[1:2], ontology=False)
    more = scformat.open(store.path)
    assert more.n_cells == 100
    assert scformat.validate(more.path, level=4).ok

"""Several stores as one: the same as a store that was converted of all their sources."""

from __future__ import annotations

import pickle
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from samples import counts_by_gene, counts_matrix, gene_ids, rich_obs, sample

import scformat
from scformat.collection import Collection
from scformat.errors import RowIndexError, StorageError, UnknownNameError, UsageError
from scformat.exporting import source_anndata
from scformat.report import render_report
from scformat.tables import add_table, build_table

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

N = 40
OPTIONS: dict[str, Any] = {
    "splits": "train=0.6,test=0.4",
    "split_by": ["donor_id"],
    "weights": ["ct=cell_type:balanced@train", "two=stage:scaled(10),donor_id:balanced"],
    "labels": ["cell_type", "donor_id", "stage"],
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
        {"lane": np.arange(N) - 7, "depth": np.linspace(0, 1, N)},
        {"note": np.arange(N), "kind": pd.Categorical(["A", "b"] * (N // 2)), "maybe": None},
        {"note": pd.Categorical(["x", "y"] * (N // 2)), "added": np.arange(N) * 1.5, "cell_type": None, "score": None},
    ]
    made = []
    for k, change in enumerate(changes):
        obs = rich_obs(N, seed=k)
        obs["donor_id"] = pd.Categorical([f"donor {(i * 7 + k) % 9}" for i in range(N)])
        obs["cell_type"] = pd.Categorical([[*TYPES, f"odd {9 - k}"][(i + k) % 4] for i in range(N)])
        for name, values in change.items():
            obs[name] = values
        obs = obs.drop(columns=[name for name, values in change.items() if values is None])
        genes = gene_ids(30, first=1 + 12 * (k % 3))
        data = sample(counts_matrix(N, 30, seed=k), genes=genes if k % 2 == 0 else genes[::-1], prefix=f"s{k}")
        obs.index = data.obs_names
        data.obs = obs
        path = place / f"source_{k}.h5ad"
        data.write_h5ad(path)
        made.append(path)
    return made


@pytest.fixture(scope="module")
def places(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three stores of the four sources: one of a source, one with an appended part, one of another order of genes."""
    place = tmp_path_factory.mktemp("stores")
    scformat.convert(files[:1], place / "a.cells", **OPTIONS)
    scformat.append(scformat.convert(files[1:2], place / "b.cells", **OPTIONS), files[2:3], ontology=False)
    scformat.convert(
        files[3:], place / "c.cells", **{**OPTIONS, "weights": OPTIONS["weights"][1:], "labels": ["donor_id", "stage"]}
    )
    return [place / "a.cells", place / "b.cells", place / "c.cells"]


@pytest.fixture(scope="module")
def united(places: list[Path]) -> Store:
    return scformat.open(places)


@pytest.fixture(scope="module")
def fresh(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    return scformat.convert(files, tmp_path_factory.mktemp("fresh") / "all.cells", **OPTIONS)


def names_of(store: Store, label: str, rows: Any = None) -> list[str]:
    categories = np.array([*store.labels[label].categories, "(none)"], object)
    return categories[store.labels[label].codes(rows)].tolist()  # type: ignore[no-any-return]


def shares(store: Store, name: str) -> pd.DataFrame:
    table = store.tables[name]
    keys = [key.name for key in table.info.keys]
    return table.strata.astype(dict.fromkeys(keys, str)).set_index(keys).sort_index()[["cells", "probability"]]


def test_cells_genes_and_what_was_measured(united: Store, fresh: Store) -> None:
    assert isinstance(united, Collection) and len(united.stores) == 3
    assert united.shape == fresh.shape == (4 * N, 54)
    rows = np.random.default_rng(0).integers(0, 4 * N, 300)
    pd.testing.assert_frame_equal(counts_by_gene(united, rows)[fresh.genes.index], counts_by_gene(fresh, rows))
    mine, theirs = (pd.DataFrame(s.read(rows).measured(), columns=s.genes.index) for s in (united, fresh))
    pd.testing.assert_frame_equal(mine[fresh.genes.index], theirs)
    assert not mine.all().all()
    pd.testing.assert_frame_equal(united.genes.loc[fresh.genes.index], fresh.genes)
    found = united.read(rows).csr()
    assert found.has_sorted_indices and (np.diff(found.indptr) == united.field("n_genes", rows)).all()
    assert (united.read(rows).source == fresh.read(rows).source).all()


def test_numbers_of_the_first_store_stay(united: Store) -> None:
    assert isinstance(united, Collection)
    first = united.stores[0]
    assert list(united.genes.index[: first.n_genes]) == list(first.genes.index)
    for name, label in first.labels.items():
        assert united.labels[name].categories[: len(label.categories)] == label.categories
        assert (united.labels[name].codes(np.arange(N)) == label.codes()).all()
    two = scformat.open(united.stores[:2])
    assert list(united.genes.index[: two.n_genes]) == list(two.genes.index)
    assert united.manifest.sha256 != two.manifest.sha256


def test_labels_splits_and_obs(united: Store, fresh: Store) -> None:
    for name in fresh.labels:
        assert names_of(united, name) == names_of(fresh, name)
        assert united.labels[name].counts.sort_index().to_dict() == fresh.labels[name].counts.sort_index().to_dict()
    assert names_of(united, "cell_type")[-N:] == ["(none)"] * N
    rows = np.random.default_rng(1).integers(0, 4 * N, 99)
    both = [name for name in fresh.column_names() if name in united.column_names()]
    assert {"note", "lane", "depth", "kind", "maybe", "masked", "added", "split", "n_genes", "source_row"} <= set(both)
    for some in (None, rows, rows[:0], np.arange(N), np.arange(3 * N, 4 * N)):
        for name in both:  # one by one, so that an error names the column
            mine, theirs = united.obs([name], some), fresh.obs([name], some)
            if name in fresh.labels:
                mine, theirs = mine.astype(object), theirs.astype(object)
            pd.testing.assert_frame_equal(mine, theirs)
    assert united.manifest.splits is not None and fresh.manifest.splits is not None
    assert united.manifest.splits.counts == fresh.manifest.splits.counts
    assert united.manifest.splits.by == ["donor_id"]


@pytest.mark.parametrize(
    "expression",
    [
        "cell_type == 'odd 7' or cell_type is missing",
        "split == 'train' and lane > 3",
        "source in ('source_1')",
        "n_genes > 5",
    ],
)
def test_select(united: Store, fresh: Store, expression: str) -> None:
    assert united.select(expression).tolist() == fresh.select(expression).tolist() != []


def test_sources(united: Store, fresh: Store, files: list[Path]) -> None:
    pd.testing.assert_frame_equal(united.sources, fresh.sources)
    for number in range(4):
        mine, theirs = (s.sources_view.statistics(number).set_axis(s.genes.index) for s in (united, fresh))
        pd.testing.assert_frame_equal(mine.loc[theirs.index], theirs)
    for path in files:
        mine, theirs = source_anndata(united, path.stem), source_anndata(fresh, path.stem)
        assert (mine.X != theirs.X).nnz == 0
        assert list(mine.var_names) == list(theirs.var_names)
        pd.testing.assert_frame_equal(mine.obs, theirs.obs)
    data = united.to_anndata([5, 3 * N, 5])
    assert data.shape == (3, 54) and data.obs_names[0] == "s0-5"


def test_tables(united: Store, fresh: Store) -> None:
    assert list(united.tables) == ["two"]
    for name in ("two", "cell_type:balanced", "donor_id:natural", "cell_type:scaled(7),stage:balanced"):
        mine, theirs = shares(united, name), shares(fresh, name)
        pd.testing.assert_frame_equal(mine, theirs, atol=1e-8)
    drawn = united.tables["two"].draw(0, 0, 4000)
    assert set(drawn // N) == {0, 1, 2, 3}
    with pytest.raises(UsageError) as some:
        united.tables["ct"]
    assert some.value.code == "table-not-shared"
    with pytest.raises(UnknownNameError):
        united.tables["none"]


def test_it_travels(united: Store) -> None:
    other = pickle.loads(pickle.dumps(united))
    rows = [3 * N, 0, N + 1]
    assert (other.read(rows).csr() != united.read(rows).csr()).nnz == 0
    assert other.labels["cell_type"].codes(rows).tolist() == united.labels["cell_type"].codes(rows).tolist()
    assert "3 scformat stores" in repr(other)
    assert other.size_on_disk() == sum(store.size_on_disk() for store in other.stores)


def test_lists_of_one_and_lists_of_lists(places: list[Path], united: Store) -> None:
    assert scformat.open(places[:1]).path == str(places[0])
    again = scformat.open([scformat.open(places[:2]), places[2]])
    assert isinstance(again, Collection) and [s.path for s in again.stores] == [str(p) for p in places]
    assert again.manifest.sha256 == united.manifest.sha256
    assert scformat.open(united) is united


def test_what_is_refused(places: list[Path], united: Store, files: list[Path], tmp_path: Path) -> None:
    def code(given: Any) -> str:
        with pytest.raises(UsageError) as refused:
            scformat.open(given)
        return refused.value.code

    assert code([]) == "no-stores"
    assert code(3) == "bad-path"
    assert code([places[0], places[1], places[0]]) == "same-store"
    scformat.convert(files[1:2], tmp_path / "before.cells", **OPTIONS)  # what b.cells was before the append
    assert code([places[1], tmp_path / "before.cells"]) == "same-store"
    with pytest.raises(StorageError):
        scformat.open([places[0], tmp_path / "nothing.cells"])
    with pytest.raises(RowIndexError):
        united.read([4 * N])
    with pytest.raises(UnknownNameError):
        united.neighbours["knn"]
    table = build_table(united, "cell_type:balanced")
    for work in (
        lambda: scformat.append(united, files[:1]),
        lambda: scformat.vacuum(united),
        lambda: scformat.describe(united),
        lambda: render_report(united),
        lambda: add_table(united, "t", table),
    ):
        with pytest.raises(UsageError) as one:
            work()
        assert one.value.code == "several-stores"


def test_splits_of_other_rules_are_told(files: list[Path], tmp_path: Path) -> None:
    options = {"ontology": False, "jobs": 1}
    scformat.convert(files[:1], tmp_path / "a.cells", **options, splits="train=0.5,test=0.5")
    scformat.convert(files[1:2], tmp_path / "b.cells", **options, splits="train=0.8,val=0.2")
    scformat.convert(files[2:3], tmp_path / "c.cells", **options)
    with pytest.warns(UserWarning, match="different rules"):
        store = scformat.open([tmp_path / "a.cells", tmp_path / "b.cells", tmp_path / "c.cells"])
    assert store.manifest.splits is not None and store.manifest.splits.names == ["train", "test", "val"]
    split = store.obs(["split"])["split"].astype(object)
    assert set(split[:N]) == {"train", "test"} and set(split[N : 2 * N]) == {"train", "val"}
    assert split[2 * N :].isna().all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scformat.open([tmp_path / "a.cells", tmp_path / "c.cells"])


def test_sources_of_one_name_tell_their_store(files: list[Path], tmp_path: Path) -> None:
    for k, name in enumerate(("a", "b")):
        place = tmp_path / name
        place.mkdir()
        (place / "same.h5ad").write_bytes(files[k].read_bytes())
        scformat.convert(place / "same.h5ad", tmp_path / f"{name}.cells", ontology=False, jobs=1)
    store = scformat.open([tmp_path / "a.cells", tmp_path / "b.cells"])
    assert list(store.sources.index) == ["a/same", "b/same"]
    assert store.select("source == 'b/same'").tolist() == list(range(N, 2 * N))

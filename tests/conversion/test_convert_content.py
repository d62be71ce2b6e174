"""What a conversion keeps: counts of every layout and type, orders, genes, selections, splits, duplicates."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from samples import counts_by_gene, counts_matrix, gene_ids, rich_obs, sample
from scipy import sparse

import scformat
from scformat.errors import InvalidDataError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

TYPES = [
    "float32",
    "float64",
    "float16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]


def named(store: scformat.store.Store) -> pd.DataFrame:  # type: ignore[name-defined]
    """All counts, one row a cell, under names that no source shares."""
    cells = store.obs(["source", "source_row"])
    table = counts_by_gene(store)
    table.index = pd.MultiIndex.from_arrays([cells["source"].astype(str), cells["source_row"]])
    return table


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_every_layout_and_type(layout: str, dtype: str, tmp_path: Path) -> None:
    if dtype == "float16" and layout != "dense":
        pytest.skip("scipy has no sparse float16")
    values = counts_matrix(40, 23)
    if dtype == "bool":
        values = (values > 0).astype(np.int64)
    else:
        values[3, 4] = min(300, int(np.iinfo(dtype).max if dtype[0] in "iu" else 300))
    store = scformat.convert(sample(values, layout=layout, dtype=dtype), tmp_path / "a.cells", jobs=2)
    assert (store.n_cells, store.n_genes) == values.shape
    np.testing.assert_array_equal(counts_by_gene(store)[gene_ids(23)].to_numpy(), values)
    record = store.sources.iloc[0]
    assert (record["layout"], record["dtype"]) == (layout, dtype)
    assert (record["n_nonzero"], record["total"]) == (np.count_nonzero(values), values.sum())
    assert record["n_cells"] == record["n_rows"] == 40
    obs = store.obs(["total_counts", "n_genes"])
    np.testing.assert_array_equal(obs["total_counts"], values.sum(axis=1))
    np.testing.assert_array_equal(obs["n_genes"], (values > 0).sum(axis=1))


def test_the_type_of_a_csc_source_is_kept(tmp_path: Path) -> None:
    from scformat.exporting import source_anndata

    store = scformat.convert(sample(counts_matrix(9, 5), layout="csc", dtype=np.uint16), tmp_path / "a.cells", jobs=1)
    assert store.sources.iloc[0]["dtype"] == "uint16"
    assert source_anndata(store, "anndata").X.dtype == np.uint16


def test_entries_as_no_one_should_store_them(tmp_path: Path) -> None:
    # Columns out of order, one twice in a row, explicit zeros.
    stored = sparse.csr_matrix(
        (np.array([2, 0, 5, 1, 7, 3], np.float32), np.array([3, 1, 0, 3, 2, 2], np.int32), np.array([0, 4, 4, 6])),
        shape=(3, 4),
    )
    data = anndata.AnnData(X=stored, var=pd.DataFrame(index=gene_ids(4)))
    store = scformat.convert(data, tmp_path / "a.cells", jobs=1)
    expected = [[5, 0, 0, 3], [0, 0, 0, 0], [0, 0, 10, 0]]
    assert counts_by_gene(store)[gene_ids(4)].to_numpy().tolist() == expected
    obs = store.obs(["total_counts", "n_genes"])
    assert obs["total_counts"].tolist() == [8, 0, 10]
    assert obs["n_genes"].tolist() == [2, 0, 1]
    assert store.sources.iloc[0]["n_nonzero"] == 3


def test_wide_counts(tmp_path: Path) -> None:
    values = np.array([[65_535, 65_536, 131_070, 131_071, 3_000_000_000], [0, 1, 0, 0, 2**24 + 1]])
    store = scformat.convert(sample(values, dtype=np.float64), tmp_path / "a.cells", jobs=1)
    np.testing.assert_array_equal(counts_by_gene(store)[gene_ids(5)].to_numpy(), values)
    np.testing.assert_array_equal(store.obs(["total_counts"])["total_counts"], values.sum(axis=1))
    assert store.select("total_counts > 3000000000").tolist() == [0]
    with pytest.raises(InvalidDataError, match="count-not-exact"):
        store.read([1]).csr()
    assert store.read([1]).dense(np.float64).max() == 2**24 + 1


def test_a_cell_too_large_to_store(tmp_path: Path) -> None:
    for value in (2.0**53 - 1, 65_535.0 * 4_200_000):
        with pytest.raises(InvalidDataError) as caught:
            scformat.convert(sample(np.array([[1.0], [value]]), dtype=np.float64), tmp_path / "a.cells", jobs=1)
        assert caught.value.code == "cell-too-large"
        assert "row 1" in str(caught.value)
    with pytest.raises(InvalidDataError, match="2\\^53 or more"):
        scformat.convert(sample(np.array([[1.0], [2.0**53]]), dtype=np.float64), tmp_path / "a.cells", jobs=1)
    assert not list(tmp_path.iterdir())


def test_gaps_wider_than_65535_genes(tmp_path: Path) -> None:
    m = 140_000
    rows, columns = [0, 0, 1, 2, 2, 2], [0, m - 1, m - 1, 0, 65_535, 131_070]
    stored = sparse.csr_matrix((np.arange(1, 7, dtype=np.int32), (rows, columns)), shape=(3, m))
    ids = gene_ids(m)
    listed = tmp_path / "genes.txt"
    listed.write_text("\n".join(ids) + "\n")  # a list keeps its order, so that the gaps stay as wide
    data = anndata.AnnData(X=stored, var=pd.DataFrame(index=ids))
    store = scformat.convert(data, tmp_path / "a.cells", genes=listed, jobs=1)
    assert list(store.genes.index) == ids
    found = store.read([2, 0, 1]).csr(np.int64)
    assert (found != stored[[2, 0, 1]].astype(np.int64)).nnz == 0
    assert store.manifest.n_entries == 6 + 2 + 2 + 2


def three_sources() -> list[anndata.AnnData]:
    """Sources whose genes overlap, whose obs differ."""
    made = []
    for i, (first, m, n) in enumerate([(1, 30, 50), (11, 30, 40), (6, 20, 30)]):
        values = counts_matrix(n, m, seed=i + 1, mean=1.0)
        data = sample(values, layout=["csr", "csc", "dense"][i], genes=gene_ids(m, first=first), prefix=f"s{i}")
        data.obs = rich_obs(n, seed=i).set_axis(data.obs_names)
        made.append(data)
    made[1].obs = made[1].obs.drop(columns=["masked", "good", "depth", "fraction", "note", "stage"])
    return made


@pytest.mark.parametrize("order", ["source", "shuffled", "stratified"])
@pytest.mark.parametrize("genes", ["union", "intersection", "list"])
def test_sources_together(order: str, genes: str, tmp_path: Path) -> None:
    sources = three_sources()
    listed = [*gene_ids(3, first=28), "ENSG99999999999", *gene_ids(2, first=1)]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    given = tmp_path / "list.txt" if genes == "list" else genes
    options: dict[str, Any] = {"stratify_by": ["kind"]} if order == "stratified" else {}
    store = scformat.convert(sources, tmp_path / "a.cells", genes=given, order=order, jobs=2, **options)

    union = pd.concat(
        [
            pd.DataFrame(
                data.to_df().to_numpy().astype(np.int64),
                columns=data.var_names,
                index=pd.MultiIndex.from_product([[name], range(data.n_obs)]),
            )
            for name, data in zip(["anndata", "anndata-2", "anndata-3"], sources, strict=True)
        ]
    )
    wanted = {
        "union": gene_ids(40),
        "intersection": gene_ids(15, first=11),
        "list": listed,
    }[genes]
    assert sorted(store.genes.index) == sorted(wanted)
    if genes == "list":
        assert list(store.genes.index) == listed
    found = named(store)
    assert sorted(found.index) == sorted(union.index), "every cell once"
    expected = union.reindex(columns=wanted).fillna(0).astype(np.int64).loc[found.index]
    np.testing.assert_array_equal(found[wanted].to_numpy(), expected.to_numpy())
    # Figures of a cell are over all columns of its source, whatever genes are left out.
    np.testing.assert_array_equal(store.obs(["total_counts"])["total_counts"], union.sum(axis=1).loc[found.index])

    measured = pd.DataFrame(store.read(np.arange(store.n_cells)).measured(), columns=store.genes.index)
    np.testing.assert_array_equal(measured[wanted].to_numpy(), union.reindex(columns=wanted).notna().loc[found.index])
    assert (~measured.to_numpy() & (found.to_numpy() > 0)).sum() == 0
    if genes != "intersection":
        assert (measured.to_numpy() & (found.to_numpy() == 0)).any(), "zeros that were measured"
        assert (~measured.to_numpy()).any()
    if order == "source":
        assert list(found.index) == list(union.index)
    elif order == "shuffled":
        assert list(found.index) != list(union.index)

    names = np.concatenate([data.obs_names for data in sources])
    assert sorted(store.barcodes()) == sorted(names.tolist())
    kinds = dict(zip(names, np.concatenate([d.obs["kind"].astype(str) for d in sources]), strict=True))
    obs = store.obs(["kind"])
    assert obs["kind"].astype(str).tolist() == [kinds[b] for b in store.barcodes()]


def test_each_source_comes_back_whatever_the_order(tmp_path: Path) -> None:
    from scformat.exporting import source_anndata

    sources = three_sources()
    for order in ("source", "shuffled"):
        store = scformat.convert(sources, tmp_path / f"{order}.cells", order=order, jobs=1)
        for name, data in zip(store.sources.index, sources, strict=True):
            back = source_anndata(store, name)
            assert back.X.dtype == data.X.dtype
            np.testing.assert_array_equal(back.X.toarray(), data.to_df().to_numpy())
            pd.testing.assert_frame_equal(back.obs, data.obs)
            assert list(back.var_names) == list(data.var_names)


def test_stratified_means_sorted_by_label_split_and_key(tmp_path: Path) -> None:
    from scformat.conversion.order import order_keys

    sources = three_sources()
    store = scformat.convert(
        sources, tmp_path / "a.cells", stratify_by=["kind", "cluster"], splits="train=0.5,test=0.5", seed=3, jobs=1
    )
    digests = store.sources["sha256"].tolist()
    rows = np.arange(store.n_cells)
    source = store.field("source", rows)
    keys = order_keys(store.field("source_row", rows).astype(np.int64), source, digests, 3).tolist()
    kind, cluster = (store.labels[name].codes() for name in ("kind", "cluster"))
    split = store.field("split", rows)
    found = list(zip(kind.tolist(), cluster.tolist(), split.tolist(), keys, strict=True))
    assert found == sorted(found)
    assert cluster.min() == -1, "a missing label is a stratum of its own"
    assert len(set(keys)) == len(keys)
    part = store.manifest.parts[0]
    assert (part.order.kind, part.order.by) == ("stratified", ["kind", "cluster"])


def test_shuffles_depend_on_the_seed_alone(tmp_path: Path) -> None:
    data = three_sources()[0]
    orders = {}
    for name, seed in {"a": 0, "b": 0, "c": 1}.items():
        store = scformat.convert(data, tmp_path / f"{name}.cells", order="shuffled", seed=seed, jobs=1)
        orders[name] = store.obs(["source_row"])["source_row"].tolist()
    assert orders["a"] == orders["b"] != orders["c"]
    assert sorted(orders["c"]) == list(range(50))
    # A source's cells keep their relative order whatever is converted with it (chapter on order).
    both = scformat.convert(three_sources()[:2], tmp_path / "both.cells", order="shuffled", jobs=1)
    cells = both.obs(["source", "source_row"])
    assert cells["source_row"][(cells["source"] == "anndata").to_numpy()].tolist() == orders["a"]


def test_where(tmp_path: Path) -> None:
    sources = three_sources()
    store = scformat.convert(
        sources,
        tmp_path / "a.cells",
        where="kind in ('B cell', 'monocyte') and n_genes >= 5 and not (lane > 200)",
        jobs=1,
    )
    keep = []
    for name, data in zip(store.sources.index, sources, strict=True):
        obs = data.obs
        mask = (obs["kind"] != "T cell") & ((data.to_df() > 0).sum(axis=1) >= 5) & ~(obs["lane"] > 200)
        keep += [(name, row) for row in np.flatnonzero(mask)]
    assert list(named(store).index) == keep
    assert 0 < len(keep) < 120
    assert store.labels["kind"].categories == ("B cell", "monocyte")
    assert store.sources["n_rows"].tolist() == [50, 40, 30]
    assert store.sources["n_cells"].sum() == len(keep)


def test_where_may_leave_a_source_without_cells(tmp_path: Path) -> None:
    store = scformat.convert(three_sources(), tmp_path / "a.cells", where="source == 'anndata-2'", jobs=1)
    assert store.sources["n_cells"].tolist() == [0, 40, 0]
    assert store.n_genes == 40
    assert store.sources["n_nonzero"].tolist()[::2] == [0, 0]
    assert store.sources_view.statistics(0).to_numpy().sum() == 0


def test_where_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError) as caught:
        scformat.convert(three_sources(), tmp_path / "a.cells", where="n_genes > 1000", jobs=1)
    assert caught.value.code == "no-cells"
    assert not list(tmp_path.iterdir())


def test_splits_by_cell_depend_on_content_and_seed(tmp_path: Path) -> None:
    sources = three_sources()
    shares = "train=0.6,val=0.2,test=0.2"
    first = scformat.convert(sources[0], tmp_path / "a.cells", splits=shares, seed=4, jobs=1)
    splits = first.obs(["split"])["split"]
    assert list(splits.cat.categories) == ["train", "val", "test"]
    assert first.manifest.splits is not None
    assert first.manifest.splits.counts == [int((splits == name).sum()) for name in ("train", "val", "test")]
    assert min(first.manifest.splits.counts) > 2

    more = scformat.convert(sources, tmp_path / "b.cells", splits=shares, seed=4, order="shuffled", jobs=1)
    cells = more.obs(["source_row", "split"])[(more.obs(["source"])["source"] == "anndata").to_numpy()]
    assert cells.sort_values("source_row")["split"].astype(str).tolist() == splits.astype(str).tolist()

    other = scformat.convert(sources[0], tmp_path / "c.cells", splits=shares, seed=5, jobs=1)
    assert other.obs(["split"])["split"].tolist() != splits.tolist()
    assert first.select("split == 'val'").tolist() == np.flatnonzero(splits == "val").tolist()


def test_splits_by_group_keep_groups_together(tmp_path: Path) -> None:
    made = []
    for i in range(2):
        values = counts_matrix(120, 20, seed=i + 20, mean=1.0)
        donors = np.array([f"d{j % 15}" for j in range(120)], object)
        donors[:10] = None
        made.append(sample(values, obs={"donor": pd.Categorical(donors)}, prefix=f"s{i}"))
    store = scformat.convert(
        made, tmp_path / "a.cells", splits={"train": 0.5, "test": 0.5}, split_by=["source", "donor"]
    )
    table = store.obs(["source", "donor", "split"])
    groups = table.groupby(["source", "donor"], dropna=False, observed=True)["split"].nunique()
    assert (groups == 1).all()
    assert len(groups) == 2 * 16
    assert table["split"].nunique() == 2
    alone = scformat.convert(
        made[0], tmp_path / "b.cells", splits={"train": 0.5, "test": 0.5}, split_by=["source", "donor"]
    )
    mine = table[(table["source"] == "anndata").to_numpy()]["split"].astype(str).tolist()
    assert alone.obs(["split"])["split"].astype(str).tolist() == mine, "a source that is added moves no group"


def test_splits_by_an_unknown_column(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean one of 'kind'"):
        scformat.convert(three_sources(), tmp_path / "a.cells", splits="a=0.5,b=0.5", split_by=["kinds"], jobs=1)
    assert not list(tmp_path.iterdir())


def copies() -> list[anndata.AnnData]:
    """Two sources; the second repeats 20 cells of the first, its genes in another order, and has five of its own."""
    values = counts_matrix(60, 25, seed=31, mean=1.0)
    values[:, 0] += np.arange(60)  # no two cells of a source are alike
    own = counts_matrix(5, 25, seed=32, mean=2.0)
    first = sample(values, obs={"group": [f"g{i % 6}" for i in range(60)]}, prefix="first")
    genes = gene_ids(25)[::-1]
    second_values = np.concatenate([values[10:30], own])[:, ::-1]
    second = sample(second_values, genes=genes, obs={"group": [f"h{i % 5}" for i in range(25)]}, prefix="second")
    return [first, second]


def test_duplicates_are_reported_and_never_split(tmp_path: Path) -> None:
    for order in ("source", "shuffled"):
        store = scformat.convert(
            copies(), tmp_path / f"{order}.cells", splits="train=0.5,test=0.5", split_by=["group"], order=order, jobs=1
        )
        found = [f for f in store.manifest.findings if f.what == "duplicate-cells"]
        assert [(f.source, f.cells) for f in found] == [("anndata-2", 20)]
        cells = named(store)
        split = store.obs(["split"])["split"].astype(object)
        by_content: dict[bytes, set[Any]] = {}
        for values, name in zip(cells[gene_ids(25)].to_numpy(), split, strict=True):
            if isinstance(name, str):
                by_content.setdefault(values.tobytes(), set()).add(name)
        assert all(len(names) == 1 for names in by_content.values())
        left_out = split.isna().to_numpy()
        assert 0 < left_out.sum() < 20
        assert store.manifest.splits is not None
        assert store.manifest.splits.duplicates_left_out == left_out.sum()
        assert set(cells.index[left_out].get_level_values(0)) == {"anndata-2"}, "the first copy keeps its split"


def test_the_primary_copy_keeps_its_split(tmp_path: Path) -> None:
    first, second = copies()
    first.obs["is_primary_data"], second.obs["is_primary_data"] = False, True
    store = scformat.convert(
        [first, second], tmp_path / "a.cells", splits="train=0.5,test=0.5", split_by=["group"], jobs=1
    )
    left_out = store.obs(["source", "split"])
    assert set(left_out["source"][left_out["split"].isna()]) == {"anndata"}


def test_cells_without_counts_are_no_duplicates(tmp_path: Path) -> None:
    values = np.zeros((10, 3), np.int64)
    values[0, 0] = 1
    store = scformat.convert(sample(values), tmp_path / "a.cells", splits="a=0.5,b=0.5", jobs=1)
    assert not [f for f in store.manifest.findings if f.what == "duplicate-cells"]
    assert store.manifest.splits is not None
    assert sum(store.manifest.splits.counts) == 10


def test_splits_file(tmp_path: Path) -> None:
    data = sample(counts_matrix(6, 5), obs={"group": list("aabbcc")})
    (tmp_path / "groups.tsv").write_text("group\tsplit\na\tx\nb\ty\n")
    store = scformat.convert(data, tmp_path / "a.cells", splits_file=tmp_path / "groups.tsv", jobs=1)
    assert store.field("split", np.arange(6)).tolist() == [0, 0, 1, 1, -1, -1]
    assert store.manifest.splits is not None
    assert (store.manifest.splits.shares, store.manifest.splits.counts) == (None, [2, 2])


def test_columns_of_one_gene_are_summed(tmp_path: Path) -> None:
    from scformat.exporting import source_anndata

    ids = ["ENSG00000000003.1", "ENSG00000000003.7", "ENSG00000000005", "ENSG00000000419"]
    values = np.array([[200, 200, 1, 0], [0, 3, 0, 0], [4, 0, 0, 9]])
    store = scformat.convert(sample(values, dtype=np.uint8, genes=ids), tmp_path / "a.cells", jobs=1)
    table = counts_by_gene(store)
    assert sorted(table.columns) == ["ENSG00000000003", "ENSG00000000005", "ENSG00000000419"]
    assert table["ENSG00000000003"].tolist() == [400, 3, 4]
    assert store.sources.iloc[0]["n_merged"] == 1
    assert [f.value for f in store.manifest.findings if f.what == "merged-columns"] == ["ENSG00000000003"]
    assert store.obs(["n_genes"])["n_genes"].tolist() == [3, 1, 2], "columns, before any is merged"
    back = source_anndata(store, "anndata")
    assert back.X.toarray().tolist() == [[400, 0, 1, 0], [3, 0, 0, 0], [4, 0, 0, 9]]


def test_repeated_barcodes_and_names_beyond_ascii(tmp_path: Path) -> None:
    data = sample(counts_matrix(4, 3))
    data.obs_names = ["é-1", "é-1", "", "\N{CJK UNIFIED IDEOGRAPH-4E2D}"]
    store = scformat.convert(data, tmp_path / "a cell\N{LATIN SMALL LETTER E WITH ACUTE}.cells", jobs=1)
    assert list(store.barcodes()) == list(data.obs_names)
    assert scformat.open(tmp_path / "a cellé.cells").n_cells == 4


def test_a_single_cell_and_a_single_gene(tmp_path: Path) -> None:
    store = scformat.convert(sample(np.array([[3]])), tmp_path / "a.cells", order="shuffled", jobs=1)
    assert store.read([0, 0]).dense(np.int64).tolist() == [[3], [3]]
    assert store.sources_view.statistics(0).to_numpy().tolist() == [[1, 3, 9, 3]]


def test_explicit_labels(tmp_path: Path) -> None:
    data = three_sources()[0]
    store = scformat.convert(data, tmp_path / "a.cells", labels=["stage", "good"], jobs=1)
    assert list(store.labels) == ["stage", "good"]
    none = scformat.convert(data, tmp_path / "b.cells", labels=[], jobs=1)
    assert list(none.labels) == []
    pd.testing.assert_frame_equal(none.obs(), data.obs, check_names=False)
    with pytest.raises(UnknownNameError, match="'stage'"):
        scformat.convert(data, tmp_path / "c.cells", labels=["stages"], jobs=1)
    with pytest.raises(UsageError, match="not-a-list"):
        scformat.convert(data, tmp_path / "c.cells", labels="stage", jobs=1)


def test_more_labels_than_a_record_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    obs = {f"label{i:02d}": pd.Categorical(rng.choice(["a", "b", "c"], 30)) for i in range(12)}
    data = sample(counts_matrix(30, 5), obs=obs)
    for order in ("source", "shuffled"):
        store = scformat.convert(data, tmp_path / f"{order}.cells", order=order, jobs=1)
        places = store.manifest.parts[0].labels
        assert sum(p.array is not None for p in places.values()) == 4
        rows = store.obs(["source_row"])["source_row"].to_numpy()
        for name, column in obs.items():
            assert store.labels[name].codes().tolist() == column.codes[rows].tolist()
            assert store.labels[name].codes([7, 0, 7]).tolist() == column.codes[rows[[7, 0, 7]]].tolist()


def test_a_plan_tells_what_a_conversion_does(tmp_path: Path) -> None:
    sources = three_sources()
    plan = scformat.plan_conversion(sources, splits="a=0.5,b=0.5", jobs=1).as_dict()
    store = scformat.convert(sources, tmp_path / "a.cells", splits="a=0.5,b=0.5", jobs=1)
    assert (plan["n_cells"], plan["n_genes"]) == (store.n_cells, store.n_genes)
    assert [s["nonzeros"] for s in plan["sources"]] == store.sources["n_nonzero"].tolist()
    assert [s["total_counts"] for s in plan["sources"]] == store.sources["total"].tolist()
    assert [label["name"] for label in plan["labels"]] == list(store.labels)
    assert plan["obs"] == [c.name for c in store.manifest.obs]
    assert store.manifest.splits is not None
    assert list(plan["splits"]["cells"].values()) == store.manifest.splits.counts
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cells"]
    assert Counter(f["what"] for f in plan["findings"]) == Counter(f.what for f in store.manifest.findings)

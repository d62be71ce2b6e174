"""Tables of real stores: built as a plain computation would, stored, published, opened, refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, gene_ids, sample

import scformat
from scformat.errors import InvalidDataError, ScformatError, StorageError, UnknownNameError, UsageError
from scformat.root import decode_root, root_digest
from scformat.sampling import MAX_RUNS, State
from scformat.tables import (
    FEATURE,
    SamplingTable,
    Tables,
    add_table,
    build_table,
    open_table_file,
    read_entry,
    resolve_table,
    write_table_file,
)
from scformat.tables import counting as counting_module
from scformat.tables import files as files_module
from scformat.tables import population as population_module

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

N = 3000
KINDS = np.array(["alpha", "beta", "gamma", "delta", "rare"], object)


def obs(n: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    kind = rng.choice(5, n, p=[0.6, 0.2, 0.15, 0.045, 0.005])
    site = rng.integers(-1, 3, n)
    return {
        "kind": pd.Categorical.from_codes(np.where(rng.random(n) < 0.1, -1, kind), KINDS),
        "site": pd.Categorical.from_codes(site, ["lung", "gut", "unknown"]),
        "age": rng.integers(0, 90, n),
        "purity": np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
        "good": rng.random(n) < 0.7,
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    first = sample(counts_matrix(N, 30, seed=1), genes=gene_ids(30), obs=obs(N, 1), prefix="a")
    # The second source has no site at all.
    second = sample(counts_matrix(500, 30, seed=2), genes=gene_ids(30), obs=obs(500, 2), prefix="b")
    del second.obs["site"]
    scformat.convert([first, second], target, order="shuffled", splits="train=0.8,test=0.2", jobs=2)
    return target


@pytest.fixture
def path(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "a.cells")
    return tmp_path / "a.cells"


@pytest.fixture(scope="module")
def store(original: Path) -> Store:
    return scformat.open(original)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population_module, "BLOCK", 257)


def frame(store: Store) -> pd.DataFrame:
    return store.obs(["kind", "site", "age", "purity", "good", "split", "n_genes", "total_counts"]).reset_index(
        drop=True
    )


def rows_by_name(table: SamplingTable) -> dict[tuple[str, ...], list[int]]:
    names = table.strata[[key.name for key in table.info.keys]].astype(str)
    return {tuple(names.iloc[c]): table.table.strata.rows_of(c).tolist() for c in range(len(table.table))}


def share_by_name(table: SamplingTable) -> dict[tuple[str, ...], float]:
    names = table.strata[[key.name for key in table.info.keys]].astype(str)
    return {tuple(names.iloc[c]): p for c, p in enumerate(table.probability.tolist())}


def expected_rows(some: pd.DataFrame, by: list[str]) -> dict[tuple[str, ...], list[int]]:
    return {
        tuple(map(str, key)): group.index.tolist() for key, group in some.dropna(subset=by).groupby(by, observed=True)
    }


@pytest.mark.parametrize("max_runs", [MAX_RUNS, 10])
@pytest.mark.parametrize(
    ("by", "split", "where", "mask"),
    [
        ("kind:balanced", None, None, lambda f: f.kind.notna()),
        ("kind:balanced,site:natural", None, None, lambda f: f.kind.notna()),
        ("site:scaled(50),kind:power(0.5)", "train", None, lambda f: f.split == "train"),
        ("kind:balanced", "test", "age >= 40 and good", lambda f: (f.split == "test") & (f.age >= 40) & f.good),
        ("kind:natural", None, "kind in ('rare', 'delta')", lambda f: f.kind.isin(["rare", "delta"])),
    ],
)
def test_strata_are_those_of_a_plain_computation(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    split: str | None,
    where: str | None,
    mask: Any,
    max_runs: int,
) -> None:
    monkeypatch.setattr(counting_module, "MAX_RUNS", max_runs)
    table = build_table(store, by, split=split, where=where)
    some = frame(store)
    some = some[mask(some)]
    keys = [item.split(":")[0] for item in by.split(",")]
    expected = expected_rows(some, keys)
    assert rows_by_name(table) == expected
    assert (table.table.strata.rows is not None) == (max_runs == 10)
    assert table.n_cells == sum(map(len, expected.values()))
    in_population = frame(store)
    in_population = (
        in_population[
            (split is None or in_population.split == split) & (where is None or in_population.index.isin(some.index))
        ]
        if split or where
        else in_population
    )
    assert table.info.n_missing == len(in_population) - table.n_cells
    drawn = table.draw(5, 0, 20_000)
    assert set(np.unique(drawn)) <= {row for rows in expected.values() for row in rows}
    found = frame(store).loc[drawn].groupby(keys, observed=True).size() / len(drawn)
    shares = share_by_name(table)
    for key, share in found.items():
        assert shares[tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)] == pytest.approx(share, abs=0.02)


def test_shares_of_a_combination(store: Store) -> None:
    table = build_table(store, "kind:balanced,site:natural")
    some = frame(store).dropna(subset=["kind", "site"])
    kinds = some.kind.nunique()
    for (kind, site), share in share_by_name(table).items():
        of_kind = some[some.kind == kind]
        assert share == pytest.approx((of_kind.site == site).mean() / kinds, abs=1e-8)


def test_missing_labels_form_a_category_when_one_is_named(store: Store) -> None:
    some = frame(store)
    table = build_table(store, "site:balanced(missing=none)")
    assert share_by_name(table) == pytest.approx({("gut",): 0.25, ("lung",): 0.25, ("none",): 0.25, ("unknown",): 0.25})
    assert rows_by_name(table)[("none",)] == some.index[some.site.isna()].tolist()
    assert table.codes.min() == -1
    assert table.info.n_missing == 0
    # A name that a category has: the cells join it.
    joined = build_table(store, "site:balanced(missing=unknown)")
    assert len(joined.table) == 3
    assert rows_by_name(joined)[("unknown",)] == some.index[some.site.isna() | (some.site == "unknown")].tolist()
    # Without a name they are left out and counted: -1 is never taken for the last category.
    out = build_table(store, "site:balanced")
    assert out.info.n_missing == int(some.site.isna().sum())
    assert rows_by_name(out)[("unknown",)] == some.index[some.site == "unknown"].tolist()


def test_weights_by_a_figure(store: Store) -> None:
    some = frame(store)
    table = build_table(store, "kind:balanced,n_genes:proportional")
    assert share_by_class(table) == pytest.approx(dict.fromkeys(some.kind.dropna().unique(), 0.2), abs=1e-9)
    assert table.info.n_missing == int((some.kind.isna() | (some.n_genes == 0)).sum())
    strata = table.strata
    levels = table.info.keys[1].levels
    assert levels is not None
    assert len(levels) <= 17
    for c in range(len(strata)):
        genes = some.n_genes[table.table.strata.rows_of(c)]
        level = int(table.codes[1, c])
        assert ((genes >= levels[level]) & (genes < levels[level + 1])).all()
    alpha = strata[strata.kind == "alpha"]
    ratio = alpha.weight / [(levels[i] + levels[i + 1]) / 2 for i in table.codes[1, alpha.index]]
    assert ratio.max() == pytest.approx(ratio.min(), rel=1e-6)
    purity = build_table(store, "purity:proportional(2)", where="age > 10")
    assert purity.info.n_missing == int((some.purity.isna() & (some.age > 10)).sum())


def share_by_class(table: SamplingTable) -> dict[str, float]:
    return table.strata.groupby("kind", observed=True).probability.sum().to_dict()


def test_custom_weights(store: Store, tmp_path: Path) -> None:
    (tmp_path / "w.tsv").write_text("category\tmass\nalpha\t1\nbeta\t0\ngamma\t2\ndelta\t1\nrare\t4\n")
    table = build_table(store, f"kind:custom('{tmp_path}/w.tsv')")
    assert share_by_name(table) == pytest.approx(
        {("alpha",): 1 / 8, ("gamma",): 1 / 4, ("delta",): 1 / 8, ("rare",): 1 / 2}
    )
    assert table.info.n_left_out == int((frame(store).kind == "beta").sum())
    assert table.info.by == "kind:custom('w.tsv')"
    assert table.info.files[0].name == "w.tsv"
    (tmp_path / "w.csv").write_text("weight,category\n1,alpha\n1,beta\n1,gamma\n1,delta\n100,rare\n")
    per_cell = build_table(store, f"kind:custom({tmp_path}/w.csv)")
    weight = per_cell.strata.set_index("kind").weight
    assert weight["rare"] == pytest.approx(100 * weight["alpha"], rel=1e-6)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("category\tmass\nalpha\tnan\n", "bad-weights"),
        ("category\tmass\nalpha\t-1\nbeta\t2\n", "bad-weights"),
        ("category\tmass\nalpha\t0\n", "bad-weights"),
        ("category\tmass\nalpha\t1\n", "missing-weights"),
        ("category\tmass\nalfa\t1\n", "unknown-category"),
        ("category\tmass\nalpha\tmany\n", "bad-weights-file"),
        ("category\tmass\nalpha\t1\nalpha\t2\n", "bad-weights-file"),
        ("category\tmass\nalpha\n", "bad-weights-file"),
        ("kind\tmass\nalpha\t1\n", "bad-weights-file"),
        ("", "bad-weights-file"),
    ],
)
def test_bad_files_of_weights(store: Store, tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "w.tsv").write_text(text)
    with pytest.raises(ScformatError) as caught:
        build_table(store, f"kind:custom({tmp_path}/w.tsv)")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"by": ""}, "scheme-syntax"),
        ({"by": "kind"}, "no-scheme"),
        ({"by": "kinds:balanced"}, "unknown-label"),
        ({"by": "age:balanced"}, "unknown-label"),
        ({"by": "kind:balanced", "split": "tran"}, "unknown-split"),
        ({"by": "kind:balanced", "where": "agee > 3"}, "unknown-column"),
        ({"by": "kind:balanced", "where": "age >"}, "expression-syntax"),
        ({"by": "kind:balanced", "where": "age > 1000"}, "nothing-to-draw"),
        ({"by": "purity:proportional", "where": "age > 1000"}, "nothing-to-draw"),
        ({"by": "kind:ontology_nodes"}, "no-ontology"),
        ({"by": "kind:proportional"}, "not-a-figure"),
        ({"by": "nothing:proportional"}, "unknown-column"),
        ({"by": "kind:balanced", "temperature": 0.0}, "bad-temperature"),
        ({"by": "kind:custom(none.tsv)"}, "weights-file-unreadable"),
    ],
    ids=str,
)
def test_refusals(store: Store, arguments: dict[str, Any], code: str) -> None:
    with pytest.raises(ScformatError) as caught:
        build_table(store, **arguments)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_many_labels_never_collide() -> None:
    sizes = [70_000, 65_536, 70_000, 65_536, 70_000]
    packing = counting_module.Packing(sizes)
    rng = np.random.default_rng(0)
    keys = np.stack([rng.integers(0, size, 4000) for size in sizes])
    keys[:, 2000:] = keys[:, :2000]
    words = packing.pack(keys)
    assert np.array_equal(packing.unpack(words), keys)
    block = population_module.Block(start=0, keys=keys, drawn=np.ones(4000, np.bool_), missing=0, left_out=0)
    count = counting_module.count_strata([block], packing)
    assert count.counts.tolist() == [2] * 2000
    found = packing.unpack(count.words)
    assert np.array_equal(found, keys[:, :2000][:, np.lexsort(keys[::-1, :2000])])
    strata = counting_module.collect_strata([block], packing, count, n_rows=4000)
    assert sorted(strata.rows_of(0).tolist()) == sorted(np.flatnonzero((keys == found[:, :1]).all(axis=0)).tolist())


def test_texts_resolve_without_being_stored(store: Store) -> None:
    tables = Tables(store)
    assert len(tables) == 0
    for text in ("kind:balanced", "site:natural", "kind:scaled(50)", "kind:balanced,site:natural"):
        one, other = tables[text], build_table(store, text)
        assert one.strata.equals(other.strata)
        assert (one.info.n_missing, one.info.n_left_out) == (other.info.n_missing, other.info.n_left_out)
        assert one.digest == other.digest
        assert np.array_equal(one.draw(3, 5, 1000), other.draw(3, 5, 1000))
    for name in ("kinds:balanced", "kind", "kind:balance", ""):
        with pytest.raises(ScformatError, match="unknown-"):
            tables[name]
    assert tables.find(one) is one


def test_resolving_reads_no_cells(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population_module.Population, "blocks", lambda *_: pytest.fail("cells were read"))
    table = resolve_table(store, "kind:balanced")
    assert table.probability == pytest.approx([0.2] * 5)
    table.table.draw_strata(0, 0, 10)


def test_a_table_in_a_store(path: Path) -> None:
    store = scformat.open(path)
    before = files_of(path)
    table = build_table(store, "kind:balanced,site:natural", split="train", temperature=2.0)
    manifest = add_table(store, "ct", table)
    again = scformat.open(path)
    assert again.manifest == manifest
    assert FEATURE in again.manifest.optional_features
    after = files_of(path)
    # Nothing that was there changed but the root; nothing is left over.
    assert {k: v for k, v in after.items() if k in before and k != "zarr.json"} == {
        k: v for k, v in before.items() if k != "zarr.json"
    }
    new = set(after) - set(before)
    assert new
    assert all(name.startswith((f"tables/ct-{table.digest[:8]}/", "tables/zarr.json")) for name in new)
    data = (path / "zarr.json").read_bytes()
    assert root_digest(data, json.loads(data)["attributes"]["scformat"]) == manifest.sha256
    stored = Tables(again)["ct"]
    assert list(Tables(again)) == ["ct"]
    assert stored.info == table.info
    assert stored.strata.equals(table.strata)
    assert stored.digest == table.digest
    assert np.array_equal(stored.draw(1, 2, 5000), table.draw(1, 2, 5000))
    fresh = Tables(scformat.open(path))["ct"].table
    fresh._digest = None
    assert fresh.digest == table.digest
    # The store as it was opened before goes on.
    assert len(Tables(store)) == 0
    assert len(store.read([0, 5]).rows) == 2
    groups = {name.rpartition("/")[0] for name in new if name.endswith("zarr.json")}
    arrays = {a for a in groups if (path / a / "c").is_dir()}
    assert {g for g in groups if g not in arrays} <= set(manifest.groups)


def test_a_second_table_and_a_taken_name(path: Path) -> None:
    store = scformat.open(path)
    table = build_table(store, "kind:balanced")
    add_table(store, "one", table)
    with pytest.raises(StorageError, match="store-changed"):
        add_table(store, "two", table)
    store = scformat.open(path)
    add_table(store, "two", build_table(store, "kind:natural"))
    store = scformat.open(path)
    assert list(Tables(store)) == ["one", "two"]
    assert store.manifest.optional_features.count(FEATURE) == 1
    with pytest.raises(UsageError, match="table-exists"):
        add_table(store, "one", table)
    for name in ("", "a/b", "..", "a b", "kind:balanced", "x" * 65):
        with pytest.raises(UsageError, match="bad-table-name"):
            add_table(store, name, table)
    with pytest.raises(UnknownNameError, match="'one'"):
        Tables(store)["on"]


def test_the_same_table_is_the_same_bytes(path: Path, original: Path, tmp_path: Path) -> None:
    shutil.copytree(original, tmp_path / "other.cells")
    for place in (path, tmp_path / "other.cells"):
        store = scformat.open(place)
        add_table(store, "ct", build_table(store, "kind:scaled(50),site:balanced"))
    assert files_of(path) == files_of(tmp_path / "other.cells")


@pytest.mark.parametrize("max_runs", [MAX_RUNS, 10])
def test_a_table_beside_a_store(path: Path, tmp_path: Path, max_runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting_module, "MAX_RUNS", max_runs)
    store = scformat.open(path)
    before = files_of(path)
    table = build_table(store, "kind:balanced", where="good")
    write_table_file(tmp_path / "mine.table", "mine", table)
    assert files_of(path) == before
    opened = open_table_file(tmp_path / "mine.table", store)
    assert opened.strata.equals(table.strata)
    assert np.array_equal(opened.draw(0, 0, 2000), table.draw(0, 0, 2000))
    assert Tables(store).find(str(tmp_path / "mine.table")).digest == table.digest
    monkeypatch.setattr(files_module, "RESIDENT_ROWS", 5)
    assert np.array_equal(open_table_file(tmp_path / "mine.table", store).draw(0, 0, 2000), table.draw(0, 0, 2000))
    with pytest.raises(UsageError, match="destination-exists"):
        write_table_file(tmp_path / "mine.table", "mine", table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cells", "mine.table"]
    other = tmp_path / "b.cells"
    scformat.convert([sample(counts_matrix(N + 500, 30), genes=gene_ids(30), obs=obs(N + 500, 3))], other, jobs=1)
    with pytest.raises(UsageError, match="other-cells"):
        open_table_file(tmp_path / "mine.table", scformat.open(other))
    with pytest.raises(StorageError, match="no-table"):
        open_table_file(tmp_path / "none", store)
    with pytest.raises(InvalidDataError, match="not-a-table"):
        open_table_file(path, store)
    root = tmp_path / "mine.table" / "zarr.json"
    root.write_bytes(root.read_bytes().replace(b'"where": "good"', b'"where": "goof"'))
    with pytest.raises(InvalidDataError, match="bad-table"):
        open_table_file(tmp_path / "mine.table", store)


def test_opening_reads_the_manifest_alone(path: Path) -> None:
    store = scformat.open(path)
    add_table(store, "ct", build_table(store, "kind:balanced"))
    store = scformat.open(path)
    for directory in ("tables", "parts", "labels"):
        shutil.rmtree(path / directory)
    table = Tables(store)["ct"]
    assert table.info.by == "kind:balanced"
    assert table.info.keys[0].name == "kind"
    with pytest.raises(InvalidDataError, match="lost-chunk"):
        _ = table.masses


@pytest.mark.parametrize("member", ["masses", "alias", "run_start", "counts", "offsets"])
def test_lost_and_damaged_arrays_are_refused(path: Path, member: str) -> None:
    store = scformat.open(path)
    add_table(store, "ct", build_table(store, "kind:balanced"))
    store = scformat.open(path)
    entry = read_entry(store.manifest.tables[0], "here")
    file = path / getattr(entry, member).path / "c" / "0"
    data = bytearray(file.read_bytes())
    data[3] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(InvalidDataError, match="damaged-chunk"):
        Tables(store)["ct"].draw(0, 0, 10)
    file.unlink()
    with pytest.raises(InvalidDataError, match="lost-chunk"):
        Tables(scformat.open(path))["ct"].draw(0, 0, 10)


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("run_start", lambda a: a + 10**9),
        ("run_start", lambda a: a - 10**9),
        ("run_length", lambda a: a * 0),
        ("alias", lambda a: a + 100),
        ("alias", lambda a: a * 0 - 1),
        ("threshold", lambda a: a + (1 << 40)),
        ("masses", lambda a: a + 1),
        ("counts", lambda a: a + 1),
        ("offsets", lambda a: a[::-1].copy()),
    ],
)
def test_arrays_that_would_lead_astray_are_refused(path: Path, member: str, change: Any) -> None:
    from scformat.storage import Storage
    from scformat.writing import write_table

    store = scformat.open(path)
    add_table(store, "ct", build_table(store, "kind:scaled(5)"))
    store = scformat.open(path)
    entry = read_entry(store.manifest.tables[0], "here")
    array = getattr(entry, member)
    write_table(Storage(path), array.path, change(Storage(path).read_array(array)))
    with pytest.raises(ScformatError, match=r"bad-table|bad-masses|bad-strata|lost-chunk"):
        Tables(scformat.open(path))["ct"].draw(0, 0, 1000)


def test_a_stream_resumes_with_a_stored_table(path: Path) -> None:
    store = scformat.open(path)
    table = build_table(store, "kind:balanced")
    add_table(store, "ct", table)
    state = State(seed=5, plan="stratified", table=table.digest, window=512, lanes=1, position=700)
    stored = Tables(scformat.open(path))["ct"]
    assert np.array_equal(
        state.resume(stored.table).rows(700, 3000), state.at(0).resume(table.table).rows(0, 3000)[700:]
    )
    with pytest.raises(UsageError, match="other-table"):
        state.resume(build_table(store, "kind:natural").table)


def test_the_same_draws_in_another_process(path: Path) -> None:
    store = scformat.open(path)
    add_table(store, "ct", build_table(store, "kind:balanced"))
    code = (
        "import scformat, sys; from scformat.tables import Tables; "
        "print(Tables(scformat.open(sys.argv[1]))['ct'].draw(9, 100, 20).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == Tables(scformat.open(path))["ct"].draw(9, 100, 20).tolist()


def test_tables_are_plain_zarr(path: Path) -> None:
    import zarr

    store = scformat.open(path)
    table = build_table(store, "kind:balanced")
    manifest = add_table(store, "ct", table)
    entry = read_entry(manifest.tables[0], "here")
    group = zarr.open_group(path, mode="r")
    assert np.array_equal(group[entry.masses.path][:], table.masses)
    assert np.array_equal(group[entry.codes.path][:], table.codes)
    assert decode_root((path / "zarr.json").read_bytes(), where="x").tables[0].name == "ct"


def test_an_ontology_label(tmp_path: Path) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    types = ["T cell", "B cell", "natural killer cell", "CD4-positive, alpha-beta T cell", "not a type"]
    values = pd.Categorical.from_codes(np.random.default_rng(0).choice(5, 900, p=[0.5, 0.2, 0.1, 0.15, 0.05]), types)
    scformat.convert(
        [sample(counts_matrix(900, 20), genes=gene_ids(20), obs={"cell_type": values})], tmp_path / "o.cells", jobs=1
    )
    store = scformat.open(tmp_path / "o.cells")
    counts = values.value_counts()
    table = build_table(store, "cell_type:level('T cell', 'B cell')")
    t = counts["T cell"] + counts["CD4-positive, alpha-beta T cell"]
    assert share_by_name(table) == pytest.approx(
        {
            ("T cell",): counts["T cell"] / t / 2,
            ("CD4-positive, alpha-beta T cell",): counts["CD4-positive, alpha-beta T cell"] / t / 2,
            ("B cell",): 0.5,
        }
    )
    assert table.info.n_left_out == counts["natural killer cell"] + counts["not a type"]
    nodes = build_table(store, "cell_type:ontology_nodes")
    assert nodes.n_cells == 900
    assert (
        build_table(store, "cell_type:ontology_nodes").digest == resolve_table(store, "cell_type:ontology_nodes").digest
    )
    assert share_by_name(nodes)[("not a type",)] > counts["not a type"] / 900

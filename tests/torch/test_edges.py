"""The right result or one clear error: empty cells, few genes, one class, one cell, empty splits, weights, tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import counts_matrix, gene_ids, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import (  # noqa: E402
    InvalidDataError,
    RowIndexError,
    ScformatError,
    StorageError,
    UnknownNameError,
    UsageError,
)
from scformat.sampling import Table  # noqa: E402
from scformat.tables import add_table, build_table, write_table_file  # noqa: E402
from scformat.torch import (  # noqa: E402
    CellDataset,
    CellLoader,
    Log1p,
    NormalizeTotal,
    QuantileBins,
    TokenSpec,
    WeightedSampler,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

N, M = 300, 24
PLANS = ("independent", "stratified", "epoch")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells 100 .. 149 have no counts; one cell alone is of type ``rare``; one donor, so that one split is empty."""
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    values = counts_matrix(N, M, seed=8, mean=2.0)
    values[100:150] = 0
    kind = np.where(np.arange(N) % 3 == 0, "a", "b").astype(object)
    kind[200] = "rare"
    obs = {
        "kind": pd.Categorical(kind),
        "one": pd.Categorical(["only"] * N),
        "donor": pd.Categorical(["d"] * N),
    }
    scformat.convert(
        [sample(values, genes=gene_ids(M), obs=obs)],
        target,
        splits="train=0.999,test=0.001",
        split_by=["donor"],
        jobs=1,
    )
    return target


@pytest.fixture(scope="module")
def cells(path: Path) -> Store:
    return scformat.open(path)


def small(store: Any, **options: Any) -> CellLoader:
    made: dict[str, Any] = {"batch_size": 20, "window": 512, "block": 8, "threads": 0}
    return CellLoader(store, **{**made, **options})


def empty_rows(store: Store) -> list[int]:
    return store.select("total_counts == 0").tolist()


@pytest.mark.parametrize(
    "transforms", [[], [NormalizeTotal(), Log1p()], [NormalizeTotal(by="selected")], [QuantileBins(5)]]
)
@pytest.mark.parametrize("output", ["dense", "csr"])
def test_batches_of_empty_cells_are_zero(cells: Store, transforms: list[Any], output: Any) -> None:
    made = small(cells, where="total_counts == 0", transforms=transforms, output=output)
    seen: list[int] = []
    for batch in made:
        assert len(batch) == 20
        x = batch.x.to_dense() if output == "csr" else batch.x
        assert tuple(x.shape) == (20, M)
        assert torch.equal(x, torch.zeros(20, M))
        assert not batch.total_counts.any()
        seen += batch.rows[batch.valid].tolist()
    assert sorted(seen) == empty_rows(cells)
    assert len(seen) >= 50


@pytest.mark.parametrize("how", ["top", "random", "all"])
@pytest.mark.parametrize("zeros", [0, 5])
def test_tokens_of_empty_cells_are_padding(cells: Store, how: Any, zeros: int) -> None:
    spec = TokenSpec(max_len=M + 10, how=how, add_zero_genes=zeros)
    for batch in small(cells, where="total_counts == 0", output=spec):
        assert (~batch.padding_mask).sum(dim=1).tolist() == [zeros] * 20
        assert not batch.values.any()
        assert (batch.gene_ids[batch.padding_mask] == M).all()
        for genes, padding in zip(batch.gene_ids, batch.padding_mask, strict=True):
            real = genes[~padding].tolist()
            assert len(set(real)) == len(real)


@pytest.mark.parametrize("how", ["top", "random", "all"])
@pytest.mark.parametrize("max_len", [M, M + 1, 500])
def test_a_sequence_may_be_longer_than_there_are_genes(cells: Store, how: Any, max_len: int) -> None:
    for batch in small(cells, output=TokenSpec(max_len=max_len, how=how)):
        assert tuple(batch.gene_ids.shape) == tuple(batch.values.shape) == (20, max_len)
        counts = cells.read(batch.rows.numpy()).dense()
        for i, cell in enumerate(counts):
            real = batch.gene_ids[i][~batch.padding_mask[i]].tolist()
            assert sorted(real) == np.flatnonzero(cell).tolist()
            assert batch.values[i, : len(real)].tolist() == cell[real].tolist()
            assert batch.padding_mask[i, len(real) :].all()


@pytest.mark.parametrize("plan", ["independent", "stratified"])
def test_one_class_only(cells: Store, plan: Any) -> None:
    made = small(cells, table="one:balanced", plan=plan, labels=["one"], batch_size=16, steps_per_epoch=32)
    assert len(made.table) == 1
    rows: list[int] = []
    for batch in made:
        assert set(batch.labels["one"].tolist()) == {0}
        rows += batch.rows.tolist()
    times = np.bincount(rows, minlength=N)
    assert len(rows) == times.sum() == 512
    if plan == "stratified":  # a window of 512 draws goes through its 300 cells once, and through some again
        assert set(times.tolist()) == {1, 2}


@pytest.mark.parametrize("plan", ["independent", "stratified"])
def test_a_stratum_of_one_cell_gets_its_share(cells: Store, plan: Any) -> None:
    made = small(cells, table="kind:balanced", plan=plan, steps_per_epoch=512 * 6 // 20, seed=3)
    rows = np.concatenate([batch.rows.numpy() for batch in made])
    n = len(rows)
    share = (rows == 200).mean()
    assert abs(share - 1 / 3) <= (4 / n if plan == "stratified" else 5 * np.sqrt(2 / 9 / n))
    alone = small(cells, where="kind == 'rare'", batch_size=3)
    [batch] = list(alone)
    assert batch.rows.tolist() == [200] * 3
    assert batch.valid.tolist() == [True, False, False]


@pytest.mark.parametrize("table", [None, "kind:balanced", "stored", "file"])
def test_an_empty_split_is_one_clear_error(path: Path, tmp_path: Path, cells: Store, table: Any) -> None:
    names = cells.manifest.splits.names  # type: ignore[union-attr]
    held = [len(cells.select(f"split == '{name}'")) for name in names]
    assert sorted(held) == [0, N]
    empty = names[held.index(0)]
    if table == "stored":
        table = build_table(cells, "kind:balanced").table
    if table == "file":
        table = tmp_path / "x.table"
        write_table_file(table, "x", build_table(cells, "kind:balanced"))
    with pytest.raises(UsageError) as caught:
        CellLoader(path, table=table, split=empty)
    assert caught.value.code in ("no-cells", "nothing-to-draw")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError) as sampler:
        WeightedSampler(table, 10, store=cells, split=empty)
    assert sampler.value.code == caught.value.code


@pytest.mark.parametrize(
    ("table", "near"),
    [
        ("kind_balanced", "kind:balanced"),
        ("knd:balanced", "kind"),
        ("kind:balancd", "balanced"),
        ("", "kind:balanced"),
    ],
)
def test_an_unknown_table_lists_near_names(cells: Store, table: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=near) as caught:
        CellLoader(cells, table=table)
    assert caught.value.code.startswith("unknown-")


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, float("nan")], [1.0, -1.0], [1.0, float("inf")], []])
def test_weights_that_are_none_are_refused(cells: Store, tmp_path: Path, weights: list[float]) -> None:
    lists = [np.arange(10 * k, 10 * k + 10) for k in range(len(weights))]
    with pytest.raises(ScformatError) as caught:
        Table.from_weights(lists, weights)
    assert caught.value.code in ("bad-weights", "bad-number-of-strata")
    file = tmp_path / "weights.tsv"
    file.write_text("category\tweight\n" + "".join(f"{n}\t{w}\n" for n, w in zip("ab", weights, strict=False)))
    with pytest.raises(ScformatError) as by_file:
        CellLoader(cells, table=f"kind:custom('{file}')")
    assert by_file.value.code == "bad-weights"
    assert "\n" not in str(by_file.value)


def test_weights_of_a_file_are_drawn(cells: Store, tmp_path: Path) -> None:
    file = tmp_path / "weights.tsv"
    file.write_text("category\tmass\na\t3\nb\t0\nrare\t1\n")
    made = small(cells, table=f"kind:custom('{file}')", plan="stratified", labels=["kind"], steps_per_epoch=128)
    codes = np.concatenate([batch.labels["kind"].numpy() for batch in made])
    found = dict(zip(cells.labels["kind"].categories, np.bincount(codes, minlength=3) / len(codes), strict=True))
    assert found == pytest.approx({"a": 0.75, "b": 0.0, "rare": 0.25}, abs=2 / len(codes) + 1e-3)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("where", [None, "kind == 'a'", "total_counts < 20", "kind == 'rare'"])
def test_batches_never_shrink(cells: Store, plan: Any, where: str | None) -> None:
    """Of a selection smaller than a batch, of cells without counts, at the end of a pass."""
    table = None if plan == "epoch" else "kind:balanced"
    made = small(cells, batch_size=32, plan=plan, table=table, where=where, output=TokenSpec(max_len=4))
    for batch in made:
        assert len(batch) == len(batch.valid) == len(batch.gene_ids) == 32
        assert plan == "epoch" or batch.valid.all()


def test_a_batch_larger_than_the_store_is_filled_up(cells: Store) -> None:
    [batch] = list(CellLoader(cells, 1000, threads=0))
    assert len(batch) == 1000
    assert sorted(batch.rows[batch.valid].tolist()) == list(range(N))
    [one, other] = [list(CellLoader(cells, 400, rank=r, world_size=2, threads=0)) for r in range(2)]
    assert len(one) == len(other) == 1
    assert sorted(torch.cat([b.rows[b.valid] for b in (*one, *other)]).tolist()) == list(range(N))


def test_a_data_set_can_be_asked_for_nothing(cells: Store) -> None:
    for output in ("dense", "csr", TokenSpec(max_len=3)):
        batch = CellDataset(cells, output=output, labels=["kind"]).__getitems__([])
        assert len(batch) == len(batch.labels["kind"]) == 0


def test_a_table_that_knows_its_split(path: Path, cells: Store) -> None:
    names = cells.manifest.splits.names  # type: ignore[union-attr]
    full = max(names, key=lambda name: len(cells.select(f"split == '{name}'")))
    empty = next(name for name in names if name != full)
    manifest = add_table(cells, "mine", build_table(cells, "kind:balanced", split=full))
    store = scformat.open(path)
    assert [t.name for t in manifest.tables] == ["mine"]
    alone = small(store, table="mine", steps_per_epoch=5)
    assert alone.table.digest == store.tables["mine"].digest
    both = small(store, table="mine", split=full, steps_per_epoch=5)
    assert [b.rows.tolist() for b in both] == [b.rows.tolist() for b in alone]
    with pytest.raises(UsageError) as caught:
        small(store, table="mine", split=empty)
    assert caught.value.code == "no-cells"
    narrowed = small(store, table="mine", where="kind != 'rare'")
    assert narrowed.table.n_cells == N - 1
    assert narrowed.table.probability[narrowed.table.counts > 0].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("plan", ["independent", "stratified"])
def test_a_table_beside_its_store(path: Path, tmp_path: Path, plan: Any) -> None:
    store = scformat.open(path)
    table = build_table(store, "kind:scaled(10)")
    file = tmp_path / "mine.table"
    write_table_file(file, "mine", table)
    expected = [b.rows.tolist() for b in small(path, table=table, plan=plan, steps_per_epoch=9)]
    for given in (file, str(file)):
        made = small(path, table=given, plan=plan, steps_per_epoch=9)
        assert made.table.digest == table.digest
        assert [b.rows.tolist() for b in made] == expected
        narrowed = small(path, table=given, where="kind != 'b'", plan=plan, steps_per_epoch=9)
        assert narrowed.table.n_cells == int((store.obs(["kind"])["kind"] != "b").sum())
    state = small(path, table=file, plan=plan).state_dict()
    small(path, table=table, plan=plan).load_state_dict(state)
    sampler = WeightedSampler(file, 20, seed=2, store=store)
    assert list(sampler) == table.draw(2, 0, 20).tolist()


def test_tables_that_are_none_or_of_another_store(path: Path, tmp_path: Path, store: Store) -> None:
    cells = scformat.open(path)
    other = tmp_path / "other.table"
    write_table_file(other, "other", build_table(store, "cell_type:balanced"))
    (tmp_path / "empty").mkdir()
    for given, kind, code in (
        (other, UsageError, "other-cells"),
        (build_table(store, "cell_type:balanced").table, UsageError, "other-cells"),
        (tmp_path / "none.table", StorageError, "no-table"),
        (tmp_path / "empty", StorageError, "no-table"),
        (path, InvalidDataError, "not-a-table"),
        (Table.uniform([0, N]), RowIndexError, "row-out-of-range"),
        (Table.uniform([5, 4, N + 3, 1]), RowIndexError, "row-out-of-range"),
    ):
        with pytest.raises(kind) as caught:
            CellLoader(cells, table=given)  # type: ignore[arg-type]
        assert caught.value.code == code  # type: ignore[attr-defined]

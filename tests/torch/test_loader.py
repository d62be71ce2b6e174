"""Batches are the cells of the plan, for every plan, output and number of ranks; streams resume."""

from __future__ import annotations

import gc
import itertools
import json
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from scformat.errors import UnknownNameError, UsageError  # noqa: E402
from scformat.loading.transforms import TokenSpec  # noqa: E402
from scformat.sampling import Table  # noqa: E402
from scformat.torch import CellLoader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scformat.store import Store

PLANS = ("independent", "stratified", "epoch")


def balanced(store: Store) -> Table:
    codes = store.labels["cell_type"].codes()
    lists = [np.flatnonzero(codes == c) for c in range(int(codes.max()) + 1)]
    lists = [rows for rows in lists if len(rows)]
    return Table.from_weights(lists, np.ones(len(lists)))


def loader(store: Store, plan: str = "stratified", **options: Any) -> CellLoader:
    table = None if plan == "epoch" else balanced(store)
    made: dict[str, Any] = {"batch_size": 32, "plan": plan, "table": table, "seed": 5, "block": 8, "window": 512}
    return CellLoader(store, **{**made, **options})


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("threads", [0, 2])
def test_dense_batches_are_the_cells_of_the_plan(store: Store, plan: str, threads: int) -> None:
    made = loader(store, plan, threads=threads, labels=["cell_type", "donor_id"])
    expected = made.plan.rows(0, len(made) * 32 if plan != "epoch" else store.n_cells)
    at = 0
    for batch in made:
        rows = batch.rows.numpy()
        held = expected[at : at + 32]
        assert rows[: len(held)].tolist() == held.tolist()
        at += 32
        cells = store.read(rows)
        assert batch.x is not None
        assert batch.x.dtype == torch.float32
        assert np.array_equal(batch.x.numpy(), cells.dense())
        assert np.array_equal(batch.measured().numpy(), cells.measured())
        assert np.array_equal(batch.source.numpy(), cells.source)
        assert np.array_equal(batch.total_counts.numpy(), store.obs(["total_counts"], rows)["total_counts"])
        for name in ("cell_type", "donor_id"):
            assert np.array_equal(batch.labels[name].numpy(), store.labels[name].codes(rows))
    assert at >= len(expected) > 0


@pytest.mark.parametrize("plan", PLANS)
def test_csr_batches_are_the_cells_of_the_plan(store: Store, plan: str) -> None:
    for batch in loader(store, plan, output="csr", threads=2, steps_per_epoch=30):
        assert batch.x is not None
        assert batch.x.layout is torch.sparse_csr
        expected = store.read(batch.rows.numpy()).csr()
        assert np.array_equal(batch.x.crow_indices().numpy(), expected.indptr)
        assert np.array_equal(batch.x.col_indices().numpy(), expected.indices)
        assert np.array_equal(batch.x.values().numpy(), expected.data)


@pytest.mark.parametrize("plan", PLANS)
def test_tokens_are_the_largest_counts(store: Store, plan: str) -> None:
    for batch in loader(store, plan, output=TokenSpec(max_len=40), steps_per_epoch=10):
        assert batch.x is None
        dense = store.read(batch.rows.numpy()).dense()
        for i, cell in enumerate(dense):
            order = np.lexsort((np.arange(len(cell)), -cell))[:40]
            order = order[cell[order] > 0]
            n = len(order)
            assert batch.gene_ids[i, :n].tolist() == order.tolist()
            assert batch.values[i, :n].tolist() == cell[order].tolist()
            assert batch.padding_mask[i].tolist() == [False] * n + [True] * (40 - n)
            assert (batch.gene_ids[i, n:] == store.n_genes).all()


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_partition_the_stream(store: Store, plan: str, ranks: int) -> None:
    made = [loader(store, plan, rank=r, world_size=ranks, steps_per_epoch=9) for r in range(ranks)]
    streams = [np.concatenate([b.rows.numpy() for b in one]) for one in made]
    assert {len(s) for s in streams} == {9 * 32}
    positions = np.arange(9 * 32 * ranks)
    whole = loader(store, plan).plan.rows(0, len(positions))
    for r, stream in enumerate(streams):
        assert np.array_equal(stream, whole[positions % ranks == r])


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("split", [None, "test"])
def test_an_epoch_has_every_cell_once_and_marks_what_fills_up(store: Store, ranks: int, split: str | None) -> None:
    made = [
        CellLoader(store, 64, split=split, rank=r, world_size=ranks, seed=1, window=1024, block=16, output="csr")
        for r in range(ranks)
    ]
    expected = np.arange(store.n_cells) if split is None else store.select(f"split == '{split}'")
    orders = []
    for _ in range(2):
        passes = [list(one) for one in made]
        assert {len(p) for p in passes} == {len(made[0])} == {-(-len(expected) // (64 * ranks))}
        assert {len(b) for p in passes for b in p} == {64}
        held = np.concatenate([b.rows[b.valid].numpy() for p in passes for b in p])
        assert np.array_equal(np.sort(held), expected)
        filled = np.concatenate([b.rows[~b.valid].numpy() for p in passes for b in p])
        assert np.isin(filled, expected).all()
        orders.append(held)
    assert not np.array_equal(*orders), "two epochs in one order"


@pytest.mark.parametrize("plan", PLANS)
def test_resuming_at_any_step_goes_on_with_the_same_batches(store: Store, plan: str) -> None:
    whole = rows_of(loader(store, plan, steps_per_epoch=40))
    for step in (0, 1, 17, 39):
        first = loader(store, plan, steps_per_epoch=40)
        stream = iter(first)
        for _ in range(step):
            next(stream)
        state = json.loads(json.dumps(first.state_dict()))
        second = loader(store, plan, steps_per_epoch=40, seed=99, memory="1MiB", threads=1)
        second.load_state_dict(state)
        assert rows_of(second) == whole[step:]


def test_resuming_an_epoch_finishes_it_and_then_begins_the_next(store: Store) -> None:
    first = loader(store, "epoch")
    whole = [rows_of(first), rows_of(first)]
    second = loader(store, "epoch")
    stream = iter(second)
    for _ in range(10):
        next(stream)
    third = loader(store, "epoch")
    third.load_state_dict(second.state_dict())
    assert rows_of(third) == whole[0][10:]
    assert rows_of(third) == whole[1]


@pytest.mark.parametrize("plan", PLANS)
def test_the_number_of_ranks_can_change_on_the_way(store: Store, plan: str) -> None:
    def step(loaders: list[CellLoader]) -> list[Iterator[Any]]:
        return [iter(one) for one in loaders]

    whole = [sorted(rows) for rows in rows_of(loader(store, plan, batch_size=96, steps_per_epoch=12))]
    state: dict[str, Any] | None = None
    got = []
    for ranks in (1, 3, 2):
        made = [
            loader(store, plan, batch_size=96 // ranks, rank=r, world_size=ranks, steps_per_epoch=12)
            for r in range(ranks)
        ]
        for one in made:
            if state is not None:
                one.load_state_dict(state)
        streams = step(made)
        for _ in range(4):
            got.append(sorted(row for stream in streams for row in next(stream).rows.tolist()))
        states = [one.state_dict() for one in made]
        assert all(s == states[0] for s in states)
        state = states[0]
    assert got == whole


def test_more_ranks_than_lanes_get_a_lane_each(store: Store) -> None:
    assert CellLoader(store).plan.shape.lanes == CellLoader(store, rank=0, world_size=5).plan.shape.lanes == 8
    many = CellLoader(store, rank=3, world_size=12)
    assert many.plan.shape.lanes == 12
    assert many.plan.shape.window % (12 * 64) == 0


def test_a_state_brings_its_plan_along(store: Store) -> None:
    first = CellLoader(store, 32, plan="independent", steps_per_epoch=20, output="csr")
    whole = rows_of(first)
    second = CellLoader(store, 32, output="csr")
    second.load_state_dict({**first.state_dict(), "position": 10 * 32})
    got = iter(second)
    assert [next(got).rows.tolist() for _ in range(10)] == whole[10:]
    got.close()


def test_a_pass_that_is_left_early_is_not_taken_up_again(store: Store) -> None:
    made = loader(store, "epoch")
    next(iter(made))
    again = rows_of(made)
    assert len(again) == len(made)
    assert again == rows_of_pass(store, 1)


def rows_of_pass(store: Store, number: int) -> list[list[int]]:
    made = loader(store, "epoch")
    passes = [rows_of(made) for _ in range(number + 1)]
    return passes[number]


def test_seeds_differ_and_repeat(store: Store) -> None:
    one, same, other = (rows_of(loader(store, "epoch", seed=s)) for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_threads_and_memory_do_not_change_batches(store: Store) -> None:
    expected = [b.x.clone() for b in loader(store, steps_per_epoch=40, threads=0)]
    for threads, memory in ((1, "1MiB"), (3, "64MB")):
        got = [b.x for b in loader(store, steps_per_epoch=40, threads=threads, memory=memory)]
        assert all(torch.equal(a, b) for a, b in zip(expected, got, strict=True))


def test_batches_own_their_memory(store: Store) -> None:
    batches = list(loader(store, steps_per_epoch=6, labels=["cell_type"]))
    copies = [b.x.clone() for b in batches]
    batches[0].x.zero_()
    batches[0].rows.zero_()
    assert all(torch.equal(b.x, c) for b, c in zip(batches[1:], copies[1:], strict=True))
    assert batches[1].rows.any()


def test_selections_restrict_what_is_drawn(store: Store) -> None:
    where = "total_counts > 900"
    allowed = set(store.select(f"split == 'train' and {where}").tolist())
    assert 0 < len(allowed) < store.n_cells
    for plan in PLANS:
        made = loader(store, plan, split="train", where=where, organism="human", steps_per_epoch=20)
        drawn = {row for rows in rows_of(made) for row in rows}
        assert drawn <= allowed
        assert made.table.n_cells <= len(allowed)


def test_strata_keep_their_shares_under_a_selection(store: Store) -> None:
    table = balanced(store)
    made = loader(store, "stratified", split="train", table=table)
    rows = set(store.select("split == 'train'").tolist())
    alive = np.array([bool(rows.intersection(table.strata.rows_of(c).tolist())) for c in range(len(table))])
    assert np.allclose(made.table.probability[alive], 1 / alive.sum())


def test_tables_are_named_by_labels_and_schemes(store: Store) -> None:
    made = loader(store, table="cell_type:balanced", labels=["cell_type"], steps_per_epoch=96)  # six windows
    codes = np.concatenate([b.labels["cell_type"].numpy() for b in made])
    present = int((store.labels["cell_type"].counts > 0).sum())
    share = np.bincount(codes, minlength=present) / len(codes)
    assert np.allclose(share[share > 0], 1 / present, atol=0.002)
    train = CellLoader(store, table="cell_type:natural", split="train", steps_per_epoch=2)
    assert train.table.n_cells <= int((store.field("split", np.arange(store.n_cells)) == 0).sum())
    drawn = np.concatenate([train.table.strata.rows_of(c) for c in range(len(train.table))])
    assert (store.obs(["split"], drawn)["split"] == "train").all()
    shares = train.table.counts / train.table.n_cells
    assert np.allclose(train.table.probability, shares)
    with pytest.raises(UnknownNameError, match="cell_type"):
        CellLoader(store, table="cell_typ")


def test_genes_in_the_order_wanted(store: Store, tmp_path: Path) -> None:
    some = [*store.genes.index[[7, 3, 1200, 0]], "ENSG99999999999"]
    listed = tmp_path / "genes.tsv"
    listed.write_text("# mine\n" + "\n".join(f"{g}\tnote" for g in some) + "\n")
    for output in ("dense", "csr"):
        for genes in (some, str(listed), listed):
            made = loader(store, output=output, genes=genes, steps_per_epoch=3)
            assert made.genes.index.tolist() == some
            assert made.genes["found"].tolist() == [True] * 4 + [False]
            for batch in made:
                cells = store.read(batch.rows.numpy())
                x = batch.x.to_dense() if output == "csr" else batch.x
                assert np.array_equal(x[:, :4].numpy(), cells.dense()[:, [7, 3, 1200, 0]])
                assert not x[:, 4].any()
                assert np.array_equal(batch.measured()[:, :4].numpy(), cells.measured()[:, [7, 3, 1200, 0]])
                assert not batch.measured()[:, 4].any()
                if output == "csr":
                    columns = batch.x.col_indices().numpy()
                    starts = batch.x.crow_indices().numpy()
                    assert all((np.diff(columns[a:b]) > 0).all() for a, b in itertools.pairwise(starts))


def test_protein_coding_genes(store: Store) -> None:
    made = loader(store, genes="protein_coding", steps_per_epoch=2)
    places = np.flatnonzero(store.genes["biotype"] == "protein_coding")
    assert 0 < len(places) < store.n_genes
    for batch in made:
        assert np.array_equal(batch.x.numpy(), store.read(batch.rows.numpy()).dense()[:, places])


def test_to_moves_every_tensor(store: Store) -> None:
    batch = next(iter(loader(store, labels=["cell_type"]))).to("meta")
    tensors = [batch.x, batch.rows, batch.source, batch.total_counts, batch.valid, batch.labels["cell_type"]]
    assert all(t.device.type == "meta" for t in tensors)


def test_the_default_plan_follows_table_and_order(store: Store, plain_path: Path) -> None:
    assert CellLoader(store).plan.name == "epoch"
    assert CellLoader(store, table=balanced(store)).plan.name == "stratified"
    made = CellLoader(plain_path)
    assert made.plan.name == "epoch"
    assert CellLoader(plain_path, table=balanced(made.store)).plan.name == "independent"


def test_explain_counts_what_a_window_takes(store: Store) -> None:
    for plan in PLANS:
        found = loader(store, plan).explain()
        assert found["draws"] >= found["cells"] > 0
        assert found["chunks"] > 0
        assert 0 < found["bytes"] <= 2 * (store.size_on_disk() or 0)
        assert found["cells_per_second"] > 0


def test_threads_end_with_the_iterator(store: Store) -> None:
    def ours() -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("scformat-")]

    made = loader(store, "epoch", threads=2)
    assert not ours()
    stream = iter(made)
    next(stream)
    assert ours()
    stream.close()
    assert not ours()
    stream = iter(made)
    next(stream)
    del stream
    gc.collect()
    assert not ours()
    for _ in made:
        pass
    assert not ours()


def test_a_state_of_another_table_is_refused(store: Store) -> None:
    state = loader(store, "stratified").state_dict()
    other = loader(store, "stratified", split="train")
    with pytest.raises(UsageError) as caught:
        other.load_state_dict(state)
    assert caught.value.code == "other-table"
    assert state["table"] in str(caught.value)
    assert other.table.digest in str(caught.value)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"batch_size": 0}, "bad-batch-size"),
        ({"where": "total_counts < 0"}, "no-cells"),
        ({"rank": 2, "world_size": 2}, "bad-rank"),
        ({"rank": 0}, "bad-rank"),
        ({"steps_per_epoch": 0}, "bad-steps"),
        ({"threads": -1}, "bad-threads"),
        ({"memory": "much"}, "bad-size"),
        ({"output": "tokens"}, "bad-output"),
        ({"labels": "cell_type"}, "not-a-list"),
        ({"genes": []}, "empty-gene-list"),
        ({"genes": ["GATTACA"]}, "no-such-genes"),
        ({"window": 100}, "bad-window"),
        ({"block": 0}, "bad-window"),
        ({"seed": -1}, "bad-seed"),
        ({"temperature": 0.0}, "bad-temperature"),
        ({"plan": "epoch"}, "epoch-with-weights"),
    ],
)
def test_what_cannot_be_is_refused(store: Store, options: dict[str, Any], code: str) -> None:
    with pytest.raises(UsageError) as caught:
        loader(store, **{"plan": "stratified", "table": balanced(store), **options})
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("options", "near"),
    [
        ({"labels": ["cell_typ"]}, "cell_type"),
        ({"split": "tran"}, "train"),
        ({"output": "sparse"}, "csr"),
        ({"plan": "stratifed"}, "stratified"),
        ({"genes": "protein_codin"}, "protein_coding"),
    ],
)
def test_unknown_names_list_near_ones(store: Store, options: dict[str, Any], near: str) -> None:
    with pytest.raises(UnknownNameError, match=near):
        loader(store, **options)


def test_a_repeated_gene_is_refused(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        CellLoader(store, genes=[store.genes.index[0]] * 2)
    assert caught.value.code == "repeated-gene"

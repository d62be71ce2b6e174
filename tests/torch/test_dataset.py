"""torch's own DataLoader over a store, with and without workers; the sampler is exact and resumes."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from torch.utils.data import BatchSampler, DataLoader  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import RowIndexError, UsageError  # noqa: E402
from scformat.loading.transforms import Downsample, TokenSpec  # noqa: E402
from scformat.sampling import Table  # noqa: E402
from scformat.torch import Batch, CellDataset, WeightedSampler  # noqa: E402

if TYPE_CHECKING:
    from scformat.store import Store


REPOSITORY = Path(__file__).resolve().parents[2]


def test_items_are_batches(store: Store) -> None:
    made = CellDataset(store, labels=["cell_type"])
    assert len(made) == store.n_cells
    one = made[7]
    assert one.rows.tolist() == [7]
    assert np.array_equal(one.x.numpy(), store.read([7]).dense())
    several = made.__getitems__([5, 2, 5])
    assert isinstance(several, Batch)
    assert np.array_equal(several.x.numpy(), store.read([5, 2, 5]).dense())
    assert np.array_equal(several.labels["cell_type"].numpy(), store.labels["cell_type"].codes([5, 2, 5]))
    for bad in (-1, store.n_cells):
        with pytest.raises(RowIndexError):
            made[bad]


@pytest.mark.parametrize(("workers", "method"), [(0, None), (2, "fork"), (4, "fork"), (2, "spawn")])
@pytest.mark.parametrize("output", ["dense", "csr", "tokens"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_under_a_data_loader(ordered_path: Path, workers: int, method: str | None, output: str) -> None:
    store = scformat.open(ordered_path)
    store.read([0])  # opened, and used, before the fork
    table = Table.uniform(np.arange(store.n_cells))
    sampler = WeightedSampler(table, 200, seed=3)
    expected = table.draw(3, 0, 200)
    form = TokenSpec(max_len=30) if output == "tokens" else output
    made = CellDataset(store, labels=["cell_type"], output=form)  # type: ignore[arg-type]
    batches = list(
        DataLoader(
            made,
            batch_sampler=BatchSampler(sampler, 64, drop_last=False),
            num_workers=workers,
            multiprocessing_context=method,
            collate_fn=CellDataset.collate,
        )
    )
    assert [len(b) for b in batches] == [64, 64, 64, 8]
    assert np.array_equal(np.concatenate([b.rows.numpy() for b in batches]), expected)
    for batch in batches:
        assert batch.genes is made.genes
        assert torch.equal(batch.measured(), torch.from_numpy(store.read(batch.rows.numpy()).measured()))
        rows = batch.rows.numpy()
        dense = store.read(rows).dense()
        if output == "tokens":
            assert np.array_equal(batch.values[:, 0].numpy(), dense.max(axis=1))
        else:
            x = batch.x.to_dense() if output == "csr" else batch.x
            assert np.array_equal(x.numpy(), dense)
        assert np.array_equal(batch.labels["cell_type"].numpy(), store.labels["cell_type"].codes(rows))


def test_a_batch_travels_without_its_genes(store: Store) -> None:
    batch = CellDataset(store, output="csr").__getitems__([1, 2])
    data = pickle.dumps(batch)
    assert len(data) < 200_000
    copy = pickle.loads(data)
    assert torch.equal(copy.x.to_dense(), torch.from_numpy(store.read([1, 2]).dense()))
    code = (
        "import pickle, sys\nbatch = pickle.load(sys.stdin.buffer)\n"
        "try:\n    batch.genes\nexcept Exception as error:\n    print(batch.rows.tolist(), error.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True, cwd=REPOSITORY)
    assert done.stdout == b"[1, 2] genes-not-here\n"


def test_random_transforms_of_a_row_repeat(store: Store) -> None:
    made = CellDataset(store, transforms=[Downsample(share=0.5)])
    assert torch.equal(made[3].x, made.__getitems__([9, 3]).x[1:])
    other = CellDataset(store, transforms=[Downsample(share=0.5)], seed=1)
    assert not torch.equal(made[3].x, other[3].x)


def weighted(n: int = 50) -> Table:
    return Table.from_weights([np.arange(n), np.arange(n, 4 * n)], [3.0, 1.0])


def test_draws_follow_the_weights_in_any_number() -> None:
    rows = np.array(list(WeightedSampler(weighted(), 40_000, seed=1)))
    share = (rows < 50).mean()
    assert abs(share - 0.75) < 5 * np.sqrt(0.75 * 0.25 / len(rows))


def test_a_sampler_resumes_and_does_not_repeat_itself() -> None:
    sampler = WeightedSampler(weighted(), 1000, seed=1)
    first, second = list(sampler), list(sampler)
    assert first != second
    assert [*first, *second] == weighted().draw(1, 0, 2000).tolist()
    for step in (0, 1, 999, 1500):
        half = WeightedSampler(weighted(), 1000, seed=1)
        stream = iter(half)
        for k in range(step):
            if k == 1000:
                stream = iter(half)
            if next(stream, None) is None:
                stream = iter(half)
                next(stream)
        state = json.loads(json.dumps(half.state_dict()))
        again = WeightedSampler(weighted(), 1000, seed=77)
        again.load_state_dict(state)
        assert list(again) == [*first, *second][step : (step // 1000 + 1) * 1000]


def test_ranks_share_the_draws() -> None:
    whole = weighted().draw(4, 0, 300)
    for rank in range(3):
        assert list(WeightedSampler(weighted(), 100, seed=4, rank=rank, world_size=3)) == whole[rank::3].tolist()


def test_tables_by_name_need_a_store(store: Store) -> None:
    named = WeightedSampler("cell_type:balanced", 10, store=store, split="test")
    assert (store.obs(["split"], list(named))["split"] == "test").all()
    for table, options, code in (
        ("cell_type:balanced", {}, "no-store"),
        (None, {}, "no-store"),
        (weighted(), {"rank": 1}, "bad-rank"),
        (weighted(), {"num_samples": 0}, "bad-number-of-samples"),
    ):
        with pytest.raises(UsageError) as caught:
            WeightedSampler(table, **{"num_samples": 5, **options})  # type: ignore[arg-type]
        assert caught.value.code == code


def test_a_state_of_another_table_is_refused() -> None:
    state = WeightedSampler(weighted(), 5).state_dict()
    with pytest.raises(UsageError) as caught:
        WeightedSampler(weighted(60), 5).load_state_dict(state)
    assert caught.value.code == "other-table"
    assert state["table"] in str(caught.value)

"""What loaders of this field got wrong, each a test; those of draws, tables and splits lie beside their code."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import counts_matrix, gene_ids, sample  # noqa: E402
from torch.utils.data import BatchSampler, DataLoader  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import UsageError  # noqa: E402
from scformat.store import Store  # noqa: E402
from scformat.tables import build_table, write_table_file  # noqa: E402
from scformat.torch import CellDataset, CellLoader, Downsample, WeightedSampler  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
PLANS = ("independent", "stratified", "epoch")


def loader(store: Store, plan: str, **options: Any) -> CellLoader:
    made: dict[str, Any] = {
        "batch_size": 64, "plan": plan, "table": None if plan == "epoch" else "cell_type:balanced", "seed": 3,
        "window": 1024, "block": 16, "output": "csr", "threads": 1,
    }  # fmt: skip
    return CellLoader(store, **{**made, **options})


def rows_of(batches: Any) -> list[int]:
    return [row for batch in batches for row in batch.rows[batch.valid].tolist()]


@pytest.mark.parametrize("plan", PLANS)
def test_a_pass_never_gets_shorter(store: Store, plan: str) -> None:
    """An epoch without replacement that gives 2000, then 1506, 1158, 862 cells."""
    made = loader(store, plan)
    passes = [rows_of(made) for _ in range(4)]
    assert {len(rows) for rows in passes} == {store.n_cells if plan == "epoch" else len(made) * 64}
    assert len({tuple(rows) for rows in passes}) == 4
    sampler = WeightedSampler(made.table, 500, seed=3)
    draws = [list(sampler) for _ in range(4)]
    assert {len(rows) for rows in draws} == {len(sampler)} == {500}
    assert len({tuple(rows) for rows in draws}) == 4


@pytest.mark.parametrize("plan", ["independent", "stratified"])
def test_cells_of_short_runs_are_drawn_like_those_of_long_ones(tmp_path: Path, plan: str) -> None:
    """Uniform over runs instead of over cells: short runs come ten times too often."""
    n = 400
    kind = np.where(np.arange(n) < 200, "long", np.where(np.arange(n) % 2, "short", "other"))
    values = sample(counts_matrix(n, 10, seed=1), genes=gene_ids(10), obs={"kind": pd.Categorical(kind)})
    scattered = scformat.convert([values], tmp_path / "a.cells", jobs=1)
    made = CellLoader(
        scattered, 64, table="kind:natural", plan=plan, seed=1, window=512, block=8, steps_per_epoch=512, output="csr"
    )
    times = np.bincount(rows_of(made), minlength=n)
    draws = times.sum()
    for name in ("long", "short", "other"):
        share = (kind == name).mean()
        near = 0.001 if plan == "stratified" else 5 * np.sqrt(share * (1 - share) / draws)
        assert abs(times[kind == name].sum() / draws - share) <= near
    spread = 1 if plan == "stratified" else 6 * np.sqrt(draws / n)
    assert np.abs(times - draws / n).max() <= spread


@pytest.mark.parametrize("plan", PLANS)
def test_every_batch_of_every_rank_is_mixed(store: Store, plan: str) -> None:
    """Batches of one class only, where a mixed one was wanted."""
    for rank in range(3):
        made = loader(store, plan, rank=rank, world_size=3, labels=["cell_type"], steps_per_epoch=10)
        for batch in made:
            assert len(set(batch.labels["cell_type"].tolist())) >= 5


@pytest.mark.parametrize("plan", PLANS)
def test_global_random_numbers_are_neither_used_nor_changed(store: Store, plan: str) -> None:
    """A validation split, or an order, from a global generator: ranks disagree."""
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        made = loader(store, plan, split="test", transforms=[Downsample(share=0.5)], steps_per_epoch=5)
        found.append([(batch.rows.tolist(), batch.x.values().tolist()) for batch in made])
        after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
        assert before == after
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_epochs_differ_under_workers_that_stay(ordered_path: Path) -> None:
    """The epoch counter lives in a worker's copy: every epoch replays the same order."""
    store = scformat.open(ordered_path)
    sampler = WeightedSampler("cell_type:balanced", 96, seed=2, store=store)
    cells = DataLoader(
        CellDataset(store, output="csr"),
        batch_sampler=BatchSampler(sampler, 32, drop_last=False),
        num_workers=2,
        persistent_workers=True,
        multiprocessing_context="fork",
        collate_fn=CellDataset.collate,
    )
    passes = [rows_of(cells) for _ in range(3)]
    assert [row for rows in passes for row in rows] == sampler.table.draw(2, 0, 3 * 96).tolist()
    assert len({tuple(rows) for rows in passes}) == 3


@pytest.mark.parametrize("split", [None, "train"])
def test_a_rank_sees_other_cells_in_every_epoch_and_none_is_left_out(store: Store, split: str | None) -> None:
    """A rank that keeps its shard for ever; a tail that nobody sees."""
    ranks = 4
    made = [loader(store, "epoch", rank=r, world_size=ranks, split=split) for r in range(ranks)]
    expected = list(range(store.n_cells)) if split is None else store.select(f"split == '{split}'").tolist()
    seen: list[set[int]] = [set() for _ in range(ranks)]
    for epoch in range(1, 6):
        parts = [rows_of(one) for one in made]
        assert sorted(row for part in parts for row in part) == expected
        for rank, part in enumerate(parts):
            seen[rank].update(part)
        # Of cells that fall to ranks at random a share of 1 - (3/4)^k has come to each after k epochs.
        for rank in range(ranks):
            share = len(seen[rank]) / len(expected)
            assert share == pytest.approx(1 - 0.75**epoch, abs=0.05), (rank, epoch)


def test_a_table_of_what_lay_there_before_is_refused(tmp_path: Path) -> None:
    """Caches by path only: labels of the old data used for the new."""
    path, table = tmp_path / "a.cells", tmp_path / "a.table"
    names = np.array(["x", "y"])

    def convert(seed: int) -> Store:
        kind = pd.Categorical(names[np.random.default_rng(seed).integers(0, 2, 80)])
        values = sample(counts_matrix(80, 10, seed=1), genes=gene_ids(10), obs={"kind": kind})
        return scformat.convert([values], path, jobs=1, overwrite=True)

    old = convert(1)
    write_table_file(table, "t", build_table(old, "kind:balanced"))
    state = CellLoader(path, table="kind:balanced").state_dict()
    assert len(list(CellLoader(path, 10, table=table, threads=0))) == 8
    convert(2)  # the same counts with other labels
    with pytest.raises(UsageError) as by_file:
        CellLoader(path, table=table)
    assert by_file.value.code == "other-cells"
    with pytest.raises(UsageError) as resumed:
        CellLoader(path, table="kind:balanced").load_state_dict(state)
    assert resumed.value.code == "other-table"


def test_nothing_is_shared_by_name(ordered_path: Path) -> None:
    """Named shared memory as coordination: what a crash leaves behind stands in the way of the next run."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom scformat.torch import CellLoader\n"
        f"loaders = [CellLoader({str(ordered_path)!r}, 64, rank=r, world_size=2, threads=2) for r in range(2)]\n"
        "streams = [iter(loader) for loader in loaders]\n"
        "for _ in range(3):\n    [next(stream) for stream in streams]\n"
        "maps = Path('/proc/self/maps').read_text()\n"
        "print('/dev/shm/' in maps, 'multiprocessing.shared_memory' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stdout == "False False\n"

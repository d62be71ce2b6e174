"""A stream goes on exactly where it stood: on other numbers of ranks, threads and workers, and after a kill."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from torch.utils.data import BatchSampler, DataLoader  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import UsageError  # noqa: E402
from scformat.torch import (  # noqa: E402
    CellDataset,
    CellLoader,
    Downsample,
    Log1p,
    NormalizeTotal,
    TokenSpec,
    WeightedSampler,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scformat.store import Store
    from scformat.torch import Batch

REPOSITORY = Path(__file__).resolve().parents[2]
GLOBAL = 96
PLANS = ("independent", "stratified", "epoch")
FORMS: dict[str, dict[str, Any]] = {
    "dense": {"transforms": [Downsample(share=0.5), NormalizeTotal(100, by="selected"), Log1p()]},
    "tokens": {"output": TokenSpec(max_len=24, how="random", add_zero_genes=4)},
}

Content = dict[str, Any]


def loaders(store: Store, plan: str, ranks: int, *, form: str = "dense", batch: int = GLOBAL, **options: Any) -> Any:
    made: dict[str, Any] = {
        "plan": plan, "table": None if plan == "epoch" else "cell_type:scaled(20)", "seed": 11, "block": 8,
        "window": 1536, "labels": ["cell_type"], "targets": ["cell_type"], "threads": 1, "lanes": 6,
    }  # fmt: skip
    return [
        CellLoader(store, batch // ranks, rank=r, world_size=ranks, **{**made, **FORMS[form], **options})
        for r in range(ranks)
    ]


def content(batches: list[Batch]) -> Content:
    """What the batches of all ranks at one step hold, in the order of the stream, padding left out."""
    first = batches[0]
    tensors = {
        "rows": [b.rows for b in batches],
        "source": [b.source for b in batches],
        "total": [b.total_counts for b in batches],
        "label": [b.labels["cell_type"] for b in batches],
        "target": [b.targets["cell_type"] for b in batches],
    }
    for name in ("x", "gene_ids", "values", "padding_mask"):
        if getattr(first, name) is not None:
            tensors[name] = [getattr(b, name) for b in batches]
    # Draw k of rank r is number k R + r of the global batch.
    valid = torch.stack([b.valid for b in batches], dim=1).flatten()
    return {name: torch.stack(each, dim=1).flatten(0, 1)[valid] for name, each in tensors.items()}


def steps_of(made: list[CellLoader]) -> Iterator[Content]:
    for batches in zip(*made, strict=True):
        yield content(list(batches))


def same(found: Content, expected: Content) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", [0, 1])
def test_ranks_change_and_the_batches_do_not(store: Store, plan: str, form: str, seed: int) -> None:
    n = {} if plan == "epoch" else {"steps_per_epoch": 40}
    whole = list(steps_of(loaders(store, plan, 1, form=form, **n)))
    assert len(whole) == (-(-store.n_cells // GLOBAL) if plan == "epoch" else 40)
    cuts = np.sort(np.random.default_rng(seed).choice(np.arange(1, len(whole)), 2, replace=False)).tolist()
    state = None
    at = 0
    for ranks, stop, threads in ((1, cuts[0], 0), (3, cuts[1], 2), (2, len(whole), 4)):
        # The seed, of draws and of what is random in a batch, is the state's too.
        made = loaders(store, plan, ranks, form=form, threads=threads, seed=11 if state is None else 99, **n)
        if state is not None:
            for one in made:
                one.load_state_dict(state)
        steps = steps_of(made)
        for k in range(at, stop):
            assert same(next(steps), whole[k]), (ranks, k)
        states = [json.dumps(one.state_dict()) for one in made]
        assert len(set(states)) == 1
        state = json.loads(states[0])
        at = stop
    assert next(steps, None) is None


@pytest.mark.parametrize("plan", PLANS)
def test_another_global_batch_goes_on_with_the_same_stream(store: Store, plan: str) -> None:
    n = 30
    [first] = loaders(store, plan, 1, steps_per_epoch=n)
    whole = first.plan.rows(0, 3 * n * GLOBAL)
    at = 0
    state = None
    for ranks, batch, steps in ((1, 96, 7), (3, 42, 5), (2, 20, 11), (1, 1, 3)):
        made = loaders(store, plan, ranks, batch=batch, steps_per_epoch=n)
        if state is not None:
            for one in made:
                one.load_state_dict(state)
        stream = steps_of(made)
        for _ in range(steps):
            rows = next(stream)["rows"].numpy()
            assert np.array_equal(rows, whole[at : at + batch])
            at += batch
        state = made[0].state_dict()
        assert state["position"] == at


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("form", FORMS)
def test_threads_do_not_change_batches(store: Store, plan: str, form: str) -> None:
    passes = [list(steps_of(loaders(store, plan, 1, form=form, steps_per_epoch=20, threads=t))) for t in (0, 2, 4)]
    for other in passes[1:]:
        assert len(other) == 20
        assert all(same(a, b) for a, b in zip(passes[0], other, strict=True))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize("form", FORMS)
def test_workers_change_and_the_batches_do_not(ordered_path: Path, form: str) -> None:
    batch, length = 32, 20
    store = scformat.open(ordered_path)

    def made(workers: int, state: Any = None) -> tuple[WeightedSampler, DataLoader[Any]]:
        sampler = WeightedSampler("cell_type:balanced", batch * length, seed=4, store=store)
        if state is not None:
            sampler.load_state_dict(state)
        cells = CellDataset(store, labels=["cell_type"], targets=["cell_type"], seed=3, **FORMS[form])
        batches = BatchSampler(sampler, batch, drop_last=False)
        return sampler, DataLoader(
            cells, batch_sampler=batches, num_workers=workers, collate_fn=CellDataset.collate,
            multiprocessing_context="fork" if workers else None,
        )  # fmt: skip

    whole = [content([b]) for b in made(0)[1]]
    assert len(whole) == length
    state = None
    at = 0
    for workers, stop in ((0, 3), (2, 9), (4, 14), (0, 20)):
        sampler, cells = made(workers, state)
        stream = iter(cells)
        begun = at
        while at < stop:
            assert same(content([next(stream)]), whole[at])
            at += 1
        # The sampler itself stands ahead of what workers have delivered.
        assert sampler.state_dict()["position"] >= at * batch
        state = json.loads(json.dumps(sampler.state_dict(delivered=(at - begun) * batch)))
        assert state["position"] == at * batch
        if at == length:
            assert next(stream, None) is None
    with pytest.raises(UsageError) as caught:
        sampler.state_dict(delivered=20 * batch + 1)
    assert caught.value.code == "bad-number-of-samples"
    assert [content([b])["rows"].tolist() for b in cells] != [b["rows"].tolist() for b in whole], "the next pass"


SCRIPT = """
import hashlib, json, os, sys, time
from pathlib import Path
from scformat.torch import CellLoader, Downsample, Log1p
store, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
loader = CellLoader(
    store, 32, table="cell_type:balanced", plan="stratified", window=512, block=8, seed=5, steps_per_epoch=60,
    transforms=[Downsample(share=0.4), Log1p()], threads=threads, temperature=[(0, 1.0), (30, 2.0)],
)
state = folder / "state.json"
if state.exists():
    loader.load_state_dict(json.loads(state.read_text()))
for batch in loader if loader.position < 60 * 32 else ():
    digest = hashlib.sha256(batch.rows.numpy().tobytes() + batch.x.numpy().tobytes()).hexdigest()
    with (folder / "log").open("a") as log:
        log.write(f"{loader.position} {digest}\\n")
    (folder / "state.new").write_text(json.dumps(loader.state_dict()))
    os.replace(folder / "state.new", state)
    time.sleep(0.005)
(folder / "done").touch()
"""


def _log(folder: Path) -> list[tuple[int, str]]:
    path = folder / "log"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines if line.endswith("\n")]


def test_a_killed_process_goes_on_from_its_last_state(ordered_path: Path, tmp_path: Path) -> None:
    loader = CellLoader(
        ordered_path, 32, table="cell_type:balanced", plan="stratified", window=512, block=8, seed=5,
        steps_per_epoch=60, transforms=[Downsample(share=0.4), Log1p()], temperature=[(0, 1.0), (30, 2.0)],
    )  # fmt: skip
    whole = [
        (loader.position, hashlib.sha256(b.rows.numpy().tobytes() + b.x.numpy().tobytes()).hexdigest()) for b in loader
    ]
    rng = np.random.default_rng()  # any moment will do
    (tmp_path / "script.py").write_text(SCRIPT)
    first = 0
    for threads, steps in ((2, int(rng.integers(1, 25))), (0, int(rng.integers(1, 25))), (4, None)):
        child = subprocess.Popen(
            [sys.executable, str(tmp_path / "script.py"), str(ordered_path), str(tmp_path), str(threads)],
            cwd=REPOSITORY,
            start_new_session=True,
        )
        try:
            give_up = time.monotonic() + 300
            while child.poll() is None and time.monotonic() < give_up:
                if steps is not None and len(_log(tmp_path)) >= first + steps:
                    time.sleep(float(rng.uniform(0, 0.02)))
                    os.kill(child.pid, signal.SIGKILL)
                time.sleep(0.002)
        finally:
            if child.poll() is None:
                os.kill(child.pid, signal.SIGKILL)
            child.wait()
        found = _log(tmp_path)
        assert len(found) > first
        # What was logged since the state that it began with is the stream from there on.
        assert found[first:] == [entry for entry in whole if entry[0] >= found[first][0]][: len(found) - first]
        if first:
            assert found[first][0] <= found[first - 1][0] + 32, "no batch is left out"
            assert found[first][0] >= found[first - 1][0], "at most the last one comes again"
        first = len(found)
        if (tmp_path / "done").exists():
            break
    assert (tmp_path / "done").exists()
    assert found[-1] == whole[-1]
    assert sorted(set(found)) == sorted(whole)


def test_a_state_of_other_cells_is_refused(store: Store, plain_path: Path) -> None:
    state = CellLoader(store, table="cell_type:balanced", plan="stratified").state_dict()
    other = CellLoader(plain_path, table="cell_type:balanced", plan="stratified")
    before = other.state_dict()
    with pytest.raises(UsageError) as caught:
        other.load_state_dict(state)
    assert caught.value.code == "other-table"
    assert state["table"] in str(caught.value)
    assert before["table"] in str(caught.value)
    assert other.state_dict() == before
    sampler = WeightedSampler("cell_type:balanced", 10, store=scformat.open(plain_path))
    with pytest.raises(UsageError) as refused:
        sampler.load_state_dict(WeightedSampler("cell_type:balanced", 10, store=store).state_dict())
    assert refused.value.code == "other-table"

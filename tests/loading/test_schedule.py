"""Runs of batches cover a pass without a gap, whatever fits in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.loading import schedule
from scformat.loading.schedule import Share, runs
from scformat.sampling import EpochPlan, IndependentPlan, StratifiedPlan, Table, WindowShape

SHAPE = WindowShape(window=256, lanes=4, block=8)
TABLES = {
    "independent": Table.from_weights([np.arange(300), np.arange(300, 1000)], [1.0, 1.0]),
    "epoch": Table.uniform(np.arange(1000)),
}
PLANS: dict[str, Any] = {
    "independent": IndependentPlan(TABLES["independent"], 1, SHAPE),
    "stratified": StratifiedPlan(TABLES["independent"], 1, SHAPE),
    "epoch": EpochPlan(TABLES["epoch"], 1, SHAPE),
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(PLANS)),
    st.integers(1, 70),
    st.integers(1, 6),
    st.integers(1, 25),
    st.integers(0, 3000),
    st.integers(1, 2000),
    st.integers(1, 500),
)
def test_ranks_cover_every_position_of_a_pass_once(
    name: str, batch: int, ranks: int, steps: int, position: int, most: int, ahead: int
) -> None:
    plan = PLANS[name]
    finite = name == "epoch" and steps % 2 == 0
    shares = [Share(batch=batch, rank=r, world_size=ranks, steps=None if finite else steps) for r in range(ranks)]
    _, stop = shares[0].pass_of(plan, position)
    seen = []
    lengths, ends = set(), set()
    for share in shares:
        found = [step for run in runs(plan, share, position, stop, most=most, ahead=ahead) for step in run]
        lengths.add(len(found))
        ends.add(tuple(step.end for step in found))
        for step in found:
            assert len(step.rows) == len(step.positions) == len(step.valid) == batch
            at = step.positions[step.valid].astype(np.int64)
            seen.append(at)
            for t, row in zip(at.tolist(), step.rows[step.valid].tolist(), strict=True):
                assert plan.rows(t, t + 1).tolist() == [row]
    assert len(lengths) == len(ends) == 1
    last = next(iter(ends))[-1]
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(position, last))
    assert last == stop if finite else last - stop in range(batch * ranks)


def test_the_look_ahead_grows() -> None:
    share = Share(batch=10, rank=0, world_size=1, steps=1000)
    sizes = [len(run) for run in runs(PLANS["independent"], share, 0, 10_000, most=300, ahead=40)]
    assert sizes[:4] == [4, 8, 16, 16]
    assert max(sizes) <= 30
    assert sum(sizes) == 1000


@pytest.mark.parametrize("name", ["stratified", "epoch"])
def test_the_first_window_is_cut_so_that_the_first_batch_comes_soon(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "MOST_AHEAD", 160)
    plan = PLANS[name]
    share = Share(batch=10, rank=0, world_size=1, steps=200)
    starts = [int(run[0].positions[0]) for run in runs(plan, share, 0, 2_000, most=1 << 30, ahead=20)]
    assert starts[:2] == [0, 20]
    first = plan.window_stop(0)
    later = [t for t in starts if t >= first]
    assert len([t for t in starts if t < first]) > 2
    assert len(later) <= 2_000 // SHAPE.window + 2, "from then on windows are whole"

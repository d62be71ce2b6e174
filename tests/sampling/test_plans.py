"""Stratified and epoch plans: shares, no repeats before their time, ranks, resuming."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import UnknownNameError, UsageError
from scformat.sampling import EpochPlan, Plan, ScheduledPlan, State, Strata, StratifiedPlan, Table, WindowShape

SMALL = WindowShape(window=1024, lanes=4, block=64)


def table_with(counts: np.ndarray, weights: np.ndarray) -> Table:
    ends = np.cumsum(counts)
    return Table.from_weights([np.arange(e - n, e) for e, n in zip(ends, counts, strict=True)], weights)


def skewed(k: int, seed: int, *, most: int = 3000) -> Table:
    rng = np.random.default_rng(seed)
    return table_with(rng.integers(1, most, k), rng.random(k) ** 4 + 1e-6)


@pytest.mark.parametrize("k", [1, 2, 5, 60, 1000, 10_000])
def test_windows_hold_their_shares(k: int) -> None:
    table = skewed(k, k)
    plan = StratifiedPlan(table, 11)
    for number in (0, 1, 2, 777, 1 << 40):
        window = plan.window(number)
        counts = np.bincount(window.stratum, minlength=k)
        exact = len(window) * table.probability
        assert counts.sum() == len(window) == 65_536
        assert (np.abs(counts - exact) <= 2 + 0.005 * exact).all()


@given(st.integers(1, 40), st.integers(0, 2**32), st.integers(0, 2**60))
def test_quotas_grow_by_one_and_sum_up(k: int, seed: int, t: int) -> None:
    plan = StratifiedPlan(skewed(k, seed), seed)
    first, second = plan.quotas(t), plan.quotas(t + 1)
    assert first.sum() == t
    assert second.sum() == t + 1
    assert (np.sort(second - first)[:-1] == 0).all()


def test_strata_of_no_mass_and_of_equal_mass() -> None:
    table = table_with(np.full(5, 10), np.array([1.0, 0.0, 1.0, 1.0, 0.0]))
    counts = np.bincount(StratifiedPlan(table, 0, SMALL).window(5).stratum, minlength=5)
    assert counts.tolist()[1::3] == [0, 0]
    assert abs(counts[[0, 2, 3]] - 1024 / 3).max() <= 2


@pytest.mark.parametrize("block", [1, 64])
def test_no_cell_comes_again_before_its_stratum_is_exhausted(block: int) -> None:
    table = skewed(9, 3, most=900)
    plan = StratifiedPlan(table, 2, WindowShape(window=1024, lanes=4, block=block))
    times = np.zeros(int(table.counts.sum()), np.int64)
    ends = np.cumsum(table.counts)
    early = []
    for number in range(12):
        np.add.at(times, plan.window(number).slot_rows, 1)
        for c, (low, high) in enumerate(zip(ends - table.counts, ends, strict=True)):
            mine = times[np.sort(table.strata.rows_of(c))]
            if high == low:
                continue
            assert mine.max() - mine.min() <= 1
            if high - low > 2 * 64 and 0 < mine.min() < mine.max():
                early.append((c, int(mine.min()), frozenset(np.flatnonzero(mine > mine.min()).tolist())))
    # The cells that come first are others each time that a stratum begins anew.
    assert len({c for c, _, _ in early}) < len({(c, e) for c, e, _ in early})
    assert len({cells for _, _, cells in early}) == len(early)


def test_ranks_read_few_cells_that_others_read_too() -> None:
    """Small strata are gone through several times a window; their cells must not be read by every rank."""
    sizes = np.geomspace(20, 20_000, 60).astype(np.int64)
    plan = StratifiedPlan(table_with(sizes, np.ones(60)), 3)
    rows = plan.rows(7 * 65_536, 8 * 65_536)
    whole = len(np.unique(rows))
    assert whole < 0.6 * len(rows)
    for ranks in (2, 8):
        assert sum(len(np.unique(rows[rank::ranks])) for rank in range(ranks)) <= 1.1 * whole


def test_slots_run_through_blocks() -> None:
    window = StratifiedPlan(table_with(np.array([100_000]), np.array([1.0])), 0).window(3)
    assert (np.diff(window.k) <= 1).mean() > 0.97
    # And the positions do not: a batch holds cells from everywhere in the window.
    assert (np.diff(window.k[window.order]) == 1).mean() < 0.01


def test_lanes_share_no_block() -> None:
    window = StratifiedPlan(table_with(np.array([1 << 20]), np.array([1.0])), 0).window(0)
    owner = window.order // 64 % 8
    assert np.array_equal(owner, np.arange(65_536) % 8)
    assert np.array_equal(np.sort(window.order), np.arange(65_536))


def test_batches_are_mixed_like_independent_ones() -> None:
    table = table_with(np.full(60, 5000), np.ones(60))
    for plan in (StratifiedPlan(table, 1), StratifiedPlan(table, 1, WindowShape(block=1))):
        strata = plan.window(4).position_strata.reshape(-1, 128)
        share = np.stack([np.bincount(batch, minlength=60) for batch in strata]) / 128
        entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum(axis=1).mean()
        independent, _ = table.draw_strata(1, 0, 65_536)
        drawn = np.stack([np.bincount(b, minlength=60) for b in independent.reshape(-1, 128)]) / 128
        reference = -(drawn * np.log2(np.where(drawn > 0, drawn, 1))).sum(axis=1).mean()
        assert entropy == pytest.approx(reference, abs=0.05)


def plans() -> list[Plan]:
    table = skewed(13, 5)
    cells = Table.uniform(np.arange(100, 4100))
    return [
        State(seed=7, plan=name, table=t.digest, window=1024, lanes=4).resume(t)
        for name, t in (("independent", table), ("stratified", table), ("epoch", cells))
    ]


@pytest.mark.parametrize("plan", plans(), ids=lambda p: p.name)
def test_ranks_share_one_stream(plan: Plan) -> None:
    whole = plan.rows(0, 9000)
    assert len(whole) == 9000
    for world_size in (1, 2, 3, 8):
        merged = np.empty(9000, np.int64)
        for rank in range(world_size):
            merged[rank::world_size] = plan.rows(0, 9000, rank=rank, world_size=world_size)
        assert np.array_equal(merged, whole)
    # Batches are the same where ranks x batch is unchanged.
    of_two = [plan.rows(i, i + 12, rank=r, world_size=2) for i in range(0, 1200, 12) for r in range(2)]
    of_three = [plan.rows(i, i + 12, rank=r, world_size=3) for i in range(0, 1200, 12) for r in range(3)]
    for i in range(100):
        assert sorted(np.concatenate(of_two[2 * i : 2 * i + 2])) == sorted(np.concatenate(of_three[3 * i : 3 * i + 3]))


@pytest.mark.parametrize("plan", plans(), ids=lambda p: p.name)
def test_resuming_anywhere_goes_on(plan: Plan) -> None:
    whole = plan.rows(0, 9000)
    rng = np.random.default_rng(0)
    for at in [0, 1, 1023, 1024, 8999, *rng.integers(0, 9000, 20).tolist()]:
        state = State(seed=7, plan=plan.name, table=plan.table.digest, window=1024, lanes=4, position=at)
        again = State.of(json.loads(state.to_json()))
        assert again == state
        assert np.array_equal(again.resume(plan.table).rows(again.position, 9000), whole[at:])


@pytest.mark.parametrize("plan", plans(), ids=lambda p: p.name)
def test_the_same_seed_repeats_and_another_does_not(plan: Plan) -> None:
    again = type(plan)(plan.table, plan.seed, plan.shape)
    assert np.array_equal(again.rows(500, 2500), plan.rows(500, 2500))
    assert not np.array_equal(type(plan)(plan.table, plan.seed + 1, plan.shape).rows(500, 2500), plan.rows(500, 2500))
    assert np.array_equal(pickle.loads(pickle.dumps(plan)).rows(500, 2500), plan.rows(500, 2500))


@given(st.integers(1, 5000), st.integers(0, 2**64 - 1), st.sampled_from([1, 64]), st.integers(1, 5))
@settings(max_examples=60)
def test_an_epoch_is_every_cell_once(n: int, seed: int, block: int, world_size: int) -> None:
    plan = EpochPlan(Table.uniform(np.arange(7, 7 + n)), seed, WindowShape(window=1024, lanes=4, block=block))
    for epoch in (0, 1, 1000):
        rows = [plan.rows(epoch * n, epoch * n + n, rank=r, world_size=world_size) for r in range(world_size)]
        assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(7, 7 + n))
    if n > 500:
        assert not np.array_equal(plan.rows(0, n), plan.rows(n, 2 * n))


@given(st.integers(1, 3000), st.integers(1, 4), st.integers(1, 200))
@settings(max_examples=60)
def test_a_finite_pass_pads_its_last_batch(n: int, world_size: int, batch: int) -> None:
    plan = EpochPlan(Table.uniform(np.arange(n)), 3, SMALL)
    steps = -(-n // (world_size * batch))
    for epoch in (0, 1):
        found, order = [], np.full(steps * world_size * batch, -1)
        for step in range(steps):
            for rank in range(world_size):
                rows, valid = plan.padded(epoch, batch, rank=rank, world_size=world_size, step=step)
                assert len(rows) == len(valid) == batch
                assert ((rows >= 0) & (rows < n)).all()
                found.append(rows[valid])
                places = step * world_size * batch + np.arange(batch) * world_size + rank
                order[places] = np.where(valid, rows, -1)
        assert np.array_equal(np.sort(np.concatenate(found)), np.arange(n))
        # In the order of the stream, with all padding at its end.
        assert np.array_equal(order[:n], plan.rows(epoch * n, epoch * n + n))
        assert (order[n:] == -1).all()


def test_epochs_need_one_list_of_cells() -> None:
    with pytest.raises(UsageError, match="not-one-stratum"):
        EpochPlan(skewed(2, 1), 0)
    whole = Table(np.array([1 << 32]), np.array([5]), Strata.of_rows([[1, 2], [5, 6, 9]]).flattened())
    assert sorted(EpochPlan(whole, 0, SMALL).rows(0, 5)) == [1, 2, 5, 6, 9]


def test_temperatures_change_where_stated() -> None:
    table = skewed(7, 9)
    base = State(seed=1, plan="stratified", table=table.digest, window=1024, lanes=4)
    same = State(**{**vars(base), "schedule": ((0, 1.0), (4096, 1.0))})
    assert np.array_equal(same.resume(table).rows(0, 8192), base.resume(table).rows(0, 8192))
    heated = State(**{**vars(base), "schedule": ((0, 1.0), (4096, 3.0))})
    plan = heated.resume(table)
    assert isinstance(plan, ScheduledPlan)
    rows = plan.rows(0, 8192)
    assert np.array_equal(rows[:4096], base.resume(table).rows(0, 4096))
    assert np.array_equal(rows[4096:], StratifiedPlan(table.at(3.0), 1, base.shape).rows(4096, 8192))
    assert State.of(heated.to_json()) == heated


def test_states_that_do_not_fit_are_refused() -> None:
    table = skewed(3, 1)
    good = State(seed=1, plan="stratified", table=table.digest)
    with pytest.raises(UsageError, match="other-table") as caught:
        good.resume(skewed(3, 2))
    assert table.digest in str(caught.value)
    assert skewed(3, 2).digest in str(caught.value)
    with pytest.raises(UnknownNameError, match="unknown-plan"):
        State(seed=1, plan="stratifed", table="")
    for change, code in [
        ({"window": 1000}, "bad-window"),
        ({"lanes": 0}, "bad-window"),
        ({"position": -1}, "bad-position"),
        ({"seed": -1}, "bad-seed"),
        ({"schedule": ()}, "bad-schedule"),
        ({"schedule": ((5, 1.0),)}, "bad-schedule"),
        ({"schedule": ((0, 1.0), (100, 2.0))}, "bad-schedule"),
        ({"schedule": ((0, 0.0),)}, "bad-temperature"),
        ({"plan": "epoch", "schedule": ((0, 2.0),)}, "bad-schedule"),
    ]:
        with pytest.raises(UsageError, match=code):
            State(**{**vars(good), **change})  # type: ignore[arg-type]
    text = json.loads(good.to_json())
    for bad in ("{", "[]", "3", json.dumps({}), json.dumps({**text, "version": 2}), json.dumps({**text, "seed": "1"})):
        with pytest.raises(UsageError, match="bad-state"):
            State.of(bad)
    with pytest.raises(UsageError, match="bad-rank"):
        good.resume(table).rows(0, 5, rank=2, world_size=2)


def test_a_seed_beyond_53_bits_survives_json() -> None:
    state = State(seed=(1 << 64) - 1, plan="independent", table="x", position=(1 << 60) + 1)
    assert State.of(state.to_json()) == state

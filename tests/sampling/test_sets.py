"""Streams of sets: known answers, one stratum a set, no repeats, shares, coverage, ranks, resuming, states."""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slow_sets as slow
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scformat.errors import UsageError
from scformat.sampling import (
    Combinations,
    Controls,
    Draws,
    EpochSets,
    Plan,
    ScheduledPlan,
    SetForm,
    SetShape,
    State,
    Strata,
    Table,
    integer_masses,
)

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("set_vectors.json").read_text())
PLANS = ("independent", "stratified", "epoch")


def in_a_row(counts: list[int]) -> Strata:
    """Strata one after another, so that row minus start is the number of the cell."""
    lengths = np.array(counts, np.int64)
    starts = np.cumsum(lengths) - lengths
    held = lengths > 0
    offsets = np.concatenate([[0], np.cumsum(held)])
    return Strata(offsets=offsets, run_start=starts[held], run_length=lengths[held])


def table_of(counts: list[int], weights: Any = None) -> Table:
    strata = in_a_row(counts)
    return Table(integer_masses(np.ones(len(counts)) if weights is None else weights), strata.counts, strata)


def combinations(
    counts: list[int], size: int, *, weights: Any = None, controls: list[int] | None = None, group: Any = None
) -> Combinations:
    table = table_of(counts, weights)
    if controls is None:
        return Combinations(table=table, size=size)
    groups = np.arange(len(counts)) % len(controls) if group is None else np.asarray(group)
    return Combinations(table=table, size=size, controls=Controls(table=table_of(controls), group=groups))


def state_of(made: Combinations, plan: str, *, seed: int = 5, block: int = 4, lanes: int = 2, sets: int = 32) -> State:
    window = made.size * lanes * sets
    return State(seed=seed, plan=plan, table=made.table.digest, window=window, lanes=lanes, block=block, sets=made.form)


def draws(plan: Plan, start: int, stop: int, **share: int) -> Draws:
    """Sets `start` .. `stop` - 1 of a stream."""
    m = plan.shape.unit
    return plan.draw(start * m, stop * m, **share)


def test_the_stored_vectors_are_what_the_slow_reference_makes() -> None:
    assert json.loads(json.dumps(slow.vectors())) == VECTORS


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_known_answers(number: int) -> None:
    v = VECTORS[number]
    made = combinations(v["counts"], v["size"], weights=v["weights"], controls=v["control_counts"], group=v["group"])
    starts, control_starts = np.cumsum([0, *v["counts"]]), np.cumsum([0, *v["control_counts"]])
    window, lanes, block = v["shape"]
    for plan_name, sets in v["sets"].items():
        state = State(seed=v["seed"], plan=plan_name, table=made.table.digest, window=window, lanes=lanes, block=block,
                      sets=made.form)  # fmt: skip
        plan = state.resume(made)
        for s, c, cells, extra, group, control in sets:
            found = draws(plan, s, s + 1)
            assert found.sets is not None
            assert found.sets.controls is not None
            assert (found.sets.numbers.tolist(), found.sets.strata.tolist()) == ([s], [c])
            assert (found.rows - starts[c]).tolist() == cells
            assert np.flatnonzero(~found.valid).tolist() == extra
            assert (found.sets.controls - control_starts[group]).tolist() == control
            assert found.positions.tolist() == [s * v["size"] + i for i in range(v["size"])]


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(PLANS),
    st.lists(st.integers(1, 400), min_size=1, max_size=12),
    st.integers(1, 70),
    st.integers(1, 80),
    st.integers(0, 2**64 - 1),
    st.integers(0, 10_000),
)
def test_a_set_is_one_stratum_without_repeats_and_a_function_of_its_number(
    name: str, counts: list[int], size: int, block: int, seed: int, first: int
) -> None:
    made = combinations(counts, size, controls=[1000, 3, 40])
    plan = state_of(made, name, seed=seed, block=block).resume(made)
    found = draws(plan, first, first + 20)
    assert found.sets is not None
    assert found.sets.controls is not None
    starts = np.cumsum([0, *counts])
    control_starts = np.cumsum([0, 1000, 3, 40])
    for i in range(20):
        c = int(found.sets.strata[i])
        at = slice(i * size, (i + 1) * size)
        for rows, low, n in (
            (found.rows[at], starts[c], counts[c]),
            (found.sets.controls[at], control_starts[c % 3], [1000, 3, 40][c % 3]),
        ):
            assert ((rows >= low) & (rows < low + n)).all()
            times = np.unique(rows, return_counts=True)[1]
            assert len(times) == min(size, n), "a cell comes twice before others came at all"
            assert set(times.tolist()) <= {size // n, -(-size // n)}
            assert len(np.unique(rows[:n])) == min(size, n)
    alone = draws(plan, first + 7, first + 8)
    assert np.array_equal(alone.rows, found.cut(7 * size, 8 * size).rows)
    again = state_of(made, name, seed=seed, block=block).resume(made)
    assert np.array_equal(draws(again, first + 7, first + 8).rows, alone.rows)


def test_independent_sets_fit_the_masses_and_all_pairs_of_cells() -> None:
    weights = np.random.default_rng(1).random(30) + 0.05
    made = combinations([12] * 30, 3, weights=weights)
    found = draws(state_of(made, "independent", sets=4096).resume(made), 0, 300_000)
    assert found.sets is not None
    seen = np.bincount(found.sets.strata, minlength=30)
    assert stats.chisquare(seen, 300_000 * made.table.probability).pvalue > 0.001
    cells = (found.rows % 12).reshape(-1, 3)
    pairs = np.concatenate([cells[:, [0, 1]], cells[:, [0, 2]], cells[:, [1, 2]]])
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    of_pair = np.bincount(low * 12 + high, minlength=144).reshape(12, 12)[np.triu_indices(12, 1)]
    assert stats.chisquare(of_pair).pvalue > 0.001
    # Places of a set are alike too.
    assert all(stats.chisquare(np.bincount(cells[:, i], minlength=12)).pvalue > 0.001 for i in range(3))


@pytest.mark.parametrize("block", [1, 3, 8])
def test_controls_of_sets_are_all_equally_often(block: int) -> None:
    made = combinations([50, 60], 5, controls=[41], group=[0, 0])
    found = draws(state_of(made, "stratified", block=block, sets=1024).resume(made), 0, 30_000)
    assert found.sets is not None
    assert found.sets.controls is not None
    seen = np.bincount(found.sets.controls, minlength=41)
    # Draws without repeats in a set, in runs of `block`: the spread is that of so many whole runs at most.
    assert abs(seen - seen.mean()).max() < 5 * np.sqrt(block * seen.mean())


def test_windows_of_stratified_sets_hold_their_shares_and_so_do_their_lanes() -> None:
    weights = np.random.default_rng(2).random(17) ** 3 + 1e-3
    made = combinations([40] * 17, 8, weights=weights)
    plan = state_of(made, "stratified", lanes=4, sets=128).resume(made)
    for number in (0, 1, 9, 1 << 30):
        found = draws(plan, number * 512, (number + 1) * 512)
        assert found.sets is not None
        exact = 512 * made.table.probability
        assert (abs(np.bincount(found.sets.strata, minlength=17) - exact) <= 2 + 0.005 * exact).all()
        for rank in range(4):
            mine = draws(plan, number * 512, (number + 1) * 512, rank=rank, world_size=4)
            assert mine.sets is not None
            assert (abs(np.bincount(mine.sets.strata, minlength=17) - exact / 4) <= 2 + 0.005 * exact).all()


@pytest.mark.parametrize("block", [1, 4, 16, 50])
def test_sets_of_one_order_share_no_cell_and_leave_others_over_in_the_next(block: int) -> None:
    n, m = 75, 8
    made = combinations([n, 200], m)
    plan = state_of(made, "stratified", block=block).resume(made)
    # Slots are in the order of the stratum, positions are not.
    windows = [plan.window(number) for number in range(7)]
    by_order = np.concatenate([window.k[window.stratum == 0] for window in windows]).reshape(-1, m)
    found = draws(plan, 0, 7 * 64)
    assert found.sets is not None
    drawn = found.rows.reshape(-1, m)[found.sets.strata == 0]
    assert sorted(drawn.tolist()) == sorted(by_order.tolist())
    left = []
    for start in range(0, 36, 9):
        order = by_order[start : start + 9].ravel()
        assert len(np.unique(order)) == 72
        left.append(frozenset(range(n)) - frozenset(order.tolist()))
    assert len(set(left)) > 1, "the same cells are left over every time"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 150), min_size=1, max_size=9).filter(any),
    st.integers(1, 40),
    st.integers(1, 50),
    st.integers(1, 4),
)
def test_an_epoch_of_sets_has_every_cell_exactly_once(counts: list[int], size: int, block: int, ranks: int) -> None:
    made = combinations(counts, size, weights=[float(n > 0) for n in counts])
    plan = state_of(made, "epoch", block=block, sets=3).resume(made)
    assert isinstance(plan, EpochSets)
    assert plan.n_sets == sum(-(-n // size) for n in counts)
    orders = []
    for epoch in (0, 1, 50):
        begin = epoch * plan.n_sets
        mine = [draws(plan, begin, begin + plan.n_sets, rank=r, world_size=ranks) for r in range(ranks)]
        rows = np.concatenate([d.rows[d.valid] for d in mine])
        assert np.array_equal(np.sort(rows), np.arange(sum(counts)))
        orders.append(draws(plan, begin, begin + plan.n_sets).rows.tolist())
    if sum(counts) > 60:
        assert orders[0] != orders[1]


def test_strata_without_mass_have_no_sets() -> None:
    made = combinations([30, 30, 0, 30], 4, weights=[1.0, 0.0, 0.0, 2.0])
    for name in PLANS:
        found = draws(state_of(made, name).resume(made), 0, 200)
        assert found.sets is not None
        assert set(found.sets.strata.tolist()) == {0, 3}


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_ranks_share_the_sets_of_one_stream(name: str, ranks: int) -> None:
    made = combinations([90, 7, 300], 6, controls=[50, 9])
    plan = state_of(made, name).resume(made)
    whole = draws(plan, 10, 70)
    parts = [draws(plan, 10, 70, rank=r, world_size=ranks) for r in range(ranks)]
    assert whole.sets is not None
    for r, part in enumerate(parts):
        assert part.sets is not None
        mine = whole.sets.numbers % ranks == r
        assert np.array_equal(part.sets.numbers, whole.sets.numbers[mine])
        assert np.array_equal(part.rows, whole.rows[np.repeat(mine, 6)])
        assert np.array_equal(part.positions, whole.positions[np.repeat(mine, 6)])
        assert part.sets.controls is not None
        assert whole.sets.controls is not None
        assert np.array_equal(part.sets.controls, whole.sets.controls[np.repeat(mine, 6)])
    if 60 % ranks == 0:
        assert len({len(part) for part in parts}) == 1


@pytest.mark.parametrize("name", PLANS)
def test_resuming_anywhere_goes_on(name: str) -> None:
    made = combinations([90, 7, 300], 6, controls=[50, 9])
    whole = draws(state_of(made, name).resume(made), 0, 300)
    for at in [0, 1, 63, 64, 65, 299, *np.random.default_rng(0).integers(0, 300, 20).tolist()]:
        state = state_of(made, name).at(6 * at)
        again = State.of(json.loads(state.to_json()))
        assert again == state
        rest = again.resume(made).draw(again.position, 1800)
        assert np.array_equal(rest.rows, whole.rows[6 * at :])
        assert rest.sets is not None
        assert whole.sets is not None
        assert np.array_equal(rest.sets.numbers, whole.sets.numbers[at:])
    copy = pickle.loads(pickle.dumps(state_of(made, name).resume(made)))
    assert np.array_equal(copy.rows(0, 1800), whole.rows)
    other = state_of(made, name, seed=6).resume(made)
    assert not np.array_equal(other.rows(0, 1800), whole.rows)


def test_temperatures_change_the_shares_of_sets_where_stated() -> None:
    made = combinations([90] * 4, 8, weights=[1.0, 1.0, 1.0, 97.0])
    base = state_of(made, "stratified", sets=64)
    heated = State(**{**vars(base), "schedule": ((0, 1.0), (2 * base.window, 1e9))})
    plan = heated.resume(made)
    assert isinstance(plan, ScheduledPlan)
    assert State.of(heated.to_json()) == heated
    found = draws(plan, 0, 512)
    assert found.sets is not None
    first, second = (np.bincount(half, minlength=4) for half in np.split(found.sets.strata, 2))
    assert first[3] > 240
    assert abs(second - 64).max() <= 2
    assert np.array_equal(found.rows[: 256 * 8], base.resume(made).rows(0, 256 * 8))


def test_a_state_says_what_its_sets_are() -> None:
    made = combinations([90, 7], 6, controls=[50, 9])
    assert made.controls is not None
    state = state_of(made, "stratified")
    members = json.loads(state.to_json())
    lines = f"scformat controls 1\ntable {made.controls.table.digest}\ngroup 2\n".encode()
    digest = hashlib.sha256(lines + np.array([0, 1], "<i8").tobytes()).hexdigest()
    assert members["sets"] == {"size": 6, "controls": digest}
    plain = State(seed=1, plan="stratified", table=made.table.digest)
    assert "sets" not in json.loads(plain.to_json())
    for other in (
        combinations([90, 7], 7, controls=[50, 9]),
        combinations([90, 7], 6),
        combinations([90, 7], 6, controls=[50, 10]),
        combinations([90, 7], 6, controls=[50, 9], group=[1, 0]),
    ):
        with pytest.raises(UsageError, match="other-sets"):
            state.resume(other)
    with pytest.raises(UsageError, match="other-sets") as caught:
        state.resume(made.table)
    assert digest in str(caught.value)
    assert "single cells" in str(caught.value)
    with pytest.raises(UsageError, match="other-sets"):
        plain.resume(made)
    with pytest.raises(UsageError, match="other-table"):
        state.resume(combinations([91, 7], 6, controls=[50, 9]))


def test_what_is_no_set_is_refused() -> None:
    made = combinations([90, 7], 6)
    good = state_of(made, "stratified")
    for change, code in [
        ({"position": 7}, "bad-position"),
        ({"window": 6 * 7}, "bad-window"),
        ({"lanes": 5}, "bad-window"),
        ({"block": 0}, "bad-window"),
        ({"plan": "epoch", "schedule": ((0, 2.0),)}, "bad-schedule"),
    ]:
        with pytest.raises(UsageError, match=code):
            State(**{**vars(good), **change})  # type: ignore[arg-type]
    members = json.loads(good.to_json())
    for bad in ([6], {"size": "6"}, {"size": 6, "controls": 1}, {}, {"size": 6, "more": 1}, {"size": True}):
        with pytest.raises(UsageError, match="bad-state"):
            State.of({**members, "sets": bad})
    for size in (0, -1, 65_537, 2.0, "6"):
        with pytest.raises(UsageError, match="bad-set-size"):
            SetForm(size=size)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="bad-set-size"):
            combinations([3], size)  # type: ignore[arg-type]
    assert SetShape(size=65_536, window=65_536, lanes=1).unit == 65_536
    plan = good.resume(made)
    for start, stop in ((1, 6), (0, 7), (3, 9)):
        with pytest.raises(UsageError, match="bad-position"):
            plan.rows(start, stop)
    with pytest.raises(UsageError, match="bad-rank"):
        plan.rows(0, 6, rank=1)
    controls = table_of([5, 5])
    for group in ([0, 2], [0, -1]):
        with pytest.raises(UsageError, match="bad-controls"):
            Controls(table=controls, group=np.array(group))
    with pytest.raises(UsageError, match="bad-controls"):
        Combinations(table=made.table, size=6, controls=Controls(table=controls, group=np.array([0])))


def test_the_last_positions_of_a_stream() -> None:
    made = combinations([90, 7], 64)
    plan = state_of(made, "independent", lanes=1, sets=2).resume(made)
    last = (1 << 61) - 64
    assert len(plan.rows(last, 1 << 61)) == 64
    with pytest.raises(UsageError, match="bad-position"):
        plan.rows(1 << 61, (1 << 61) + 64)


def test_some_strata_of_runs_and_of_rows() -> None:
    lists = [[5, 6, 7, 20], [1], [30, 2, 31], [40, 41]]
    runs = Strata.of_rows(lists)
    written = Strata(
        offsets=np.concatenate([[0], np.cumsum([len(x) for x in lists])]),
        rows=type("Rows", (), {"__len__": lambda _: 10, "take": lambda _, at: np.concatenate(lists)[at]})(),
    )
    for strata in (runs, written):
        for chosen in ([0, 1, 2, 3], [2], [0, 3], [3, 1]):
            some = strata.only(np.array(chosen))
            assert [some.rows_of(i).tolist() for i in range(len(some))] == [lists[c] for c in chosen]

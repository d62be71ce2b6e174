"""Runs of batches of sets cover a pass without a gap, whole sets to a rank."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.loading.schedule import Share, runs
from scformat.sampling import Combinations, Controls, Plan, State, Table

TABLE = Table.from_weights([np.arange(0, 90), np.arange(90, 97), np.arange(97, 400)], [1.0, 1.0, 1.0])
CONTROLS = Controls(table=Table.uniform(np.arange(1000, 1050)), group=np.zeros(3, np.int64))


def plan_of(name: str, size: int, *, controls: bool) -> Plan:
    made = Combinations(table=TABLE, size=size, controls=CONTROLS if controls else None)
    state = State(seed=1, plan=name, table=TABLE.digest, window=size * 24, lanes=3, block=4, sets=made.form)
    return state.resume(made)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(["independent", "stratified", "epoch"]),
    st.sampled_from(["alone", "controlled"]),
    st.integers(1, 20),
    st.integers(1, 6),
    st.integers(1, 5),
    st.integers(1, 25),
    st.integers(0, 300),
    st.integers(1, 2000),
    st.integers(1, 500),
)
def test_ranks_cover_every_set_of_a_pass_once(
    name: str, kind: str, size: int, sets: int, ranks: int, steps: int, first: int, most: int, ahead: int
) -> None:
    controls = kind == "controlled"
    plan = plan_of(name, size, controls=controls)
    finite = name == "epoch" and steps % 2 == 0
    batch, position = sets * size, first * size
    shares = [Share(batch=batch, rank=r, world_size=ranks, steps=None if finite else steps) for r in range(ranks)]
    _, stop = shares[0].pass_of(plan, position)
    seen = []
    ends = set()
    for share in shares:
        found = [step for run in runs(plan, share, position, stop, most=most, ahead=ahead) for step in run]
        ends.add(tuple(step.end for step in found))
        for step in found:
            assert step.sets is not None
            assert len(step.rows) == len(step.positions) == len(step.valid) == batch
            assert len(step.sets.numbers) == len(step.sets.strata) == sets
            assert (step.sets.controls is not None) is controls
            assert len(step.all_rows) == batch * (2 if controls else 1)
            assert step.end % size == 0
            at = step.positions.astype(np.int64).reshape(sets, size)
            assert (at // size == step.sets.numbers[:, None]).all()
            assert (at % size == np.arange(size)).all()
            expected = [plan.draw(s * size, (s + 1) * size) for s in step.sets.numbers.tolist()]
            assert np.array_equal(step.rows, np.concatenate([one.rows for one in expected]))
            assert step.sets.strata.tolist() == [int(one.sets.strata[0]) for one in expected if one.sets is not None]
            if controls:
                beside = [one.sets.controls for one in expected if one.sets is not None]
                assert np.array_equal(step.sets.controls, np.concatenate(beside))
            real = step.valid.reshape(sets, size).any(axis=1)
            # A set that stands in for one beyond the pass has no valid cell; any other is as the plan has it.
            of_plan = np.concatenate([one.valid for one in expected]).reshape(sets, size)
            assert np.array_equal(step.valid.reshape(sets, size), of_plan & real[:, None])
            seen.append(step.sets.numbers[real])
    assert len(ends) == 1, "ranks differ in their steps"
    last = next(iter(ends))[-1]
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(position // size, last // size))
    assert last == stop if finite else last - stop in range(batch * ranks)

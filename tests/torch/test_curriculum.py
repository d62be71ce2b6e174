"""Temperatures that change where stated: shares follow, and a stream resumes across the change."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from scformat.errors import UsageError  # noqa: E402
from scformat.sampling import Table  # noqa: E402
from scformat.torch import CellLoader  # noqa: E402

if TYPE_CHECKING:
    from scformat.store import Store

PIECES = [(0, 1.0), (20, 4.0), (50, 1000.0)]
"""In steps of 64 draws; windows of 512: they begin at draws 0, 1536 and 3584."""
STARTS = [0, 1536, 3584]


@pytest.fixture(scope="module")
def skewed(store: Store) -> Table:
    """Three strata with shares of 1/100, 9/100 and 9/10."""
    rows = np.arange(store.n_cells)
    return Table.from_weights(np.split(rows, [100, 1000]), [1.0, 9.0, 90.0])


def loader(store: Store, table: Table, plan: str, **options: Any) -> CellLoader:
    made: dict[str, Any] = {
        "batch_size": 64, "table": table, "plan": plan, "seed": 3, "block": 8, "window": 512, "output": "csr",
        "temperature": PIECES, "steps_per_epoch": 80, "threads": 1,
    }  # fmt: skip
    return CellLoader(store, **{**made, **options})


def rows_of(batches: Any) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


@pytest.mark.parametrize("plan", ["stratified", "independent"])
def test_the_shares_are_those_of_each_piece(store: Store, skewed: Table, plan: str) -> None:
    made = loader(store, skewed, plan)
    assert made.schedule == tuple(zip(STARTS, [1.0, 4.0, 1000.0], strict=True))
    rows = np.concatenate(rows_of(made))
    stratum = np.searchsorted([100, 1000], rows, side="right")
    for start, stop, (_, temperature) in zip(STARTS, [*STARTS[1:], len(rows)], PIECES, strict=True):
        n = stop - start
        found = np.bincount(stratum[start:stop], minlength=3) / n
        wanted = skewed.at(temperature).probability
        # The stratified plan is exact to a few cells, independent draws to their standard deviation.
        near = 4 / n if plan == "stratified" else 5 * np.sqrt(wanted * (1 - wanted) / n)
        assert (np.abs(found - wanted) <= near).all(), (temperature, found, wanted)
    assert np.allclose(skewed.at(1000.0).probability, 1 / 3, atol=0.01)


@pytest.mark.parametrize("plan", ["stratified", "independent"])
def test_every_piece_is_the_stream_of_its_temperature(store: Store, skewed: Table, plan: str) -> None:
    rows = np.concatenate(rows_of(loader(store, skewed, plan)))
    for start, stop, (_, temperature) in zip(STARTS, [*STARTS[1:], len(rows)], PIECES, strict=True):
        alone = loader(store, skewed, plan, temperature=temperature)
        assert np.array_equal(rows[start:stop], alone.plan.rows(start, stop))


@pytest.mark.parametrize("plan", ["stratified", "independent"])
def test_resuming_around_a_change_goes_on_with_the_same_batches(store: Store, skewed: Table, plan: str) -> None:
    whole = rows_of(loader(store, skewed, plan))
    for step in (20, 23, 24, 25, 55, 56, 57):  # the second piece begins with step 24, the third with step 56
        first = loader(store, skewed, plan)
        stream = iter(first)
        assert [next(stream).rows.tolist() for _ in range(step)] == whole[:step]
        state = json.loads(json.dumps(first.state_dict()))
        stream.close()
        second = loader(store, skewed, plan, temperature=1.0)  # the schedule is the state's
        second.load_state_dict(state)
        assert second.schedule == first.schedule
        assert rows_of(second) == whole[step:]


def test_ranks_with_one_global_batch_change_at_one_position(store: Store, skewed: Table) -> None:
    one = loader(store, skewed, "stratified")
    some = [loader(store, skewed, "stratified", batch_size=16, rank=r, world_size=4) for r in range(4)]
    assert {made.schedule for made in some} == {one.schedule}
    for batch, *parts in zip(one, *some, strict=True):
        assert sorted(batch.rows.tolist()) == sorted(row for part in parts for row in part.rows.tolist())


def test_a_change_of_the_global_batch_leaves_the_positions(store: Store, skewed: Table) -> None:
    first = loader(store, skewed, "stratified")
    second = loader(store, skewed, "stratified", batch_size=24)
    assert second.schedule != first.schedule
    second.load_state_dict(first.state_dict())
    assert second.schedule == first.schedule


def test_one_temperature_is_one_piece(store: Store, skewed: Table) -> None:
    for temperature in (2, 2.0, np.float32(2), [(0, 2)]):
        made = loader(store, skewed, "stratified", temperature=temperature)
        assert made.schedule == ((0, 2.0),)
        assert np.array_equal(
            made.plan.rows(0, 99), loader(store, skewed, "stratified", temperature=2.0).plan.rows(0, 99)
        )


@pytest.mark.parametrize(
    ("temperature", "code", "told"),
    [
        ([], "bad-schedule", "ascending from 0"),
        ([(5, 1.0)], "bad-schedule", "ascending from 0"),
        ([(0, 1.0), (40, 2.0), (20, 3.0)], "bad-schedule", "ascending from 0"),
        ([(0, 1.0), (0, 2.0)], "bad-schedule", "ascending from 0"),
        ([(0, 1.0), (1.5, 2.0)], "bad-schedule", "ascending from 0"),
        ([(0, 1.0), 2.0], "bad-schedule", "ascending from 0"),
        ([(0, "hot")], "bad-schedule", "ascending from 0"),
        ("hot", "bad-schedule", "ascending from 0"),
        (None, "bad-schedule", "ascending from 0"),
        ([(0, 1.0), (10, 2.0), (12, 3.0)], "bad-schedule", "steps 8 apart"),
        ([(0, 1.0), (20, 0.0)], "bad-temperature", "above 0"),
        ([(0, 1.0), (20, float("nan"))], "bad-temperature", "above 0"),
        (-1.0, "bad-temperature", "above 0"),
    ],
)
def test_what_is_no_schedule_is_refused(store: Store, skewed: Table, temperature: Any, code: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        loader(store, skewed, "stratified", temperature=temperature)
    assert caught.value.code == code


def test_an_epoch_has_no_temperature(store: Store) -> None:
    with pytest.raises(UsageError) as caught:
        CellLoader(store, temperature=[(0, 1.0), (1000, 2.0)])
    assert caught.value.code == "bad-schedule"

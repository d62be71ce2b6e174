"""Positions of a stream to the batches of one rank, and to the runs of batches whose cells are read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.sampling.plans import EpochPlan, IndependentPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.sampling.plans import Plan

LOOK_AHEAD = 4_096
MOST_AHEAD = 65_536
"""Independent draws of a rank that are read together: the first ones, and, doubling from run to run, the most.
Some draws repeat a cell or share chunks, the more the more there are; but the first batch should not wait for them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """One batch of one rank.

    Attributes
    ----------
    rows : int64 array, shape (batch,)
    positions : uint64 array, shape (batch,)
        Of the draws in the stream.
    valid : bool array, shape (batch,)
        False where a row stands in for a cell beyond the end of a finite pass.
    end
        Position of the stream after this step, over all ranks.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.uint64]
    valid: NDArray[np.bool_]
    end: int


@dataclass(frozen=True, kw_only=True)
class Share:
    """What part of a stream one rank takes.

    Attributes
    ----------
    batch
        Draws of this rank a step.
    rank, world_size
        The rank takes positions t with t mod `world_size` = `rank`; in a finite pass t counts from its begin.
    steps
        Steps a pass; None: a pass ends with an epoch of an epoch plan, its last step padded.
    """

    batch: int
    rank: int
    world_size: int
    steps: int | None

    @property
    def stride(self) -> int:
        """Positions a step, over all ranks."""
        return self.batch * self.world_size

    def pass_length(self, plan: Plan) -> int:
        """Positions of a pass."""
        if self.steps is not None:
            return self.steps * self.stride
        assert isinstance(plan, EpochPlan)  # others have a number of steps
        return plan.n_cells

    def pass_of(self, plan: Plan, position: int) -> tuple[int, int]:
        """Return where the pass that a position lies in begins and ends."""
        length = self.pass_length(plan)
        begin = position // length * length
        return begin, begin + length


def runs(
    plan: Plan, share: Share, start: int, stop: int, *, most: int, ahead: int = LOOK_AHEAD
) -> Iterator[list[Step]]:
    """Yield the steps from position `start` to the end of a pass, in runs that are read together.

    Parameters
    ----------
    most
        Cells of this rank that fit in memory at once: a window that holds more is cut.
    ahead
        Independent draws of this rank in the first run.
    """
    t = start
    while t < stop:
        if isinstance(plan, IndependentPlan):
            end = min(t + ahead * share.world_size, stop)
            ahead = min(2 * ahead, MOST_AHEAD)
        else:
            end = min(_window_stop(plan, t), stop)
        steps = -(-(end - t) // share.stride)
        pieces = -(-steps // max(1, most // share.batch))
        high = min(t + -(-steps // pieces) * share.stride, _end(share, t, stop))
        yield _steps(plan, share, t, high, stop)
        t = high


def _end(share: Share, t: int, stop: int) -> int:
    """Where the last step of a pass ends: a stream of steps never ends within one."""
    return stop if share.steps is None else t + -(-(stop - t) // share.stride) * share.stride


def _window_stop(plan: Plan, t: int) -> int:
    window = plan.shape.window
    if isinstance(plan, EpochPlan):
        epoch, u = divmod(t, plan.n_cells)
        return epoch * plan.n_cells + min((u // window + 1) * window, plan.n_cells)
    return (t // window + 1) * window


def _steps(plan: Plan, share: Share, low: int, high: int, stop: int) -> list[Step]:
    ranks, batch = share.world_size, share.batch
    origin = stop - share.pass_length(plan) if share.steps is None else 0
    rank = (share.rank + origin) % ranks
    rows = plan.rows(low, high, rank=rank, world_size=ranks)
    positions = np.arange(low + (rank - low) % ranks, high, ranks, dtype=np.uint64)
    valid = np.ones(len(rows), np.bool_)
    steps = -(-(high - low) // share.stride)
    lacking = steps * batch - len(rows)
    if lacking:
        last = plan.rows(high - 1, high)
        rows = np.concatenate([rows, np.repeat(last, lacking)])
        positions = np.concatenate([positions, np.full(lacking, high - 1, np.uint64)])
        valid = np.concatenate([valid, np.zeros(lacking, np.bool_)])
    return [
        Step(
            rows=rows[k * batch : (k + 1) * batch],
            positions=positions[k * batch : (k + 1) * batch],
            valid=valid[k * batch : (k + 1) * batch],
            end=min(low + (k + 1) * share.stride, high),
        )
        for k in range(steps)
    ]

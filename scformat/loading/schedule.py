"""Positions of a stream to the batches of one rank, and to the runs of batches whose cells are read together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.sampling.draws import Draws
from scformat.sampling.plans import Epochs, IndependentPlan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.sampling.draws import SetDraws
    from scformat.sampling.plans import Plan

LOOK_AHEAD = 512
MOST_AHEAD = 65_536
"""Draws of a rank that are read together: the first ones, and, doubling from run to run, the most; then whole windows.
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
        False where a row stands in for a cell beyond the end of a finite pass, or fills up a set.
    end
        Position of the stream after this step, over all ranks.
    sets
        Of a stream of sets: those of the batch.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.uint64]
    valid: NDArray[np.bool_]
    end: int
    sets: SetDraws | None = None

    @property
    def all_rows(self) -> NDArray[np.int64]:
        """What has to be read: `rows`, and after them those of the control cells of the sets; int64, shape (n,)."""
        controls = None if self.sets is None else self.sets.controls
        return self.rows if controls is None else np.concatenate([self.rows, controls])


@dataclass(frozen=True, kw_only=True)
class Share:
    """What part of a stream one rank takes.

    Attributes
    ----------
    batch
        Draws of this rank a step.
    rank, world_size
        The rank takes positions t with t mod `world_size` = `rank`; in a finite pass t counts from its begin. Of a
        stream of sets it takes sets in this way, and `batch` is whole sets.
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
        assert isinstance(plan, Epochs)  # others have a number of steps
        return plan.length

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
        Draws of this rank in the first run; from :data:`MOST_AHEAD` on, windows are read whole.
    """
    t = start
    while t < stop:
        end = min(t + ahead * share.world_size, stop)
        if plan.name != IndependentPlan.name:
            whole = min(plan.window_stop(t), stop)
            end = whole if ahead >= MOST_AHEAD else min(end, whole)
        ahead = max(ahead, min(2 * ahead, MOST_AHEAD))
        steps = -(-(end - t) // share.stride)
        pieces = -(-steps // max(1, most // share.batch))
        high = min(t + -(-steps // pieces) * share.stride, _end(share, t, stop))
        yield _steps(plan, share, t, high, stop)
        t = high


def _end(share: Share, t: int, stop: int) -> int:
    """Where the last step of a pass ends: a stream of steps never ends within one."""
    return stop if share.steps is None else t + -(-(stop - t) // share.stride) * share.stride


def _steps(plan: Plan, share: Share, low: int, high: int, stop: int) -> list[Step]:
    ranks, batch, unit = share.world_size, share.batch, plan.shape.unit
    origin = (stop - share.pass_length(plan)) // unit if share.steps is None else 0
    draws = plan.draw(low, high, rank=(share.rank + origin) % ranks, world_size=ranks)
    steps = -(-(high - low) // share.stride)
    lacking = steps * batch - len(draws)
    if lacking:
        draws = Draws.joined([draws, plan.draw(high - unit, high).filling(lacking // unit)])
    cuts = [draws.cut(k * batch, (k + 1) * batch) for k in range(steps)]
    return [
        Step(
            rows=cut.rows,
            positions=cut.positions,
            valid=cut.valid,
            end=min(low + (k + 1) * share.stride, high),
            sets=cut.sets,
        )
        for k, cut in enumerate(cuts)
    ]

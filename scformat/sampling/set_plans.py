"""Plans of sets: which stratum set number s is of, and which of its cells, for any s at once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.random import DOMAIN_WINDOW, permutation
from scformat.sampling.independent import check_range
from scformat.sampling.plans import Epochs, Plan
from scformat.sampling.sets import Combinations, SetShape, SetWindow, make_window
from scformat.sampling.stratified import phases, quotas
from scformat.sampling.window import window_order

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SetPlan(Plan):
    """An endless stream of sets: position t is cell t mod m of set t div m.

    Parameters
    ----------
    combinations
        What the sets are drawn of.
    seed
        0 .. 2^64 - 1.
    shape
        Its size is that of `combinations`.
    """

    shape: SetShape

    def __init__(self, combinations: Combinations, seed: int, shape: SetShape) -> None:
        super().__init__(combinations.table, seed, shape)
        self.combinations = combinations

    @property
    def sets_a_window(self) -> int:
        """Sets that a window has."""
        return self.shape.window // self.shape.size


class IndependentSets(SetPlan):
    """Every set a draw of its own: a stratum by its mass, and the first m cells of an order that no other set has."""

    name = "independent"

    def window(self, number: int) -> SetWindow:
        """Draw one window."""
        n = self.sets_a_window
        check_range(number * self.shape.window, self.shape.window)
        stratum, _ = self.table.draw_strata(self.seed, number * n, n)
        return make_window(
            self.combinations,
            seed=self.seed,
            block=1,
            first_set=number * n,
            stratum=stratum,
            order=number * n + np.arange(n, dtype=np.int64),
            place=np.zeros(n, np.int64),
            slots=np.arange(n, dtype=np.int32),
        )


class StratifiedSets(SetPlan):
    """Every window holds each stratum's share of its sets; the sets of a stratum go through its cells.

    One order of a stratum gives F = max(1, n_c div m) sets that share no cell: set a of the stratum is taken from
    order a div F, from place (a mod F) m on. The n_c mod m cells left over are others in the next order.
    """

    name = "stratified"

    @cached_property
    def _phases(self) -> NDArray[np.uint64]:
        return phases(self.seed, len(self.table), self.table.bits)

    def window(self, number: int) -> SetWindow:
        """Plan one window."""
        check_range(number * self.shape.window, self.shape.window)
        table, m, n = self.table, self.shape.size, self.sets_a_window
        first, last = (quotas(table.masses, self._phases, table.bits, s) for s in (number * n, (number + 1) * n))
        stratum, of_stratum = _numbered(last - first, first)
        an_order = np.maximum(table.counts // m, 1)[stratum]
        return make_window(
            self.combinations,
            seed=self.seed,
            block=self.shape.block,
            first_set=number * n,
            stratum=stratum,
            order=of_stratum // an_order,
            place=of_stratum % an_order * m,
            slots=window_order(n, self.shape.of_sets, self.seed, number),
        )


class EpochSets(SetPlan, Epochs):
    """Sets enough to have every cell: ceil(n_c / m) of each stratum that has a mass, all in another order each epoch.

    The last set of a stratum is filled up from the stratum's first cells of that epoch, and these are marked: an
    epoch has every cell exactly once that is not.
    """

    name = "epoch"

    def __init__(self, combinations: Combinations, seed: int, shape: SetShape) -> None:
        super().__init__(combinations, seed, shape)
        table, m = combinations.table, combinations.size
        n_sets = np.where(table.masses > 0, -(-table.counts // m), 0)
        self._firsts = np.cumsum(n_sets) - n_sets
        self.n_sets = int(n_sets.sum())
        self.length = self.n_sets * m

    def window(self, number: int) -> SetWindow:
        """Plan one window."""
        epoch, low, n = self._extent(number)
        m = self.shape.size
        low, n = low // m, n // m
        at = permutation(self.n_sets, self.seed, DOMAIN_WINDOW, epoch, 0, at=np.arange(low, low + n))
        # Sorted, so that slots are: strata one after another.
        by_slot = np.argsort(at)
        slots = np.empty(n, np.int32)
        slots[by_slot] = np.arange(n, dtype=np.int32)
        of_epoch = at[by_slot]
        stratum = np.searchsorted(self._firsts, of_epoch, side="right") - 1
        place = (of_epoch - self._firsts[stratum]) * m
        extra = place[:, None] + np.arange(m) >= self.table.counts[stratum][:, None]
        return make_window(
            self.combinations,
            seed=self.seed,
            block=self.shape.block,
            first_set=epoch * self.n_sets + low,
            stratum=stratum.astype(np.int32),
            order=np.full(n, epoch, np.int64),
            place=place,
            slots=slots,
            extra=extra.ravel(),
        )


def _numbered(n: NDArray[np.int64], first: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Stratum, and number in it counted from `first`, of `n` sets of each stratum, one stratum after another."""
    stratum = np.repeat(np.arange(len(n), dtype=np.int32), n)
    begins = np.cumsum(n) - n
    return stratum, np.arange(len(stratum), dtype=np.int64) + np.repeat(first - begins, n)


SET_PLANS: Final[dict[str, type[SetPlan]]] = {
    plan.name: plan for plan in (IndependentSets, StratifiedSets, EpochSets)
}  # fmt: skip

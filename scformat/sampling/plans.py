"""Plans: position t of an endless stream to the row of a cell, for any t at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import OrderedDict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import UsageError
from scformat.random import check_seed
from scformat.sampling.draws import Draws, positions_of
from scformat.sampling.independent import check_range
from scformat.sampling.stratified import phases, quotas, window_cells
from scformat.sampling.window import Window, WindowShape, window_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.sampling.table import Table

_KEPT = 2
"""Windows that a plan keeps: the one being read and the one being planned."""


class Plan(ABC):
    """An endless stream of rows in windows.

    Nothing of it is a state: every window is a function of its number, so that streams resume anywhere and any
    number of ranks share one.
    """

    name: str

    def __init__(self, table: Table, seed: int, shape: WindowShape | None = None) -> None:
        self.table = table
        self.seed = check_seed(seed)
        self.shape = WindowShape() if shape is None else shape
        self._recent: OrderedDict[int, Window] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_recent": OrderedDict()}

    def window_at(self, t: int) -> int:
        """Return the number of the window that position `t` lies in."""
        return t // self.shape.window

    @abstractmethod
    def window(self, number: int) -> Window:
        """Plan one window."""

    def window_stop(self, t: int) -> int:
        """Return the position after the last of the window that position `t` lies in."""
        return (t // self.shape.window + 1) * self.shape.window

    def rows(self, start: int, stop: int, *, rank: int = 0, world_size: int = 1) -> NDArray[np.int64]:
        """Return the rows of positions ``start .. stop - 1``, of one rank those with t mod `world_size` = `rank`.

        Ranges asked for one after another cost the planning of each window once. In a stream of sets a rank has the
        positions of the sets s with s mod `world_size` = `rank`.

        Returns
        -------
        int64 array, shape (n,)

        Raises
        ------
        UsageError
            ``bad-position``, ``bad-rank``.
        """
        return self.draw(start, stop, rank=rank, world_size=world_size).rows

    def draw(self, start: int, stop: int, *, rank: int = 0, world_size: int = 1) -> Draws:
        """Return what :meth:`rows` does, with the positions, and the sets of a stream of sets.

        Raises
        ------
        UsageError
            ``bad-position``: not the ends of sets, in a stream of sets, among others; ``bad-rank``.
        """
        check_range(start, max(stop - start, 0))
        if not 0 <= rank < world_size:
            raise UsageError("bad-rank", "no such rank", expected=f"0 to {world_size - 1}", found=rank)
        unit = self.shape.unit
        if start % unit or stop % unit:
            raise UsageError(
                "bad-position", "positions within a set", expected=f"multiples of {unit}", found=f"{start} to {stop}"
            )
        pieces = []
        t = start
        while t < stop:
            window = self._planned(self.window_at(t))
            end = min(stop, window.stop)
            pieces.append(window.draws(positions_of(t, end, rank=rank, world_size=world_size, unit=unit)))
            t = end
        return Draws.joined(pieces)

    def _planned(self, number: int) -> Window:
        window = self._recent.get(number)
        if window is None:
            window = self.window(number)
            self._recent[number] = window
            while len(self._recent) > _KEPT:
                self._recent.popitem(last=False)
        return window


class IndependentPlan(Plan):
    """Every position a draw of its own: see :mod:`scformat.sampling.independent`."""

    name = "independent"

    def window(self, number: int) -> Window:
        """Draw one window."""
        n = self.shape.window
        stratum, k = self.table.draw_strata(self.seed, number * n, n)
        order = np.arange(n, dtype=np.int32)
        return Window(start=number * n, stratum=stratum, k=k, order=order, strata=self.table.strata)


class StratifiedPlan(Plan):
    """Every window holds each stratum's share of it, in runs: see :mod:`scformat.sampling.stratified`."""

    name = "stratified"

    @cached_property
    def _phases(self) -> NDArray[np.uint64]:
        return phases(self.seed, len(self.table), self.table.bits)

    def quotas(self, t: int) -> NDArray[np.int64]:
        """A_c(t): cells of each stratum among positions 0 .. t-1; int64, shape (K,)."""
        check_range(t, 0)
        return quotas(self.table.masses, self._phases, self.table.bits, t)

    def window(self, number: int) -> Window:
        """Plan one window."""
        start = number * self.shape.window
        check_range(start, self.shape.window)
        first, last = self.quotas(start), self.quotas(start + self.shape.window)
        stratum, k = window_cells(self.table.counts, first, last, self.seed, self.shape.block)
        order = window_order(len(k), self.shape, self.seed, number)
        return Window(start=start, stratum=stratum, k=k, order=order, strata=self.table.strata)


class Epochs(Plan):
    """Streams of epochs of one length; windows begin anew with every epoch, and the last of each can be short.

    Windows are numbered through, ceil(length / W) an epoch.

    Attributes
    ----------
    length
        Positions of an epoch.
    """

    length: int

    @property
    def windows_an_epoch(self) -> int:
        """Windows that one epoch has."""
        return -(-self.length // self.shape.window)

    def window_at(self, t: int) -> int:
        """Return the number of the window that position `t` lies in."""
        epoch, u = divmod(t, self.length)
        return epoch * self.windows_an_epoch + u // self.shape.window

    def window_stop(self, t: int) -> int:
        """Return the position after the last of the window that position `t` lies in."""
        epoch, u = divmod(t, self.length)
        return epoch * self.length + min((u // self.shape.window + 1) * self.shape.window, self.length)

    def _extent(self, number: int) -> tuple[int, int, int]:
        """Epoch of a window, its first position in the epoch, and its positions."""
        epoch, w = divmod(number, self.windows_an_epoch)
        low = w * self.shape.window
        n = min(self.shape.window, self.length - low)
        check_range(epoch * self.length + low, n)
        return epoch, low, n


class EpochPlan(Epochs):
    """Every cell once, then every cell once more in another order.

    The rows of a stratified plan over one stratum that holds all cells.

    Parameters
    ----------
    table
        A table of one stratum.
    """

    name = "epoch"

    def __init__(self, table: Table, seed: int, shape: WindowShape | None = None) -> None:
        super().__init__(table, seed, shape)
        if len(table) != 1:
            raise UsageError("not-one-stratum", "an epoch goes over one list of cells", found=f"{len(table)} strata")
        self.n_cells = self.length = int(table.counts[0])

    def window(self, number: int) -> Window:
        """Plan one window."""
        epoch, low, n = self._extent(number)
        start = epoch * self.n_cells + low
        first = np.array([start], np.int64)
        stratum, k = window_cells(self.table.counts, first, first + n, self.seed, self.shape.block)
        order = window_order(n, self.shape, self.seed, number)
        return Window(start=start, stratum=stratum, k=k, order=order, strata=self.table.strata)

    def padded(
        self, epoch: int, batch: int, *, rank: int = 0, world_size: int = 1, step: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return batch `step` of a rank in a pass over one epoch that ends with it.

        All ranks have ceil(n / (world_size x batch)) batches of one size. Positions beyond the last cell repeat
        the row of the epoch's last position and are not valid.

        Returns
        -------
        rows : int64 array, shape (batch,)
        valid : bool array, shape (batch,)
        """
        begin = epoch * self.n_cells
        low = step * batch * world_size
        if not 0 <= low < self.n_cells:
            raise UsageError("bad-position", "no such batch in an epoch", found=step)
        high = min(low + batch * world_size, self.n_cells)
        held = self.rows(begin + low, begin + high, rank=(rank + begin + low) % world_size, world_size=world_size)
        rows = np.empty(batch, np.int64)
        rows[: len(held)] = held
        if len(held) < batch:
            rows[len(held) :] = self.rows(begin + self.n_cells - 1, begin + self.n_cells)
        return rows, np.arange(batch) < len(held)


class ScheduledPlan(Plan):
    """Plans that follow one another at stated positions, each going on where it would be by itself.

    Position t of the stream is position t of the plan whose piece it lies in.

    Parameters
    ----------
    pieces
        First position and plan of each piece, ascending from 0; all plans of one kind and shape, positions
        multiples of the window.
    """

    def __init__(self, pieces: Sequence[tuple[int, Plan]]) -> None:
        first = pieces[0][1]
        super().__init__(first.table, first.seed, first.shape)
        self.name = first.name
        self._starts = [start for start, _ in pieces]
        self._plans = [plan for _, plan in pieces]

    def window_at(self, t: int) -> int:
        """Return the number of the window that position `t` lies in."""
        return self._plans[0].window_at(t)

    def window(self, number: int) -> Window:
        """Plan one window."""
        return self._plans[bisect_right(self._starts, number * self.shape.window) - 1].window(number)

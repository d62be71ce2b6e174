"""Windows: a fixed number of positions whose cells are chosen together and then mixed, lane by lane."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import UsageError
from scformat.jit import kernel
from scformat.random import DOMAIN_WINDOW, shuffle
from scformat.sampling.draws import Draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.sampling.strata import Strata

_DOMAIN = np.uint64(DOMAIN_WINDOW)


@dataclass(frozen=True, kw_only=True)
class WindowShape:
    """How positions are cut into windows and mixed in them.

    Attributes
    ----------
    window
        Positions a window, W; a multiple of `lanes` x `block`.
    lanes
        V: position u of a window belongs to lane u mod V, and lanes share no block. With at least as many lanes
        as ranks, and a multiple of them, no two ranks read one block.
    block
        Neighbouring cells of a stratum that are taken together.

    Raises
    ------
    UsageError
        ``bad-window``.
    """

    window: int = 65_536
    lanes: int = 8
    block: int = 64

    def __post_init__(self) -> None:
        whole = all(type(x) is int and x > 0 for x in (self.window, self.lanes, self.block))
        if not whole or self.window % (self.lanes * self.block) or self.window > 1 << 31:
            raise UsageError(
                "bad-window",
                "a window is not whole blocks in every lane",
                expected="a multiple of lanes x block, at most 2^31",
                found=f"window {self.window}, lanes {self.lanes}, block {self.block}",
            )

    @property
    def unit(self) -> int:
        """Positions that belong to one rank together."""
        return 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Window:
    """The cells of one window.

    Attributes
    ----------
    start
        First position.
    stratum : int32 array, shape (n,)
        Stratum of each slot; slots are sorted by stratum and cell, so that cells that lie together are read together.
    k : int64 array, shape (n,)
        Number of the cell in its stratum.
    order : int32 array, shape (n,)
        Slot of each position.
    strata
        Where the rows come from.
    """

    start: int
    stratum: NDArray[np.int32]
    k: NDArray[np.int64]
    order: NDArray[np.int32]
    strata: Strata

    def __len__(self) -> int:
        return len(self.k)

    @property
    def stop(self) -> int:
        """Position after the last."""
        return self.start + len(self)

    @cached_property
    def slot_rows(self) -> NDArray[np.int64]:
        """Row of each slot: the order to read in; int64, shape (n,)."""
        return self.strata.locate(self.stratum, self.k)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Row of each position; int64, shape (n,)."""
        return self.slot_rows[self.order]

    @property
    def position_strata(self) -> NDArray[np.int32]:
        """Stratum of each position; int32, shape (n,)."""
        return self.stratum[self.order]

    def draws(self, positions: NDArray[np.int64]) -> Draws:
        """Return what some positions of the window, ascending, draw."""
        rows = self.rows[positions - self.start]
        return Draws(rows=rows, positions=positions.astype(np.uint64), valid=np.ones(len(rows), np.bool_))


def window_order(n: int, shape: WindowShape, seed: int, number: int) -> NDArray[np.int32]:
    """Slot of each position of a window.

    Position u belongs to lane v = u mod V and has there the place i = pi(u div V), pi the permutation of n/V that
    domain 6 gives for i = the window's number and j = v; its slot is (i div b) b V + b v + i mod b. In a window
    that is not whole blocks in every lane this holds up to the largest length that is; the rest is a lane of its
    own, j = V, whose permutation is over these last slots.

    Returns
    -------
    int32 array, shape (n,)
    """
    order = np.empty(n, np.int32)
    _order(np.uint64(seed), np.uint64(number), shape.lanes, shape.block, order)
    return order


@kernel
def _order(seed: np.uint64, number: np.uint64, lanes: int, block: int, order: NDArray[np.int32]) -> None:
    whole = len(order) // (lanes * block) * (lanes * block)
    if whole:
        for lane in range(lanes):
            images = shuffle(np.uint64(whole // lanes), seed, _DOMAIN, number, np.uint64(lane))
            for k in range(len(images)):
                i = np.int64(images[k])
                order[k * lanes + lane] = i // block * (block * lanes) + block * lane + i % block
    rest = len(order) - whole
    if rest:
        images = shuffle(np.uint64(rest), seed, _DOMAIN, number, np.uint64(lanes))
        for k in range(rest):
            order[whole + k] = whole + np.int64(images[k])

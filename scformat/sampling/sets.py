"""Sets: m cells of one stratum that belong together, and as many control cells that match them.

A stratum's cells have any number of orders. Order h has at place o, 0 <= o < n_c, the cell
(b block + o mod b + rotation) mod n_c: the block is pi(o div b) with the permutation of the n_c div b full blocks
that domain 13 gives for i = h and j = c, the short one after them stays last; the rotation is
floor(u64(P(13, h, 2^31 + c)) n_c / 2^64). A set is the cells at m places of one order, one after another from
some place on, around the end where that comes first: none twice where the stratum has m cells, and where it has
fewer every cell once before any comes again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.errors import UsageError
from scformat.jit import kernel
from scformat.random import DOMAIN_CONTROLS, DOMAIN_SETS, SMALL, scaled, u64_at
from scformat.sampling.draws import Draws, SetDraws
from scformat.sampling.rows import cells_at
from scformat.sampling.window import Window, WindowShape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.sampling.table import Table

MAX_SIZE: Final = 1 << 16
"""Cells of a set."""

_SETS, _CONTROLS = np.uint64(DOMAIN_SETS), np.uint64(DOMAIN_CONTROLS)
_ROTATION = np.uint64(1 << 31)
"""Strata are fewer than these, so the words of rotations are no others'."""


@dataclass(frozen=True, kw_only=True)
class SetForm:
    """What a state says of the sets of its stream.

    Attributes
    ----------
    size
        Cells of a set, m: 1 .. 65,536.
    controls
        :attr:`Controls.digest`; None: sets have no controls.

    Raises
    ------
    UsageError
        ``bad-set-size``.
    """

    size: int
    controls: str | None = None

    def __post_init__(self) -> None:
        if type(self.size) is not int or not 0 < self.size <= MAX_SIZE:
            raise UsageError("bad-set-size", "not a size of sets", expected=f"1 to {MAX_SIZE:,}", found=repr(self.size))

    def __str__(self) -> str:
        controls = "without controls" if self.controls is None else f"with the controls {self.controls}"
        return f"sets of {self.size} {controls}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Controls:
    """Control cells in groups, and the group that matches each stratum.

    Attributes
    ----------
    table
        The control cells; a stratum of it is a group. Its masses are of no account.
    group : int64 array, shape (K,)
        Group of each stratum that sets are drawn of.

    Raises
    ------
    UsageError
        ``bad-controls``: a stratum has no group, or an empty one.
    """

    table: Table
    group: NDArray[np.int64]

    def __post_init__(self) -> None:
        known = (self.group >= 0) & (self.group < len(self.table))
        if not known.all() or not (self.table.counts[self.group] > 0).all():
            raise UsageError("bad-controls", "a stratum has no control cells")

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the line ``scformat controls 1``, the line ``table`` SPACE digest of the table, and `group`.

        `group` as in the digest of a table: the line ``group`` SPACE length, then the values as little-endian int64.
        """
        head = f"scformat controls 1\ntable {self.table.digest}\ngroup {len(self.group)}\n"
        return hashlib.sha256(head.encode() + self.group.astype("<i8").tobytes()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class Combinations:
    """What sets are drawn of.

    Attributes
    ----------
    table
        A stratum is a combination; its mass is the share of sets that it has.
    size
        Cells of a set.
    controls
        None: sets have no controls.

    Raises
    ------
    UsageError
        ``bad-set-size``; ``bad-controls``.
    """

    table: Table
    size: int
    controls: Controls | None = None

    def __post_init__(self) -> None:
        _ = self.form
        if self.controls is not None and len(self.controls.group) != len(self.table):
            raise UsageError("bad-controls", "not one group of controls a stratum")

    @property
    def form(self) -> SetForm:
        """What a state says of these sets."""
        return SetForm(size=self.size, controls=None if self.controls is None else self.controls.digest)


@dataclass(frozen=True, kw_only=True)
class SetShape(WindowShape):
    """How positions are cut into sets, and sets into windows.

    Attributes
    ----------
    size
        Positions of a set, which belong to one rank together.
    window
        Positions a window, whole sets in every lane: a multiple of `lanes` x `size`.
    lanes
        Set s of a window belongs to lane s mod V; every lane has each stratum's share of the window.
    block
        Neighbouring cells of a stratum that a set takes together.

    Raises
    ------
    UsageError
        ``bad-window``, ``bad-set-size``.
    """

    size: int

    def __post_init__(self) -> None:
        _ = SetForm(size=self.size)
        whole = all(type(x) is int and x > 0 for x in (self.window, self.lanes, self.block))
        if not whole or self.window % (self.lanes * self.size) or self.window > 1 << 31:
            raise UsageError(
                "bad-window",
                "a window is not whole sets in every lane",
                expected="a multiple of lanes x size of a set, at most 2^31",
                found=f"window {self.window}, lanes {self.lanes}, sets of {self.size}",
            )

    @property
    def unit(self) -> int:
        """Positions that belong to one rank together."""
        return self.size

    @property
    def of_sets(self) -> WindowShape:
        """The same windows, counted in sets."""
        return WindowShape(window=self.window // self.size, lanes=self.lanes, block=1)


@dataclass(frozen=True, kw_only=True, eq=False)
class SetWindow(Window):
    """The sets of one window; `stratum`, `k` and `order` are those of their cells, and slots are whole sets.

    Attributes
    ----------
    size
        Cells of a set.
    extra : bool array, shape (n,), or None
        Slots of cells that only fill up a set; None: there are none.
    controls
        Group and number in it of the control cell of each position, as a window of their own; None: none.
    """

    size: int
    extra: NDArray[np.bool_] | None = None
    controls: Window | None = None

    def draws(self, positions: NDArray[np.int64]) -> Draws:
        """Return what some positions of the window, whole sets and ascending, draw."""
        at = positions - self.start
        firsts = at[:: self.size]
        valid = np.ones(len(at), np.bool_) if self.extra is None else ~self.extra[self.order[at]]
        sets = SetDraws(
            size=self.size,
            numbers=positions[:: self.size] // self.size,
            strata=self.stratum[self.order[firsts]],
            controls=None if self.controls is None else self.controls.rows[at],
        )
        return Draws(rows=self.rows[at], positions=positions.astype(np.uint64), valid=valid, sets=sets)


def make_window(
    combinations: Combinations,
    *,
    seed: int,
    block: int,
    first_set: int,
    stratum: NDArray[np.int32],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    slots: NDArray[np.int32],
    extra: NDArray[np.bool_] | None = None,
) -> SetWindow:
    """Make a window of its sets.

    Parameters
    ----------
    combinations, seed, block
        Of the stream.
    first_set
        Number of the window's first set.
    stratum : int32 array, shape (S,)
        Of the set in each slot.
    order : int64 array, shape (S,)
        Order of the stratum that the set is taken from.
    place : int64 array, shape (S,)
        Its first place there.
    slots : int32 array, shape (S,)
        Slot of each set.
    extra : bool array, shape (S m,), or None
        See :class:`SetWindow`.
    """
    table, m = combinations.table, combinations.size
    inner = np.arange(m, dtype=np.int32)
    controls = None
    if combinations.controls is not None:
        groups, group = combinations.controls.table, combinations.controls.group
        numbers = first_set + np.arange(len(slots), dtype=np.int64)
        of_set = group[stratum[slots]].astype(np.int32)
        k = _cells(seed, _CONTROLS, block, m, groups.counts, of_set, numbers, np.zeros(len(slots), np.int64))
        controls = Window(
            start=first_set * m,
            stratum=np.repeat(of_set, m),
            k=k,
            order=np.arange(len(k), dtype=np.int32),
            strata=groups.strata,
        )
    return SetWindow(
        start=first_set * m,
        stratum=np.repeat(stratum, m),
        k=_cells(seed, _SETS, block, m, table.counts, stratum, order, place),
        order=(slots[:, None] * np.int32(m) + inner).ravel(),
        strata=table.strata,
        size=m,
        extra=extra,
        controls=controls,
    )


def _cells(
    seed: int,
    domain: np.uint64,
    block: int,
    size: int,
    counts: NDArray[np.int64],
    stratum: NDArray[np.int32],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Cells of some sets; int64, shape (S m,)."""
    k = np.empty(len(stratum) * size, np.int64)
    _take(np.uint64(seed), domain, np.uint64(block), size, counts, stratum, order, place, k)
    return k


@kernel
def _take(
    seed: np.uint64,
    domain: np.uint64,
    block: np.uint64,
    size: int,
    counts: NDArray[np.int64],
    stratum: NDArray[np.int32],
    order: NDArray[np.int64],
    place: NDArray[np.int64],
    k: NDArray[np.int64],
) -> None:
    images = np.empty(SMALL, np.uint64)
    for x in range(len(stratum)):
        c, h, o = np.uint64(stratum[x]), np.uint64(order[x]), place[x]
        n = counts[stratum[x]]
        rotation = scaled(u64_at(seed, domain, h, _ROTATION + c), np.uint64(n))
        out = k[x * size : (x + 1) * size]
        fresh = min(size, n)
        at = 0
        while at < fresh:
            step = min(fresh - at, n - o)
            cells_at(seed, domain, h, c, rotation, np.uint64(n), block, np.uint64(o), out[at : at + step], images)
            at += step
            o = 0
        for i in range(fresh, size):
            out[i] = out[i - n]

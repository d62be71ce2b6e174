"""What a stretch of a stream draws: rows with their positions, and of which sets they are where the stream has sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONTROL_POSITIONS: Final = 1 << 63
"""The control cell of position t has this much more as its own, so that nothing random is that of the cell's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SetDraws:
    """The sets that a stretch of draws is made of.

    Attributes
    ----------
    size
        Cells of each, m.
    numbers : int64 array, shape (S,)
        Of the sets in the stream.
    strata : int32 array, shape (S,)
        Stratum that all cells of a set are of.
    controls : int64 array, shape (S m,), or None
        Rows of the control cells, m of each set, in the order of the sets.
    """

    size: int
    numbers: NDArray[np.int64]
    strata: NDArray[np.int32]
    controls: NDArray[np.int64] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Draws:
    """Cells in the order of their positions.

    Attributes
    ----------
    rows : int64 array, shape (n,)
    positions : uint64 array, shape (n,)
    valid : bool array, shape (n,)
        False where a row only fills up: a set, or the last batch of a finite pass.
    sets
        None where the stream is of single cells.
    """

    rows: NDArray[np.int64]
    positions: NDArray[np.uint64]
    valid: NDArray[np.bool_]
    sets: SetDraws | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def cut(self, start: int, stop: int) -> Draws:
        """Return the cells number `start` .. `stop` - 1, whole sets of them."""
        sets = self.sets
        if sets is not None:
            low, high = start // sets.size, stop // sets.size
            controls = None if sets.controls is None else sets.controls[start:stop]
            sets = replace(sets, numbers=sets.numbers[low:high], strata=sets.strata[low:high], controls=controls)
        at = slice(start, stop)
        return Draws(rows=self.rows[at], positions=self.positions[at], valid=self.valid[at], sets=sets)

    def filling(self, times: int) -> Draws:
        """Return the cells `times` over, all of them marked as filling up."""
        copies = Draws.joined([self] * times) if self.sets is not None else self._tiled(times)
        return replace(copies, valid=np.zeros(len(copies), np.bool_))

    def _tiled(self, times: int) -> Draws:
        rows, positions = np.tile(self.rows, times), np.tile(self.positions, times)
        return Draws(rows=rows, positions=positions, valid=np.tile(self.valid, times))

    @staticmethod
    def joined(pieces: Sequence[Draws]) -> Draws:
        """Join stretches, all with sets of one size or all without, end to end."""
        if len(pieces) == 1:
            return pieces[0]
        of_sets = [piece.sets for piece in pieces if piece.sets is not None]
        sets = None
        if of_sets:
            sets = SetDraws(
                size=of_sets[0].size,
                numbers=_end_to_end([s.numbers for s in of_sets], np.int64),
                strata=_end_to_end([s.strata for s in of_sets], np.int32),
                controls=_end_to_end([s.controls for s in of_sets if s.controls is not None], np.int64)
                if of_sets[0].controls is not None
                else None,
            )
        return Draws(
            rows=_end_to_end([piece.rows for piece in pieces], np.int64),
            positions=_end_to_end([piece.positions for piece in pieces], np.uint64),
            valid=_end_to_end([piece.valid for piece in pieces], np.bool_),
            sets=sets,
        )


def positions_of(start: int, stop: int, *, rank: int = 0, world_size: int = 1, unit: int = 1) -> NDArray[np.int64]:
    """Return the positions among ``start .. stop - 1`` that are a rank's, ascending; int64, shape (n,).

    Parameters
    ----------
    start, stop
        Multiples of `unit`.
    unit
        Positions that belong to one rank together: those t with (t div `unit`) mod `world_size` = `rank` are its.
    """
    if unit == 1:
        return np.arange(start + (rank - start) % world_size, stop, world_size, dtype=np.int64)
    units = positions_of(start // unit, stop // unit, rank=rank, world_size=world_size)
    return (units[:, None] * unit + np.arange(unit)).ravel()


def _end_to_end(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate([np.empty(0, dtype), *arrays])

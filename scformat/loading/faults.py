"""Cells that cannot be read: left out of what is read, counted, and told of once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np

from scformat.errors import DamagedDataError, unknown_name
from scformat.loading.lookup import distinct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

OnDamage = Literal["raise", "skip"]
WAYS = ("raise", "skip")
MOST_TRIES = 16
"""Damaged chunks for which a run of batches is read anew; of a run with more, each batch is read for itself."""


class WithNothing(Protocol):
    """Cells that are held, and to which cells can be added that have nothing: no counts, source -1, no labels."""

    def with_nothing(self, rows: NDArray[np.int64]) -> WithNothing:
        """Add cells, none of them held, in their order."""


H = TypeVar("H", bound=WithNothing)


def check_way(given: str) -> bool:
    """Return whether damaged cells are skipped.

    Raises
    ------
    UnknownNameError
        ``unknown-way-to-meet-damage``.
    """
    if given not in WAYS:
        raise unknown_name("way to meet damage", given, WAYS)
    return given == "skip"


class Damage:
    """What a loader skips.

    Attributes
    ----------
    cells : dict
        Rows of the store that could not be read, and in how many places of the stream each was.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._first: DamagedDataError | None = None
        self.cells: dict[int, int] = {}

    def note(self, error: DamagedDataError) -> None:
        """Keep the first error."""
        self._first = self._first or error

    def count(self, rows: NDArray[np.int64]) -> None:
        """Count cells of a batch that is delivered; warn of the first ones."""
        first = not self.cells and len(rows) > 0
        for row in rows.tolist():
            self.cells[row] = self.cells.get(row, 0) + 1
        if first:
            text = f"{self._where}: cells that cannot be read are skipped: batch.valid is False there, and "
            warnings.warn(f"{text}loader.damaged counts them. The first: {self._first}", UserWarning, stacklevel=3)


def read_sound(
    rows: NDArray[np.int64],
    read: Callable[[NDArray[np.int64]], H],
    damage: Damage,
    *,
    concerned: Callable[[NDArray[np.int64], Sequence[int]], NDArray[np.int64]] = np.intersect1d,
    tries: int | None = None,
) -> H:
    """Read cells; those that are damaged come as cells that have nothing.

    Parameters
    ----------
    rows : int64 array, shape (n,)
        Of the store, in any order.
    read
        Reads cells, all or none.
    damage
        Told of errors.
    concerned
        Which of some cells cannot be read because others, which an error names, cannot.
    tries
        Errors after which to give up; None: however many there are.

    Raises
    ------
    DamagedDataError
        It is not one of cells, or `tries` are used up.
    """
    good = distinct(rows)
    bad = good[:0]
    while True:
        try:
            held = read(good)
        except DamagedDataError as error:
            worse = concerned(good, error.cells)
            if not len(worse) or tries == 0:
                raise
            damage.note(error)
            good, bad = np.setdiff1d(good, worse), np.union1d(bad, worse)
            tries = None if tries is None else tries - 1
        else:
            return held.with_nothing(bad) if len(bad) else held  # type: ignore[return-value]

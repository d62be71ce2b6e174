"""Strata: disjoint lists of rows, as runs of rows or written out, and the k-th cell of any of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from scformat.errors import UsageError
from scformat.jit import kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

MAX_RUNS: Final = 1 << 20
"""More runs than these are written out as rows."""


class RowList(Protocol):
    """Rows of all strata end to end, in memory or elsewhere."""

    def __len__(self) -> int:
        """Return their number."""

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows at some places."""


@dataclass(frozen=True, eq=False)
class ResidentRows:
    """A row list in memory."""

    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.values)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows at some places."""
        return self.values[places].astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Strata:
    """K disjoint lists of rows.

    Attributes
    ----------
    offsets : int64 array, shape (K + 1,)
        First run of each stratum, or, with `rows`, its first place there; then their number.
    run_start, run_length : int64 arrays, shape (R,), or None
        Rows ``run_start .. run_start + run_length - 1``; a stratum's runs in the order of its cells.
    rows
        All rows, stratum after stratum; None where runs say them.
    """

    offsets: NDArray[np.int64]
    run_start: NDArray[np.int64] | None = None
    run_length: NDArray[np.int64] | None = None
    rows: RowList | None = None

    def __post_init__(self) -> None:
        n = len(self.rows) if self.rows is not None else len(self._starts())
        o = self.offsets
        fits = len(o) > 0 and o[0] == 0 and o[-1] == n and bool((np.diff(o) >= 0).all())
        if (self.run_start is None) == (self.rows is None) or not fits:
            raise UsageError("bad-strata", "offsets of strata do not fit their runs or rows")
        if self.run_length is not None and (
            len(self.run_length) != n or bool((self.run_length < 1).any()) or bool((self._starts() < 0).any())
        ):
            raise UsageError("bad-strata", "a run of rows is empty or begins before the first")

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("offsets", "run_start", "run_length", "rows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _starts(self) -> NDArray[np.int64]:
        return np.empty(0, np.int64) if self.run_start is None else self.run_start

    @classmethod
    def of_rows(cls, lists: Iterable[ArrayLike]) -> Strata:
        """Make strata of lists of rows, in any order; as runs where these are no more than 2^20."""
        arrays = [np.asarray(rows, np.int64) for rows in lists]
        sizes = np.array([len(a) for a in arrays], np.int64)
        rows = np.concatenate([np.empty(0, np.int64), *arrays])
        ends = np.cumsum(sizes)
        opens = np.ones(len(rows), np.bool_)
        opens[1:] = rows[1:] != rows[:-1] + 1
        opens[(ends - sizes)[sizes > 0]] = True
        starts = np.flatnonzero(opens)
        if len(starts) > MAX_RUNS:
            return cls(offsets=_cumulative(sizes), rows=ResidentRows(rows))
        return cls(
            offsets=np.searchsorted(starts, np.concatenate([[0], ends])).astype(np.int64),
            run_start=rows[starts],
            run_length=np.diff(np.append(starts, len(rows))).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each stratum, n_c; int64, shape (K,)."""
        if self.run_length is None:
            return np.diff(self.offsets)
        return np.diff(_cumulative(self.run_length)[self.offsets])

    @cached_property
    def _before(self) -> NDArray[np.int64]:
        """Cells of the stratum that lie before each run; int64, shape (R,)."""
        assert self.run_length is not None  # asked for with runs alone
        before = _cumulative(self.run_length)[:-1]
        n_runs = np.diff(self.offsets)
        held = n_runs > 0
        return before - np.repeat(before[self.offsets[:-1][held]], n_runs[held])

    def locate(self, stratum: NDArray[np.int32], k: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the `k`-th cells of strata.

        Parameters
        ----------
        stratum : int32 array, shape (n,)
        k : int64 array, shape (n,)
            Each 0 .. n_c - 1; not checked.

        Returns
        -------
        int64 array, shape (n,)
        """
        if self.rows is not None:
            return self.rows.take(self.offsets[stratum] + k)
        out = np.empty(len(k), np.int64)
        _locate(stratum, k, self.offsets, self._before, self._starts(), out)
        return out

    def rows_of(self, stratum: int) -> NDArray[np.int64]:
        """All rows of one stratum, in the order of its cells."""
        n = int(self.counts[stratum])
        return self.locate(np.full(n, stratum, np.int32), np.arange(n, dtype=np.int64))

    def only(self, chosen: NDArray[np.int64]) -> Strata:
        """Return some strata, in the order given; their rows come into memory where they are not runs."""
        n = np.diff(self.offsets)[chosen]
        offsets = _cumulative(n)
        places = np.arange(offsets[-1], dtype=np.int64) + np.repeat(self.offsets[chosen] - offsets[:-1], n)
        if self.rows is not None:
            return Strata(offsets=offsets, rows=ResidentRows(self.rows.take(places)))
        assert self.run_length is not None  # as there are no rows
        return Strata(offsets=offsets, run_start=self._starts()[places], run_length=self.run_length[places])

    def flattened(self) -> Strata:
        """Return all cells as one stratum, stratum after stratum."""
        return replace(self, offsets=np.array([0, self.offsets[-1]], np.int64))


def _cumulative(values: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=out[1:])
    return out


@kernel
def _locate(
    stratum: NDArray[np.int32],
    k: NDArray[np.int64],
    offsets: NDArray[np.int64],
    before: NDArray[np.int64],
    starts: NDArray[np.int64],
    out: NDArray[np.int64],
) -> None:
    for n in range(len(k)):
        low = offsets[stratum[n]]
        high = offsets[stratum[n] + 1]
        at = k[n]
        while high - low > 1:
            middle = (low + high) >> 1
            if before[middle] <= at:
                low = middle
            else:
                high = middle
        out[n] = starts[low] + at - before[low]

"""What share of the cells each category of a label has, and what share of the draws under sampling tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.store import Store
    from scformat.store.labels import Label
    from scformat.tables import SamplingTable

WINDOW = 1 << 22
"""Rows whose weights are in memory at once."""
BLOCK = 1 << 16
"""Rows whose labels are read at once."""
MISSING = "(missing)"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelShares:
    """One label.

    Attributes
    ----------
    label
        The label itself.
    n_cells
        Cells of the store.
    drawn : list of float64 arrays, shape (n_categories + 1,)
        For each table, what share of its draws has each category, and none at the end.
    """

    label: Label
    n_cells: int
    drawn: list[NDArray[np.float64]] = field(default_factory=list)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each category, and those without the label at the end; int64, shape (n_categories + 1,)."""
        held = self.label.counts.to_numpy().astype(np.int64)
        return np.append(held, self.n_cells - held.sum())

    @cached_property
    def natural(self) -> NDArray[np.float64]:
        """Share of the cells; float64, shape (n_categories + 1,)."""
        return self.counts / max(self.n_cells, 1)

    @property
    def all_shares(self) -> list[NDArray[np.float64]]:
        """The natural shares and those under each table."""
        return [self.natural, *self.drawn]


def label_shares(
    store: Store,
    labels: Sequence[str],
    tables: Sequence[SamplingTable],
    *,
    progress: Callable[[int], None] | None = None,
) -> list[LabelShares]:
    """Compute the shares of labels under tables.

    The masses of a table's strata say them where the label is one of those it was made by. For other labels all
    cells are gone through, in memory that does not grow with them.
    """
    out = [LabelShares(label=store.labels[name], n_cells=store.n_cells) for name in labels]
    unknown: list[list[int]] = [[] for _ in out]
    for t, table in enumerate(tables):
        # Where cells without a label joined one of its categories, the strata do not tell them apart.
        joined = "missing=" in table.info.by
        names = [
            None if key.kind != "label" or (joined and key.missing is None) else key.name for key in table.info.keys
        ]
        for shares, asked in zip(out, unknown, strict=True):
            n = len(shares.label.categories) + 1
            if shares.label.name in names:
                codes = table.codes[names.index(shares.label.name)]
                shares.drawn.append(_summed(codes, table.probability, n))
            else:
                shares.drawn.append(np.zeros(n))
                asked.append(t)
    needed = sorted({t for asked in unknown for t in asked})
    for start in range(0, store.n_cells if needed else 0, WINDOW):
        stop = min(start + WINDOW, store.n_cells)
        weights = {t: _weights(tables[t], start, stop) for t in needed}
        for low in range(start, stop, BLOCK):
            rows = np.arange(low, min(low + BLOCK, stop), dtype=np.int64)
            for shares, asked in zip(out, unknown, strict=True):
                codes = shares.label.codes(rows) if asked else np.empty(0, np.int32)
                for t in asked:
                    of_rows = weights[t][low - start : low - start + len(rows)]
                    shares.drawn[t] += _summed(codes, of_rows, len(shares.drawn[t]))
            if progress is not None:
                progress(int(rows[-1]) + 1)
    return out


def effective(shares: NDArray[np.float64]) -> float:
    """Return how many categories of equal share have the entropy of these shares."""
    some = shares[shares > 0] / max(float(shares.sum()), 1e-300)
    return float(np.exp(-(some * np.log(some)).sum())) if len(some) else 0.0


def effective_cells(table: SamplingTable) -> float:
    """Return how many cells drawn alike repeat as often as the draws of a table: 1 over the sum of squares."""
    drawn = table.counts > 0
    return float(1 / (table.probability[drawn] ** 2 / table.counts[drawn]).sum())


def _summed(codes: NDArray[np.int32], weights: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Sum weights by category; those of the code -1 come last."""
    sums: NDArray[np.float64] = np.bincount(np.where(codes < 0, n - 1, codes), weights=weights, minlength=n).astype(
        float
    )
    return sums


def _weights(table: SamplingTable, start: int, stop: int) -> NDArray[np.float64]:
    """Return the probability of each cell of some rows, zero for those in no stratum."""
    counts, strata = table.counts, table.table.strata
    weight = np.divide(table.probability, counts, where=counts > 0, out=np.zeros(len(counts)))
    out = np.zeros(stop - start)
    if strata.run_start is not None and strata.run_length is not None:
        begin = np.clip(strata.run_start - start, 0, len(out))
        end = np.clip(strata.run_start + strata.run_length - start, 0, len(out))
        stratum = np.repeat(np.arange(len(weight)), np.diff(strata.offsets))
        held = np.flatnonzero(end > begin)
        lengths = end[held] - begin[held]
        places = np.arange(lengths.sum()) + np.repeat(begin[held] - np.cumsum(lengths) + lengths, lengths)
        out[places] = np.repeat(weight[stratum[held]], lengths)
        return out
    assert strata.rows is not None  # strata have either
    for first in range(0, len(strata.rows), BLOCK):
        places = np.arange(first, min(first + BLOCK, len(strata.rows)))
        rows = strata.rows.take(places) - start
        inside = (rows >= 0) & (rows < len(out))
        stratum = np.searchsorted(strata.offsets, places[inside], side="right") - 1
        out[rows[inside]] = weight[stratum]
    return out

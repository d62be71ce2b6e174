"""As many strata and cells as anyone may have: 2^24 strata, 2^31 cells, none of them stored anywhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from scformat.sampling import EpochPlan, Strata, StratifiedPlan, Table, WindowShape
from scformat.sampling.masses import integer_masses

STRATA, CELLS = 1 << 24, 1 << 7
DRAWS = 1_000_000


@pytest.fixture(scope="module")
def table() -> Table:
    """Strata of 2^7 cells each, a quarter of them with each of four weights."""
    n = np.full(STRATA, CELLS, np.int64)
    strata = Strata(
        offsets=np.arange(STRATA + 1, dtype=np.int64),
        run_start=np.arange(STRATA, dtype=np.int64) * CELLS,
        run_length=n,
    )
    weights = np.repeat([1.0, 3.0, 0.25, 7.0], STRATA // 4)
    return Table(integer_masses(weights), n, strata, cells_digest="0" * 64)


def test_draws_of_many_strata_fit_their_masses(table: Table) -> None:
    assert table.n_cells == 1 << 31
    rows = table.draw(5, 0, DRAWS)
    quarter = np.bincount(rows // CELLS // (STRATA // 4), minlength=4)
    shares = table.masses.reshape(4, -1).sum(axis=1) / 2.0**table.bits
    assert chisquare(quarter, shares * DRAWS).pvalue > 0.001
    assert chisquare(np.bincount(rows % CELLS, minlength=CELLS)).pvalue > 0.001
    # Eight runs of strata as long as one another: the first stratum of a quarter is as likely as the last one.
    heavy = rows[rows // CELLS >= 3 * (STRATA // 4)] // CELLS - 3 * (STRATA // 4)
    assert chisquare(np.bincount(heavy // (STRATA // 32), minlength=8)).pvalue > 0.001


def test_a_stratified_window_of_many_strata(table: Table) -> None:
    plan = StratifiedPlan(table, 3, WindowShape(window=65_536))
    rows = plan.rows(1000 * 65_536, 1001 * 65_536)
    assert len(np.unique(rows)) == len(rows) == 65_536
    assert rows.min() >= 0
    assert rows.max() < 1 << 31


def test_an_epoch_of_2_31_cells_is_planned_window_by_window() -> None:
    quarter = 1 << 29
    strata = Strata(
        offsets=np.array([0, 4]),
        run_start=np.array([1, 0, 3, 2]) * quarter,
        run_length=np.full(4, quarter),
    )
    plan = EpochPlan(Table(np.array([1 << 32]), np.array([4 * quarter]), strata), 1, WindowShape(window=65_536))
    for window in (0, 20_000, (1 << 15) - 1):
        rows = plan.rows(window * 65_536, (window + 1) * 65_536)
        assert len(np.unique(rows)) == 65_536
        assert rows.max() < 1 << 31
        assert len(np.unique(rows // quarter)) == 4

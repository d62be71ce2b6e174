"""Independent draws have the distribution of their table: over strata and over cells, for every scheme."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare
from test_schemes import CELLS, PARENTS, axis_of

from scformat.errors import UsageError
from scformat.sampling import IndependentPlan, ResidentRows, Strata, Table, WindowShape, integer_masses
from scformat.sampling.schemes import (
    Balanced,
    Custom,
    EffectiveNumber,
    Level,
    Natural,
    OntologyNodes,
    Power,
    Scaled,
    Scheme,
)

DRAWS = 10_000_000
AXIS = axis_of(PARENTS, sorted(CELLS))
SCHEMES = [
    Natural(),
    Balanced(),
    Power(0.5),
    Scaled(50),
    EffectiveNumber(0.99),
    OntologyNodes(),
    Level(("T", "NK"), rest=True),
    Custom("w.tsv", values={"T": 1.0, "NK": 2.0, "B": 0.5, "CD4": 0.01, "NKT": 3.0}),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_ten_million_draws(scheme: Scheme) -> None:
    codes = np.array([code for code, name in enumerate(AXIS.categories) if CELLS[name]])
    counts = np.array([CELLS[AXIS.categories[code]] for code in codes])
    masses = scheme.masses(AXIS, codes, counts)
    # Every second row, in runs of one and more, so that a cell of a short run is as likely as one of a long run.
    rows = np.split(np.random.default_rng(1).permutation(int(counts.sum())), np.cumsum(counts)[:-1])
    rows = [np.sort(r) for r in rows]
    table = Table.from_weights(rows, masses)
    seed = SCHEMES.index(scheme) + 1
    stratum, _ = table.draw_strata(seed, 0, DRAWS)
    assert chisquare(np.bincount(stratum, minlength=len(codes)), table.probability * DRAWS).pvalue > 0.001
    drawn = np.bincount(table.draw(seed, DRAWS, DRAWS), minlength=int(counts.sum()))
    expected = np.empty(int(counts.sum()))
    for c, r in enumerate(rows):
        expected[r] = table.probability[c] / len(r) * DRAWS
    assert chisquare(drawn, expected * (drawn.sum() / expected.sum())).pvalue > 0.001


@pytest.mark.parametrize("k", [2, 3, 7, 60, 64, 65, 1000])
def test_any_number_of_strata(k: int) -> None:
    rng = np.random.default_rng(k)
    table = Table.from_weights([np.arange(c, c + 1) for c in range(k)], rng.random(k) ** 3)
    stratum, _ = table.draw_strata(k, 123, DRAWS)
    assert chisquare(np.bincount(stratum, minlength=k), table.probability * DRAWS).pvalue > 0.001


def test_the_last_stratum_is_drawn_and_one_of_no_mass_is_not() -> None:
    table = Table.from_weights([[0], [1], [2]], [1, 0, 1])
    assert np.bincount(table.draw(0, 0, 1000), minlength=3)[1] == 0
    assert np.bincount(table.draw(0, 0, 1000), minlength=3)[2] > 400


def test_batches_mix_classes() -> None:
    table = Table.from_weights([np.arange(i * 100, i * 100 + 100) for i in range(10)], np.ones(10))
    stratum, _ = table.draw_strata(0, 0, 128)
    assert len(np.unique(stratum)) == 10


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**60), st.integers(0, 50), st.integers(1, 7))
def test_a_draw_depends_on_its_position_alone(seed: int, start: int, n: int, step: int) -> None:
    table = Table.from_weights([[5, 6, 9], [1, 2], [100]], [1, 2, 3])
    whole = table.draw(seed, start, n)
    assert table.draw(seed, start, -(-n // step), step=step).tolist() == whole[::step].tolist()
    for i in range(min(n, 3)):
        assert table.draw(seed, start + i, 1)[0] == whole[i]


def test_seeds_and_positions_differ() -> None:
    table = Table.uniform(np.arange(1 << 40, (1 << 40) + 10**6))
    assert (table.draw(0, 0, 100) != table.draw(1, 0, 100)).any()
    assert (table.draw(0, 0, 100) != table.draw(0, 100, 100)).any()
    assert (table.draw(0, 0, 100) >= 1 << 40).all()


def test_numbers_out_of_range() -> None:
    table = Table.uniform([1])
    for seed in (-1, 1 << 64):
        with pytest.raises(UsageError, match="bad-seed"):
            table.draw(seed, 0, 1)
    for start, n in ((-1, 1), (0, -1), (1 << 61, 1)):
        with pytest.raises(UsageError, match="bad-position"):
            table.draw(0, start, n)
    with pytest.raises(UsageError, match="bad-strata"):
        Table(integer_masses([1.0, 1.0]), np.array([3, 0]), lambda: Strata.of_rows([[1, 2, 3], []]))


@given(st.lists(st.lists(st.integers(0, 60), unique=True, max_size=20), min_size=1, max_size=8))
def test_runs_and_rows_are_the_same_cells(lists: list[list[int]]) -> None:
    runs = Strata.of_rows(lists)
    sizes = [len(r) for r in lists]
    rows = Strata(
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        rows=ResidentRows(np.array([r for some in lists for r in some], np.int64)),
    )
    assert runs.counts.tolist() == rows.counts.tolist() == sizes
    for c, expected in enumerate(lists):
        assert runs.rows_of(c).tolist() == rows.rows_of(c).tolist() == expected


def test_more_runs_than_fit_are_written_out() -> None:
    strata = Strata.of_rows([np.arange(0, 1 << 22, 2), np.arange(1, 1 << 22, 2)])
    assert strata.rows is not None
    assert strata.rows_of(1)[:3].tolist() == [1, 3, 5]


def test_the_independent_plan_is_the_draws() -> None:
    table = Table.from_weights([np.arange(50), np.arange(70, 90)], [1, 3])
    plan = IndependentPlan(table, 4, WindowShape(window=1024))
    assert plan.rows(1000, 3000).tolist() == table.draw(4, 1000, 2000).tolist()
    assert plan.rows(1000, 3000, rank=1, world_size=3).tolist() == table.draw(4, 1000, 2000)[0::3].tolist()


def test_what_decides_draws_decides_the_digest() -> None:
    tables = [
        Table.from_weights([[1, 2], [3]], [1, 1]),
        Table.from_weights([[1, 2], [3]], [1, 2]),
        Table.from_weights([[1, 2], [4]], [1, 1]),
        Table.from_weights([[2, 1], [3]], [1, 1]),
        Table.from_weights([[1, 2, 3], []], [1, 0]),
    ]
    assert len({table.digest for table in tables}) == len(tables)
    assert tables[0].digest == Table.from_weights([[1, 2], [3]], [5, 5]).digest

"""Masses sum exactly, alias tables draw with them exactly, at any number of strata."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
import slow_reference as slow
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from scformat.errors import UsageError
from scformat.sampling import Table, alias_masses, build_alias, integer_masses, mass_bits, tempered
from scformat.sampling.arithmetic import scaled_sum
from scformat.sampling.masses import _powers

WEIGHTS = st.lists(st.floats(0, 1e300, allow_subnormal=True), min_size=1, max_size=70).filter(lambda w: max(w) > 0)


@given(WEIGHTS)
def test_masses_are_those_of_the_reference_and_sum_exactly(weights: list[float]) -> None:
    masses = integer_masses(weights)
    assert masses.tolist() == slow.masses(weights)
    assert int(masses.sum()) == 1 << mass_bits(len(weights))
    assert [q > 0 for q in masses.tolist()] == [w > 0 for w in weights]


@given(WEIGHTS)
def test_masses_are_near_the_exact_shares(weights: list[float]) -> None:
    masses, n = integer_masses(weights).tolist(), len(weights)
    total = sum(map(Fraction, weights))
    for q, w in zip(masses, weights, strict=True):
        exact = Fraction(w) / total * (1 << mass_bits(n))
        assert abs(q - exact) <= (2 * n if w == max(weights) else 1) + exact / 2**50


def test_the_remainder_goes_to_the_first_of_the_largest() -> None:
    masses = integer_masses([1.0, 2.0, 2.0]).tolist()
    base = int((1 / 5) * (1 << 34)), int((2 / 5) * (1 << 34))
    assert masses == [base[0], (1 << 34) - base[0] - base[1], base[1]]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 31, 32, 33, 1000])
def test_bits_of_the_number_of_strata(n: int) -> None:
    assert mass_bits(n) == 32 + slow.ceil_log2(n)


@pytest.mark.parametrize("bad", [[float("nan"), 1.0], [float("inf")], [-1.0, 2.0], [0.0, 0.0], [], [-0.5]], ids=str)
def test_weights_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(UsageError, match=r"bad-weights|bad-number-of-strata"):
        integer_masses(bad)


@pytest.mark.parametrize("bad", [[1 << 32, 1 << 32, 1], [-1, (1 << 33) + 1], [1 << 31, 1 << 31]], ids=str)
def test_masses_that_are_none_are_refused(bad: list[int]) -> None:
    with pytest.raises(UsageError, match="bad-masses"):
        build_alias(np.array(bad, np.int64))


@given(WEIGHTS)
def test_alias_tables_hold_the_masses_exactly(weights: list[float]) -> None:
    masses = integer_masses(weights)
    table = build_alias(masses)
    assert alias_masses(table, len(masses)).tolist() == masses.tolist()
    threshold, alias = slow.alias(masses.tolist())
    assert table.threshold.tolist() == threshold
    assert table.alias.tolist() == alias
    full = table.threshold == 1 << 32
    assert (table.alias[full] == np.flatnonzero(full)).all()


@given(st.integers(0, 2**61), st.integers(32, 62), st.integers(0, 2**62), st.integers(0, 2**62))
def test_products_of_128_bits(x: int, bits: int, q: int, phase: int) -> None:
    q, phase = min(q, 1 << bits), min(phase, (1 << bits) - 1)
    assert int(scaled_sum(*map(np.uint64, (x, q, phase, bits)))) == (x * q + phase) >> bits


def test_sixteen_million_strata_and_two_billion_cells() -> None:
    n = 1 << 24
    rng = np.random.default_rng(3)
    masses = integer_masses(rng.random(n))
    counts = np.full(n, 128, np.int64)
    table = Table(masses, counts, lambda: pytest.fail("no rows were asked for"))
    assert table.n_cells == 1 << 31
    assert len(table.alias) == n
    assert np.array_equal(alias_masses(table.alias, n), masses)
    stratum, k = table.draw_strata(1, 0, 10_000_000)
    # Sixteenths of the strata are drawn as their masses say, the upper half of 2^24 as well as the lower.
    share = np.add.reduceat(masses, np.arange(0, n, n // 16)) / float(1 << table.bits)
    found = np.bincount(stratum >> 20, minlength=16)
    assert chisquare(found, share * len(stratum)).pvalue > 0.001
    assert chisquare(np.bincount(k, minlength=128)).pvalue > 0.001
    # torch.multinomial stops at 2^24 categories: the last ones must be reached.
    assert stratum.max() > n - 100


def test_one_stratum_beyond_32_bits() -> None:
    count = np.array([1 << 40], np.int64)
    table = Table(integer_masses([1.0]), count, lambda: pytest.fail("no rows were asked for"))
    stratum, k = table.draw_strata(9, 1 << 50, 100_000)
    assert not stratum.any()
    assert chisquare(np.bincount(k >> 36, minlength=16)).pvalue > 0.001
    assert len(np.unique(k & 0xFFFF)) > 50_000


def test_temperatures() -> None:
    masses = integer_masses([1.0, 4.0, 0.0, 16.0])
    assert tempered(masses, 1.0) is masses
    flat = tempered(masses, 2.0)
    assert flat / flat.sum() == pytest.approx([1 / 7, 2 / 7, 0, 4 / 7], abs=1e-9)
    assert tempered(masses, 1e9) / flat.sum() == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3], abs=1e-6)
    cold = tempered(masses, 1e-3)
    assert cold.tolist()[:3] == [1, 1, 0]
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="bad-temperature"):
            tempered(masses, bad)


def test_a_table_at_temperature_one_is_the_table() -> None:
    table = Table.from_weights([[0, 1], [2, 3, 4]], [1, 2])
    assert table.at(1.0) is table
    assert table.at(2.0).strata is table.strata
    assert not np.array_equal(table.at(2.0).masses, table.masses)


@pytest.mark.parametrize("exponent", [1 / 3, 0.5, 0.999, 1.7, 40.0])
def test_powers_are_rounded_once(exponent: float) -> None:
    values = np.concatenate([[0.0, 1.0, 5e-324, 2.0**-600], np.random.default_rng(0).lognormal(-3, 3, 300)])
    values = np.minimum(values, 1.0)
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, MIN_EMIN, MAX_EMAX
        exact = [float(Decimal(x) ** Decimal(exponent)) if x else 0.0 for x in values.tolist()]
    assert _powers(values, exponent).tolist() == exact

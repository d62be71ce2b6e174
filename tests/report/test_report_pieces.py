"""Figures are counted exactly where they are small, and nearly so where they are large; weights come in windows."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scformat.report import shares
from scformat.report.markup import element, joined, plain, shortened
from scformat.report.numbers import file_size, large, percent, power_percent
from scformat.report.plots import edges, histogram, rank_curves, share_floor
from scformat.report.shares import effective, label_shares
from scformat.report.tally import Tally
from scformat.sampling.strata import ResidentRows, Strata

if TYPE_CHECKING:
    from scformat.store import Store

VALUES = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**31), st.integers(0, 2**52)), min_size=1, max_size=60)


@given(VALUES, st.integers(1, 16), st.integers(1, 4))
def test_a_tally_is_exact_to_its_bits(values: list[int], bits: int, blocks: int) -> None:
    given_ = np.array(values, np.int64)
    tally = Tally(bits=bits)
    for block in np.array_split(given_, blocks):
        tally.add(block)
    levels = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]
    exact = np.quantile(given_, levels, method="inverted_cdf").astype(np.int64)
    for found, right in zip(tally.quantiles(levels), exact.tolist(), strict=True):
        assert right * (1 - 2.0**-bits) <= found <= right
        assert found == right or right >= 2 ** (bits + 1)
    assert tally.n() == len(values)
    assert tally.mean() == sum(values) / len(values)
    assert tally.zeros() == values.count(0)
    bounds = np.array([0, 1, 10, 2.0**53])
    assert tally.between(bounds).sum() == len(values)


@given(VALUES, st.integers(1, 5))
def test_groups_of_a_tally_are_apart(values: list[int], n: int) -> None:
    numbers = np.array(values, np.int64)
    group = np.arange(len(values)) % n
    together = Tally(n, bits=8)
    together.add(numbers, group)
    for g in range(n):
        alone = Tally(bits=8)
        alone.add(numbers[group == g])
        assert together.n(g) == alone.n()
        if alone.n():
            assert together.quantiles([0.1, 0.5, 1], g) == alone.quantiles([0.1, 0.5, 1])
            assert together.mean(g) == alone.mean()


@given(VALUES, st.booleans())
def test_a_histogram_has_every_value_in_one_bin(values: list[int], log: bool) -> None:  # noqa: FBT001
    tally = Tally(bits=16)
    tally.add(np.array(values, np.int64))
    bounds = edges(tally, log=log)
    assert (np.diff(bounds) > 0).all()
    assert len(bounds) <= 400
    in_bins = int(tally.between(bounds).sum())
    beyond = sum(v >= bounds[-1] for v in values)
    assert beyond == 0 or (not log and max(values) > 2 * bounds[-1] / 1.3)
    assert in_bins + beyond + (tally.zeros() if log else 0) == len(values)
    assert histogram(tally, what="genes", log=log).startswith("<svg")


@pytest.mark.parametrize("as_runs", [True, False])
def test_weights_do_not_depend_on_windows(store: Store, monkeypatch: pytest.MonkeyPatch, *, as_runs: bool) -> None:
    table = store.tables["ct"]
    strata = table.table.strata
    assert strata.run_start is not None
    if not as_runs:  # as a table of very many runs is stored
        rows = np.concatenate([strata.rows_of(c) for c in range(len(strata))])
        offsets = np.concatenate([[0], np.cumsum(strata.counts)])
        written = Strata(offsets=offsets, rows=ResidentRows(rows.astype(np.int32)))
        monkeypatch.setitem(table.table.__dict__, "strata", written)
    names = ["tissue", "sex", "donor_id"]
    whole = label_shares(store, names, [table])
    monkeypatch.setattr(shares, "WINDOW", 1100)
    monkeypatch.setattr(shares, "BLOCK", 256)
    for one, other, name in zip(whole, label_shares(store, names, [table]), names, strict=True):
        assert one.drawn[0] == pytest.approx(other.drawn[0], abs=1e-12)
        drawn = table.draw(0, 0, 200_000)
        found = np.bincount(store.labels[name].codes(drawn), minlength=len(one.counts) - 1) / len(drawn)
        assert one.drawn[0][:-1] == pytest.approx(found, abs=0.006)


@pytest.mark.parametrize("missing", ["nothing", "javascript:alert(4)"])
def test_cells_without_a_label_stay_without_it(hostile: Store, missing: str) -> None:
    from scformat.tables import build_table

    table = build_table(hostile, f"`<b>kind&`:balanced(missing='{missing}')")
    codes = hostile.labels["<b>kind&"].codes()
    weights = np.zeros(hostile.n_cells)
    for c in range(len(table.counts)):
        weights[table.table.strata.rows_of(c)] = table.probability[c] / table.counts[c]
    (found,) = label_shares(hostile, ["<b>kind&"], [table])
    assert found.counts[-1] == (codes < 0).sum() > 10
    expected = [weights[codes == c].sum() for c in (*range(len(found.counts) - 1), -1)]
    assert found.drawn[0] == pytest.approx(expected, abs=1e-12)


def test_effective_numbers() -> None:
    assert effective(np.full(7, 1 / 7)) == pytest.approx(7)
    assert effective(np.array([0.0, 0.3, 0.0])) == pytest.approx(1)
    assert effective(np.zeros(3)) == 0
    assert 1 < effective(np.array([0.9, 0.1])) < 2


def test_text_is_escaped_and_elements_are_not() -> None:
    inner = element("b", {"title": '"<'}, "a<b", 3, None)
    assert inner == '<b title="&quot;&lt;">a&lt;b3</b>'
    assert element("p", None, inner, "&") == f"<p>{inner}&amp;</p>"
    assert element("br") == "<br>"
    assert element("td", {"class": None, "colspan": 2}) == '<td colspan="2"></td>'
    assert joined(["<", inner]) == f"&lt;{inner}"
    assert plain("a\tb\x00c\u202ed\u00a0e") == "a b\ufffdc\ufffdd\u00a0e"
    assert shortened("abcdef", 4) == "abc\u2026"
    assert shortened("abcd", 4) == "abcd"


def test_numbers_as_people_read_them() -> None:
    shares_ = (0, 1, 0.9999999, 0.5, 0.0999999, 0.01234, 0.0000123, 1e-9)
    texts = [percent(s).replace("\u202f", "") for s in shares_]
    assert texts == ["0%", "100%", "100%", "50.0%", "10.0%", "1.23%", "0.00123%", "0.000000100%"]
    assert [power_percent(e).replace("\u202f", "") for e in (0, -1, -2, -3, -7)] == [
        "100%", "10%", "1%", "0.1%", "0.00001%",
    ]  # fmt: skip
    assert [file_size(n).replace("\u202f", " ") for n in (0, 999, 1000, 10_340_000, 5 * 10**15)] == [
        "0 B", "999 B", "1 kB", "10.3 MB", "5e+03 TB",
    ]  # fmt: skip
    assert [large(n).replace("\u202f", " ") for n in (9_999_999, 150_995_132, 12 * 10**9)] == [
        "9,999,999", "151 M", "12 G",
    ]  # fmt: skip


def test_axes_of_shares_begin_below_all_of_them() -> None:
    for least in (1.0, 0.5, 0.1, 0.03, 1e-3, 1.1e-5, 1e-12):
        floor = share_floor([[0.7, 0.0], [least]])
        assert -7 <= floor <= -1
        assert 10.0**floor <= least * 1.000001 or floor == -7
    assert share_floor([[0.0]]) == -1
    drawn = rank_curves([np.zeros(30), np.zeros(30)])
    assert drawn.count("<polyline") == 2
    for n, m in itertools.product((1, 3, 5000), repeat=2):
        text = rank_curves([np.full(n, 1 / n), np.full(m, 1 / m)])
        assert len(text) < 20_000

"""Splits as a function of seed, shares and group, checked against the written algorithm in plain integers."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scformat import splits
from scformat.errors import UsageError
from scformat.splits import SplitSpec

THREE = SplitSpec.of("train=0.8,val=0.1,test=0.1")

seeds = st.integers(0, 2**64 - 1)
values = st.none() | st.text(max_size=4)
specs = (
    st.lists(st.integers(1, 1000), min_size=1, max_size=6)
    .map(lambda parts: SplitSpec(tuple(f"s{k}" for k in range(len(parts))), tuple(p / sum(parts) for p in parts)))
)  # fmt: skip


def plain_word64(seed: int, key: int) -> int:
    """First 64 bits of Philox-4x32-10 with domain 10."""
    c = [key % 2**32, key >> 32, 0, 10]
    k = [seed % 2**32, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [q >> 32 ^ c[1] ^ k[0], q % 2**32, p >> 32 ^ c[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c[0] + (c[1] << 32)


def plain_key(group: tuple[str | None, ...]) -> int:
    encoded = b""
    for value in group:
        if value is None:
            encoded += b"\0"
        else:
            text = value.encode("utf-8")
            encoded += b"\1" + len(text).to_bytes(8, "little") + text
    return int.from_bytes(hashlib.sha256(encoded).digest()[:8], "little")


def plain_split(spec: SplitSpec, key: int, seed: int) -> int:
    u = Fraction(plain_word64(seed, key), 2**64)
    total = Fraction(0)
    for s, share in enumerate(spec.shares[:-1]):
        total += Fraction(Decimal(str(share)))
        if u < Fraction(math.floor(total * 2**64), 2**64):
            return s
    return len(spec.shares) - 1


@settings(deadline=None)
@given(specs, st.lists(st.tuples(values, values), max_size=6), seeds)
def test_groups_follow_the_written_algorithm(spec: SplitSpec, groups: list[tuple[str | None, ...]], seed: int) -> None:
    found = splits.assign(spec, groups, seed)
    assert found.dtype == np.int32
    assert found.tolist() == [plain_split(spec, plain_key(group), seed) for group in groups]


@settings(deadline=None)
@given(specs, st.lists(st.integers(0, 2**63 - 1), max_size=6), seeds)
def test_cells_follow_the_written_algorithm(spec: SplitSpec, content: list[int], seed: int) -> None:
    found = splits.assign_content(spec, np.array(content, np.int64), seed)
    assert found.tolist() == [plain_split(spec, key, seed) for key in content]


def test_pinned_values() -> None:
    """A store written by any release must be appendable by every later one: these never change."""
    assert splits.group_key(["s1", "donor 1"]) == 8703088691386553572
    assert splits.group_key(["s1", None]) == 10431051357755547291
    assert splits.group_key([]) == 0x141CFC9842C4B0E3  # SHA-256 of nothing: e3b0c44298fc1c14...
    groups = [("s1", f"d{k}") for k in range(24)]
    assert "".join("TVE"[s] for s in splits.assign(THREE, groups, 7)) == "TTTTTVTTTVTTTTTVTTTTTTTT"
    content = np.arange(24, dtype=np.int64)
    assert "".join("TVE"[s] for s in splits.assign_content(THREE, content, 7)) == "TTTTTTTTTVTTVTTTTETTTVTV"
    assert THREE.thresholds == (14757395258967641292, 16602069666338596454, 2**64)


@settings(deadline=None)
@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_different_groups_have_different_keys(a: list[str | None], b: list[str | None]) -> None:
    assume(a != b)
    assert splits.group_key(a) != splits.group_key(b)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (["ab", "c"], ["a", "bc"]),
        ([None], [""]),
        ([None], ["None"]),
        ([None, "a"], ["a", None]),
        (["a"], ["a", ""]),
        (["a"], ["a", None]),
        (["a\x00"], ["a"]),
        (["é"], ["e\u0301"]),
    ],
)
def test_groups_that_a_careless_key_confuses(a: list[str | None], b: list[str | None]) -> None:
    assert splits.group_key(a) != splits.group_key(b)


@settings(deadline=None)
@given(specs)
def test_thresholds(spec: SplitSpec) -> None:
    found = spec.thresholds
    assert len(found) == len(spec.names)
    assert list(found) == sorted(found)
    assert found[-1] == 2**64
    before = 0
    for threshold, share in zip(found, spec.shares, strict=True):
        assert abs((threshold - before) / 2**64 - share) < 2e-9
        before = threshold


def test_shares_are_achieved() -> None:
    n = 200_000
    found = splits.assign_content(THREE, np.random.default_rng(1).integers(0, 2**63, n), 3)
    counts = splits.cells_per_split(THREE.names, found)
    assert sum(counts.values()) == n
    for name, share in zip(THREE.names, THREE.shares, strict=True):
        assert abs(counts[name] - n * share) < 5 * math.sqrt(n * share * (1 - share))
    groups = splits.assign(THREE, [("study", f"donor {k}") for k in range(20_000)], 3)
    for s, share in enumerate(THREE.shares):
        assert abs(np.count_nonzero(groups == s) - 20_000 * share) < 5 * math.sqrt(20_000 * share * (1 - share))


def test_seeds_are_independent() -> None:
    content = np.random.default_rng(1).integers(0, 2**63, 100_000)
    half = SplitSpec.of("a=0.5,b=0.5")
    first, second = (splits.assign_content(half, content, seed) for seed in (0, 1))
    assert abs(np.count_nonzero(first == second) - 50_000) < 5 * math.sqrt(25_000)


def test_a_larger_share_only_adds() -> None:
    """Widening the first split leaves all its cells in it."""
    content = np.random.default_rng(1).integers(0, 2**63, 10_000)
    narrow = splits.assign_content(SplitSpec.of("a=0.7,b=0.3"), content, 5)
    wide = splits.assign_content(SplitSpec.of("a=0.8,b=0.2"), content, 5)
    assert not np.any((narrow == 0) & (wide != 0))


@pytest.mark.parametrize("seed", [-1, 2**64, 1.5])
def test_bad_seed(seed: Any) -> None:
    with pytest.raises(UsageError) as caught:
        splits.assign(THREE, [("a",)], seed)
    assert caught.value.code == "bad-seed"


# Cells by columns

tables = st.lists(st.tuples(st.integers(-2, 3), st.integers(-1, 2)), min_size=0, max_size=30)
DONORS = ("d1", "d2", "", "None")
STUDIES = ("s", "s1", "é")


def group_of(row: tuple[int, int]) -> tuple[str | None, str | None]:
    return (DONORS[row[0]] if row[0] >= 0 else None, STUDIES[row[1]] if row[1] >= 0 else None)


@settings(deadline=None)
@given(tables, seeds)
def test_cells_take_the_split_of_their_group(rows: list[tuple[int, int]], seed: int) -> None:
    codes = np.array(rows, np.int8).reshape(-1, 2)
    found = splits.assign_cells(THREE, [codes[:, 0], codes[:, 1]], [DONORS, STUDIES], seed)
    assert found.dtype == np.int32
    assert found.tolist() == splits.assign(THREE, [group_of(row) for row in rows], seed).tolist()


@settings(deadline=None)
@given(tables, tables, st.permutations(range(len(DONORS))), seeds)
def test_appending_and_recoding_move_no_cell(
    first: list[tuple[int, int]], more: list[tuple[int, int]], new_codes: list[int], seed: int
) -> None:
    before = np.array(first, np.int32).reshape(-1, 2)
    after = np.array([*more, *first], np.int32).reshape(-1, 2)
    table = np.array([*new_codes, -1], np.int32)
    donors = [""] * len(DONORS)
    for old, new in enumerate(new_codes):
        donors[new] = DONORS[old]
    recoded = table[np.maximum(after[:, 0], -1)]
    found = splits.assign_cells(THREE, [recoded, after[:, 1]], [[*donors, "new"], STUDIES], seed)
    expected = splits.assign_cells(THREE, [before[:, 0], before[:, 1]], [DONORS, STUDIES], seed)
    assert found[len(more) :].tolist() == expected.tolist()


@pytest.mark.parametrize("sizes", [(3, 4), (70_000, 65_536), (2**31 - 1, 2**31 - 1), (2**31 - 1, 2**31 - 1, 2**31 - 1)])
def test_combinations_do_not_collide(sizes: tuple[int, ...]) -> None:
    """An int32 or int64 product of codes, or -1 as a code, would put different groups together."""
    rng = np.random.default_rng(2)
    columns = []
    for size in sizes:
        choices = np.array([-1, 0, 1, size - 2, size - 1], np.int32)
        columns.append(choices[rng.integers(0, 5, 2000)])
    group, first = splits.number_groups(columns, sizes)
    rows = list(zip(*(column.tolist() for column in columns), strict=True))
    distinct = sorted(set(rows))
    assert len(first) == len(distinct)
    assert [distinct[g] for g in group] == rows
    assert first.tolist() == [rows.index(row) for row in distinct]


def test_groups_need_a_column() -> None:
    with pytest.raises(UsageError) as caught:
        splits.assign_cells(THREE, [], [], 0)
    assert caught.value.code == "no-split-columns"


# The specification of splits


@pytest.mark.parametrize(
    "given_",
    ["train=0.8,val=0.1,test=0.1", " train = 0.8, val =0.1,test= .1 ", {"train": 0.8, "val": 0.1, "test": 0.1}, THREE],
)
def test_specs(given_: Any) -> None:
    assert SplitSpec.of(given_) == THREE
    assert SplitSpec.of(str(THREE)) == THREE


@settings(deadline=None)
@given(specs)
def test_text_of_a_spec_reads_back(spec: SplitSpec) -> None:
    assert SplitSpec.of(str(spec)) == spec


def test_numpy_shares() -> None:
    spec = SplitSpec(("a", "b"), tuple(np.array([0.8, 0.2])))
    assert spec.thresholds == SplitSpec.of("a=0.8,b=0.2").thresholds
    assert str(spec) == "a=0.8,b=0.2"


def test_thirds_sum_within_the_tolerance() -> None:
    assert SplitSpec.of("a=0.3333333333,b=0.3333333333,c=0.3333333333").thresholds[-1] == 2**64


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ("", "not a list of splits"),
        ("train", "not a list of splits"),
        ("train=0.8,", "not a list of splits"),
        ("train=0.8=0.2", "not a list of splits"),
        ("train=0.8,val=0.1", "name a split for the rest"),
        ("train=0.8,val=0.3", "do not sum to 1"),
        ("train=1.0,val=0", "'val' is not above 0"),
        ("train=1.5,val=-0.5", "'train' is not above 0"),
        ("train=nan", "'train' is not above 0"),
        ("train=x", "share of 'train' is not a number"),
        ("train=0.5,train=0.5", "one name"),
        ("=1", "not the name of a split"),
        ("a@b=1", "not the name of a split"),
        ({}, "a name and a share"),
        ({"a": None}, "not a number"),
        ({"a ": 1.0}, "not the name of a split"),
        ({"a,b": 1.0}, "not the name of a split"),
        ({"a\n": 1.0}, "not the name of a split"),
    ],
)
def test_bad_specs(given_: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        SplitSpec.of(given_)
    assert caught.value.code == "bad-splits"
    assert says in str(caught.value)


def test_names_and_shares_go_together() -> None:
    with pytest.raises(UsageError):
        SplitSpec(("a", "b"), (1.0,))


# Duplicates

duplicate_rows = st.lists(
    st.tuples(st.integers(-1, 2), st.integers(0, 2), st.integers(1, 2), st.integers(0, 2)), max_size=30
)


@settings(deadline=None)
@given(duplicate_rows, st.randoms(use_true_random=False), st.booleans())
def test_duplicates_follow_the_rule(rows: list[tuple[int, int, int, int]], random: Any, ordered: bool) -> None:  # noqa: FBT001
    columns = np.array(rows, np.int64).reshape(-1, 4)
    order = np.array(random.sample(range(len(rows)), len(rows)), np.int64)
    given_splits = columns[:, 0].astype(np.int32)
    before = given_splits.copy()
    found, removed = splits.resolve_duplicates(
        given_splits, columns[:, 1], columns[:, 2], columns[:, 3], order if ordered else None
    )
    expected = before.tolist()
    first: dict[tuple[int, ...], int] = {}
    for row in np.argsort(order).tolist() if ordered else range(len(rows)):
        split, *same = rows[row]
        if split >= 0 and same[2] > 0 and first.setdefault(tuple(same), split) != split:
            expected[row] = -1
    assert found.tolist() == expected
    assert removed == int(np.count_nonzero(found != before))
    assert np.array_equal(given_splits, before)


def test_no_duplicate_lies_in_two_splits() -> None:
    rng = np.random.default_rng(3)
    n = 20_000
    content = rng.integers(0, 5_000, n)
    given_splits = rng.integers(-1, 3, n).astype(np.int32)
    found, removed = splits.resolve_duplicates(given_splits, content, content % 7, np.ones(n, np.int32))
    pairs = {(c, s) for c, s in zip(content.tolist(), found.tolist(), strict=True) if s >= 0}
    assert len(pairs) == len({c for c, _ in pairs})
    assert removed > 0
    again, more = splits.resolve_duplicates(found, content, content % 7, np.ones(n, np.int32))
    assert more == 0
    assert np.array_equal(again, found)


def test_physical_order_does_not_matter_with_an_order() -> None:
    rng = np.random.default_rng(4)
    n = 5_000
    content, given_splits = rng.integers(0, 900, n), rng.integers(-1, 3, n).astype(np.int32)
    ones, rank, shuffled = np.ones(n, np.int32), np.arange(n), rng.permutation(n)
    straight, removed = splits.resolve_duplicates(given_splits, content, ones, ones, rank)
    moved, removed_too = splits.resolve_duplicates(
        given_splits[shuffled], content[shuffled], ones, ones, rank[shuffled]
    )
    assert removed == removed_too
    assert np.array_equal(moved, straight[shuffled])


def test_cells_split_by_content_have_no_duplicates() -> None:
    content = np.random.default_rng(5).integers(0, 300, 1_000)
    found = splits.assign_content(THREE, content, 1)
    ones = np.ones(1_000, np.int32)
    assert splits.resolve_duplicates(found, content, ones, ones)[1] == 0


def test_cells_per_split() -> None:
    found = np.array([0, 2, -1, 0, -1], np.int32)
    assert splits.cells_per_split(("a", "b", "c"), found) == {"a": 2, "b": 0, "c": 1}
    assert splits.cells_per_split(("a",), found[:0]) == {"a": 0}

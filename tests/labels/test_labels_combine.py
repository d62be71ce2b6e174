"""Combinations of labels."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scformat.errors import InvalidDataError
from scformat.labels import combine_codes


def test_missing_is_no_other_combination() -> None:
    a = np.array([0, -1, 1, 0, -1, 0], np.int32)
    b = np.array([2, 2, -1, 2, -1, 0], np.int32)
    own = combine_codes([a, b], [2, 3], missing="own")
    assert own.combinations.tolist() == [[-1, -1], [-1, 2], [0, 0], [0, 2], [1, -1]]
    assert own.codes.tolist() == [3, 1, 4, 3, 0, 2]
    assert own.counts.tolist() == [1, 1, 1, 2, 1]
    excluded = combine_codes([a, b], [2, 3], missing="exclude")
    assert excluded.combinations.tolist() == [[0, 0], [0, 2]]
    assert excluded.codes.tolist() == [1, -1, -1, 1, -1, 0]
    assert excluded.codes.dtype == np.int64


def test_more_combinations_than_an_int32_holds() -> None:
    """70,000 x 65,536: packed into an int32, (0, 0) and (65536, 0) are one combination."""
    a = np.array([0, 65_536, 69_999, 0, 4_464, 69_999, -1], np.int32)
    b = np.array([0, 0, 65_535, 65_535, 0, -1, 65_535], np.int32)
    own = combine_codes([a, b], [70_000, 65_536], missing="own")
    assert len(own.combinations) == 7
    assert np.array_equal(own.combinations[own.codes], np.column_stack([a, b]))
    excluded = combine_codes([a, b], [70_000, 65_536], missing="exclude")
    assert excluded.codes.tolist() == [0, 3, 4, 1, 2, -1, -1]


def test_every_one_of_70000_by_65536_codes() -> None:
    rng = np.random.default_rng(0)
    a = np.concatenate([np.arange(70_000), rng.integers(0, 70_000, 30_000)]).astype(np.int32)
    b = rng.permutation(np.arange(100_000) % 65_536).astype(np.int32)
    combined = combine_codes([a, b], [70_000, 65_536], missing="exclude")
    assert np.array_equal(combined.combinations[combined.codes], np.column_stack([a, b]))
    assert len(combined.combinations) == len(set(zip(a.tolist(), b.tolist(), strict=True)))


def test_more_combinations_than_an_int64_holds() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(-1, 100_000, 500).astype(np.int32) for _ in range(5)]
    combined = combine_codes(columns, [100_000] * 5, missing="own")
    assert np.array_equal(combined.combinations[combined.codes], np.column_stack(columns))


@given(
    st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 0), st.integers(-1, 5)), max_size=40),
    st.sampled_from(["own", "exclude"]),
)
def test_against_python(rows: list[tuple[int, int, int]], missing: Literal["own", "exclude"]) -> None:
    columns = [np.array([row[i] for row in rows], np.int32) for i in range(3)]
    combined = combine_codes(columns, [4, 1, 6], missing=missing)
    kept = [row for row in rows if missing == "own" or min(row) >= 0]
    present = sorted(set(kept))
    assert [tuple(row) for row in combined.combinations.tolist()] == present
    assert combined.counts.tolist() == [kept.count(row) for row in present]
    expected = [present.index(row) if missing == "own" or min(row) >= 0 else -1 for row in rows]
    assert combined.codes.tolist() == expected


def test_bad_arguments() -> None:
    codes = np.zeros(3, np.int32)
    with pytest.raises(ValueError, match="0"):
        combine_codes([], [], missing="own")
    with pytest.raises(ValueError, match="2"):
        combine_codes([codes, codes[:2]], [1, 1], missing="own")
    for bad in (-2, 1):
        with pytest.raises(InvalidDataError, match="bad-code"):
            combine_codes([np.array([bad], np.int32)], [1], missing="own")

"""Rows hashed and rows sorted are the same rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scformat.loading.lookup import distinct, places

ROWS = st.lists(st.integers(-1, 300) | st.integers(0, 2**62), max_size=400)


@given(ROWS)
def test_each_row_once_in_order(rows: list[int]) -> None:
    given_rows = np.array(rows, np.int64)
    found = distinct(given_rows)
    assert found.dtype == np.int64
    assert np.array_equal(found, np.unique(given_rows))
    assert np.array_equal(given_rows, np.array(rows, np.int64)), "what was given is left alone"


@given(ROWS.filter(len), st.data())
def test_rows_are_found_as_a_search_finds_them(rows: list[int], data: st.DataObject) -> None:
    held = np.unique(np.array(rows, np.int64))
    wanted = held[data.draw(st.lists(st.integers(0, len(held) - 1), max_size=2000))]
    assert np.array_equal(places(held, wanted), np.searchsorted(held, wanted))
    assert places(held, wanted[: len(wanted) // 2 * 2].reshape(-1, 2)).shape == (len(wanted) // 2, 2)


def test_many_are_looked_up_by_a_table() -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 1 << 40, 5000)
    held = distinct(np.concatenate([rows, rows]))
    assert np.array_equal(held[places(held, rows)], rows)


def test_a_row_that_is_not_held_is_an_error() -> None:
    with pytest.raises(IndexError, match="not held"):
        places(np.array([1, 5]), np.array([1, 3]))

"""Entries sorted by their columns: any columns, of either type, and nothing beyond them is touched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.loading.sorting import DIGITS, sort_entries


@pytest.mark.parametrize("index", [np.int32, np.int64])
@settings(deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 300), st.integers(0, 70_000), st.integers(0, 2**25)), unique=True, max_size=80)
)
def test_entries_are_sorted(index: type, given_columns: list[int]) -> None:
    n = len(given_columns)
    columns, values = np.array([*given_columns, 5], index), np.arange(n + 1, dtype=np.float32)
    scratch = np.full(n + 3, -1, index), np.full(n + 3, -1, np.float32)
    sort_entries(columns[:n], values[:n], *scratch, np.empty(DIGITS + 1, np.int64))
    assert columns[:n].tolist() == sorted(given_columns)
    assert [given_columns[int(value)] for value in values[:n]] == sorted(given_columns)
    assert (columns[n], values[n]) == (5, n)
    assert (scratch[0][n:] == -1).all() and (scratch[1][n:] == -1).all()

"""Options of a loader: sizes, threads, ranks, and schedules in positions of a stream."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import UsageError
from scformat.loading.options import check_number, check_rank, number_of_threads, schedule_of
from scformat.sizes import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MB", 512 * 10**6),
        ("1 GiB", 1 << 30),
        ("1.5g", 1_500_000_000),
        (200_000_000, 200_000_000),
        (" 2000 kb ", 2_000_000),
        ("1MiB", 1 << 20),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["much", "", "-1GB", "1PB", "1000", 0, -5, "1e9", "MB"])
def test_what_is_no_size(text: Any) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert caught.value.code == "bad-size"


def test_numbers_threads_and_ranks() -> None:
    assert check_number("batch size", "bad-batch-size", 3) == 3
    assert number_of_threads(0) == 0
    assert number_of_threads(None) == len(os.sched_getaffinity(0))
    assert check_rank(None, None) is None
    assert check_rank(1, 2) == (1, 2)
    for bad in (0, -1, 2.0, "3", True, None):
        with pytest.raises(UsageError) as caught:
            check_number("batch size", "bad-batch-size", bad)
        assert caught.value.code == "bad-batch-size"
    for rank in ((None, 2), (0, None), (2, 2), (-1, 2), (0, 0)):
        with pytest.raises(UsageError) as refused:
            check_rank(*rank)
        assert refused.value.code == "bad-rank"


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), max_size=6, unique=True), st.integers(1, 300), st.sampled_from([64, 512, 4096]))
def test_pieces_begin_with_the_first_window_at_their_step_or_after(steps: list[int], stride: int, window: int) -> None:
    given_pieces = [(step, 1.0 + step) for step in (0, *sorted(steps))]
    wanted = [-(-step * stride // window) for step, _ in given_pieces]
    if len(set(wanted)) < len(wanted):
        with pytest.raises(UsageError, match="same window"):
            schedule_of(given_pieces, stride=stride, window=window)
        return
    pieces = schedule_of(given_pieces, stride=stride, window=window)
    assert [temperature for _, temperature in pieces] == [temperature for _, temperature in given_pieces]
    for (position, _), (step, _) in zip(pieces, given_pieces, strict=True):
        assert position % window == 0
        assert step * stride <= position < step * stride + window

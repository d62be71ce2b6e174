"""Reads bring every chunk, each where it is said to lie, and as few of them as close chunks need."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scformat.ranges import plan_ranges

CHUNKS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 40)), max_size=40)


@given(CHUNKS, st.sampled_from([0, 1, 10, 1000]))
def test_every_chunk_lies_where_it_is_said(chunks: list[tuple[int, int]], gap: int) -> None:
    file = np.random.default_rng(0).bytes(500)
    starts, lengths = np.array(chunks, np.int64).reshape(-1, 2).T.copy()
    plan = plan_ranges(starts, lengths, read_through=gap)
    data = b"".join(file[low:high] for low, high in zip(plan.starts, plan.stops, strict=True))
    assert len(data) == plan.n_bytes
    for (start, length), at in zip(chunks, plan.offsets.tolist(), strict=True):
        assert data[at : at + length] == file[start : start + length]


@given(CHUNKS.filter(len), st.sampled_from([0, 1, 10, 1000]))
def test_reads_are_apart_and_begin_and_end_with_a_chunk(chunks: list[tuple[int, int]], gap: int) -> None:
    starts, lengths = np.array(chunks, np.int64).T.copy()
    plan = plan_ranges(starts, lengths, read_through=gap)
    assert (plan.starts[1:] - plan.stops[:-1] > gap).all()
    assert set(plan.starts.tolist()) <= set(starts.tolist())
    assert set(plan.stops.tolist()) <= set((starts + lengths).tolist())


def test_nothing_is_no_read() -> None:
    plan = plan_ranges(np.empty(0, np.int64), np.empty(0, np.int64), read_through=5)
    assert (len(plan.starts), plan.n_bytes) == (0, 0)

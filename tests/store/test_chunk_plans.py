"""Which chunks hold some items: every chunk once, and where each item begins in them, whatever their order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scformat.store.fetch import plan_chunks

items = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 60)), max_size=30)


@given(items, st.integers(1, 40), st.booleans())
def test_chunks_are_those_of_the_items(spans: list[tuple[int, int]], chunk: int, in_order: bool) -> None:  # noqa: FBT001
    spans = sorted(spans) if in_order else spans
    starts = np.array([start for start, _ in spans], np.int64)
    stops = starts + np.array([n for _, n in spans], np.int64)
    plan = plan_chunks(starts, stops, chunk=chunk)
    needed = {p // chunk for start, n in spans for p in range(start, start + n)}
    assert plan.numbers.tolist() == sorted(needed)
    held = np.concatenate([np.arange(k * chunk, (k + 1) * chunk) for k in plan.numbers] or [np.empty(0, np.int64)])
    for (start, n), begin in zip(spans, plan.starts.tolist(), strict=True):
        assert held[begin : begin + n].tolist() == list(range(start, start + n))

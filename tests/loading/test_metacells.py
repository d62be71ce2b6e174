"""Metacells are exact sums, whatever the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.loading.kernels import _put
from scformat.loading.metacells import metacells
from scformat.loading.window import Held
from scformat.pool import Pool

N_GENES = 70_000

counts = st.one_of(st.integers(1, 3), st.integers(250, 260), st.integers(65530, 65540), st.integers(1, 2**50))
genes = st.one_of(st.integers(0, 300), st.integers(0, N_GENES - 1), st.sampled_from([0, 255, 256, 65535, 65536]))
cells = st.lists(st.dictionaries(genes, counts, max_size=8), min_size=1, max_size=5)


def held_of(rows: list[dict[int, int]]) -> Held:
    """Cells as a window holds them, with the one of nothing before them."""
    words, starts, stops = np.empty(7 * 8 * len(rows), np.uint16), [0], [0]
    at = 0
    for row in rows:
        starts.append(at)
        last = 0
        for gene, count in sorted(row.items()):
            at = _put(words, at, np.int64(gene - last), np.int64(count))
            last = gene
        stops.append(at)
    n = len(rows)
    return Held(
        rows=np.arange(-1, n),
        words=words[:at],
        starts=np.array(starts),
        stops=np.array(stops),
        n_values=np.array([0, *map(len, rows)], np.int32),
        source=np.arange(-1, n, dtype=np.int32),
        total=np.array([0, *(sum(row.values()) + 5 for row in rows)]),
        labels=np.arange(-1, n, dtype=np.int32)[None],
        pool=Pool(),
    )


def unpacked(held: Held, place: int) -> dict[int, int]:
    """A packed row, read as its description says."""
    found: dict[int, int] = {}
    gene, at = 0, int(held.starts[place])
    words = held.words.tolist()
    while at < held.stops[place]:
        gap, count = words[at] & 255, words[at] >> 8
        at += 1
        if count == 0:
            n_gap, n_count = {1: (1, 1), 2: (2, 4)}[gap]
            pieces = words[at : at + n_gap + n_count]
            gap = sum(piece << (16 * i) for i, piece in enumerate(pieces[:n_gap]))
            count = sum(piece << (16 * i) for i, piece in enumerate(pieces[n_gap:]))
            at += n_gap + n_count
        gene += gap
        found[gene] = count
    return found


@settings(max_examples=150, deadline=None)
@given(cells, st.data())
def test_sums_are_exact(rows: list[dict[int, int]], data: Any) -> None:
    n = len(rows)
    k = data.draw(st.integers(1, 4))
    around = np.array([data.draw(st.lists(st.integers(-1, n - 1), min_size=k, max_size=k)) for _ in range(n)])
    wanted = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=6)))
    held = held_of(rows)
    made = metacells(held, wanted, around[wanted], n_genes=N_GENES)
    assert made.rows.tolist() == sorted(set(wanted.tolist()))
    for row in wanted.tolist():
        expected: dict[int, int] = {}
        for member in (row, *around[row].tolist()):
            for gene, count in (rows[member] if member >= 0 else {}).items():
                expected[gene] = expected.get(gene, 0) + count
        place = int(made.places(np.array([row]))[0])
        assert unpacked(made, place) == dict(sorted(expected.items()))
        assert made.n_values[place] == len(expected)
        assert made.total[place] == sum(sum(rows[m].values()) + 5 for m in (row, *around[row].tolist()) if m >= 0)
        assert made.source[place] == made.labels[0, place] == row

"""Known answers: the package, the stored vectors and the slow reference say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slow_reference as slow

from scformat.sampling import EpochPlan, Strata, StratifiedPlan, Table, WindowShape, build_alias, integer_masses
from scformat.sampling.permutation import image, shuffle_small
from scformat.sampling.rows import cells_of

VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("vectors.json").read_text())


def table_of(masses: np.ndarray, counts: list[int]) -> Table:
    """Strata one after another, so that row minus start is the number of the cell."""
    lengths = np.array(counts, np.int64)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    strata = Strata(offsets=np.arange(len(counts) + 1), run_start=starts[:-1].copy(), run_length=lengths)
    return Table(masses, strata.counts, strata)


def test_the_stored_vectors_are_what_the_slow_reference_makes() -> None:
    assert json.loads(json.dumps(slow.vectors())) == VECTORS


@pytest.mark.parametrize("number", range(len(VECTORS["tables"])))
def test_tables(number: int) -> None:
    v = VECTORS["tables"][number]
    masses = integer_masses(v["weights"])
    assert masses.tolist() == v["masses"]
    alias = build_alias(masses)
    assert alias.threshold.tolist() == v["threshold"]
    assert alias.alias.tolist() == v["alias"]
    table = table_of(masses, v["counts"])
    starts = np.cumsum([0, *v["counts"]])
    for t, c, k in v["draws"]:
        stratum, cell = table.draw_strata(v["seed"], t, 1)
        assert (stratum[0], cell[0]) == (c, k)
        assert table.draw(v["seed"], t, 1)[0] == starts[c] + k
    window, lanes, block = v["window"]
    plan = StratifiedPlan(table, v["seed"], WindowShape(window=window, lanes=lanes, block=block))
    for t, quotas in v["quotas"]:
        assert plan.quotas(t).tolist() == quotas
        assert sum(quotas) == t
    for w, cells in v["stratified"]:
        assert plan.window(w).rows.tolist() == [int(starts[c]) + k for c, k in cells]


@pytest.mark.parametrize("vector", VECTORS["cells"], ids=str)
def test_cells(vector: list[int]) -> None:
    seed, c, n, block, number, cell = vector
    out = np.empty(1, np.int64)
    cells_of(*map(np.uint64, (seed, c, n, block, number)), out, np.empty(256, np.uint64))
    assert out[0] == cell


@pytest.mark.parametrize("vector", VECTORS["epochs"], ids=lambda v: str(v[:3]))
def test_epochs(vector: list[Any]) -> None:
    seed, n, (window, lanes, block), windows = vector
    plan = EpochPlan(Table.uniform(np.arange(n)), seed, WindowShape(window=window, lanes=lanes, block=block))
    for w, rows in windows:
        assert plan.window(w).rows.tolist() == rows


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 65, 255, 256, 257, 1000])
def test_images_one_by_one(n: int) -> None:
    expected = slow.permutation(n, 99, 3, 1 << 40, 5)
    place = tuple(map(np.uint64, (99, 3, 1 << 40, 5)))
    assert [int(image(np.uint64(k), np.uint64(n), *place)) for k in range(n)] == expected
    assert sorted(expected) == list(range(n))
    if n <= 256:
        out = np.empty(n, np.uint64)
        shuffle_small(out, *place)
        assert out.tolist() == expected

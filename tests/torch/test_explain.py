"""What a loader says of itself: costs, a rate that was measured, and what to do where chunks are decoded for little."""

from __future__ import annotations

import re
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import gene_ids, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.loading.explanation import advice, measure_rate  # noqa: E402
from scformat.loading.window import Costs, costs  # noqa: E402
from scformat.torch import CellLoader  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scformat.store import Store

N, M, STRATA = 512, 1600, 128


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Cells that fill half a chunk each, four of each of 128 types, in stratified order."""
    values = np.random.default_rng(0).poisson(1.2, (N, M))
    obs = {"kind": pd.Categorical([f"k{i % STRATA:03}" for i in range(N)])}
    target = tmp_path_factory.mktemp("stores") / "many.cells"
    return scformat.convert([sample(values, genes=gene_ids(M), obs=obs)], target, stratify_by=["kind"], jobs=1)


def loader(store: Store, window: int, **options: Any) -> CellLoader:
    made: dict[str, Any] = {"table": "kind:balanced", "window": window, "lanes": 1, "batch_size": 16, "threads": 1}
    return CellLoader(store, **{**made, **options})


def test_short_runs_are_warned_of_until_the_window_is_scaled(many: Store) -> None:
    window = 64
    seen = []
    while window <= 1 << 12:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = loader(many, window).explain()
        seen.append(found["chunks_per_cell"])
        if not caught:
            break
        assert found["chunks_per_cell"] > 1.5
        assert [(w.category, w.filename) for w in caught] == [(UserWarning, __file__)]
        text = str(caught[0].message)
        assert f"{found['chunks_per_cell']:.2f} chunks are decoded for every cell" in text
        assert "scale the window" in text
        window = int(re.search(r"window=(\d+)", text)[1])  # type: ignore[index]
    assert seen[0] > 1.5 >= seen[-1]
    assert seen == sorted(seen, reverse=True)


def test_independent_draws_are_told_of_the_stratified_plan(many: Store) -> None:
    with pytest.warns(UserWarning, match="plan='stratified'"):
        loader(many, 65536, plan="independent", steps_per_epoch=1).explain()


def test_advice_follows_what_is_lacking(many: Store) -> None:
    def costs_of(chunks: int) -> Costs:
        return Costs(draws=100, cells=100, chunks=chunks, requests=1, bytes=1)

    plan = loader(many, 64).plan
    assert advice(many, plan, costs_of(150), cut=False) is None
    assert "scale the window, for example window=256" in str(advice(many, plan, costs_of(151), cut=False))
    assert "more memory" in str(advice(many, plan, costs_of(151), cut=True))
    fine = loader(many, 64, block=4).plan
    assert "or block=64" in str(advice(many, fine, costs_of(200), cut=False))


def test_large_cells_are_not_warned_of(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cell of three chunks takes three chunks, in any plan."""
    values = np.ones((40, 6000), np.int64)
    obs = {"kind": pd.Categorical([f"k{i % 20:03}" for i in range(40)])}
    target = tmp_path_factory.mktemp("stores") / "large.cells"
    large = scformat.convert([sample(values, genes=gene_ids(6000), obs=obs)], target, stratify_by=["kind"], jobs=1)
    found = loader(large, 64).explain()
    assert found["chunks_per_cell"] > 2.5


@pytest.mark.filterwarnings("ignore:.*chunks are decoded:UserWarning")
def test_the_figures_are_those_of_the_next_window(many: Store) -> None:
    made = loader(many, 128, temperature=[(0, 1.0), (8, 3.0)])
    found = made.explain()
    rows = made.plan.rows(0, 128)
    expected = costs(many, rows)
    assert found["plan"] == "stratified"
    assert found["output"] == "dense"
    assert found["schedule"] == ((0, 1.0), (128, 3.0))
    assert found["batches"] == len(made) == N // 16
    for name in ("draws", "cells", "chunks", "requests", "bytes"):
        assert found[name] == getattr(expected, name)
    assert found["chunks_per_cell"] == expected.chunks / expected.cells
    entries = int(many.obs(["n_genes"], np.unique(rows))["n_genes"].sum())
    assert 2 * entries <= found["held_bytes"] <= 4 * entries
    assert 0 < found["cells_per_second"] < 1e9


@pytest.mark.filterwarnings("ignore:.*chunks are decoded:UserWarning")
@pytest.mark.parametrize("threads", [0, 2])
def test_explaining_does_not_move_the_stream(many: Store, threads: int) -> None:
    expected = [b.rows.tolist() for b in loader(many, 64, threads=threads)]
    made = loader(many, 64, threads=threads)
    stream = iter(made)
    got = []
    for k, batch in enumerate(stream):
        got.append(batch.rows.tolist())
        if k % 10 == 0:
            before = made.state_dict()
            made.explain()
            assert made.state_dict() == before
    assert got == expected


def test_the_rate_is_that_of_delivery() -> None:
    class Step:
        rows = np.zeros(10, np.int64)

    def slow() -> Iterator[tuple[Any, Any]]:
        for _ in range(5):
            time.sleep(0.01)
            yield Step(), None

    begun = time.perf_counter()
    rate = measure_rate(slow())
    assert 50 / (time.perf_counter() - begun) <= rate <= 50 / 0.05


def test_a_loader_says_what_it_is_without_reading_cells(many: Store) -> None:
    made = loader(many, 64, output="csr")
    assert repr(made) == (f"<CellLoader of {many.path}: stratified, 512 cells, 32 batches of 16, csr, rank 0 of 1>")
    epoch = CellLoader(many, 100, rank=1, world_size=3)
    assert repr(epoch) == f"<CellLoader of {many.path}: epoch, 512 cells, 2 batches of 100, dense, rank 1 of 3>"

"""Threads, forked and spawned processes read one store rightly while it grows and is vacuumed under them."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, gene_ids, sample

import scformat
from scformat.errors import ScformatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

N, M = 400, 50
GREW, VACUUMED, END = 1, 2, 3


@pytest.fixture(scope="module")
def expected() -> NDArray[np.int64]:
    return np.concatenate([counts_matrix(N, M, seed=k, mean=2.0) for k in range(3)]).astype(np.int64)


@pytest.fixture
def files(expected: NDArray[np.int64], tmp_path: Path) -> list[Path]:
    made = []
    for k in range(3):
        obs = {"kind": pd.Categorical(["a", "b", "c", "d"] * (N // 4))}
        made.append(tmp_path / f"s{k}.h5ad")
        sample(expected[k * N : (k + 1) * N], obs=obs, prefix=f"s{k}").write_h5ad(made[-1])
    return made


def read_on(store: Any, path: str, expected: NDArray[np.int64], seed: int, step: Any, ready: Any) -> list[str]:
    """Read random cells of the store as it was opened and of one opened anew, until the end; return what is wrong."""
    rng = np.random.default_rng(seed)
    wrong = []
    rounds = 0
    while step.value < END or rounds < 3:
        try:
            for one in (store, scformat.open(path)):
                at = step.value
                rows = rng.integers(0, one.n_cells, 32)
                if not np.array_equal(one.read(rows).dense(np.int64), expected[rows]):
                    wrong.append(f"other counts of {rows}")
                codes = one.labels["kind"].codes(rows)
                names = [one.labels["kind"].categories[c] for c in codes]
                if names != [["a", "b", "c", "d"][row % 4] for row in rows.tolist()]:
                    wrong.append(f"other labels of {rows}")
                if one is not store and at >= GREW and one.n_cells < 2 * N:
                    wrong.append("an old store was opened")
        except ScformatError as error:
            # Who opened it before the vacuum may lose categories: then it is told, and nothing wrong is read.
            if step.value < GREW or error.code not in ("not-found", "missing-file", "lost-chunk", "damaged-array"):
                wrong.append(str(error))
        rounds += 1
        if rounds == 1:
            ready.release()
    return wrong


def process(store: Any, path: str, expected: NDArray[np.int64], seed: int, step: Any, ready: Any, told: Any) -> None:
    told.put((seed, read_on(store, path, expected, seed, step, ready)))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_readers_while_a_store_grows_and_is_vacuumed(
    start: str, files: list[Path], expected: NDArray[np.int64], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", ":".join(p for p in sys.path if p))
    path = tmp_path / "s.cells"
    store = scformat.convert(files[:1], path, jobs=2, ontology=False)
    store.read(np.arange(N)).csr()  # whoever is forked inherits caches and what threads had used
    scformat.append(path, files[1:2], jobs=2, ontology=False)
    store = scformat.open(path)
    expected = expected[:, [gene_ids(M).index(gene) for gene in store.genes.index]]
    assert np.array_equal(store.read(np.arange(2 * N)).dense(np.int64), expected[: 2 * N])
    context = multiprocessing.get_context(start)
    step, ready, told = context.Value("i", 0), context.Semaphore(0), context.Queue()
    processes = [
        context.Process(target=process, args=(store, str(path), expected, seed, step, ready, told)) for seed in range(3)
    ]
    for one in processes:
        one.start()
    wrong: dict[int, list[str]] = {}

    def in_thread(seed: int) -> None:
        wrong[seed] = read_on(
            pickle.loads(pickle.dumps(store)) if seed % 2 else store, str(path), expected, seed, step, ready
        )

    threads = [threading.Thread(target=in_thread, args=(seed,)) for seed in range(10, 14)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(7):
            assert ready.acquire(timeout=60)
        scformat.append(path, files[2:3], jobs=1, ontology=False)
        step.value = GREW
        scformat.vacuum(path)
        step.value = VACUUMED
    finally:
        step.value = END
    wrong |= dict(told.get(timeout=60) for _ in processes)
    for each in [*threads, *processes]:
        each.join(60)
    assert [one.exitcode for one in processes] == [0, 0, 0]
    assert sorted(wrong) == [0, 1, 2, 10, 11, 12, 13]
    assert not any(wrong.values()), wrong
    assert scformat.open(path).n_cells == 3 * N

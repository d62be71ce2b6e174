"""Dense batches are filled some columns at a time, whatever their width and the order of their columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.loading.batches import TILE_COLUMNS, Drawn, make_batches
from scformat.loading.form import choose_form
from scformat.loading.window import read_window
from scformat.pool import ALIGNED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.store import Store

N, M = 700, 5003


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("dense")
    return scformat.convert(scformat.simulate(folder / "h5", cells=N, studies=2, genes=M, seed=5), folder / "a.cells")


def dense(store: Store, rows: NDArray[np.int64], ids: list[str] | None = None) -> NDArray[np.float32]:
    how = choose_form(store, genes=ids).assembly
    drawn = Drawn.of(read_window(store, rows), rows, np.arange(len(rows), dtype=np.uint64))
    # Memory that was another batch's is used again: what that left behind must not show.
    drawn.held.pool.empty((len(rows), how.n_columns), np.float32).fill(np.nan)
    (batch,) = make_batches(drawn, [0, len(rows)], how)
    assert batch.dense is not None
    return batch.dense


@pytest.mark.parametrize("width", [1, 15, 700, TILE_COLUMNS, TILE_COLUMNS + 1, 2 * TILE_COLUMNS + 1, M])
@pytest.mark.parametrize("n_rows", [1, 61, N])
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled"])
def test_a_batch_is_what_the_store_says(store: Store, width: int, n_rows: int, order: str) -> None:
    rng = np.random.default_rng(n_rows)
    columns = np.sort(rng.choice(M, width, replace=False))
    columns = {"ascending": columns, "descending": columns[::-1], "shuffled": rng.permutation(columns)}[order]
    rows = rng.choice(store.n_cells, n_rows)
    wanted = store.read(rows).dense(np.float32)
    assert wanted.any()
    assert np.array_equal(dense(store, rows, store.genes.index[columns].tolist()), wanted[:, columns])


def test_a_large_batch_is_aligned(store: Store) -> None:
    found = dense(store, np.arange(N))
    assert found.ctypes.data % ALIGNED == 0
    assert np.array_equal(found, store.read(np.arange(N)).dense(np.float32))

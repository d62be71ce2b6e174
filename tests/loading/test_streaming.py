"""Batches that are written past the caches have the numbers of those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.loading import batches
from scformat.loading.batches import Drawn, make_batches
from scformat.loading.form import choose_form
from scformat.loading.streaming import LARGE, stream_dense
from scformat.loading.transforms import Log1p, NormalizeTotal
from scformat.loading.window import read_window
from scformat.pool import ALIGNED, SMALLEST

if TYPE_CHECKING:
    from scformat.store import Store

N, M = 700, 5003


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("streaming")
    return scformat.convert(scformat.simulate(folder / "h5", cells=N, studies=2, genes=M, seed=5), folder / "a.cells")


@pytest.mark.parametrize("width", [1, 15, 64, 700, 2048, 2049, 4097, None])
@pytest.mark.parametrize("n_rows", [1, 2, 61, N])
def test_rows_are_written_as_without(store: Store, width: int | None, n_rows: int) -> None:
    """Windows of columns end within rows, at their ends, and hold several rows."""
    ids = None if width is None else store.genes.index[:: max(1, M // width)][:width].tolist()
    how = choose_form(store, genes=ids, transforms=[NormalizeTotal(1e4), Log1p()]).assembly
    rows = np.random.default_rng(n_rows).choice(store.n_cells, n_rows)
    drawn = Drawn.of(read_window(store, rows), rows, np.arange(n_rows, dtype=np.uint64))
    cells = (*batches._cells(drawn, slice(0, n_rows), how), how.n_genes)
    room = drawn.held.pool.empty(max(4 * n_rows * how.n_columns, SMALLEST), np.uint8)
    out = room[: 4 * n_rows * how.n_columns].view(np.float32).reshape(n_rows, how.n_columns)
    wanted = np.empty_like(out)
    out.fill(np.nan)
    assert stream_dense(*cells, out) == batches._dense(*cells, wanted) == (0, 0)
    assert np.array_equal(out, wanted)
    assert wanted.any()
    rest = room[4 * n_rows * how.n_columns :].copy()
    stream_dense(*cells, out)
    assert np.array_equal(room[4 * n_rows * how.n_columns :], rest), "nothing behind the batch is written to"


def test_a_large_batch_is_what_the_store_says(store: Store) -> None:
    how = choose_form(store).assembly
    rows = np.arange(N)
    drawn = Drawn.of(read_window(store, rows), rows, rows.astype(np.uint64))
    (batch,) = make_batches(drawn, [0, N], how)
    assert batch.dense is not None
    assert batch.dense.nbytes >= LARGE
    assert batch.dense.ctypes.data % ALIGNED == 0
    assert np.array_equal(batch.dense, store.read(rows).dense(np.float32))


def test_columns_in_another_order_are_not_streamed(store: Store) -> None:
    ids = store.genes.index[::-1].tolist()
    how = choose_form(store, genes=ids).assembly
    rows = np.arange(N)
    drawn = Drawn.of(read_window(store, rows), rows, rows.astype(np.uint64))
    (batch,) = make_batches(drawn, [0, N], how)
    assert batch.dense is not None
    assert np.array_equal(batch.dense[:, ::-1], store.read(rows).dense(np.float32))

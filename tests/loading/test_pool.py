"""Memory that is lent out: nobody else's while it is held, used again after."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest

from scformat.pool import SMALLEST, Pool

SHAPE = (64, 1024)


def place(array: Any) -> int:
    address: int = array.ctypes.data
    return address


def test_memory_comes_back_when_the_last_view_is_gone() -> None:
    pool = Pool()
    lent = pool.empty(SHAPE, np.float32)
    at, view = place(lent), lent[3:5]
    del lent
    other = pool.empty(SHAPE, np.float32)
    assert place(other) != at, "a view still refers to it"
    del view
    gc.collect()
    assert place(pool.empty(SHAPE, np.float32)) == at


def test_a_tensor_keeps_its_memory() -> None:
    torch = pytest.importorskip("torch")
    pool = Pool()
    array = pool.empty(SHAPE, np.float32)
    array[:] = 7
    tensor = torch.from_numpy(array)[2]
    del array
    for _ in range(3):
        pool.empty(SHAPE, np.float32)[:] = 1
    assert (tensor == 7).all()


def test_small_arrays_and_all_types_have_the_shape_asked_for() -> None:
    pool = Pool()
    for n in (0, 1, SMALLEST - 1, SMALLEST, SMALLEST + 1):
        assert pool.empty(n, np.uint8).shape == (n,)
    array = pool.empty((3, 50_000), np.int64)
    assert array.dtype == np.int64
    assert array.shape == (3, 50_000)
    assert array.flags.c_contiguous
    assert array.flags.writeable


def test_what_lies_idle_stays_bounded() -> None:
    pool = Pool()
    for n in (1 << 20, 3 << 20, 9 << 20, 1 << 20, 27 << 20, 2 << 20):
        held = [pool.empty(n, np.uint8) for _ in range(2)]
        del held
    pool.empty(1 << 20, np.uint8)
    assert sum(b.nbytes for b in pool._idle) + pool._lent <= 1.25 * pool._most


def test_threads_never_share_what_they_hold() -> None:
    pool = Pool()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            array = pool.empty(SMALLEST, np.uint8)
            array[:] = number
            if (array != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong

"""Order of delivery, where errors surface, and that nothing is left running."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from scformat.loading.prefetch import Loaded, deliver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scformat.loading.window import Work


def loads(
    n: int, size: int, *, bad_load: int = -1, bad_batch: int = -1
) -> Iterator[Callable[[Callable[[Work], None]], Loaded[int]]]:
    def batch(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        if number == bad_batch:
            raise ValueError(f"batch {number}")
        return number

    def load(number: int, run: Callable[[Work], None]) -> Loaded[int]:
        done: list[int] = []
        run((lambda k=k: done.append(k)) for k in range(20))  # type: ignore[misc]
        assert sorted(done) == list(range(20))
        if number == bad_load:
            raise ValueError(f"load {number}")
        numbers = range(number * size, (number + 1) * size)
        return Loaded(batches=[partial(map, batch, numbers[at : at + 4]) for at in range(0, size, 4)])

    for number in range(n):
        yield lambda run, number=number: load(number, run)  # type: ignore[misc]


def ours() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("scformat-")]


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
def test_batches_come_in_order(threads: int) -> None:
    assert list(deliver(loads(7, 9), threads=threads)) == list(range(63))
    assert not ours()


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
@pytest.mark.parametrize(("bad_load", "bad_batch", "before"), [(3, -1, 15), (-1, 22, 22), (0, -1, 0)])
def test_an_error_waits_for_the_batches_before_it(threads: int, bad_load: int, bad_batch: int, before: int) -> None:
    got = []
    with pytest.raises(ValueError, match=r"^(load|batch) \d+$"):
        for number in deliver(loads(6, 5, bad_load=bad_load, bad_batch=bad_batch), threads=threads):
            got.append(number)
    assert got == list(range(before))
    assert not ours()


def test_only_one_run_is_read_ahead() -> None:
    begun = []

    def watched() -> Iterator[Callable[[Callable[[Work], None]], Loaded[int]]]:
        for number, load in enumerate(loads(10, 50)):
            begun.append(number)
            yield load

    stream = deliver(watched(), threads=2)
    next(stream)
    time.sleep(0.05)
    assert begun == [0, 1]
    stream.close()  # type: ignore[attr-defined]
    assert not ours()


@pytest.mark.parametrize("what", ["batches", "pieces"])
def test_the_thread_that_reads_works_too(what: str) -> None:
    """Two threads meet in each batch of the last run, and in each piece: with one of them less they would not."""
    both = threading.Barrier(2, timeout=30)

    def meet(number: int) -> Iterator[int]:
        both.wait()
        yield number

    def load(run: Callable[[Work], None]) -> Loaded[int]:
        if what == "batches":
            return Loaded(batches=[partial(meet, number) for number in range(6)])
        run(both.wait for _ in range(6))
        return Loaded(batches=[partial(iter, [number]) for number in range(6)])

    assert list(deliver(iter([load]), threads=2)) == list(range(6))
    assert not ours()


ENDLESS = """
import itertools
from scformat.loading.prefetch import Loaded, deliver

def load(run):
    run(iter([lambda: None] * 5))
    return Loaded(batches=[lambda k=k: iter([k]) for k in range(100)])

stream = deliver(itertools.repeat(load), threads=3)
print([next(stream) for _ in range(150)][-1])
"""


def test_an_iterator_that_is_never_closed_does_not_keep_the_interpreter() -> None:
    """Its threads end with it: they would go on in memory that is being taken down."""
    done = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "49\n", "")


def test_an_iterator_left_in_a_cycle_ends_its_threads() -> None:
    class Holder:
        stream: Iterator[int]

    holder = Holder()
    holder.stream = deliver(loads(50, 20), threads=2)
    holder.me = holder  # type: ignore[attr-defined]
    next(holder.stream)
    assert ours()
    del holder
    gc.collect()
    assert not ours()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_of_errors_of_pieces_the_first_in_order_is_raised(threads: int) -> None:
    def piece(number: int) -> None:
        time.sleep(0.02 if number == 1 else 0)
        if number in (1, 2):
            raise ValueError(f"piece {number}")

    def load(run: Callable[[Work], None]) -> Loaded[int]:
        run(partial(piece, number) for number in range(10))
        return Loaded(batches=[])

    with pytest.raises(ValueError, match="piece 1"):
        list(deliver(iter([load]), threads=threads))
    assert not ours()

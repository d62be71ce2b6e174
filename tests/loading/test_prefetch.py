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


def test_the_thread_that_reads_decodes_too() -> None:
    """Two threads meet in each piece: with one of them less they would not."""
    both = threading.Barrier(2, timeout=30)

    def load(run: Callable[[Work], None]) -> Loaded[int]:
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


class Watched:
    """Batches of a millisecond each: who makes them, and how many at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.now = self.most = self.made = 0
        self.by: set[str] = set()

    def batch(self, number: int) -> Iterator[int]:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.001)
        with self.lock:
            self.now -= 1
            self.made += 1
            self.by.add(threading.current_thread().name.removeprefix("scformat-"))
        yield number

    def load(self, run: Callable[[Work], None]) -> Loaded[int]:
        run(iter([]))
        return Loaded(batches=[partial(self.batch, number) for number in range(200)])


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_who_takes_batches_works_in_the_place_of_a_thread(threads: int) -> None:
    watched = Watched()
    assert list(deliver(iter([watched.load] * 2), threads=threads)) == [*range(200)] * 2
    assert "MainThread" in watched.by
    assert ("read" in watched.by) == (threads > 1)
    assert watched.most == threads
    assert not ours()


def test_batches_are_made_while_nobody_asks_for_them() -> None:
    """The thread that rests for one who comes back at once goes on when that one does not."""
    watched = Watched()

    def held_up() -> Iterator[Callable[[Callable[[Work], None]], Loaded[int]]]:
        yield watched.load
        gone.wait(30)  # the thread that reads is not there to help
        yield watched.load

    gone = threading.Event()
    stream = deliver(held_up(), threads=2)
    for _ in range(50):
        next(stream)
    watched.by, deadline = set(), time.monotonic() + 30
    while "make" not in watched.by and time.monotonic() < deadline:
        next(stream)
        watched.by = set()
        time.sleep(0.05)
    assert watched.by == {"make"}
    gone.set()
    stream.close()  # type: ignore[attr-defined]
    assert not ours()


@pytest.mark.parametrize("what", ["batches", "pieces"])
def test_an_interrupt_of_who_takes_batches_is_raised_at_once(what: str) -> None:
    def interrupted() -> Iterator[int]:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.001)
        yield 0

    def load(run: Callable[[Work], None]) -> Loaded[int]:
        run(partial(list, interrupted()) for _ in range(200 if what == "pieces" else 0))
        return Loaded(batches=[interrupted] * 200)

    with pytest.raises(KeyboardInterrupt):
        list(deliver(iter([load] * 3), threads=2))
    assert not ours()

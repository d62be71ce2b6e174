"""Batches made side by side and delivered in order, while what comes after them is read."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from scformat.errors import UsageError
from scformat.loading.window import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scformat.loading.window import Work

T = TypeVar("T")
Job: TypeAlias = "tuple[Future[Any], Callable[[], Any]]"


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded(Generic[T]):
    """What was read for a run of batches: functions that make a few of them each, in the order of delivery."""

    batches: Sequence[Callable[[], Iterable[T]]]


def deliver(loads: Iterator[Callable[[Callable[[Work], None]], Loaded[T]]], *, threads: int) -> Iterator[T]:
    """Yield batches in order.

    One thread reads the next run of batches while `threads` threads make those of the last one; they end with
    the iterator, when it is closed or dropped. Nothing is started before the first batch is asked for.

    Parameters
    ----------
    loads
        One function a run of batches; it is given what does pieces of decoding side by side.
    threads
        0: no threads at all, everything when it is asked for.

    Raises
    ------
    UsageError
        ``iterated-across-fork``: the process was forked after the first batch.
    """
    if threads < 1:
        for load in loads:
            for make in load(in_order).batches:
                yield from make()
        return
    yield from _Pipeline(loads, threads).run()


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made(Generic[T]):
    """Batches, and the error that ended their making."""

    batches: deque[T]
    error: BaseException | None = None

    def each(self) -> Iterator[T]:
        """Hand them out and keep nothing of them; then raise."""
        while self.batches:
            yield self.batches.popleft()
        if self.error is not None:
            raise self.error


def _collect(make: Callable[[], Iterable[T]]) -> _Made[T]:
    batches: deque[T] = deque()
    try:
        batches.extend(make())
    except BaseException as error:
        return _Made(batches=batches, error=error)
    return _Made(batches=batches)


class _Pipeline(Generic[T]):
    """Threads that take what is due, one thing after another, and end where nothing is.

    Batches come before the decoding of the next run. One thing should take about a millisecond: threads that sleep and
    are woken more often than that are left by the system on the processor of whoever wakes them, while others are idle.
    """

    def __init__(self, loads: Iterator[Callable[[Callable[[Work], None]], Loaded[T]]], threads: int) -> None:
        self._loads = loads
        self._threads = threads
        self._pid = os.getpid()
        self._lock = threading.Condition()
        self._runs: deque[deque[Job]] = deque()  # of batches that nobody has begun
        self._pieces: deque[Job] = deque()
        self._ready: deque[Future[_Made[T] | None]] = deque()  # in the order of delivery; the end is None
        self._working = 0
        self._ahead = 0  # begun or made, but not taken
        self._reading = self._stopped = False
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="scformat-read")
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="scformat-make")

    def run(self) -> Iterator[T]:
        try:
            with self._lock:
                self._start()
            while (made := self._take()) is not None:
                for batch in made.each():
                    yield batch
                    del batch  # whoever asks for the next one may have let it go
                    self._check_process()
        finally:
            self._stop()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(
                "iterated-across-fork",
                "an iterator that was started before this process was forked",
                hint="start iterating in the worker",
            )

    def _take(self) -> _Made[T] | None:
        with self._lock:
            self._lock.wait_for(lambda: self._ready)
            future = self._ready.popleft()
        made = future.result()
        with self._lock:
            self._ahead -= 1
            self._start()
        return made

    def _start(self) -> None:
        """Start what has become possible. With the lock held."""
        if self._stopped:
            return
        if not self._reading and len(self._runs) <= 1:
            self._reading = True
            self._reader.submit(self._read)
        due = min(len(self._runs[0]), self._threads - self._ahead) if self._runs else 0
        for _ in range(min(due + len(self._pieces), self._threads - self._working)):
            self._working += 1
            self._workers.submit(self._work)

    def _work(self) -> None:
        while True:
            with self._lock:
                job = self._due()
                if job is None:
                    self._working -= 1
                    return
            future, do = job
            try:
                future.set_result(do())
            except BaseException as error:
                future.set_exception(error)
            del job, future, do  # they hold a batch, and what a run was read to

    def _due(self) -> Job | None:
        if self._stopped:
            return None
        if self._runs and self._ahead < self._threads:
            self._ahead += 1
            job = self._runs[0].popleft()
            if not self._runs[0]:
                self._runs.popleft()
                self._start()
            return job
        return self._pieces.popleft() if self._pieces else None

    def _read(self) -> None:
        """Read one run; an error of it, and the end, come after all batches before."""
        jobs: deque[Job] = deque()
        last: Future[_Made[T] | None] = Future()
        try:
            load = next(self._loads, None)
            if load is None:
                last.set_result(None)
            else:
                jobs.extend((Future(), partial(_collect, make)) for make in load(self._side_by_side).batches)
        except BaseException as error:
            last.set_exception(error)
        with self._lock:
            if jobs:
                self._runs.append(jobs)
                self._ready.extend(future for future, _ in jobs)
            if last.done():
                self._ready.append(last)
            else:
                self._reading = False
            self._start()
            self._lock.notify()

    def _side_by_side(self, work: Work) -> None:
        """Do pieces, a few of them waiting at any time."""
        pending: deque[Future[None]] = deque()
        for piece in work:
            future: Future[None] = Future()
            with self._lock:
                if self._stopped:
                    return
                self._pieces.append((future, piece))
                self._start()
            pending.append(future)
            if len(pending) > 2 * self._threads:
                pending.popleft().result()
        while pending:
            pending.popleft().result()

    def _stop(self) -> None:
        if os.getpid() != self._pid:
            return  # the threads are those of the parent
        with self._lock:
            self._stopped = True
            while self._pieces:
                self._pieces.popleft()[0].cancel()  # the reader waits for it
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._workers.shutdown(wait=True)

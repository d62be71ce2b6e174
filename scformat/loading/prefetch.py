"""Batches made side by side and delivered in order, while what comes after them is read."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from scformat.errors import UsageError
from scformat.loading.window import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scformat.loading.window import Work

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded(Generic[T]):
    """What was read for a run of batches: a function a batch that makes it, in the order of delivery."""

    batches: Sequence[Callable[[], T]]


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
                yield make()
        return
    yield from _Pipeline(loads, threads).run()


class _Pipeline(Generic[T]):
    def __init__(self, loads: Iterator[Callable[[Callable[[Work], None]], Loaded[T]]], threads: int) -> None:
        self._loads = loads
        self._threads = threads
        self._pid = os.getpid()
        self._stopped = threading.Event()
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="scformat-read")
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="scformat-make")

    def run(self) -> Iterator[T]:
        ready: deque[Future[T]] = deque()
        try:
            coming = self._reader.submit(self._next)
            while True:
                # An error of reading waits until all batches before it are delivered.
                while ready and not (coming.done() and coming.exception() is None):
                    yield self._take(ready)
                loaded = coming.result()
                if loaded is None:
                    break
                coming = self._reader.submit(self._next)
                for make in loaded.batches:
                    ready.append(self._workers.submit(make))
                    if len(ready) > self._threads + 1:
                        yield self._take(ready)
                del loaded
            while ready:
                yield self._take(ready)
        finally:
            self._stop()

    def _take(self, ready: deque[Future[T]]) -> T:
        if os.getpid() != self._pid:
            raise UsageError(
                "iterated-across-fork",
                "an iterator that was started before this process was forked",
                hint="start iterating in the worker",
            )
        return ready.popleft().result()

    def _next(self) -> Loaded[T] | None:
        load = next(self._loads, None)
        return None if load is None or self._stopped.is_set() else load(self._side_by_side)

    def _side_by_side(self, work: Work) -> None:
        """Keep the threads busy, with a few pieces ahead: batches that are due must not wait behind many."""
        pending: deque[Future[None]] = deque()
        for piece in work:
            if self._stopped.is_set():
                return
            pending.append(self._workers.submit(piece))
            if len(pending) > 2 * self._threads:
                pending.popleft().result()
        while pending:
            pending.popleft().result()

    def _stop(self) -> None:
        self._stopped.set()
        if os.getpid() != self._pid:
            return  # the threads are those of the parent
        self._workers.shutdown(wait=False, cancel_futures=True)
        self._reader.shutdown(wait=True, cancel_futures=True)
        self._workers.shutdown(wait=True)

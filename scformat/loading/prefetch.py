"""Batches made side by side and delivered in order, while what comes after them is read."""

from __future__ import annotations

import atexit
import math
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from scformat.errors import UsageError
from scformat.loading.window import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scformat.loading.window import Work

T = TypeVar("T")

AHEAD: Final = 1
"""Groups of batches that may be on their way beyond one a thread: a thread need not wait for one to be taken."""
PIECES: Final = 2
"""Pieces of decoding a thread that wait or are done at any time."""
PATIENCE: Final = 0.002
"""Seconds in which whoever takes batches comes back at once: longer, and they are used for something."""
REST: Final = 4 * PATIENCE
"""Seconds after which a thread looks whether whoever works in its place still does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Loaded(Generic[T]):
    """What was read for a run of batches: functions that make a few of them each, in the order of delivery."""

    batches: Sequence[Callable[[], Iterable[T]]]


def deliver(loads: Iterator[Callable[[Callable[[Work], None]], Loaded[T]]], *, threads: int) -> Iterator[T]:
    """Yield batches in order.

    One thread reads the next run of batches while others make those of the last one, and so does whoever asks for a
    batch that is not made yet. They end with the iterator, when it is closed or dropped. Nothing is started before the
    first batch is asked for.

    Parameters
    ----------
    loads
        One function a run of batches; it is given what does pieces of decoding side by side.
    threads
        That work at the same time: the one that reads is among them, and does what else there is to do while it would
        wait; another one rests while whoever asks for batches works. 1: one besides the one that reads. 0: no threads
        at all, everything when it is asked for.

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


class _Group(Generic[T]):
    """Batches of one function, and the error that ended their making."""

    __slots__ = ("batches", "done", "error")

    def __init__(self) -> None:
        self.batches: deque[T] = deque()
        self.error: BaseException | None = None
        self.done = False

    def make(self, function: Callable[[], Iterable[T]]) -> None:
        try:
            self.batches.extend(function())
        except BaseException as error:
            self.error = error
            if not isinstance(error, Exception):  # Ctrl-C is not for the batch that it hits
                raise

    def each(self) -> Iterator[T]:
        """Hand them out and keep nothing of them; then raise."""
        while self.batches:
            yield self.batches.popleft()
        if self.error is not None:
            raise self.error


class _Bell:
    """What one thread waits for: a lock, as conditions and futures take longer than what they would be for.

    It is set and rung with the lock of the pipeline held, and waited for without.
    """

    __slots__ = ("_lock", "is_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.is_set = False

    def set(self) -> None:
        self.is_set = True

    def ring(self) -> None:
        if self.is_set:
            self.is_set = False
            self._lock.release()

    def wait(self) -> None:
        self._lock.acquire()


class _StoppedError(Exception):
    """Ends reading for a pipeline that nobody takes from any more."""


class _Pipeline(Generic[T]):
    """Threads that take what is due, one thing after another, and wait where nothing is.

    Batches come before the decoding of the next run, but not for the thread that reads it. One thing should take about
    a millisecond: waking a thread, and waiting for the interpreter, cost some hundredth of it. No more threads work at
    a time than asked for, as each of them more waits for the interpreter and for a processor. Whoever takes batches
    does not wait where there is something to do. One who comes back at once has the place of one thread to itself,
    which would only take turns with it; when it stays away, that thread goes on.
    """

    def __init__(self, loads: Iterator[Callable[[Callable[[Work], None]], Loaded[T]]], threads: int) -> None:
        self._loads = loads
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._due: deque[deque[Callable[[], Iterable[T]]]] = deque()  # runs that are read, what nobody has begun
        self._begun: deque[_Group[T]] = deque()  # in the order of delivery, until they are taken
        self._pieces: deque[tuple[int, Callable[[], None]]] = deque()
        self._faults: dict[int, BaseException] = {}  # of pieces
        self._open = 0  # pieces that wait or are done
        self._end: BaseException | None = None
        self._ended = self._stopped = False
        self._taker, self._reader = _Bell(), _Bell()
        self._left = self._kept = -math.inf  # when the taker went; until when it has a place
        self._idle: list[_Bell] = []
        self._most_begun, self._most_open = threads + AHEAD, PIECES * threads
        self._helps = threads > 1  # the thread that reads
        self._places, self._working = max(1, threads - 1), 0  # of threads besides it
        names = [("read", self._read), *[("make", self._work)] * self._places]
        self._threads = [threading.Thread(target=do, name=f"scformat-{name}", daemon=True) for name, do in names]

    def run(self) -> Iterator[T]:
        atexit.register(self._stop)  # of an iterator that is never closed: no thread may outlive the interpreter
        try:
            for thread in self._threads:
                thread.start()
            while (group := self._take()) is not None:
                for batch in group.each():
                    yield batch
                    del batch  # whoever asks for the next one may have let it go
                    self._check_process()
        finally:
            self._stop()
            atexit.unregister(self._stop)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise UsageError(
                "iterated-across-fork",
                "an iterator that was started before this process was forked",
                hint="start iterating in the worker",
            )

    def _take(self) -> _Group[T] | None:
        """Return what comes next, and work until it is there; None at the end."""
        at_once = time.monotonic() - self._left < PATIENCE
        while True:
            with self._lock:
                if self._begun and self._begun[0].done:
                    group = self._begun.popleft()
                    self._left = time.monotonic()
                    self._kept = self._left + PATIENCE if at_once else -math.inf
                    self._wake()
                    return group
                if self._ended and not self._begun and not self._due:
                    if self._end is not None:
                        raise self._end
                    return None
                do = self._group() or self._piece() if self._working < self._places else None
                if do is not None or at_once:
                    self._kept = math.inf
                if do is None:
                    self._taker.set()
                else:
                    self._wake()
            if do is None:
                self._taker.wait()
            else:
                do()
                del do  # it holds what a run was read to

    def _wake(self) -> None:
        """Let one more thread look for what is due. With the lock held."""
        if not self._is_due():
            return
        if self._taker.is_set and self._working < self._places:
            self._taker.ring()
        elif self._idle:
            self._idle.pop().ring()
        elif self._helps:
            self._reader.ring()

    def _is_due(self) -> bool:
        return bool(self._pieces) or (bool(self._due) and len(self._begun) < self._most_begun)

    def _is_full(self) -> bool:
        """Whether there is no place for one more thread, or only the taker's. With the lock held."""
        return self._working >= self._places - (time.monotonic() < self._kept)

    def _work(self) -> None:
        bell = _Bell()
        while True:
            do = None
            with self._lock:
                if self._stopped:
                    return
                due = self._is_due()
                if not due:
                    self._idle.append(bell)
                    bell.set()
                elif self._is_full():
                    self._taker.ring()
                else:
                    do = self._group() or self._piece()
                    self._working += 1
                    self._wake()
            if do is not None:
                do()
                del do
                with self._lock:
                    self._working -= 1
            elif due:
                time.sleep(REST)
            else:
                bell.wait()

    def _group(self) -> Callable[[], None] | None:
        """Begin what is due next, if anything is. With the lock held."""
        if not self._due or len(self._begun) >= self._most_begun:
            return None
        function, group = self._due[0].popleft(), _Group[T]()
        self._begun.append(group)
        if not self._due[0]:
            self._due.popleft()
            self._reader.ring()
        return partial(self._make, group, function)

    def _piece(self) -> Callable[[], None] | None:
        """Take the next piece of decoding, if there is one. With the lock held."""
        return partial(self._do, *self._pieces.popleft()) if self._pieces else None

    def _make(self, group: _Group[T], function: Callable[[], Iterable[T]]) -> None:
        try:
            group.make(function)
        finally:
            with self._lock:
                group.done = True
                if self._begun and self._begun[0] is group:
                    self._taker.ring()

    def _do(self, number: int, piece: Callable[[], None]) -> None:
        fault: BaseException | None = None
        try:
            piece()
        except BaseException as error:
            fault = error
            if not isinstance(error, Exception):
                raise
        finally:
            with self._lock:
                if fault is not None:
                    self._faults[number] = fault
                self._open -= 1
                self._reader.ring()

    def _read(self) -> None:
        """Read run after run, one ahead; an error, and the end, come after all batches before."""
        try:
            while self._await(lambda: len(self._due) <= 1) and (load := next(self._loads, None)) is not None:
                batches = deque(load(self._side_by_side).batches)
                del load
                with self._lock:
                    if batches:
                        self._due.append(batches)
                    del batches
                    self._wake()
        except BaseException as error:
            self._end = error
        with self._lock:
            self._ended = True
            self._taker.ring()
            self._places += self._helps
        if self._helps:
            self._work()

    def _await(self, holds: Callable[[], bool]) -> bool:
        """Let the reading thread help, or wait, until something holds; False where everything stops."""
        while True:
            with self._lock:
                if self._stopped or holds():
                    return not self._stopped
                do = (self._piece() or self._group()) if self._helps else None
                if do is None:
                    self._reader.set()
                else:
                    self._wake()
            if do is None:
                self._reader.wait()
            else:
                do()
                del do

    def _side_by_side(self, work: Work) -> None:
        """Do pieces, a few of them waiting at any time; of several errors the first in order is raised."""
        for number, piece in enumerate(work):
            with self._lock:
                if self._faults:
                    break
                self._pieces.append((number, piece))
                self._open += 1
                self._wake()
            if not self._await(lambda: self._open < self._most_open):
                raise _StoppedError
        if not self._await(lambda: self._open == 0):
            raise _StoppedError
        if self._faults:
            faults, self._faults = self._faults, {}
            raise faults[min(faults)]

    def _stop(self) -> None:
        if os.getpid() != self._pid:
            return  # the threads are those of the parent
        with self._lock:
            self._stopped = True
            self._pieces.clear()
            for bell in (self._reader, *self._idle):
                bell.ring()
        for thread in self._threads:
            if thread.is_alive() and thread is not threading.current_thread():  # which may have collected the iterator
                thread.join()

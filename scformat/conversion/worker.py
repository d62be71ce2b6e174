"""What a process of a cluster does: tasks, with what their batch shares; it keeps a few of those, with open sources."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections import Counter, OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.conversion.shared import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEPT = 16
"""What batches share, of the latest so many: those of several sources are under way at once."""
_LOOK_AGAIN = 0.02
"""Seconds."""


def dask_setup(_: Any) -> None:
    """Leave an interrupt, which a terminal sends to all processes of a command, to the one that started this worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def greet(path: Path, dask_worker: Any) -> int:
    """Check that this worker can work there; return how many tasks it runs at once."""
    load(path)
    return int(dask_worker.state.nthreads)


def run(task: Callable[[Any, Any], Any], path: Path, argument: Any) -> Any:
    """Run a task with what lies at a path."""
    with _here.using(path) as context:
        return task(context, argument)


async def leave(directory: Path) -> None:
    """Begin nothing more that is shared in a directory, wait for what runs, and let go of its files."""
    _here.give_up(directory)
    while _here.runs(directory):
        await asyncio.sleep(_LOOK_AGAIN)
    _here.forget(directory)


class GivenUpError(Exception):
    """The conversion that a task belongs to has ended; nobody waits for its result."""


class _Contexts:
    """What this process has loaded, and what runs with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loaded: OrderedDict[Path, Any] = OrderedDict()
        self._running: Counter[Path] = Counter()
        self._given_up: set[Path] = set()

    @contextmanager
    def using(self, path: Path) -> Iterator[Any]:
        with self._lock:
            if path.parent in self._given_up:
                raise GivenUpError
            self._running[path.parent] += 1
        try:
            yield self._load(path)
        finally:
            with self._lock:
                self._running[path.parent] -= 1

    def _load(self, path: Path) -> Any:
        with self._lock:
            if path not in self._loaded:
                self._loaded[path] = load(path)
            self._loaded.move_to_end(path)
            while len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
            return self._loaded[path]

    def give_up(self, directory: Path) -> None:
        with self._lock:
            self._given_up.add(directory)

    def runs(self, directory: Path) -> bool:
        with self._lock:
            return self._running[directory] > 0

    def forget(self, directory: Path) -> None:
        with self._lock:
            self._loaded = OrderedDict((path, v) for path, v in self._loaded.items() if path.parent != directory)
            del self._running[directory]


_here = _Contexts()

"""Who runs the tasks of a conversion: threads of this process, or the workers of a Dask cluster (`cluster`).

A task is a function of a module, called with a context that all tasks of a batch share and an argument of its own. It
may be run twice, by another process the second time: what it writes is written under another name first, and what it
found out it returns.
"""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from types import TracebackType

A = TypeVar("A")
C = TypeVar("C")
R = TypeVar("R")


class Batch(Protocol[A, R]):
    """Tasks under way; on leaving its block those that have not begun are given up."""

    def __iter__(self) -> Iterator[tuple[A, R]]:
        """Yield each task's argument and result as they end; the failure of one is raised."""

    def drop(self, unwanted: Callable[[A], bool]) -> None:
        """Give up tasks whose argument nobody wants any more, and have not begun; they are not yielded."""

    def __enter__(self) -> Batch[A, R]:
        """Return itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give up what has not begun."""


class Engine(Protocol):
    """Runs tasks; once it is left, none of them is under way any more."""

    tasks_a_process: int
    """Tasks that may run at once in one process, and so share its memory."""
    batches_at_once: int
    """Batches that several threads may have under way so that no processor waits."""

    def submit(self, task: Callable[[C, A], R], context: C, arguments: Iterable[A]) -> Batch[A, R]:
        """Begin one task for each argument, in their order as far as there are processors."""

    def stop(self) -> None:
        """Give up every batch; whoever waits for one gets CancelledError."""


class Threads:
    """Threads of this process.

    Parameters
    ----------
    jobs
        How many.
    """

    def __init__(self, jobs: int) -> None:
        self.tasks_a_process = self.batches_at_once = jobs
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="scformat")

    def submit(self, task: Callable[[C, A], R], context: C, arguments: Iterable[A]) -> Batch[A, R]:
        """Begin one task for each argument, in their order."""
        return _ThreadBatch(self._pool, task, context, arguments)

    def stop(self) -> None:
        """Give up what has not begun, and begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> Threads:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait until no task runs any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class _ThreadBatch(Generic[A, R]):
    def __init__(
        self, pool: ThreadPoolExecutor, task: Callable[[Any, A], R], context: Any, arguments: Iterable[A]
    ) -> None:
        # Not as_completed, which never hears of a future that a shutdown cancels.
        self._ended: SimpleQueue[Future[R]] = SimpleQueue()
        self._left: dict[Future[R], A] = {}
        self._dropped: set[Future[R]] = set()
        for argument in arguments:
            future = pool.submit(task, context, argument)
            self._left[future] = argument
            future.add_done_callback(self._ended.put)

    def __iter__(self) -> Iterator[tuple[A, R]]:
        while self._left:
            future = self._ended.get()
            argument = self._left.pop(future)
            if future.cancelled() and future not in self._dropped:
                raise CancelledError
            if not future.cancelled():
                yield argument, future.result()

    def drop(self, unwanted: Callable[[A], bool]) -> None:
        for future, argument in list(self._left.items()):
            if unwanted(argument) and future.cancel():
                self._dropped.add(future)

    def __enter__(self) -> _ThreadBatch[A, R]:
        return self

    def __exit__(self, *_: object) -> None:
        # Who fails removes what was begun, and nobody may write there afterwards. What was given up is not waited for:
        # wait() never hears of a future that a shutdown cancels.
        self.drop(lambda _: True)
        wait([future for future in self._left if not future.cancelled()])

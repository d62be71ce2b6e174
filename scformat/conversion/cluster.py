"""The workers of a Dask cluster run the tasks of a conversion; what it is about, where, and when is Dask's own matter.

What the tasks of a batch share lies in a file of the work directory, which all workers see: no worker that is killed
takes it along, and whoever joins later finds it. A task that a killed worker had is given to another one.
"""

from __future__ import annotations

import itertools
import os
import threading
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakSet

from scformat.conversion import shared, worker
from scformat.errors import ScformatError, StorageError, UsageError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from distributed import Client, Future

A = TypeVar("A")
C = TypeVar("C")
R = TypeVar("R")

BATCHES = 8
"""Batches under way at least: a cluster may grow."""


def check_cluster(given: str | Client | None) -> str | Client | None:
    """Check what names a cluster: an address, ``local``, ``local:N``, or a client of one."""
    if isinstance(given, str):
        kind, _, n = given.partition(":")
        if not given or (kind == "local" and given != "local" and not (n.isdecimal() and int(n) > 0)):
            raise UsageError(
                "bad-cluster", "not a cluster", expected="the address of a scheduler, local, or local:N with N workers",
                found=repr(given),
            )  # fmt: skip
    return given


@contextmanager
def cluster(where: str | Client, *, threads: int, scratch: Path) -> Iterator[Cluster]:
    """Connect to a cluster, or start one on this machine; a client that was given stays as it is.

    Parameters
    ----------
    where
        See :func:`check_cluster`.
    threads
        Of each worker, where they are started here.
    scratch
        A directory that all workers see.

    Raises
    ------
    MissingExtraError
        Dask is not installed.
    StorageError
        ``no-scheduler``, ``other-worker``, ``not-shared``.
    """
    try:
        import distributed
    except ImportError:
        raise missing_extra("dask", needed_for="a conversion on a cluster") from None
    with ExitStack() as stack:
        if not isinstance(where, str):
            client = where
        elif where.partition(":")[0] == "local":
            n = int(where.partition(":")[2] or max(1, len(os.sched_getaffinity(0)) // threads))
            started = distributed.LocalCluster(
                n_workers=n, threads_per_worker=threads, processes=True, memory_limit=0, silence_logs="CRITICAL",
                preload=worker.__name__, dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
            )  # fmt: skip
            client = stack.enter_context(distributed.Client(stack.enter_context(started), direct_to_workers=True))
        else:
            client = stack.enter_context(_connected(where))
        engine = Cluster(client, scratch, threads=threads)
        stack.callback(engine.close)
        yield engine


def _connected(address: str) -> Client:
    import distributed

    try:
        return distributed.Client(address)
    except (OSError, ValueError) as error:
        raise StorageError(
            "no-scheduler", "the scheduler of the cluster does not answer", where=address, found=error,
            hint="check its address, and that it runs",
        ) from None  # fmt: skip


class Cluster:
    """The workers of a Dask cluster, as many as there are at a time; an :class:`scformat.conversion.engine.Engine`.

    Parameters
    ----------
    client
        Connected to it.
    scratch
        A directory that all workers see.
    threads
        Of a worker, at least.
    """

    def __init__(self, client: Client, scratch: Path, *, threads: int) -> None:
        self._client = client
        self._directory = scratch.absolute() / "shared"
        self._directory.mkdir()
        self._numbers = itertools.count()
        self._sharing = threading.Lock()
        self._shared: tuple[Any, Path] | None = None
        self._batches: WeakSet[_ClusterBatch[Any, Any]] = WeakSet()
        self.stopped = False
        of_workers = self._greet()
        self.tasks_a_process = max([threads, *of_workers])
        self.batches_at_once = max(BATCHES, sum(of_workers))

    def _greet(self) -> list[int]:
        """Check every worker that is there; return how many threads each has."""
        probe = self._share(None)
        answers = self._client.run(worker.greet, probe, on_error="return")
        for address, answer in sorted(answers.items()):
            if isinstance(answer, ScformatError):
                raise answer
            if isinstance(answer, BaseException):
                raise StorageError(
                    "other-worker", "a worker of the cluster cannot run scformat", where=address,
                    found=f"{type(answer).__name__}: {answer}", hint="install the same on every worker",
                )  # fmt: skip
        return list(answers.values())

    def submit(self, task: Callable[[C, A], R], context: C, arguments: Iterable[A]) -> _ClusterBatch[A, R]:
        """Begin one task for each argument, the first ones first."""
        if self.stopped:
            raise CancelledError
        some = list(arguments)
        call = partial(worker.run, task, self._share(context)) if some else None
        batch: _ClusterBatch[A, R] = _ClusterBatch(self, self._client, call, some, name=task.__name__)
        self._batches.add(batch)
        return batch

    def _share(self, context: Any) -> Path:
        """Return where a context lies for all workers; several batches in a row may have the same."""
        with self._sharing:
            if self._shared is None or self._shared[0] is not context:
                path = self._directory / str(next(self._numbers))
                shared.save(path, context)
                self._shared = context, path
            return self._shared[1]

    def stop(self) -> None:
        """Give up every batch, and begin nothing more."""
        self.stopped = True
        for batch in list(self._batches):
            batch.cancel()

    def close(self) -> None:
        """Wait until no worker is at work any more, as far as they can be reached."""
        self.stop()
        with suppress(OSError, RuntimeError):
            self._client.run(worker.leave, self._directory, on_error="ignore")


class _ClusterBatch(Generic[A, R]):
    def __init__(self, cluster: Cluster, client: Client, call: Any, arguments: list[A], *, name: str) -> None:
        self._cluster, self._client = cluster, client
        self._ended: SimpleQueue[Future] = SimpleQueue()
        futures = client.map(call, arguments, key=name.strip("_"), pure=False) if arguments else []
        self._left = {future.key: (future, a) for future, a in zip(futures, arguments, strict=True)}
        for future in futures:
            future.add_done_callback(self._ended.put)

    def __iter__(self) -> Iterator[tuple[A, R]]:
        while self._left:
            future = self._ended.get()
            if future.key in self._left:
                _, argument = self._left.pop(future.key)
                yield argument, self._result(future)

    def _result(self, future: Future) -> R:
        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        try:
            result: R = future.result()
        except KilledWorker as error:
            raise StorageError(
                "workers-killed", "every worker that a task was given to was killed", found=error.last_worker.address,
                hint="see the log of that worker; where memory ran out, give a smaller --memory",
            ) from error  # fmt: skip
        except (CancelledError, CommClosedError) as error:
            if self._cluster.stopped:
                raise CancelledError from None
            raise StorageError(
                "cluster-lost", "the scheduler of the cluster is gone, or gave the work up", found=error
            ) from error
        return result

    def drop(self, unwanted: Callable[[A], bool]) -> None:
        dropped = [future for future, argument in list(self._left.values()) if unwanted(argument)]
        for future in dropped:
            del self._left[future.key]
        self._cancel(dropped)

    def cancel(self) -> None:
        """Let whoever waits for a result get CancelledError."""
        self._cancel([future for future, _ in list(self._left.values())])

    def _cancel(self, futures: list[Future]) -> None:
        if futures:
            with suppress(OSError, RuntimeError):
                self._client.cancel(futures)

    def __enter__(self) -> _ClusterBatch[A, R]:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop(lambda _: True)

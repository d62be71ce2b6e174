"""The engine of a cluster: what ends, what is dropped, what is given up, and a task that kills whoever takes it."""

from __future__ import annotations

import logging
import operator
import os
import signal
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from scformat.conversion.cluster import Cluster, cluster
from scformat.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path

    from distributed import Client


def test_what_ends_and_what_is_dropped(client: Client, tmp_path: Path) -> None:
    with cluster(client, threads=1, scratch=tmp_path) as engine:
        assert engine.tasks_a_process == 1
        with engine.submit(operator.add, 100, range(50)) as batch:
            assert sorted(batch) == [(i, 100 + i) for i in range(50)]
        with engine.submit(operator.add, 1, []) as none:
            assert list(none) == []
        with engine.submit(operator.add, 1, range(200)) as some:
            some.drop(lambda i: i >= 100)
            assert sorted(some) == [(i, i + 1) for i in range(100)]
        with pytest.raises(ZeroDivisionError), engine.submit(operator.truediv, 1, [1, 0, 2]) as failing:
            list(failing)
        engine.stop()
        with pytest.raises(CancelledError):
            engine.submit(operator.add, 1, [1])
    assert client.submit(operator.add, 1, 1).result() == 2, "a client that was given stays open"


def test_who_waits_for_a_batch_that_is_stopped(client: Client, tmp_path: Path) -> None:
    engine = Cluster(client, tmp_path, threads=1)
    with engine.submit(_sleep, 0.05, range(500)) as batch, pytest.raises(CancelledError):
        for _ in batch:
            engine.stop()
    engine.close()
    assert not any(client.processing().values())


def _sleep(seconds: float, _: Any) -> None:
    time.sleep(seconds)


def _kill(number: int, _: Any) -> None:
    os.kill(os.getpid(), number)


# Workers do not have this file; what is of no module travels as it is.
_sleep.__module__ = _kill.__module__ = "__main__"


def test_a_task_that_kills_its_workers_ends_the_conversion(tmp_path: Path) -> None:
    import dask
    from distributed import Client, LocalCluster

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit=0, silence_logs=logging.CRITICAL,
            dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
        ) as started,
        Client(started) as client,
        pytest.raises(StorageError, match=r"--memory .*workers-killed"),
        cluster(client, threads=1, scratch=tmp_path) as engine,
        engine.submit(_kill, signal.SIGKILL, [None]) as batch,
    ):  # fmt: skip
        list(batch)

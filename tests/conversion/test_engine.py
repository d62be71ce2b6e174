"""Tasks in threads: whoever leaves a batch waits for what runs, and for nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from scformat.conversion.engine import Threads

if TYPE_CHECKING:
    from collections.abc import Callable


def held(gates: tuple[threading.Event, threading.Event], number: int) -> int:
    begun, released = gates
    begun.set()
    assert released.wait(60)
    return number


def in_time(work: Callable[[], None]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(60)
    return not thread.is_alive()


@pytest.mark.parametrize("stopped", ["before", "after", "never"])
def test_a_batch_is_left_when_its_running_task_ends_although_others_were_given_up(stopped: str) -> None:
    begun, released = gates = (threading.Event(), threading.Event())
    engine = Threads(1)
    batch = engine.submit(held, gates, range(3))
    assert begun.wait(60)
    if stopped == "before":
        engine.stop()
    elif stopped == "after":
        batch.drop(lambda _: True)
        engine.stop()
    assert not released.is_set()
    released.set()
    assert in_time(lambda: batch.__exit__(None, None, None))
    engine.__exit__()

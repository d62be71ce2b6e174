"""Progress of long operations on stderr: bars on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scformat.cli.output import message

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[str, int, int], None]
    """Called with (stage, done, total); a total of 0 is one that is not known."""

INTERVAL = 10.0
"""Seconds between two lines where stderr is not a terminal."""


@contextmanager
def progress() -> Iterator[Report]:
    """Return the function that an operation reports its progress to, while the block runs."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bars() as report:
            yield report
    else:
        yield line_reporter()


def line_reporter(
    *, write: Callable[[str], None] = message, clock: Callable[[], float] = time.monotonic, interval: float = INTERVAL
) -> Report:
    """Return a reporter that writes at most one line an interval, the first one interval from now."""
    last = clock()

    def report(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = clock()
        if now - last >= interval:
            last = now
            share = f" of {total:,} ({100 * done // total}%)" if total else ""
            write(f"{stage}: {done:,}{share}")

    return report


@contextmanager
def _bars() -> Iterator[Report]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    # Transient: the bars go when the work is done, the messages stay.
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield report

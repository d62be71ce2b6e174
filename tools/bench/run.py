"""Run a command and measure it: time, processor time and the memory of it and all its children. Linux only."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_S = 0.05
_TAIL = 2_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One run of a command.

    Attributes
    ----------
    wall_s, cpu_s
        Time from start to end, and processor time (user and system) of the command and the children it waited for.
    flush_s
        How long the system then took to write out what the command had left in the page cache.
    peak_rss, peak_anonymous
        Largest sum over the processes of all resident memory, and of that which is not a file's pages; bytes,
        sampled every 50 ms (the first is at least the largest process's own peak).
    load
        The machine's one-minute load average before it started: what else was running.
    exit_code
        0 where it succeeded; negative: the signal that ended it.
    output
        End of what it wrote to stdout and stderr.
    """

    wall_s: float
    cpu_s: float
    flush_s: float
    peak_rss: int
    peak_anonymous: int
    load: float
    exit_code: int
    output: str


def measure(
    command: Sequence[str], *, directory: Path, environment: Mapping[str, str], timeout_s: float | None = None
) -> Measured:
    """Run `command` in `directory` until it ends; after `timeout_s` it is killed with its children."""
    peak_rss, peak_anonymous = 0, 0
    load = os.getloadavg()[0]
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                rss, anonymous = _memory(process.pid)
                peak_rss, peak_anonymous = max(peak_rss, rss), max(peak_anonymous, anonymous)
                if timeout_s is not None and time.perf_counter() - start > timeout_s:
                    os.killpg(process.pid, signal.SIGKILL)
                    _, status, usage = os.wait4(process.pid, 0)
                    break
                time.sleep(POLL_S)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        start = time.perf_counter()
        os.sync()
        flush = time.perf_counter() - start
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        text = output.read().decode("utf-8", "replace")
    return Measured(
        wall_s=wall,
        cpu_s=usage.ru_utime + usage.ru_stime,
        flush_s=flush,
        peak_rss=max(peak_rss, usage.ru_maxrss * 1024),
        peak_anonymous=peak_anonymous,
        load=load,
        exit_code=process.returncode,
        output=text,
    )


def _memory(root: int) -> tuple[int, int]:
    """Resident and anonymous memory of a process and its descendants, bytes."""
    rss = anonymous = 0
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            status = Path(f"/proc/{pid}/status").read_text("utf-8")
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            for task in tasks:
                waiting += [int(child) for child in (task / "children").read_text("utf-8").split()]
        except (OSError, ProcessLookupError):
            continue  # ended between two looks
        for line in status.splitlines():
            name, _, value = line.partition(":")
            if name == "VmRSS":
                rss += int(value.split()[0]) * 1024
            elif name in ("RssAnon", "RssShmem"):
                anonymous += int(value.split()[0]) * 1024
    return rss, anonymous

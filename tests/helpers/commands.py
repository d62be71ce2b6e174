"""The command as a forked process: what it imports is there already, so that it costs no start of an interpreter."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path
from subprocess import CompletedProcess, TimeoutExpired

SECONDS = 300


class Command:
    """``scformat`` with these arguments, at work: a process of its own, with its own signals and output."""

    def __init__(self, *arguments: object) -> None:
        self.arguments = [str(each) for each in arguments]
        self._output = tempfile.TemporaryDirectory()
        self._files = [Path(self._output.name, name) for name in ("stdout", "stderr")]
        self._process = multiprocessing.get_context("fork").Process(target=self._run, daemon=True)
        self._process.start()

    def _run(self) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
        for number, path in enumerate(self._files, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", closefd=False) for number in (1, 2))
        from scformat.cli import main

        sys.exit(main(self.arguments))

    def poll(self) -> int | None:
        """Return its status where it has ended."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal, where it still runs."""
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait(self) -> CompletedProcess[str]:
        """Wait for its end; one that hangs is killed."""
        self._process.join(SECONDS)
        status = self._process.exitcode
        if status is None:
            self._process.kill()
            self._process.join()
            raise TimeoutExpired(self.arguments, SECONDS)
        said = [path.read_text() for path in self._files]
        self._output.cleanup()
        return CompletedProcess(self.arguments, status, *said)


def run(*arguments: object) -> CompletedProcess[str]:
    """Run ``scformat`` with these arguments to its end."""
    return Command(*arguments).wait()

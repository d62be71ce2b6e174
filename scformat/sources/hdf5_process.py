"""The process that the HDF5 library runs in: a damaged file may end it, and does not end the one that asks.

There is one for all files of a process, started with the first of them. It keeps nothing that cannot be had again:
where it has ended, the next question starts another, which opens the file anew. A question is answered by an error once
it has ended two of them, so that a process that something else ended costs nothing.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.errors import InvalidDataError, ScformatError, StorageError
from scformat.sources.hdf5_messages import NO_MEMORY, pack, receive, send

if TYPE_CHECKING:
    from scformat.sources.hdf5_messages import FileKey

_RUN = "import sys; from scformat.sources.hdf5_server import serve; serve(*sys.argv[1:])"
_BRING_FILTERS = ("hdf5plugin",)
"""Modules that are imported there where they are imported here."""
_TRIES = 2
_LOOKS = 20
"""How often the processor time is looked at before a process is taken to wait for nothing."""


class _EndedError(Exception):
    """The process has ended, with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Hdf5Process:
    """A process that reads HDF5 files, and another one once it has ended.

    Attributes
    ----------
    asked
        The question that it is answering: file, what is wanted, address; None where there is none.
    cpu_seconds
        Processor time that a question may take, of processes that are started from now on; more for a large file.
    stalled_seconds
        Time after which one that uses no processor time is taken to wait for what will not come.
    """

    cpu_seconds = 10
    stalled_seconds = 600.0

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._begun = False
        self.asked: tuple[Any, ...] | None = None
        self._released: deque[FileKey] = deque()

    def start(self) -> None:
        """Start it, without waiting for it: the first question is answered sooner."""
        with self._lock:
            if self._connection is None:
                self._connection = self._start()

    def ask(self, file: FileKey, what: str, *arguments: Any) -> Any:
        """Ask for something of a file, in turn with other threads.

        Raises
        ------
        ScformatError
            What reading it raises there.
        InvalidDataError
            ``source-crashed``: the process ended over it.
        StorageError
            ``cannot-start-process``; ``source-stalled``: it waits, and for too long.
        """
        with self._lock:
            self._close_released()
            left = _TRIES
            while True:
                try:
                    answer = self._ask(file, what, arguments)
                    break
                except _EndedError as end:
                    left -= end.status != 0  # it may end itself, between two questions
                    if left == 0 or end.status == -signal.SIGXCPU:  # once is long enough
                        raise _crashed(file, end.status) from None
        if isinstance(answer, ScformatError):
            raise answer
        return answer

    def release(self, file: FileKey) -> None:
        """Close a file there; may be called at any time, by a finalizer too."""
        self._released.append(file)
        if self._lock.acquire(blocking=False):
            try:
                self._close_released()
            finally:
                self._lock.release()

    def end(self) -> None:
        """End the process; the next question starts another."""
        child = self._child
        if child is not None:
            child.kill()  # whoever waits for its answer need not
        with self._lock:
            self._end()

    def disown(self) -> None:
        """Leave the process to the one that this process was forked from."""
        if self._connection is not None:
            self._connection.close()
        if self._child is not None:
            self._child.returncode = 0  # it is no child of this process

    @property
    def pid(self) -> int | None:
        """Its number, None where there is none."""
        return None if self._child is None else self._child.pid

    def _close_released(self) -> None:
        while self._released:
            file = self._released.popleft()
            if self._child is not None:
                with suppress(_EndedError):
                    self._ask(file, "close", ())

    def _ask(self, *question: Any) -> Any:
        if self._connection is None:
            self._connection = self._start()
        try:
            if not self._begun:
                self._begun = receive(self._connection) is None
            send(self._connection, pack(question))
            self.asked = question
            if self._stalls():
                raise _stalled(question[0], self.stalled_seconds)
            return receive(self._connection)
        except (EOFError, ConnectionError):
            begun, status = self._begun, self._wait()
            if not begun:
                raise _cannot_start("it ended at once") from None
            raise _EndedError(status) from None
        except StorageError:
            self._end(1)  # what waits for a disk may not end at all
            raise
        except Exception:  # not an answer: what it made is damaged
            raise _EndedError(self._end()) from None
        except BaseException:
            self._end()  # its answer would be taken for that of the next question
            raise
        finally:
            self.asked = None

    def _stalls(self) -> bool:
        """Wait for an answer, or an end, and say whether none will come."""
        assert self._child is not None
        assert self._connection is not None
        answer = select.poll()
        answer.register(self._connection, select.POLLIN)
        looks = 0
        spent: int | None = None
        while looks < _LOOKS and not answer.poll(1000 * self.stalled_seconds / _LOOKS):
            before, spent = spent, _processor_time(self._child.pid)
            # Counted, not timed: while this process was stopped, the other one may have been, too.
            looks = looks + 1 if spent is not None and spent == before else 0
        return looks == _LOOKS

    def _start(self) -> socket.socket:
        here, there = socket.socketpair()
        modules = [name for name in _BRING_FILTERS if name in sys.modules]
        self._begun = False
        try:
            with there:
                self._child = subprocess.Popen(
                    [sys.executable, "-P", "-c", _RUN, str(there.fileno()), str(self.cpu_seconds), *modules],
                    pass_fds=[there.fileno()], start_new_session=True, stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
                        "OPENBLAS_NUM_THREADS": "1",  # none of them would have anything to do
                    },
                )  # fmt: skip
        except BaseException as error:
            here.close()
            if isinstance(error, OSError):
                raise _cannot_start(error.strerror) from error
            raise
        return here

    def _wait(self, patience: float | None = None) -> int:
        """Return the status of a process that has ended, and forget it; after some seconds without."""
        child, connection, self._child, self._connection = self._child, self._connection, None, None
        if connection is not None:
            connection.close()
        with suppress(subprocess.TimeoutExpired):
            return 0 if child is None else child.wait(patience)
        return 0

    def _end(self, patience: float | None = None) -> int:
        if self._child is not None:
            self._child.kill()
        return self._wait(patience)


def _processor_time(pid: int) -> int | None:
    """Return the processor time that a process has used, in the system's own unit; None where it does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[11]) + int(fields[12])


def _cannot_start(why: str | None) -> StorageError:
    return StorageError(
        "cannot-start-process", "the process that reads HDF5 files does not start", where=sys.executable, found=why
    )


def _crashed(file: FileKey, status: int) -> InvalidDataError:
    if status == -signal.SIGXCPU:
        what = "reading it does not come to an end"
    elif status == NO_MEMORY:
        what = "reading it takes more memory than a file of its size can need"
    elif status < 0:
        what = f"the HDF5 library crashed over it ({signal.Signals(-status).name})"
    else:
        what = f"the process that reads it ended (status {status})"
    hint = "the file is damaged: copy or download it again, or leave it out (--on-bad skip)"
    return InvalidDataError("source-crashed", what, where=file.shown, hint=hint)


def _stalled(file: FileKey, seconds: float) -> StorageError:
    return StorageError(
        "source-stalled", "reading it waits for something that does not come", where=file.shown,
        found=f"no answer and no use of the processor for {seconds:.0f} s",
        hint="see whether the disk or server that it lies on answers, and whether it names data outside of itself",
    )  # fmt: skip


_process = Hdf5Process()


def hdf5_process() -> Hdf5Process:
    """Return the one of this process."""
    return _process


def _renew() -> None:
    global _process  # noqa: PLW0603 - a forked process needs one of its own
    _process.disown()
    _process = Hdf5Process()


def _end() -> None:
    _process.end()


os.register_at_fork(after_in_child=_renew)
atexit.register(_end)

"""The process that the HDF5 library runs in: a damaged file may end it, and does not end the one that asks.

There is one for all files of a process, started with the first of them. It keeps nothing that cannot be had again:
where it has ended, the next question starts another, which opens the file anew. A question is answered by an error once
it has ended two of them, so that a process that something else ended costs nothing.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from scformat.errors import InvalidDataError, ScformatError, StorageError
from scformat.sources.hdf5_messages import NO_MEMORY, pack, receive, send

if TYPE_CHECKING:
    from scformat.sources.hdf5_messages import FileKey

_RUN = "import sys; from scformat.sources.hdf5_server import serve; serve(*sys.argv[1:])"
_BRING_FILTERS = ("hdf5plugin",)
"""Modules that are imported there where they are imported here."""
_TRIES = 2


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
    """

    cpu_seconds = 10

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
            ``cannot-start-process``.
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
            return receive(self._connection)
        except (EOFError, ConnectionError):
            begun, status = self._begun, self._wait()
            if not begun:
                raise _cannot_start("it ended at once") from None
            raise _EndedError(status) from None
        except Exception:  # not an answer: what it made is damaged
            raise _EndedError(self._end()) from None
        except BaseException:
            self._end()  # its answer would be taken for that of the next question
            raise
        finally:
            self.asked = None

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

    def _wait(self) -> int:
        """Return the status of a process that has ended, and forget it."""
        child, connection, self._child, self._connection = self._child, self._connection, None, None
        if connection is not None:
            connection.close()
        return 0 if child is None else child.wait()

    def _end(self) -> int:
        if self._child is not None:
            self._child.kill()
        return self._wait()


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

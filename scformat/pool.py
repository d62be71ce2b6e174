"""Memory that is lent out and used again once nothing refers to it: fresh pages cost more than writing to them."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

SMALLEST: Final = 1 << 16
"""Bytes; smaller arrays come from the allocator, which reuses those itself."""

ALIGNED: Final = 64
"""Bytes; what arrays are aligned to that are not so small."""

_ROOM: Final = 1.125
"""Of what is asked for: windows and batches differ a little in size."""
_ALIKE: Final = 1.5
"""How many times larger than asked for a buffer may be of several that would do."""
_LARGEST: Final = 4
"""How many times larger than asked for a buffer may be that is lent again."""
_SLACK: Final = 1.25


class Pool:
    """Lends arrays to any thread.

    An array is its holder's alone, together with all views of it and the tensors that wrap it. When the last of these
    is gone its memory comes back. What lies idle and what is lent is little more than was once lent at the same time.
    """

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._back: deque[NDArray[np.uint8]] = deque()  # added to by finalizers, which must not wait for a lock
        self._idle: list[NDArray[np.uint8]] = []  # the one that came back last at the end
        self._lent = self._held = self._most = 0  # bytes; `held` are idle

    def __reduce__(self) -> tuple[type[Pool], tuple[()]]:
        return Pool, ()

    def empty(self, shape: int | tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Return an array of any content, in C order; aligned to :data:`ALIGNED` bytes from :data:`SMALLEST` on."""
        kind = np.dtype(dtype)
        n = (math.prod(shape) if isinstance(shape, tuple) else shape) * kind.itemsize
        if n < SMALLEST:
            return np.empty(shape, kind)
        if self._pid != os.getpid():
            Pool.__init__(self)  # a thread of the parent may have held the lock when this process was forked
        with self._lock:
            buffer = self._take(n)
        lent = np.asarray(_Loan(buffer, self._back))
        return lent[:n].view(kind).reshape(shape)

    def _take(self, n: int) -> NDArray[np.uint8]:
        idle = self._idle
        while self._back:
            buffer = self._back.popleft()
            self._lent -= buffer.nbytes
            self._held += buffer.nbytes
            idle.append(buffer)
        found = smallest = None
        # What came back last may still be in a cache, if it is not for something else.
        for i in range(len(idle) - 1, -1, -1):
            size = idle[i].nbytes
            if n <= size <= _ALIKE * n:
                found = i
                break
            if n <= size <= _LARGEST * n and (smallest is None or size < idle[smallest].nbytes):
                smallest = i
        if found is None:
            found = smallest
        if found is None:
            room = np.empty(int(n * _ROOM) + ALIGNED, np.uint8)
            skipped = -room.ctypes.data % ALIGNED
            buffer = room[skipped : skipped + int(n * _ROOM)]
        else:
            buffer = idle.pop(found)
            self._held -= buffer.nbytes
        self._lent += buffer.nbytes
        self._most = max(self._most, self._lent)
        while idle and self._held + self._lent > _SLACK * self._most:
            self._held -= idle.pop(0).nbytes
        return buffer


class _Loan:
    """A buffer on its way; arrays refer to it for as long as they live."""

    def __init__(self, buffer: NDArray[np.uint8], back: deque[NDArray[np.uint8]]) -> None:
        self.__array_interface__ = buffer.__array_interface__
        self._buffer, self._back = buffer, back

    def __del__(self) -> None:
        self._back.append(self._buffer)

"""Objects of any bytes in a directory, a cache before them, and what was asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.blobs import Directory, Pending
from scformat.caching import Cache, Cached

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

KEY = "array/c/0"


class Asked(Directory):
    """A directory that is as far away as a bucket, and writes down the ranges it was asked for, call by call."""

    read_through = 64 << 10

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.calls: list[list[tuple[int, int]]] = []

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Pending[None]:
        self.calls.append(list(zip(starts.tolist(), stops.tolist(), strict=True)))
        return super().begin_ranges(key, starts, stops, out)

    def begin_tail(self, key: str, size: int) -> Pending[bytes | None]:
        self.calls.append([(-size, 0)])
        return super().begin_tail(key, size)


def write_object(root: Path, size: int, *, key: str = KEY, seed: int = 0) -> bytes:
    data = np.random.default_rng(seed).bytes(size)
    path = root / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return data


def cached(root: Path, cache: Path, *, limit: int | None = 1 << 30, digest: str = "0" * 64) -> tuple[Cached, Asked]:
    """Objects below a directory, by way of a cache; and the directory."""
    asked = Asked(str(root))
    return Cached(asked, Cache(directory=cache, limit=limit), {"array": digest}), asked


def ranges_of(source: Cached, ranges: Sequence[tuple[int, int]], *, key: str = KEY) -> bytes:
    starts, stops = (np.array([r[i] for r in ranges], np.int64) for i in range(2))
    out = np.zeros(int((stops - starts).sum()), np.uint8)
    source.begin_ranges(key, starts, stops, out).result()
    return out.tobytes()

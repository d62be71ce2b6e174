"""Many strings in two flat arrays: UTF-8 bytes and int64 offsets, as they lie in a store.

A million barcodes take 20 MB so, a tenth of a list of Python strings.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Strings:
    """An immutable sequence of strings.

    Attributes
    ----------
    data : uint8 array, shape (n_bytes,)
        The UTF-8 bytes of all strings, one after another.
    offsets : int64 array, shape (n + 1,)
        String ``i`` is ``data[offsets[i]:offsets[i + 1]]``.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, values: Iterable[str]) -> Strings:
        """Encode Python strings."""
        return cls.of_bytes([value.encode() for value in values])

    @classmethod
    def of_bytes(cls, encoded: Sequence[bytes]) -> Strings:
        """Take strings that are UTF-8 already; they are not checked."""
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter((len(e) for e in encoded), np.int64, len(encoded)), out=offsets[1:])
        return cls(data=np.frombuffer(b"".join(encoded), np.uint8), offsets=offsets)

    @classmethod
    def concatenate(cls, pieces: Sequence[Strings]) -> Strings:
        """Join several sequences end to end."""
        if not pieces:
            return cls.of([])
        shift = 0
        offsets = [np.zeros(1, np.int64)]
        for piece in pieces:
            offsets.append(piece.offsets[1:] - piece.offsets[0] + shift)
            shift = int(offsets[-1][-1]) if len(piece) else shift
        data = np.concatenate([p.data[p.offsets[0] : p.offsets[-1]] for p in pieces])
        return cls(data=data, offsets=np.concatenate(offsets))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        i = index % len(self)
        return self.data[self.offsets[i] : self.offsets[i + 1]].tobytes().decode()

    def __iter__(self) -> Iterator[str]:
        raw, offsets = self.data.tobytes(), self.offsets.tolist()
        for start, stop in itertools.pairwise(offsets):
            yield raw[start:stop].decode()

    def why_no_text(self) -> str | None:
        """Say why not every string is UTF-8 by itself; None where all are. The offsets have to fit."""
        data = self.data[self.offsets[0] : self.offsets[-1]]
        try:
            data.tobytes().decode()
        except UnicodeDecodeError as error:
            return str(error)
        inner = self.offsets[(self.offsets > self.offsets[0]) & (self.offsets < self.offsets[-1])]
        within = self.data[inner] & 0xC0 == 0x80  # all together are text: only an end within a letter breaks it
        return f"a string ends within a letter, at byte {inner[within][0]}" if within.any() else None

    def take(self, rows: NDArray[np.integer[Any]]) -> Strings:
        """Strings at `rows`, in that order; repeats allowed, every row in ``0..n-1``."""
        lengths = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        source = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return Strings(data=self.data[source + np.arange(offsets[-1])], offsets=offsets)

    def to_numpy(self) -> NDArray[np.object_]:
        """Return the strings as an object array of ``str``, shape ``(n,)``."""
        out = np.empty(len(self), object)
        out[:] = list(self)
        return out


def offsets_fit(offsets: NDArray[np.int64], n: int) -> bool:
    """Tell whether offsets begin with 0, never decrease and end with `n`."""
    return len(offsets) > 0 and int(offsets[0]) == 0 and int(offsets[-1]) == n and bool((np.diff(offsets) >= 0).all())

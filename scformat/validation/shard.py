"""From the bytes of a file to its values, with every check on the way; apart from the reader on purpose."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numcodecs import blosc

from scformat.codec import ABSENT
from scformat.structure.arrays import fill_of
from scformat.structure.sink import several

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.layout import ArraySpec
    from scformat.structure.arrays import fill_of
from scformat.validation.report import Findings

_HEADER = struct.Struct("<BBBBIII")
"""Of a Blosc buffer: versions of format and codec, flags, type size; bytes decoded, block size, bytes encoded."""
_BLOSC_LIMIT = 2**31 - 16
_FORMAT = 2
_LZ4 = 1
_MEMCPY, _BITSHUFFLE = 0x2, 0x4


class ShardDecoder:
    """Decodes the files of one array.

    Parameters
    ----------
    spec
        The array.
    findings
        Where to report.
    beyond
        The statement that says what lies beyond the values.
    """

    def __init__(self, spec: ArraySpec, findings: Findings, *, beyond: str) -> None:
        self._spec = spec
        self._findings = findings
        self._beyond = beyond
        self._dtype = np.dtype(spec.dtype)
        self._fill = fill_of(spec)
        self._counts = tuple(s // c for s, c in zip(spec.shard, spec.chunk, strict=True))
        self._n = math.prod(self._counts)
        self._chunk_bytes = math.prod(spec.chunk) * self._dtype.itemsize

    def decode(self, data: bytes, extent: tuple[int, ...] | None, *, where: str) -> NDArray[Any] | None:
        """Decode a file.

        Parameters
        ----------
        data
            Its bytes.
        extent
            Region from the file's first element on that holds values; what lies beyond must be absent, or the
            fill value. None: not known, check the chunks that are there.
        where
            Name of the file, for findings.

        Returns
        -------
        array of shape `extent`, or None
            None where anything is wrong, and where `extent` is.
        """
        table = self._index(data, where)
        if table is None:
            return None
        there = ~(table == np.uint64(ABSENT)).all(axis=-1)
        out, sound = None, True
        if extent is not None:
            held = tuple(-(-n // c) for n, c in zip(extent, self._spec.chunk, strict=True))
            wanted = np.zeros(self._counts, np.bool_)
            wanted[tuple(slice(0, n) for n in held)] = True
            sound = self._presence(wanted, there, where)
        if self._chunk_bytes >= _BLOSC_LIMIT:
            self._findings.add("ZAR-10", where, "chunks larger than Blosc can hold", found=f"{self._chunk_bytes} bytes")
            return None
        try:
            scratch = np.empty(self._spec.chunk, self._dtype)
            if sound and extent is not None:
                out = np.empty(extent, self._dtype)
        except MemoryError:
            text = "chunks that do not fit memory"
            self._findings.add("ZAR-10", where, text, found=f"{self._chunk_bytes} bytes each")
            return None
        for place in map(tuple, np.argwhere(there).tolist()):
            offset, length = (int(x) for x in table[place])
            chunk = self._chunk(data[offset : offset + length], scratch, f"{where}, chunk {self._number(place)}")
            if chunk is None or (out is not None and not self._place(chunk, place, out, where)):
                sound = False
        return out if sound else None

    def _number(self, place: tuple[int, ...]) -> int:
        number = 0
        for at, n in zip(place, self._counts, strict=True):
            number = number * n + at
        return number

    def _index(self, data: bytes, where: str) -> NDArray[np.uint64] | None:
        """Return offset and length of each chunk, shape ``(*counts, 2)``, None where they make no sense."""
        size = 16 * self._n + 4
        if len(data) < size:
            text = "the file is shorter than the index of a shard"
            self._findings.add("ZAR-11", where, text, expected=f"{size} bytes or more", found=f"{len(data)} bytes")
            return None
        raw = data[-size:-4]
        actual, stated = int(google_crc32c.value(raw)), int.from_bytes(data[-4:], "little")
        if actual != stated:
            text = "the CRC-32C of the shard index does not fit"
            self._findings.add("ZAR-11", where, text, expected=f"{actual:08x}", found=f"{stated:08x}")
            return None
        table = np.frombuffer(raw, "<u8").reshape(*self._counts, 2)
        offsets, lengths = table.reshape(-1, 2).T
        held = np.flatnonzero(~((offsets == np.uint64(ABSENT)) & (lengths == np.uint64(ABSENT))))
        limit = np.uint64(len(data) - size)
        bad = held[(offsets[held] > limit) | (lengths[held] > limit - np.minimum(offsets[held], limit))]
        if len(bad):
            text = f"a chunk lies outside of the chunks of its file{several(len(bad))}"
            found = f"offset {offsets[bad[0]]}, length {lengths[bad[0]]} in {limit} bytes"
            self._findings.add("ZAR-24", f"{where}, chunk {bad[0]}", text, found=found)
            return None
        order = held[np.argsort(offsets[held], kind="stable")]
        ends = offsets[order] + lengths[order]
        overlaps = np.flatnonzero(offsets[order][1:] < ends[:-1])
        if len(overlaps):
            text = f"two chunks overlap{several(len(overlaps))}"
            self._findings.add("ZAR-24", f"{where}, chunk {order[overlaps[0] + 1]}", text)
            return None
        return table

    def _presence(self, wanted: NDArray[np.bool_], there: NDArray[np.bool_], where: str) -> bool:
        missing = np.argwhere(wanted & ~there)
        if len(missing):
            number = self._number(tuple(missing[0].tolist()))
            text = f"the chunk is missing from its shard{several(len(missing))}"
            self._findings.add("ZAR-16", f"{where}, chunk {number}", text)
        beyond = np.argwhere(there & ~wanted)
        if len(beyond):
            number = self._number(tuple(beyond[0].tolist()))
            text = f"a chunk that lies wholly beyond the values is there{several(len(beyond))}"
            requirement = "ZAR-16" if self._beyond == "ZAR-17" else self._beyond
            self._findings.add(requirement, f"{where}, chunk {number}", text)
        return not len(missing) and not len(beyond)

    def _chunk(self, piece: bytes, scratch: NDArray[Any], where: str) -> NDArray[Any] | None:
        """Decode a chunk into `scratch`."""
        if len(piece) < _HEADER.size + 4:
            self._findings.add("ZAR-10", where, "too short for a chunk", found=f"{len(piece)} bytes")
            return None
        body = piece[:-4]
        actual, stated = int(google_crc32c.value(body)), int.from_bytes(piece[-4:], "little")
        if actual != stated:
            text = "the CRC-32C of the chunk does not fit"
            self._findings.add("ZAR-10", where, text, expected=f"{actual:08x}", found=f"{stated:08x}")
            return None
        version, _, flags, itemsize, n_bytes, _, n_encoded = _HEADER.unpack_from(body)
        expected = (self._chunk_bytes, len(body), self._dtype.itemsize)
        if (
            (n_bytes, n_encoded, itemsize) != expected
            or version != _FORMAT
            or flags >> 5 != _LZ4
            or not flags & (_MEMCPY | _BITSHUFFLE)
        ):
            found = f"{n_bytes}, {n_encoded}, {itemsize}, flags {flags:02x}"
            text = "no chunk of this type and size in Blosc with lz4 and bitshuffle"
            self._findings.add("ZAR-10", where, text, expected=f"{expected} bytes", found=found)
            return None
        try:
            blosc.decompress(body, scratch)
        except (RuntimeError, ValueError) as error:
            self._findings.add("ZAR-10", where, "Blosc cannot decode the chunk", found=error)
            return None
        return scratch

    def _place(self, chunk: NDArray[Any], place: tuple[int, ...], out: NDArray[Any], where: str) -> bool:
        """Copy a chunk to its place, and check what of it lies beyond the values."""
        size = self._spec.chunk
        starts = [i * c for i, c in zip(place, size, strict=True)]
        kept = tuple(slice(0, max(0, min(c, n - s))) for s, c, n in zip(starts, size, out.shape, strict=True))
        target = tuple(slice(s, s + k.stop) for s, k in zip(starts, kept, strict=True))
        out[target] = chunk[kept]
        if all(k.stop == c for k, c in zip(kept, size, strict=True)):
            return True
        fill = self._fill
        if fill is None:
            return True
        n_kept = int((chunk[kept] == fill).sum())
        n_beyond = chunk.size - math.prod(k.stop for k in kept)
        if int((chunk == fill).sum()) - n_kept != n_beyond:
            text = "what lies beyond the values is not the fill value"
            self._findings.add(self._beyond, f"{where}, chunk {self._number(place)}", text)
            return False
        return True

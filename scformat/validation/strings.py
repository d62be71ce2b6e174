"""Checks of strings: offsets that fit their bytes, each string UTF-8; in blocks, however many there are."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from scformat.structure.sink import several

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.manifest import StringArray
    from scformat.validation.files import Files

_STRINGS_AT_ONCE = 1 << 18
_BYTES_AT_ONCE = 1 << 25


def string_blocks(files: Files, strings: StringArray) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.uint8]]]:
    """Check strings block by block.

    Yields
    ------
    first : int
        Number of the block's first string.
    offsets : int64 array, shape (k + 1,)
        Where each begins and the last ends, counted from the block's first byte.
    data : uint8 array
        Their bytes.

    Notes
    -----
    Ends early where something is wrong that makes the rest meaningless; it is reported.
    """
    n, size = strings.n, strings.bytes.shape[0]
    places, data = files.window(strings.offsets), files.window(strings.bytes)
    path = strings.offsets.path
    for start in range(0, max(n, 1), _STRINGS_AT_ONCE):
        offsets = places.read(start, min(start + _STRINGS_AT_ONCE, n) + 1)
        if offsets is None:
            return
        if not _fit(files, path, offsets, start, n, size):
            return
        first = 0
        while first + 1 < len(offsets):
            stop = int(np.searchsorted(offsets, offsets[first] + _BYTES_AT_ONCE, side="right")) - 1
            stop = min(max(stop, first + 1), len(offsets) - 1)
            low, high = int(offsets[first]), int(offsets[stop])
            piece = data.read(low, high)
            if piece is None:
                return
            local = offsets[first : stop + 1] - low
            _check_utf8(files, strings.bytes.path, start + first, local, piece)
            yield start + first, local, piece
            data.release(high)
            first = stop
        places.release(start + _STRINGS_AT_ONCE)


def read_strings(files: Files, strings: StringArray) -> list[bytes] | None:
    """Read and check all strings, None where not all can be read; they may still be no UTF-8."""
    out: list[bytes] = []
    for _, offsets, data in string_blocks(files, strings):
        raw, bounds = data.tobytes(), offsets.tolist()
        out += [raw[a:b] for a, b in itertools.pairwise(bounds)]
    return out if len(out) == strings.n else None


def shown(text: bytes) -> str:
    """Show a string of the store in a message, whatever it holds."""
    return repr(text.decode(errors="backslashreplace"))


def _fit(files: Files, path: str, offsets: NDArray[np.int64], start: int, n: int, size: int) -> bool:
    if start == 0 and offsets[0] != 0:
        files.findings.add("ZAR-23", path, "the offsets do not begin with 0", found=offsets[0])
        return False
    falls = np.flatnonzero(offsets[1:] < offsets[:-1])
    if len(falls):
        text = f"an offset is below the one before it{several(len(falls))}"
        files.findings.add("ZAR-23", f"{path}, element {start + int(falls[0]) + 1}", text)
        return False
    if offsets[-1] > size:
        text = "offsets outside of the bytes"
        files.findings.add("ZAR-23", path, text, expected=f"0 to {size}", found=f"{offsets[0]} to {offsets[-1]}")
        return False
    if start + len(offsets) == n + 1 and offsets[-1] != size:
        files.findings.add("ZAR-23", path, "the offsets do not end with the bytes", expected=size, found=offsets[-1])
        return False
    return True


def _check_utf8(files: Files, path: str, first: int, offsets: NDArray[np.int64], data: NDArray[np.uint8]) -> None:
    begins = offsets[:-1][offsets[:-1] < len(data)]
    inside = np.flatnonzero((data[begins] & 0xC0) == 0x80)
    bad = max(int(begins[inside[0]]) - 1, 0) if len(inside) else None
    try:
        data.tobytes().decode()
    except UnicodeDecodeError as error:
        bad = error.start if bad is None else min(bad, error.start)
    if bad is not None:
        number = first + int(np.searchsorted(offsets, bad, side="right")) - 1
        files.findings.add("ZAR-23", f"{path}, string {number}", "not UTF-8")

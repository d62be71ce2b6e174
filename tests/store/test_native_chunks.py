"""Chunks decoded by the kernel: the same values as blosc's own, and the same refusals, whatever the bytes say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numcodecs import blosc

from scformat import native
from scformat.codec import DamagedError, decode_chunk, encode_chunk, with_crc

RNG = np.random.default_rng(5)
needs_kernel = pytest.mark.skipif(
    not native.available(), reason="this machine or numcodecs lacks what the kernel calls"
)


def by_kernel(chunks: list[bytes], shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    """Decode with walls on both sides, which must stand."""
    lengths = np.array([len(c) for c in chunks])
    data = np.frombuffer(b"".join(chunks), np.uint8)
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize * len(chunks)
    walled = np.full(n + 512, 0xA5, np.uint8)
    out = walled[256 : 256 + n].view(dtype).reshape(len(chunks), *shape)
    try:
        native.decode_chunks(data, np.cumsum(lengths) - lengths, lengths, out)
    finally:
        assert (walled[:256] == 0xA5).all()
        assert (walled[256 + n :] == 0xA5).all()
    return out


def values(kind: int, n: int, dtype: str) -> np.ndarray[Any, Any]:
    top = int(min(np.iinfo(dtype).max, 2**31))
    if kind == 0:
        return np.zeros(n, dtype)
    if kind == 1:
        return RNG.integers(0, 200, n).astype(dtype)
    if kind == 2:  # no byte of it can be compressed
        return RNG.integers(0, top, n, endpoint=True).astype(dtype)
    found = RNG.geometric(0.1, n).astype(dtype)
    found[RNG.integers(0, n, 1 + n // 300)] = top
    return found


@needs_kernel
@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint8", "int32", "int64"])
@pytest.mark.parametrize("n", [8, 64, 100, 1000, 1024, 2048, 4096, 4160, 65_536, 300_000])
def test_chunks_of_any_kind_are_what_was_encoded(dtype: str, n: int) -> None:
    held = [values(kind, n, dtype) for kind in (0, 1, 2, 3, 1, 0, 3)]
    found = by_kernel([encode_chunk(v) for v in held], (n,), dtype)
    np.testing.assert_array_equal(found, held)


@needs_kernel
@pytest.mark.parametrize("shuffle", [blosc.NOSHUFFLE, blosc.SHUFFLE, blosc.BITSHUFFLE])
@pytest.mark.parametrize(("name", "level", "block"), [("lz4", 5, 0), ("lz4", 0, 0), ("lz4", 9, 1024), ("zstd", 3, 0)])
def test_whatever_blosc_can_write_is_read(name: str, level: int, shuffle: int, block: int) -> None:
    held = [values(kind, 4096, "uint16") for kind in range(4)]
    chunks = [with_crc(blosc.compress(v, name.encode(), level, shuffle, block)) for v in held]
    np.testing.assert_array_equal(by_kernel(chunks, (4096,), "uint16"), held)


def outcome(read: Any) -> Any:
    try:
        return read().tobytes()
    except DamagedError:
        return "damaged"


BODIES = [encode_chunk(values(kind, 1024, "uint16"))[:-4] for kind in range(4)]
place = st.one_of(st.integers(0, 47), st.integers(0, 2200))
"""Mostly the header and the first sizes, which say how much is read and written."""
edits = st.lists(st.tuples(place, st.one_of(st.sampled_from([0, 1, 127, 128, 255]), st.integers(0, 255))), max_size=6)


@needs_kernel
@settings(max_examples=1500)
@given(st.sampled_from(BODIES), edits, st.none() | st.integers(0, 40))
def test_hostile_chunks_with_a_right_checksum_end_as_with_blosc(
    body: bytes, changes: list[tuple[int, int]], cut: int | None
) -> None:
    changed = bytearray(body[: len(body) - (cut or 0)])
    for at, byte in changes:
        if at < len(changed):
            changed[at] = byte
    if cut is not None:
        changed[12:16] = len(changed).to_bytes(4, "little")
    chunk = with_crc(bytes(changed))

    def plainly() -> Any:
        out = np.zeros(1024, np.uint16)
        decode_chunk(chunk, out)
        return out

    got = outcome(lambda: by_kernel([chunk], (1024,), "uint16"))
    wanted = outcome(plainly)
    if int.from_bytes(changed[12:16], "little") != len(changed):
        assert got == "damaged", "its header lies about the size of what is there"
    else:
        assert got == wanted


@needs_kernel
def test_the_first_damaged_chunk_is_named() -> None:
    chunks = [encode_chunk(values(3, 2048, "uint16")) for _ in range(9)]
    for bad in range(9):
        for at in (5, 17, 21, 200, -1):
            broken = bytearray(chunks[bad])
            broken[at] ^= 16
            some = [*chunks[:bad], bytes(broken), *chunks[bad + 1 :]]
            with pytest.raises(DamagedError) as caught:
                by_kernel([*some, bytes(broken)], (2048,), "uint16")
            assert caught.value.place == bad

"""Chunks read and decoded by the thousand without the interpreter: pread, blosc and CRC-32C called from a kernel.

c-blosc comes with numcodecs, and x86-64 processors compute CRC-32C themselves. Where either is missing the
functions of :mod:`scformat.codec` do the same, chunk by chunk; a test holds both to the same results.

Chunks of 16-bit items as this package writes them, of one block, are decompressed by LZ4, which is in c-blosc, and
their bits put in order here: c-blosc takes three times as long. It decodes whatever else it can have written.
"""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache, reduce
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from scformat.codec import DamagedError, decode_chunk
from scformat.jit import borrowed, kernel, pointer, returned

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SYMBOL = "scformat_blosc_decompress_ctx"
_LZ4 = "scformat_lz4_decompress_safe"
_PREAD = "scformat_pread"
_ITEMS = 64
"""Whose bits are put in order at once."""
_AS_WRITTEN = 0x02240102
"""First four bytes of a chunk: of version 2 of blosc and 1 of LZ4, its bits shuffled, of items of two bytes."""
_FIRST = 20
"""Where the one block begins: behind the header and its own place."""
_WRONG_CHECKSUM, _WRONG_SIZE, _NOT_BLOSC = 1, 2, 3
FAULTS = {
    _WRONG_CHECKSUM: "a wrong checksum",
    _WRONG_SIZE: "a chunk of another size",
    _NOT_BLOSC: "not what blosc wrote",
}
"""What is wrong with a chunk."""


def decode_chunks(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], out: NDArray[Any]
) -> None:
    """Check and decompress many chunks.

    Parameters
    ----------
    data : uint8 array
        Holds the chunks, each with its CRC-32C.
    offsets, lengths : int64 arrays, shape (n,)
        Where each chunk lies in `data`.
    out : array, shape (n, *chunk)
        Contiguous; out.

    Raises
    ------
    DamagedError
        With ``place``, the number of the first damaged chunk.
    """
    if len(offsets) == 0:
        return
    if available():
        fault, place = _decode(data, offsets, lengths, out.view(np.uint8).reshape(len(offsets), -1))
        if fault:
            raise DamagedError(FAULTS[fault], place=int(place))
        return
    for place, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        try:
            decode_chunk(data[offset : offset + length].tobytes(), out[place])
        except DamagedError as error:
            raise DamagedError(str(error), place=place) from None


def read_ranges(
    handle: int, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
) -> tuple[int, int]:
    """Read ranges of a file.

    Parameters
    ----------
    handle
        Of an open file.
    starts, stops : int64 arrays, shape (n,)
    out : uint8 array
        Out: the ranges end to end.

    Returns
    -------
    (range, bytes)
        The first range that the file is too short for and how much of it there is; (-1, 0) where all were read.

    Raises
    ------
    OSError
        As the system says.
    """
    if available():
        place, had = _read(handle, starts, stops, out)
        if had >= 0:
            return int(place), int(had)
    at = 0
    for place, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        had = 0
        while had < stop - start:
            got = os.preadv(handle, [out.data[at + had : at + stop - start]], start + had)
            if not got:
                return place, had
            had += got
        at += had
    return -1, 0


def checksums(data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Compute the CRC-32C of ranges of bytes; uint32, shape (n,)."""
    found = np.empty(len(offsets), np.uint32)
    if available():
        _checksums(data, offsets, lengths, found)
        return found
    for place, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist(), strict=True)):
        found[place] = google_crc32c.value(data[offset : offset + length].tobytes())
    return found


@cache
def available() -> bool:
    """Whether this machine and this build of numcodecs have what the kernel calls; makes it known to the compiler."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    from llvmlite import binding
    from numcodecs import blosc

    try:
        library = ctypes.CDLL(blosc.__file__)
        function, lz4 = library.blosc_decompress_ctx, library.LZ4_decompress_safe
    except (OSError, AttributeError):
        return False
    if not binding.get_host_cpu_features().get("sse4.2"):
        return False
    binding.add_symbol(_SYMBOL, ctypes.cast(function, ctypes.c_void_p).value)
    binding.add_symbol(_LZ4, ctypes.cast(lz4, ctypes.c_void_p).value)
    binding.add_symbol(_PREAD, ctypes.cast(ctypes.CDLL(None).pread, ctypes.c_void_p).value)
    return True


_decompress: Any = types.ExternalFunction(_SYMBOL, types.int32(types.voidptr, types.voidptr, types.uintp, types.int32))

_lz4: Any = types.ExternalFunction(_LZ4, types.int32(types.voidptr, types.voidptr, types.int32, types.int32))

_pread: Any = types.ExternalFunction(_PREAD, types.int64(types.int32, types.voidptr, types.uintp, types.int64))


def _crc_step(name: str, crc: Any, item: Any) -> Any:
    """Make the instruction that takes one more item into a CRC-32C."""

    def step(typing_context: Any, state: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(crc.bitwidth), [ir.IntType(crc.bitwidth), ir.IntType(item.bitwidth)])
            return builder.call(builder.module.declare_intrinsic(name, fnty=kind), args)

        return crc(crc, item), generate

    return intrinsic(step)


def _load(bits: int, item: Any) -> Any:
    """Make the instruction that loads an item from an address, which need not be aligned."""

    def load(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            place = builder.inttoptr(args[0], ir.IntType(bits).as_pointer())
            return builder.load(place, align=1)

        return item(types.uint64), generate

    return intrinsic(load)


def _in_order(typing_context: Any, planes: Any, apart: Any, out: Any) -> Any:
    """Make the instructions that put the bits of 64 items together: vectors that the compiler fits to the processor."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source, step, target = args
        word, octets = ir.IntType(64), ir.VectorType(ir.IntType(8), _ITEMS)
        nothing = ir.Constant(octets, [0] * _ITEMS)

        def planes(first: Any) -> list[Any]:
            at = [builder.add(first, builder.mul(step, ir.Constant(word, bit))) for bit in range(8)]
            return [builder.load(builder.inttoptr(place, word.as_pointer()), align=1) for place in at]

        def together(bits: list[Any]) -> Any:
            found = nothing
            for bit, plane in enumerate(bits):
                there = builder.bitcast(plane, ir.VectorType(ir.IntType(1), _ITEMS))
                found = builder.or_(found, builder.select(there, ir.Constant(octets, [1 << bit] * _ITEMS), nothing))
            return found

        def store(low: Any, high: Any) -> None:
            mask = [_ITEMS * half + i for i in range(_ITEMS) for half in range(2)]
            both = builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(ir.IntType(32), 2 * _ITEMS), mask))
            builder.store(both, builder.inttoptr(target, both.type.as_pointer()), align=1)

        low = together(planes(source))
        store(low, nothing)
        upper = planes(builder.add(source, builder.mul(step, ir.Constant(word, 8))))
        with builder.if_then(builder.icmp_unsigned("!=", reduce(builder.or_, upper), ir.Constant(word, 0))):
            store(low, together(upper))  # few items of counts do not fit a byte
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), generate


_put_in_order: Any = intrinsic(_in_order)
_load_word: Any = _load(64, types.uint64)
_load_byte: Any = _load(8, types.uint8)
_crc_word: Any = _crc_step("llvm.x86.sse42.crc32.64.64", types.uint64, types.uint64)
_crc_byte: Any = _crc_step("llvm.x86.sse42.crc32.32.8", types.uint32, types.uint8)


@kernel
def _read(handle: int, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]) -> tuple[int, int]:
    """Do as :func:`read_ranges`; (range, -1) where the system reports an error."""
    at = 0
    for i in range(len(starts)):
        had = 0
        size = stops[i] - starts[i]
        if size < 0 or at + size > len(out):
            return i, -1
        while had < size:
            got = _pread(np.int32(handle), pointer(out.ctypes.data + at + had), size - had, starts[i] + had)
            if got < 0:
                return i, -1
            if got == 0:
                return i, had
            had += got
        at += size
    return -1, 0


@kernel
def _little_endian(data: NDArray[np.uint8], at: int, n: int) -> np.uint64:
    value = np.uint64(0)
    for k in range(n):
        value |= np.uint64(data[at + k]) << np.uint64(8 * k)
    return value


@kernel
def _checksum(data: NDArray[np.uint8], start: int, stop: int) -> np.uint32:
    crc = np.uint64(0xFFFFFFFF)
    at, end = np.uint64(data.ctypes.data + start), np.uint64(data.ctypes.data + stop)
    while at + np.uint64(8) <= end:
        crc = _crc_word(crc, _load_word(at))
        at += np.uint64(8)
    tail = np.uint32(crc)
    while at < end:
        tail = _crc_byte(tail, _load_byte(at))
        at += np.uint64(1)
    return np.uint32(tail ^ np.uint32(0xFFFFFFFF))


@kernel
def _checksums(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], out: NDArray[np.uint32]
) -> None:
    data = borrowed(data)
    for i in range(len(offsets)):
        out[i] = _checksum(data, offsets[i], offsets[i] + lengths[i])


@kernel
def _decode(
    data: NDArray[np.uint8], offsets: NDArray[np.int64], lengths: NDArray[np.int64], out: NDArray[np.uint8]
) -> tuple[int, int]:
    """Return (fault, chunk); (0, 0) where all are sound."""
    room = np.empty(out.shape[1], np.uint8)
    data, out, planes = borrowed(data), borrowed(out), borrowed(room)
    for i in range(len(offsets)):
        fault = decode_one(data, offsets[i], lengths[i], out[i], planes)
        if fault:
            return fault, i
    returned(room)
    return 0, 0


@kernel
def decode_one(
    data: NDArray[np.uint8], start: int, length: int, out: NDArray[np.uint8], planes: NDArray[np.uint8]
) -> int:
    """Check and decompress one chunk within a kernel, where :func:`available` says that one can.

    Parameters
    ----------
    data : uint8 array
        Holds the chunk, with its CRC-32C, from `start` on.
    out : uint8 array
        Out: the bytes of the chunk.
    planes : uint8 array
        For use in here, as large as `out`.

    Returns
    -------
    int
        0, or a key of :data:`FAULTS`.
    """
    stop, size = start + length - 4, len(out)
    if stop - start < 16 or stop + 4 > len(data):
        return _WRONG_SIZE
    if np.uint64(_checksum(data, start, stop)) != _little_endian(data, stop, 4):
        return _WRONG_CHECKSUM
    # The header's own sizes come before any decompression: a lie must not make blosc write past the end.
    if _little_endian(data, start + 4, 4) != size or _little_endian(data, start + 12, 4) != stop - start:
        return _WRONG_SIZE
    fast = _little_endian(data, start, 4) == _AS_WRITTEN and size % (2 * _ITEMS) == 0
    fast = fast and _little_endian(data, start + 8, 4) == size and stop - start >= _FIRST
    fast = fast and _little_endian(data, start + 16, 4) == _FIRST
    if fast and _decompress_planes(data, start + _FIRST, stop, planes):
        _unshuffle(planes, out)
        return 0
    done = _decompress(pointer(data.ctypes.data + start), pointer(out.ctypes.data), size, 1)
    return 0 if done == size else _NOT_BLOSC


@kernel
def _decompress_planes(data: NDArray[np.uint8], start: int, stop: int, planes: NDArray[np.uint8]) -> bool:
    """Decompress the one block of a chunk: the low bytes' bits, then the high ones', each with its size before it."""
    half = len(planes) // 2
    at = start
    for k in range(2):
        if stop - at < 4:
            return False
        n = np.int64(_little_endian(data, at, 4))
        at += 4
        if n == 0 or n > min(half, stop - at):
            return False
        if n == half:
            planes[k * half : (k + 1) * half] = data[at : at + n]
        elif _lz4(pointer(data.ctypes.data + at), pointer(planes.ctypes.data + k * half), n, half) != half:
            return False
        at += int(n)
    return True


@kernel
def _unshuffle(planes: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Put together what stands as sixteen planes, of all lowest bits first."""
    apart = np.uint64(len(planes) // 16)
    source, target = np.uint64(planes.ctypes.data), np.uint64(out.ctypes.data)
    for k in range(np.uint64(0), apart, np.uint64(_ITEMS // 8)):
        _put_in_order(source + k, apart, target + np.uint64(16) * k)

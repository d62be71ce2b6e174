"""Damage of files, shards and chunks that only their bytes show (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import blosc

from scformat.codec import with_crc
from tools.conformance.corruptions import Corruption, corruption, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage

ENTRIES = "parts/1/counts/entries"
READ = (("read", "--rows", "0,8"),)


def flip(place: str, at: float) -> Change:
    """Flip a bit of a file, `at` of the way through it."""

    def change(d: Damage) -> None:
        file = d.path / place
        data = bytearray(file.read_bytes())
        data[int(at * (len(data) - 1))] ^= 4
        file.write_bytes(data)

    return told(f"A bit of {place} has flipped.", change)


def _more_space(d: Damage) -> None:
    """The zarr.json of an array has one more line feed."""
    file = d.path / "genes/1/taxon" / "zarr.json"
    file.write_bytes(file.read_bytes() + b"\n")


def _bit(requirement: str, where: str, change: Change, refuse: Any = ()) -> Corruption:
    return corruption(requirement, where, change, sealed=False, refuse=refuse)


BITS: dict[str, Corruption] = {
    "bit-of-chunk": _bit("ZAR-10", f"{ENTRIES}, shard 0, chunk 0", flip(f"{ENTRIES}/c/0/0", 0.001), READ),
    "bit-of-counts": _bit("CNT-13", "shard_digests, shard 0", flip(f"{ENTRIES}/c/0/0", 0.001), READ),
    "bit-of-records": _bit("ZAR-10", "parts/1/cells/index, shard 0", flip("parts/1/cells/index/c/0/0", 0.002), READ),
    "bit-of-index": _bit("ZAR-11", "parts/1/cells/content, shard 0", flip("parts/1/cells/content/c/0", 0.98)),
    "bit-of-counts-index": _bit("ZAR-11", f"{ENTRIES}, shard 0", flip(f"{ENTRIES}/c/0/0", 0.999), READ),
    "bit-of-checksum": _bit("ZAR-11", "genes/1/taxon, shard 0", flip("genes/1/taxon/c/0", 1), [("describe",)]),
    "bit-of-file": _bit("INT-2", "genes/1/taxon", flip("genes/1/taxon/c/0", 0.5)),
    "bit-of-metadata": _bit("INT-2", "genes/1/taxon", told(str(_more_space.__doc__), _more_space)),
}


def _array(d: Damage, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "content": d.part["content"],
        "index": d.part["index"],
        "entries": d.part["entries"],
        "taxon": d.manifest["genes"]["taxon"],
    }[name]
    return found


def _digest(d: Damage, array: dict[str, Any]) -> None:
    if array is d.part["entries"]:
        d.digest_shards()
    else:
        d.digest(array)


def _file(name: str, text: str, change: Callable[[bytes], bytes]) -> Change:
    """Change the bytes of an array's file and put the digests right."""

    def act(d: Damage) -> None:
        array = _array(d, name)
        d.file(array).write_bytes(change(d.file(array).read_bytes()))
        _digest(d, array)

    return told(f"The file of {name}: {text}.", act)


def _index(name: str, change: Callable[[bytearray], None]) -> Change:
    """Change the index of an array's file and put its checksum and all digests right."""

    def act(d: Damage) -> None:
        d.change_index(_array(d, name), change)
        _digest(d, _array(d, name))

    return told(f"The index of {name}: {(change.__doc__ or '').strip()}", act)


def _drop(name: str, number: int = 0) -> Change:
    def act(d: Damage) -> None:
        d.drop_chunk(_array(d, name), number)
        _digest(d, _array(d, name))

    return told(f"Chunk {number} of {name} is lost, as where a writer leaves out empty ones.", act)


def _chunk(name: str, make: Callable[[Damage, dict[str, Any]], bytes]) -> Change:
    def act(d: Damage) -> None:
        array = _array(d, name)
        d.replace_chunk(array, make(d, array))
        _digest(d, array)

    return told(f"The first chunk of {name}: {(make.__doc__ or '').strip()}", act)


def _swapped(d: Damage) -> None:
    """The files of two arrays of one type and shape change places."""
    genes = d.manifest["genes"]
    one, two = d.file(genes["taxon"]), d.file(genes["by_id"])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    d.digest(genes["taxon"])
    d.digest(genes["by_id"])


def _chunk_beyond(d: Damage) -> None:
    """A chunk of the tail that holds nothing is in the shard of counts."""
    array = d.part["entries"]
    data = d.file(array).read_bytes()[: -d.index_size(array)]
    chunk = d.chunk_of(array, np.zeros((2, 0), np.uint16))

    def change(index: bytearray) -> None:
        index[-16:] = len(data).to_bytes(8, "little") + len(chunk).to_bytes(8, "little")

    whole = d.file(array).read_bytes()
    d.file(array).write_bytes(data + chunk + whole[len(data) :])
    d.change_index(array, change)
    d.digest_shards()


def _entry_in_the_tail(d: Damage) -> None:
    """The chunk of the last entries holds one more entry, which no record addresses."""
    array = d.part["entries"]
    end = int(d.values(d.part["index"])[0, -1])
    entries = d.values(array)[:, : end + 1].copy()
    entries[:, end] = 1
    d.put_entries(entries)


def _first(d: Damage, array: dict[str, Any]) -> Any:
    region = tuple(slice(0, n) for n in array["chunk"])
    return d.values(array)[region]


def _last_padding(d: Damage) -> None:
    """An element of a chunk beyond the array's shape is not the fill value."""
    array = d.part["sources"]["var_offsets"]
    values = d.values(array)
    array["chunk"] = array["shard"] = [len(values) + 1]
    d.put(array, values)
    d.replace_chunk(array, d.chunk_of(array, np.append(values, 5)))
    d.digest(array)


def _zlib(d: Damage, array: dict[str, Any]) -> bytes:
    """it is compressed by zlib."""
    whole = np.full(array["chunk"], array["fill"], array["dtype"])
    values = _first(d, array)
    whole[tuple(slice(0, n) for n in values.shape)] = values
    return with_crc(bytes(blosc.compress(whole, b"zlib", 5, blosc.BITSHUFFLE, 0)))


def _short(d: Damage, array: dict[str, Any]) -> bytes:
    """it holds too few elements."""
    return with_crc(bytes(blosc.compress(_first(d, array)[:-1], b"lz4", 5, blosc.BITSHUFFLE, 0)))


def _garbage(d: Damage, array: dict[str, Any]) -> bytes:
    """what blosc compressed is cut in half, and the checksum is that of the new bytes."""
    good = d.chunk_of(array, _first(d, array))[:-4]
    return with_crc(good[: 16 + (len(good) - 16) // 2])


def _garbled(d: Damage, array: dict[str, Any]) -> bytes:
    """what blosc compressed is no more what it was, and the checksum is that of the new bytes."""
    good = d.chunk_of(array, _first(d, array))[:-4]
    return with_crc(good[:16] + bytes(x ^ 0xA5 for x in good[16:]))


def _bytes_shuffled(d: Damage, array: dict[str, Any]) -> bytes:
    """its bytes are shuffled, not its bits."""
    return with_crc(bytes(blosc.compress(np.ascontiguousarray(_first(d, array)), b"lz4", 5, blosc.SHUFFLE, 0)))


def _format(d: Damage, array: dict[str, Any]) -> bytes:
    """its header says that it is of blosc's format 1."""
    good = d.chunk_of(array, _first(d, array))[:-4]
    return with_crc(b"\x01" + good[1:])


def _too_short(d: Damage, array: dict[str, Any]) -> bytes:
    """it is four bytes."""
    return b"abcd"


def _checksum(d: Damage, array: dict[str, Any]) -> bytes:
    """the checksum is followed by one more byte."""
    return d.chunk_of(array, _first(d, array)) + b"x"


def _overlap(index: bytearray) -> None:
    """two chunks begin at one byte."""
    index[16:24] = index[0:8]


def _outside(index: bytearray) -> None:
    """a chunk begins beyond the file."""
    index[0:8] = (2**63).to_bytes(8, "little")


def _copy_entry(index: bytearray) -> None:
    """the last chunk, which lies beyond the shape, is there with no bytes."""
    places = [index[i : i + 16] for i in range(0, len(index), 16)]
    ends = [sum(int.from_bytes(x, "little") for x in (p[:8], p[8:])) for p in places if p != b"\xff" * 16]
    index[-16:] = max(ends).to_bytes(8, "little") + bytes(8)


def _half_absent(index: bytearray) -> None:
    """a chunk is absent by its offset and there by its length."""
    index[0:8] = b"\xff" * 8


CONTAINER: dict[str, Corruption] = {
    "truncated": corruption(
        "ZAR-11", "content, shard 0", _file("content", "its last 100 bytes are lost", lambda b: b[:-100])
    ),
    "shorter-than-index": corruption(
        "ZAR-11", "content, shard 0", _file("content", "50 bytes are left", lambda b: b[:50])
    ),
    "empty-file": corruption("ZAR-11", "content, shard 0", _file("content", "it is empty", lambda _: b"")),
    "empty-file-of-counts": corruption(
        "ZAR-11", "entries, shard 0", _file("entries", "it is empty", lambda _: b""), refuse=READ
    ),
    "trailing-bytes": corruption(
        "ZAR-11", "entries, shard 0", _file("entries", "it has one more byte", lambda b: b + b"\0"), refuse=READ
    ),
    "chunk-dropped": corruption("ZAR-16", "content, shard 0, chunk 0", _drop("content")),
    "chunk-of-counts-dropped": corruption("ZAR-16", "entries, shard 0, chunk 0", _drop("entries"), refuse=READ),
    "chunk-of-records-dropped": corruption("ZAR-16", "index, shard 0, chunk 0", _drop("index"), refuse=READ),
    "chunk-of-genes-dropped": corruption("ZAR-16", "taxon, shard 0, chunk 0", _drop("taxon"), refuse=[("describe",)]),
    "chunks-overlap": corruption("ZAR-24", "entries, shard 0, chunk 1", _index("entries", _overlap)),
    "chunk-outside": corruption("ZAR-24", "content, shard 0, chunk 0", _index("content", _outside)),
    "chunk-of-counts-outside": corruption(
        "ZAR-24", "entries, shard 0, chunk 0", _index("entries", _outside), refuse=READ
    ),
    "chunk-half-absent": corruption("ZAR-24", "content, shard 0, chunk 0", _index("content", _half_absent)),
    "chunk-beyond-shape": corruption("ZAR-16", "content, shard 0, chunk", _index("content", _copy_entry)),
    "chunk-in-the-tail": corruption("CNT-8", "entries, shard 0, chunk", _chunk_beyond),
    "entry-in-the-tail": corruption("CNT-8", "entries, shard 0", _entry_in_the_tail),
    "padding": corruption("ZAR-17", "var_offsets, shard 0, chunk 0", _last_padding),
    "codec-of-chunk": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _zlib)),
    "wrong-size": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _short)),
    "garbage": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _garbage)),
    "garbage-of-counts": corruption("ZAR-10", "entries, shard 0, chunk 0", _chunk("entries", _garbage), refuse=READ),
    "garbled-counts": corruption("ZAR-10", "entries, shard 0, chunk 0", _chunk("entries", _garbled), refuse=READ),
    "shuffle-of-counts": corruption("ZAR-10", "entries, shard 0, chunk 0", _chunk("entries", _bytes_shuffled)),
    "format-of-chunk": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _format)),
    "short-chunk": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _too_short)),
    "checksum": corruption("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _checksum)),
    "checksum-of-counts": corruption("ZAR-10", "entries, shard 0, chunk 0", _chunk("entries", _checksum), refuse=READ),
    "swapped-files": corruption("GEN-7", "genes/1/by_id", _swapped),
}

"""Damage of files, shards and chunks that only their bytes show (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numcodecs import blosc

import scformat
from scformat.codec import with_crc

if TYPE_CHECKING:
    from collections.abc import Callable

    from .damage import Damage

    Member = Callable[[Damage], None]


def _flip(place: str, at: float) -> Member:
    """Flip a bit of a file, `at` of the way through it."""

    def change(d: Damage) -> None:
        file = d.path / place
        data = bytearray(file.read_bytes())
        data[int(at * (len(data) - 1))] ^= 4
        file.write_bytes(data)

    return change


ENTRIES = "parts/1/counts/entries"
BYTES: dict[str, tuple[set[str], str, Member]] = {
    "bit-of-chunk": ({"ZAR-10", "INT-2", "CNT-13"}, f"{ENTRIES}, shard 0, chunk 0", _flip(f"{ENTRIES}/c/0/0", 0.001)),
    "bit-of-index": ({"ZAR-11", "INT-2"}, "parts/1/cells/content, shard 0", _flip("parts/1/cells/content/c/0", 0.9)),
    "bit-of-checksum": ({"ZAR-11", "INT-2"}, "genes/1/taxon, shard 0", _flip("genes/1/taxon/c/0", 1)),
    "bit-of-metadata": ({"INT-2"}, "genes/1/taxon", lambda d: _more_space(d, "genes/1/taxon")),
}


def _more_space(d: Damage, path: str) -> None:
    file = d.path / path / "zarr.json"
    file.write_bytes(file.read_bytes() + b"\n")


@pytest.mark.parametrize("name", BYTES)
def test_bytes(damage: Damage, name: str) -> None:
    requirements, where, change = BYTES[name]
    change(damage)
    found = scformat.validate(damage.path).findings
    assert {f.requirement for f in found} == requirements
    assert any(f.where == where for f in found)


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


def _file(name: str, change: Callable[[bytes], bytes]) -> Member:
    """Change the bytes of an array's file and put the digests right."""

    def act(d: Damage) -> None:
        array = _array(d, name)
        d.file(array).write_bytes(change(d.file(array).read_bytes()))
        _digest(d, array)

    return act


def _index(name: str, change: Callable[[bytearray], None]) -> Member:
    """Change the index of an array's file and put its checksum and all digests right."""

    def act(d: Damage) -> None:
        d.change_index(_array(d, name), change)
        _digest(d, _array(d, name))

    return act


def _drop(name: str) -> Member:
    def act(d: Damage) -> None:
        d.drop_chunk(_array(d, name))
        _digest(d, _array(d, name))

    return act


def _chunk(name: str, make: Callable[[Damage, dict[str, Any]], bytes]) -> Member:
    def act(d: Damage) -> None:
        array = _array(d, name)
        d.replace_chunk(array, make(d, array))
        _digest(d, array)

    return act


def _swapped(d: Damage) -> None:
    """Two arrays of one type and shape change places: all checksums hold."""
    genes = d.manifest["genes"]
    one, two = d.file(genes["taxon"]), d.file(genes["by_id"])
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)


def _with_tail(d: Damage, array: dict[str, Any]) -> bytes:
    """The first chunk of the counts with an entry beyond the last row."""
    entries = d.values(array)[:, : array["chunk"][1]].copy()
    end = int(d.values(d.part["index"])[0, -1])
    d.part["n_entries"] = d.manifest["n_entries"] = end
    if end < entries.shape[1]:
        entries[:, end] = 1
    return d.chunk_of(array, entries)


def _chunk_beyond(d: Damage) -> None:
    array = d.part["entries"]
    data = d.file(array).read_bytes()[: -d.index_size(array)]
    chunk = d.chunk_of(array, np.zeros((2, 0), np.uint16))

    def change(index: bytearray) -> None:
        index[-16:] = len(data).to_bytes(8, "little") + len(chunk).to_bytes(8, "little")

    whole = d.file(array).read_bytes()
    d.file(array).write_bytes(data + chunk + whole[len(data) :])
    d.change_index(array, change)
    d.digest_shards()


def _padding(d: Damage, array: dict[str, Any]) -> bytes:
    values = np.concatenate([d.values(array), [5]])
    return d.chunk_of(array, values)


def _zlib(d: Damage, array: dict[str, Any]) -> bytes:
    whole = np.full(array["chunk"], array["fill"], array["dtype"])
    return with_crc(bytes(blosc.compress(whole, b"zlib", 5, blosc.BITSHUFFLE, 0)))


def _short(d: Damage, array: dict[str, Any]) -> bytes:
    return with_crc(bytes(blosc.compress(d.values(array), b"lz4", 5, blosc.BITSHUFFLE, 0)))


def _longer(d: Damage, array: dict[str, Any]) -> bytes:
    return d.chunk_of(array, d.values(array)) + b"x"


def _garbage(d: Damage, array: dict[str, Any]) -> bytes:
    good = d.chunk_of(array, d.values(array))[:-4]
    return with_crc(good[:16] + bytes(x ^ 0xA5 for x in good[16:]))


def _overlap(index: bytearray) -> None:
    index[16:24] = index[0:8]


def _outside(index: bytearray) -> None:
    index[0:8] = (2**63).to_bytes(8, "little")


def _copy_entry(index: bytearray) -> None:
    """Let the index name a second chunk of no bytes, after the first: it lies beyond the shape."""
    index[16:32] = index[8:16] + bytes(8)


def _half_absent(index: bytearray) -> None:
    index[0:8] = b"\xff" * 8


CONTAINER: dict[str, tuple[str, str, Member]] = {
    "truncated": ("ZAR-11", "content, shard 0", _file("content", lambda b: b[:-100])),
    "shorter-than-index": ("ZAR-11", "content, shard 0", _file("content", lambda b: b[:100])),
    "empty-file": ("ZAR-11", "content, shard 0", _file("content", lambda _: b"")),
    "trailing-bytes": ("ZAR-11", "entries, shard 0", _file("entries", lambda b: b + b"\0")),
    "chunk-dropped": ("ZAR-16", "content, shard 0, chunk 0", _drop("content")),
    "chunk-of-counts-dropped": ("ZAR-16", "entries, shard 0, chunk 0", _drop("entries")),
    "chunk-of-records-dropped": ("ZAR-16", "index, shard 0, chunk 0", _drop("index")),
    "chunks-overlap": ("ZAR-24", "entries, shard 0, chunk 1", _index("entries", _overlap)),
    "chunk-outside": ("ZAR-24", "content, shard 0, chunk 0", _index("content", _outside)),
    "chunk-half-absent": ("ZAR-24", "content, shard 0, chunk 0", _index("content", _half_absent)),
    "chunk-beyond-shape": ("ZAR-16", "content, shard 0, chunk 1", _index("content", _copy_entry)),
    "chunk-in-the-tail": ("CNT-8", "entries, shard 0, chunk 2047", _chunk_beyond),
    "padding": ("ZAR-17", "content, shard 0, chunk 0", _chunk("content", _padding)),
    "codec": ("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _zlib)),
    "wrong-size": ("ZAR-10", "taxon, shard 0, chunk 0", _chunk("content", _short)),
    "garbage": ("ZAR-10", "content, shard 0, chunk 0", _chunk("content", _garbage)),
    "short-chunk": ("ZAR-10", "content, shard 0, chunk 0", _chunk("content", lambda _d, _a: b"abcd")),
    "checksum": (
        "ZAR-10",
        "content, shard 0, chunk 0",
        _chunk("content", lambda d, a: d.chunk_of(a, d.values(a)) + b"x"),
    ),
    "swapped-files": ("GEN-7", "genes/1/by_id", _swapped),
}


@pytest.mark.parametrize("name", CONTAINER)
def test_container(damage: Damage, name: str) -> None:
    requirement, where, change = CONTAINER[name]
    if name == "wrong-size":
        where = where.replace("taxon", "content")
    change(damage)
    damage.seal()
    found = scformat.validate(damage.path).findings
    assert any(f.requirement == requirement and where in f.where for f in found), found


def test_digests(damage: Damage) -> None:
    """Digests that do not fit while all else does."""
    genes, part = damage.manifest["genes"], damage.part
    genes["taxon"]["sha256"] = "1" * 64
    genes["index_digest"] = "2" * 64
    genes["set_digest"] = "3" * 64
    damage.put(part["shard_digests"], np.full((1, 64), ord("4"), np.uint8))
    damage.seal()
    found = {f.requirement: f.where for f in scformat.validate(damage.path).findings}
    assert found == {
        "INT-2": "genes/1/taxon",
        "GEN-12": "zarr.json:scformat/genes/index_digest",
        "GEN-13": "zarr.json:scformat/genes/set_digest",
        "CNT-13": "parts/1/counts/shard_digests, shard 0",
    }


def test_damage_in_one_place_does_not_hide_damage_elsewhere(damage: Damage) -> None:
    damage.change(damage.label("donor_id")["counts"], 0, 0)
    damage.change(damage.part["content"], 5, 1)
    damage.seal()
    (damage.path / "genes/1/symbol/bytes/c/0").unlink()
    _flip(damage.obs("identifier")["codes"]["path"] + "/c/0", 0.5)(damage)
    found = {f.requirement for f in scformat.validate(damage.path).findings}
    assert {"LAB-4", "CEL-10", "ZAR-15", "INT-2"} <= found

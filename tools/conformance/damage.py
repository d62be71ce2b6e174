"""Tools that damage a store and, where only a deeper check is to notice, put all checksums and digests right again."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import tensorstore as ts

from scformat import layout
from scformat.codec import encode_chunk, encode_json, encode_shard
from scformat.manifest import Array
from scformat.storage import array_spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

NO_DIGEST = "0" * 64
ABSENT = struct.pack("<QQ", 2**64 - 1, 2**64 - 1)


class Damage:
    """A store to be damaged.

    Attributes
    ----------
    path
        The store.
    document
        Its root ``zarr.json``; `manifest` is the manifest in it. Changes take effect with :meth:`seal`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.document: dict[str, Any] = json.loads((path / "zarr.json").read_bytes())

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest in the document."""
        found: dict[str, Any] = self.document["attributes"]["scformat"]
        return found

    @property
    def part(self) -> dict[str, Any]:
        """The first part."""
        found: dict[str, Any] = self.manifest["parts"][0]
        return found

    def label(self, name: str) -> dict[str, Any]:
        """The label of a name."""
        found: dict[str, Any] = next(m for m in self.manifest["labels"] if m["name"] == name)
        return found

    def obs(self, name: str) -> dict[str, Any]:
        """Values of an obs column in the first part."""
        found: dict[str, Any] = self.part["obs"][name]
        return found

    def field(self, name: str) -> int:
        """Number of a field of the record."""
        found: int = self.part["fields"].index(name)
        return found

    # Values

    def values(self, array: dict[str, Any]) -> NDArray[Any]:
        """All values of an array."""
        place = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{self.path / array['path']}/"}}
        out: NDArray[Any] = np.array(ts.open(place, open=True, read=True).result().read().result())
        return out

    def put(self, array: dict[str, Any], values: NDArray[Any]) -> None:
        """Give an array other values, of any shape, and put its digest right."""
        array["shape"] = list(values.shape)
        spec = array_spec(Array.model_validate(array))
        root = self.path / spec.path
        (root / "zarr.json").write_bytes(encode_json(layout.array_metadata(spec)))
        for place in np.ndindex(*spec.grid):
            file = self.path / spec.key(place)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_shard(spec, values[spec.slices(place)].astype(spec.dtype)))
        self.digest(array)

    def change(self, array: dict[str, Any], at: Any, value: Any) -> None:
        """Change some values of an array."""
        values = self.values(array)
        values[at] = value
        self.put(array, values)

    def texts(self, strings: dict[str, Any]) -> list[bytes]:
        """All strings of an array of strings."""
        raw, offsets = self.values(strings["bytes"]).tobytes(), self.values(strings["offsets"]).tolist()
        return [raw[a:b] for a, b in itertools.pairwise(offsets)]

    def put_texts(self, strings: dict[str, Any], texts: list[bytes]) -> None:
        """Write other strings, and put the digests right."""
        self.put(strings["bytes"], np.frombuffer(b"".join(texts), np.uint8))
        self.put(strings["offsets"], np.cumsum([0, *map(len, texts)], dtype=np.int64))

    def record(self, source: int, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the record of a source."""
        strings = self.part["sources"]["records"]
        texts = self.texts(strings)
        document = json.loads(texts[source])
        change(document)
        texts[source] = json.dumps(document).encode()
        self.put_texts(strings, texts)

    # Counts

    def rows(self) -> list[list[tuple[int, int]]]:
        """Entries of all cells, which lie in one shard."""
        entries = self.values(self.part["entries"])
        ends = self.values(self.part["index"])[0].tolist()
        return [
            list(zip(entries[0, a:b].tolist(), entries[1, a:b].tolist(), strict=True))
            for a, b in zip([0, *ends[:-1]], ends, strict=True)
        ]

    def put_rows(self, rows: list[list[tuple[int, int]]]) -> None:
        """Write the entries of all cells, their ends, the number of entries and the digest of the shard."""
        flat = np.array([pair for row in rows for pair in row], np.uint16).T.reshape(2, -1)
        self.put_entries(flat)
        self.change(self.part["index"], 0, np.cumsum([len(row) for row in rows]))
        self.part["n_entries"] = self.manifest["n_entries"] = flat.shape[1]

    def put_entries(self, entries: NDArray[np.uint16]) -> None:
        """Write the first entries of the only shard; the rest of it is its tail."""
        array = self.part["entries"]
        spec = array_spec(Array.model_validate(array))
        (self.path / spec.key((0, 0))).write_bytes(encode_shard(spec, entries))
        self.digest_shards()

    def digest_shards(self) -> None:
        """Put the digests of the only shard of the counts right."""
        array = self.part["entries"]
        digest = hashlib.sha256(self.file(array).read_bytes()).hexdigest()
        self.digest(array)
        self.put(self.part["shard_digests"], np.frombuffer(digest.encode(), np.uint8)[None])

    # Files

    def file(self, array: dict[str, Any]) -> Path:
        """The only file of an array's grid."""
        path: str = array["path"]
        return self.path / path / "c" / "/".join("0" for _ in array["shape"])

    def index_size(self, array: dict[str, Any]) -> int:
        """Bytes of the index of an array's file, with its checksum."""
        n = int(np.prod([s // c for s, c in zip(array["shard"], array["chunk"], strict=True)]))
        return 16 * n + 4

    def change_index(self, array: dict[str, Any], change: Callable[[bytearray], None]) -> None:
        """Change the index of an array's only file, and put its checksum right."""
        data = self.file(array).read_bytes()
        size = self.index_size(array)
        index = bytearray(data[-size:-4])
        change(index)
        crc = int(google_crc32c.value(bytes(index))).to_bytes(4, "little")
        self.file(array).write_bytes(data[:-size] + bytes(index) + crc)

    def drop_chunk(self, array: dict[str, Any], number: int = 0) -> None:
        """Take a chunk out of an index, as a writer that leaves out empty chunks would."""
        self.change_index(array, lambda index: index.__setitem__(slice(16 * number, 16 * number + 16), ABSENT))

    def replace_chunk(self, array: dict[str, Any], chunk: bytes) -> None:
        """Put other bytes in the place of the first chunk: at the end of the chunks, as a longer one has to lie."""
        data = self.file(array).read_bytes()
        size = self.index_size(array)
        body = data[:-size] + chunk
        place = struct.pack("<QQ", len(body) - len(chunk), len(chunk))
        index = place + data[-size + 16 : -4]
        crc = int(google_crc32c.value(index)).to_bytes(4, "little")
        self.file(array).write_bytes(body + index + crc)

    def chunk_of(self, array: dict[str, Any], values: NDArray[Any]) -> bytes:
        """Encode a chunk."""
        whole = np.full(array["chunk"], array["fill"], array["dtype"])
        whole[tuple(slice(0, n) for n in values.shape)] = values
        return encode_chunk(whole)

    # Digests

    def digest(self, array: dict[str, Any]) -> None:
        """Put the digest of an array right."""
        spec = array_spec(Array.model_validate(array))
        names = ["zarr.json", *(spec.key(place)[len(spec.path) + 1 :] for place in np.ndindex(*spec.grid))]
        lines = "".join(f"{hashlib.sha256((self.path / spec.path / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
        array["sha256"] = hashlib.sha256(lines.encode()).hexdigest()

    def digest_groups(self) -> None:
        """Put the digests of all groups right."""
        for group in self.manifest["groups"]:
            data = (self.path / group / "zarr.json").read_bytes()
            self.manifest["groups"][group] = hashlib.sha256(data).hexdigest()

    def seal(self) -> None:
        """Write the root with its digest."""
        self.manifest["sha256"] = NO_DIGEST
        data = encode_json(self.document)
        digest = hashlib.sha256(data).hexdigest()
        self.manifest["sha256"] = digest
        head, tail = data.rsplit(f'"{NO_DIGEST}"'.encode(), 1)
        (self.path / "zarr.json").write_bytes(head + f'"{digest}"'.encode() + tail)

"""Surfaces that are parsers: roots, expressions, files of weights, entries, strings, shards. A million inputs each."""

from __future__ import annotations

import json
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from scformat.blobs import Done
from scformat.codec import DamagedError, decode_index, encode_shard, index_size, with_crc
from scformat.columns import Column
from scformat.entries import decode_rows
from scformat.errors import ScformatError, truncated_file
from scformat.expression import parse
from scformat.layout import ArraySpec, flat_bytes, per_cell
from scformat.loading.kernels import MORE_A_ROW, WORDS_AN_ENTRY, expand_row, pack_rows
from scformat.manifest import Array, StringArray
from scformat.pool import SMALLEST, Pool
from scformat.root import NO_DIGEST
from scformat.storage import Storage
from scformat.store import Store
from scformat.store.obs import read_strings_at
from scformat.store.opening import open_root
from scformat.strings import Strings
from scformat.tables.weights_file import read_weights_file
from tools.fuzz.base import small_store
from tools.fuzz.mutation import mutate_bytes, mutate_json, mutate_text
from tools.fuzz.surface import Surface

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

    from numpy.typing import NDArray

Prepared = tuple[list[bytes], "Callable[[bytes], None]"]
_SEAL = b'"sha256":"'


def sealed(root: bytes) -> bytes:
    """Give a root, without spaces between its members, the digest that its bytes should have."""
    import hashlib

    at = root.rfind(_SEAL)
    if at < 0 or len(root) < at + len(_SEAL) + 65:
        return root
    head, tail = root[: at + len(_SEAL)], root[at + len(_SEAL) + 64 :]
    digest = hashlib.sha256(head + NO_DIGEST.encode() + tail).hexdigest()
    return head + digest.encode() + tail


def short_root(data: bytes) -> bytes:
    """Take the spaces out of a root."""
    return sealed(json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode())


def _manifest(work: Path) -> Prepared:
    store = small_store(work)
    root = short_root((work / "small.cells" / "zarr.json").read_bytes())
    storage = store._storage

    def read(data: bytes) -> None:
        opened = Store(storage, open_root(sealed(data), where="fuzzed"))
        _ = repr(opened), opened.shape, list(opened.labels), list(opened.tables), list(opened.neighbours)
        _ = opened.column_names(), opened.manifest.label("cell_type")

    return [root], read


TOKENS = (
    "and", "or", "not", "(", ")", "==", "!=", "<", "<=", ">", ">=", "in", "is", "missing", "under", "true", "false",
    "'", '"', "`", ",", "1", "-1", "1e308", "1e999", "nan", "0x1", ".5", "1_000", "'B cell'", '"T cell"', "cell_type",
    "score", "flag", "share", "note", "`a b`", "\u00e9", "\U0001f600", "\x00", "9" * 400, " ", "\n", "((((((((",
    "not not not ",
)  # fmt: skip


def _expressions(work: Path) -> Prepared:
    del work
    n = 12
    rng = np.random.default_rng(0)
    columns = {
        "cell_type": Column(
            kind="categorical", dtype="string", values=rng.integers(-1, 2, n).astype(np.int32),
            categories=("B cell", "T cell"),
        ),
        "level": Column(
            kind="categorical", dtype="int64", values=rng.integers(-1, 3, n).astype(np.int32),
            categories=("1", "10", "-3"),
        ),
        "score": Column(kind="integer", dtype="int64", values=rng.integers(-3, 3, n), mask=rng.random(n) < 0.3),
        "big": Column(kind="integer", dtype="uint64", values=np.full(n, 2**64 - 1, np.uint64)),
        "share": Column(kind="float", dtype="float32", values=np.array([0.1, np.nan, 3] * 4, np.float32)),
        "flag": Column(kind="boolean", dtype="bool", values=rng.random(n) < 0.5),
        "note": Column(kind="string", dtype="string", values=Strings.of([f"note {i % 4} \u00e9" for i in range(n)])),
    }  # fmt: skip

    def read(data: bytes) -> None:
        expression = parse(data.decode(errors="surrogateescape"))
        again = parse(str(expression))
        if again != expression:
            raise AssertionError(f"another expression after writing it down: {expression} {again}")
        selected = expression.evaluate(columns)
        if selected.shape != (n,) or selected.dtype != np.bool_:
            raise AssertionError("not a selection")

    texts = [
        "cell_type == 'B cell'", "score >= 2 and not flag", "share < 0.1 or share is missing", "level in (1, 10, -3)",
        "`note` != \"note 1 \u00e9\" and cell_type not in ('T cell')",
        "not (flag or (3 < score)) and big == 18446744073709551615",
        "cell_type under 'T cell'", "note is not missing and flag == true",
    ]  # fmt: skip
    return [text.encode() for text in texts], read


def _weights(work: Path) -> Prepared:
    comma, tab = work / "w.csv", work / "w.tsv"

    def read(data: bytes) -> None:
        file = comma if data[:1] == b"," else tab
        file.write_bytes(data[1:])
        scheme, _ = read_weights_file(str(file))
        if not scheme.values:
            raise AssertionError("no weights")

    return [
        b",category,mass\nB cell,2\nT cell,0.5\n",
        b"\tcategory\tweight\nB cell\t1\nT cell\t3e-5\n\n",
        b'\tmass\tcategory\n1\t"a ""quoted"" one"\n0\t\xc3\xa9\n',
    ], read


def _entries(work: Path) -> Prepared:
    """Decode rows of entries: both decoders refuse the same rows and find the same counts."""
    del work
    columns, values = np.empty(1 << 16, np.int32), np.empty(1 << 16, np.float32)
    pool = Pool()

    def read(data: bytes) -> None:
        if len(data) < 8:
            return
        n_genes, size, n_rows, _ = struct.unpack("<IBBH", data[:8])
        n_genes, size = n_genes % (1 << 20), 32 + size
        body = np.frombuffer(data[8 : 8 + (len(data) - 8) // 4 * 4], "<u2")
        n_chunks = len(body) // (2 * size) + 1
        chunks = np.full((n_chunks, 2, size), 65535, np.uint16)
        pairs = body.reshape(-1, 2)[: n_chunks * size]
        flat = np.zeros((2, n_chunks * size), np.uint16)
        flat[:, : len(pairs)] = pairs.T
        chunks[:] = flat.reshape(2, n_chunks, size).transpose(1, 0, 2)
        bounds = np.linspace(0, len(pairs), 1 + max(1, n_rows % 8)).astype(np.int64)
        starts, ends = bounds[:-1].copy(), bounds[1:].copy()
        room = int((ends - starts).sum())
        offsets, genes, counts = np.empty(len(starts) + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.int64)
        fault, row = decode_rows(chunks, starts, ends, n_genes, offsets, genes, counts)
        words = pool.empty(max(WORDS_AN_ENTRY * room + MORE_A_ROW * len(starts), SMALLEST), np.uint16)
        used, places, n_values = (
            np.zeros(1, np.int64),
            np.empty((2, len(starts)), np.int64),
            np.empty(len(starts), np.int32),
        )
        found = pack_rows(chunks, None, starts, ends, n_genes, 0, words, used, *places, n_values)
        if (found[0] != 0, found[1]) != (fault != 0, row):  # of several faults of a row each tells its first
            raise AssertionError(f"one decoder says {fault, row}, the other {found}")
        if fault:
            raise _Refused(f"fault-{fault}")
        for k in range(len(starts)):
            low, high = int(offsets[k]), int(offsets[k + 1])
            n = expand_row(words, places[0, k], places[1, k], places[0, 0], columns, values, 0)
            same = n == high - low == n_values[k] and (columns[:n] == genes[low:high]).all()
            if not (same and (values[:n] == counts[low:high].astype(np.float32)).all()):
                raise AssertionError("two decoders, two results")

    def row(pairs: list[tuple[int, int]], n_genes: int = 400, size: int = 32, rows: int = 1) -> bytes:
        return struct.pack("<IBBH", n_genes, size, rows, 0) + np.array(pairs, "<u2").tobytes()

    rng = np.random.default_rng(0)
    plain = [(int(d), int(c)) for d, c in zip(rng.integers(1, 4, 100), rng.integers(1, 9, 100), strict=True)]
    return [
        row(plain),
        row(plain, rows=3, size=0),
        row([(5, 65535), (0, 65535), (0, 7), (1, 1), *plain[:40]]),
        row([(65535, 0), (65535, 0), (3, 2), (65534, 300)], n_genes=300_000),
        row([(65535, 65535)] * 4),
    ], read


class _Refused(ScformatError):
    """A fault that a kernel tells by a number; its callers make an error of it."""

    def __init__(self, code: str) -> None:
        super().__init__(code, "refused")


def _array(spec: ArraySpec) -> Array:
    return Array(
        path=spec.path, dtype=spec.dtype, shape=list(spec.shape), chunk=list(spec.chunk), shard=list(spec.shard),  # type: ignore[arg-type]
        fill=spec.fill, sha256=NO_DIGEST,
    )  # fmt: skip


class _Files(dict[str, bytes]):
    """Files in memory: most of the time of reading a few bytes of a directory goes into opening them."""

    read_through = 4 << 10
    ahead = 0

    def write(self, spec: ArraySpec, values: NDArray[np.generic]) -> None:
        """Put the files of an array here."""
        self.update((key, encode_shard(spec, values[spec.slices(index)])) for index, key in spec.files())

    def begin_tail(self, key: str, size: int) -> Done[bytes | None]:
        """Give a file's last bytes."""
        held = self.get(key)
        return Done(held if held is None else held[-size:])

    def begin_ranges(
        self, key: str, starts: NDArray[np.int64], stops: NDArray[np.int64], out: NDArray[np.uint8]
    ) -> Done[None]:
        """Give ranges of a file."""
        held = self[key]
        pieces = [held[start:stop] for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
        if sum(map(len, pieces)) < len(out):
            raise truncated_file(key, expected=int(stops.max()), found=len(held))
        out[:] = np.frombuffer(b"".join(pieces), np.uint8)
        return Done(None)


def _strings(work: Path) -> Prepared:
    """Read strings of any bytes and offsets, whole and one of them alone."""
    files = _Files()

    def read(data: bytes) -> None:
        n = min(data[0] if data else 0, 40)
        offsets = np.frombuffer(data[1 : 1 + 8 * (n + 1)].ljust(8 * (n + 1), b"\0"), "<i8")
        text = np.frombuffer(data[1 + 8 * (n + 1) :][:4096], np.uint8)
        specs = flat_bytes("s/bytes", len(text)), per_cell("s/offsets", "int64", n + 1)
        files.clear()
        files.write(specs[0], text)
        files.write(specs[1], offsets)
        strings = StringArray(bytes=_array(specs[0]), offsets=_array(specs[1]))
        storage = Storage(work)
        storage._ranges = files
        whole: list[str] | None = None
        error: ScformatError | None = None
        try:
            whole = list(storage.read_strings(strings))
        except ScformatError as caught:
            error = caught
        for row in (zlib.crc32(data) % n,) if n else ():
            try:
                one = list(read_strings_at(storage, strings, np.array([row]), max(n, 9)))
            except ScformatError as caught:
                error = error or caught
                continue
            if whole is not None and one != [whole[row]]:
                raise AssertionError(f"string {row}: {one} {whole[row]!r}")
        if error is not None:
            raise error

    def made(*texts: str) -> bytes:
        strings = Strings.of(texts)
        return bytes([len(texts)]) + strings.offsets.tobytes() + strings.data.tobytes()

    return [
        made(),
        made(""),
        made("a", "", "\u00e9t\u00e9", "\U0001f600"),
        made(*(f"cell-{i}" for i in range(30))),
    ], read


_SHARD = ArraySpec(path="a", dtype="uint16", shape=(2, 320), chunk=(2, 32), shard=(2, 128), fill=65535)


def _shards(work: Path) -> Prepared:
    """Read a shard: its index and its chunks, mostly with checksums made right."""
    size = index_size(_SHARD)
    values = np.random.default_rng(0).integers(0, 500, (2, 320)).astype(np.uint16)
    array = _array(_SHARD)
    files = _Files()
    files.write(_SHARD, values)
    good = list(files.values())
    first = next(iter(files))

    def read(data: bytes) -> None:
        how, body = (data[0] if data else 0), data[1:]
        if how & 1 and len(body) >= size:
            body = _resealed(body, size, chunks=bool(how & 2))
        files[first] = body
        storage = Storage(work)
        storage._ranges = files
        found = storage.read_chunks(array, np.arange(10))
        if not how & 1 and body != good[0] and not (found.transpose(1, 0, 2).reshape(2, -1) == values).all():
            raise AssertionError("other values from a damaged shard")

    return [bytes([how]) + good[0] for how in (0, 1, 3)], read


def _resealed(body: bytes, size: int, *, chunks: bool) -> bytes:
    """Make the checksum of a shard's index right, and if wanted those of the chunks that it points to."""
    out = bytearray(body)
    out[-size:] = with_crc(bytes(out[-size:-4]))
    if chunks:
        try:
            places = decode_index(bytes(out[-size:]), _SHARD).reshape(-1, 2)
        except DamagedError:
            return bytes(out)
        for start, length in places.tolist():
            if 4 <= length <= len(out) and start + length <= len(out) - size:
                out[start : start + length] = with_crc(bytes(out[start : start + length - 4]))
    return bytes(out)


def _tagged(data: bytes, rng: Random, *, unit: int) -> bytes:
    """Keep the first byte, mostly."""
    return mutate_bytes(data, rng) if rng.random() < 0.05 else data[:1] + mutate_bytes(data[1:], rng, unit=unit)


WEIGHTS = (
    "category",
    "mass",
    "weight",
    ",",
    "\t",
    "\n",
    '"',
    "nan",
    "-1",
    "1e400",
    "0",
    "\ufeff",
    "\r",
    "\x00",
    "\u00e9",
)

SURFACES = {
    "manifest": Surface(
        about="the root of a store, its digest made right: opened", prepare=_manifest, mutate=mutate_json
    ),
    "expressions": Surface(
        about="expressions: parsed, written down and parsed again, evaluated",
        prepare=_expressions,
        mutate=partial(mutate_text, tokens=TOKENS),
    ),
    "weights": Surface(about="files of weights", prepare=_weights, mutate=partial(mutate_text, tokens=WEIGHTS)),
    "entries": Surface(
        about="entries of cells: two decoders agree",
        prepare=_entries,
        mutate=partial(mutate_bytes, unit=4),
        guided=False,
    ),
    "strings": Surface(
        about="strings, checksums right: whole and one alone agree",
        prepare=_strings,
        mutate=partial(_tagged, unit=8),
        guided=False,
    ),
    "shards": Surface(
        about="a shard: index and chunks, with and without right checksums",
        prepare=_shards,
        mutate=partial(_tagged, unit=8),
        guided=False,
    ),
}

"""Files of arrays: the same bytes as TensorStore's, readable by zarr-python; fill values; shards; the root's digest."""

from __future__ import annotations

import hashlib
import itertools
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tensorstore as ts
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hn

from scformat import layout
from scformat.codec import encode_json, encode_shard
from scformat.errors import InvalidDataError, UnsupportedError
from scformat.layout import ArraySpec, absent_value, cut_shards
from scformat.manifest import as_json
from scformat.root import NO_DIGEST, decode_root, encode_root, root_digest
from scformat.storage import Storage
from scformat.strings import Strings
from scformat.writing import ArrayWriter, array_digest, write_array, write_strings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(11)


def whole(dtype: str, shape: tuple[int, ...], fill: float) -> NDArray[Any]:
    """Values of every magnitude, none of them the fill value."""
    if dtype.startswith("float"):
        values = RNG.normal(size=shape).astype(dtype)
        values.flat[::7] = np.nan
        return values
    info = np.iinfo(dtype)
    values = RNG.integers(0, min(60, info.max), shape).astype(dtype)
    values.flat[::5] = info.max
    values[values == fill] = 1
    return values


def small(path: str, dtype: str, shape: tuple[int, ...], chunk: tuple[int, ...], shard: tuple[int, ...]) -> ArraySpec:
    return ArraySpec(path=path, dtype=dtype, shape=shape, chunk=chunk, shard=shard, fill=9)


def specs() -> list[Any]:
    found: list[tuple[ArraySpec, NDArray[Any]]] = []
    for n in (1, 3000, 300_000):
        spec = layout.entries("e", 1)
        found.append((spec, whole("uint16", (2, n), layout.ENTRY_FILL)))
    for fields, n in ((5, 1), (8, 1024), (14, 5000)):
        found.append((layout.records("r", fields, n), whole("int32", (fields, n), layout.CODE_FILL)))
    for dtype in ("uint8", "uint16", "int8", "int16", "int32", "int64", "uint32", "uint64", "float32", "float64"):
        values = whole(dtype, (9000,), -1)
        found.append((layout.per_cell("p", dtype, 9000, fill=absent_value(values)), values))
    for shape in ((7,), (200_000,), (3, 5), (4, 70_000), (4, 2, 900), (2, 3, 70_000), (1, 1, 1)):
        values = whole("int64", shape, layout.CODE_FILL)
        found.append((layout.table("t", values), values))
    flags = RNG.integers(0, 2, (3, 70_000)).astype(np.uint8)
    found.append((layout.table("m", flags, fill=layout.FLAG_FILL), flags))
    for n in (1, 65_536, 200_001):
        found.append((layout.flat_bytes("b", n), whole("uint8", (n,), layout.BYTE_FILL)))
    found.append((small("s", "int32", (10, 23), (2, 3), (4, 6)), whole("int32", (10, 23), 9)))
    return [pytest.param(s, v, id=f"{s.path}-{s.dtype}-{'x'.join(map(str, v.shape))}") for s, v in found]


@pytest.mark.parametrize(("spec", "values"), specs())
def test_files_are_those_of_tensorstore_and_zarr_python_reads_them(
    spec: ArraySpec, values: NDArray[Any], tmp_path: Path
) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    metadata = layout.array_metadata(spec)
    inside = tuple(slice(0, n) for n in values.shape)
    opened = ts.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{theirs}/{spec.path}/"}, "metadata": metadata},
        create=True,
        open=False,
    ).result()
    opened[inside].write(values).result()

    writer = ArrayWriter(Storage(ours), spec)
    for index, _ in spec.files():
        region = tuple(
            slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(index, spec.shard, values.shape, strict=True)
        )
        writer.put(index, values[region])
    described = writer.finish()
    names = sorted(p.relative_to(theirs).as_posix() for p in theirs.rglob("*") if p.is_file())
    assert names == sorted(p.relative_to(ours).as_posix() for p in ours.rglob("*") if p.is_file())
    for name in names:
        if not name.endswith("zarr.json"):
            assert (ours / name).read_bytes() == (theirs / name).read_bytes(), name
    assert sorted(names) == sorted([f"{spec.path}/zarr.json", *(key for _, key in spec.files())])

    read = zarr.open_array(ours / spec.path, mode="r", zarr_format=3)
    assert (read.shape, read.dtype, read.chunks, read.shards) == (spec.shape, spec.dtype, spec.chunk, spec.shard)
    np.testing.assert_array_equal(read[inside], values)
    beyond = zarr.open_array(ours / spec.path, mode="r", zarr_format=3)[...]
    beyond[inside] = spec.fill
    assert (beyond == spec.fill).all(), "beyond what was written there is the fill value only"

    lines = [
        f"{hashlib.sha256((ours / n).read_bytes()).hexdigest()}  {n[len(spec.path) + 1 :]}\n"
        for n in [f"{spec.path}/zarr.json", *(key for _, key in spec.files())]
    ]
    assert described.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()


@settings(deadline=None, max_examples=60)
@given(
    values=hn.arrays(
        st.sampled_from([np.uint8, np.int32, np.int64, np.float64]),
        hn.array_shapes(min_dims=1, max_dims=3, max_side=9),
        elements=st.integers(0, 8),
    ),
    data=st.data(),
)
def test_any_grid_of_shards(
    tmp_path_factory: pytest.TempPathFactory, values: NDArray[Any], data: st.DataObject
) -> None:
    chunk = tuple(data.draw(st.integers(1, 4)) for _ in values.shape)
    shard = tuple(c * data.draw(st.integers(1, 3)) for c in chunk)
    directory = tmp_path_factory.mktemp("grid")
    described = write_array(Storage(directory), small("a", values.dtype.name, values.shape, chunk, shard), values)
    np.testing.assert_array_equal(Storage(directory).read_array(described), values)
    region = tuple(slice(*sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in values.shape)
    np.testing.assert_array_equal(Storage(directory).read_array(described, region), values[region])
    row = data.draw(st.integers(0, len(values) - 1))
    np.testing.assert_array_equal(Storage(directory).read_array(described, np.s_[row]), values[row])
    np.testing.assert_array_equal(zarr.open_array(directory / "a", mode="r")[...], values)


def test_a_chunk_that_is_not_there_has_no_bytes() -> None:
    spec = layout.entries("e", 1)
    block = np.ones((2, 2 * layout.ENTRY_CHUNK + 1), np.uint16)
    data = encode_shard(spec, block)
    n_chunks = layout.ENTRY_SHARD // layout.ENTRY_CHUNK
    index = np.frombuffer(data[-(16 * n_chunks) - 4 : -4], np.uint64).reshape(n_chunks, 2)
    assert (index[:3] != 2**64 - 1).all()
    assert (index[3:] == 2**64 - 1).all()
    assert index[2].sum() == len(data) - 16 * n_chunks - 4
    assert len(encode_shard(spec, block[:, :0])) == 16 * n_chunks + 4


def test_strings(tmp_path: Path) -> None:
    texts = ["", "a", "é", "\N{GREEK SMALL LETTER BETA}-cell", "", "x" * 100_000]
    storage = Storage(tmp_path)
    for path, strings in {"s": Strings.of(texts), "part": Strings.of(["zz", *texts]).take(np.arange(1, 7))}.items():
        described = write_strings(storage, path, strings)
        assert described.n == len(texts)
        assert list(storage.read_strings(described)) == texts
    tail = Strings.of(["skipped", *texts])
    cut = Strings(data=tail.data, offsets=tail.offsets[1:])
    assert list(storage.read_strings(write_strings(storage, "cut", cut))) == texts
    assert list(storage.read_strings(write_strings(storage, "none", Strings.of([])))) == []


integer_arrays = hn.arrays(
    st.sampled_from([np.int32, np.int64, np.uint32, np.uint64]), st.integers(0, 30), elements=st.integers(0, 2**31 - 1)
)


@given(values=integer_arrays, low=st.integers(0, 12), data=st.data())
def test_absent_value_of_integers(values: NDArray[Any], low: int, data: st.DataObject) -> None:
    info = np.iinfo(values.dtype)
    step = 4096 if info.bits == 64 else 1
    values = np.concatenate([values, info.min + step * np.arange(low).astype(values.dtype)]).astype(values.dtype)
    fill = absent_value(data.draw(st.permutations(values.tolist()).map(lambda v: np.array(v, values.dtype))))
    assert isinstance(fill, int)
    assert fill not in set(values.tolist())
    assert info.min <= fill <= info.max
    assert int(float(fill)) == fill, "a reader with 53-bit numbers keeps it"
    assert all(v in values for v in range(info.min, fill, step)), "the smallest candidate"


@given(
    values=hn.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.integers(0, 10),
        elements=st.floats(width=32, allow_nan=True, allow_infinity=True),
    ),
    n=st.integers(0, 3),
)
def test_absent_value_of_floats(values: NDArray[Any], n: int) -> None:
    lowest = [np.finfo(values.dtype).min]
    for _ in range(n):
        lowest.append(np.nextafter(lowest[-1], values.dtype.type(0)))
    held = np.concatenate([values, np.array(lowest[:n], values.dtype)]).astype(values.dtype)
    fill = absent_value(held)
    assert fill == float(lowest[n]) or float(lowest[n]) in held.tolist()
    assert values.dtype.type(fill) not in held
    assert np.isfinite(fill)
    assert values.dtype.type(json.loads(encode_json(fill))) == values.dtype.type(fill)


@given(lengths=st.lists(st.integers(0, 20), max_size=60), capacity=st.integers(20, 50))
def test_cut_shards_is_greedy(lengths: list[int], capacity: int) -> None:
    bounds = cut_shards(np.array(lengths, np.int64), capacity=capacity).tolist()
    assert bounds[0] == 0
    assert bounds[-1] == len(lengths)
    assert all(a < b for a, b in itertools.pairwise(bounds))
    for a, b in itertools.pairwise(bounds):
        assert sum(lengths[a:b]) <= capacity
        if b < len(lengths):
            assert sum(lengths[a : b + 1]) > capacity, "a row that fits is never left to the next shard"


def test_cut_shards_of_wide_sums() -> None:
    lengths = np.full(4000, 2**22, np.int32)  # the sum passes 32 bits
    np.testing.assert_array_equal(cut_shards(lengths, capacity=2**22), np.arange(4001))


def test_lines_of_a_digest() -> None:
    files = [("zarr.json", "a" * 64), ("c/0", "b" * 64)]
    text = f"{'a' * 64}  zarr.json\n{'b' * 64}  c/0\n"
    assert array_digest(iter(files)) == hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    from samples import counts_matrix, sample

    import scformat

    path = tmp_path_factory.mktemp("root") / "a.cells"
    scformat.convert(sample(counts_matrix(5, 4), obs={"kind": list("ababa")}), path, jobs=1, seed=5)
    return (path / "zarr.json").read_bytes()


def test_root_digest_covers_every_byte(root: bytes) -> None:
    manifest = json.loads(root)["attributes"]["scformat"]
    assert root_digest(root, manifest) == manifest["sha256"]
    again = encode_root(decode_root(root, where="a"))
    assert again == root, "reading and writing the manifest changes nothing"
    digest_at = root.rindex(manifest["sha256"].encode())
    for at in RNG.choice(len(root), 40, replace=False).tolist():
        if digest_at <= at < digest_at + 64:
            continue
        damaged = bytearray(root)
        damaged[at] ^= 1
        assert root_digest(bytes(damaged), manifest) != manifest["sha256"]
    by_hand = root.replace(manifest["sha256"].encode(), b"0" * 64)
    assert hashlib.sha256(by_hand).hexdigest() == manifest["sha256"]


def _edited(root: bytes, **changes: Any) -> bytes:
    document = json.loads(root)
    document["attributes"]["scformat"].update(changes)
    return _sealed(document)


def _sealed(document: dict[str, Any]) -> bytes:
    """Serialise a root with the digest that fits it."""
    manifest = document["attributes"]["scformat"]
    manifest["sha256"] = NO_DIGEST
    blank = json.dumps(document)
    return blank.replace(NO_DIGEST, hashlib.sha256(blank.encode()).hexdigest()).encode()


def test_a_root_of_many_parts_takes_little_beside_its_bytes(root: bytes) -> None:
    document = json.loads(root)
    manifest = document["attributes"]["scformat"]
    manifest["parts"] *= 300  # neither places nor starts are looked at here
    data = _sealed(document)
    decode_root(root, where="a")  # what is made once is not counted
    tracemalloc.start()
    many = decode_root(data, where="a")
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(many.parts) == 300
    assert as_json(many) == json.loads(data)["attributes"]["scformat"]
    assert kept < 5 * len(data)
    assert peak < 6 * len(data)


def test_an_array_that_is_none_is_said_with_its_place(root: bytes) -> None:
    document = json.loads(root)
    document["attributes"]["scformat"]["parts"][0]["index"]["chunk"] = [0, 7]
    with pytest.raises(InvalidDataError, match=r"zarr\.json:parts/0/index/chunk/0") as caught:
        decode_root(_sealed(document), where="a")
    assert caught.value.code == "bad-manifest"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"3", b"{}", b'{"attributes": 3}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_store(data: bytes) -> None:
    with pytest.raises(InvalidDataError) as caught:
        decode_root(data, where="a.cells")
    assert caught.value.code == "not-a-store"
    assert "\n" not in str(caught.value)


def test_another_zarr_group_is_no_store(root: bytes) -> None:
    for change in ({"node_type": "array"}, {"zarr_format": 2}, {"attributes": {"other": 1}}):
        with pytest.raises(InvalidDataError) as caught:
            decode_root(json.dumps(json.loads(root) | change).encode(), where="a")
        assert caught.value.code == "not-a-store"


def test_versions_and_features(root: bytes) -> None:
    for version in ("0.2", "1.0", 1, None):
        with pytest.raises(UnsupportedError) as refused:
            decode_root(_edited(root, version=version), where="a")
        assert (refused.value.code, refused.value.exit_code) == ("unsupported-version", 4)
    with pytest.raises(UnsupportedError) as refused:
        decode_root(_edited(root, required_features=["parts", "spliced"]), where="a")
    assert refused.value.code == "unknown-feature"
    assert "'spliced'" in str(refused.value)
    assert "'parts'" not in str(refused.value)
    assert decode_root(_edited(root, optional_features=["spliced"]), where="a").optional_features == ["spliced"]
    assert decode_root(_edited(root, later_member={"x": 1}), where="a").n_cells == 5


def test_a_broken_manifest_names_the_place(root: bytes) -> None:
    for change, place in (
        ({"n_cells": -1}, "n_cells"),
        ({"n_cells": "5"}, "n_cells"),
        ({"parts": []}, "parts"),
        ({"labels": 3}, "labels"),
    ):
        with pytest.raises(InvalidDataError) as caught:
            decode_root(_edited(root, **change), where="a")
        assert caught.value.code == "bad-manifest"
        assert f"zarr.json:{place}" in str(caught.value)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "parts/../../x", "a//b", "a/./b", ""])
def test_paths_of_a_manifest_stay_within_the_store(root: bytes, path: str) -> None:
    document = json.loads(root)
    document["attributes"]["scformat"]["parts"][0]["entries"]["path"] = path
    with pytest.raises(InvalidDataError, match="bad-manifest"):
        decode_root(_sealed(document), where="a")


def test_a_root_that_has_changed_is_refused(root: bytes) -> None:
    for changed in (root.replace(b'"n_cells": 5', b'"n_cells": 6', 1), root + b"\n"):
        assert changed != root
        with pytest.raises(InvalidDataError, match="bad-root-digest"):
            decode_root(changed, where="a")

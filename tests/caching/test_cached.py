"""What comes from a cache is what lies there, whatever was read before, was damaged or was removed."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objects_of import KEY, cached, ranges_of, write_object

from scformat import native
from scformat.caching.blocks import BLOCK, blocks_of, plan_requests
from scformat.caching.files import STRIDE
from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = STRIDE + 5 * BLOCK + 123
"""Of an object: more than one group of blocks, and a last block that is not whole."""

edges = st.sampled_from([0, BLOCK, 100 * BLOCK, STRIDE - BLOCK, STRIDE, SIZE])
positions = st.one_of(st.integers(0, SIZE), st.builds(lambda e, d: min(max(0, e + d), SIZE), edges, st.integers(-9, 9)))
spans = st.builds(lambda at, n: (at, min(SIZE, at + n)), positions, st.one_of(st.integers(0, 9000), st.just(SIZE)))
reads = st.lists(spans, min_size=1, max_size=6)
tails = st.integers(0, 3 * BLOCK)
damages = st.tuples(st.sampled_from(["flip", "cut", "remove"]), st.floats(0, 1))
steps = st.lists(st.one_of(reads, tails, damages), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    root = tmp_path_factory.mktemp("objects")
    return root, write_object(root, SIZE)


def damage(cache: Path, how: str, share: float) -> None:
    """Spoil one of the files of a cache somewhere."""
    files = sorted(p for p in cache.rglob("*") if p.is_file())
    if not files:
        return
    path = files[int(share * 997) % len(files)]
    content = bytearray(path.read_bytes())
    at = int(share * (len(content) - 1))
    if how == "remove":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:at])
    elif content:
        content[at] ^= 1 << int(share * 1009) % 8
        path.write_bytes(content)


@given(steps)
def test_any_sequence_of_reads_equals_the_object(data: tuple[Path, bytes], steps: list[Any]) -> None:
    root, whole = data
    with tempfile.TemporaryDirectory() as home:
        source, asked = cached(root, Path(home))
        for step in steps:
            if isinstance(step, list):
                assert ranges_of(source, step) == b"".join(whole[a:b] for a, b in step)
                asked.calls.clear()
                assert ranges_of(source, step) == b"".join(whole[a:b] for a, b in step)
                assert all(a == b for call in asked.calls for a, b in call)
            elif isinstance(step, int):
                assert source.begin_tail(KEY, step).result() == (whole[-step:] if step else b"")
            else:
                damage(Path(home), *step)


@given(st.lists(st.tuples(st.integers(0, SIZE), st.integers(1, 70_000)), min_size=1, max_size=20), st.integers(0, 99))
def test_one_call_asks_once_for_no_more_ranges_than_without(
    data: tuple[Path, bytes], some: list[tuple[int, int]], seed: int
) -> None:
    """And not for a byte behind the last that was wanted."""
    root, whole = data
    rng = np.random.default_rng(seed)
    wanted: list[tuple[int, int]] = []
    for start, size in sorted(some):
        at = max(start, wanted[-1][1] if wanted else 0)
        if at + size <= SIZE:
            wanted.append((at, at + size))
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as home:
        source, asked = cached(root, Path(home))
        first = [wanted[i] for i in np.flatnonzero(rng.random(len(wanted)) < 0.3).tolist()]
        if first:
            ranges_of(source, first)
        asked.calls.clear()
        assert ranges_of(source, wanted) == b"".join(whole[a:b] for a, b in wanted)
        assert len(asked.calls) <= 1
        separate = 1 + sum(b[0] - a[1] > asked.read_through for a, b in pairwise(wanted))
        for call in asked.calls:
            assert len(call) <= separate + len(first)
            assert max(stop for _, stop in call) <= wanted[-1][1]
            brought = sum(stop - start for start, stop in call)
            assert brought <= sum(b - a for a, b in wanted) + len(wanted) * (asked.read_through + BLOCK)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, BLOCK)), min_size=1, max_size=20), st.integers(0, 9 * BLOCK)
)
def test_requests_hold_every_block(some: list[tuple[int, int]], read_through: int) -> None:
    starts = np.array([n * BLOCK for n, _ in some])
    missing = blocks_of(starts, starts + np.array([k for _, k in some]))
    plan = plan_requests(missing, read_through=read_through)
    assert (plan.starts % BLOCK == 0).all()
    assert (plan.starts[1:] - plan.stops[:-1] > read_through).all()
    bytes_of = np.concatenate([np.arange(a, b) for a, b in zip(plan.starts, plan.stops, strict=True)])
    assert len(bytes_of) == plan.nbytes
    for number, length, offset in zip(missing.numbers, missing.lengths, plan.offsets, strict=True):
        assert (bytes_of[offset : offset + length] == number * BLOCK + np.arange(length)).all()


def test_every_byte_of_a_cache_may_be_damaged(tmp_path: Path) -> None:
    """One bit at a time, in entries, bytes and what lies between: the object is read, and the cache is whole again."""
    whole = write_object(tmp_path / "o", BLOCK + 50)
    source, asked = cached(tmp_path / "o", tmp_path / "c")
    ranges_of(source, [(0, len(whole))])
    (path,) = (p for p in (tmp_path / "c").rglob("*") if p.is_file())
    content = path.read_bytes()
    healed = 0
    for at in [*range(24), *range(24, len(content), 61), len(content) - 1]:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :])
        asked.calls.clear()
        assert ranges_of(source, [(0, len(whole))]) == whole
        healed += len(asked.calls)
        asked.calls.clear()
        assert ranges_of(source, [(0, len(whole))]) == whole
        assert asked.calls == []
    assert healed >= 80


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda p: p.write_bytes(b""), id="empty"),
        pytest.param(lambda p: p.write_bytes(np.random.default_rng(1).bytes(STRIDE)), id="noise"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[: 2 * BLOCK + 7]), id="cut"),
        pytest.param(lambda p: (p.unlink(), p.mkdir()), id="a directory"),
        pytest.param(lambda p: (p.unlink(), p.symlink_to("nowhere/at/all")), id="a link to nothing"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*is not kept:UserWarning")
def test_a_file_that_is_something_else(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    whole = write_object(tmp_path / "o", SIZE)
    source, _ = cached(tmp_path / "o", tmp_path / "c")
    ranges_of(source, [(0, SIZE)])
    (path,) = (p for p in (tmp_path / "c").rglob("*") if p.is_file())
    spoil(path)
    assert ranges_of(source, [(0, SIZE)]) == whole
    assert ranges_of(source, [(7, SIZE)]) == whole[7:]


@pytest.mark.parametrize("kernel", [True, False])
def test_checksums_are_those_of_the_library(*, kernel: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if kernel and not native.available():
        pytest.skip("no kernel for this processor")
    monkeypatch.setattr(native, "available", lambda: kernel)
    data = np.random.default_rng(2).integers(0, 256, 500, np.uint8)
    offsets, lengths = np.array([0, 3, 100, 499, 500]), np.array([0, 1, 300, 1, 0])
    found = native.checksums(data, offsets, lengths)
    expected = [google_crc32c.value(data[a : a + n].tobytes()) for a, n in zip(offsets, lengths, strict=True)]
    assert found.dtype == np.uint32
    assert found.tolist() == expected


def test_objects_of_another_digest_or_address_are_others(tmp_path: Path) -> None:
    old = write_object(tmp_path / "o", 9000, seed=1)
    before, _ = cached(tmp_path / "o", tmp_path / "c", digest="1" * 64)
    assert ranges_of(before, [(0, 9000)]) == old
    new = write_object(tmp_path / "o", 9000, seed=2)
    elsewhere = write_object(tmp_path / "p", 9000, seed=3)
    assert ranges_of(cached(tmp_path / "o", tmp_path / "c", digest="2" * 64)[0], [(0, 9000)]) == new
    assert ranges_of(cached(tmp_path / "p", tmp_path / "c", digest="1" * 64)[0], [(0, 9000)]) == elsewhere
    assert ranges_of(cached(tmp_path / "o", tmp_path / "c", digest="1" * 64)[0], [(0, 9000)]) == old


def test_what_belongs_to_no_array_is_not_kept(tmp_path: Path) -> None:
    whole = write_object(tmp_path / "o", 5000, key="other/c/0")
    source, asked = cached(tmp_path / "o", tmp_path / "c")
    for _ in range(2):
        assert ranges_of(source, [(3, 5000)], key="other/c/0") == whole[3:]
        assert source.begin_tail("other/c/0", 4).result() == whole[-4:]
    assert len(asked.calls) == 4
    assert not (tmp_path / "c").exists()


def test_an_object_that_is_too_short_or_not_there(tmp_path: Path) -> None:
    whole = write_object(tmp_path / "o", 5000)
    source, _ = cached(tmp_path / "o", tmp_path / "c")
    with pytest.raises(InvalidDataError, match="damaged-object"):
        ranges_of(source, [(0, 100), (4096, 5001)])
    assert source.begin_tail("array/c/1", 100).result() is None
    assert source.begin_tail(KEY, 6000).result() == whole
    write_object(tmp_path / "o", 6000, key="array/c/1", seed=1)
    assert len(source.begin_tail("array/c/1", 100).result() or b"") == 100

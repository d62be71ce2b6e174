"""Several processes, kills, full disks: the bound is kept, and reading goes on with the right bytes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from objects_of import KEY, cached, ranges_of, write_object

from scformat.caching.blocks import BLOCK
from scformat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

SIZE = 1 << 20
OBJECTS = 24
LIMIT = 8 << 20


@pytest.fixture
def objects(tmp_path: Path) -> dict[str, bytes]:
    keys = [f"array/c/{k}" for k in range(OBJECTS)]
    return {key: write_object(tmp_path / "o", SIZE, key=key, seed=k) for k, key in enumerate(keys)}


def read_at_random(root: Path, cache: Path, seed: int, reads: int, told: Any = None) -> None:
    """Read ranges anywhere and compare them with the objects."""
    rng = np.random.default_rng(seed)
    source, _ = cached(root, cache, limit=LIMIT)
    wrong = 0
    for _ in range(reads):
        key = f"array/c/{rng.integers(OBJECTS)}"
        starts = np.sort(rng.integers(0, SIZE - 20_000, 20)).tolist()
        some = [(at, at + int(rng.integers(1, 20_000))) for at in starts]
        whole = (root / key).read_bytes()
        wrong += ranges_of(source, some, key=key) != b"".join(whole[a:b] for a, b in some)
    if told is not None:
        told.put(wrong)


def taken(cache: Path) -> int:
    """Bytes that the files of a cache take, of which some may go meanwhile."""
    total = 0
    for home, _, names in os.walk(cache):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.stat(f"{home}/{name}").st_blocks * 512  # noqa: PTH116
    return total


def test_several_processes_stay_within_the_bound(objects: dict[str, bytes], tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    processes = [
        spawn.Process(target=read_at_random, args=(tmp_path / "o", tmp_path / "c", seed, 150, told))
        for seed in range(3)
    ]
    for process in processes:
        process.start()
    most = 0
    while any(process.is_alive() for process in processes):
        most = max(most, taken(tmp_path / "c"))
        time.sleep(0.02)
    assert [told.get(timeout=120) for _ in processes] == [0, 0, 0]
    assert LIMIT // 2 < most <= LIMIT
    assert sum(map(len, objects.values())) > 2 * LIMIT


def test_what_was_used_least_recently_goes_first(objects: dict[str, bytes], tmp_path: Path) -> None:
    source, asked = cached(tmp_path / "o", tmp_path / "c", limit=LIMIT)
    often = "array/c/0"
    for key in objects:
        for at in range(0, SIZE, 1 << 18):
            ranges_of(source, [(at, at + (1 << 18))], key=key)
        ranges_of(source, [(0, 100)], key=often)
    asked.calls.clear()
    assert ranges_of(source, [(0, SIZE)], key=often) == objects[often]
    assert asked.calls == []
    assert ranges_of(source, [(0, SIZE)], key="array/c/1") == objects["array/c/1"]
    assert asked.calls != []


def test_killed_while_they_fill_it(objects: dict[str, bytes], tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    rng = np.random.default_rng(0)
    for seed in range(3):
        before = taken(tmp_path / "c")
        process = spawn.Process(target=read_at_random, args=(tmp_path / "o", tmp_path / "c", seed, 1 << 30))
        process.start()
        for _ in range(20_000):  # until it has begun to write
            if taken(tmp_path / "c") != before:
                break
            time.sleep(0.005)
        time.sleep(float(rng.random()) / 20)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert taken(tmp_path / "c") <= LIMIT
        source, _ = cached(tmp_path / "o", tmp_path / "c", limit=LIMIT)
        for key, whole in objects.items():
            for at in range(0, SIZE, 1 << 19):
                assert ranges_of(source, [(at, at + (1 << 19))], key=key) == whole[at : at + (1 << 19)]


@pytest.fixture
def small_disk(mount: Callable[[str], AbstractContextManager[Path]]) -> Iterator[Path]:
    """A file system of its own, of half an object."""
    with mount(str(SIZE // 2)) as place:
        yield place


def test_on_a_full_disk_reading_goes_on_and_staging_ends(
    objects: dict[str, bytes], small_disk: Path, tmp_path: Path
) -> None:
    source, asked = cached(tmp_path / "o", small_disk / "c", limit=LIMIT)
    with pytest.warns(UserWarning, match="No space left on device: what is read is not kept"):
        for key, whole in objects.items():
            assert ranges_of(source, [(0, SIZE)], key=key) == whole
    for key, whole in objects.items():
        assert ranges_of(source, [(5, SIZE)], key=key) == whole[5:]
    staging, _ = cached(tmp_path / "o", small_disk / "c", limit=None)
    with pytest.raises(StorageError, match=r"No space left on device.*\[cannot-write\]"):
        for key in objects:
            ranges_of(staging, [(0, SIZE)], key=key)
    subprocess.run(["mount", "-o", f"remount,size={4 * SIZE}", str(small_disk)], check=True)
    ranges_of(source, [(0, SIZE)], key="array/c/3")
    asked.calls.clear()
    assert ranges_of(source, [(0, SIZE)], key="array/c/3") == objects["array/c/3"]
    assert asked.calls == []


def test_a_cache_on_a_disk_that_is_only_read(objects: dict[str, bytes], small_disk: Path, tmp_path: Path) -> None:
    """As a staged one may be for all jobs but the one that made it."""
    source, asked = cached(tmp_path / "o", small_disk / "c", limit=None)
    ranges_of(source, [(0, 1000)])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    source, asked = cached(tmp_path / "o", small_disk / "c", limit=LIMIT)
    assert ranges_of(source, [(3, 1000)]) == objects[KEY][3:1000]
    assert asked.calls == []


def test_a_cache_that_cannot_be_written_to(objects: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "c").write_text("a file")
    source, _ = cached(tmp_path / "o", tmp_path / "c", limit=LIMIT)
    with pytest.warns(UserWarning, match="is not kept"):
        assert ranges_of(source, [(0, SIZE)], key="array/c/1") == objects["array/c/1"]
    assert ranges_of(source, [(BLOCK, SIZE)], key="array/c/1") == objects["array/c/1"][BLOCK:]

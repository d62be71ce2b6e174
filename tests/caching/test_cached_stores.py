"""Stores behind a server and a cache: what they read, what the server is asked for, and what becomes of old content."""

from __future__ import annotations

import os
import pickle
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from http_ranges import RangeServer, range_server
from samples import counts_matrix, files_of, sample

import scformat
from scformat.errors import DamagedDataError, UsageError
from scformat.torch import CellLoader

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

OPTIONS: dict[str, Any] = {"batch_size": 64, "labels": ["cell_type"], "seed": 3, "threads": 2}


def batches(loader: CellLoader) -> list[tuple[Any, ...]]:
    return [(b.rows.tolist(), b.x.numpy().tobytes(), b.labels["cell_type"].tolist()) for b in loader]


def test_a_second_epoch_asks_for_nothing(server: RangeServer, local: Store, tmp_path: Path) -> None:
    plain = CellLoader(local, **OPTIONS)
    expected = [batches(plain), batches(plain)]
    store = scformat.open(f"{server.url}/a.cells", cache=tmp_path)
    loader = CellLoader(store, **OPTIONS)
    server.asked.clear()
    assert batches(loader) == expected[0]
    assert server.asked
    server.asked.clear()
    assert batches(loader) == expected[1]
    assert server.asked == []
    again = CellLoader(scformat.open(f"{server.url}/a.cells", cache=tmp_path), **OPTIONS)
    assert [batches(again), batches(again)] == expected
    assert server.of_objects() == []


def test_all_that_a_store_gives_comes_from_the_cache(server: RangeServer, local: Store, tmp_path: Path) -> None:
    for _ in range(2):
        server.asked.clear()
        store = scformat.open(f"{server.url}/a.cells", cache=tmp_path)
        assert store.obs().equals(local.obs())
        assert store.genes.equals(local.genes)
        assert store.sources.equals(local.sources)
        assert (store.select("split == 'train'") == local.select("split == 'train'")).all()
        assert list(store.labels["cell_type"].categories) == list(local.labels["cell_type"].categories)
        rows = np.random.default_rng(0).integers(0, local.n_cells, 300)
        assert (store.read(rows).dense() == local.read(rows).dense()).all()
    assert server.of_objects() == []
    assert (pickle.loads(pickle.dumps(store)).read(rows).dense() == local.read(rows).dense()).all()
    assert server.of_objects() == []


def test_the_first_pass_asks_no_more_often_than_without_a_cache(
    server: RangeServer, local: Store, tmp_path: Path
) -> None:
    rows = np.arange(0, local.n_cells, 97)
    scformat.open(f"{server.url}/a.cells").read(rows)
    without = len(server.asked), server.sent
    server.asked.clear()
    scformat.open(f"{server.url}/a.cells", cache=tmp_path).read(rows)
    assert len(server.asked) <= without[0]
    assert server.sent <= without[1] + 4096 * without[0]


def test_damage_in_the_cache_is_healed(server: RangeServer, local: Store, tmp_path: Path) -> None:
    expected = local.read(range(500)).dense()
    scformat.open(f"{server.url}/a.cells", cache=tmp_path).read(range(500))
    rng = np.random.default_rng(1)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        content = bytearray(path.read_bytes())
        for at in rng.integers(0, len(content), 5):
            content[at] ^= 0xFF
        path.write_bytes(content)
    server.asked.clear()
    assert (scformat.open(f"{server.url}/a.cells", cache=tmp_path).read(range(500)).dense() == expected).all()
    assert server.of_objects()
    server.asked.clear()
    assert (scformat.open(f"{server.url}/a.cells", cache=tmp_path).read(range(500)).dense() == expected).all()
    assert server.of_objects() == []


def test_what_was_damaged_where_it_lies_is_asked_for_again(place: Path, local: Store, tmp_path: Path) -> None:
    """The cache holds what was read, damage included, until somebody notices."""
    shutil.copytree(place / "a.cells", tmp_path / "a.cells")
    shard = tmp_path / "a.cells" / local.manifest.parts[0].entries.path / "c" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    with range_server(tmp_path) as server:
        store = scformat.open(f"{server.url}/a.cells", cache=tmp_path / "cache")
        with pytest.raises(DamagedDataError, match="damaged-chunk"):
            store.read(range(5))
        shard.write_bytes(whole)
        assert (store.read(range(5)).dense() == local.read(range(5)).dense()).all()


def test_a_store_that_is_replaced_or_appended_to(tmp_path: Path) -> None:
    def source(name: str, seed: int) -> Path:
        data = sample(counts_matrix(400, 60, seed=seed), obs={"kind": ["a", "b"] * 200}, prefix=name)
        data.write_h5ad(tmp_path / f"{name}.h5ad")
        return tmp_path / f"{name}.h5ad"

    path, cache = tmp_path / "s.cells", tmp_path / "cache"
    scformat.convert([source("one", 1)], path, jobs=1)
    with range_server(tmp_path) as server:
        first = scformat.open(path).read(range(400)).dense()
        assert (scformat.open(f"{server.url}/s.cells", cache=cache).read(range(400)).dense() == first).all()
        scformat.append(path, [source("two", 2)], jobs=1)
        server.asked.clear()
        longer = scformat.open(f"{server.url}/s.cells", cache=cache)
        assert (longer.read(range(400)).dense()[:, :60] == first).all()
        assert server.of_objects() == []  # what was there before is kept
        assert (longer.read(range(800)).dense() == scformat.open(path).read(range(800)).dense()).all()
        scformat.convert([source("three", 3)], path, jobs=1, overwrite=True)
        other = scformat.open(path).read(range(400)).dense()
        assert (other != first).any()
        assert (scformat.open(f"{server.url}/s.cells", cache=cache).read(range(400)).dense() == other).all()


def test_a_local_store_may_have_one_too(place: Path, local: Store, tmp_path: Path) -> None:
    """For directories that are far away. It may be used across a fork."""
    store = scformat.open(place / "a.cells", cache=tmp_path, cache_size="1GiB")
    assert (store.read(range(50)).dense() == local.read(range(50)).dense()).all()
    assert any(p.is_file() for p in tmp_path.rglob("*"))
    before = files_of(tmp_path)
    child = os.fork()
    if child == 0:
        os._exit(0 if (store.read(range(50)).dense() == local.read(range(50)).dense()).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert files_of(tmp_path) == before


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_remote_store_is_refused_in_a_forked_process_whatever_the_cache_has(
    server: RangeServer, tmp_path: Path
) -> None:
    store = scformat.open(f"{server.url}/a.cells", cache=tmp_path)
    store.read(range(5))
    child = os.fork()
    if child == 0:
        try:
            store.read(range(5))
        except UsageError as error:
            os._exit(0 if error.code == "opened-before-fork" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_environment_names_a_cache_for_addresses(
    server: RangeServer, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCFORMAT_CACHE", str(tmp_path / "of the environment"))
    scformat.open(place / "a.cells").read([0])
    assert not any(tmp_path.iterdir())
    scformat.open(f"{server.url}/a.cells").read([0])
    assert [p.name for p in tmp_path.iterdir()] == ["of the environment"]
    scformat.open(f"{server.url}/a.cells", cache=tmp_path / "given").read([1])
    assert (tmp_path / "given").is_dir()
    monkeypatch.setenv("SCFORMAT_CACHE_SIZE", "much")
    with pytest.raises(UsageError, match="bad-size"):
        scformat.open(f"{server.url}/a.cells")


def test_a_size_needs_a_directory(place: Path) -> None:
    with pytest.raises(UsageError, match="no-cache"):
        scformat.open(place / "a.cells", cache_size="1GB")
    with pytest.raises(UsageError, match="bad-size"):
        scformat.open(place / "a.cells", cache=place / "c", cache_size=7)

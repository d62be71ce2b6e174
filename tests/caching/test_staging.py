"""What was staged is all that later epochs need; staging goes on where it ended, and says first how much it is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from objects_of import cached, ranges_of, write_object

import scformat
from scformat.errors import StorageError, UsageError
from scformat.torch import CellLoader

if TYPE_CHECKING:
    from http_ranges import RangeServer

    from scformat.store import Store

TABLE = "cell_type:balanced"


def drawn(store: Store, **options: Any) -> list[Any]:
    loader = CellLoader(store, batch_size=64, labels=["cell_type"], seed=1, threads=1, **options)
    return [(b.rows.tolist(), b.x.numpy().tobytes(), b.labels["cell_type"].tolist()) for b in loader]


@pytest.mark.parametrize(
    "options", [{"split": "train"}, {"split": "train", "table": TABLE}, {"where": "n_genes > 92"}, {}], ids=str
)
def test_loaders_ask_for_nothing_afterwards(
    options: dict[str, Any], server: RangeServer, local: Store, tmp_path: Path
) -> None:
    told: list[tuple[str, int, int]] = []
    planned = scformat.stage(f"{server.url}/a.cells", tmp_path, **options, dry_run=True)
    staged = scformat.stage(f"{server.url}/a.cells", tmp_path, **options, progress=lambda *t: told.append(t))
    assert staged == planned
    assert told[-1] == ("staging", staged.bytes, staged.bytes)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
    server.asked.clear()
    store = scformat.open(f"{server.url}/a.cells", cache=tmp_path, cache_size="1MiB")
    assert drawn(store, **options) == drawn(local, **options)
    assert server.of_objects() == []


def test_only_what_is_needed_is_brought(server: RangeServer, local: Store, tmp_path: Path) -> None:
    some = scformat.stage(f"{server.url}/a.cells", tmp_path / "a", where="n_genes > 130")
    every = scformat.stage(f"{server.url}/a.cells", tmp_path / "b")
    assert some.cells == len(local.select("n_genes > 130"))
    assert every.cells == local.n_cells
    assert some.bytes < every.bytes < (local.size_on_disk() or 0)


def test_an_interrupted_run_goes_on(server: RangeServer, tmp_path: Path) -> None:
    def stop(_stage: str, _done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scformat.stage(f"{server.url}/a.cells", tmp_path / "a", progress=stop)
    first = len(server.of_objects())
    server.asked.clear()
    scformat.stage(f"{server.url}/a.cells", tmp_path / "a")
    rest = len(server.of_objects())
    server.asked.clear()
    scformat.stage(f"{server.url}/a.cells", tmp_path / "a")
    assert server.of_objects() == []
    scformat.stage(f"{server.url}/a.cells", tmp_path / "b")
    assert first > 0
    assert 0 < rest < len(server.of_objects()) <= first + rest


def test_what_is_cached_is_not_asked_for_again(server: RangeServer, local: Store, tmp_path: Path) -> None:
    store = scformat.open(f"{server.url}/a.cells", cache=tmp_path)
    store.read(range(local.n_cells))
    server.asked.clear()
    scformat.stage(store)
    assert not [path for path in server.of_objects() if "/entries/" in path]
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.name.endswith(".staged"):
            path.unlink()
    server.asked.clear()
    again = scformat.open(f"{server.url}/a.cells", cache=tmp_path)
    assert (again.read(range(200)).dense() == local.read(range(200)).dense()).all()
    assert server.of_objects() == []


def test_what_is_staged_stays_and_is_not_counted(tmp_path: Path) -> None:
    size = 1 << 20
    objects = {f"array/c/{k}": write_object(tmp_path / "o", size, key=f"array/c/{k}", seed=k) for k in range(8)}
    staging, _ = cached(tmp_path / "o", tmp_path / "c", limit=None)
    for key in list(objects)[:4]:
        ranges_of(staging, [(0, size)], key=key)
    source, asked = cached(tmp_path / "o", tmp_path / "c", limit=2 << 20)
    for _ in range(3):
        for key, whole in objects.items():
            for at in range(0, size, 1 << 17):
                assert ranges_of(source, [(at, at + (1 << 17))], key=key) == whole[at : at + (1 << 17)]
    asked.calls.clear()
    for key in list(objects)[:4]:
        assert ranges_of(source, [(0, size)], key=key) == objects[key]
    assert asked.calls == []
    kept = [p.stat() for p in (tmp_path / "c").rglob("*") if p.is_file() and not p.name.endswith(".staged")]
    assert 0 < sum(s.st_blocks * 512 for s in kept) <= 2 << 20


def test_of_an_open_store_the_same_store_is_staged(place: Path, files: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "s.cells"
    scformat.convert(files[:1], path, jobs=1)
    store = scformat.open(path, cache=tmp_path / "cache")
    assert scformat.stage(store).directory == tmp_path / "cache"
    scformat.convert(files[1:], path, jobs=1, overwrite=True)
    with pytest.raises(StorageError, match="store-changed"):
        scformat.stage(store)
    with pytest.raises(UsageError, match="no-cache"):
        scformat.stage(place / "a.cells")


def test_several_stores_as_one(server: RangeServer, place: Path, files: list[Path], tmp_path: Path) -> None:
    scformat.convert(files[:1], place / "b.cells", jobs=1)
    names = ("a.cells", "b.cells")
    local = scformat.open([place / name for name in names])
    store = scformat.open([f"{server.url}/{name}" for name in names], cache=tmp_path)
    rows = np.arange(0, local.n_cells, 7)
    assert scformat.stage(store).cells == local.n_cells
    again = scformat.open([f"{server.url}/{name}" for name in names], cache=tmp_path)
    server.asked.clear()
    assert (again.read(rows).dense() == local.read(rows).dense()).all()
    assert server.asked == []


def test_the_command(server: RangeServer, local: Store, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    run = [sys.executable, "-W", "error", "-m", "scformat", "stage", f"{server.url}/a.cells", str(tmp_path)]
    for more, lines in ((["--dry-run"], 1), ([], 2)):
        ended = subprocess.run(
            [*run, "--split", "train", *more], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ended.returncode == 0, ended.stderr
        said = ended.stderr.strip().splitlines()
        assert len(said) == lines
        cells = len(local.select("split == 'train'"))
        assert said[0].startswith(f"{cells:,} cells, ")
    server.asked.clear()
    rows = local.select("split == 'train'")[:50]
    found = scformat.open(f"{server.url}/a.cells", cache=tmp_path).read(rows)
    assert (found.dense(np.int64) == local.read(rows).dense(np.int64)).all()
    assert server.of_objects() == []

"""What killed processes leave is removed by vacuum, but for what a run could resume or another process needs."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from samples import counts_matrix, files_of, sample

import scformat
from scformat.conversion import publish
from scformat.publishing import adding
from scformat.report import write_report
from scformat.tables import add_table, build_table

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    made = []
    for k in range(2):
        made.append(tmp_path / f"s{k}.h5ad")
        sample(counts_matrix(60, 20, seed=k), obs={"kind": ["a", "b", "c"] * 20}, prefix=f"s{k}").write_h5ad(made[-1])
    return made


@pytest.fixture
def work(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made


def killed(at: tuple[Any, str], work: Callable[[], Any], *, first: bool = False) -> None:
    """Do something in a forked process that is killed when it has called a function, or when it is about to."""
    child = os.fork()
    if child == 0:
        place, name = at
        real = getattr(place, name)

        def last(*arguments: Any, **options: Any) -> None:
            if not first:
                real(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(place, name, last)
        try:
            work()
        finally:
            os._exit(9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("at", ["sync_path", "_move", "lock"])
def test_of_a_conversion_killed_when_its_store_was_in_place(
    at: str, overwrite: Any, sources: list[Path], work: Path
) -> None:
    path, home = work / "a.cells", work / ".a.cells.partial"
    if overwrite:
        scformat.convert(sources[:1], path, jobs=1)
    if at == "lock":  # all else was removed
        scformat.convert(sources, path, jobs=1, overwrite=overwrite)
        home.mkdir()
        (home / "lock").touch()
    else:
        killed((publish, at), lambda: scformat.convert(sources, path, jobs=1, overwrite=overwrite))
    assert home.is_dir()
    whole = files_of(path)
    assert len(scformat.open(path).sources) == 2
    listed = scformat.vacuum(path, dry_run=True)
    assert listed.keys
    assert all(key.startswith("../.a.cells.partial/") for key in listed.keys)
    assert scformat.vacuum(path) == listed
    assert [p.name for p in work.iterdir()] == ["a.cells"]
    assert files_of(path) == whole


def test_a_conversion_that_can_be_resumed_stays(sources: list[Path], work: Path) -> None:
    path = work / "a.cells"
    scformat.convert(sources[:1], path, jobs=1)
    killed((publish, "_move"), lambda: scformat.convert(sources, path, jobs=1, overwrite=True), first=True)
    assert not scformat.vacuum(path).keys
    assert scformat.convert(sources, path, jobs=1, overwrite=True, resume=True).n_cells == 120
    assert [p.name for p in work.iterdir()] == ["a.cells"]


def test_of_a_conversion_whose_store_has_grown_since(sources: list[Path], work: Path) -> None:
    path = work / "a.cells"
    killed((publish, "_move"), lambda: scformat.convert(sources[:1], path, jobs=1))
    grown = scformat.append(path, sources[1:], jobs=1)
    assert any(key.startswith("../") for key in scformat.vacuum(path).keys)
    assert [p.name for p in work.iterdir()] == ["a.cells"]
    assert scformat.open(path).n_cells == grown.n_cells == 120


def test_a_conversion_at_work_is_left_alone(sources: list[Path], work: Path) -> None:
    path = work / "a.cells"
    scformat.convert(sources[:1], path, jobs=1)
    seen: list[tuple[str, ...]] = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        seen.append(scformat.vacuum(path).keys)

    assert scformat.convert(sources, path, jobs=1, overwrite=True, progress=meanwhile).n_cells == 120
    assert seen and set(seen) == {()}


def test_of_a_table_killed_at_its_rename(sources: list[Path], work: Path) -> None:
    path = work / "a.cells"
    store = scformat.convert(sources, path, jobs=1)
    before = files_of(path)
    table = build_table(store, "kind:balanced", name="kinds")
    killed((Path, "replace"), lambda: add_table(store, "kinds", table), first=True)
    assert any(name.startswith(".zarr.json.") for name in files_of(path))
    busy = shutil.copytree(path, work / "busy.cells")
    with adding(busy), pytest.raises(scformat.ScformatError) as caught:
        scformat.vacuum(busy)
    assert caught.value.code == "store-busy"
    assert files_of(busy) == files_of(path), "a writer may need it"
    scformat.vacuum(path)
    assert files_of(path) == before


@pytest.mark.parametrize("name", ["out.h5ad", "out.html"])
def test_of_a_file_whose_writer_was_killed(name: str, sources: list[Path], work: Path) -> None:
    store = scformat.convert(sources, work / "a.cells", jobs=1)

    def write() -> None:
        if name == "out.h5ad":
            scformat.export(store, work / name)
        else:
            write_report(store, work / name)

    killed((Path, "replace"), write, first=True)
    [left] = work.glob(f".{name}.*.partial")
    others = [f".{name}.{os.getppid()}.partial", f".{name}.1.partial", f".{name}.partial", f".another.{left.name}"]
    for other in others:
        (work / other).touch()
    home = work / left.name.replace(".partial", "9.partial")  # as a conversion to a place of such a name has it
    home.mkdir()
    write()
    assert sorted(p.name for p in work.iterdir()) == sorted(["a.cells", name, home.name, *others])

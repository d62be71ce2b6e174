"""Two writers of one store: one wins, the other says so; and what one of them breaks off never harms the other."""

from __future__ import annotations

import os
import resource
import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, sample

import scformat
from scformat.errors import ScformatError, StorageError
from scformat.neighbours.publish import add_neighbours
from scformat.storage import Storage
from scformat.store import Store
from scformat.tables import add_table, build_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("sources")
    made = []
    for k in range(3):
        obs = {"kind": pd.Categorical(["a", "b", "c"] * 20), "donor": pd.Categorical(["d", "e"] * 30)}
        made.append(place / f"s{k}.h5ad")
        sample(counts_matrix(60, 20, seed=k), obs=obs, prefix=f"s{k}").write_h5ad(made[-1])
    return made


@pytest.fixture
def path(files: list[Path], tmp_path: Path) -> Path:
    scformat.convert(files[:1], tmp_path / "s.cells", jobs=1, weights=["donors=donor:balanced"])
    return tmp_path / "s.cells"


def in_child(work: Callable[[], Any], *, file_size: int | None = None) -> int:
    """Run something in a forked process, on a disk that takes files of a size only; return its status."""
    child = os.fork()
    if child == 0:
        try:
            if file_size is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def add(path: Path | Store, name: str = "kinds", by: str = "kind:balanced") -> None:
    store = path if isinstance(path, Store) else scformat.open(path)
    add_table(store, name, build_table(store, by, name=name))


def test_a_write_that_breaks_off_spares_the_file_that_was_there(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    storage.write("a/b", b"x" * 5000).result()
    for size in (5000, 9000):
        for letter in (b"x", b"y"):
            in_child(lambda d=letter * size: Storage(tmp_path).write("a/b", d).result(), file_size=2000)  # type: ignore[misc]
            assert (tmp_path / "a/b").read_bytes() == b"x" * 5000
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b"]
    storage.write("a/b", b"y" * 10).result()
    storage.sync()
    assert (tmp_path / "a/b").read_bytes() == b"y" * 10


def test_who_adds_the_same_table_again_cannot_break_it(path: Path) -> None:
    late = scformat.open(path)
    add(path)
    whole = files_of(path)
    for size in (100, 400, None):
        assert in_child(lambda: add(late), file_size=size) == 1
        assert files_of(path) == whole
    with pytest.raises(StorageError) as lost:
        add(late)
    assert lost.value.code == "store-changed"
    assert files_of(path) == whole


@pytest.mark.parametrize("what", ["table", "neighbours"])
def test_who_lost_leaves_nothing(what: str, path: Path) -> None:
    late = scformat.open(path)
    add(path, "others", "donor:natural")
    whole = files_of(path)
    with pytest.raises(StorageError) as lost:
        if what == "table":
            add(late)
        else:
            add_neighbours(late, "knn", (np.arange(60)[::-1, None], None))
    assert lost.value.code == "store-changed"
    assert files_of(path) == whole


def test_what_another_writer_may_need_is_left_to_vacuum(path: Path, files: list[Path]) -> None:
    late = scformat.open(path)
    add(path, "others", "donor:natural")
    whole = files_of(path)

    def meanwhile(stage: str, done: int, total: int) -> None:
        if stage == "collecting rows":
            with pytest.raises(StorageError):
                add(late)

    grown = scformat.append(path, files[1:2], jobs=1, ontology=False, progress=meanwhile)
    assert grown.n_cells == 120
    strays = {key.split("/")[1].split("-")[0] for key in files_of(path).keys() - whole.keys() if "tables/" in key}
    assert "kinds" in strays
    assert any("/kinds-" in key for key in scformat.vacuum(grown).keys)
    assert scformat.validate(path, level=4).ok


def test_an_overwriting_conversion_waits_for_no_append_and_harms_none(path: Path, files: list[Path]) -> None:
    """The append wins; the conversion says so, and ends when it is resumed."""
    faults: list[ScformatError] = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        if stage == "collecting rows" and not faults:
            with pytest.raises(StorageError) as busy:
                scformat.convert(files[2:], path, overwrite=True, jobs=1)
            faults.append(busy.value)

    grown = scformat.append(path, files[1:2], jobs=1, ontology=False, progress=meanwhile)
    assert [fault.code for fault in faults] == ["store-busy"]
    assert "--resume" in str(faults[0])
    assert grown.n_cells == 120
    assert scformat.validate(path, level=4).ok
    assert scformat.convert(files[2:], path, overwrite=True, resume=True, jobs=1).n_cells == 60
    assert [p.name for p in path.parent.iterdir()] == ["s.cells"]


def in_pairs(first: Callable[[], Any], second: Callable[[], Any]) -> list[str]:
    """Run two things at once; return the code of each one's error, ``done`` where there was none."""
    ends = ["", ""]
    start = threading.Barrier(2)

    def run(place: int, work: Callable[[], Any]) -> None:
        start.wait()
        try:
            work()
            ends[place] = "done"
        except ScformatError as error:
            ends[place] = error.code

    threads = [threading.Thread(target=run, args=pair) for pair in ((0, first), (1, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


LOST = {"store-changed", "source-exists", "table-exists", "store-busy"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("append", "append"),
        ("append", "append another"),
        ("append", "weights"),
        ("weights", "weights"),
        ("append", "vacuum"),
        ("append", "overwrite"),
        ("weights", "overwrite"),
        ("vacuum", "overwrite"),
    ],
)
def test_races_of_two_writers(first: str, second: str, path: Path, files: list[Path], tmp_path: Path) -> None:
    (path / "parts/9").mkdir()  # something for vacuum
    (path / "parts/9/stray").write_text("of a killed process")
    for i in range(3):
        mine = tmp_path / f"race-{i}" / "s.cells"
        shutil.copytree(path, mine)
        works: dict[str, Callable[[], Any]] = {
            "append": lambda: scformat.append(mine, files[1:2], jobs=1, ontology=False),  # noqa: B023
            "append another": lambda: scformat.append(mine, files[2:3], jobs=1, ontology=False),  # noqa: B023
            "weights": lambda: add(mine),  # noqa: B023
            "vacuum": lambda: scformat.vacuum(mine),  # noqa: B023
            "overwrite": lambda: scformat.convert(files[2:], mine, overwrite=True, jobs=1),  # noqa: B023
        }
        ends = in_pairs(works[first], works[second])
        assert "done" in ends
        assert set(ends) <= {"done", *LOST}
        assert scformat.validate(mine, level=4).ok
        if "append" in (first, second) and ends[(first, second).index("append")] == "done" and second != "overwrite":
            assert scformat.open(mine).n_cells > 60
        if second == "overwrite" and ends[1] == "done":
            assert [p.name for p in mine.parent.iterdir()] == ["s.cells"]
        scformat.vacuum(mine)
        assert not scformat.vacuum(mine).keys

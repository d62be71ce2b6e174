"""Full disks, read-only destinations and signals: one line, the right exit status, nothing lost, nothing left over."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from commands import Command, run
from messages import messages
from samples import counts_matrix, files_of, sample
from scipy import sparse

import scformat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    place = tmp_path_factory.mktemp("sources")
    made = []
    for k in range(2):
        n = 3000
        data = sample(counts_matrix(n, 200, seed=k, mean=3.0), obs={"kind": pd.Categorical(["a", "b"] * (n // 2))})
        data.obs_names = [f"s{k}-{i}" for i in range(n)]
        data.obsp["distances"] = sparse.diags([1.0] * (n - 1), 1, format="csr")
        made.append(place / f"s{k}.h5ad")
        data.write_h5ad(made[-1])
    return made


@pytest.fixture(scope="module")
def whole(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "a.cells"
    scformat.convert(sources[:1], path, jobs=2)
    return path


@pytest.fixture
def small_disk(mount: Callable[[str], AbstractContextManager[Path]]) -> Iterator[Path]:
    """A file system of its own, of a size that :func:`remount` changes."""
    with mount("64m") as place:
        yield place


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)


def check_failure(ended: subprocess.CompletedProcess[str], *, says: str) -> None:
    assert ended.returncode == 3, ended.stderr
    lines = messages(ended.stderr)
    assert len(lines) == 1, ended.stderr
    assert lines[0].startswith("error: ")
    assert says in lines[0]


def used(place: Path) -> int:
    return sum(p.stat().st_blocks * 512 for p in place.rglob("*"))


COMMANDS = {
    "append": ("append", "STORE", "SOURCE"),
    "weights add": ("weights", "add", "STORE", "kinds", "--by", "kind:balanced"),
    "neighbours add": ("neighbours", "add", "STORE", "knn", "FIRST", "--obsp", "distances"),
    "export": ("export", "STORE", "PLACE/out.h5ad"),
    "report": ("report", "STORE", "-o", "PLACE/out.html"),
}


def arguments(name: str, store: Path, sources: list[Path]) -> list[object]:
    given = {"STORE": store, "SOURCE": sources[1], "FIRST": sources[0]}
    return [given.get(word, word.replace("PLACE", str(store.parent))) for word in COMMANDS[name]]


def test_a_full_disk_in_a_conversion(small_disk: Path, sources: list[Path], whole: Path) -> None:
    remount(small_disk, "size=300k")
    ended = run("convert", sources[0], small_disk / "a.cells")
    check_failure(ended, says="No space left on device")
    assert not (small_disk / "a.cells").exists()
    remount(small_disk, "size=64m")
    ended = run("convert", sources[0], small_disk / "a.cells", "--resume")
    assert ended.returncode == 0, ended.stderr
    assert files_of(small_disk / "a.cells") == files_of(whole)
    assert [p.name for p in small_disk.iterdir()] == ["a.cells"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_under_a_store(name: str, small_disk: Path, sources: list[Path], whole: Path) -> None:
    store = small_disk / "a.cells"
    shutil.copytree(whole, store)
    before = files_of(small_disk)
    remount(small_disk, f"size={used(small_disk) // 1024 + 24}k")
    ended = run(*arguments(name, store, sources))
    check_failure(ended, says="No space left on device")
    assert files_of(small_disk) == before
    remount(small_disk, "size=64m")
    ended = run(*arguments(name, store, sources))
    assert ended.returncode == 0, ended.stderr
    assert scformat.validate(store, level=4).ok


@pytest.mark.parametrize("name", ["convert", *COMMANDS])
def test_a_destination_that_cannot_be_written_to(name: str, small_disk: Path, sources: list[Path], whole: Path) -> None:
    store = small_disk / "a.cells"
    shutil.copytree(whole, store)
    before = files_of(small_disk)
    remount(small_disk, "ro")
    given = ["convert", sources[0], small_disk / "b.cells"] if name == "convert" else arguments(name, store, sources)
    check_failure(run(*given), says="Read-only file system")
    assert files_of(small_disk) == before
    assert scformat.open(store).n_cells == 3000, "it can be read"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["convert", *COMMANDS])
def test_signals(name: str, number: signal.Signals, sources: list[Path], whole: Path, tmp_path: Path) -> None:
    """The signal comes when the first file was made; a run that had ended before has to have ended well."""
    place = tmp_path / "work"
    store = shutil.copytree(whole, place / "a.cells")
    before = files_of(place)
    given = (
        ["convert", *sources, place / "b.cells", "--order", "shuffled"]
        if name == "convert"
        else arguments(name, store, sources)
    )
    process = Command(*given)
    while process.poll() is None and len([p for p in place.rglob("*") if p.is_file()]) == len(before):
        time.sleep(0.001)
    process.send_signal(number)
    ended = process.wait()
    if ended.returncode == 0 or ended.stderr.startswith("wrote "):
        assert scformat.validate(store, level=4).ok
        return
    assert ended.returncode == 130, ended.stderr
    assert ended.stderr.strip().splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in ended.stderr
    if name == "convert":
        assert files_of(store) == files_of(whole)
        resumed = run(*given, "--resume")
        assert resumed.returncode == 0, resumed.stderr
        assert sorted(p.name for p in place.iterdir()) == ["a.cells", "b.cells"]
    elif files_of(place) != before:  # it came after the last step, or before what was begun could be noted
        if name not in ("export", "report"):
            scformat.vacuum(store)
        grown = files_of(place).keys() - before.keys()
        assert not any(key.endswith(".partial") for key in grown)
        assert scformat.validate(store, level=4).ok

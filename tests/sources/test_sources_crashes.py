"""Files that end the process of the HDF5 library, keep it busy for ever or claim sizes that cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from messages import messages
from scipy import sparse

import scformat
from scformat.errors import InvalidDataError, StorageError
from scformat.sources import open_source
from scformat.sources.hdf5_process import hdf5_process

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = [sys.executable, "-W", "error", "-c"]
HERE = Path(__file__).resolve().parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parents[1], HERE, HERE.parent / "helpers")))}


def write_study(path: Path, *, cells: int = 6) -> Path:
    obs = pd.DataFrame({"score": np.arange(cells), "kind": pd.Categorical(["a", "b"] * (cells // 2))})
    obs.index = [f"{path.stem}-{i}" for i in range(cells)]
    var = pd.DataFrame(index=[f"ENSG{i:011d}" for i in range(1, 5)])
    counts = sparse.csr_matrix(np.arange(4 * cells, dtype=np.float32).reshape(cells, 4))
    anndata.AnnData(X=counts, obs=obs, var=var).write_h5ad(path)
    return path


def endless(path: Path, name: str = "obs/score") -> Path:
    """Write a study, reading a dataset of which never ends: its bytes are those of a pipe that nobody writes to."""
    write_study(path)
    pipe = path.with_suffix(".pipe")
    os.mkfifo(pipe)
    with h5py.File(path, "a") as file:
        attributes = dict(file[name].attrs)
        shape, dtype = file[name].shape, np.dtype("S8") if file[name].dtype.hasobject else file[name].dtype
        del file[name]
        made = file.create_dataset(name, shape, dtype, external=[(str(pipe), 0, shape[0] * dtype.itemsize)])
        made.attrs.update(attributes)
    return path


@contextmanager
def killing(path: Path, *, times: int, by: int = signal.SIGSEGV) -> Iterator[set[int]]:
    """Kill processes that are reading an array of a file, so many; yield the numbers of those that were killed."""
    process, killed, done = hdf5_process(), set[int](), threading.Event()

    def kill() -> None:
        while len(killed) < times and not done.is_set():
            asked, pid = process.asked, process.pid
            if asked is not None and asked[0].path == str(path) and asked[1] == "values" and pid not in {None, *killed}:
                killed.add(int(pid or 0))
                os.kill(int(pid or 0), by)
            time.sleep(0.001)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()


def test_a_process_that_ends_between_questions_costs_nothing(tmp_path: Path) -> None:
    source = open_source(write_study(tmp_path / "a.h5ad"))
    before = source.obs()
    pid = hdf5_process().pid
    assert pid is not None
    os.kill(pid, signal.SIGSEGV)
    after = source.obs()
    assert hdf5_process().pid != pid
    assert list(after) == list(before)
    np.testing.assert_array_equal(after["score"].values, before["score"].values)
    source.close()


def test_a_crash_in_the_middle_of_a_read_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    bad, good = open_source(endless(tmp_path / "bad.h5ad")), open_source(write_study(tmp_path / "good.h5ad"))
    with (
        killing(tmp_path / "bad.h5ad", times=10) as killed,
        pytest.raises(InvalidDataError, match=r"bad\.h5ad: .*SIGSEGV") as error,
    ):
        bad.obs()
    assert len(killed) >= 2, "one that had not been asked yet is no crash"
    assert error.value.code == "source-crashed"
    assert list(good.obs()) == ["score", "kind"]
    good.close()
    bad.close()


def test_what_does_not_end_is_not_tried_twice(tmp_path: Path) -> None:
    bad = open_source(endless(tmp_path / "bad.h5ad"))
    with (
        killing(tmp_path / "bad.h5ad", times=1, by=signal.SIGXCPU),
        pytest.raises(InvalidDataError, match="to an end") as error,
    ):
        bad.obs()
    assert error.value.code == "source-crashed"
    bad.close()


def test_what_waits_for_what_does_not_come_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = open_source(endless(tmp_path / "bad.h5ad")), open_source(write_study(tmp_path / "good.h5ad"))
    monkeypatch.setattr(hdf5_process(), "stalled_seconds", 2.0)
    with pytest.raises(StorageError, match=r"bad\.h5ad: .*waits") as error:
        bad.obs()
    assert error.value.code == "source-stalled"
    assert list(good.obs()) == ["score", "kind"]
    good.close()
    bad.close()


def test_a_pipe_is_no_source_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.h5ad")
    for given in (tmp_path / "a.h5ad", "/dev/null"):
        with pytest.raises(StorageError, match="no regular file") as error:
            scformat.convert([given], tmp_path / "a.cells", jobs=1)
        assert error.value.code == "not-a-file"


def test_the_limit_of_processor_time_ends_a_process() -> None:
    busy = "from scformat.sources import hdf5_server; hdf5_server.limit(0, 0)\nwhile True: pass"
    ended = subprocess.run([*RUN, busy], env=ENVIRONMENT, check=False, timeout=120)
    assert ended.returncode == -signal.SIGXCPU


def test_a_source_that_crashes_when_it_is_opened_can_be_skipped(tmp_path: Path) -> None:
    good, bad = write_study(tmp_path / "good.h5ad"), endless(tmp_path / "bad.h5ad", "obs/_index")
    with killing(tmp_path / "bad.h5ad", times=10):
        store = scformat.convert([good, bad], tmp_path / "a.cells", on_bad="skip", jobs=1)
    assert list(store.sources.index) == ["good"]
    assert [(skipped.path, skipped.code) for skipped in store.manifest.skipped] == [("bad.h5ad", "source-crashed")]


def test_a_command_ends_with_one_line(tmp_path: Path) -> None:
    good, bad = write_study(tmp_path / "good.h5ad"), endless(tmp_path / "bad.h5ad")
    run = """
import sys
from pathlib import Path
from test_sources_crashes import killing
from scformat.cli import main

with killing(Path(sys.argv[3]), times=10):
    status = main()
sys.exit(status)
"""
    ended = subprocess.run(
        [*RUN, run, "convert", str(good), str(bad), str(tmp_path / "a.cells")],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 1, ended.stderr
    (line,) = messages(ended.stderr)
    assert line.startswith(f"error: {bad}: the HDF5 library crashed over it (SIGSEGV)")
    assert line.endswith("[source-crashed]")
    assert not (tmp_path / "a.cells").exists()


def test_a_file_that_was_replaced_is_not_read_on_by_another_process(tmp_path: Path) -> None:
    source = open_source(write_study(tmp_path / "a.h5ad"))
    hdf5_process().end()
    write_study(tmp_path / "b.h5ad").replace(tmp_path / "a.h5ad")
    with pytest.raises(StorageError) as error:
        source.obs()
    assert error.value.code == "source-changed"
    source.close()


def test_a_file_can_be_written_once_its_source_is_closed_or_gone(tmp_path: Path) -> None:
    path = write_study(tmp_path / "a.h5ad")
    source = open_source(path)
    source.close()
    write_study(path)
    source = open_source(path)
    del source
    write_study(path)


SCRIPT = """
import os, sys
from scformat.sources import open_source
from scformat.sources.hdf5_process import hdf5_process
source = open_source(sys.argv[1])
print(hdf5_process().pid, flush=True)
"""


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)", "sys.exit(3)", "os._exit(4)"])
def test_nothing_is_left_running(tmp_path: Path, end: str) -> None:
    ended = subprocess.run(
        [*RUN, SCRIPT + end, str(write_study(tmp_path / "a.h5ad"))],
        env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False, timeout=120,
    )  # fmt: skip
    status = Path(f"/proc/{int(ended.stdout)}/stat")
    if not Path("/proc/self/stat").exists():
        pytest.skip("there is no /proc")
    for _ in range(12_000):
        try:
            state = status.read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.01)
    pytest.fail("it still runs")


def test_a_forked_process_reads_with_a_process_of_its_own(tmp_path: Path) -> None:
    forking = """
pid = os.fork()
assert list(source.obs()) == ["score", "kind"]
if pid == 0:
    assert list(open_source(sys.argv[1]).obs()) == ["score", "kind"]
    print(hdf5_process().pid, flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert list(source.obs()) == ["score", "kind"]
"""
    ended = subprocess.run(
        [*RUN, SCRIPT + forking, str(write_study(tmp_path / "a.h5ad"))],
        env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    first, second = map(int, ended.stdout.split())
    assert first != second


HUGE = 10**12


@pytest.mark.parametrize("chunks", [None, (1000,), (10**9,)])
@pytest.mark.parametrize("name", ["obs/score", "X/indptr", "X/data"])
def test_an_array_that_claims_more_than_its_file_can_hold(tmp_path: Path, name: str, chunks: tuple[int] | None) -> None:
    path = write_study(tmp_path / "a.h5ad")
    with h5py.File(path, "a") as file:
        attributes, dtype = dict(file[name].attrs), file[name].dtype
        del file[name]
        made = file.create_dataset(name, (HUGE,), dtype, chunks=chunks)  # nothing of it is ever written
        made.attrs.update(attributes)
        if name == "X/data":
            del file["X/indices"]
            file.create_dataset("X/indices", (HUGE,), "i4", chunks=chunks)
            indptr = file["X/indptr"][()].astype(np.int64)
            del file["X/indptr"]
            indptr[-1] = HUGE
            file["X/indptr"] = indptr
    with pytest.raises(InvalidDataError) as error:
        scformat.plan_conversion([path], jobs=1)
    assert error.value.code == "impossible-size"
    assert f"{path}:{name.replace('X/data', 'X/indices')}" in str(error.value)


def test_the_process_ends_with_a_file_that_cannot_be_opened_and_others_are_read_on(tmp_path: Path) -> None:
    source = open_source(write_study(tmp_path / "a.h5ad"))
    pid = hdf5_process().pid
    open_source(write_study(tmp_path / "b.h5ad")).close()
    assert list(source.obs()) == ["score", "kind"]
    assert hdf5_process().pid == pid
    bad = write_study(tmp_path / "c.h5ad")
    bad.write_bytes(bad.read_bytes()[:5000])
    for _ in range(3):
        with pytest.raises(InvalidDataError, match="shorter than it says"):
            open_source(bad)
    assert list(source.obs()) == ["score", "kind"]
    assert hdf5_process().pid != pid
    source.close()

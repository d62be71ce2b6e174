"""A conversion on a Dask cluster ends with the bytes of one on this machine, whatever happens to its workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from messages import messages
from samples import counts_matrix, files_of, sample

import scformat
from scformat.errors import InvalidDataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Client

    Whole = Callable[[str], dict[str, str]]

pytestmark = pytest.mark.usefixtures("many_blocks")

ORDERS: dict[str, dict[str, Any]] = {
    "source": {},
    "shuffled": {"order": "shuffled"},
    "stratified": {"stratify_by": ["kind"], "splits": "train=0.8,test=0.2", "weights": ["kind=kind:balanced"]},
}
TESTS = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "helpers")])}


@pytest.fixture(scope="module")
def whole(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Digests of what this machine makes of the sources in an order; made when first asked for."""
    directory = tmp_path_factory.mktemp("whole")
    made: dict[str, dict[str, str]] = {}

    def ask(order: str) -> dict[str, str]:
        if order not in made:
            store = scformat.convert(sources, directory / order, jobs=2, **ORDERS[order])
            assert store.manifest.parts[0].n_shards > 8
            made[order] = files_of(directory / order)
        return made[order]

    return ask


@pytest.mark.parametrize("order", ORDERS)
def test_a_cluster_writes_the_same_bytes(
    order: str, client: Client, sources: list[Path], whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: dict[str, list[float]] = {}
    # Workers have another current directory.
    monkeypatch.chdir(tmp_path)
    scformat.convert(
        [os.path.relpath(path) for path in sources],
        "a.cells",
        dask=client,
        memory="200MB",
        progress=lambda stage, done, total: stages.setdefault(stage, []).append(done / max(total, 1)),
        **ORDERS[order],
    )
    assert files_of(tmp_path / "a.cells") == whole(order)
    assert [p.name for p in tmp_path.iterdir()] == ["a.cells"]
    assert len(stages["reading counts"]) > 8
    assert len(stages["writing counts"]) > 8
    assert stages["writing counts"] == sorted(stages["writing counts"])
    assert stages["writing counts"][-1] == 1


@pytest.mark.parametrize(
    ("order", "stage", "share"),
    [("source", "writing counts", 0.1), ("shuffled", "writing counts", 0.3)],
)
def test_a_worker_is_killed(
    order: str, stage: str, share: float, client: Client, sources: list[Path], whole: Whole, tmp_path: Path
) -> None:
    killed: list[int] = []

    def progress(name: str, done: int, total: int) -> None:
        if name == stage and done >= share * total and not killed:
            busiest, _ = max(client.processing().items(), key=lambda some: len(some[1]))
            killed.append(client.run(os.getpid)[busiest])
            os.kill(killed[0], signal.SIGKILL)

    scformat.convert(sources, tmp_path / "a.cells", dask=client, memory="100MB", progress=progress, **ORDERS[order])
    assert killed
    assert killed[0] not in client.run(os.getpid).values()
    assert files_of(tmp_path / "a.cells") == whole(order)
    assert [p.name for p in tmp_path.iterdir()] == ["a.cells"]


def converting(what: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command in a process group of its own; what it does once counts are written is in `what`."""
    code = f"""
import os, signal, sys
import pytest, small_blocks, scformat
from scformat.cli import main
small_blocks.shrink(pytest.MonkeyPatch())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job of a shell's background is born ignoring it
real = scformat.convert
def convert(*arguments, progress, **options):
    def watched(stage, done, total):
        if stage == "writing counts" and done >= 0.4 * total:
            {what}
    return real(*arguments, progress=watched, **options)
scformat.convert = convert
if __name__ == "__main__":
    sys.exit(main())
"""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "convert", *map(str, arguments)],
        env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False, start_new_session=True,
    )  # fmt: skip


def test_a_killed_client_goes_on(client: Client, sources: list[Path], whole: Whole, tmp_path: Path) -> None:
    target, address = tmp_path / "a.cells", client.scheduler.address
    ended = converting("os.kill(os.getpid(), signal.SIGKILL)", *sources, target, "--dask", address)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    shards = Path("parts", "1", "counts", "entries", "c", "0")
    before = {path.name: path.stat().st_ino for path in (tmp_path / ".a.cells.partial" / "store" / shards).iterdir()}
    # The cluster need not have heard of it yet; what it still has at work must not reach the new run's files.
    scformat.convert(sources, target, dask=address, resume=True)
    assert files_of(target) == whole("source")
    now = {path.name: path.stat().st_ino for path in (target / shards).iterdir()}
    assert sum(now[name] == inode for name, inode in before.items()) > 2
    assert [p.name for p in tmp_path.iterdir()] == ["a.cells"]


def test_an_interrupted_command_goes_on_with_other_workers(sources: list[Path], whole: Whole, tmp_path: Path) -> None:
    command = [*sources, tmp_path / "a.cells", "--dask", "local:1"]
    ended = converting("os.killpg(0, signal.SIGINT)", *command)
    assert (ended.returncode, len(messages(ended.stderr))) == (130, 1), ended.stderr
    assert "--resume" in ended.stderr
    ended = converting("pass", *command, "--resume")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.splitlines()[-1].startswith(f"wrote {tmp_path / 'a.cells'}")
    assert files_of(tmp_path / "a.cells") == whole("source")


def test_an_error_in_a_worker_arrives_as_itself(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "bad.h5ad"
    sample(np.random.default_rng(0).poisson(5, (4000, 200))).write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        data = file["X/data"].id
        begin = data.get_chunk_info(data.get_num_chunks() // 2).byte_offset
    content = bytearray(path.read_bytes())
    content[begin : begin + 64] = b"x" * 64
    path.write_bytes(content)
    errors = []
    for dask in (None, client):
        with pytest.raises(InvalidDataError) as caught:
            scformat.convert(path, tmp_path / "a.cells", dask=dask)
        errors.append((type(caught.value), vars(caught.value)))
    assert errors[0] == errors[1]
    assert str(path) in errors[1][1]["where"]
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5ad"]


def test_a_plan_is_the_same(client: Client, sources: list[Path]) -> None:
    here, there = (scformat.plan_conversion(sources, dask=dask).as_dict() for dask in (None, client))
    assert here == there


def test_objects_in_memory_stay_here(client: Client, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        scformat.convert(sample(counts_matrix(20, 10)), tmp_path / "a.cells", dask=client)
    assert caught.value.code == "source-in-memory"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "says", "dask", "environment", "first"),
    [
        (3, "pip install 'scformat[dask]'", "local", {}, "sys.modules['distributed'] = None"),
        (3, "[no-scheduler]", "tcp://127.0.0.1:9", {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s"}, "pass"),
        (2, "[bad-cluster]", "local:0", {}, "pass"),
    ],
)
def test_what_the_command_says(
    status: int, says: str, dask: str, environment: dict[str, str], first: str, sources: list[Path], tmp_path: Path
) -> None:
    code = f"import sys; {first}; from scformat.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, "convert", *map(str, sources), str(tmp_path / "a"), "--dask", dask],
        env={**ENVIRONMENT, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, len(messages(ended.stderr))) == (status, 1), ended.stderr
    assert says in ended.stderr
    assert list(tmp_path.iterdir()) == []

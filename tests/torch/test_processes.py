"""Loaders in forked and spawned processes, at the end of the interpreter, and over a store that breaks."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorstore

torch = pytest.importorskip("torch", reason="torch is an extra")

from torch.utils.data import DataLoader  # noqa: E402

import scformat  # noqa: E402
from scformat.errors import ScformatError, UsageError  # noqa: E402
from scformat.torch import CellDataset, CellLoader  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]


def _iterate(made: CellLoader, out: object) -> None:
    out.put([batch.rows.tolist() for batch in made])  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_loader_made_before_a_process_works_in_it(ordered_path: Path, method: str) -> None:
    made = CellLoader(scformat.open(ordered_path), 64, seed=2, threads=2, steps_per_epoch=8, output="csr")
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_iterate, args=(made, queue))
    child.start()
    got = queue.get(timeout=120)
    child.join(60)
    assert child.exitcode == 0
    assert got == [batch.rows.tolist() for batch in made]


def _as_rank(path: str, rank: int, meeting: str, out: object) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    made = CellLoader(path, 32, steps_per_epoch=4, output="csr")
    out.put((rank, [row for batch in made for row in batch.rows.tolist()]))  # type: ignore[attr-defined]
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_ranks_are_those_of_torch_distributed(ordered_path: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    made = [
        context.Process(target=_as_rank, args=(str(ordered_path), rank, str(tmp_path / "meeting"), queue))
        for rank in range(2)
    ]
    for process in made:
        process.start()
    got = dict(queue.get(timeout=120) for _ in made)
    for process in made:
        process.join(60)
        assert process.exitcode == 0
    whole = CellLoader(ordered_path, 64, steps_per_epoch=4).plan.rows(0, 256)
    assert got == {0: whole[0::2].tolist(), 1: whole[1::2].tolist()}


def test_a_loader_can_be_pickled_in_the_middle(ordered_path: Path) -> None:
    made = CellLoader(scformat.open(ordered_path), 64, seed=2, steps_per_epoch=8)
    whole = [batch.rows.tolist() for batch in CellLoader(ordered_path, 64, seed=2, steps_per_epoch=8)]
    stream = iter(made)
    for _ in range(3):
        next(stream)
    copy = pickle.loads(pickle.dumps(made))
    copy.load_state_dict(made.state_dict())
    assert [batch.rows.tolist() for batch in copy] == whole[3:]
    assert [batch.rows.tolist() for batch in stream] == whole[3:]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_an_iterator_is_not_carried_across_a_fork(ordered_path: Path) -> None:
    stream = iter(CellLoader(ordered_path, 8, threads=2, output="csr"))
    next(stream)
    child = os.fork()
    if child == 0:
        try:
            next(stream)
        except UsageError as error:
            os._exit(0 if error.code == "iterated-across-fork" else 3)
        os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    next(stream)
    stream.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_workers_forked_from_a_process_at_work_read_rightly(plain_path: Path) -> None:
    store = scformat.open(plain_path)
    key = store.manifest.parts[0].entries.path
    kept = {"driver": "file", "path": str(plain_path / key)}
    array = tensorstore.open({"driver": "zarr3", "kvstore": kept}).result()
    expected = store.read(np.arange(256)).dense(np.int64)
    begun, done = threading.Barrier(4), threading.Event()

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        first = True
        while first or not done.is_set():
            array.read().result()
            store.read(rng.integers(0, store.n_cells, 200)).csr()
            if first:
                begun.wait(120)
            first = False

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    stream = iter(CellLoader(store, 32, threads=2, output="csr"))
    next(stream)
    try:
        for thread in threads:
            thread.start()
        begun.wait(120)
        cells = DataLoader(
            CellDataset(store), batch_size=32, sampler=range(256), num_workers=3, collate_fn=CellDataset.collate,
            multiprocessing_context="fork", timeout=120,
        )  # fmt: skip
        for _ in range(2):
            found = list(cells)
            assert [row for batch in found for row in batch.rows.tolist()] == list(range(256))
            assert np.array_equal(torch.cat([batch.x for batch in found]).numpy(), expected)
    finally:
        done.set()
        stream.close()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("ending", ["", "raise SystemExit(0)", "stream.close()", "del stream"])
def test_the_interpreter_ends_with_an_iterator_half_way(ordered_path: Path, ending: str) -> None:
    code = (
        "import sys\nfrom scformat.torch import CellLoader\n"
        f"loader = CellLoader({str(ordered_path)!r}, 16, threads=2, output='csr', memory='1MiB')\n"
        f"stream = iter(loader)\nnext(stream)\nnext(stream)\nprint('so far')\n{ending}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "so far\n", "")


@pytest.mark.parametrize("threads", [0, 2])
def test_a_file_lost_while_reading_is_one_clear_error(plain_path: Path, tmp_path: Path, threads: int) -> None:
    copy = tmp_path / "copy.cells"
    shutil.copytree(plain_path, copy)
    made = CellLoader(copy, 32, threads=threads, memory="1MiB", block=1, steps_per_epoch=1000)
    stream = iter(made)
    first = next(stream)
    assert np.array_equal(first.x.numpy(), scformat.open(plain_path).read(first.rows.numpy()).dense())
    shutil.rmtree(copy / made.store.manifest.parts[0].entries.path / "c")
    got = 1
    with pytest.raises(ScformatError) as caught:
        for _ in stream:
            got += 1
    assert caught.value.code in ("lost-chunk", "not-found")
    assert got < len(made)
    state = made.state_dict()
    assert state["position"] == got * 32
    shutil.copytree(
        plain_path / made.store.manifest.parts[0].entries.path / "c",
        copy / made.store.manifest.parts[0].entries.path / "c",
    )
    made.load_state_dict(state)
    assert len(list(made)) == len(made) - got


def test_naming_the_module_does_not_load_torch() -> None:
    code = (
        "import sys, scformat.torch, scformat.torch as t; assert 'torch' not in sys.modules; t.CellLoader; import torch"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=REPOSITORY, check=True, timeout=120)


def test_without_torch_the_extra_is_named() -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nimport scformat.torch\n"
        "from scformat.errors import MissingExtraError\n"
        "try:\n    scformat.torch.CellLoader\nexcept MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=True
    )
    assert "scformat[torch]" in done.stdout

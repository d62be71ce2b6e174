"""Stores in buckets and behind HTTP read as those in directories, with few requests and in spite of faults."""

from __future__ import annotations

import os
import pickle
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from uploads import upload

import scformat
from scformat import storage
from scformat.errors import DamagedDataError, InvalidDataError, ScformatError, StorageError, UsageError
from scformat.loading.window import read_window
from scformat.storage import Storage
from tools.remote.proxy import Faults

if TYPE_CHECKING:
    from pathlib import Path

FAULTY = Faults(errors=0.05, truncations=0.05, latency=0.001, seed=3)


def rows_of(n: int, *, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 6_000, n)


def same(one: scformat.store.Store, other: scformat.store.Store) -> None:
    rows = rows_of(500)
    assert one.manifest == other.manifest
    assert (one.read(rows).csr() != other.read(rows).csr()).nnz == 0
    assert one.obs(rows=rows).equals(other.obs(rows=rows))
    assert one.genes.equals(other.genes)
    assert one.sources.equals(other.sources)
    assert np.array_equal(one.select("kind == 'b'"), other.select("kind == 'b'"))
    assert np.array_equal(one.tables["kind:balanced"].draw(1, 0, 100), other.tables["kind:balanced"].draw(1, 0, 100))


def test_a_bucket_reads_as_the_directory(places: Any) -> None:
    same(scformat.open(places.local), scformat.open(places.remote))


def test_it_reads_the_same_through_faults(places: Any) -> None:
    places.proxy.faults = FAULTY
    same(scformat.open(places.local), scformat.open(places.remote))
    assert {r.fault for r in places.proxy.requests} >= {"", "error", "truncated"}


def test_a_bucket_is_validated(places: Any) -> None:
    assert scformat.validate(places.remote).ok


def test_a_store_pickles(places: Any) -> None:
    store = pickle.loads(pickle.dumps(scformat.open(places.remote)))
    assert store.read([5]).csr().shape == (1, 60)


def rounds(places: Any) -> int:
    return len({r.round for r in places.proxy.requests})


def test_a_window_takes_two_rounds(places: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records in one round, and counts in another, once the indexes of the files are known."""
    monkeypatch.setattr(storage, "KEPT_BYTES", 1)  # of a large store few records are still there
    store = scformat.open(places.remote)
    read_window(store, rows_of(1_000))
    found = []
    for seed in range(3):
        places.proxy.forget()
        places.proxy.faults = Faults(hold=0.3)
        read_window(store, rows_of(20, seed=seed))
        places.proxy.faults = Faults()
        assert all(r.byte_range for r in places.proxy.requests)
        assert {"/entries/" in r.path for r in places.proxy.requests} == {True, False}
        found.append(rounds(places))
    assert min(found) == 2, "a process that stands still for a while may seem to take more"


def test_a_window_over_several_parts_takes_two_rounds_too(
    places: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "KEPT_BYTES", 1)
    local = tmp_path / "parts.cells"
    scformat.convert(places.files[:1], local, ontology=False, jobs=1)
    for file in places.files[1:]:
        scformat.append(local, [file])
    upload(local, "s3://cells/parts.cells")
    one, other = scformat.open(local), scformat.open("s3://cells/parts.cells")
    assert len(other.manifest.parts) == 3
    rows = np.random.default_rng(5).integers(0, other.n_cells, 1_000)
    for wanted in (rows, rows[rows < 3_000], rows[:0]):
        held, known = read_window(other, wanted), read_window(one, wanted)
        assert np.array_equal(held.rows, known.rows)
        assert np.array_equal(held.total, known.total)
        assert np.array_equal(held.n_values, known.n_values)
    found = []
    for seed in range(3):
        places.proxy.forget()
        places.proxy.faults = Faults(hold=0.3)
        read_window(other, np.random.default_rng(seed).integers(0, other.n_cells, 30))
        places.proxy.faults = Faults()
        assert {r.path.split("/parts/")[1][0] for r in places.proxy.requests} == {"1", "2", "3"}
        found.append(rounds(places))
    assert min(found) == 2


def test_a_run_of_cells_is_one_request(places: Any) -> None:
    store = scformat.open(places.remote)
    store.read(range(10))
    places.proxy.forget()
    store.read(range(2_000, 2_064))
    counts = [r for r in places.proxy.requests if "/entries/" in r.path]
    assert len(counts) == 1


def test_http_reads_as_the_directory(places: Any, web: str) -> None:
    same(scformat.open(places.local), scformat.open(web))
    with pytest.raises(StorageError) as none:
        scformat.open(web.replace("local.cells", "other.cells"))
    assert none.value.code == "no-store"
    with pytest.raises(StorageError) as listed:
        Storage(web).keys()
    assert listed.value.code == "cannot-list"
    with pytest.raises(StorageError) as written:
        Storage(web).write("x", b"y").result()
    assert written.value.code == "read-only"


def fails(code: str, do: Any, kind: type[ScformatError] = StorageError) -> ScformatError:
    with pytest.raises(kind) as caught:
        do()
    assert caught.value.code == code, caught.value
    assert "\n" not in str(caught.value)
    return caught.value


def test_what_is_not_there_is_told_apart(places: Any) -> None:
    fails("no-store", lambda: scformat.open("s3://cells/nothing.cells"))
    fails("no-bucket", lambda: scformat.open("s3://no-such-bucket/local.cells"))
    fails("no-bucket", lambda: Storage("s3://no-such-bucket/a").write("x", b"y").result())


def test_no_network(places: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fails("no-connection", lambda: scformat.open(places.remote))


def test_no_credentials(places: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    fails("no-credentials", lambda: scformat.open(places.remote))


def test_a_server_that_only_fails(places: Any) -> None:
    places.proxy.faults = Faults(errors=1.0)
    fails("storage-failed", lambda: scformat.open(places.remote))
    assert len(places.proxy.requests) == 7, "the first and its six retries"


def test_a_truncated_object_is_damage(places: Any) -> None:
    storage = Storage("s3://cells/cut")
    storage.write("x", b"0123456789").result()
    out = np.empty(10, np.uint8)
    for low, high in ((5, 15), (20, 30)):
        fails(
            "damaged-object",
            lambda a=low, b=high: storage._blobs.begin_ranges("x", np.array([a]), np.array([b]), out).result(),
            InvalidDataError,
        )
    assert storage._blobs.begin_tail("x", 100).result() == b"0123456789"
    assert storage._blobs.begin_tail("x", 3).result() == b"789"
    assert storage._blobs.begin_tail("y", 3).result() is None


def test_a_truncated_shard_names_its_cells(places: Any, tmp_path: Path) -> None:
    part = scformat.open(places.local).manifest.parts[0]
    key = f"{part.entries.path}/c/0/0"
    whole = (places.local / key).read_bytes()
    target = Storage(places.remote)
    target.write(key, whole[: len(whole) // 2]).result()
    try:
        with pytest.raises(DamagedDataError) as caught:
            scformat.open(places.remote).read([17])
        assert caught.value.cells == (17,)
    finally:
        target.write(key, whole).result()


@pytest.mark.parametrize("anew", [False, True])
def test_a_forked_process_is_told_and_neither_hangs_nor_is_aborted(places: Any, *, anew: bool) -> None:
    store = scformat.open(places.remote)
    store.read(np.arange(100))  # TensorStore has its threads
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # a process that hangs is killed by it
        try:
            (scformat.open(places.remote) if anew else store).read([1])
        except UsageError as error:
            os._exit(0 if error.code == "opened-before-fork" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forked_workers_read_the_copy_on_disk_and_refuse_the_bucket(places: Any) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is an extra")
    from scformat.torch import CellDataset

    def batches(store: scformat.store.Store) -> list[Any]:
        loader = data.DataLoader(
            CellDataset(store), batch_size=16, sampler=range(64), num_workers=2, collate_fn=CellDataset.collate,
            multiprocessing_context="fork", timeout=120,
        )  # fmt: skip
        return [batch.rows.tolist() for batch in loader]

    remote = scformat.open(places.remote)
    remote.read(np.arange(100))
    assert batches(scformat.open(places.local)) == np.arange(64).reshape(4, 16).tolist()
    with pytest.raises(Exception, match="opened-before-fork"):  # torch makes an error of its own of it
        batches(remote)

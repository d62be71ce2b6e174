"""Stores in buckets are made and grow as those in directories do: whole or not at all, and of two writers one wins."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from samples import counts_matrix, sample

import scformat
from scformat.errors import ScformatError, StorageError, UsageError
from scformat.neighbours.publish import add_neighbours
from scformat.storage import Storage
from scformat.tables import add_table, build_table, write_table_file
from tools.remote.proxy import Faults

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS: dict[str, Any] = {"order": "shuffled", "ontology": False, "jobs": 2, "weights": ["kinds=kind:balanced"]}
FAULTY = Faults(errors=0.04, truncations=0.04, lost=0.1, seed=5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    import pandas as pd

    place = tmp_path_factory.mktemp("few")
    made = []
    for k in range(2):
        obs = {"kind": pd.Categorical(["a", "b", "c"] * 20), "donor": pd.Categorical(["d", "e"] * 30)}
        made.append(place / f"s{k}.h5ad")
        sample(counts_matrix(60, 20, seed=k), obs=obs, prefix=f"s{k}").write_h5ad(made[-1])
    return made


@pytest.fixture
def url(places: Any, request: pytest.FixtureRequest) -> str:
    """A prefix of its own for each test."""
    return f"s3://cells/{request.node.name}.cells"


def objects_of(url: str) -> dict[str, bytes]:
    storage = Storage(url)
    return {key: storage.read(key) or b"" for key in sorted(storage.keys())}


def bytes_of(directory: Path) -> dict[str, bytes]:
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def refused(code: str, do: Any, kind: type[ScformatError] = UsageError) -> None:
    with pytest.raises(kind) as caught:
        do()
    assert caught.value.code == code, caught.value


def test_everything_gives_the_bytes_of_a_directory(url: str, files: list[Path], tmp_path: Path, places: Any) -> None:
    """Conversion, a table, neighbours, an append: through faults that lose answers of what was done."""
    places.proxy.faults = FAULTY
    local = tmp_path / "local.cells"
    for place in (local, url):
        store = scformat.convert(files[:1], place, **OPTIONS)
        add_table(store, "donors", build_table(store, "donor:natural", name="donors"))
        store = scformat.open(place)
        add_neighbours(store, "knn", (np.arange(60)[::-1, None], None))
        grown = scformat.append(scformat.open(place), files[1:], jobs=1, ontology=False)
        assert grown.n_cells == 120
    assert objects_of(url) == bytes_of(local)
    assert {r.fault for r in places.proxy.requests if r.method == "PUT"} >= {"error", "lost"}
    assert scformat.vacuum(url, dry_run=True).keys == scformat.vacuum(local, dry_run=True).keys != ()


def test_a_conversion_that_fails_leaves_nothing(url: str, files: list[Path]) -> None:
    def stop(stage: str, done: int, total: int) -> None:
        if stage == "writing cells":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scformat.convert(files[:1], url, **OPTIONS, progress=stop)
    assert objects_of(url) == {}
    refused("unknown-label", lambda: scformat.convert(files[:1], url, **{**OPTIONS, "weights": ["x=no:natural"]}))
    assert objects_of(url) == {}


def test_of_two_conversions_one_wins(url: str, files: list[Path]) -> None:
    tried = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        if not tried:
            tried.append(stage)
            refused("destination-exists", lambda: scformat.convert(files[1:], url, **OPTIONS))

    scformat.convert(files[:1], url, **OPTIONS, progress=meanwhile)
    assert tried
    assert scformat.validate(url).ok
    assert scformat.open(url).sources.index.tolist() == ["s0"]
    whole = objects_of(url)
    refused("destination-exists", lambda: scformat.convert(files[1:], url, **OPTIONS))
    assert objects_of(url) == whole


def test_two_conversions_from_two_threads(url: str, files: list[Path]) -> None:
    codes: list[str] = []

    def run(source: Path) -> None:
        try:
            scformat.convert([source], url, **OPTIONS)
            codes.append("done")
        except ScformatError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=run, args=(source,)) for source in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == ["destination-exists", "done"]
    assert scformat.validate(url).ok


def test_what_a_bucket_cannot_do_is_refused(url: str, files: list[Path], tmp_path: Path) -> None:
    refused("cannot-overwrite", lambda: scformat.convert(files[:1], url, overwrite=True))
    refused("cannot-resume", lambda: scformat.convert(files[:1], url, resume=True))
    assert objects_of(url) == {}
    Storage(url).write("parts/1/zarr.json", b"left by a killed conversion").result()
    with pytest.raises(UsageError, match="no store") as caught:
        scformat.convert(files[:1], url)
    assert caught.value.code == "destination-exists"
    Storage(url).discard("")
    store = scformat.convert(files[:1], url, **OPTIONS)
    refused("cannot-vacuum", lambda: scformat.vacuum(store))
    table = build_table(store, "donor:natural", name="donors")
    refused("not-a-path", lambda: write_table_file("s3://cells/table", "donors", table))
    write_table_file(tmp_path / "table", "donors", table)


def test_nothing_is_written_over_http(web: str, files: list[Path]) -> None:
    refused("read-only", lambda: scformat.convert(files[:1], f"{web}2", **OPTIONS), StorageError)
    store = scformat.open(web)
    refused("cannot-add", lambda: add_table(store, "t", build_table(store, "kind:balanced", name="t")))


def test_of_two_writers_of_a_store_one_wins(url: str, files: list[Path]) -> None:
    late = scformat.convert(files[:1], url, **OPTIONS)
    add_table(scformat.open(url), "donors", build_table(late, "donor:natural", name="donors"))
    whole = objects_of(url)
    refused("store-changed", lambda: scformat.append(late, files[1:], jobs=1, ontology=False), StorageError)
    assert objects_of(url) == whole
    refused("store-changed", lambda: add_table(late, "t", build_table(late, "donor:balanced", name="t")), StorageError)
    left = {key for key in objects_of(url) if key not in whole}
    assert set(scformat.vacuum(url, dry_run=True).keys) == left != set()
    assert objects_of(url)["zarr.json"] == whole["zarr.json"]
    assert scformat.validate(url).ok


def test_an_append_that_loses_takes_its_part_away(url: str, files: list[Path]) -> None:
    scformat.convert(files[:1], url, **OPTIONS)
    seen: list[int] = []

    def meanwhile(stage: str, done: int, total: int) -> None:
        if stage == "writing cells" and not seen:
            seen.append(0)
            seen.append(scformat.append(url, files[1:], jobs=1, ontology=False).n_cells)

    refused("store-changed", lambda: scformat.append(url, files[1:], jobs=1, progress=meanwhile), StorageError)
    assert seen == [0, 120]
    assert scformat.validate(url).ok
    assert not [key for key in scformat.vacuum(url, dry_run=True).keys if key.startswith("parts/2/")]


def test_a_lost_answer_is_no_lost_race(places: Any) -> None:
    storage = Storage("s3://cells/answers")
    places.proxy.faults = Faults(lost=1.0)
    assert storage.replace("root", b"first", expected=None)
    assert not storage.replace("root", b"second", expected=None)
    assert not storage.replace("root", b"second", expected=b"other")
    assert storage.replace("root", b"second", expected=b"first")
    places.proxy.faults = Faults()
    assert storage.read("root") == b"second"


def test_what_a_root_in_doubt_may_name_is_not_removed(places: Any) -> None:
    storage = Storage("s3://cells/doubt")
    storage.write("a", b"1").result()
    places.proxy.faults = Faults(errors=1.0, only=("PUT",))
    with pytest.raises(StorageError):
        storage.replace("root", b"x", expected=None)
    places.proxy.faults = Faults()
    storage.discard("")
    assert storage.keys() == ["a"]
    Storage("s3://cells/doubt").discard("")
    assert storage.keys() == []


def test_of_many_who_replace_one_wins(places: Any) -> None:
    storage = Storage("s3://cells/race")
    assert storage.replace("root", b"0", expected=None)
    won: list[bool] = []
    start = threading.Barrier(8)

    def run(k: int) -> None:
        start.wait()
        won.append(storage.replace("root", b"%d" % (k + 1), expected=b"0"))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(won) == 1

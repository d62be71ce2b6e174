"""A killed conversion goes on from what it had finished, ends with the same bytes, and is no other conversion."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from messages import messages
from samples import counts_matrix, files_of, sample

import scformat
from scformat.conversion.journal import Journal
from scformat.errors import InvalidDataError, UsageError


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("sources")
    for i, layout in enumerate(["csr", "csc", "dense"]):
        values = counts_matrix(300, 60, seed=i, mean=6.0)
        values[3, 7] = 70_000
        data = sample(values, layout=layout, prefix=f"s{i}", obs={"kind": pd.Categorical(["a", "b", "c"] * 100)})
        data.write_h5ad(directory / f"s{i}.h5ad")
    return sorted(directory.glob("*.h5ad"))


def killed(paths: list[Path], target: Path, *, stage: str, after: float, **options: Any) -> None:
    """Convert in a forked process that is killed once `stage` is done by the share `after`."""

    def progress(name: str, done: int, total: int) -> None:
        if name == stage and done >= after * total:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            scformat.convert(paths, target, jobs=2, memory="100MB", progress=progress, **options)
        finally:
            os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert not target.exists()
    assert (target.parent / f".{target.name}.partial" / "journal").is_file()


ORDERS: dict[str, dict[str, Any]] = {
    "source": {},
    "shuffled": {"order": "shuffled"},
    "stratified": {"stratify_by": ["kind"]},
}


@pytest.mark.parametrize(
    ("stage", "after"),
    [("reading counts", 0.7), ("writing counts", 0.4), ("writing counts", 0.9), ("writing cells", 1)],
)
@pytest.mark.parametrize("order", ORDERS)
def test_a_killed_run_goes_on_and_ends_the_same(
    order: str,
    stage: str,
    after: float,
    sources: list[Path],
    tmp_path: Path,
    many_blocks: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = tmp_path / "whole.cells"
    store = scformat.convert(sources, whole, jobs=2, **ORDERS[order])
    assert store.manifest.parts[0].n_shards > 8
    target = tmp_path / "a.cells"
    killed(sources, target, stage=stage, after=after, **ORDERS[order])
    journal = Journal(tmp_path / ".a.cells.partial")
    journal.close()
    shards = journal.names("shard")
    survey = importlib.import_module("scformat.conversion.survey")
    scan = survey.scan
    scans: list[str] = []

    def watched_scan(*arguments: Any, **named: Any) -> Any:
        scans.append(named["where"])
        return scan(*arguments, **named)

    monkeypatch.setattr(survey, "scan", watched_scan)
    before = {s: (tmp_path / ".a.cells.partial" / "store" / s).stat().st_ino for s in shards}
    scformat.convert(sources, target, jobs=1, memory="300MB", resume=True, **ORDERS[order])
    assert files_of(target) == files_of(whole)
    assert {s: (target / s).stat().st_ino for s in shards} == before
    assert len(scans) == (0 if stage != "reading counts" else 3 - len(journal.names("scan")))
    if after == 0.9 or stage == "writing cells":
        assert shards
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cells", "whole.cells"]


def test_damage_to_what_was_kept_is_noticed(sources: list[Path], tmp_path: Path, many_blocks: None) -> None:
    scformat.convert(sources, tmp_path / "whole.cells", jobs=2)
    killed(sources, tmp_path / "a.cells", stage="writing cells", after=1)
    home = tmp_path / ".a.cells.partial"
    entries = home / "store" / "parts" / "1" / "counts" / "entries" / "c" / "0"
    for number, damage in enumerate(("flip", "cut", "remove")):
        data = bytearray((entries / str(number)).read_bytes())
        data[len(data) // 2] ^= 1
        (entries / str(number)).write_bytes(data if damage == "flip" else data[:100])
        if damage == "remove":
            (entries / str(number)).unlink()
    (home / "store" / "stray").write_text("not of the store")
    arrays = bytearray((home / "arrays").read_bytes())
    arrays[len(arrays) // 2] ^= 1
    (home / "arrays").write_bytes(arrays)
    lines = (home / "journal").read_bytes()
    (home / "journal").write_bytes(lines[:-30])
    scformat.convert(sources, tmp_path / "a.cells", jobs=2, resume=True)
    assert files_of(tmp_path / "a.cells") == files_of(tmp_path / "whole.cells")


def test_another_conversion_is_refused_and_leaves_what_was_begun(
    sources: list[Path], tmp_path: Path, many_blocks: None
) -> None:
    target = tmp_path / "a.cells"
    killed(sources, target, stage="writing counts", after=0.9)
    home = tmp_path / ".a.cells.partial"
    kept = {name: digest for name, digest in files_of(home).items() if not name.startswith("scratch")}
    for given, options in ((sources, {"seed": 3}), (sources[:2], {}), (sources, {"where": "kind == 'a'"})):
        with pytest.raises(UsageError) as caught:
            scformat.convert(given, target, jobs=1, resume=True, **options)  # type: ignore[arg-type]
        assert caught.value.code == "cannot-resume"
        assert next(iter(options), "sources") in str(caught.value)
        assert {n: d for n, d in files_of(home).items() if not n.startswith("scratch")} == kept
    data = sample(counts_matrix(300, 60, seed=9), prefix="s0", obs={"kind": pd.Categorical(["a", "b", "c"] * 100)})
    original = sources[0].read_bytes()
    try:
        data.write_h5ad(sources[0])
        with pytest.raises(UsageError, match="SHA-256") as caught:
            scformat.convert(sources, target, jobs=1, resume=True)
        assert caught.value.code == "cannot-resume"
    finally:
        sources[0].write_bytes(original)
    scformat.convert(sources, target, jobs=1, resume=True)
    scformat.convert(sources, tmp_path / "whole.cells", jobs=1)
    assert files_of(target) == files_of(tmp_path / "whole.cells")


def test_without_resume_it_starts_anew_and_bad_data_leaves_nothing(sources: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "a.cells"
    killed(sources, target, stage="writing cells", after=0)
    with pytest.raises(InvalidDataError):
        scformat.convert(sources, target, jobs=1, where="kind == 'none'")
    assert list(tmp_path.iterdir()) == []
    assert scformat.convert(sources, target, jobs=1, resume=True).n_cells == 900, "nothing to resume: it starts"
    with pytest.raises(UsageError, match="destination-exists"):
        scformat.convert(sources, target, jobs=1, resume=True)


def test_a_run_killed_after_its_store_was_in_place(sources: list[Path], tmp_path: Path) -> None:
    target, home = tmp_path / "a.cells", tmp_path / ".a.cells.partial"
    killed(sources, target, stage="writing cells", after=0)
    kept = {p.name: p.read_bytes() for p in home.iterdir() if p.is_file()}
    scformat.convert(sources, target, jobs=1, resume=True)
    digest = files_of(target)
    home.mkdir()
    for name, data in kept.items():
        (home / name).write_bytes(data)
    journal = Journal(home)
    journal.add("published", "root", sha256=digest["zarr.json"])
    journal.close()
    assert scformat.convert(sources, target, jobs=1, resume=True).n_cells == 900
    assert files_of(target) == digest
    assert list(tmp_path.iterdir()) == [target]


def test_the_journal_reads_up_to_what_is_torn(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    numbers = np.arange(7, dtype=np.int32)
    for i in range(3):
        journal.add("shard", str(i), arrays={"row_end": numbers + i}, end=i)
    journal.close()
    lines = (tmp_path / "journal").read_bytes()
    ends = [i + 1 for i, byte in enumerate(lines) if byte == 10]
    assert [json.loads(line.partition(b" ")[2])[1] for line in lines.splitlines()] == ["0", "1", "2"]
    for cut in range(len(lines) + 1):
        (tmp_path / "journal").write_bytes(lines[:cut])
        again = Journal(tmp_path)
        assert again.names("shard") == [str(i) for i, end in enumerate(ends) if end <= cut]
        again.close()
    (tmp_path / "journal").write_bytes(lines[: ends[1]] + b"\0" * 50)
    again = Journal(tmp_path)
    again.add("shard", "9", end=9)
    again.close()
    last = Journal(tmp_path)
    assert last.names("shard") == ["0", "1", "9"]
    entry = last.find("shard", "1")
    assert entry is not None
    found = last.read(entry)
    assert found is not None
    np.testing.assert_array_equal(found["row_end"], numbers + 1)
    last.close()


INTERRUPTED = """
import os, signal, sys
from scformat.cli import main
import scformat
real = scformat.convert
def convert(*arguments, progress, **options):
    def watched(stage, done, total):
        if stage == "writing cells":
            os.kill(os.getpid(), signal.SIGTERM)
    return real(*arguments, progress=watched, **options)
scformat.convert = convert
sys.exit(main())
"""


def test_an_interrupted_command_says_how_to_go_on(sources: list[Path], tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    command = ["convert", *map(str, sources), str(tmp_path / "a.cells")]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, len(messages(ended.stderr))) == (130, 1), ended.stderr
    assert ended.stderr.startswith("interrupted; ")
    assert "--resume" in ended.stderr
    run = [sys.executable, "-W", "error", "-m", "scformat", *command]
    again = subprocess.run(
        [*run, "--resume", "--seed", "2"], env=environment, capture_output=True, text=True, check=False
    )
    assert (again.returncode, len(messages(again.stderr))) == (2, 1)
    assert "another seed; expected 0; found 2" in again.stderr
    again = subprocess.run([*run, "--resume"], env=environment, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cells"]

"""A conversion succeeds whole or leaves nothing: bad sources, bad options, interrupts, full disks, two at once."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from messages import messages
from samples import counts_matrix, files_of, gene_ids, sample

import scformat
from scformat.errors import InvalidDataError, ScformatError, StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def listing(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """An empty directory for destinations; nothing but a store may ever be found in it."""
    made = tmp_path / "work"
    made.mkdir()
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good source, and bad ones of every kind."""
    path = tmp_path_factory.mktemp("files")
    good = sample(counts_matrix(60, 20), obs={"kind": pd.Categorical(["a", "b", "c"] * 20)})
    good.write_h5ad(path / "good.h5ad")
    whole = (path / "good.h5ad").read_bytes()
    (path / "truncated.h5ad").write_bytes(whole[: len(whole) * 2 // 3])
    (path / "text.h5ad").write_text("cell\tgene\n")
    (path / "empty.h5ad").write_bytes(b"")
    for name, value in {"nan": np.nan, "negative": -1.0, "fraction": 1.5, "infinite": np.inf}.items():
        for layout in ("csr", "csc", "dense"):
            values = counts_matrix(60, 20).astype(float)
            values[59, 19] = value
            sample(values, layout=layout, dtype=np.float64).write_h5ad(path / f"{name}-{layout}.h5ad")
    sample(np.zeros((5, 3))).write_h5ad(path / "zeros.h5ad")
    anndata.AnnData(X=None, obs=pd.DataFrame(index=["a"])).write_h5ad(path / "nox.h5ad")
    sample(np.zeros((0, 3))).write_h5ad(path / "nocells.h5ad")
    with h5py.File(path / "other.h5ad", "w") as file:
        file["x"] = 1
    for name, change in {"indptr": ("X/indptr", 30, 10**6), "column": ("X/indices", 5, 99)}.items():
        shutil.copy(path / "good.h5ad", path / f"bad-{name}.h5ad")
        with h5py.File(path / f"bad-{name}.h5ad", "r+") as file:
            file[change[0]][change[1]] = change[2]
    return path


BAD = {
    "truncated": "truncated-file",
    "text": None,
    "empty": None,
    "other": None,
    "nox": "counts-not-found",
    "zeros": "counts-not-found",
    "nocells": "counts-not-found",
    "bad-indptr": "bad-matrix",
    "bad-column": None,
    **{
        f"{name}-{layout}": "counts-not-found"
        for name in ("nan", "negative", "fraction", "infinite")
        for layout in ("csr", "csc", "dense")
    },
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_source_stops_or_is_skipped(name: str, files: Path, work: Path) -> None:
    bad, good = files / f"{name}.h5ad", files / "good.h5ad"
    with pytest.raises(ScformatError) as caught:
        scformat.convert([good, bad], work / "a.cells", jobs=2)
    error = caught.value
    assert BAD[name] in (None, error.code)
    assert error.exit_code in (1, 3)
    assert "\n" not in str(error)
    assert f"{name}.h5ad" in str(error)
    assert listing(work) == []

    store = scformat.convert([good, bad], work / "a.cells", jobs=2, on_bad="skip")
    assert listing(work) == ["a.cells"]
    assert list(store.sources.index) == ["good"]
    assert [(s.path, s.code) for s in store.manifest.skipped] == [(f"{name}.h5ad", error.code)]
    alone = scformat.convert(good, work / "b.cells", jobs=2)
    np.testing.assert_array_equal(store.read(range(60)).dense(), alone.read(range(60)).dense())


def test_a_message_names_the_value_and_its_place(files: Path, work: Path) -> None:
    for name, what in {"nan": "NaN", "negative": "a negative number (-1.0)", "fraction": "a fraction (1.5)"}.items():
        for layout in ("csr", "csc", "dense"):
            with pytest.raises(InvalidDataError) as caught:
                scformat.convert(files / f"{name}-{layout}.h5ad", work / "a.cells", jobs=1)
            text = str(caught.value)
            assert f"X: {what} at row 59, column 19" in text
            assert "raw: absent" in text
            assert "layers/counts: absent" in text


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_the_last_value_of_a_large_matrix_is_checked(layout: str, work: Path, many_blocks: None) -> None:
    values = counts_matrix(3000, 60, seed=3, mean=1.0).astype(np.float32)
    for row in (2999, 1500):
        values[row, 59] = 0.25
        with pytest.raises(InvalidDataError) as caught:
            scformat.convert(sample(values, layout=layout), work / "a.cells", jobs=2, memory="100MB")
        assert f"a fraction (0.25) at row {row}, column 59" in str(caught.value)
    assert listing(work) == []


def test_no_source_that_can_be_read(files: Path, work: Path) -> None:
    for bad in ([files / "text.h5ad"], [files / "zeros.h5ad", files / "truncated.h5ad"]):
        with pytest.raises(InvalidDataError) as caught:
            scformat.convert(bad, work / "a.cells", on_bad="skip", jobs=1)
        assert caught.value.code == "no-sources"
    assert listing(work) == []


def test_a_named_place_that_one_source_lacks(files: Path, work: Path) -> None:
    layered = sample(np.full((4, 20), 0.5))
    layered.layers["mine"] = counts_matrix(4, 20)
    layered.write_h5ad(work.parent / "layered.h5ad")
    sources = [files / "good.h5ad", work.parent / "layered.h5ad"]
    with pytest.raises(UsageError) as caught:
        scformat.convert(sources, work / "a.cells", counts="layers/mine", jobs=1)
    assert "layers/mine" in str(caught.value)
    assert listing(work) == []
    store = scformat.convert(sources, work / "a.cells", counts="layers/mine", on_bad="skip", jobs=1)
    assert list(store.sources.index) == ["layered"]
    assert store.sources.iloc[0]["counts"] == "layers/mine"
    assert [s.path for s in store.manifest.skipped] == ["good.h5ad"]


def test_destinations_that_are_refused(files: Path, work: Path) -> None:
    good = files / "good.h5ad"
    (work / "file").write_text("precious")
    (work / "directory").mkdir()
    (work / "directory" / "zarr.json").write_text("{}")
    before = listing(work)
    for name in before:
        for overwrite in (False, True):
            with pytest.raises(UsageError) as caught:
                scformat.convert(good, work / name, overwrite=overwrite, jobs=1)
            assert caught.value.code in ("destination-exists", "not-a-store")
            assert caught.value.exit_code == 2
    with pytest.raises(StorageError) as lost:
        scformat.convert(good, work / "no" / "such.cells", jobs=1)
    assert (lost.value.code, lost.value.exit_code) == ("no-directory", 3)
    assert listing(work) == before
    assert (work / "file").read_text() == "precious"


def test_a_link_to_a_store_stays_a_link(files: Path, work: Path) -> None:
    (work / "disk").mkdir()
    scformat.convert(files / "good.h5ad", work / "disk" / "a.cells", jobs=1)
    (work / "link").symlink_to(work / "disk" / "a.cells")
    with pytest.raises(UsageError, match="destination-exists"):
        scformat.convert(files / "good.h5ad", work / "link", jobs=1)
    scformat.convert(files / "good.h5ad", work / "link", jobs=1, overwrite=True, where="kind == 'a'")
    assert (work / "link").is_symlink()
    assert scformat.open(work / "disk" / "a.cells").n_cells == scformat.open(work / "link").n_cells == 20
    assert listing(work) == ["disk", "link"]
    assert listing(work / "disk") == ["a.cells"]


def test_overwrite_replaces_on_success_only(files: Path, work: Path) -> None:
    target = work / "a.cells"
    scformat.convert(files / "good.h5ad", target, jobs=1)
    before = files_of(target)
    with pytest.raises(UsageError, match="destination-exists"):
        scformat.convert(files / "good.h5ad", target, jobs=1)
    for options in (
        {"sources": files / "fraction-csr.h5ad"},
        {"sources": files / "good.h5ad", "where": "nothing == 3"},
    ):
        with pytest.raises(ScformatError):
            scformat.convert(destination=target, overwrite=True, jobs=1, **options)  # type: ignore[arg-type]
        assert files_of(target) == before
        assert listing(work) == ["a.cells"]
    opened = scformat.open(target)
    store = scformat.convert(files / "good.h5ad", target, overwrite=True, jobs=1, where="kind == 'a'")
    assert store.n_cells == 20
    assert scformat.open(target).n_cells == 20
    assert listing(work) == ["a.cells"]
    assert opened.n_cells == 60
    fresh = scformat.convert(files / "good.h5ad", work / "new.cells", overwrite=True, jobs=1)
    assert fresh.n_cells == 60


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"order": "sorted"}, "unknown-order"),
    ({"counts": "layer/x"}, "unknown-place-of-counts"),
    ({"on_bad": "ignore"}, "unknown-choice"),
    ({"organism": "unicorn"}, "unknown-organism"),
    ({"seed": -1}, "bad-seed"),
    ({"seed": 2**60}, "bad-seed"),
    ({"jobs": 0}, "bad-jobs"),
    ({"memory": "lots"}, "bad-size"),
    ({"memory": "1MB"}, "bad-size"),
    ({"splits": "train=0.8"}, "bad-splits"),
    ({"splits": {"a": 1.5}}, "bad-splits"),
    ({"split_by": ["kind"]}, "missing-option"),
    ({"splits": "a=1", "splits_file": "x.tsv"}, "conflicting-options"),
    ({"splits_file": "nowhere.tsv"}, None),
    ({"order": "shuffled", "stratify_by": ["kind"]}, "conflicting-options"),
    ({"stratify_by": ["kinds"]}, "unknown-label"),
    ({"stratify_by": "kind"}, "not-a-list"),
    ({"stratify_by": ["kind", "kind"]}, "repeated-name"),
    ({"order": "stratified"}, "no-strata"),
    ({"labels": ["nothing"]}, "unknown-label"),
    ({"where": "kind =="}, None),
    ({"where": "knd == 'a'"}, "unknown-column"),
    ({"where": "kind under 'x'"}, "no-ontology"),
    ({"genes": "nowhere.txt"}, None),
    ({"gene_ids": "ensembl"}, None),
    ({"counts": "raw"}, "unknown-matrix"),
    ({"sources_table": "x.tsv"}, "conflicting-options"),
]


@pytest.mark.parametrize(("options", "code"), OPTIONS, ids=lambda v: str(v)[:40])
def test_options_that_are_refused(options: dict[str, Any], code: str | None, files: Path, work: Path) -> None:
    with pytest.raises(ScformatError) as caught:
        scformat.convert(files / "good.h5ad", work / "a.cells", **{"jobs": 1, **options})
    assert code in (None, caught.value.code)
    assert caught.value.exit_code in (1, 2, 3)
    assert "\n" not in str(caught.value)
    assert listing(work) == []


def test_sources_that_are_refused(files: Path, work: Path) -> None:
    good = files / "good.h5ad"
    memory = sample(counts_matrix(3, 2))
    cases: list[tuple[Any, str]] = [
        ([], "no-sources"),
        ((), "no-sources"),
        ([good, good], "duplicate-source"),
        ([good, files / ".." / files.name / "good.h5ad"], "duplicate-source"),
        ([memory, memory], "duplicate-source"),
        (files / "*.h5", "empty-match"),
        (files / "nowhere.h5ad", "source-not-found"),
        (3, "bad-source"),
    ]
    for given, code in cases:
        with pytest.raises(ScformatError) as caught:
            scformat.convert(given, work / "a.cells", jobs=1)
        assert caught.value.code == code
    assert listing(work) == []


def test_sources_of_different_organisms_and_no_common_gene(work: Path) -> None:
    human = sample(counts_matrix(3, 2), genes=["ENSG00000000003", "ENSG00000000005"], prefix="h")
    mouse = sample(counts_matrix(3, 2), genes=["ENSMUSG00000000001", "ENSMUSG00000000003"], prefix="m")
    other = sample(counts_matrix(3, 2), genes=["ENSG00000000419", "ENSG00000000457"], prefix="o")
    store = scformat.convert([human, mouse], work / "a.cells", jobs=1)
    assert {o.taxon: o.n_genes for o in store.manifest.genes.organisms} == {9606: 2, 10090: 2}
    with pytest.raises(InvalidDataError) as caught:
        scformat.convert([human, other], work / "b.cells", genes="intersection", jobs=1)
    assert caught.value.code == "no-common-genes"
    with pytest.raises(ScformatError):
        scformat.convert(human, work / "c.cells", organism="klingon", jobs=1)
    assert listing(work) == ["a.cells"]


class Stop(Exception):
    """Raised by a progress callback."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize("order", ["source", "shuffled"])
def test_an_interrupt_leaves_nothing_but_what_resumes(
    error: type[BaseException], order: str, work: Path, many_blocks: None
) -> None:
    data = [
        sample(counts_matrix(500, 60, seed=i, mean=1.5), layout=layout, prefix=f"s{i}")
        for i, layout in enumerate(["csr", "csc"])
    ]
    seen: list[tuple[str, int, int]] = []
    scformat.convert(
        data, work / "a.cells", order=order, jobs=2, memory="100MB", progress=lambda *args: seen.append(args)
    )
    whole = files_of(work / "a.cells")
    shutil.rmtree(work / "a.cells")
    stages = {stage: max(d for s, d, _ in seen if s == stage) for stage, _, _ in seen}
    assert {"reading counts", "writing counts", "writing cells"} <= set(stages)
    assert all(0 <= done <= total for _, done, total in seen)
    for stage, last in stages.items():
        assert {total for s, _, total in seen if s == stage} == {last}, f"{stage} ends at its total"
        steps = [done for s, done, _ in seen if s == stage]
        assert steps == sorted(steps)
    for at in sorted({0, 1, 2, len(seen) // 3, len(seen) // 2, len(seen) - 3, len(seen) - 2, len(seen) - 1}):
        count = iter(range(10**6))

        def progress(stage: str, done: int, total: int, count: Any = count, at: int = at) -> None:
            if next(count) == at:
                raise error

        with pytest.raises(error):
            scformat.convert(data, work / "a.cells", order=order, jobs=2, memory="100MB", progress=progress)
        left = listing(work)
        assert left in ([], [".a.cells.partial"]), f"interrupted at call {at} of {len(seen)}"
        assert left or seen[at][0] == "reading counts"
        scformat.convert(data, work / "a.cells", order=order, jobs=1, memory="300MB", resume=True)
        assert files_of(work / "a.cells") == whole, f"interrupted at call {at} of {len(seen)}"
        assert listing(work) == ["a.cells"]
        shutil.rmtree(work / "a.cells")


COMMAND = [
    sys.executable,
    "-W",
    "error",
    "-c",
    "import sys; from scformat.cli import main; sys.exit(main())",
    "convert",
]
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.argv[1:2] = []
from scformat.cli import main
sys.exit(main())
"""


@pytest.mark.parametrize("name", ["out.cells", "shards-blosc.cells"])
@pytest.mark.parametrize(("layout", "order"), [("csr", "source"), ("csr", "shuffled"), ("csc", "source")])
def test_a_full_disk_is_one_line(layout: str, order: str, name: str, work: Path) -> None:
    source = work.parent / "in.h5ad"
    sample(counts_matrix(2000, 60, mean=1.0), layout=layout).write_h5ad(source)
    for limit in (400, 20_000):
        command = [sys.executable, "-W", "error", "-c", LIMITED, str(limit), "convert", str(source), str(work / name)]
        ended = subprocess.run(
            [*command, "--order", order], env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 3, ended.stderr
        lines = messages(ended.stderr)
        assert len(lines) == 1, ended.stderr
        assert lines[0].startswith("error: ")
        assert "File too large" in lines[0] or "No space" in lines[0]
        assert str(work) in lines[0], "it says where"
        assert ended.stdout == ""
        assert listing(work) == []


SLOW = """
import pathlib, sys, time
import scformat
def progress(stage, done, total):
    if stage == "writing counts":
        pathlib.Path(sys.argv[3]).touch()
        time.sleep(60)
scformat.convert(sys.argv[1], sys.argv[2], progress=progress)
"""


def slow_conversion(source: Path, target: Path, mark: Path) -> subprocess.Popen[bytes]:
    """Start a conversion in another process and wait until it is in the middle of its work."""
    process = subprocess.Popen([sys.executable, "-c", SLOW, str(source), str(target), str(mark)], env=ENVIRONMENT)
    for _ in range(600):
        if mark.exists():
            return process
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    raise TimeoutError


def test_two_conversions_to_one_destination_and_a_killed_one(files: Path, work: Path) -> None:
    target, mark = work / "a.cells", work.parent / "mark"
    process = slow_conversion(files / "good.h5ad", target, mark)
    try:
        left = listing(work)
        assert "a.cells" not in left, "nobody sees a store before it is whole"
        with pytest.raises(StorageError) as caught:
            scformat.convert(files / "good.h5ad", target, jobs=1)
        assert (caught.value.code, caught.value.exit_code) == ("already-converting", 3)
        assert listing(work) == left, "the one at work is not disturbed"
        assert process.poll() is None
        elsewhere = scformat.convert(files / "good.h5ad", work / "b.cells", jobs=1)
        assert elsewhere.n_cells == 60
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert listing(work) != ["b.cells"], "a killed process cannot tidy up"
    store = scformat.convert(files / "good.h5ad", target, jobs=1)
    assert store.n_cells == 60
    assert listing(work) == ["a.cells", "b.cells"]
    assert files_of(target) == files_of(work / "b.cells")


def heed_interrupts() -> None:
    """Undo what a shell does to its background jobs: they are born with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_command_leave_nothing(number: signal.Signals, work: Path) -> None:
    source = work.parent / "in.h5ad"
    sample(counts_matrix(30_000, 150, mean=2.0), layout="csc").write_h5ad(source)
    process = subprocess.Popen(
        [*COMMAND, str(source), str(work / "a.cells")],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,  # noqa: PLW1509 (this process has no threads of its own)
    )
    for _ in range(2000):
        if listing(work):
            break
        time.sleep(0.01)
    process.send_signal(number)  # at once: all of the work is still to be done
    _, stderr = process.communicate(timeout=60)
    assert listing(work) == []
    assert process.returncode == 130
    assert stderr.decode().strip().splitlines()[-1] == "interrupted"


def test_bytes_are_durable_before_the_store_appears(files: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    def watched(handle: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        assert not (work / "a.cells").exists() or synced[-1] == str(work)

    monkeypatch.setattr(os, "fsync", watched)
    scformat.convert(files / "good.h5ad", work / "a.cells", jobs=1)
    # The manifest is made under another name, durable before it takes its own.
    ending = {
        re.sub(r"^\.(.+)\.\d+-[0-9a-f]+\.partial$", r"\1", path.rsplit(".partial/store/", 1)[-1]) for path in synced
    }
    assert set(files_of(work / "a.cells")) <= ending
    assert synced[-1] == str(work), "the new name last"


def write_table(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(line.replace("|", "\t") for line in lines) + "\n")
    return path


def test_a_table_of_sources(files: Path, work: Path) -> None:
    data = sample(np.full((4, 20), 0.5), genes=[f"gene{i}" for i in range(20)], prefix="b")
    data.layers["mine"] = counts_matrix(4, 20, seed=2)
    data.var["ensembl"] = gene_ids(20)
    data.write_h5ad(files / "second.h5ad")
    table = write_table(
        files / "sources.tsv",
        [
            "path|name|study|counts|gene_ids|organism|licence|citation|doi|batch",
            "good.h5ad||s1|||human|CC0|Doe 2024||b1",
            f"{files}/second.h5ad|second one|s2|layers/mine|ensembl|human|||10.1/x|b2",
        ],
    )
    store = scformat.convert([], work / "a.cells", sources_table=table, jobs=1)
    frame = store.sources
    assert list(frame.index) == ["good", "second one"]
    assert frame["study"].tolist() == ["s1", "s2"]
    assert frame["counts"].tolist() == ["X", "layers/mine"]
    assert frame["gene_ids"].tolist() == ["index", "ensembl"]
    assert frame["licence"].tolist() == ["CC0", None]
    assert frame["citation"].tolist() == ["Doe 2024", None]
    assert frame["doi"].tolist() == [None, "10.1/x"]
    assert frame["batch"].tolist() == ["b1", "b2"]
    assert store.labels["study"].counts.to_dict() == {"s1": 60, "s2": 4}
    assert store.labels["batch"].counts.to_dict() == {"b1": 60, "b2": 4}
    assert store.n_genes == 20
    assert store.select("study == 's2'").tolist() == [60, 61, 62, 63]
    (files / "second.h5ad").unlink()


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "bad-sources-table"),
        (["file|study", "good.h5ad|x"], "bad-sources-table"),
        (["path|path", "good.h5ad|x"], "bad-sources-table"),
        (["path|", "good.h5ad|x"], "bad-sources-table"),
        (["path|study", "good.h5ad"], "bad-sources-table"),
        (["path|study", "|x"], "bad-sources-table"),
        (["path|study"], "no-sources"),
        (["path", "nowhere.h5ad"], "source-not-found"),
        (["path", "good.h5ad", "good.h5ad"], "duplicate-source"),
        (["path|name", "good.h5ad|a", "zeros.h5ad|a"], "duplicate-name"),
        (["path|counts", "good.h5ad|layers/none"], "unknown-matrix"),
        (["path|organism", "good.h5ad|unicorn"], "unknown-organism"),
    ],
)
def test_tables_of_sources_that_are_refused(lines: list[str], code: str, files: Path, work: Path) -> None:
    table = write_table(files / "bad.tsv", lines)
    with pytest.raises(ScformatError) as caught:
        scformat.convert([], work / "a.cells", sources_table=table, jobs=1)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert listing(work) == []


def test_files_change_or_vanish_while_they_are_read(files: Path, work: Path) -> None:
    source = work.parent / "s.h5ad"
    shutil.copy(files / "good.h5ad", source)

    def cut(stage: str, done: int, total: int) -> None:
        if stage == "writing counts":
            os.truncate(source, 4000)

    try:
        scformat.convert(source, work / "a.cells", jobs=1, progress=cut)
    except ScformatError:
        assert listing(work) == []
    else:  # everything had been read
        assert scformat.open(work / "a.cells").n_cells == 60


def run_in_pairs(first: Callable[[], Any], second: Callable[[], Any]) -> list[Any]:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        return [future.exception() or future.result() for future in [pool.submit(first), pool.submit(second)]]


def test_many_races_for_one_destination(files: Path, work: Path) -> None:
    for i in range(6):
        target = work / f"{i}.cells"
        ends = run_in_pairs(*[lambda: scformat.convert(files / "good.h5ad", target, jobs=1)] * 2)  # noqa: B023
        stores = [end for end in ends if not isinstance(end, BaseException)]
        assert len(stores) == 1
        (error,) = [end for end in ends if isinstance(end, BaseException)]
        assert isinstance(error, ScformatError)
        assert error.code in ("already-converting", "destination-exists")
        assert stores[0].read([0]).csr().nnz >= 0
    assert listing(work) == [f"{i}.cells" for i in range(6)]

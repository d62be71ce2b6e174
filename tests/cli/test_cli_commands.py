"""The commands on simulated studies, each in a process of its own."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_simulate_writes_the_files_it_names(run: Run, studies: list[Path], tmp_path: Path) -> None:
    read = [anndata.read_h5ad(path) for path in studies]
    assert sum(a.n_obs for a in read) == 400
    again = ok(run("simulate", tmp_path, "--cells", 400, "--studies", 2, "--genes", 800, "--seed", 7))
    assert [line.rsplit("/")[-1] for line in again.splitlines()] == [path.name for path in studies]
    assert [(tmp_path / path.name).read_bytes() for path in studies] == [path.read_bytes() for path in studies]


def test_convert_says_what_it_wrote_on_stderr(run: Run, studies: list[Path], tmp_path: Path) -> None:
    done = run("convert", studies[0], tmp_path / "one.cells")
    assert ok(done) == ""
    assert "one.cells: " in done.stderr
    assert "1 source," in done.stderr


def test_convert_replaces_a_store_only_when_asked(run: Run, studies: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "s.cells"
    ok(run("convert", studies[0], target))
    before = (target / "zarr.json").read_bytes()
    refused = run("convert", studies[1], target)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr
    assert (target / "zarr.json").read_bytes() == before
    ok(run("convert", studies[1], target, "--overwrite"))
    assert (target / "zarr.json").read_bytes() != before


def test_dry_run_prints_the_plan_and_writes_nothing(run: Run, studies: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "s.cells"
    text = ok(run("convert", *studies, target, "--dry-run"))
    assert "400 cells x 800 genes" in text
    plan = json.loads(ok(run("convert", *studies, target, "--dry-run", "--json")))
    assert (plan["n_cells"], plan["n_genes"]) == (400, 800)
    assert [source["name"] for source in plan["sources"]] == ["study_01", "study_02"]
    assert not list(tmp_path.iterdir())


def test_convert_options_reach_the_conversion(run: Run, studies: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "s.cells"
    options = ["--labels", "cell_type,donor_id", "--where", "n_genes >= 30", "--stratify-by", "cell_type"]
    ok(run("convert", *studies, target, *options, "--genes", "intersection", "--seed", 5, "--jobs", 1, "--no-ontology"))
    described = json.loads(ok(run("info", target, "--json")))
    assert {label["name"] for label in described["labels"]} == {"cell_type", "donor_id"}
    assert all(label["ontology"] is None for label in described["labels"])
    assert described["seed"] == 5
    assert described["genes"]["mode"] == "intersection"
    assert described["n_genes"] < 800
    assert described["layout"][0]["order"]["kind"] == "stratified"


def test_sources_table_names_the_sources(run: Run, studies: list[Path], tmp_path: Path) -> None:
    table = tmp_path / "sources.tsv"
    rows = [f"{path}\tfirst{i}\tblue" for i, path in enumerate(studies)]
    table.write_text("\n".join(["path\tname\tcohort", *rows]) + "\n")
    ok(run("convert", "--sources", table, tmp_path / "s.cells"))
    described = json.loads(ok(run("info", tmp_path / "s.cells", "--json")))
    assert [source["name"] for source in described["sources"]] == ["first0", "first1"]
    assert {label["name"]: label["counts"] for label in described["labels"]}["cohort"] == {"blue": 400}


def test_info_describes_the_store(run: Run, store: Path) -> None:
    described = json.loads(ok(run("info", store, "--json")))
    assert (described["n_cells"], described["n_genes"], described["n_sources"]) == (400, 800, 2)
    assert described["splits"]["names"] == ["train", "test"]
    text = ok(run("info", store))
    digests = described["sha256"], described["genes"]["index_digest"]
    for expected in ("study_01", "study_02", "cell_type", "train", *digests):
        assert expected in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_head_shows_the_first_cells(run: Run, store: Path, studies: list[Path]) -> None:
    source = anndata.read_h5ad(studies[0])
    lines = ok(run("head", store, "-n", 3, "--labels", "cell_type")).splitlines()
    assert lines[0].split() == ["barcode", "source", "total_counts", "n_genes", "cell_type"]
    assert len(lines) == 4
    x = source.X[:3]
    for i, line in enumerate(lines[1:]):
        total, n_genes = f"{int(x[i].sum()):,}", f"{x[i].count_nonzero():,}"
        label = source.obs["cell_type"].iloc[i]
        assert line.split(maxsplit=4) == [source.obs_names[i], "study_01", total, n_genes, label]
    assert len(ok(run("head", store, "-n", 1000)).splitlines()) == 401


def test_head_lists_near_labels(run: Run, store: Path) -> None:
    done = run("head", store, "--labels", "cell_typ")
    assert done.returncode == 2
    assert "'cell_type'" in done.stderr


def test_export_restores_a_source(run: Run, store: Path, studies: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "back.h5ad"
    ok(run("export", store, target, "--source", "study_02"))
    source, back = anndata.read_h5ad(studies[1]), anndata.read_h5ad(target)
    assert list(back.obs_names) == list(source.obs_names)
    assert list(back.var_names) == list(source.var_names)
    assert (back.X != source.X).nnz == 0
    refused = run("export", store, target, "--source", "study_02")
    assert refused.returncode == 2


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")  # two studies share barcodes
def test_export_takes_rows_in_their_order(run: Run, store: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.txt"
    rows.write_text("7\n3\n399\n")
    ok(run("export", store, tmp_path / "rows.h5ad", "--rows", rows))
    ok(run("export", store, tmp_path / "all.h5ad"))
    chosen, whole = anndata.read_h5ad(tmp_path / "rows.h5ad"), anndata.read_h5ad(tmp_path / "all.h5ad")
    assert np.array_equal(chosen.X.toarray(), whole.X.toarray()[[7, 3, 399]])


def test_validate_passes_a_sound_store_and_fails_a_damaged_one(run: Run, store: Path, tmp_path: Path) -> None:
    assert "valid" in ok(run("validate", store))
    assert json.loads(ok(run("validate", store, "--json")))["ok"] is True
    broken = tmp_path / "broken.cells"
    shutil.copytree(store, broken)
    shard = max((path for path in broken.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    done = run("validate", broken)
    assert done.returncode == 1
    assert "invalid" in done.stdout
    assert done.stderr == ""
    found = json.loads(run("validate", broken, "--json").stdout)
    assert found["ok"] is False
    assert found["findings"]
    assert all(finding["requirement"] for finding in found["findings"])


def test_a_store_of_a_later_version_is_status_4(run: Run, store: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.cells"
    later.mkdir()
    root = json.loads((store / "zarr.json").read_text())
    root["attributes"]["scformat"]["version"] = "9.0"
    (later / "zarr.json").write_text(json.dumps(root))
    done = run("info", later)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "9.0" in done.stderr


@pytest.mark.parametrize("name", ["pbmc_facs", "heart_1k_mouse"])
def test_real_files_convert_and_keep_their_sums(run: Run, shared_data: Path, tmp_path: Path, name: str) -> None:
    expected = {"pbmc_facs": (3774, 16791, 7500459), "heart_1k_mouse": (712, 31053, 5851495)}[name]
    ok(run("convert", shared_data / f"{name}.h5ad", tmp_path / "real.cells"))
    described = json.loads(ok(run("info", tmp_path / "real.cells", "--json")))
    assert (described["n_cells"], described["n_genes"], described["sources"][0]["total"]) == expected


def test_a_file_without_counts_is_refused_with_what_was_found(run: Run, shared_data: Path, tmp_path: Path) -> None:
    done = run("convert", shared_data / "anndata_archive_v0.5.0_pbmc68k.h5ad", tmp_path / "no.cells")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "negative" in done.stderr
    assert not list(tmp_path.iterdir())


def test_skipped_sources_are_named(run: Run, studies: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.h5ad"
    bad.write_bytes(b"not a file of this kind")
    done = run("convert", *studies, bad, tmp_path / "a.cells", "--on-bad", "skip")
    assert done.returncode == 0, done.stderr
    skipped, wrote = done.stderr.splitlines()
    assert skipped.startswith("skipped bad.h5ad: ")
    assert "2 sources" in wrote

"""The reader in JavaScript: its own tests, its types, the conformance kit, and the package's answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import drawn
import node_packages
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "spec" / "conformance"


def ask(node: Path, js: Path, *arguments: str | Path) -> Any:
    return json.loads(node_packages.run(node, js / "cli.mjs", *arguments, cwd=js))


def refused(node: Path, js: Path, *arguments: str | Path) -> tuple[int, str]:
    """Exit code and the one line that says why."""
    command = [node, js / "cli.mjs", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    return done.returncode, lines[0]


def test_own_tests(node: Path, js: Path) -> None:
    said = node_packages.run(node, "--test", "tests/", cwd=js)
    assert "# fail 0" in said
    assert "# pass 0" not in said


def test_types(node: Path, js: Path) -> None:
    node_packages.run(node, js / "node_modules" / "typescript" / "bin" / "tsc", "-p", ".", cwd=js)


def test_formatting(node: Path, js: Path) -> None:
    prettier = js / "node_modules" / "prettier" / "bin" / "prettier.cjs"
    node_packages.run(node, prettier, "--check", ".", cwd=js)


def test_schemas_are_those_of_the_specification(node: Path, js: Path) -> None:
    node_packages.run(node, "scripts/schemas.mjs", "--check", cwd=js)


@pytest.mark.parametrize("directory", ["js", "viewer", "interop"])
def test_lock_files_name_no_registry(directory: str) -> None:
    locked = json.loads((ROOT / "tools" / directory / "package-lock.json").read_text(encoding="utf-8"))
    resolved = [entry["resolved"] for entry in locked["packages"].values() if "resolved" in entry]
    assert resolved == (["../js"] if directory == "viewer" else [])


@pytest.mark.skipif(not (KIT / "run.py").is_file(), reason="no conformance kit yet")
def test_conformance_kit(node: Path, js: Path) -> None:
    # Every valid case and every fifth of the others; a process a question takes long. `run.py` alone runs all of them.
    cases = json.loads((KIT / "cases.json").read_text(encoding="utf-8"))["cases"]
    chosen = [c["id"] for c in cases if c["valid"]] + [c["id"] for c in cases if not c["valid"]][::5]
    options = [option for name in chosen for option in ("--case", name)]
    command = [sys.executable, KIT / "run.py", "--jobs", "2", "--quiet", *options, "--", node, js / "cli.mjs"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_same_rows_as_the_package(node: Path, js: Path, drawn_store: Path) -> None:
    wanted = drawn.requests()
    for request, rows in zip(wanted, drawn.rows_of(drawn_store, wanted), strict=True):
        found = ask(node, js, "draw", drawn_store, *drawn.options_of(request))["rows"]
        assert found == rows, request
        assert len(rows) == request["count"]


@pytest.mark.parametrize("plan", ["independent", "stratified", "epoch"])
def test_ranks_and_schedules_as_the_package(plan: str, node: Path, js: Path, drawn_store: Path) -> None:
    base = {
        "table": "nodes",
        "plan": plan,
        "seed": 5,
        "start": 300,
        "count": 1500,
        "window": 512,
        "lanes": 4,
        "block": 16,
    }
    options = drawn.options_of(base)
    whole = ask(node, js, "draw", drawn_store, *options)["rows"]
    for rank in range(3):
        own = [*options, "--rank", str(rank), "--world-size", "3"]
        rows = ask(node, js, "draw", drawn_store, *own)["rows"]
        assert [rows] == drawn.rows_of(drawn_store, [{**base, "rank": rank, "world_size": 3}])
        assert rows == whole[(rank - 300) % 3 :: 3]
    if plan != "epoch":
        pieces = ((0, 3.0), (512, 1.7), (1024, 0.5), (1536, 1.0))
        written = ",".join(f"{position}:{temperature}" for position, temperature in pieces)
        rows = ask(node, js, "draw", drawn_store, *options, "--schedule", written)["rows"]
        assert [rows] == drawn.rows_of(drawn_store, [{**base, "schedule": pieces}])
        assert rows != whole


def test_describes_and_reads_as_the_package(node: Path, js: Path, drawn_store: Path) -> None:
    assert ask(node, js, "describe", drawn_store) == drawn.answer("describe", drawn_store)
    rows = ",".join(map(str, np.random.default_rng(0).integers(0, 3000, 40)))
    assert ask(node, js, "read", drawn_store, "--rows", rows) == drawn.answer("read", drawn_store, "--rows", rows)


def test_real_files_as_the_package(node: Path, js: Path, shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    names = ["anndataR_example.h5ad", "cxg_example_with_labels.h5ad", "scp_test.h5ad", "scanpy_10x_v3.10x.h5"]
    absent = [name for name in names if not (shared_data / name).is_file()]
    if absent:
        pytest.skip(f"not among the real files: {', '.join(absent)}")
    store = tmp_path / "real.cells"
    drawn.scformat("convert", *[shared_data / name for name in names], store, "--splits", "a=0.5,b=0.5")
    assert ask(node, js, "describe", store) == drawn.answer("describe", store)
    n = drawn.answer("info", "--json", store)["n_cells"]
    rows = ",".join(map(str, range(0, n, 7)))
    assert ask(node, js, "read", store, "--rows", rows) == drawn.answer("read", store, "--rows", rows)
    verdict = ask(node, js, "validate", "--level", "4", store)
    assert verdict["findings"] == []
    assert verdict["valid"] is True


def test_valid_at_every_level(node: Path, js: Path, drawn_store: Path) -> None:
    for level in (1, 2, 3, 4):
        verdict = ask(node, js, "validate", "--json", "--level", str(level), drawn_store)
        assert (verdict["valid"], verdict["level"], verdict["findings"]) == (True, level, [])


def test_damage_is_refused(node: Path, js: Path, drawn_store: Path, tmp_path: Path) -> None:
    part = json.loads((drawn_store / "zarr.json").read_text(encoding="utf-8"))["attributes"]["scformat"]["parts"][0]
    store = tmp_path / "damaged.cells"
    rows = ",".join(map(str, range(0, 3000, 100)))  # of every source
    for member, says in (("entries", "ZAR-21"), ("index", "ZAR-21"), ("measured", "ZAR-21")):
        entry = part["sources"][member] if member == "measured" else part[member]
        shutil.copytree(drawn_store, store)
        file = next(path for path in sorted((store / entry["path"] / "c").rglob("*")) if path.is_file())
        data = bytearray(file.read_bytes())
        data[40] ^= 1
        file.write_bytes(data)
        code, line = refused(node, js, "read", store, "--rows", rows)
        assert code == 1
        assert says in line
        assert "crc32c" in line
        file.unlink()
        code, line = refused(node, js, "read", store, "--rows", rows)
        assert code == 1
        assert "lost" in line
        shutil.rmtree(store)


def test_usage_is_refused(node: Path, js: Path, drawn_store: Path, tmp_path: Path) -> None:
    draw = ["--plan", "independent", "--seed", "0", "--start", "0", "--count", "1"]
    assert refused(node, js, "read", drawn_store, "--rows", "0,3000")[0] == 2
    assert refused(node, js, "read", tmp_path / "absent", "--rows", "0")[0] == 3
    code, line = refused(node, js, "draw", drawn_store, "--table", "ballanced", *draw)
    assert code == 2
    assert "did you mean balanced?" in line
    assert refused(node, js, "draw", drawn_store, *draw)[0] == 2
    assert refused(node, js, "teleport", drawn_store)[0] == 2

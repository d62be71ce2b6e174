"""The page: its types, and a click-through in Chromium that compares what it shows with what the package says."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import drawn
import node_packages
import numpy as np
import pytest

import scformat


def test_types(node: Path) -> None:
    viewer = node_packages.TOOLS / "viewer"
    node_packages.run(node, viewer / "node_modules" / "typescript" / "bin" / "tsc", "-p", ".", cwd=viewer)


def test_formatting(node: Path) -> None:
    viewer = node_packages.TOOLS / "viewer"
    node_packages.run(node, viewer / "node_modules" / "prettier" / "bin" / "prettier.cjs", "--check", ".", cwd=viewer)


def test_click_through(node: Path, viewer: Path, chromium: str, tmp_path: Path) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    store = drawn.make_store(tmp_path)
    expected = tmp_path / "expected.json"
    expected.write_text(json.dumps(answers(store)), encoding="utf-8")
    variables = {
        "VIEWER_STORE": str(store),
        "VIEWER_EXPECTED": str(expected),
        "VIEWER_DAMAGED": str(damaged(store)),
        "CHROMIUM": chromium,
    }
    if os.environ.get("VIEWER_SCREENSHOTS"):
        variables["VIEWER_SCREENSHOTS"] = str(Path(os.environ["VIEWER_SCREENSHOTS"]).resolve())
    said = node_packages.run(node, "--test", "--test-concurrency=1", "tests/", cwd=viewer, env=variables)
    assert "# fail 0" in said
    assert "# skipped 0" in said


def answers(store: Path) -> dict[str, Any]:
    """What the click-through compares with."""
    described = drawn.answer("describe", store)
    info = drawn.answer("info", "--json", store)
    n = info["n_cells"]
    rows = [0, n // 2, n - 2]
    shown = {"table": "balanced", "plan": "stratified", "seed": 3, "start": 100, "count": 48}
    shown |= {"window": 1024, "lanes": 8, "block": 16}
    wanted = drawn.requests()
    draws: list[dict[str, Any]] = [{"request": shown, "shown": True, "rows": drawn.rows_of(store, [shown])[0]}]
    for request, found in zip(wanted, drawn.rows_of(store, wanted), strict=True):
        # numbers beyond 2^53 as text: the file is JSON
        small = {name: str(value) if name in {"seed", "start"} else value for name, value in request.items()}
        digest = hashlib.sha256(",".join(map(str, found)).encode()).hexdigest()
        draws.append({"request": small, "n": len(found), "sha256": digest})
    return {
        "info": info,
        "labels": described["labels"],
        "cells": drawn.answer("read", store, "--rows", ",".join(map(str, rows)))["cells"],
        "gene": a_gene(store, described["genes"]),
        "draws": draws,
    }


def a_gene(store: Path, genes: dict[str, list[Any]]) -> dict[str, Any]:
    """A gene that many cells have, and in how many."""
    opened = scformat.open(store)
    cells = np.bincount(opened.read(np.arange(opened.n_cells)).csr().indices, minlength=len(genes["id"]))
    gene = int(np.argsort(cells)[-20])
    return {"id": genes["id"][gene], "symbol": genes["symbol"][gene], "cells": int(cells[gene])}


def damaged(store: Path) -> Path:
    """A copy with one bit of its counts flipped."""
    copy = store.with_name("damaged.cells")
    shutil.copytree(store, copy)
    part = json.loads((copy / "zarr.json").read_text(encoding="utf-8"))["attributes"]["scformat"]["parts"][0]
    file = copy / part["entries"]["path"] / "c" / "0" / "0"
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    return copy

"""A store with five tables, and what the command line says of it: what readers in other languages are compared with."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import scformat as scformat_package
from scformat.conformance.answers import draw

if TYPE_CHECKING:
    from pathlib import Path

TABLES = {
    "balanced": ["--by", "cell_type:balanced"],
    "nodes": ["--by", "cell_type:ontology_nodes", "--split", "train"],
    "nested": ["--by", "cell_type:power(0.5),sex:balanced"],
    "depth": ["--by", "n_genes:proportional"],
    "scaled": ["--by", "tissue:scaled(50)", "--temperature", "1.5"],
}
DRAWS = 100_000
WINDOW = 65_536


def scformat(*arguments: str | Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "scformat", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(*arguments: str | Path) -> Any:
    """JSON that a command prints."""
    return json.loads(scformat(*arguments))


def make_store(directory: Path) -> Path:
    """Simulated studies in one store, with splits, labels of ontologies and five tables."""
    sources = scformat(
        "simulate", directory / "studies", "--cells", "3000", "--genes", "2500", "--studies", "3"
    ).split()
    store = directory / "drawn.cells"
    splits = ["--splits", "train=0.8,val=0.1,test=0.1", "--split-by", "donor_id"]
    scformat("convert", *sources, store, "--stratify-by", "cell_type", *splits)
    for name, options in TABLES.items():
        scformat("weights", "add", store, name, *options)
    return store


def requests() -> list[dict[str, Any]]:
    """100,000 draws of each table, and the first three windows of each plan."""
    found: list[dict[str, Any]] = []
    for seed, table in enumerate(TABLES):
        found.append({"table": table, "plan": "independent", "seed": seed, "start": 0, "count": DRAWS})
        found.append({"table": table, "plan": "stratified", "seed": seed, "start": 0, "count": 3 * WINDOW})
    found.append({"plan": "epoch", "seed": 9, "start": 0, "count": 3 * WINDOW})
    found.append({"table": "nodes", "plan": "epoch", "seed": 9, "start": 0, "count": 3 * WINDOW})
    small = {"window": 512, "lanes": 4, "block": 16}
    far = 2**61 - 2**20
    for plan in ("independent", "stratified", "epoch"):
        found.append({"table": "nested", "plan": plan, "seed": 2**64 - 1, "start": far, "count": 2000, **small})
    return found


def options_of(request: dict[str, Any]) -> list[str]:
    """Options of ``draw``."""
    return [text for name, value in request.items() for text in (f"--{name}", str(value))]


def rows_of(store: Path, wanted: list[dict[str, Any]]) -> list[list[int]]:
    """Rows of each request, as the package draws them: what ``scformat draw`` prints."""
    opened = scformat_package.open(store)
    return [draw(opened, **{"table": None, **request})["rows"] for request in wanted]

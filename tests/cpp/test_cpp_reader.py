"""The reader in C++, written from the specification alone: the kit, and real files against anndata."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pytest
import scipy.sparse

from scformat.cli import main

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "spec" / "conformance"
COUNTS = {
    "cas_test_adata": "X",
    "cxg_example_with_labels": "X",
    "scp_test": "X",
    "anndataR_example": "layers/counts",
    "scimilarity_test": "layers/counts",
    "anndata_archive_v0.7.0": "raw",
}
EVERY = 9
"""Of the invalid cases every ninth is asked."""


@pytest.fixture(scope="module")
def cellstore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the reader; skip where its compiler or its library is not there."""
    for program in ("g++", "make"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    asked = subprocess.run(
        ["g++", "-x", "c++", "-fsyntax-only", "-"],
        input="#include <blosc.h>",
        text=True,
        capture_output=True,
        check=False,
    )
    if asked.returncode != 0:
        pytest.skip("blosc.h is not there (libblosc-dev)")
    build = tmp_path_factory.mktemp("cpp")
    made = subprocess.run(
        ["make", f"BUILD={build}", "CXXFLAGS=-O1 -Werror"],
        cwd=ROOT / "tools" / "cpp",
        text=True,
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return build / "cellstore"


def ask(cellstore: Path, *arguments: str) -> Any:
    done = subprocess.run([cellstore, *arguments], text=True, capture_output=True, check=True)
    return json.loads(done.stdout)


def kit(cellstore: Path, cases: list[str]) -> dict[str, Any]:
    chosen = [word for case in cases for word in ("--case", case)]
    done = subprocess.run(
        [sys.executable, KIT / "run.py", "--json", "--jobs", "2", *chosen, "--", cellstore],
        text=True,
        capture_output=True,
        check=False,
    )
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("valid", [True, False])
def test_kit(cellstore: Path, *, valid: bool) -> None:
    cases = [c["id"] for c in json.loads((KIT / "cases.json").read_text("utf-8"))["cases"] if c["valid"] is valid]
    asked = cases if valid else cases[::EVERY]
    result = kit(cellstore, asked)
    assert [c for c in result["cases"] if not c["passed"]] == []
    assert result["n_cases"] == len(asked)


def counts_of(path: Path, where: str) -> tuple[scipy.sparse.csr_matrix, list[str], list[str]]:
    """Return a file's counts, the names of its columns and its barcodes, as anndata reads them."""
    data = anndata.read_h5ad(path)
    source = data.raw if where == "raw" else data
    matrix = data.layers["counts"] if where == "layers/counts" else source.X
    return scipy.sparse.csr_matrix(matrix), [str(v) for v in source.var_names], [str(b) for b in data.obs_names]


@pytest.mark.filterwarnings("ignore")  # of anndata, about old files
def test_real_files(cellstore: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "real.cells"
    sources = [str(shared_data / f"{name}.h5ad") for name in COUNTS]
    assert main(["convert", "--order", "shuffled", "--seed", "3", *sources, str(store)]) == 0
    capsys.readouterr()
    assert ask(cellstore, "validate", "--level", "4", str(store)) == {"valid": True, "level": 4, "findings": []}
    about = ask(cellstore, "describe", str(store))
    genes = list(zip(about["genes"]["id"], about["genes"]["symbol"], strict=True))
    rows = ",".join(str(row) for row in range(about["n_cells"]))
    cells = ask(cellstore, "read", str(store), "--rows", rows)["cells"]
    assert len(cells) == about["n_cells"]
    for name, where in COUNTS.items():
        matrix, columns, barcodes = counts_of(shared_data / f"{name}.h5ad", where)
        column = {c: j for j, c in enumerate(columns)}
        of_source = [cell for cell in cells if cell["source"] == name]
        assert sorted(cell["source_row"] for cell in of_source) == list(range(matrix.shape[0]))
        for cell in of_source:
            found = np.zeros(len(columns))
            for gene, count in zip(cell["genes"], cell["counts"], strict=True):
                found[next(column[text] for text in genes[gene] if text in column)] += count
            wanted = matrix[[cell["source_row"]]].toarray()[0]
            assert np.array_equal(found, wanted)
            assert (cell["total_counts"], cell["n_genes"]) == (wanted.sum(), np.count_nonzero(wanted))
            assert cell["barcode"] == barcodes[cell["source_row"]]


@pytest.mark.parametrize(
    ("arguments", "status"), [(["read", "nowhere", "--rows", "0"], 1), (["look", "nowhere"], 2), (["read"], 2)]
)
def test_wrong_questions(cellstore: Path, tmp_path: Path, arguments: list[str], status: int) -> None:
    done = subprocess.run([cellstore, *arguments], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (status, "", 1)

"""Real files, each by itself: their counts are found apart from this package, and refusals and differences told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from tools.bench import convert_files

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = np.array([[0, 3, 0], [1, 0, 2]], np.float32)


def write(path: Path, x: Any, **layers: Any) -> Path:
    var = pd.DataFrame(index=["ENSG00000141510", "ENSG00000012048", "ENSG00000139618"])
    anndata.AnnData(X=x, var=var, obs=pd.DataFrame(index=["a", "b"]), layers=layers).write_h5ad(path)
    return path


def test_counts_are_the_first_place_of_whole_numbers(tmp_path: Path) -> None:
    sums = {"cells": 2, "genes": 3, "nonzeros": 3, "sum": 6.0}
    plain = write(tmp_path / "plain.h5ad", sparse.csc_matrix(COUNTS))
    assert convert_files.counts_of(plain) == {"place": "X", **sums}
    layered = write(tmp_path / "layered.h5ad", np.log1p(COUNTS), counts=COUNTS)
    assert convert_files.counts_of(layered) == {"place": "layers/counts", **sums}
    assert convert_files.counts_of(write(tmp_path / "none.h5ad", np.log1p(COUNTS))) is None


def test_a_file_is_converted_and_one_without_counts_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.h5ad", COUNTS), write(tmp_path / "b.h5ad", np.log1p(COUNTS))]
    asked = ["--peers", "", "--orders", "source", "--repeat", "1", "--work", str(tmp_path), "--out", str(tmp_path)]
    assert convert_files.main([*map(str, files), *asked]) == 0
    lines = (tmp_path / "convert-files.md").read_text("utf-8").splitlines()
    (good,) = (line for line in lines if line.startswith("| a.h5ad"))
    assert "| X | 2 x 3 | 3 |" in good
    assert good.endswith(" B |")
    assert "| b.h5ad | none |  |  | refused |" in lines
    (why,) = (line for line in lines if line.startswith("- scformat source: error: b.h5ad: no counts"))
    assert "[counts-not-found]" in why


def test_other_content_is_told() -> None:
    counts = {"cells": 2, "nonzeros": 3, "sum": 6.0}
    found = {"cpu_s": 1.0, "peak_rss": 1e9, "bytes": 30, "content": "differs", "found": {**counts, "sum": 5.5}}
    assert convert_files._cell(found, counts) == "1.0 s, 1.00 GB: other sum"
    assert convert_files._cell(found, None) == "1.0 s, 1.00 GB: not counts"

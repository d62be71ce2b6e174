"""``scformat neighbours``, as processes."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse

import scformat

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def with_graphs(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The studies as an analysis leaves them: under their names, with graphs in obsp."""
    import anndata

    directory = tmp_path_factory.mktemp("analysed")
    made = []
    for seed, file in enumerate(studies):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = anndata.read_h5ad(file)
        n, rng = data.n_obs, np.random.default_rng(seed)
        ties = (np.repeat(np.arange(n), 5), (np.repeat(np.arange(n), 5) + np.tile(np.arange(1, 6), n)) % n)
        data.obsp["distances"] = sparse.csr_matrix((rng.random(5 * n) + 1, ties), shape=(n, n))
        data.obsp["weird"] = data.obsp["distances"]
        data.write_h5ad(directory / file.name)
        made.append(directory / file.name)
    return made


@pytest.fixture
def copied(store: Path, tmp_path: Path) -> Path:
    """A store of one's own to add to."""
    target = tmp_path / "a.cells"
    shutil.copytree(store, target)
    return target


def test_add_and_list(run: Run, copied: Path, with_graphs: list[Path]) -> None:
    assert "no neighbours" in run("neighbours", "list", copied).stderr
    added = run("neighbours", "add", copied, "knn", *with_graphs, "--obsp", "distances", "--k", 3)
    assert added.returncode == 0, added.stderr
    assert added.stdout == ""
    store = scformat.open(copied)
    assert f"wrote neighbours knn to {copied}: {3 * store.n_cells:,} neighbours of {store.n_cells:,}" in added.stderr
    table = store.neighbours["knn"]
    assert (table.k, table.weight) == (3, "distance")
    assert (np.diff(table.weights(), axis=1) >= 0).all()
    assert (table.rows() >= 0).all()
    pattern = str(with_graphs[0].parent / "*.h5ad")
    similar = run("neighbours", "add", copied, "weird", pattern, "--obsp", "weird", "--weight", "connectivity")
    assert similar.returncode == 0, similar.stderr
    listed = json.loads(run("neighbours", "list", copied, "--json").stdout)["neighbours"]
    assert list(listed) == ["knn", "weird"]
    assert listed["knn"] == {
        "k": 3,
        "cells": store.n_cells,
        "neighbours": 3 * store.n_cells,
        "weight": "distance",
        "source": "obsp/distances",
        "digest": table.digest[:8],
    }
    assert listed["weird"]["k"] == 15
    assert "obsp/weird" in run("neighbours", "list", copied).stdout
    assert json.loads(run("info", copied, "--json").stdout)["neighbours"] == ["knn", "weird"]
    assert run("validate", copied).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("../knn", "0"), "bad-name", "letters"),
        (("knn", "0", "--obsp", "distance"), "unknown-obsp-matrix", "'distances'"),
        (("knn", "0", "--obsp", "weird"), "no-weight-meaning", "connectivity"),
        (("knn", "0", "--k", "0"), "bad-k", "1 to 1024"),
        (("knn", "0", "0"), "duplicate-source", "twice"),
        (("knn", "nothing-*.h5ad"), "empty-match", "nothing"),
        (("knn",), "usage", "SRC"),
    ],
)
def test_what_is_refused(
    run: Run, copied: Path, with_graphs: list[Path], arguments: tuple[str, ...], code: str, text: str
) -> None:
    before = (copied / "zarr.json").read_bytes()
    given = [with_graphs[0] if a == "0" and arguments[i - 1] != "--k" else a for i, a in enumerate(arguments)]
    done = run("neighbours", "add", copied, *given)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"[{code}]" in done.stderr
    assert text in done.stderr
    assert (copied / "zarr.json").read_bytes() == before
    assert not (copied / "neighbours").exists()

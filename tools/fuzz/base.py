"""Stores and files that fuzzing starts from: real-like and whole, but small."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

import scformat
from scformat.neighbours import add_neighbours

if TYPE_CHECKING:
    from scformat.store import Store

TABLES = ["ct=cell_type:ontology_nodes@train", "donors=donor_id:balanced"]


def scratch() -> str | None:
    """Directory in memory, where files are no writes to a disk; None where there is none."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def whole_store(work: Path, *, cells: int = 300, genes: int = 400, seed: int = 3) -> Store:
    """Make a store of simulated studies with all that a store can have, the last study as a part of its own."""
    studies = scformat.simulate(work / "studies", cells=cells, studies=3, genes=genes, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        store = scformat.convert(
            studies[:2], work / "whole.cells", splits="train=0.8,test=0.2", split_by=["donor_id"],
            weights=TABLES, jobs=1,
        )  # fmt: skip
        store = scformat.append(store, studies[2:], jobs=1)
    return with_neighbours(store, seed=seed)


def with_neighbours(store: Store, *, seed: int = 0) -> Store:
    """Add a neighbour table of three near cells each, some cells with none."""
    rng = np.random.default_rng(seed)
    n = store.n_cells
    rows = (np.arange(n)[:, None] + rng.permuted(np.tile(np.arange(1, 6), (n, 1)), axis=1)[:, :3]) % n
    rows[rng.random(n) < 0.1] = -1
    weights = np.where(rows < 0, 0, 1 + np.arange(3)).astype(np.float32)
    add_neighbours(store, "knn", (rows, weights), weight="distance", source="near rows")
    return scformat.open(store.path)


def small_study(name: str, *, cells: int = 24, genes: int = 20, first: int = 1, seed: int = 0) -> anndata.AnnData:
    """Make a study as an object: an ontology, a text, numbers, missing values, a count beyond 16 bits."""
    rng = np.random.default_rng(seed)
    terms = {"CL:0000236": "B cell", "CL:0000084": "T cell", "CL:0000576": "monocyte"}
    which = rng.integers(0, 3, cells)
    counts = rng.poisson(rng.gamma(0.5, 3.0, genes), (cells, genes)).astype(np.float32)
    counts[2] = 0
    counts[0, 0], counts[1, -1] = 70_000, 300
    score = pd.array(rng.integers(-5, 5, cells), dtype="Int64")
    score[3] = pd.NA
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([list(terms.values())[i] for i in which]),
            "cell_type_ontology_term_id": pd.Categorical([list(terms)[i] for i in which]),
            "donor_id": pd.Categorical([f"{name}-{i}" for i in rng.integers(0, 3, cells)]),
            "score": score,
            "note": [f"note {i % 5} \u00e9" for i in range(cells)],
            "share": rng.random(cells).astype(np.float32),
        },
        index=[f"{name}-{i}" for i in range(cells)],
    )
    ids = [f"ENSG9{i:010d}" for i in range(first, first + genes)]
    var = pd.DataFrame({"symbol": [f"G{i}" for i in range(genes)]}, index=ids)
    return anndata.AnnData(X=sparse.csr_matrix(counts), obs=obs, var=var, uns={"title": name})


def small_store(work: Path) -> Store:
    """Make a store of two small studies, two parts, whose root is short."""
    paths = [work / f"{name}.h5ad" for name in ("one", "two")]
    for k, path in enumerate(paths):
        small_study(path.stem, first=1 + 7 * k, seed=k).write_h5ad(path)
    store = scformat.convert(
        paths[:1], work / "small.cells", labels=["cell_type", "donor_id"], splits="train=0.7,test=0.3",
        split_by=["donor_id"], weights=TABLES[:1], jobs=1,
    )  # fmt: skip
    return with_neighbours(scformat.append(store, paths[1:], jobs=1))


def small_files(work: Path) -> list[Path]:
    """Write small h5ad files that differ in how HDF5 stores them: contiguous, chunked, gzip, strings of both kinds."""
    study = small_study("study")
    paths = [work / f"{name}.h5ad" for name in ("plain", "gzip", "dense", "columns")]
    study.write_h5ad(paths[0])
    study.write_h5ad(paths[1], compression="gzip")
    dense = study.copy()
    dense.X = study.X.toarray()
    dense.write_h5ad(paths[2], compression="lzf")
    columns = study.copy()
    columns.X = sparse.csc_matrix(study.X)
    columns.raw = study
    columns.write_h5ad(paths[3])
    return paths

"""Small AnnData objects with everything that matters, and views of stores, for tests of conversion and reading."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def counts_matrix(n: int, m: int, *, seed: int = 0, mean: float = 0.6) -> NDArray[np.int64]:
    """Counts with empty rows and empty columns, small values mostly and a few that need two entries."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(mean * rng.gamma(0.5, 2.0, (1, m)) * rng.gamma(2.0, 0.5, (n, 1)), (n, m)).astype(np.int64)
    values[rng.random(n) < 0.05] = 0
    values[0, 0] = 1
    return values


def gene_ids(m: int, *, first: int = 1) -> list[str]:
    """Ids that have the form of Ensembl's and that no reference knows."""
    return [f"ENSG9{i:010d}" for i in range(first, first + m)]


def sample(
    values: NDArray[Any],
    *,
    layout: str = "csr",
    dtype: Any = np.float32,
    obs: dict[str, Any] | None = None,
    genes: Sequence[str] | None = None,
    prefix: str = "cell",
) -> anndata.AnnData:
    """An AnnData object of some counts in one layout and type."""
    n, m = values.shape
    plain = values.astype(dtype)
    stored = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.ascontiguousarray}[layout](plain)
    return anndata.AnnData(
        X=stored,
        obs=pd.DataFrame(obs or {}, index=[f"{prefix}-{i}" for i in range(n)]),
        var=pd.DataFrame(index=list(genes) if genes is not None else gene_ids(m)),
    )


def rich_obs(n: int, *, seed: int = 0) -> pd.DataFrame:
    """Obs columns of every type that h5ad files hold."""
    rng = np.random.default_rng(seed)
    index = pd.RangeIndex(n)
    types = np.array(["T cell", "B cell", "monocyte"], object)
    stage = pd.Categorical(rng.choice(["low", "mid", "high"], n), ["low", "mid", "high", "never"], ordered=True)
    small = pd.Categorical.from_codes(rng.integers(-1, 3, n), pd.Index([10, 9, 100]))
    flags = pd.Categorical.from_codes(rng.integers(0, 2, n), pd.Index([True, False]))
    masked = pd.array(rng.integers(-5, 5, n), dtype="Int64")
    masked[rng.random(n) < 0.3] = pd.NA
    maybe = pd.array(rng.random(n) < 0.5, dtype="boolean")
    maybe[rng.random(n) < 0.3] = pd.NA
    halves = rng.random(n).astype(np.float32)
    halves[rng.random(n) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "kind": pd.Categorical(types[rng.integers(0, 3, n)]),
            "stage": stage,
            "cluster": small,
            "doublet": flags,
            "masked": masked,
            "maybe": maybe,
            "fraction": halves,
            "score": rng.normal(size=n),
            "lane": rng.integers(0, 255, n).astype(np.uint8),
            "depth": rng.integers(-(2**40), 2**40, n),
            "good": rng.random(n) < 0.5,
            "note": np.array([f"note {i % 7} é" for i in range(n)], object),
        },
        index=index,
    )


def files_of(path: Path) -> dict[str, str]:
    """SHA-256 of every file below a directory, by its relative path."""
    return {
        p.relative_to(path).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(path.rglob("*"))
        if p.is_file()
    }


def counts_by_gene(store: Any, rows: Any = None) -> pd.DataFrame:
    """Counts of some cells as a table with gene ids as columns."""
    chosen = np.arange(store.n_cells) if rows is None else rows
    return pd.DataFrame(store.read(chosen).dense(np.int64), columns=store.genes.index)

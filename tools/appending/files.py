"""The sources of the proof, simulated and real, and what anndata and h5py read of them: without this package."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

import scformat
from scformat.errors import ScformatError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DONORS = 8
"""Donors that the simulated studies share, besides their own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Original:
    """What a file holds.

    Attributes
    ----------
    counts : csr_matrix, shape (n_cells, n_vars)
    """

    counts: sparse.csr_matrix
    var_names: list[str]
    obs: pd.DataFrame


def simulated(directory: Path, n: int, *, cells: int, genes: int, seed: int) -> list[Path]:
    """Simulate studies; each later one has genes, donors and a category that those before lack, and donors of them."""
    import anndata

    made = scformat.simulate(directory, cells=cells * n, studies=n, genes=genes, seed=seed)
    for k, path in enumerate(made):
        data = anndata.read_h5ad(path)
        data = data[:, : genes // 2 + genes // 2 * (k + 1) // n].copy()
        own = data.obs["donor_id"]
        shared = {name: f"donor {(k + i) % DONORS}" for i, name in enumerate(own.cat.categories[::2])}
        data.obs["donor_id"] = own.astype(str).replace(shared).astype("category")
        lanes = np.array([f"lane {k:02}", f"lane {k // 2:02}"])
        data.obs["lane"] = pd.Categorical(lanes[np.arange(len(data)) % 2])
        data.write_h5ad(path)
    return list(made)


def real(directory: Path | None) -> tuple[list[Path], dict[str, str]]:
    """Return the files of a directory that can be converted, and of each other why not."""
    if directory is None or not directory.is_dir():
        return [], {"real files": "no directory of them was given, or it is not there"}
    fit, refused = [], {}
    for path in sorted(p for p in directory.iterdir() if p.suffix in (".h5", ".h5ad")):
        try:
            scformat.plan_conversion(path)
        except ScformatError as error:
            refused[path.name] = f"{error.code}: {error.what}"
        else:
            fit.append(path)
    return fit, refused


def interleaved(first: Sequence[Path], second: Sequence[Path]) -> list[Path]:
    """Return both in turns, beginning with the first."""
    longer = max(len(first), len(second))
    return [some[i] for i in range(longer) for some in (first, second) if i < len(some)]


def read_original(path: Path, counts: str) -> Original:
    """Read a file; `counts` is the place of the counts: ``X``, ``raw`` or ``layers/NAME``."""
    if path.suffix == ".h5":
        return _read_10x(path)
    import anndata

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old files, and of names that are not unique
        data = anndata.read_h5ad(path)
    table = data.raw if counts == "raw" else data
    matrix = table.X if counts in ("X", "raw") else data.layers[counts.removeprefix("layers/")]
    return Original(counts=sparse.csr_matrix(matrix), var_names=list(table.var_names), obs=data.obs)


def _read_10x(path: Path) -> Original:
    import h5py

    with h5py.File(path) as file:
        (group,) = file.values()
        ids = group["features/id" if "features" in group else "genes"][:].astype(str).tolist()
        barcodes = group["barcodes"][:].astype(str)
        parts = group["data"][:], group["indices"][:], group["indptr"][:]
    counts = sparse.csr_matrix(parts, (len(barcodes), len(ids)))
    return Original(counts=counts, var_names=ids, obs=pd.DataFrame(index=barcodes))

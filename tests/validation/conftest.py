"""A good store with everything in it, and copies of it to damage."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scformat

if TYPE_CHECKING:
    import anndata

    from .damage import Damage


TYPES = ("CD8-positive, alpha-beta T cell", "B cell", "natural killer cell", "type nobody knows")


def small_sources() -> list[anndata.AnnData]:
    """Three data sets: obs of all types, labels of ontologies, empty cells, counts of several entries.

    The genes overlap in part; two columns of the third data set are one gene.
    """
    from samples import counts_matrix, gene_ids, rich_obs, sample

    made = []
    for i, (n, first, m) in enumerate([(150, 1, 60), (90, 21, 60), (70, 41, 50)]):
        values = counts_matrix(n, m, seed=i, mean=1.5)
        values[3] = 0
        values[5, m - 5] = 70_000
        values[6, m - 6] = 65_535 * 3
        genes = gene_ids(m, first=first)
        if i == 2:
            genes[1] = f"{genes[0]}.2"  # a version: the gene of column 0 once more
        data = sample(values, genes=genes, prefix=f"c{i}")
        rng = np.random.default_rng(i)
        obs = rich_obs(n, seed=i)
        codes = rng.integers(-1 if i == 1 else 0, len(TYPES), n)
        obs["cell_type"] = pd.Categorical.from_codes(codes, list(TYPES))
        obs["tissue"] = pd.Categorical(["blood" if i else "lung"] * n)
        obs["donor_id"] = pd.Categorical([f"d{x}" for x in rng.integers(0, 9, n)])
        for extra in range(6):
            obs[f"more_{extra}"] = pd.Categorical(rng.choice(["x", "y", "z"], n))
        obs["note"] = [None if x % 7 == 3 else f"note {i} {x} ä" for x in range(n)]
        obs["identifier"] = pd.Categorical([f"id-{i}-{x}" for x in range(n)])
        if i == 1:
            obs = obs.drop(columns=["masked", "score"])
        data.obs = obs.set_axis(data.obs_names)
        made.append(data)
    return made


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def good(stores: Path) -> Path:
    """A store of all genes, in the stratified order, split by content."""
    pytest.importorskip("cellxgene_ontology_guide")
    target = stores / "good.cells"
    scformat.convert(small_sources(), target, order="stratified", splits="train=0.7,val=0.2,test=0.1", jobs=2, seed=7)
    return target


@pytest.fixture
def damage(good: Path, tmp_path: Path) -> Damage:
    """A copy of the good store, and the tools to damage it."""
    from .damage import Damage

    target = tmp_path / "bad.cells"
    shutil.copytree(good, target)
    return Damage(target)

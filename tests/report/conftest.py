"""Stores with and without everything that a report shows; names that no page should trust."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scformat

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from scformat.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Simulated studies with ontologies, splits and two tables."""
    directory = tmp_path_factory.mktemp("simulated")
    files = scformat.simulate(directory / "studies", cells=4000, studies=4, genes=700, seed=5)
    weights = ["ct=cell_type:balanced@train", "nested=tissue:balanced,sex:natural", "deep=total_counts:proportional"]
    return scformat.convert(files, directory / "atlas.cells", splits="train=0.8,test=0.2", weights=weights, jobs=2)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Names of sources, labels and categories that would do harm if they were taken as HTML; many categories."""
    from report_pages import HOSTILE
    from samples import counts_matrix, gene_ids, sample

    directory = tmp_path_factory.mktemp("hostile")
    rng = np.random.default_rng(1)
    made = []
    for k, n in enumerate((500, 60)):
        kinds = np.array(HOSTILE, object)[np.minimum(rng.geometric(0.4, n) - 1, len(HOSTILE) - 1)]
        kinds[rng.random(n) < 0.1] = np.nan
        many = pd.Categorical([f"clone {i:03d}" for i in np.sqrt(rng.integers(0, 10_000, n)).astype(int)])
        obs = {"<b>kind&": pd.Categorical(kinds), "clone": many}
        genes = gene_ids(90, first=1 + 30 * k)
        made.append(sample(counts_matrix(n, 90, seed=k), obs=obs, genes=genes, prefix=f"c{k}"))
    paths = [directory / "<u>one<", directory / "two&amp;"]
    for data, path in zip(made, paths, strict=True):
        data.write_h5ad(path.with_suffix(".h5ad"))
    return scformat.convert(
        [p.with_suffix(".h5ad") for p in paths],
        directory / "<i>a.cells",
        labels=["<b>kind&", "clone"],
        weights=["even=clone:balanced"],
        ontology=False,
        jobs=1,
    )


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A few cells, one of them empty, without labels, splits and tables."""
    from samples import sample

    values = np.array([[0, 0, 0], [1, 0, 2], [0, 70_000, 1]])
    return scformat.convert(sample(values), tmp_path_factory.mktemp("bare") / "bare.cells", jobs=1)

"""Splits by columns that are no text: the texts that [SPL-12] gives their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scformat
from scformat.genes import load
from scformat.splits import SplitSpec, assign

if TYPE_CHECKING:
    from pathlib import Path

SPLITS = "a=0.5,b=0.5"
SEED = 3
SINGLE = {
    1.0: "1.0",
    0.1: "0.10000000149011612",
    16777216.0: "16777216.0",
    np.nan: None,
}
DOUBLE = {
    0.1: "0.1",
    -0.0: "-0.0",
    120.0: "120.0",
    1e-4: "0.0001",
    1e-5: "1e-05",
    1.25e-7: "1.25e-07",
    9007199254740993.0: "9007199254740992.0",
    1e16: "1e+16",
    1.5e16: "1.5e+16",
    5e-324: "5e-324",
    np.inf: "inf",
    -np.inf: "-inf",
    np.nan: None,
}
INTEGERS = {0: "0", -12: "-12", 2**53 + 1: "9007199254740993"}
FLAGS = {True: "True", False: "False"}


def source(values: Any) -> anndata.AnnData:
    """A source of 40 different cells, whose column `by` has these values over and over."""
    n = 40
    counts = sparse.csr_matrix(np.eye(n, dtype=np.float32) + np.arange(1, n + 1, dtype=np.float32)[:, None])
    cells = [f"cell {i}" for i in range(n)]
    obs = pd.DataFrame({"by": np.resize(values, n)}, index=cells)
    return anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=list(load(9606).ids[:n])))


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (np.array(list(SINGLE), np.float32), list(SINGLE.values())),
        (np.array(list(DOUBLE)), list(DOUBLE.values())),
        (np.array(list(INTEGERS)), list(INTEGERS.values())),
        (np.array(list(FLAGS)), list(FLAGS.values())),
    ],
    ids=["float32", "float64", "integer", "boolean"],
)
def test_values_that_make_groups_are_texts(values: Any, texts: list[str | None], tmp_path: Path) -> None:
    made = [source(values)]
    store = scformat.convert(made, tmp_path / "a.cells", splits=SPLITS, split_by=["by"], seed=SEED, ontology=False)
    codes = store.field("split", np.arange(store.n_cells)).tolist()
    by_text = assign(SplitSpec.of(SPLITS), [[text] for text in texts], SEED).tolist()
    assert set(by_text) == {0, 1} or len(texts) < 4
    assert codes == [by_text[i % len(texts)] for i in range(store.n_cells)]


@pytest.mark.parametrize("name", ["source", "study", "n_genes"])
def test_what_else_makes_groups(name: str, tmp_path: Path) -> None:
    made = [source(np.arange(3)) for _ in range(6)]
    for i, each in enumerate(made):
        each.X = (each.X * (i + 1)).tocsr()  # no cell repeats one of another source
    store = scformat.convert(made, tmp_path / "a.cells", splits=SPLITS, split_by=[name], seed=SEED, ontology=False)
    codes = store.field("split", np.arange(store.n_cells)).tolist()
    texts = ["40"] * store.n_cells if name == "n_genes" else [one for one in store.sources.index for _ in range(40)]
    assert codes == assign(SplitSpec.of(SPLITS), [[text] for text in texts], SEED).tolist()

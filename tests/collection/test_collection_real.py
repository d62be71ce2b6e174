"""Real files, a store each: two of one organism whose genes overlap, and one of another organism."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.exporting import source_anndata

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["mixology_sc_celseq2", "heart_1k_mouse", "mixology_sc_dropseq"]
CELLS = [274, 712, 225]


def test_two_organisms(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from scformat.torch import CellLoader

    stores = [scformat.convert(shared_data / f"{name}.h5ad", tmp_path / f"{name}.cells", jobs=1) for name in NAMES]
    united = scformat.open(stores)
    assert list(united.sources.index) == NAMES and united.n_cells == sum(CELLS)
    assert united.n_genes == 28_204 + 15_127 - 15_073 + 31_053
    first = 0
    for store, name, n in zip(stores, NAMES, CELLS, strict=True):
        rows = np.arange(first, first + n)
        found, wanted = united.read(rows), store.read(np.arange(n))
        place = united.genes.index.get_indexer(store.genes.index)
        assert (found.csr()[:, place] != wanted.csr()).nnz == 0
        assert found.csr().sum() == wanted.csr().sum()
        measured = found.measured()
        assert measured[:, place].all() and (measured.sum(axis=1) == store.n_genes).all()
        mine, theirs = source_anndata(united, name), source_anndata(store, name)
        assert (mine.X != theirs.X).nnz == 0 and mine.obs.equals(theirs.obs)
        first += n
    loader = CellLoader(united, batch_size=64, organism="human", threads=0)
    assert len(loader.genes) == (united.genes["taxon"] == 9606).sum() > 28_000  # without spike-ins
    drawn = {row for batch in loader for row in batch.rows[batch.valid].tolist()}
    assert drawn == {*range(CELLS[0]), *range(CELLS[0] + CELLS[1], sum(CELLS))}

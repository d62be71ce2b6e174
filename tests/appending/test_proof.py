"""The proof by many appends, small: four of them, and that it finds what is wrong."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import anndata
import pytest

import scformat
from tools.appending.files import simulated
from tools.appending.proof import ProofError, check_donors, check_fresh, check_source, prove

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return simulated(tmp_path_factory.mktemp("studies"), 5, cells=40, genes=400, seed=2)


def test_four_appends(studies: list[Path], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    reported: list[str] = []
    steps = prove(tmp_path, studies, report=lambda step: reported.append(step.source), options={"ontology": False,
        "jobs": 1, "weights": ["ct=cell_type:balanced@train", "donors=donor_id:scaled(5),lane:natural"]})  # fmt: skip
    assert reported == [path.stem for path in studies[1:]]
    assert all(step.new_categories for step in steps)
    assert sum(step.new_genes > 0 for step in steps) > 1
    assert sum(step.donors_seen_before for step in steps) > 0
    assert steps[-1].cells_compared == 200


def test_it_finds_what_is_wrong(studies: list[Path], tmp_path: Path) -> None:
    options = {"ontology": False, "jobs": 1, "labels": ["donor_id", "cell_type"]}
    store = scformat.convert(studies[:1], tmp_path / "a.cells", splits="train=0.5,test=0.5", **options)
    with pytest.raises(ProofError, match="two splits"):  # each cell for itself
        check_donors(store)
    assert check_source(store, studies[0]) == store.n_cells
    other = tmp_path / studies[0].name
    data = anndata.read_h5ad(shutil.copy(studies[0], other))
    data.X.data[0] += 1
    data.write_h5ad(other)
    with pytest.raises(ProofError, match="counts differ"):
        check_source(store, other)
    fresh = scformat.convert(studies[:1], tmp_path / "b.cells", splits="train=0.5,test=0.5", seed=1, **options)
    with pytest.raises(ProofError, match="other splits"):
        check_fresh(store, fresh)

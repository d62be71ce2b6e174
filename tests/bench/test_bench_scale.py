"""Stores of the scale bench: of parts that are files of others, and yet valid, opened and drawn from exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.validation import validate_store
from tools.bench import scale, scale_store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[scale_store.Original]:
    """Two of the same cells in other orders, and one of other genes."""
    folder = tmp_path_factory.mktemp("originals")
    same = scformat.simulate(folder / "same", cells=500, studies=2, genes=400, seed=1)
    other = scformat.simulate(folder / "other", cells=90, studies=1, genes=300, seed=2)
    for name, sources, seed in (("a", same, 0), ("b", same, 1), ("c", other, 0)):
        scformat.convert(sources, folder / f"{name}.cells", stratify_by=["cell_type"], seed=seed)
    return [scale_store.Original(folder / f"{name}.cells") for name in "abc"]


def test_a_size_is_made_of_originals_that_agree(originals: list[scale_store.Original]) -> None:
    first, second, other = originals
    assert scale_store.originals_for(10**9, originals) == [first, second]
    assert scale_store.originals_for(500, originals) == [first, second]
    assert scale_store.originals_for(499, originals) == [other]
    assert scale_store.originals_for(10, originals) == [other]


def test_copies_of_one_original_are_a_valid_store(originals: list[scale_store.Original], tmp_path: Path) -> None:
    path = tmp_path / "scale.cells"
    scale_store.build(originals[:1], path, 1_200)
    store = scformat.open(path)
    assert (store.n_cells, len(store.manifest.parts)) == (1_500, 3)
    assert list(store.sources.index[-2:]) == ["study_01-3", "study_02-3"]
    report = validate_store(path, level=4)
    assert not report.findings
    entries = path / "parts/2/counts/entries/c/0/0"
    assert entries.stat().st_ino == (originals[0].path / "parts/1/counts/entries/c/0/0").stat().st_ino


def test_several_originals_are_opened_and_drawn_from(originals: list[scale_store.Original], tmp_path: Path) -> None:
    path = tmp_path / "scale.cells"
    scale_store.build(originals[:2], path, 2_000)
    store, first = scformat.open(path), originals[0].store
    label = store.labels[scale_store.LABEL]
    np.testing.assert_array_equal(label.counts, 4 * first.labels[scale_store.LABEL].counts)
    rows = np.array([3, 503, 1_003, 1_503])
    counts = store.read(rows).csr()
    for i, row in enumerate(rows.tolist()):
        expected = originals[row // 500 % 2].store.read([3]).csr()
        assert (counts[i] != expected).nnz == 0
    np.testing.assert_array_equal(store.field("source", rows) // 2, range(4))
    found = scale.measure(path, draws=16_384)
    assert found["cells"] == 2_000
    assert found["parts"] == 4
    assert 1e-4 < found["p"] <= 1

"""Sets of real cells: cell lines of two protocols against one line as the control, and types within subpopulations."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

import scformat  # noqa: E402
from scformat.torch import CellLoader, Sets  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path


def test_cell_lines_with_controls_of_their_protocol(shared_data: Path, tmp_path: Path) -> None:
    listed = tmp_path / "sources.tsv"
    names = {"mixology_sc_celseq2": "CEL-seq2", "mixology_sc_dropseq": "Drop-seq"}
    lines = [f"{shared_data / name}.h5ad\t{protocol}" for name, protocol in names.items()]
    listed.write_text("\n".join(["path\tstudy", *lines]) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = scformat.convert(
            (), tmp_path / "lines.cells", sources_table=listed, labels=["cell_line", "study"],
            stratify_by=["study", "cell_line"],
        )  # fmt: skip
    sets = Sets(size=32, by=["cell_line"], control="cell_line == 'H1975'", match=["study"])
    obs = store.obs(["cell_line", "study"])
    made = CellLoader(store, 64, sets=sets, steps_per_epoch=25, window=1600, lanes=2)
    assert made.plan.name == "stratified"
    counts = made.combinations.set_index(["cell_line", "study"])[["cells", "controls"]]
    assert {tuple(k): tuple(v) for k, v in zip(counts.index, counts.to_numpy().tolist(), strict=True)} == {
        ("H2228", "CEL-seq2"): (81, 114),
        ("H2228", "Drop-seq"): (65, 92),
        ("HCC827", "CEL-seq2"): (79, 114),
        ("HCC827", "Drop-seq"): (68, 92),
    }
    seen = np.zeros(4, np.int64)
    for batch in made:
        cells = obs.iloc[batch.rows.numpy()]
        controls = obs.iloc[batch.control.rows.numpy()]
        assert (cells["study"].to_numpy() == controls["study"].to_numpy()).all()
        assert set(controls["cell_line"]) == {"H1975"}
        for half in (cells, controls):
            assert (half.groupby(np.repeat([0, 1], 32)).nunique()["study"] == 1).all()
            assert (half.index.to_series().groupby(np.repeat([0, 1], 32)).nunique() == 32).all()
        assert (cells.groupby(np.repeat([0, 1], 32)).nunique()["cell_line"] == 1).all()
        assert np.array_equal(batch.control.x.numpy(), store.read(batch.control.rows.numpy()).dense())
        seen += np.bincount(batch.combination.numpy(), minlength=4)
    # Two lines share the 50 sets; the protocols of each share its 25 by their cells.
    assert abs(seen - 50 * made.combinations["probability"].to_numpy()).max() <= 2


def test_types_of_real_blood_cells(shared_data: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        store = scformat.convert(
            [shared_data / "pbmc_facs.h5ad"], tmp_path / "pbmc.cells", labels=["subpop", "celltype"]
        )
    made = CellLoader(store, 256, sets=Sets(size=64, by=["subpop", "celltype"]), plan="epoch", output="csr")
    frame = made.combinations
    assert sorted(frame["cells"]) == [163, 191, 205, 232, 234, 252, 370, 673, 687, 767]
    batches = list(made)
    assert len(batches) == -(-sum(-(-n // 64) for n in frame["cells"]) // 4)
    valid = torch.cat([batch.rows[batch.valid] for batch in batches])
    assert np.array_equal(np.sort(valid.numpy()), np.arange(3774))
    codes = store.labels["celltype"].codes()
    for batch in batches:
        of_cells = codes[batch.rows.numpy()].reshape(4, 64)
        assert np.array_equal(of_cells, np.repeat(batch.set_labels["celltype"].numpy()[:, None], 64, axis=1))

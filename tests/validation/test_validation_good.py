"""Stores that conform: no finding, whatever they hold."""

from __future__ import annotations

import json
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scformat
from scformat.errors import StorageError, UsageError
from scformat.tables import add_table, build_table

from .conftest import small_sources
from .damage import Damage

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("level", [1, 2, 3])
def test_good_store(good: Path, level: int) -> None:
    report = scformat.validate(good, level=level)
    assert report.ok
    assert report.as_dict() == {"store": str(good), "level": level, "ok": True, "valid": True, "findings": []}


@pytest.mark.parametrize(
    "options",
    [
        {"genes": "intersection", "order": "shuffled", "splits": "a=0.5,b=0.5", "split_by": ["donor_id"]},
        {"order": "source", "where": "n_genes > 20", "labels": ["donor_id"], "ontology": False},
        {"order": "source", "splits": "a=0.9,b=0.1", "split_by": ["source", "donor_id"], "seed": 2**53 - 1},
        {"order": "stratified", "stratify_by": ["donor_id", "cell_type"]},
    ],
    ids=["intersection", "filtered", "by-source", "strata"],
)
def test_good_store_of_other_options(options: dict[str, Any], tmp_path: Path) -> None:
    if options.get("ontology", True):
        pytest.importorskip("cellxgene_ontology_guide")
    scformat.convert(small_sources(), tmp_path / "a.cells", jobs=2, **options)
    assert scformat.validate(tmp_path / "a.cells").findings == ()


def test_cells_that_share_their_content_between_splits(tmp_path: Path) -> None:
    sources = small_sources()
    sources.append(sources[0].copy())
    sources[3].obs["donor_id"] = pd.Categorical(["other"] * sources[3].n_obs)
    options = {"splits": "a=0.5,b=0.5", "split_by": ["donor_id"], "ontology": False, "order": "shuffled"}
    store = scformat.convert(sources, tmp_path / "a.cells", jobs=2, **options)
    assert store.manifest.splits is not None
    assert store.manifest.splits.duplicates_left_out > 0
    assert scformat.validate(tmp_path / "a.cells").findings == ()


def test_gaps_and_values_of_several_entries(tmp_path: Path) -> None:
    n_genes = 140_000
    places = np.array([[0, 65_534, 65_535, 131_070, 139_999], [65_535, 65_536, 70_000, 131_071, 139_999]])
    values = np.array([[1, 65_535, 65_536, 2**33, 2**31 - 1], [2**32, 65_534, 131_070, 131_071, 3]])
    rows = np.repeat([0, 2], 5)
    matrix = sparse.csr_matrix((values.ravel().astype(np.int64), (rows, places.ravel())), shape=(3, n_genes))
    genes = [f"ENSG9{i:010d}" for i in range(n_genes)]
    (tmp_path / "genes.txt").write_text("\n".join(["gene_id", *genes]) + "\n")
    data = anndata.AnnData(X=matrix, obs=pd.DataFrame(index=["a", "b", "c"]), var=pd.DataFrame(index=genes))
    # A list keeps its order, so that the gaps are those of the columns.
    scformat.convert(data, tmp_path / "a.cells", genes=tmp_path / "genes.txt", jobs=1)
    held = scformat.open(tmp_path / "a.cells").read([0, 1, 2]).csr(np.int64)
    assert (held != matrix).nnz == 0
    assert scformat.validate(tmp_path / "a.cells").findings == ()


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("cellxgene_ontology_guide")
    names = ["pbmc_facs.h5ad", "cxg_example_with_labels.h5ad", "heart_1k_mouse.h5ad", "mixology_sc_celseq2.h5ad"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata's, on old files
        scformat.convert(
            [shared_data / n for n in names], tmp_path / "a.cells", splits="train=0.8,test=0.2", order="stratified"
        )
    stages = []
    report = scformat.validate(tmp_path / "a.cells", progress=lambda *state: stages.append(state))
    assert report.findings == ()
    assert stages[-1][0] == "checking data"
    assert stages[-1][1] == stages[-1][2] > 100


def test_store_of_two_parts(good: Path, tmp_path: Path) -> None:
    """What an append gives: the same cells once more, as other sources."""
    path = tmp_path / "two.cells"
    shutil.copytree(good, path)
    shutil.copytree(path / "parts" / "1", path / "parts" / "2")
    store = Damage(path)
    manifest, first = store.manifest, store.part
    second = json.loads(json.dumps(first).replace('"parts/1/', '"parts/2/'))
    n, n_sources = first["n_cells"], first["sources"]["n"]
    second["start"], second["sources"]["first"] = n, n_sources
    index = store.values(second["index"])
    index[1] += n_sources
    store.put(second["index"], index)
    texts = store.texts(second["sources"]["records"])
    store.put_texts(second["sources"]["records"], [t.replace(b'"name":"anndata', b'"name":"again', 1) for t in texts])
    manifest["parts"].append(second)
    manifest["required_features"] = ["parts"]
    for name in ("n_cells", "n_entries"):
        manifest[name] *= 2
    manifest["splits"]["counts"] = [2 * c for c in manifest["splits"]["counts"]]
    for label in manifest["labels"]:
        store.put(label["counts"], 2 * store.values(label["counts"]))
        if "ontology" in label:
            store.put(label["ontology"]["counts"], 2 * store.values(label["ontology"]["counts"]))
    for group in [g for g in manifest["groups"] if g.startswith("parts/1")]:
        manifest["groups"][group.replace("parts/1", "parts/2", 1)] = manifest["groups"][group]
    store.seal()
    assert scformat.validate(path).findings == ()

    index[1, 100] = 0  # a source of the other part
    store.put(second["index"], index)
    store.seal()
    found = {f.requirement: f.where for f in scformat.validate(path).findings}
    assert found["CEL-5"] == f"parts/2/cells/index, cell {n + 100}"


def test_files_that_no_root_names_are_no_part_of_the_store(damage: Damage) -> None:
    (damage.path / "parts" / "1" / "left-over").write_bytes(b"of an earlier root")
    assert scformat.validate(damage.path).ok


def test_levels_that_are_not_there(good: Path) -> None:
    with pytest.raises(UsageError, match="bad-level"):
        scformat.validate(good, level=5)


def test_nothing_at_all(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no-store"):
        scformat.validate(tmp_path / "nothing.cells")


def test_a_table_is_covered_to_the_byte(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.cells"
    shutil.copytree(good, path)
    store = scformat.open(path)
    add_table(store, "even", build_table(store, f"{next(iter(store.labels))}:balanced"))
    assert scformat.validate(path).findings == ()
    file = next(p for p in sorted(path.glob("tables/*/masses/c/*")) if p.is_file())
    data = bytearray(file.read_bytes())
    data[20] ^= 4
    file.write_bytes(data)
    assert {f.requirement for f in scformat.validate(path).findings} >= {"INT-2"}

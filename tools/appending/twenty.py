"""Twenty appends to one store, checked after each: cells, donors, tables, an old reader, every byte.

``python tools/appending/twenty.py WORK RESULT.json [REAL.h5ad ...]`` simulates studies of growing gene sets, takes the
real files given between them, and appends one after another. Stores and simulated files lie in WORK meanwhile.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import numpy as np
import pandas as pd

import scformat
from scformat.exporting import source_anndata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.store import Store

APPENDS = 20
TABLES = ["ct=cell_type:ontology_nodes@train", "donors=donor_id:balanced", "deep=cell_type:scaled(50)"]
OPTIONS: dict[str, Any] = {"splits": "train=0.8,test=0.2", "split_by": ["donor_id"], "weights": TABLES, "seed": 3}


def studies(work: Path, n: int) -> list[Path]:
    """Simulate studies; each later one has genes that the ones before lack."""
    made = scformat.simulate(work / "simulated", cells=400 * n, studies=n, genes=6000, seed=11)
    for k, path in enumerate(made):
        data = anndata.read_h5ad(path)
        data[:, : 3000 + 3000 * (k + 1) // n].write_h5ad(path)
    return list(made)


def check_cells(store: Store, paths: Sequence[Path]) -> int:
    """Hold every cell of every source against its file; return how many there are."""
    total = 0
    for path in paths:
        record = store.sources_view.records[store.sources_view.number(path.stem)]
        restored = source_anndata(store, record.name)
        original = anndata.read_h5ad(path)
        stored = {"X": lambda a: a.X, "raw": lambda a: a.raw.X}.get(record.counts)
        wanted = stored(original) if stored else original.layers[record.counts.removeprefix("layers/")]
        dense = wanted.toarray() if hasattr(wanted, "toarray") else np.asarray(wanted)
        assert len(restored) == len(original), f"{path}: cells are missing"
        assert (restored.X.toarray() == dense).all(), f"{path}: counts differ"
        assert list(restored.obs_names) == list(original.obs_names), f"{path}: barcodes differ"
        for name in restored.obs:
            pd.testing.assert_series_equal(restored.obs[name], original.obs[name], obj=f"{path}: {name}")
        total += len(restored)
    return total


def shares(store: Store, name: str) -> pd.DataFrame:
    """Cells and probability of each stratum by the names of its categories."""
    table = store.tables[name]
    keys = [key.name for key in table.info.keys]
    return table.strata.astype(dict.fromkeys(keys, str)).set_index(keys).sort_index()[["cells", "probability"]]


def main() -> None:
    """Run it."""
    warnings.simplefilter("ignore")
    work, result, real = Path(sys.argv[1]), Path(sys.argv[2]), [Path(p) for p in sys.argv[3:]]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    simulated = studies(work, APPENDS + 1 - len(real))
    paths = [simulated.pop(0)]
    others = list(real)
    while simulated or others:
        paths += [some.pop(0) for some in (others, simulated) if some]
    place = work / "grown.cells"
    reader = scformat.convert(paths[:1], place, **OPTIONS)
    held = reader.read(np.arange(reader.n_cells)).csr(np.int64)
    rows: list[dict[str, Any]] = []
    for n in range(1, APPENDS + 1):
        before = scformat.open(place)
        splits, codes = before.field("split", np.arange(before.n_cells)), before.labels["donor_id"].codes()
        begun = time.perf_counter()
        store = scformat.append(place, [paths[n]])
        took = time.perf_counter() - begun
        every = np.arange(before.n_cells)
        assert (store.field("split", every) == splits).all(), "a cell changed its split"
        assert (store.labels["donor_id"].codes(every) == codes).all(), "a code changed"
        of_donor = store.obs(["donor_id", "split"]).groupby("donor_id", observed=True)["split"].nunique()
        assert int(of_donor.max()) <= 1, "a donor is in two splits"
        assert (reader.read(np.arange(reader.n_cells)).csr(np.int64) != held).nnz == 0, (
            "the old reader reads other cells"
        )
        report = scformat.validate(place, level=4)
        assert report.ok, str(report.findings[:3])
        cells = check_cells(store, paths[: n + 1])
        fresh = scformat.convert(paths[: n + 1], work / "fresh.cells", **OPTIONS, overwrite=True)
        differ = 0.0
        for name in fresh.tables:
            mine, theirs = shares(store, name), shares(fresh, name)
            assert list(mine.index) == list(theirs.index), f"{name}: other strata"
            assert (mine["cells"] == theirs["cells"]).all(), f"{name}: other cells"
            differ = max(differ, float((mine["probability"] - theirs["probability"]).abs().max()))
        assert differ < 1e-8, f"shares differ by {differ}"
        row = {
            "append": n, "source": paths[n].stem, "cells": cells, "genes": store.n_genes,
            "new_genes": store.n_genes - before.n_genes, "shares_differ_at_most": differ, "seconds": round(took, 2),
        }  # fmt: skip
        rows.append(row)
        print(json.dumps(row), flush=True)
    removed = scformat.vacuum(place)
    assert scformat.validate(place, level=4).ok and not scformat.vacuum(place).keys
    result.write_text(json.dumps({"appends": rows, "vacuum_files": len(removed.keys)}, indent=1) + "\n")


if __name__ == "__main__":
    main()

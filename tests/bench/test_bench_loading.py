from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from scipy import sparse

import scformat
from tools.bench import load_table, loads, randomness
from tools.bench.adapters import harness, merge_h5ad
from tools.bench.load import spreads

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OPTIONS = {"batch": 4, "seed": 0, "warm_up": 2, "seconds": 0.0, "cache": "warm", "batches": 3}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scformat.simulate(tmp_path_factory.mktemp("sources"), cells=600, studies=2, genes=800, seed=1)


def stream_of(classes: list[list[str]], period: int = 1) -> Any:
    """Batches of four cells that repeat without an end."""

    def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
        batches = [
            (
                sparse.csr_matrix(np.eye(4, dtype=np.float32)),
                {"cell_type": c, "donor_id": [1, 1, 2, 2], "study": list("aabb")},
            )
            for c in classes
        ]
        return harness.Stream(
            batches=itertools.cycle(batches), counts=lambda b: b[0], codes=lambda b: b[1], period=period
        )

    return open_stream


def test_expected_entropy_is_the_mean_over_many_batches() -> None:
    shares = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    drawn = np.random.default_rng(0).multinomial(20, shares, size=20_000)
    seen = np.mean([harness.entropy(counts) for counts in drawn])
    assert randomness.expected_entropy(shares, 20) == pytest.approx(seen, abs=0.005)
    assert randomness.expected_entropy(np.array([1.0]), 20) == 0


def test_entropies_of_known_batches() -> None:
    request = harness.Request(batch=4, seed=0, labels=harness.LABELS)
    found = harness.entropies(stream_of([list("xyzw"), list("xxxx"), list("xxyy")]), {}, "", request, OPTIONS)
    assert found["cells"] == 12
    assert found["entropy"]["cell_type"] == pytest.approx((2 + 0 + 1) / 3)
    # Donor 1 is of study a and donor 2 of study b.
    assert found["entropy"]["donor_id"] == found["entropy"]["study"] == pytest.approx(1)
    assert found["categories"] == {"cell_type": 4, "donor_id": 2, "study": 2}
    assert found["pooled"]["cell_type"] == pytest.approx(harness.entropy(np.array([7, 3, 1, 1])))


def test_a_measurement_is_of_whole_periods(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(100_000))
    request = harness.Request(batch=4, seed=0, labels=harness.LABELS[:1])
    found = harness.measure(stream_of([list("xyzw")], period=12), {}, str(tmp_path), request, OPTIONS)
    assert found["cells"] == 12
    assert found["wall_s"] > 0
    assert found["cpu_s"] > 0
    assert found["resident"] == 1


def test_classes_have_equal_shares_in_balanced_draws() -> None:
    labels = {"cell_type": np.array([0, 0, 0, 1]), "donor_id": np.array([0, 1, 1, 1]), "study": np.zeros(4, np.int64)}
    found = randomness.distributions(labels)
    assert found["uniform"]["cell_type"].tolist() == [0.75, 0.25]
    assert found["balanced"]["cell_type"].tolist() == [0.5, 0.5]
    assert found["balanced"]["donor_id"] == pytest.approx(np.array([1 / 6, 5 / 6]))


def test_a_merged_file_has_all_cells_and_genes(sources: list[Path], tmp_path: Path) -> None:
    import anndata

    merge_h5ad.prepare(str(tmp_path / "merged.h5ad"), [str(path) for path in sources])
    merged = anndata.read_h5ad(tmp_path / "merged.h5ad")
    each = [anndata.read_h5ad(path) for path in sources]
    assert merged.n_obs == sum(one.n_obs for one in each)
    assert set(merged.var_names) == set().union(*(one.var_names for one in each))
    assert merged.X.has_sorted_indices
    start = 0
    for one in each:
        part = merged[start : start + one.n_obs]
        assert (part[:, one.var_names].X != one.X).nnz == 0
        assert part.X.sum() == one.X.sum()
        assert part.obs["cell_type"].tolist() == one.obs["cell_type"].tolist()
        start += one.n_obs
    labels = randomness.read_labels(sources)
    assert len(np.unique(labels["study"])) == len(sources)
    with h5py.File(tmp_path / "merged.h5ad") as file:
        codes: NDArray[np.int64] = file["obs/cell_type/codes"][:]
    assert harness.entropy(np.bincount(labels["cell_type"])) == pytest.approx(harness.entropy(np.bincount(codes)))


def test_every_row_reads_a_store_that_is_known() -> None:
    rows = loads.loads()
    known = loads.stores(dataset_size="1GB")
    assert {row.store for row in rows} <= set(known)
    assert len({row.row.name for row in rows}) == len(rows)
    assert all(row.limit is not None for row in rows if row.group == "scformat")


def test_the_table_has_a_line_for_each_row() -> None:
    runs = [{"cells_per_second": rate, "load": 0.5} for rate in (90_000.0, 110_000.0, 100_000.0)]
    figures = spreads(runs, ("cells_per_second",))
    other = {"median": 1e-6, "least": 1e-6, "most": 1e-6}
    figures |= dict.fromkeys(("cpu_s_per_cell", "first_s", "peak_rss", "peak_anonymous"), other)
    stage = {"median": 2e-6, "least": 2e-6, "most": 2e-6}
    limit = {**dict.fromkeys(("read", "decode", "write", "make"), stage), "limit": {"median": 200_000.0}}
    label = {"entropy": 5.0, "ratio": 0.99}
    row = {
        "name": "scformat epoch, csr", "what": "", "group": "scformat", "cache": "warm", "figures": figures,
        "limit": limit, "randomness": dict.fromkeys(harness.LABELS, label), "runs": runs, "failed": None,
        "versions": {"python": "3"},
    }  # fmt: skip
    result = {
        "cells": 10, "file_system": "ext4", "stores": {"cells": {"bytes": 200}},
        "machine": {"processor": "P", "cores": 2, "memory_bytes": 4e9},
        "sources": {"files": 1, "nonzeros": 100, "simulated": None},
        "settings": {"batch": 128, "repeat": 3, "seconds": 5.0, "batches": 300, "threads": 2},
        "rows": [
            row, {**row, "name": "refused", "failed": "too short"}, {"name": "gone", "what": "", "unavailable": "no"},
        ],
    }  # fmt: skip
    text = load_table.markdown(json.loads(json.dumps(result)))
    assert "| scformat epoch, csr |  | 100,000 (90,000 - 110,000) | 50% |" in text
    assert "| refused |  | failed: too short |" in text
    assert "| gone |  | no |" in text
    assert "| scformat epoch, csr | 5.000 | 99.0% |" in text
    widths = {line.count("|") for line in text.split("## Randomness")[0].splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_processor_time_counts_children_that_still_run() -> None:
    before = harness.processor_s()
    pid = os.fork()
    if pid == 0:
        end = 0
        while end < 20_000_000:
            end += 1
        os._exit(0)
    try:
        assert pid in harness.descendants()
    finally:
        os.waitpid(pid, 0)
    assert harness.processor_s() - before > 0.1

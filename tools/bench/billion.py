"""A store of as many cells as one likes, its parts hard links of those of a few real stores: what size alone costs.

``python -m tools.bench.billion build ORIGINAL... DESTINATION --cells 1000000000`` makes the store, with a table of
equal shares of the cell types; ``measure STORE...`` opens each in a new process and draws from it. Sources and
barcodes repeat with the parts, so such a store is for measuring and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.store import Store

LABEL, TABLE = "cell_type", "types"
BATCHES = 200


def build(originals: list[Path], destination: Path, n_cells: int) -> None:
    """Write the store."""
    import scformat
    from scformat.manifest import Manifest, as_json
    from scformat.root import encode_root
    from scformat.storage import Storage, write_table

    stores = [scformat.open(path) for path in originals]
    document = as_json(stores[0].manifest)
    parts: list[Any] = []
    groups = {path: digest for path, digest in document["groups"].items() if not path.startswith(("parts/", "tables"))}
    groups["parts"] = document["groups"]["parts"]
    start, copies = 0, [0] * len(stores)
    while start < n_cells:
        which = len(parts) % len(stores)
        old, number = as_json(stores[which].manifest), len(parts) + 1
        text = json.dumps(old["parts"][0]).replace('"parts/1/', f'"parts/{number}/')
        parts.append({**json.loads(text), "start": start})
        groups |= {f"parts/{number}{p[7:]}": d for p, d in old["groups"].items() if p.split("/")[:2] == ["parts", "1"]}
        _link(originals[which] / "parts/1", destination / f"parts/{number}")
        start += old["n_cells"]
        copies[which] += 1
    for name in ("genes", "labels"):
        _link(originals[0] / name, destination / name)
    (destination / "parts/zarr.json").write_bytes((originals[0] / "parts/zarr.json").read_bytes())
    storage = Storage(destination)
    for label in document["labels"]:
        for member in (label, label.get("ontology") or {}):
            if "counts" in member:
                path = member["counts"]["path"]
                values = stores[0]._storage.read_array(stores[0].manifest.label(label["name"]).counts)  # type: ignore[union-attr]
                if member is not label:
                    values = stores[0].labels[label["name"]].ontology.counts.to_numpy()  # type: ignore[union-attr]
                member["counts"] = as_json(write_table(storage, f"{path}-{start}", values * len(parts)))
    document |= {
        "parts": parts,
        "n_cells": start,
        "n_entries": sum(part["n_entries"] for part in parts),
        "groups": dict(sorted(groups.items())),
        "tables": [],
        "optional_features": [],
        "required_features": ["parts"],
    }
    (destination / "zarr.json").write_bytes(encode_root(Manifest.model_validate(document)))
    _add_table(scformat.open(destination), stores)


def _link(source: Path, destination: Path) -> None:
    for folder, _, files in os.walk(source):
        target = destination / Path(folder).relative_to(source)
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            os.link(Path(folder) / file, target / file)


def _add_table(store: Store, originals: list[Store]) -> None:
    """Equal shares of the types over all parts, made of the runs of the originals: no code of a cell is read again."""
    from scformat.sampling import Strata, Table, integer_masses
    from scformat.tables import SamplingTable, add_table, build_table, cells_digest

    tables = [build_table(original, f"{LABEL}:balanced") for original in originals]
    first = tables[0]
    assert all(np.array_equal(t.codes, first.codes) for t in tables)
    runs = [t.table.strata for t in tables]
    starts: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    offsets = [0]
    for c in range(len(first.counts)):
        for number, part in enumerate(store.manifest.parts):
            strata = runs[number % len(runs)]
            assert strata.run_start is not None and strata.run_length is not None
            low, high = strata.offsets[c : c + 2]
            starts.append(strata.run_start[low:high] + part.start)
            lengths.append(strata.run_length[low:high])
        offsets.append(offsets[-1] + sum(len(x) for x in starts[-len(store.manifest.parts) :]))
    strata = Strata(offsets=np.array(offsets), run_start=np.concatenate(starts), run_length=np.concatenate(lengths))
    table = Table(
        integer_masses(np.ones(len(first.counts))), strata.counts, strata, cells_digest=cells_digest(store.manifest)
    )
    from dataclasses import replace

    info = replace(first.info, n_rows=store.n_cells, n_missing=0, n_left_out=0)
    made = SamplingTable(TABLE, info, codes=lambda: first.codes, table=lambda: table, categories=first._categories)
    add_table(store, TABLE, made)


def measure(path: Path) -> dict[str, Any]:
    """Open a store in this process, which must be new, and draw from it."""
    import torch  # noqa: F401 - its memory is not the store's

    import scformat
    from scformat.torch import CellLoader

    base, begun = _resident(), time.perf_counter()
    store = scformat.open(path)
    found: dict[str, Any] = {"cells": store.n_cells, "parts": len(store.manifest.parts)}
    found["open_s"] = time.perf_counter() - begun
    found["open_bytes"] = _resident() - base
    for plan in ("independent", "stratified"):
        begun = time.perf_counter()
        loader = CellLoader(store, 128, table=TABLE, plan=plan, output="csr", seed=1, steps_per_epoch=10**6)  # type: ignore[arg-type]
        batches = iter(loader)
        batch = next(batches)
        found[f"{plan}_first_batch_s"] = time.perf_counter() - begun
        codes = store.labels[LABEL].codes(batch.rows.numpy())
        assert len(set(codes.tolist())) > 20
        times = []
        for _ in range(BATCHES):
            begun = time.perf_counter()
            next(batches)
            times.append(time.perf_counter() - begun)
        found[f"{plan}_cells_per_s"] = 128 * BATCHES / sum(times)
        found[f"{plan}_median_ms"] = 1e3 * statistics.median(times)
        del batches
    table = store.tables[TABLE]
    stratum, _ = table.table.draw_strata(5, 0, 1_000_000)
    from scipy.stats import chisquare

    found["p"] = float(chisquare(np.bincount(stratum, minlength=len(table.counts)), table.probability * 1e6).pvalue)
    found["largest_row"] = int(table.draw(5, 0, 100_000).max())
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - base
    return found


def _resident() -> int:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Take the action from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.billion", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    making = actions.add_parser("build")
    making.add_argument("originals", nargs="+", type=Path)
    making.add_argument("destination", type=Path)
    making.add_argument("--cells", type=int, default=1_000_000_000)
    measuring = actions.add_parser("measure")
    measuring.add_argument("stores", nargs="+", type=Path)
    one = actions.add_parser("one")
    one.add_argument("store", type=Path)
    given = parser.parse_args()
    if given.action == "build":
        build(given.originals, given.destination, given.cells)
    elif given.action == "one":
        print(json.dumps(measure(given.store)))
    else:
        for path in given.stores:
            command = [sys.executable, "-m", "tools.bench.billion", "one", str(path)]
            print(subprocess.run(command, check=True, capture_output=True, text=True).stdout, end="", flush=True)


if __name__ == "__main__":
    main()

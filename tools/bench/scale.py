"""The scale bench: stores of as many cells as one likes, their parts hard links of those of a few real stores.

Each has a table of equal shares of the cell types, and is opened and drawn from in new processes. Sources and barcodes
repeat with the parts, so such a store is for measuring and nothing else.
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

from scformat.benchmark import versions
from scformat.loading.schedule import MOST_AHEAD
from scformat.loading.window import costs
from tools.bench import machine
from tools.bench.common import draw_result, remove, say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.store import Store

LABEL, TABLE = "cell_type", "types"
PLANS = ("independent", "stratified")
BATCH = 128
AHEAD = MOST_AHEAD


def build(originals: list[Path], destination: Path, n_cells: int) -> None:
    """Write the store."""
    import scformat
    from scformat.manifest import Manifest, as_json
    from scformat.root import encode_root
    from scformat.storage import Storage
    from scformat.writing import write_table

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
    for plan in PLANS:
        begun = time.perf_counter()
        loader = CellLoader(store, BATCH, table=TABLE, plan=plan, output="csr", seed=1, steps_per_epoch=10**6)  # type: ignore[arg-type]
        batches = iter(loader)
        batch = next(batches)
        found[f"{plan}_first_s"] = time.perf_counter() - begun
        assert len(set(store.labels[LABEL].codes(batch.rows.numpy()).tolist())) > BATCH // 6
        for _ in range(2 * AHEAD // BATCH):  # the runs of draws that are read together grow up to here
            next(batches)
        begun = time.perf_counter()
        for _ in range(2 * AHEAD // BATCH):
            rows = next(batches).rows.numpy()
        found[f"{plan}_ms"] = 1e3 * (time.perf_counter() - begun) / (2 * AHEAD // BATCH)
        batches.close()  # type: ignore[attr-defined]
        of_draws = costs(store, loader.plan.draw(0, AHEAD).rows)
        found[f"{plan}_requests"] = of_draws.requests / AHEAD
        found[f"{plan}_bytes"] = of_draws.bytes / AHEAD
        assert 0 <= rows.min() <= rows.max() < store.n_cells
    table = store.tables[TABLE]
    stratum, _ = table.table.draw_strata(5, 0, 1_000_000)
    from scipy.stats import chisquare

    found["p"] = float(chisquare(np.bincount(stratum, minlength=len(table.counts)), table.probability * 1e6).pvalue)
    found["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - base
    return found


def _resident() -> int:
    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Make the stores, measure them in turns, and write ``scale.json``, ``.md`` and ``.svg``."""
    options = _parser().parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    work = options.work.resolve() / "scale"
    options.out.mkdir(parents=True, exist_ok=True)
    remove(work)
    sizes = [int(size) for size in options.cells.split(",")]
    for size in sizes:
        say(f"making a store of {size:,} cells")
        build([path.resolve() for path in options.originals], work / str(size), size)
    command = [sys.executable, "-m", "tools.bench", "scale", "--one"]
    runs: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
    for turn in range(options.repeat):
        for size in sizes:
            say(f"{turn + 1}/{options.repeat} {size:,} cells")
            done = subprocess.run([*command, str(work / str(size))], check=True, capture_output=True, text=True)
            runs[size].append(json.loads(done.stdout))
    originals = [_original(path) for path in options.originals]
    result = {
        "bench": "scale",
        "machine": machine.describe(),
        "file_system": machine.file_system(work),
        "versions": versions(),
        "settings": {"batch": BATCH, "repeat": options.repeat, "cache": "warm", "table": f"{LABEL}, equal shares"},
        "originals": originals,
        "rows": [_summary(several) for several in runs.values()],
    }
    path = options.out / "scale.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = markdown(result)
    path.with_suffix(".md").write_text(text, "utf-8")
    sys.stdout.write(text)
    draw_result(path, path.with_suffix(".svg"), options.envs.resolve())
    remove(work)
    return 0


def _original(path: Path) -> dict[str, Any]:
    import scformat

    store = scformat.open(path)
    size, files = machine.size_on_disk(path)
    return {"cells": store.n_cells, "entries": store.manifest.n_entries, "bytes": size, "files": files}


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    kept = {name: runs[0][name] for name in ("cells", "parts")}
    return kept | {
        name: {
            "median": statistics.median(run[name] for run in runs),
            "least": min(run[name] for run in runs),
            "most": max(run[name] for run in runs),
        }
        for name in runs[0]
        if name not in kept
    }


def markdown(result: dict[str, Any]) -> str:
    """Tables of a result."""
    of, settings = result["machine"], result["settings"]
    lines = [
        "# What size alone costs",
        "",
        f"{of['processor']}, {of['cores']} cores, {of['memory_bytes'] / 1e9:.1f} GB, {result['file_system']}, "
        "page cache warm, "
        f"{settings['repeat']} interleaved turns, medians. Stores of hard links to "
        + " and ".join(f"{o['cells']:,}" for o in result["originals"])
        + f" cells; batches of {settings['batch']} as CSR, every cell type alike.",
        "",
        "| cells | parts | open, s | memory of it, MB | peak memory, MB | draws fit the table, p |",
        "|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        figures = (f"{row[name]['median'] / unit:,.{places}f}" for name, unit, places in _OPENING)
        lines.append(f"| {row['cells']:,} | {row['parts']:,} | " + " | ".join(figures) + " |")
    for plan in PLANS:
        lines += [
            "",
            f'`plan="{plan}"`:',
            "",
            "| cells | first batch, s | a batch, ms | reads of counts a cell | bytes a cell |",
            "|---|---|---|---|---|",
        ]
        for row in result["rows"]:
            figures = (f"{row[f'{plan}_{name}']['median']:,.{places}f}" for name, places in _DRAWING)
            lines.append(f"| {row['cells']:,} | " + " | ".join(figures) + " |")
    return "\n".join([*lines, ""])


_OPENING = (("open_s", 1, 3), ("open_bytes", 1e6, 0), ("peak_bytes", 1e6, 0), ("p", 1, 2))
_DRAWING = (("first_s", 2), ("ms", 2), ("requests", 2), ("bytes", 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench scale", description=__doc__)
    parser.add_argument("originals", nargs="*", type=Path, help="stores in --order stratified --stratify-by cell_type")
    parser.add_argument("--cells", default="100000,1000000,10000000,1000000000", help="sizes, at least")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="on the file system of the originals")
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"), help="environments, for the picture")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--one", type=Path, help="measure this store in this process, and print what was found")
    return parser

"""The scale bench: stores of as many cells as one likes (see ``scale_store.py``), opened and drawn from.

Each is measured in new processes, all of them in turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from scformat.benchmark import versions
from scformat.loading.schedule import MOST_AHEAD
from scformat.loading.window import costs
from tools.bench import machine
from tools.bench.common import draw_result, remove, say
from tools.bench.scale_store import LABEL, TABLE, Original, build, originals_for

PLANS = ("independent", "stratified")
BATCH = 128
AHEAD = MOST_AHEAD


def measure(path: Path, *, draws: int = 2 * AHEAD) -> dict[str, Any]:
    """Open a store in this process, which must be new, and draw from it; and only open it in another one."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", _OPEN, str(path)], check=True)
    alone = {
        "process_s": time.perf_counter() - begun,
        "process_bytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }
    import torch  # noqa: F401 - its memory is not the store's
    from scipy.stats import chisquare

    import scformat
    from scformat.torch import CellLoader

    base, begun = _peak(), time.perf_counter()
    store = scformat.open(path)
    found: dict[str, Any] = {"cells": store.n_cells, "parts": len(store.manifest.parts), **alone}
    found["open_s"] = time.perf_counter() - begun
    found["open_bytes"] = _peak() - base
    table, label = store.tables[TABLE], store.labels[LABEL]
    for plan in PLANS:
        begun = time.perf_counter()
        loader = CellLoader(store, BATCH, table=TABLE, plan=plan, output="csr", seed=1, steps_per_epoch=10**6)  # type: ignore[arg-type]
        batches = iter(loader)
        batch = next(batches)
        found[f"{plan}_first_s"] = time.perf_counter() - begun
        assert len(set(label.codes(batch.rows.numpy()).tolist())) > len(table.counts) // 3
        for _ in range(draws // BATCH):  # the runs of draws that are read together grow up to here
            next(batches)
        begun = time.perf_counter()
        rows = [next(batches).rows.numpy() for _ in range(draws // BATCH)]
        found[f"{plan}_ms"] = 1e3 * (time.perf_counter() - begun) / (draws // BATCH)
        batches.close()  # type: ignore[attr-defined]
        of_draws = costs(store, loader.plan.draw(0, AHEAD).rows)
        found[f"{plan}_requests"] = of_draws.requests / AHEAD
        found[f"{plan}_bytes"] = of_draws.bytes / AHEAD
        if plan == "independent":
            # By the types of the cells that came, as the store has them: the table knows of its strata alone.
            codes = label.codes(np.concatenate(rows))
            seen = np.bincount(codes, minlength=len(label.categories))[table.codes[0]]
            assert seen.sum() == len(codes)
            found["p"] = float(chisquare(seen, table.probability * len(codes)).pvalue)
    found["peak_bytes"] = _peak()
    return found


_OPEN = "import sys, scformat; scformat.open(sys.argv[1])"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(arguments: list[str] | None = None) -> int:
    """Make the stores, measure them in turns, and write ``scale.json``, ``.md`` and ``.svg``."""
    options = _parser().parse_args(arguments)
    if options.one:
        print(json.dumps(measure(options.one, draws=options.draws)))
        return 0
    work = options.work.resolve() / "scale"
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = [int(size) for size in options.cells.split(",")]
    originals = [Original(path.resolve()) for path in options.originals]
    for size in sizes:
        if not (work / str(size)).exists():
            say(f"making a store of {size:,} cells")
            partial = work / f"{size}.partial"
            remove(partial)
            build(originals_for(size, originals), partial, size)
            partial.rename(work / str(size))
    if options.prepare:
        return 0
    command = [sys.executable, "-m", "tools.bench", "scale", "--draws", str(options.draws), "--one"]
    runs: dict[int, list[dict[str, Any]]] = {size: [] for size in sizes}
    for turn in range(options.repeat + 1):
        for size in sizes:
            say(f"{turn}/{options.repeat} {size:,} cells" if turn else f"reading {size:,} cells")
            done = subprocess.run([*command, str(work / str(size))], check=True, capture_output=True, text=True)
            if turn:  # before the first one nothing is in the page cache
                runs[size].append(json.loads(done.stdout))
    result = {
        "bench": "scale",
        "machine": machine.describe(),
        "file_system": machine.file_system(work),
        "versions": versions(),
        "settings": {
            "batch": BATCH,
            "draws": options.draws,
            "repeat": options.repeat,
            "cache": "warm",
            "table": f"{LABEL}, equal shares",
        },
        "originals": [_original(original) for original in originals],
        "rows": [_summary(several) for several in runs.values()],
    }
    path = options.out / "scale.json"
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = markdown(result)
    path.with_suffix(".md").write_text(text, "utf-8")
    sys.stdout.write(text)
    draw_result(path.resolve(), path.with_suffix(".svg").resolve(), options.envs.resolve())
    if not options.keep:
        remove(work)
    return 0


def _original(original: Original) -> dict[str, Any]:
    store = original.store
    size, files = machine.size_on_disk(original.path)
    records, _ = machine.size_on_disk(original.path / original.part.index.path)
    figures = {"cells": store.n_cells, "entries": store.manifest.n_entries, "bytes": size, "files": files}
    return figures | {"record_bytes": records}


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
        f"{settings['repeat']} interleaved turns, medians; {settings['draws']:,} draws of each plan. "
        "Stores of hard links to "
        + " and ".join(f"{o['cells']:,}" for o in result["originals"])
        + f" cells; batches of {settings['batch']} as CSR, every cell type alike.",
        "",
        "| cells | parts | open, s | memory of it, MB | a process that opens it, s | its peak memory, MB "
        "| peak memory of loading, MB | draws fit the table, p |",
        "|---|---|---|---|---|---|---|---|",
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


_OPENING = (
    ("open_s", 1, 3), ("open_bytes", 1e6, 0), ("process_s", 1, 2), ("process_bytes", 1e6, 0), ("peak_bytes", 1e6, 0),
    ("p", 1, 2),
)  # fmt: skip
_DRAWING = (("first_s", 2), ("ms", 2), ("requests", 2), ("bytes", 0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench scale", description=__doc__)
    parser.add_argument("originals", nargs="*", type=Path, help="stores in --order stratified --stratify-by cell_type")
    parser.add_argument("--cells", default="100000,1000000,10000000,1000000000", help="sizes, at least")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--draws", type=int, default=2 * AHEAD, help="of each plan, before measuring and for it")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="on the file system of the originals")
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"), help="environments, for the picture")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--keep", action="store_true", help="leave the stores in --work")
    parser.add_argument("--prepare", action="store_true", help="make the stores and stop; a later run takes them")
    parser.add_argument("--one", type=Path, help="measure this store in this process, and print what was found")
    return parser

"""How much faster more workers of a Dask cluster convert: the same sources, with one worker, two, and so on.

Workers are single-threaded processes of this machine and are up before the clock starts. Runs of different numbers of
workers take turns; all stores must have the same bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import distributed

import scformat
from tools.bench import machine
from tools.bench.common import source


def timed(sources: list[Path], target: Path, *, workers: int, order: str, warm: list[Path]) -> tuple[float, str, int]:
    """Convert with so many workers; return the seconds, the digest of the root and the number of cells."""
    with (
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, memory_limit=0, silence_logs="CRITICAL",
            dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
        ) as cluster,
        distributed.Client(cluster, direct_to_workers=True) as client,
    ):  # fmt: skip
        # What is compiled and imported at first use belongs to no run.
        scformat.convert(warm, target.with_name("warm"), order=order, dask=client)
        begin = time.perf_counter()
        store = scformat.convert(sources, target, order=order, dask=client)
        seconds = time.perf_counter() - begin
    for path in (target, target.with_name("warm")):
        shutil.rmtree(path)
    return seconds, store.manifest.sha256, store.n_cells


def main() -> int:
    """Time, print, and return 1 where two stores differ."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench.workers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="*", type=source, help="sources; by default cells are simulated")
    parser.add_argument(
        "--cells", type=int, default=1_000_000, help="to simulate where no sources are given (1,000,000)"
    )
    parser.add_argument("--workers", default="1,2", help="numbers of workers (1,2)")
    parser.add_argument("--runs", type=int, default=1, help="of each (1)")
    parser.add_argument("--order", default="source", help="of the cells (source)")
    parser.add_argument("--place", type=Path, help="a directory for all files; a temporary one")
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    options = parser.parse_args()
    numbers = [int(n) for n in options.workers.split(",")]
    seconds: dict[int, list[float]] = {n: [] for n in numbers}
    roots = set()
    with tempfile.TemporaryDirectory(dir=options.place) as name:
        directory = Path(name)
        sources = options.sources or scformat.simulate(directory / "in", cells=options.cells, studies=3, seed=0)
        warm = scformat.simulate(directory / "few", cells=1000, studies=2, seed=1)
        for _ in range(options.runs):
            for n in numbers:
                machine.warm(sources)
                os.sync()  # what the run before wrote is not for this one to wait for
                took, root, cells = timed(
                    sources, directory / "a.cells", workers=n, order=options.order, warm=warm
                )  # fmt: skip
                seconds[n].append(round(took, 2))
                roots.add(root)
                print(f"{cells:,} cells with {n} workers: {took:.1f} s", file=sys.stderr, flush=True)
    result = {
        "scformat": scformat.__version__,
        "distributed": distributed.__version__,
        "machine": machine.describe(),
        "cells": cells,
        "order": options.order,
        "seconds": seconds,
        "times as fast": {
            n: round(statistics.median(seconds[numbers[0]]) / statistics.median(s), 2) for n, s in seconds.items()
        },
        "same bytes": len(roots) == 1,
    }
    print(json.dumps(result["times as fast"]))
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(len(roots) != 1)


if __name__ == "__main__":
    sys.exit(main())

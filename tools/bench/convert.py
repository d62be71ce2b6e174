"""The conversion bench: h5ad files to one store, this package beside others, interleaved and repeated."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.bench import machine, table
from tools.bench.common import ROOT, SHOWN, draw_result, given_environment, names_of, remove, say, simulated, source
from tools.bench.peers import ORDERS, PEERS, Row, UnavailableError, environment, own_rows, versions
from tools.bench.run import Measured, measure


def main(arguments: list[str] | None = None) -> int:
    """Run the bench and write ``convert.json``, ``convert.md`` and ``convert.svg``; 1 where a conversion failed."""
    options = _parser().parse_args(arguments)
    work, out = options.work.resolve(), options.out.resolve()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    sources = [path.resolve() for path in options.sources] or simulated(options, work)
    rows = own_rows(names_of(options.orders, ORDERS), jobs=options.jobs, memory=options.memory)
    rows += [PEERS[name] for name in names_of(options.peers, PEERS)]
    ready, missing = _ready(rows, options.envs.resolve())
    runs: dict[str, list[Measured]] = {row.name: [] for row, _ in ready}
    written: dict[str, dict[str, Any]] = {}
    for turn in range(options.repeat):
        # Another one goes first each time, so that none always follows the same one.
        shift = turn % max(len(ready), 1)
        for row, python in ready[shift:] + ready[:shift]:
            if any(run.exit_code for run in runs[row.name]):
                continue
            say(f"{turn + 1}/{options.repeat} {row.name}")
            destination = work / f"{row.name.replace(' ', '-')}{row.suffix}"
            remove(destination)
            (machine.warm if options.cache == "warm" else machine.cool)(sources)
            run = measure(
                row.command(python, "convert", destination, sources),
                directory=work,
                environment=given_environment(),
                timeout_s=options.timeout,
            )
            runs[row.name].append(run)
            if run.exit_code:
                say(f"  failed ({run.exit_code}): {run.output[-SHOWN:]}")
            elif row.name not in written:
                written[row.name] = _written(row, python, destination, sources, count=options.check)
            if not options.keep:
                remove(destination)
    result = {
        "bench": "convert",
        "machine": machine.describe(),
        "file_system": machine.file_system(work),
        "cache": options.cache,
        "repeat": options.repeat,
        "sources": _described(sources, options),
        "rows": [_summary(row, python, runs[row.name], written.get(row.name)) for row, python in ready] + missing,
    }
    (out / "convert.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = table.markdown(result)
    (out / "convert.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    draw_result(out / "convert.json", out / "convert.svg", options.envs.resolve())
    return int(any(run.exit_code for of_row in runs.values() for run in of_row))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench convert", description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000, help="of the simulated sources")
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sources", type=source, nargs="+", default=[], help="h5ad files instead of simulated ones")
    parser.add_argument("--orders", default=",".join(ORDERS), help="rows of this package; empty for none")
    parser.add_argument("--peers", default="annbatch,slaf", help=f"of {', '.join(PEERS)}; empty for none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="of scformat")
    parser.add_argument("--memory", default="1GB", help="of scformat")
    parser.add_argument("--cache", choices=("warm", "cold"), default="warm", help="page cache of the sources")
    parser.add_argument("--timeout", type=float, default=None, help="seconds for one conversion")
    parser.add_argument("--check", action=argparse.BooleanOptionalAction, default=True, help="count what was written")
    parser.add_argument("--keep", action="store_true", help="leave the last converted stores")
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"), help="environments of the peers")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="sources and stores")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    return parser


def _ready(rows: list[Row], envs: Path) -> tuple[list[tuple[Row, Path]], list[dict[str, Any]]]:
    ready: list[tuple[Row, Path]] = []
    missing: list[dict[str, Any]] = []
    for row in rows:
        try:
            ready.append((row, environment(row, envs)))
        except UnavailableError as error:
            say(f"{row.name}: {error}")
            missing.append({"name": row.name, "what": row.what, "unavailable": str(error)})
    return ready, missing


def _written(row: Row, python: Path, destination: Path, sources: list[Path], *, count: bool) -> dict[str, Any]:
    size, files = machine.size_on_disk(destination)
    found: dict[str, Any] = {"bytes": size, "files": files}
    if count:
        run = measure(
            row.command(python, "count", destination, sources), directory=ROOT, environment=given_environment()
        )
        if run.exit_code:
            raise SystemExit(f"{row.name}: cannot count what was written: {run.output}")
        found["content"] = json.loads(run.output.strip().splitlines()[-1])
    return found


def _described(sources: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    """Sizes and sums of the sources, counted here with h5py."""
    import h5py

    cells = nonzeros = 0
    total = 0.0
    for path in sources:
        with h5py.File(path, "r") as file:
            data = file["X/data"]
            cells += int(file["X"].attrs["shape"][0])
            nonzeros += data.shape[0]
            for start in range(0, data.shape[0], 1 << 24):
                total += float(data[start : start + (1 << 24)].sum(dtype="float64"))
    given = {"files": len(sources), "bytes": sum(path.stat().st_size for path in sources)}
    own = {name: getattr(options, name) for name in ("seed", "studies", "genes")}
    return {
        **given,
        "cells": cells,
        "nonzeros": nonzeros,
        "sum": total,
        "simulated": None if options.sources else own,
    }


def _summary(row: Row, python: Path, runs: list[Measured], written: dict[str, Any] | None) -> dict[str, Any]:
    good = [run for run in runs if not run.exit_code]
    figures = {
        name: {
            "median": statistics.median(values),
            "least": min(values),
            "most": max(values),
        }
        for name in ("wall_s", "cpu_s", "flush_s", "peak_rss", "peak_anonymous")
        if (values := [getattr(run, name) for run in good])
    }
    return {
        "name": row.name,
        "what": row.what,
        "settings": row.settings,
        "versions": versions(row, python),
        "figures": figures,
        "written": written,
        "runs": [{key: value for key, value in asdict(run).items() if key != "output"} for run in runs],
        "failed": next((run.output[-SHOWN:] for run in runs if run.exit_code), None),
    }


if __name__ == "__main__":
    raise SystemExit(main())

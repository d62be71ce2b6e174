"""The loading bench: batches of one atlas by this package and by others, interleaved, beside the limits."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bench import load_table, machine, randomness
from tools.bench.common import SHOWN, draw_result, given_environment, names_of, remove, say, simulated, source
from tools.bench.loads import Load, Store, loads, stores
from tools.bench.peers import Row, UnavailableError, environment, versions
from tools.bench.run import Measured, measure

GROUPS = tuple(dict.fromkeys(load.group for load in loads()))
_FIGURES = ("cells_per_second", "cpu_s_per_cell", "first_s", "peak_rss", "peak_anonymous", "resident", "load")
_STAGES = ("read", "decode", "write", "make", "limit")


@dataclass(kw_only=True)
class Case:
    """A row in one state of the page cache, with what was measured of it."""

    load: Load
    python: Path
    store: Path
    cache: str
    runs: list[dict[str, Any]] = field(default_factory=list)
    limits: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, Any] | None = None
    failed: str | None = None

    @property
    def name(self) -> str:
        """Of the row, and the state of the cache where it is cold."""
        return self.load.row.name + (", cold" if self.cache == "cold" else "")


def main(arguments: list[str] | None = None) -> int:
    """Run the bench and write ``load-CELLS.json``, ``.md`` and ``.svg``; 1 where a row of this package failed."""
    options = _parser().parse_args(arguments)
    work, out, envs = options.work.resolve(), options.out.resolve(), options.envs.resolve()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    sources = [path.resolve() for path in options.sources] or simulated(options, work)
    labels = randomness.read_labels(sources)
    chosen = [load for load in loads() if load.group in names_of(options.peers, dict.fromkeys(GROUPS)) or _own(load)]
    chosen = [load for load in chosen if not options.only or any(part in load.row.name for part in options.only)]
    given = {name: Path(path).resolve() for name, _, path in (pair.partition("=") for pair in options.stores)}
    shop = _Shop(given=given, sources=sources, work=work, options=options)
    cases, missing = _cases(chosen, shop, envs, options)
    shares = randomness.distributions(labels)
    asked = {
        "batch": options.batch_size,
        "seed": options.seed,
        "warm_up": options.warm_up,
        "seconds": options.seconds,
        "threads": len(os.sched_getaffinity(0)),
        "batches": options.batches,
    }
    for turn in range(options.repeat):
        # Another one goes first each time, so that none always follows the same one.
        shift = turn * max(1, len(cases) // max(1, options.repeat)) % max(len(cases), 1)
        for case in cases[shift:] + cases[:shift]:
            _turn(case, asked, turn, options)
    result = {
        "bench": "load",
        "machine": machine.describe(),
        "file_system": machine.file_system(work),
        "cells": len(labels["cell_type"]),
        "sources": _described(sources, options),
        "settings": {**asked, "repeat": options.repeat, "cache": options.cache},
        "stores": shop.described(),
        "rows": [_summary(case, shares, options.batch_size) for case in cases] + missing,
    }
    stem = out / f"load-{result['cells']}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = load_table.markdown(result)
    stem.with_suffix(".md").write_text(text, "utf-8")
    sys.stdout.write(text)
    draw_result(stem.with_suffix(".json"), stem.with_suffix(".svg"), envs)
    if not options.keep:
        shop.empty()
    return int(any(case.failed for case in cases if _own(case.load)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench load", description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000, help="of the simulated sources")
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0, help="of the simulated sources and of the draws")
    parser.add_argument("--sources", type=source, nargs="+", default=[], help="h5ad files instead of simulated ones")
    parser.add_argument("--stores", nargs="+", default=[], metavar="NAME=PATH", help="stores that are there already")
    parser.add_argument("--peers", default=",".join(GROUPS), help=f"of {', '.join(GROUPS)}; empty for none")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="rows whose name has one of these texts")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seconds", type=float, default=5.0, help="that a row is measured for, at least")
    parser.add_argument("--warm-up", type=int, default=50, help="batches before it, at least")
    parser.add_argument("--batches", type=int, default=300, help="whose randomness is looked at")
    parser.add_argument("--cache", choices=("warm", "cold", "both"), default="warm", help="page cache of the stores")
    parser.add_argument("--dataset-size", default="20GB", help="of annbatch: what it shuffles in memory at once")
    parser.add_argument("--timeout", type=float, default=1200.0, help="seconds for one process")
    parser.add_argument("--keep", action="store_true", help="leave the stores that were made in --work")
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"), help="environments of the peers")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="sources and stores")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    return parser


def _own(load: Load) -> bool:
    return load.group == "scformat"


class _Shop:
    """The stores: given ones, those of an earlier run, and those that have to be made."""

    def __init__(self, *, given: dict[str, Path], sources: list[Path], work: Path, options: argparse.Namespace) -> None:
        self._known = stores(dataset_size=options.dataset_size)
        for name in given:
            if name not in self._known:
                raise SystemExit(f"unknown store {name!r}; there are {', '.join(self._known)}")
        self._given = given
        self._sources = sources
        self._envs = options.envs.resolve()
        self._timeout = options.timeout
        own = [getattr(options, name) for name in ("cells", "studies", "genes", "seed")]
        self._folder = work / ("stores-given" if options.sources else "stores-" + "-".join(map(str, own)))
        self._facts: dict[str, dict[str, Any]] = {}

    def store(self, name: str) -> Path:
        """Return a store's path; it is made where it is missing.

        Raises
        ------
        UnavailableError
            Its system cannot be installed, or the conversion failed.
        """
        if name in self._given:
            return self._given[name]
        made = self._known[name]
        path, note = self._folder / (name + made.row.suffix), self._folder / f"{name}.json"
        if name in self._facts or note.is_file():
            fact = self._facts.setdefault(name, json.loads(note.read_text("utf-8")) if note.is_file() else {})
            if "failed" in fact:
                raise UnavailableError(fact["failed"])
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        remove(path)
        sources = self._sources if made.sources == "sources" else [self.store("merged")]
        python = environment(made.row, self._envs)
        say(f"making {name}")
        run = _run(made, python, path, sources, self._timeout)
        fact = {name: getattr(run, name) for name in ("wall_s", "cpu_s", "peak_rss", "load")}
        self._facts[name] = fact
        if run.exit_code:
            fact["failed"] = f"its store could not be made: {_last(run.output)}"
            say(f"  {fact['failed']}")
            remove(path)
            raise UnavailableError(fact["failed"])
        fact["bytes"], fact["files"] = machine.size_on_disk(path)
        note.write_text(json.dumps(fact) + "\n", "utf-8")
        return path

    def described(self) -> dict[str, dict[str, Any]]:
        """Sizes of the stores, and what making them took where this run or an earlier one did."""
        sizes = {name: {"bytes": machine.size_on_disk(path)[0]} for name, path in self._given.items()}
        return {**sizes, **self._facts}

    def empty(self) -> None:
        """Remove what was made."""
        remove(self._folder)


def _run(made: Store, python: Path, path: Path, sources: list[Path], timeout: float) -> Measured:
    command = made.row.command(python, "prepare", path, sources)
    return measure(command, directory=path.parent, environment=given_environment(), timeout_s=timeout)


def _cases(
    chosen: list[Load], shop: _Shop, envs: Path, options: argparse.Namespace
) -> tuple[list[Case], list[dict[str, Any]]]:
    cases, missing = [], []
    for load in chosen:
        try:
            python, store = environment(load.row, envs), shop.store(load.store)
        except UnavailableError as error:
            say(f"{load.row.name}: {error}")
            missing.append({"name": load.row.name, "what": load.row.what, "unavailable": str(error)})
            continue
        for cache in ("warm", "cold") if options.cache == "both" else (options.cache,):
            cases.append(Case(load=load, python=python, store=store, cache=cache))
    return cases, missing


def _turn(case: Case, asked: dict[str, Any], turn: int, options: argparse.Namespace) -> None:
    if case.failed:
        return
    say(f"{turn + 1}/{options.repeat} {case.name}")
    request = {**asked, "seed": options.seed + turn, "cache": case.cache}
    _limit(case, request, options)
    found = _answer(case, case.load.row, "load", request, options)
    if found is None:
        return
    rate = found["cells"] / found["wall_s"]
    say(f"  {rate:,.0f} cells/s")
    case.runs.append({**found, "cells_per_second": rate, "cpu_s_per_cell": found["cpu_s"] / found["cells"]})
    _limit(case, request, options)
    if case.labels is None and turn == 0:
        case.labels = _answer(case, case.load.row, "labels", request, options)


def _limit(case: Case, request: dict[str, Any], options: argparse.Namespace) -> None:
    """Measure the limit, before and after the rate: a machine that others use is not as fast all the time."""
    if case.load.limit is not None and case.cache == "warm":
        limit = _answer(case, case.load.limit, "load", request, options)
        case.limits += [limit] if limit else []


def _answer(
    case: Case, row: Row, action: str, request: dict[str, Any], options: argparse.Namespace
) -> dict[str, Any] | None:
    """Run an adapter; the last line that it prints is its answer. None where it failed."""
    command = [*row.command(case.python, action, case.store, []), json.dumps(request)]
    run = measure(command, directory=options.work.resolve(), environment=given_environment(), timeout_s=options.timeout)
    if run.exit_code:
        case.failed = _last(run.output) if run.exit_code > 0 else f"ended by signal {-run.exit_code}, or timed out"
        say(f"  failed ({run.exit_code}): {run.output[-SHOWN:]}")
        return None
    found: dict[str, Any] = json.loads(run.output.strip().splitlines()[-1])
    return {**found, "peak_rss": run.peak_rss, "peak_anonymous": run.peak_anonymous, "load": run.load}


def _last(output: str) -> str:
    lines = [line for line in output.strip().splitlines() if line.strip()]
    return " ".join((lines[-1] if lines else "no output").split())[:SHOWN]


def _summary(case: Case, shares: dict[str, Any], batch: int) -> dict[str, Any]:
    load = case.load
    labels = case.labels
    return {
        "name": case.name,
        "group": load.group,
        "what": load.row.what,
        "draws": load.draws,
        "output": load.output,
        "cache": case.cache,
        "settings": load.row.settings,
        "versions": versions(load.row, case.python),
        "figures": spreads(case.runs, _FIGURES),
        "limit": spreads(case.limits, _STAGES) or None,
        "randomness": None if labels is None else randomness.compare(labels, shares[load.draws], batch),
        "runs": case.runs,
        "limits": case.limits,
        "failed": case.failed,
    }


def spreads(runs: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Median, least and most of figures over runs; empty without any."""
    return {
        name: {
            "median": statistics.median(values),
            "least": min(values),
            "most": max(values),
        }
        for name in names
        if (values := [run[name] for run in runs if name in run])
    }


def _described(sources: list[Path], options: argparse.Namespace) -> dict[str, Any]:
    import h5py

    nonzeros = 0
    for path in sources:
        with h5py.File(path, "r") as file:
            nonzeros += file["X/data"].shape[0]
    own = {name: getattr(options, name) for name in ("seed", "studies", "genes")}
    return {
        "files": len(sources),
        "bytes": sum(path.stat().st_size for path in sources),
        "nonzeros": nonzeros,
        "simulated": None if options.sources else own,
    }


if __name__ == "__main__":
    raise SystemExit(main())

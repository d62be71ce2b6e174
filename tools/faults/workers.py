"""Kills a worker of a Dask cluster in the middle of its tasks, in every order and phase of a conversion.

A cluster of worker processes converts simulated cells. Once a drawn share of a phase is done, one of the workers that
are executing a task just then is killed with signal 9. The store has to have the bytes of a conversion without a
cluster, and nothing else may lie beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import distributed

import scformat
from tools.faults.kill import digests

if TYPE_CHECKING:
    from collections.abc import Sequence

ORDERS = ("source", "shuffled", "stratified")
PHASES = {
    "source": {"scan": ("reading counts", 0.0, 0.9), "shards": ("writing counts", 0.0, 0.9)},
    "shuffled": {"deal": ("writing counts", 0.0, 0.45), "buckets": ("writing counts", 0.5, 0.95)},
    "stratified": {"deal": ("writing counts", 0.0, 0.45), "buckets": ("writing counts", 0.5, 0.95)},
}
"""Stage of the progress, and between which shares of it a kill belongs to a phase."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One kill.

    Attributes
    ----------
    order, phase, share
        When it was due.
    task
        What the killed worker was executing.
    others
        Tasks that were waiting for it, which others took over.
    faults
        What is wrong, a line each.
    """

    order: str
    phase: str
    share: float
    task: str
    others: int
    faults: list[str]


def executing(dask_worker: Any) -> tuple[int, list[str], int]:
    """Return the process of a worker, what it executes and how much more it has."""
    state = dask_worker.state
    return os.getpid(), [str(task.key) for task in state.executing], len(state.ready)


def kill(
    client: distributed.Client,
    sources: Sequence[Path],
    place: Path,
    wanted: dict[str, str],
    when: tuple[str, str, float],
) -> Outcome:
    """Convert on a cluster, kill a worker on the way and judge."""
    order, phase, share = when
    stage = PHASES[order][phase][0]
    killed: list[tuple[str, int]] = []

    def progress(name: str, done: int, total: int) -> None:
        # Asked again until one is in the middle of a task.
        if name == stage and done >= share * total and not killed:
            for pid, tasks, ready in client.run(executing).values():
                if tasks and not killed:
                    os.kill(pid, signal.SIGKILL)
                    killed.append((tasks[0].split("-")[0], ready))

    place.mkdir()
    scformat.convert(sources, place / "a.cells", order=order, memory="100MB", dask=client, progress=progress)
    found = digests(place / "a.cells")
    faults = [f"{name} differs" for name in sorted(wanted.keys() | found.keys()) if wanted.get(name) != found.get(name)]
    faults += [f"{path.name} is left over" for path in place.iterdir() if path.name != "a.cells"]
    if not killed:
        faults.append("no worker was in the middle of a task")
    shutil.rmtree(place)
    task, others = killed[0] if killed else ("", 0)
    return Outcome(order=order, phase=phase, share=round(share, 3), task=task, others=others, faults=faults)


def campaign(directory: Path, *, cells: int, workers: int, kills: int, seed: int) -> list[Outcome]:
    """Kill a worker in each phase of each order, again and again; a cluster of its own for each conversion."""
    draw = random.Random(seed)
    sources = scformat.simulate(directory / "in", cells=cells, studies=3, seed=seed)
    wanted = {}
    for order in ORDERS:
        scformat.convert(sources, directory / order, order=order)
        wanted[order] = digests(directory / order)
        shutil.rmtree(directory / order)
    places = [(order, phase) for order, phases in PHASES.items() for phase in phases]
    found = []
    for i in range(kills):
        order, phase = places[i % len(places)]
        _, low, high = PHASES[order][phase]
        with (
            distributed.LocalCluster(
                n_workers=workers, threads_per_worker=1, memory_limit=0, silence_logs="CRITICAL",
                dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
            ) as cluster,
            distributed.Client(cluster) as client,
        ):  # fmt: skip
            when = (order, phase, draw.uniform(low, high))
            found.append(kill(client, sources, directory / f"kill-{i}", wanted[order], when))
        print(f"{i + 1} of {kills}: {found[-1]}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Kill, and return 1 where anything differs or is left over."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults.workers", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=60_000, help="simulated cells (60,000)")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (4)")
    parser.add_argument("--kills", type=int, default=12, help="conversions, a kill in each (12)")
    parser.add_argument("--seed", type=int, default=0, help="of cells and moments (0)")
    parser.add_argument("--out", type=Path, help="a JSON file for every kill")
    options = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        found = campaign(
            Path(directory), cells=options.cells, workers=options.workers, kills=options.kills, seed=options.seed
        )
    faults = sum(bool(one.faults) for one in found)
    print(f"{len(found)} kills, {faults} with faults, {time.monotonic() - begin:.0f} s")
    if options.out is not None:
        result = {
            "scformat": scformat.__version__,
            "distributed": distributed.__version__,
            "python": platform.python_version(),
            "cells": options.cells,
            "workers": options.workers,
            "seed": options.seed,
            "kills": [asdict(one) for one in found],
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())

"""What the benches share: simulated sources, the environment of processes, messages and the picture."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tools.bench.peers import ADAPTERS, PLOT, UnavailableError, environment
from tools.bench.run import measure

ROOT = Path(__file__).resolve().parents[2]
SHOWN = 600
"""Characters of a process's output that are shown."""


def names_of(given: str, known: dict[str, Any]) -> list[str]:
    """Split ``A,B`` and refuse names that are not known."""
    names = [name for name in given.split(",") if name]
    for name in names:
        if name not in known:
            raise SystemExit(f"unknown {name!r}; there are {', '.join(known)}")
    return names


def source(text: str) -> Path:
    """Take the path of a file that is there, for argparse."""
    path = Path(text)
    if not path.is_file():
        raise argparse.ArgumentTypeError(f"no file at {text}")
    return path


def simulated(options: argparse.Namespace, work: Path) -> list[Path]:
    """Simulate the sources, or take those that an earlier run simulated with the same numbers."""
    from scformat.simulation import simulate

    folder = work / f"simulated-{options.cells}-{options.studies}-{options.genes}-{options.seed}"
    found = sorted(folder.glob("*.h5ad"))
    if len(found) == options.studies:
        return found
    shutil.rmtree(folder, ignore_errors=True)
    say(f"simulating {options.cells} cells")
    return simulate(folder, cells=options.cells, studies=options.studies, genes=options.genes, seed=options.seed)


def given_environment() -> dict[str, str]:
    """Pass the environment on, with this checkout importable and no variable that bounds threads."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


def draw_result(result: Path, picture: Path, envs: Path) -> None:
    """Draw a result in the environment that has matplotlib."""
    try:
        python = environment(PLOT, envs)
    except UnavailableError as error:
        say(f"no picture: {error}")
        return
    command = [str(python), str(ADAPTERS / PLOT.adapter), str(result), str(picture)]
    run = measure(command, directory=picture.parent, environment=given_environment())
    if run.exit_code:
        say(f"no picture: {run.output[-SHOWN:]}")


def remove(path: Path) -> None:
    """Remove a file or a directory."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def say(text: str) -> None:
    """Write a message to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()

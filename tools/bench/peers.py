"""The systems that are compared: how each is installed, and the command that converts with it.

Each peer lives in a virtual environment of its own below one folder, made once and used again. What runs inside
is a small script of ``adapters/`` that takes ``convert`` or ``count``, the destination and the sources.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ADAPTERS = Path(__file__).parent / "adapters"
PATIENCE_S = 1800
"""For one step of an installation."""


class UnavailableError(Exception):
    """A system cannot be had on this machine; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the result: a system with its settings.

    Attributes
    ----------
    name
        Shown and given to ``--peers``.
    what
        What the destination is, and in which order the cells are.
    adapter
        File name in ``adapters/``.
    settings
        Passed to the adapter as JSON.
    requirements
        For pip; empty for this package, which runs in the environment of the bench.
    before
        Installed before those, so that they are satisfied with it: a build of torch without CUDA.
    home
        Name of the environment's folder; by default that of the first requirement.
    python
        Oldest version of Python that it runs on.
    reported
        Distributions whose versions are reported.
    suffix
        Of the destination.
    """

    name: str
    what: str
    adapter: str
    settings: dict[str, Any] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    home: str = ""
    python: tuple[int, int] = (3, 11)
    reported: tuple[str, ...] = ()
    suffix: str = ".store"

    def command(self, python: Path, action: str, destination: Path, sources: list[Path]) -> list[str]:
        """Command line of ``convert`` or ``count``."""
        arguments = [action, json.dumps(self.settings), str(destination), *map(str, sources)]
        return [str(python), str(ADAPTERS / self.adapter), *arguments]


PEERS = {
    row.name: row
    for row in (
        Row(
            name="annbatch",
            what="one collection, shuffled",
            adapter="annbatch_store.py",
            requirements=("annbatch[zarrs]==0.3.1",),
            python=(3, 12),
            reported=("annbatch", "anndata", "zarr", "zarrs", "dask", "numpy"),
            suffix=".zarr",
        ),
        Row(
            name="annbatch-1GB",
            what="one collection, shuffled within data sets of 1 GB",
            adapter="annbatch_store.py",
            settings={"dataset_size": "1GB"},
            requirements=("annbatch[zarrs]==0.3.1",),
            python=(3, 12),
            reported=("annbatch", "anndata", "zarr", "zarrs", "dask", "numpy"),
            suffix=".zarr",
        ),
        Row(
            name="slaf",
            what="one data set, source order, after merging the sources to one h5ad",
            adapter="slaf_store.py",
            requirements=("slafdb==0.5.2",),
            reported=("slafdb", "pylance", "anndata", "numpy"),
            suffix=".slaf",
        ),
        Row(
            name="slaf-each",
            what="a data set each source, source order",
            adapter="slaf_store.py",
            settings={"merge": False},
            requirements=("slafdb==0.5.2",),
            reported=("slafdb", "pylance", "anndata", "numpy"),
            suffix=".slaf",
        ),
    )
}

PLOT = Row(name="plot", what="the picture of a result", adapter="../plot.py", requirements=("matplotlib>=3.10",))

ORDERS = {
    "source": ("source order", ["--order", "source"]),
    "shuffled": ("one store, shuffled", ["--order", "shuffled"]),
    "stratified": ("one store, stratified by cell_type", ["--order", "stratified", "--stratify-by", "cell_type"]),
}


def own_rows(orders: list[str], *, jobs: int, memory: str) -> list[Row]:
    """Make this package's rows, one an order."""
    return [
        Row(
            name=f"scformat {order}",
            what=ORDERS[order][0].replace("source order", "one store, source order"),
            adapter="scformat_store.py",
            settings={"arguments": [*ORDERS[order][1], "--jobs", str(jobs), "--memory", memory]},
            reported=("scformat", "anndata", "zarr", "tensorstore", "h5py", "numba", "numpy"),
            suffix=".cells",
        )
        for order in orders
    ]


def environment(row: Row, folder: Path) -> Path:
    """Python of the row's environment, which is made where it is missing.

    Raises
    ------
    UnavailableError
        No such Python, or the installation failed.
    """
    if not row.requirements:
        return Path(sys.executable)
    home = folder / (row.home or re.split(r"[\[=<>]", row.requirements[0])[0])
    python, done = home / "bin" / "python", home / "bench-requirements.txt"
    wanted = "\n".join([*row.before, *row.requirements]) + "\n"
    if python.exists() and done.is_file() and done.read_text("utf-8") == wanted:
        return python
    base = _base_python(row.python)
    if base is None:
        raise UnavailableError(f"not available: needs Python {row.python[0]}.{row.python[1]}")
    shutil.rmtree(home, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install"]
    # pip knows where this machine has the builds that come before, and takes half an hour to resolve some of the rest.
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    commands = [[str(base), "-m", "venv", str(home)], [*pip, "uv", *row.before], [*uv, *row.requirements]]
    for command in commands:
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"not available: its installation took more than {PATIENCE_S} s") from None
        if result.returncode:
            last = (result.stderr or result.stdout).strip().splitlines()[-1:]
            raise UnavailableError(f"not available: {' '.join(last) or 'the installation failed'}")
    done.write_text(wanted, "utf-8")
    return python


def versions(row: Row, python: Path) -> dict[str, str]:
    """Versions of Python and the reported distributions in an environment."""
    code = (
        "import importlib.metadata as m, json, platform, sys\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "found = {n: have.get(n, 'source tree') for n in sys.argv[1:]}\n"
        "print(json.dumps({'python': platform.python_version(), **found}))"
    )
    output = subprocess.run([str(python), "-c", code, *row.reported], capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(output)
    return found


def _base_python(oldest: tuple[int, int]) -> Path | None:
    """Find a Python of at least this version: this one, those of pyenv, those on the path, the oldest that fits."""
    candidates = [Path(sys.executable)]
    candidates += sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    candidates += [Path(found) for minor in range(11, 15) if (found := shutil.which(f"python3.{minor}"))]
    fitting: dict[tuple[int, int], Path] = {}
    for candidate in candidates:
        result = subprocess.run(
            [str(candidate), "-c", "import sys, venv; print(*sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode == 0:
            major, minor = map(int, result.stdout.split())
            if (major, minor) >= oldest:
                fitting.setdefault((major, minor), candidate)
    return fitting[min(fitting)] if fitting else None

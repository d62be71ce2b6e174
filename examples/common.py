"""What examples share: their options, a small store to train on, and a checkpoint that is always whole."""

from __future__ import annotations

import argparse
import atexit
import os
import tempfile
from pathlib import Path
from typing import Any

import scformat

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pbmc_facs.h5ad"


def options_of(doc: str, *, steps: int, **more: dict[str, Any]) -> argparse.Namespace:
    """Read the command line; `more` are further options and what argparse is told of them."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", metavar="FILE", help="h5ad files of counts with cell types")
    parser.add_argument("--out", type=Path, metavar="DIR", help="for the store; by default one that is removed")
    parser.add_argument("--steps", type=int, default=steps, help="of training; %(default)s if left out")
    parser.add_argument("--seed", type=int, default=0)
    for name, how in more.items():
        parser.add_argument(f"--{name}", **how)
    return parser.parse_args()


def store_of(options: argparse.Namespace, **how: Any) -> scformat.store.Store:
    """Convert the files that were asked for, else sorted blood cells where they are there, else simulated cells.

    A fifth of the cells is held out, as the split ``test``; of an atlas hold out donors, with
    ``split_by=["donor_id"]``. Droplets with next to nothing in them are left out.
    """
    if options.out is None:
        directory = tempfile.TemporaryDirectory()
        atexit.register(directory.cleanup)
        options.out = Path(directory.name)
    options.out.mkdir(parents=True, exist_ok=True)
    files = options.data or ([REAL] if REAL.is_file() else scformat.simulate(options.out / "studies", cells=4000))
    store = scformat.convert(
        files,
        options.out / "cells.store",
        where="n_genes >= 20",
        splits="train=0.8,test=0.2",
        seed=options.seed,
        overwrite=True,
        **how,
    )
    print(f"{store.n_cells:,} cells x {store.n_genes:,} genes of {', '.join(Path(file).name for file in files)}")
    return store


def save(state: dict[str, object], path: Path) -> None:
    """Replace a checkpoint as a whole, so that there is a complete one at any moment."""
    import torch

    new = path.with_suffix(".new")
    with new.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)

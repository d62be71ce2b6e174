"""Load from an S3 server on this machine that is slow and fails, hold it against the same store in a directory.

    python -m tools.remote [--cells N] [--out results/NAME]

Writes NAME.json; `python -m tools.remote.plot NAME.json` draws it. The status is 1 where a batch differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import scformat
from scformat.storage import Storage
from tools.remote.measure import compare, epochs, rates, rounds, runs
from tools.remote.proxy import Faults, proxy
from tools.remote.server import KEYS, make_bucket, s3_server

RESULT = Path(__file__).with_name("results") / "loopback"
AT_ONCE = [1, 2, 4, 8, 16, 32, 64, 128]


def main() -> int:
    """Measure, and return 1 where a batch differs."""
    parser = argparse.ArgumentParser(prog="python -m tools.remote", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=100_000, help="of the store (100,000)")
    parser.add_argument("--stratified", type=int, default=1000, help="batches of the stratified plan (1,000)")
    parser.add_argument("--independent", type=int, default=50, help="batches of independent draws (50)")
    parser.add_argument("--out", type=Path, default=RESULT, help="results, without an ending")
    options = parser.parse_args()
    faults = Faults(latency=0.02, errors=0.05, truncations=0.02, seed=1)
    os.environ.update(KEYS)
    with tempfile.TemporaryDirectory() as name, s3_server() as endpoint, proxy(endpoint) as between:
        os.environ["AWS_ENDPOINT_URL"] = between.endpoint
        make_bucket(endpoint, "cells")
        local, remote = f"{name}/atlas.cells", "s3://cells/atlas.cells"
        studies = scformat.simulate(f"{name}/studies", cells=options.cells, studies=3, seed=3)
        scformat.convert(studies, local, order="stratified", stratify_by=["cell_type"], ontology=False)
        copy(Path(local), remote)
        try:
            compared = [
                compare(local, remote, between, faults, plan="stratified", batches=options.stratified),
                compare(local, remote, between, faults, plan="independent", batches=options.independent),
            ]
        except ValueError as error:
            print(error, file=sys.stderr)
            return 1
        result = {
            "store": {"cells": options.cells, "bytes": Storage(local).size()},
            "faults": asdict(faults),
            "batches": compared,
            "epochs": epochs(remote, between, f"{name}/cache", batches=options.independent),
            "rounds": rounds(remote, between, draws=1024, windows=4),
            "runs": runs(remote, between, number=64),
            "rates": rates(remote, between, at_once=AT_ONCE, latency=faults.latency, draws=1024),
            "versions": {"scformat": scformat.__version__} | {p: version(p) for p in ("tensorstore", "moto", "torch")},
            "python": platform.python_version(),
            "system": platform.system(),
            "processors": os.cpu_count(),
        }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({k: result[k] for k in ("batches", "epochs", "rounds", "runs", "rates")}, indent=1))
    return 0


def copy(directory: Path, url: str) -> None:
    """Copy a store to a bucket, its root last."""
    target = Storage(url)
    files = [path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()]
    for key in sorted(files, key=lambda key: (key == "zarr.json", key)):
        target.write(key, (directory / key).read_bytes()).result()


if __name__ == "__main__":
    sys.exit(main())

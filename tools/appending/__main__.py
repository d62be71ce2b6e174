"""Append twenty sources, one after the other, and prove what an append promises after each.

    python -m tools.appending [--appends N] [--data DIRECTORY] [--out FILE.json]

Simulated studies and the real files of a directory (``../shared/data`` beside the checkout) that can be converted are
appended in turns. What is checked is in ``tools/appending/proof.py``. The status is 1 where something does not hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import scformat
from tools.appending.files import interleaved, real, simulated
from tools.appending.proof import ProofError, Step, prove

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def report(step: Step) -> None:
    """Say that an append went well."""
    print(
        f"{step.source}: {step.cells:,} cells, {step.new_genes:,} new genes, {step.new_categories} new categories, "
        f"{step.donors_seen_before} of {step.donors} donors seen before; {step.cells_compared:,} cells compared",
        flush=True,
    )


def main() -> int:
    """Prove it, and return 1 where it does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tools.appending", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--appends", type=int, default=20, help="sources after the first (20)")
    parser.add_argument("--data", type=Path, default=DATA, help="a directory of real files")
    parser.add_argument("--cells", type=int, default=500, help="of a simulated study, on average (500)")
    parser.add_argument("--genes", type=int, default=6000, help="of the simulated studies (6000)")
    parser.add_argument("--out", type=Path, help="a JSON file for what each append did")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # of old files, and of names that are not unique
    files, skipped = real(options.data)
    files = files[: options.appends - 1]
    with tempfile.TemporaryDirectory() as name:
        n = options.appends + 1 - len(files)
        studies = simulated(Path(name) / "studies", n, cells=options.cells, genes=options.genes, seed=11)
        try:
            steps = prove(Path(name), interleaved(studies, files), report=report)
        except ProofError as error:
            print(f"it does not hold: {error}", file=sys.stderr)
            return 1
    if options.out is not None:
        result = {
            "scformat": scformat.__version__,
            "python": platform.python_version(),
            "system": platform.system(),
            "skipped": skipped,
            "appends": [asdict(step) for step in steps],
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tools.fuzz SURFACE... [--seconds N] [--least N]``: fuzz surfaces one after another; see README.md."""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scformat import __version__
from tools.fuzz.base import scratch
from tools.fuzz.child import MEMORY, SECONDS
from tools.fuzz.surfaces import SURFACES

LOOK = 0.5
"""Seconds between two looks at how far a process is."""
LATE = -signal.SIGALRM
"""Status of a process that did not get on."""
TRIES = 3
"""How often an input that took too long is read again before it counts as one that hangs."""
RESULTS = Path(__file__).parent / "results"


def fuzz(
    name: str, *, seconds: float, seed: int, coverage: bool, least: int = 0, most: int = 10**9, say: Any = print
) -> dict[str, Any]:
    """Fuzz a surface in child processes, a new one after each that died, and return what there is to tell.

    It ends when the time is used up and the least number of inputs read, or after the largest number of inputs.
    """
    guided = coverage and SURFACES[name].guided
    total: dict[str, Any] = {
        "surface": name,
        "about": SURFACES[name].about,
        "engine": f"atheris {version('atheris')}" if guided else "seeded mutation",
        "seed": seed,
        "scformat": __version__,
        "python": platform.python_version(),
        "limits": {"memory_mb": MEMORY >> 20, "seconds_an_input": SECONDS},
        "inputs": 0,
        "seconds": 0.0,
        "outcomes": Counter(),
        "findings": {},
        "slowest_s": 0.0,
        "memory_above_start_mb": 0,
    }
    corpus = tempfile.TemporaryDirectory(prefix="scformat-fuzz-", dir=scratch())  # what each child adds to
    while total["inputs"] < (most if total["seconds"] < seconds else least):
        with tempfile.TemporaryDirectory(prefix="scformat-fuzz-", dir=scratch()) as work:
            options = {
                "coverage": guided,
                "corpus": corpus.name,
                "seed": seed,
                "seconds": seconds - total["seconds"],
                "least": least - total["inputs"],
                "most": most - total["inputs"],
            }
            rc, log = _run(name, Path(work), options, total, say)
            state = _state(Path(work))
            _add(total, state)
            total["seconds"] += rc != 0  # one that dies at once, again and again, comes to an end too
            found = _cause(name, Path(work), rc, log) if rc != 0 else None
            if rc != 0 and found is None:
                total["outcomes"]["late once"] += 1
            elif found is not None:
                total["findings"].setdefault(found.pop("key"), {"times": 0, **found})["times"] += 1
                if state is None:
                    break  # it cannot even start
            seed += 1
    corpus.cleanup()
    total["seconds"] = round(total["seconds"], 1)
    return total


def _run(name: str, work: Path, options: dict[str, Any], total: dict[str, Any], say: Any) -> tuple[int, str]:
    log = work / "log"
    with log.open("w") as file:
        child = subprocess.Popen(
            [sys.executable, "-m", "tools.fuzz.child", name, str(work), json.dumps(options)], stdout=file, stderr=file
        )
        looks, last, late = 0, 0, False
        try:
            while child.poll() is None:
                time.sleep(LOOK)
                state = _state(work)
                if state is not None:
                    say(f"{name}: {total['inputs'] + state['inputs']:,} inputs, {len(state['findings'])} findings")
                    # Counted, not timed: while this process was stopped, the other one may have been, too.
                    looks, last = (looks + 1 if state["inputs"] == last else 0), state["inputs"]
                if looks * LOOK > 4 * SECONDS:
                    late = True
                    break
        finally:
            child.kill()
            child.wait()
    return LATE if late else child.returncode, log.read_text(errors="replace")[-4000:]


def _state(work: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((work / "tally.json").read_bytes())
    except FileNotFoundError:
        return None
    return state


def _add(total: dict[str, Any], state: dict[str, Any] | None) -> None:
    if state is None:
        return
    total["inputs"] += state["inputs"]
    total["seconds"] += state["seconds"]
    total["outcomes"] += Counter(state["outcomes"])
    total["slowest_s"] = max(total["slowest_s"], state["slowest_s"])
    total["memory_above_start_mb"] = max(total["memory_above_start_mb"], state["memory_above_start_mb"])
    for key, found in state["findings"].items():
        held = total["findings"].setdefault(key, {**found, "times": 0})
        held["times"] += found["times"]


def _cause(name: str, work: Path, rc: int, log: str) -> dict[str, Any] | None:
    """Say what a child died of: the input it was reading is read again, alone. None if only time was up, and once.

    A machine that does something else, or that stops this process for a while, looks like an input that hangs; only
    an input that hangs each time does.
    """
    inputs = [*work.glob("artifact-*"), work / "current"]
    bad = next((path for path in inputs if path.exists()), None)
    if bad is None:
        return {"key": f"died {rc}", "what": log[-1500:], "input": ""}
    what = ""
    for _ in range(TRIES):
        again, what = _alone(name, bad)
        if rc != LATE:
            break
        if again == 0:
            return None
    return {
        "key": f"{bad.name.split('-')[0]} {rc}", "what": f"died {rc}; alone {what}",
        "input": bad.read_bytes()[:200_000].hex(),
    }  # fmt: skip


def _alone(name: str, file: Path) -> tuple[int, str]:
    """Read one input in a process of its own: how that ends."""
    with tempfile.TemporaryDirectory(prefix="scformat-fuzz-", dir=scratch()) as work:
        options = {"coverage": False, "one": str(file)}
        done = subprocess.run(
            [sys.executable, "-m", "tools.fuzz.child", name, work, json.dumps(options)],
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        return done.returncode, f"{done.returncode}: {done.stderr[-600:]}"


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("surface", nargs="+", choices=[*SURFACES, "all"], metavar=f"{{{','.join(SURFACES)},all}}")
    parser.add_argument("--seconds", type=float, default=600, help="time for each surface (600)")
    parser.add_argument("--least", type=int, default=0, help="inputs of each surface, at least: more time if need be")
    parser.add_argument("--most", type=int, default=10**9, help="inputs of each surface, at most")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-coverage", action="store_true", help="seeded mutation alone, without atheris")
    parser.add_argument(
        "--out", type=Path, help=f"directory of the results; none are kept without it ({RESULTS.name}/)"
    )
    args = parser.parse_args()
    coverage = not args.no_coverage and importlib.util.find_spec("atheris") is not None
    if not coverage and not args.no_coverage:
        print("atheris is not installed: seeded mutation instead (pip install 'scformat[fuzz]')", file=sys.stderr)
    bad = 0
    names = list(SURFACES) if "all" in args.surface else args.surface
    for name in names:

        def say(text: str) -> None:
            if sys.stderr.isatty():
                print(f"\r{text}", end="", file=sys.stderr)

        result = fuzz(
            name, seconds=args.seconds, least=args.least, most=args.most, seed=args.seed, coverage=coverage, say=say
        )
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            (args.out / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
        findings = result["findings"]
        bad += len(findings)
        print(f"{name}: {result['inputs']:,} inputs in {result['seconds']:.0f} s, {len(findings)} findings")
        for key, found in findings.items():
            print(f"  {found['times']} x {key}: {found['what'][:300]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

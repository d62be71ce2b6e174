"""One surface fuzzed in this process, which has limits: ``python -m tools.fuzz.child SURFACE WORK OPTIONS``."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tools.fuzz.surface import Surface

MEMORY = 1 << 30
"""Bytes that reading one input may take above what the process has when it begins."""
SECONDS = 5
"""Longest time for one input."""
AGAIN = 0.4
"""How often a change begins with a seed: much that was changed several times is refused early."""


def kernels() -> list[str]:
    """Name the modules whose functions numba compiles: it cannot read what counts their branches."""
    found = importlib.util.find_spec("scformat")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    files = [path for path in sorted(package.rglob("*.py")) if "from scformat.jit import" in path.read_text()]
    return [
        ".".join(("scformat", *path.relative_to(package).with_suffix("").parts))
        for path in (*files, package / "jit.py")
    ]


class Tally:
    """Counts what inputs led to, and keeps those that led to what must not happen."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self.inputs = 0
        self.seconds = 0.0
        self.outcomes: Counter[str] = Counter()
        self.findings: dict[str, dict[str, Any]] = {}
        self.slowest = 0.0
        self._base = memory("VmRSS")

    def take(self, data: bytes, read: Any) -> None:
        """Read one input."""
        from scformat.errors import ScformatError

        before = time.process_time()
        try:
            read(data)
            self.outcomes["accepted"] += 1
        except ScformatError as error:
            self.outcomes[error.code] += 1
            if "\n" in str(error):
                self._find("an error of several lines", data, error)
        except Exception as error:
            self._find(f"{type(error).__name__}: {str(error)[:200]}", data, error)
        took = time.process_time() - before
        self.inputs += 1
        self.slowest = max(self.slowest, took)
        if took > SECONDS:
            self._find("a slow input", data, None)

    def _find(self, what: str, data: bytes, error: Exception | None) -> None:
        self.outcomes["finding"] += 1
        frames = traceback.extract_tb(error.__traceback__) if error is not None else []
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "scformat" in f.filename]
        key = f"{what.split(':', maxsplit=1)[0]} at {ours[-1] if ours else '?'}"
        found = self.findings.setdefault(key, {"what": what, "trace": ours, "times": 0, "input": data.hex()})
        found["times"] += 1
        if len(data) < len(found["input"]) // 2:
            found["input"] = data.hex()

    def write(self) -> None:
        """Leave what is counted where the parent finds it."""
        state = {
            "inputs": self.inputs,
            "seconds": round(self.seconds, 1),
            "outcomes": dict(self.outcomes.most_common()),
            "findings": self.findings,
            "slowest_s": round(self.slowest, 3),
            "memory_above_start_mb": round((memory("VmHWM") - self._base) / 2**20),
        }
        scratch = self._work / "tally.tmp"
        scratch.write_text(json.dumps(state))
        scratch.replace(self._work / "tally.json")


def memory(name: str) -> int:
    """Bytes of this process, by their name in /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) << 10
    return 0


def random_inputs(surface: Surface, seeds: list[bytes], seed: int) -> Any:
    """Yield the seeds, then without end what changes make of them: without coverage, the same for the same seed.

    Each input is the one before changed once more, until a seed is begun with again.
    """
    yield from seeds
    rng = random.Random(seed)
    data = seeds[0]
    while True:
        if rng.random() < AGAIN:
            data = rng.choice(seeds)
        data = surface.mutate(data, rng)
        yield data


def _limit() -> None:
    """From here on more memory is an error, which the interface has to make its own or not to ask for."""
    limit = memory("VmSize") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main(name: str, work: str, options: str) -> None:
    """Fuzz one surface until its inputs or its time are used up."""
    given = json.loads(options)
    place = Path(work)
    if given["coverage"]:
        import atheris  # type: ignore[import-untyped]

        with atheris.instrument_imports(include=["scformat"], exclude=kernels()):
            from tools.fuzz import surfaces
    else:
        from tools.fuzz import surfaces
    from scformat.errors import ScformatError

    surface = surfaces.SURFACES[name]
    inputs = place / "inputs"
    inputs.mkdir(exist_ok=True)
    seeds, read = surface.prepare(inputs)
    current = place / "current"
    for data in seeds:  # every kernel is compiled now
        with suppress(ScformatError):
            read(data)
    _limit()
    tally = Tally(place)
    if "one" in given:
        signal.alarm(4 * SECONDS)
        tally.take(Path(given["one"]).read_bytes(), read)
        sys.exit("\n".join(found["what"] for found in tally.findings.values()) or None)
    before = written = time.monotonic()
    tally.write()  # from here on the parent sees to it that the count goes on

    def test(data: bytes) -> None:
        nonlocal before, written
        current.write_bytes(data)  # what a crash of the process leaves behind
        tally.take(data, read)
        now = time.monotonic()
        tally.seconds += min(now - before, SECONDS)  # what is more went by while this process was stopped
        before = now
        done = tally.inputs >= (given["least"] if tally.seconds >= given["seconds"] else given["most"])
        if done or now - written > 1:
            tally.write()
            written = now
        if done:
            sys.stdout.flush()
            os._exit(0)

    if not given["coverage"]:
        for data in random_inputs(surface, seeds, given["seed"]):
            test(data)
    corpus = Path(given["corpus"])
    for k, data in enumerate(seeds):
        (corpus / f"seed-{k}").write_bytes(data)

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < 0.3:
            data = rng.choice(seeds)  # much of what coverage finds worth keeping is refused early
        changed = atheris.Mutate(data, most) if rng.random() < 0.15 else surface.mutate(data, rng)
        return changed[:most]

    atheris.Setup(
        [
            "fuzz", str(corpus), f"-seed={given['seed'] or 1}", f"-timeout={10**6}", "-rss_limit_mb=0",
            f"-max_len={max(4096, 2 * max(map(len, seeds)))}", f"-artifact_prefix={place}/artifact-",
            "-print_final_stats=0", "-reload=0", "-detect_leaks=0",
        ],
        test,
        custom_mutator=mutator,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])

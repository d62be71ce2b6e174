"""Kill -9 whatever writes a store, at many moments; what is left must be the old store or the new one, whole.

    python -m tools.faults.kill [--moments N] [--seed N] [--out FILE.json]

Half of the moments are random times, half are system calls that strace makes the last of the process (Linux only).
After each kill

1. the destination is compared, byte for byte and by reading every cell, with what it was before and with what an
   undisturbed run makes of it; it has to be one of them;
2. a vacuum of a copy has to leave the files of that state and no other, but for a conversion that can be resumed;
3. the work is done again (a conversion with ``--resume``) and then vacuumed: the directory has to hold the same files
   with the same bytes as after an undisturbed run and a vacuum, and nothing else.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import scformat
from scformat.errors import ScformatError
from scformat.tables import add_table, build_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CALLS = (
    "write", "pwrite64", "openat", "mkdir", "rename", "renameat2", "fsync", "unlink", "unlinkat", "rmdir", "flock",
    "ftruncate", "chmod", "copy_file_range",
)  # fmt: skip
STORE = "a.cells"
DONE_BEFORE = ("destination-exists", "source-exists")
"""What doing it again may say where it was done."""


class NoTracingError(Exception):
    """strace is not there, or may not trace."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Work that is killed: `begin` makes the directory that it starts from, `work` changes it, `again` ends it."""

    name: str
    begin: Callable[[Path], None]
    work: Callable[[Path], None]
    again: Callable[[Path], None]


def jobs(sources: Sequence[Path]) -> list[Job]:
    """Everything that is killed, on a store in the directory given."""

    def convert(order: str, *, overwrite: bool = False, resume: bool = False) -> Callable[[Path], None]:
        def work(place: Path) -> None:
            scformat.convert(
                sources, place / STORE, order=order, overwrite=overwrite, resume=resume,
                splits="train=0.8,test=0.2", weights=["tissue=tissue:balanced"], jobs=2,
            )  # fmt: skip

        return work

    def other(place: Path) -> None:
        scformat.convert(sources[:1], place / STORE, weights=["tissue=tissue:balanced"], jobs=2)

    def append(place: Path) -> None:
        scformat.append(place / STORE, sources[1:], jobs=2)

    def add(place: Path) -> None:
        store = scformat.open(place / STORE)
        if "ct" not in store.tables:
            add_table(store, "ct", build_table(store, "cell_type:balanced", name="ct"))

    def grown(place: Path) -> None:
        other(place)
        append(place)

    def vacuum(place: Path) -> None:
        scformat.vacuum(place / STORE)

    def nothing(_: Path) -> None:
        """Begin with an empty directory."""

    orders = [
        Job(name=f"convert --order {order}", begin=nothing, work=convert(order), again=convert(order, resume=True))
        for order in ("source", "shuffled", "stratified")
    ]
    over = {"begin": other, "work": convert("source", overwrite=True)}
    return [
        *orders,
        Job(name="convert --overwrite", **over, again=convert("source", overwrite=True, resume=True)),
        Job(name="append", begin=other, work=append, again=append),
        Job(name="weights add", begin=other, work=add, again=add),
        Job(name="vacuum", begin=grown, work=vacuum, again=vacuum),
    ]


def digests(place: Path) -> dict[str, str]:
    """SHA-256 of every file in a directory, by its path."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def content(place: Path) -> str | None:
    """Digest of the root and of every count as it is read; None where there is no store."""
    if not (place / STORE).exists():
        return None
    store = scformat.open(place / STORE)
    counts = store.read(np.arange(store.n_cells)).dense(np.int64)
    return hashlib.sha256(store.manifest.sha256.encode() + counts.tobytes()).hexdigest()


def vacuumed(place: Path) -> dict[str, str]:
    """Digests of what a vacuum leaves."""
    if (place / STORE).exists():
        scformat.vacuum(place / STORE)
    return digests(place)


class Child:
    """A forked process that waits for a word, works and ends; nothing needs to be imported in it."""

    def __init__(self, work: Callable[[Path], None], place: Path) -> None:
        reader, self._writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._writer)
            os.read(reader, 1)
            try:
                work(place)
            except BaseException:
                os._exit(1)
            os._exit(0)
        os.close(reader)

    def go(self) -> None:
        """Let it begin."""
        os.write(self._writer, b"x")
        os.close(self._writer)

    def wait(self) -> int:
        """Wait for its end; 9 after a kill."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def traced(child: Child, log: Path, *options: str) -> int:
    """Run a child under strace; return its status."""
    command = ["strace", "-f", "-p", str(child.pid), "-o", str(log), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if "attached" not in said:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            raise NoTracingError(said.strip())
        child.go()
        status = child.wait()
        tracer.stderr.read()
    return status


def was_killed(child: Child, log: Path) -> bool:
    """Say whether the signal came to a child itself, or to a process that it had started."""
    return re.search(rf"^{child.pid} +\+\+\+ killed by SIGKILL", log.read_text(), re.MULTILINE) is not None


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What a job starts from and ends with, how long it takes, and how often a thread makes each call at most.

    Attributes
    ----------
    start
        Directory that it starts from.
    files, clean
        Digests before and after; the same once vacuumed.
    contents
        What is read before and after.
    seconds
        How long it takes.
    calls
        How often a thread makes each call at most.
    """

    start: Path
    files: tuple[dict[str, str], dict[str, str]]
    clean: tuple[dict[str, str], dict[str, str]]
    contents: tuple[str | None, str | None]
    seconds: float
    calls: dict[str, int]


@dataclass(kw_only=True)
class Outcome:
    """What a kill left.

    Attributes
    ----------
    job, when
        What was killed, at which call (``fsync:3``) or after how many seconds.
    left
        ``before`` or ``after``; otherwise what was found.
    unnamed
        Files that lay there beyond those of that state, before anything was done about them.
    faults
        What is wrong, a line each.
    """

    job: str
    when: str | float
    left: str = ""
    unnamed: int = 0
    faults: list[str] = field(default_factory=list)


def undisturbed(job: Job, scratch: Path) -> Undisturbed:
    """Do a job twice: to see what it gives and how long it takes, and which calls it makes."""
    start, end = scratch / "start", scratch / "end"
    start.mkdir(parents=True)
    job.begin(start)
    shutil.copytree(start, end)
    begin = time.monotonic()
    if _waited(Child(job.work, end)) != 0:
        raise RuntimeError(f"{job.name} fails without being killed")
    seconds = time.monotonic() - begin
    files = (digests(start), digests(end))
    contents = (content(start), content(end))
    shutil.copytree(start, scratch / "traced")
    if traced(Child(job.work, scratch / "traced"), scratch / "log", "-e", f"trace={','.join(CALLS)}") != 0:
        raise RuntimeError(f"{job.name} fails under strace")
    lines = re.findall(r"^(\d+) +(\w+)\(", (scratch / "log").read_text(errors="replace"), re.MULTILINE)
    calls: dict[str, int] = {}
    for (_, name), n in collections.Counter(lines).items():
        calls[name] = max(n, calls.get(name, 0))
    shutil.rmtree(scratch / "traced")
    shutil.copytree(start, scratch / "clean")
    clean = (vacuumed(scratch / "clean"), vacuumed(end))
    return Undisturbed(start=start, files=files, clean=clean, contents=contents, seconds=seconds, calls=calls)


def _waited(child: Child) -> int:
    child.go()
    return child.wait()


def kill(job: Job, made: Undisturbed, scratch: Path, when: str | float) -> Outcome | None:
    """Kill a job at a call (``fsync:3``) or after some seconds, and judge; None where it had ended before."""
    place = scratch / "killed"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(made.start, place)
    child = Child(job.work, place)
    if isinstance(when, str):
        name, n = when.split(":")
        status = traced(
            child, scratch / "log", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={n}"
        )  # fmt: skip
    else:
        child.go()
        time.sleep(when)
        os.kill(child.pid, signal.SIGKILL)
        status = child.wait()
    if status == 0:
        return None
    outcome = Outcome(job=job.name, when=when)
    # Of two processes in turn that read its HDF5 files, each may reach the call: a source that cannot be read then.
    spared = isinstance(when, str) and not was_killed(child, scratch / "log")
    if status != (1 if spared else -signal.SIGKILL):
        outcome.faults.append(f"it ended with {status}")
    try:
        _judge(job, made, place, outcome)
    except ScformatError as error:
        outcome.faults.append(f"error: {error}")
    return outcome


def _judge(job: Job, made: Undisturbed, place: Path, outcome: Outcome) -> None:
    left = content(place)
    if left not in made.contents:
        outcome.left = "another store"
        outcome.faults.append("neither the old store nor the new one")
        return
    # A vacuum changes nothing that is read.
    after = left == made.contents[1]
    outcome.left = "after" if after else "before"
    files = digests(place)
    named = made.clean[after]
    outcome.faults += [f"{path} differs" for path in named if files.get(path) != named[path]]
    outcome.unnamed = len(files.keys() - made.files[after].keys())
    copy = place.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place, copy)
    if (copy / STORE).exists():
        found = vacuumed(copy)
        partial = copy / f".{STORE}.partial"
        if not after and (partial / "journal").is_file():
            found = {path: digest for path, digest in found.items() if not path.startswith(f"{partial.name}/")}
        outcome.faults += _differences(found, named, "a vacuum")
    try:
        job.again(place)
    except ScformatError as error:
        if not after or error.code not in DONE_BEFORE:
            raise
    outcome.faults += _differences(vacuumed(place), made.clean[1], "doing it again and a vacuum")


def _differences(found: dict[str, str], wanted: dict[str, str], what: str) -> list[str]:
    faults = [f"{path} is left over after {what}" for path in sorted(found.keys() - wanted.keys())]
    return faults + [f"{path} differs after {what}" for path in wanted if found.get(path) != wanted[path]]


def campaign(
    directory: Path,
    *,
    moments: int,
    seed: int,
    only: Sequence[str] | None = None,
    report: Callable[[int, Outcome], None] = lambda _n, _outcome: None,
) -> list[Outcome]:
    """Kill every job, as often as another, half at random times and half at system calls.

    Parameters
    ----------
    directory
        An empty directory for all files.
    moments
        Number of kills.
    seed
        Of the moments; times hit another step of the work each time all the same.
    only
        Names of the jobs; None: all.
    report
        Called after each kill.

    Raises
    ------
    NoTracingError
        strace cannot be used here.
    """
    if shutil.which("strace") is None:
        raise NoTracingError("there is no strace")
    draw = random.Random(seed)
    found: list[Outcome] = []
    sources = scformat.simulate(directory / "in", cells=300, studies=2, genes=300, seed=1)
    works = [job for job in jobs(sources) if only is None or job.name in only]
    for i, job in enumerate(works):
        scratch = directory / str(i)
        made = undisturbed(job, scratch)
        wanted = moments * (i + 1) // len(works) - moments * i // len(works)
        names = sorted(made.calls)
        done = 0
        while done < wanted:
            name = draw.choice(names)
            call = f"{name}:{draw.randint(1, made.calls[name])}"
            outcome = kill(job, made, scratch, draw.uniform(0, made.seconds) if done % 2 else call)
            if outcome is not None:
                found.append(outcome)
                done += 1
                report(len(found), outcome)
        shutil.rmtree(scratch)
    return found


def summary(found: Sequence[Outcome]) -> list[dict[str, object]]:
    """Count, for each job, what its kills left."""
    return [
        {
            "job": name,
            "kills": len(mine),
            "at calls": sum(isinstance(one.when, str) for one in mine),
            "as before": sum(one.left == "before" for one in mine),
            "as after": sum(one.left == "after" for one in mine),
            "with files to clean": sum(one.unnamed > 0 for one in mine),
            "with faults": sum(bool(one.faults) for one in mine),
        }
        for name in dict.fromkeys(one.job for one in found)
        if (mine := [one for one in found if one.job == name])
    ]


def main() -> int:
    """Kill, print a table, and return 1 where anything was lost or left over."""
    parser = argparse.ArgumentParser(prog="python -m tools.faults.kill", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--moments", type=int, default=200, help="kills (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--out", type=Path, help="a JSON file for every kill and what it left")
    options = parser.parse_args()

    def report(n: int, outcome: Outcome) -> None:
        for fault in outcome.faults:
            print(f"{outcome.job} at {outcome.when}: {fault}", file=sys.stderr)
        if n % 10 == 0 or n == options.moments:
            print(f"{n} of {options.moments} kills", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as directory:
        try:
            found = campaign(Path(directory), moments=options.moments, seed=options.seed, report=report)
        except NoTracingError as error:
            print(f"strace cannot be used here: {error}", file=sys.stderr)
            return 3
    for line in summary(found):
        print(", ".join(f"{value} {name}" if name != "job" else str(value) for name, value in line.items()))
    if options.out is not None:
        result = {
            "scformat": scformat.__version__,
            "python": platform.python_version(),
            "system": platform.system(),
            "seed": options.seed,
            "summary": summary(found),
            "kills": [asdict(one) for one in found],
        }
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return int(any(one.faults for one in found))


if __name__ == "__main__":
    sys.exit(main())

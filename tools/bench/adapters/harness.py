"""What every loading adapter shares: the page cache, the warm-up, the clock, and the labels of batches.

It runs in the environment of each peer and needs numpy alone. An adapter calls :func:`main` with how its store is made
and how a stream of batches is opened; its command line is ``prepare SETTINGS STORE SOURCE...``, ``load SETTINGS STORE
OPTIONS`` or ``labels SETTINGS STORE OPTIONS``, where settings and options are JSON. The last line that it prints is
the result.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

LABELS = ("cell_type", "donor_id", "study")
"""Columns of the sources: class, donor and source of a cell."""
PAGE = 1024
"""Values of four bytes in a page of memory."""
_READ = 16 << 20
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Batches without an end.

    Attributes
    ----------
    batches
        The batches.
    counts
        The counts of a batch, an array, a tensor or a scipy matrix.
    codes
        For each of :data:`LABELS` that was asked for, the values of a batch's cells, of any type.
    period
        Cells that are fetched together; measurements are of whole ones.
    """

    batches: Iterator[Any]
    counts: Callable[[Any], Any]
    codes: Callable[[Any], Mapping[str, Any]]
    period: int = 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a stream is asked for.

    Attributes
    ----------
    batch
        Cells a batch.
    seed
        Of the draws.
    labels
        Labels that the batches have to carry.
    """

    batch: int
    seed: int
    labels: tuple[str, ...]


def main(
    prepare: Callable[[dict[str, Any], str, list[str]], None],
    open_stream: Callable[[dict[str, Any], str, Request], Stream],
) -> None:
    """Do what the command line says."""
    action, given, store, *rest = sys.argv[1:]
    settings = json.loads(given)
    if action == "prepare":
        prepare(settings, store, rest)
        return
    options = json.loads(rest[0])
    names = LABELS[:1] if action == "load" else LABELS
    request = Request(batch=options["batch"], seed=options["seed"], labels=names)
    work = measure if action == "load" else entropies
    found = work(open_stream, settings, store, request, options)
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()
    # Workers and threads of a loader that goes on without an end would hold the process back.
    for pid in descendants():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def measure(
    open_stream: Callable[[dict[str, Any], str, Request], Stream],
    settings: dict[str, Any],
    store: str,
    request: Request,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Measure a stream: the warm-up, then whole periods for at least so many seconds.

    Returns
    -------
    dict
        ``cells``, ``wall_s`` and ``cpu_s`` of what was measured, ``first_s`` until the first batch lay there, and
        ``resident``, the share of the store's files in the page cache when the measurement began.
    """
    files = below(store)
    warm(files)
    begun = time.perf_counter()
    stream = open_stream(settings, store, request)
    touch(stream.counts(next(stream.batches)))
    first = time.perf_counter() - begun
    cells = 0
    while cells < options["warm_up"] * request.batch or cells < stream.period:
        cells += touched(stream, next(stream.batches))
    if options["cache"] == "cold":
        cool(files)
    held = resident(files)
    cells, due = 0, stream.period
    begun, cpu = time.perf_counter(), processor_s()
    while True:
        cells += touched(stream, next(stream.batches))
        if cells >= due:
            due += stream.period
            if time.perf_counter() - begun >= options["seconds"]:
                break
    wall = time.perf_counter() - begun
    return {"cells": cells, "wall_s": wall, "cpu_s": processor_s() - cpu, "first_s": first, "resident": held}


def touched(stream: Stream, batch: Any) -> int:
    """Use the counts of a batch; return its number of cells."""
    counts = stream.counts(batch)
    touch(counts)
    return int(counts.shape[0])


def touch(counts: Any) -> float:
    """Read one value of each page of memory of a batch, so that nothing stays undone, and sum them.

    A sum over a dense batch would take as long as making it, and say nothing of the loader.
    """
    if str(getattr(counts, "layout", "")) == "torch.sparse_csr":
        arrays = [counts.values().numpy(), counts.col_indices().numpy()]
    elif hasattr(counts, "indptr"):
        arrays = [counts.data, counts.indices]
    else:
        arrays = [np.asarray(counts).reshape(-1)]
    return float(sum(array[::PAGE].sum() for array in arrays))


def entropies(
    open_stream: Callable[[dict[str, Any], str, Request], Stream],
    settings: dict[str, Any],
    store: str,
    request: Request,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the mean entropy of each label in a batch, bits, over some batches and over all of them together."""
    stream = open_stream(settings, store, request)
    inside: dict[str, list[float]] = {name: [] for name in request.labels}
    together: dict[str, dict[Any, int]] = {name: {} for name in request.labels}
    sizes = []
    for _ in range(options["batches"]):
        codes = {name: np.asarray(values).astype(str) for name, values in stream.codes(next(stream.batches)).items()}
        # Studies name their donors alike.
        codes["donor_id"] = np.char.add(np.char.add(codes["study"], "/"), codes["donor_id"])
        sizes.append(len(codes[request.labels[0]]))
        for name in request.labels:
            values, counts = np.unique(codes[name], return_counts=True)
            inside[name].append(entropy(counts))
            pooled = together[name]
            for value, n in zip(values.tolist(), counts.tolist(), strict=True):
                pooled[value] = pooled.get(value, 0) + n
    return {
        "batches": len(sizes),
        "cells": sum(sizes),
        "entropy": {name: float(np.mean(values)) for name, values in inside.items()},
        "pooled": {name: entropy(np.array(list(counts.values()))) for name, counts in together.items()},
        "categories": {name: len(counts) for name, counts in together.items()},
    }


def entropy(counts: Any) -> float:
    """Entropy of shares, bits."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def processor_s() -> float:
    """Processor seconds of this process, the children it waited for, and its descendants that still run."""
    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    used = own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime
    for pid in descendants():
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
            used += sum(map(int, fields[11:15])) / _TICKS
    return used


def descendants() -> list[int]:
    """Return the processes that this one started, and theirs."""
    found, waiting = [], [os.getpid()]
    while waiting:
        pid = waiting.pop()
        with suppress(OSError):  # ended between two looks
            for task in Path(f"/proc/{pid}/task").iterdir():
                children = [int(child) for child in (task / "children").read_text("utf-8").split()]
                found += children
                waiting += children
    return found


def below(store: str) -> list[Path]:
    """Files of a store, which is a file, a directory, or several of them divided by ``:``."""
    files: list[Path] = []
    for path in map(Path, store.split(":")):
        files += [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return files


def warm(files: list[Path]) -> None:
    """Read files, so that they lie in the page cache as far as memory allows."""
    for path in files:
        with path.open("rb") as file:
            while file.read(_READ):
                pass


def cool(files: list[Path]) -> None:
    """Drop files from the page cache, as far as the system follows the advice: not what a process has mapped."""
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def resident(files: list[Path]) -> float:
    """Share of the bytes of files that lies in the page cache."""
    import ctypes
    import mmap

    libc = ctypes.CDLL(None, use_errno=True)
    size = mmap.PAGESIZE
    held = total = 0
    for path in files:
        n = path.stat().st_size
        if not n:
            continue
        pages = -(-n // size)
        total += pages
        with path.open("rb") as file, mmap.mmap(file.fileno(), n, flags=mmap.MAP_PRIVATE) as view:
            state = (ctypes.c_ubyte * pages)()
            start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(view)))
            if libc.mincore(start, ctypes.c_size_t(n), state) == 0:
                held += int((np.frombuffer(state, np.uint8) & 1).sum())
    return held / max(total, 1)


def endless(make: Callable[[int], Iterator[Any]]) -> Iterator[Any]:
    """Chain passes: `make` is given the number of each."""
    number = 0
    while True:
        yield from make(number)
        number += 1

"""How fast this machine loads a store, and how fast reading, decoding and writing alone would let it.

The limit of a plan and an output is the number of threads divided by the processor time that a cell takes to read the
chunks that the plan needs, to decode them, and to write an output of the same size, each of them alone, by that many
threads at once: they share the memory's bandwidth and the outer cache, as those of a loader do.
"""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.loading.batches import Drawn, Output, make_batches
from scformat.loading.options import check_number, number_of_threads
from scformat.loading.records import read_records
from scformat.loading.schedule import MOST_AHEAD, runs
from scformat.loading.window import read_window
from scformat.pool import Pool
from scformat.store.fetch import plan_chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import DTypeLike, NDArray

    from scformat.loading.batches import Arrays, Assembly
    from scformat.manifest import Array
    from scformat.storage import Storage
    from scformat.store import Store
    from scformat.torch import CellLoader

Plan = Literal["stratified", "independent", "epoch"]
Cache = Literal["warm", "cold", "found"]
PLANS: Final[tuple[Plan, ...]] = ("stratified", "independent", "epoch")
OUTPUTS: Final[tuple[Output, ...]] = ("csr", "dense")
CACHES: Final[tuple[Cache, ...]] = ("warm", "cold", "found")
TILE_CHUNKS: Final = 128
"""Chunks that are decoded to the same memory: 1 MB, which stays in a processor's cache."""
_VERSIONS: Final = ("numpy", "numba", "numcodecs", "torch")
_READ: Final = 16 << 20
_IN_FLIGHT: Final = 2
"""Batches a thread that are on their way at once: one that is made, one that is waited for or used."""
_MANY: Final = 1 << 40


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Processor seconds that a delivered cell takes in what no loader can leave out; and in making batches.

    Attributes
    ----------
    read
        To read the chunks that hold the cells of a run of draws; a chunk is read once, a repeated cell too.
    decode
        To check and decode those chunks, into memory that is used again and again.
    write
        To fill arrays of the size of the batches, in as many pieces of memory as batches are on their way at once.
    make
        To make the batches of cells that are held, in as many pieces of memory: no part of the limit, but what there
        is to compare `write` with.
    """

    read: float
    decode: float
    write: float
    make: float

    def limit(self, threads: int) -> float:
        """Return the cells a second that so many threads could deliver if they did nothing else."""
        return max(1, threads) / (self.read + self.decode + self.write)

    def mean(self, other: Stages) -> Stages:
        """Return the mean of two measurements."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Stages(**dict(zip(("read", "decode", "write", "make"), ((a + b) / 2 for a, b in pairs), strict=True)))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """One plan and output as measured.

    Attributes
    ----------
    plan, table, output
        `table` is None for cells drawn alike.
    cells_per_second
        Of batches as they are delivered, after the first runs.
    cpu_seconds
        Processor seconds of the process for a cell.
    stages, limit, share
        Of the limit: what it is made of, cells a second, and the rate divided by it.
    """

    plan: str
    table: str | None
    output: str
    cells_per_second: float
    cpu_seconds: float
    stages: Stages
    limit: float

    @property
    def share(self) -> float:
        """The rate as a share of the limit."""
        return self.cells_per_second / self.limit


def measure_store(
    store: Store,
    *,
    table: str | None = None,
    plans: Sequence[Plan] = PLANS,
    outputs: Sequence[Output] = OUTPUTS,
    batch_size: int = 128,
    threads: int | None = None,
    seconds: float = 5.0,
    seed: int = 0,
    cache: Cache | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure how fast batches of a store come, for every plan and output.

    Parameters
    ----------
    store
        A store.
    table
        For the plans that take one; None: balanced over the labels of the store's order, or of ``cell_type``, else all
        cells alike.
    plans, outputs
        Which ones.
    batch_size, threads, seed
        As for :class:`scformat.torch.CellLoader`.
    seconds
        For each of them, after a warm-up.
    cache
        Of a store in a directory: ``warm``, its files are read before; ``cold``, they are dropped from the page cache
        before each measurement; ``found``, as they are. None: ``warm`` where they fit in half of the memory.
    progress
        Told the stage, how many are done, and of how many.

    Returns
    -------
    dict
        JSON values: ``store``, ``settings``, ``machine``, ``versions``, and ``rates``, a list.

    Raises
    ------
    UsageError
        ``empty-store``, ``bad-seconds``, ``bad-threads``; an unknown plan, output, table or state of the cache.
    MissingExtraError
        Without torch.
    """
    from scformat.torch import CellLoader

    for what, given, known in (("plan", plans, PLANS), ("output", outputs, OUTPUTS)):
        for name in given:
            if name not in known:
                raise unknown_name(what, name, known)
    if not store.n_cells:
        raise UsageError("empty-store", "a store without cells has no rate", where=store.path)
    if not seconds > 0:
        raise UsageError("bad-seconds", "not a time", expected="more than 0 seconds", found=repr(seconds))
    check_number("seed", "bad-seed", seed, least=0)
    n_threads = number_of_threads(threads)
    state = choose_cache(store, cache)
    if state == "warm":
        warm(store)
    chosen = table if table is not None else default_table(store)
    # An epoch has no weights, and only independent draws differ much without them: every cell is then somewhere else.
    tables = {"stratified": [chosen], "independent": [chosen, None] if chosen else [None], "epoch": [None]}
    cases = [(plan, of, output) for plan in plans for of in tables[plan] for output in outputs]
    rates = []
    for i, (plan, of, output) in enumerate(cases):
        if progress is not None:
            progress("measuring", i, len(cases))
        loader = CellLoader(
            store, batch_size=batch_size, table=of, plan=plan, seed=seed, output=output, threads=n_threads,
            steps_per_epoch=_MANY // batch_size,
        )  # fmt: skip
        before = measure_stages(loader)
        rate, cpu = measure_loader(loader, seconds=seconds, before=partial(cool, store) if state == "cold" else None)
        # Around it: a machine that others use is not as fast all the time.
        stages = before.mean(measure_stages(loader))
        rates.append(
            Rate(
                plan=plan,
                table=of,
                output=output,
                cells_per_second=rate,
                cpu_seconds=cpu,
                stages=stages,
                limit=stages.limit(n_threads),
            )
        )
    return {
        "store": {"path": store.path, "cells": store.n_cells, "genes": store.n_genes, "bytes": store.size_on_disk()},
        "settings": {
            "batch_size": batch_size, "threads": n_threads, "seconds": seconds, "seed": seed, "cache": state,
        },
        "machine": describe_machine(),
        "versions": versions(),
        "rates": [{**asdict(rate), "share": rate.share} for rate in rates],
    }  # fmt: skip


def measure_loader(
    loader: CellLoader, *, seconds: float, before: Callable[[], None] | None = None
) -> tuple[float, float]:
    """Return cells a second and processor seconds a cell of a loader, once kernels are compiled and memory is there.

    `before` is called between the warm-up and the measurement.
    """
    batches = iter(loader)
    warm_up = min(2 * MOST_AHEAD, 4 * loader.table.n_cells)
    cells = 0
    while cells < warm_up:
        cells += len(next(batches))
    if before is not None:
        before()
    cells = 0
    begun, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begun < seconds:
        cells += len(next(batches))
    rate, used = cells / (time.perf_counter() - begun), (time.process_time() - cpu) / cells
    batches.close()  # type: ignore[attr-defined]
    return rate, used


def measure_stages(loader: CellLoader, *, passes: int = 5) -> Stages:
    """Measure what the next run of draws of a loader takes, stage by stage: medians of some passes.

    As many threads as the loader has do each stage at once, each all of it and in memory of its own.
    """
    store, form = loader.store, loader._form.assembly
    rows = _next_run(loader)
    distinct, times_drawn = np.unique(rows, return_counts=True)
    needed, entries = [], 0
    for segment in store.segments:
        part = segment.part
        low, high = np.searchsorted(distinct, [part.start, part.start + part.n_cells]).tolist()
        if high > low:
            found = read_records(segment, distinct[low:high] - part.start, ())
            numbers = plan_chunks(found.starts, found.stops, chunk=part.entries.chunk[1]).numbers
            needed.append((segment.storage, part.entries, numbers))
            entries += int(((found.stops - found.starts) * times_drawn[low:high]).sum())
    batches = -(-len(rows) // loader.batch_size)
    sizes = batch_arrays(form, loader.batch_size, entries // batches)
    threads = max(1, loader._threads)
    outputs: list[list[list[NDArray[Any]]]] = [
        [[np.zeros(size, dtype) for size, dtype in sizes] for _ in range(_IN_FLIGHT)] for _ in range(threads)
    ]  # fmt: skip
    held = read_window(store, rows, labels=loader._form.read)
    drawn = [Drawn.of(replace(held, pool=Pool()), rows, rows.astype(np.uint64)) for _ in range(threads)]
    taken = []
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(passes + 1):
            read = list(pool.map(lambda _: _read_and_decode(needed), range(threads)))
            written = list(pool.map(lambda own: _write(own, batches), outputs))
            made = list(pool.map(lambda own: _make(own, loader.batch_size, form), drawn))
            taken.append([*np.mean(read, axis=0).tolist(), float(np.mean(written)), float(np.mean(made))])
    read_s, decode_s, write_s, make_s = (np.median(taken[1:], axis=0) / len(rows)).tolist()
    return Stages(read=read_s, decode=decode_s, write=write_s, make=make_s)


def batch_arrays(form: Assembly, cells: int, entries: int) -> list[tuple[int, DTypeLike]]:
    """Return size and dtype of what has the counts of a batch of so many cells, which have so many entries."""
    if form.output == "dense":
        return [(cells * form.n_columns, np.float32)]
    return [(entries, np.int32), (entries, np.float32)]


def _next_run(loader: CellLoader) -> NDArray[np.int64]:
    """Rows that the loader reads together, once it has begun."""
    begin, stop = loader._share.pass_of(loader.plan, loader.position)
    steps = next(runs(loader.plan, loader._share, begin, stop, most=loader._most, ahead=MOST_AHEAD))
    return np.concatenate([step.all_rows for step in steps])


def _read_and_decode(needed: Sequence[tuple[Storage, Array, NDArray[np.int64]]]) -> tuple[float, float]:
    """Return this thread's processor seconds for reading chunks, and for decoding them."""
    reading = decoding = 0.0
    for storage, array, numbers in needed:
        tile = np.empty((TILE_CHUNKS, *array.chunk), array.dtype)
        fetching = storage.fetch_chunks(array, numbers)
        while True:
            begun = time.thread_time()
            fetched = next(fetching, None)
            reading += time.thread_time() - begun
            if fetched is None:
                break
            begun = time.thread_time()
            for first in range(0, len(fetched.numbers), TILE_CHUNKS):
                storage.decode_fetched(fetched, tile[: len(fetched.numbers) - first], first=first)
            decoding += time.thread_time() - begun
    return reading, decoding


def _write(outputs: Sequence[Sequence[NDArray[Any]]], batches: int) -> float:
    """Return this thread's processor seconds for writing so many batches, each to the memory that waits longest."""
    begun = time.thread_time()
    for k in range(batches):
        for array in outputs[k % len(outputs)]:
            array.fill(0)
    return time.thread_time() - begun


def _make(drawn: Drawn, size: int, how: Assembly) -> float:
    """Return this thread's processor seconds for making batches of all draws, each while the last one is there."""
    bounds = [*range(0, len(drawn.rows), size), len(drawn.rows)]
    last: deque[Arrays] = deque(maxlen=_IN_FLIGHT - 1)
    begun = time.thread_time()
    for low, high in pairwise(bounds):
        last.extend(make_batches(drawn, [low, high], how))
    return time.thread_time() - begun


def default_table(store: Store) -> str | None:
    """Return the table that a store is measured with: balanced over what it is ordered by, or over cell types."""
    names = list(store.labels)
    ordered = [name for part in store.manifest.parts[:1] for name in part.order.by if name in names]
    chosen = ordered[:1] or [name for name in ("cell_type",) if name in names]
    return f"{chosen[0]}:balanced" if chosen else None


def choose_cache(store: Store, cache: Cache | None) -> Cache:
    """Return the state of the page cache that is asked for, or that fits."""
    if cache is not None and cache not in CACHES:
        raise unknown_name("state of the cache", cache, CACHES)
    if not _files(store):
        if cache not in (None, "found"):
            raise UsageError("no-page-cache", "only a store in a directory has files in the page cache", found=cache)
        return "found"
    if cache is not None:
        return cache
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return "warm" if (store.size_on_disk() or 0) < memory / 2 else "found"


def warm(store: Store) -> None:
    """Read all files of a store, so that they lie in the page cache."""
    for path in _files(store):
        with path.open("rb") as file:
            while file.read(_READ):
                pass


def cool(store: Store) -> None:
    """Drop the files of a store from the page cache, as far as the system follows the advice."""
    for path in _files(store):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _files(store: Store) -> list[Path]:
    root = Path(store._storage.url)
    return [path for path in sorted(root.rglob("*")) if path.is_file()] if root.is_dir() else []


def describe_machine() -> dict[str, Any]:
    """Processor, cores, memory, system and load of this machine, as far as the system tells."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text("utf-8").splitlines() if cpu.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": number_of_threads(None),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load": os.getloadavg()[0],
    }


def versions() -> dict[str, str]:
    """Versions of Python, this package and what loading depends on."""
    from importlib.metadata import version

    from scformat.version import __version__

    return {
        "scformat": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _VERSIONS},
    }

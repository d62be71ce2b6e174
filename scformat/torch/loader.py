"""Weighted batches of a store's cells, in an order that any number of ranks share and any run can resume."""

from __future__ import annotations

import json
import math
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.loading.batches import make_batch
from scformat.loading.form import choose_form
from scformat.loading.prefetch import Loaded, deliver
from scformat.loading.schedule import MOST_AHEAD, Share, Step, runs
from scformat.loading.selection import choose_table
from scformat.loading.window import costs, read_window
from scformat.pool import Pool
from scformat.sampling.state import PLANS, State
from scformat.store import open_store
from scformat.torch.batch import Batch, as_tensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import torch

    from scformat.loading.batches import Arrays, Output
    from scformat.loading.transforms import TokenSpec, Transform
    from scformat.loading.window import Work
    from scformat.sampling.plans import Plan
    from scformat.sampling.table import Table
    from scformat.store import Store
    from scformat.tables.view import SamplingTable

WINDOW, LANES = 65_536, 8
PACKED_BYTES = 2.2
"""Of an entry of counts that is held, on average."""
RECORD_BYTES = 64
"""Of a held cell besides."""


class CellLoader:
    """Batches of cells as tensors, read ahead by threads.

    Iterating goes through one pass: an epoch of the epoch plan (its last batch filled up, ``batch.valid`` says with
    what), else `steps_per_epoch` batches, by default as many as there are cells to draw. The next ``for`` goes on
    with the next pass, in another order. A pass that is left early is not taken up again, unless
    :meth:`load_state_dict` says so. All ranks have equal numbers of batches. A batch is made of the draws of the
    stream that are this rank's: its content does not depend on threads or memory.

    Parameters
    ----------
    store
        A store, or where one lies.
    batch_size
        Cells a batch, of this rank.
    table
        The name of a sampling table, labels and schemes (``cell_type:balanced``), the path of a table's file, or a
        table; None: every cell alike.
    plan
        ``independent``, ``stratified`` or ``epoch``; None: ``epoch`` without a table, else ``stratified`` where the
        cells of the store are in a stratified order, ``independent`` where not.
    split, where, organism
        Draw cells of this split, for which this expression is true, of sources of this organism. `organism` takes
        the genes of that organism too.
    block
        Neighbouring cells that are taken together by the stratified and the epoch plan; 1: none.
    seed
        0 .. 2^64 - 1.
    rank, world_size
        By default those of torch.distributed where it is initialised, else 0 and 1.
    steps_per_epoch
        Batches a pass; with the epoch plan the stream then goes on across the ends of epochs, without filling up.
    labels
        Names of labels to read.
    output
        ``dense``, ``csr``, ``tokens``, or a :class:`TokenSpec`, which is ``tokens`` of that form.
    genes
        Ids in the order wanted, a file with one a line, or ``protein_coding``. Ids that the store does not have are
        zero, and flagged in ``loader.genes["found"]``.
    transforms
        Applied to the counts in this order; see :mod:`scformat.loading.transforms`.
    temperature
        Of the table: above 1 evens its strata out.
    threads
        That make batches; None: one a processor that this process may use, 0: none at all.
    memory
        For cells that are held, for example ``512MB``. Batches that are ready come on top.
    pin_memory
        Put tensors in page-locked memory.
    device
        Where batches are delivered.
    tokens
        The form of ``tokens``.
    window, lanes
        See :class:`scformat.sampling.WindowShape`; by default 65,536 (or the next multiple of `lanes` x `block`), and 8
        lanes or as many as ranks.

    Raises
    ------
    UsageError
        ``no-cells`` for an empty split or selection, ``bad-batch-size``, ``bad-rank``, ``bad-transforms``, ...
    UnknownNameError
        A table, split, label, plan or output that is not there; near names are listed.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        batch_size: int = 128,
        table: Table | SamplingTable | str | os.PathLike[str] | None = None,
        plan: Literal["independent", "stratified", "epoch"] | None = None,
        split: str | None = None,
        where: str | None = None,
        block: int = 64,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        steps_per_epoch: int | None = None,
        labels: Sequence[str] = (),
        output: Output | TokenSpec = "dense",
        genes: Sequence[str] | str | os.PathLike[str] | None = None,
        organism: str | None = None,
        transforms: Iterable[Transform] = (),
        temperature: float = 1.0,
        threads: int | None = None,
        memory: str | int = "512MB",
        pin_memory: bool = False,  # noqa: FBT001, FBT002 - as torch's own DataLoader has it
        device: torch.device | str | None = None,
        *,
        tokens: TokenSpec | None = None,
        window: int | None = None,
        lanes: int | None = None,
    ) -> None:
        self.store = open_store(store) if isinstance(store, str | os.PathLike) else store
        if type(batch_size) is not int or batch_size < 1:
            raise UsageError("bad-batch-size", "not a batch size", expected="1 or more", found=repr(batch_size))
        self.batch_size = batch_size
        self._form = choose_form(
            self.store, labels=labels, output=output, tokens=tokens, genes=genes, organism=organism,
            transforms=transforms, seed=seed,
        )  # fmt: skip
        self.table = choose_table(self.store, table, split=split, where=where, organism=organism)
        chosen = plan or _default_plan(self.store, weighted=table is not None)
        if chosen not in PLANS:
            raise unknown_name("plan", chosen, PLANS)
        if chosen == "epoch" and len(self.table) != 1:
            raise UsageError(
                "epoch-with-weights",
                "an epoch goes over every cell once, whatever the table",
                hint="use plan='stratified' or 'independent' with a table",
            )
        rank, world_size = _ranks(rank, world_size)
        shape = _shape(chosen, window=window, lanes=lanes, block=block, world_size=world_size)
        self._state = State(
            seed=seed, plan=chosen, table=self.table.digest, schedule=((0, float(temperature)),), **shape
        )
        self._plan = self._state.resume(self.table)
        self._resumed = False
        if steps_per_epoch is not None and (type(steps_per_epoch) is not int or steps_per_epoch < 1):
            raise UsageError("bad-steps", "not a number of steps", expected="1 or more", found=repr(steps_per_epoch))
        if steps_per_epoch is None and chosen != "epoch":
            steps_per_epoch = math.ceil(self.table.n_cells / (batch_size * world_size))
        self._share = Share(batch=batch_size, rank=rank, world_size=world_size, steps=steps_per_epoch)
        self._threads = _threads(threads)
        self._most = _cells_held(self.store, parse_memory(memory))
        self._pin, self._device = pin_memory, device
        self._pool = Pool()

    @property
    def genes(self) -> Any:
        """The genes of a batch, a pandas DataFrame: see :attr:`Batch.genes`."""
        return self._form.columns.table

    @property
    def plan(self) -> Plan:
        """The plan that is followed."""
        return self._plan

    @property
    def position(self) -> int:
        """Position in the stream, over all ranks, after the batch that was delivered last."""
        return self._state.position

    def __len__(self) -> int:
        """Batches of this rank in a pass from its begin."""
        return math.ceil(self._share.pass_length(self._plan) / self._share.stride)

    def __iter__(self) -> Iterator[Batch]:
        start = self._state.position
        begin, stop = self._share.pass_of(self._plan, start)
        if not self._resumed and start != begin:
            start, stop = stop, stop + self._share.pass_length(self._plan)
        self._resumed = False
        return self._iterate(start, stop)

    def _iterate(self, start: int, stop: int) -> Iterator[Batch]:
        delivered = deliver(self._loads(start, stop), threads=self._threads)
        state = self._state
        try:
            for step, arrays in delivered:
                batch = as_tensors(arrays, step.valid, self._form.labels, self._form.columns)
                batch = batch.pin_memory() if self._pin else batch
                batch = batch if self._device is None else batch.to(self._device, non_blocking=self._pin)
                self._state = state.at(step.end)
                yield batch
        finally:
            delivered.close()  # type: ignore[attr-defined]

    def _loads(
        self, start: int, stop: int
    ) -> Iterator[Callable[[Callable[[Work], None]], Loaded[tuple[Step, Arrays]]]]:
        for steps in runs(self._plan, self._share, start, stop, most=self._most):
            yield lambda run, steps=steps: self._load(steps, run)  # type: ignore[misc]

    def _load(self, steps: list[Step], run: Callable[[Work], None]) -> Loaded[tuple[Step, Arrays]]:
        rows = np.concatenate([step.rows for step in steps])
        held = read_window(self.store, rows, labels=self._form.labels, run=run, pool=self._pool)
        how = self._form.assembly
        return Loaded(
            batches=[lambda s=step: (s, make_batch(held, s.rows, s.positions, how)) for step in steps]  # type: ignore[misc]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands after the batch that was delivered last, as plain JSON values."""
        return cast("dict[str, Any]", json.loads(self._state.to_json()))

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on where a stream stood, on any number of ranks; the pass that it was in is finished first.

        The stream (seed, plan, window, block, temperature) is that of the state, whatever this loader was given.

        Raises
        ------
        UsageError
            ``other-table``: of another table or other cells; both digests are named. ``bad-state``.
        """
        found = State.of(state)
        self._plan = found.resume(self.table)
        self._state = found
        if self._share.steps is None and found.plan != "epoch":
            self._share = replace(self._share, steps=math.ceil(self.table.n_cells / self._share.stride))
        self._form = self._form.seeded(found.seed)
        self._resumed = True

    def explain(self) -> dict[str, Any]:
        """Say what the next window costs: it is read once for that, and a part of it is made into batches.

        Returns
        -------
        dict
            ``plan``, ``draws``, ``cells`` (distinct), ``chunks``, ``chunks_per_cell``, ``requests``, ``bytes`` of a
            window as it is read; ``held_bytes`` in memory; ``batches`` a pass; ``cells_per_second``, as measured by
            this one thread, times the threads.
        """
        begin, stop = self._share.pass_of(self._plan, self._state.position)
        steps = next(runs(self._plan, self._share, begin, stop, most=self._most, ahead=MOST_AHEAD))
        rows = np.concatenate([step.rows for step in steps])
        found = costs(self.store, rows)
        begun = time.perf_counter()
        held = read_window(self.store, rows, labels=self._form.labels)
        read = (time.perf_counter() - begun) / len(rows)
        some = steps[: max(1, min(len(steps), 2048 // self.batch_size))]
        make_batch(held, some[0].rows, some[0].positions, self._form.assembly)
        begun = time.perf_counter()
        for step in some:
            make_batch(held, step.rows, step.positions, self._form.assembly)
        made = (time.perf_counter() - begun) / (len(some) * self.batch_size)
        return {
            "plan": self._plan.name,
            "output": self._form.assembly.output,
            "draws": found.draws,
            "cells": found.cells,
            "chunks": found.chunks,
            "chunks_per_cell": found.chunks / max(found.cells, 1),
            "requests": found.requests,
            "bytes": found.bytes,
            "held_bytes": held.nbytes,
            "batches": len(self),
            "cells_per_second": max(self._threads, 1) / (read + made),
        }

    def __repr__(self) -> str:
        return (
            f"<CellLoader of {self.store.path}: {self._plan.name}, {self.table.n_cells:,} cells, "
            f"{len(self):,} batches of {self.batch_size}, rank {self._share.rank} of {self._share.world_size}>"
        )


def parse_memory(text: str | int) -> int:
    """Read a size in bytes: ``512MB``, ``1 GiB``, ``200000000``.

    Raises
    ------
    UsageError
        ``bad-size``.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", str(text).lower())
    size = 0 if match is None else int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " "))
    if size < 1 << 20:
        raise UsageError("bad-size", "not a size", expected="for example 512MB, at least 1MiB", found=repr(text))
    return size


def _default_plan(store: Store, *, weighted: bool) -> str:
    if not weighted:
        return "epoch"
    return "stratified" if all(p.order.kind == "stratified" for p in store.manifest.parts) else "independent"


def _shape(plan: str, *, window: int | None, lanes: int | None, block: int, world_size: int) -> dict[str, int]:
    """Window, lanes and block of a stream; independent draws know no blocks, so theirs are always the same."""
    if plan == "independent":
        return {"window": WINDOW if window is None else window}
    lanes = max(LANES, world_size) if lanes is None else lanes
    sound = all(type(x) is int and x > 0 for x in (lanes, block))
    unit = lanes * block if sound else 1
    return {"window": -(-WINDOW // unit) * unit if window is None else window, "lanes": lanes, "block": block}


def _ranks(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise UsageError("bad-rank", "rank and world_size belong together", found=f"{rank} and {world_size}")
    if rank is None or world_size is None:
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized()):
            return 0, 1
        return dist.get_rank(), dist.get_world_size()
    if world_size < 1 or not 0 <= rank < world_size:
        raise UsageError("bad-rank", "no such rank", expected=f"0 to {world_size - 1}", found=rank)
    return rank, world_size


def _threads(threads: int | None) -> int:
    if threads is None:
        return len(os.sched_getaffinity(0))
    if type(threads) is not int or threads < 0:
        raise UsageError("bad-threads", "not a number of threads", expected="0 or more", found=repr(threads))
    return threads


def _cells_held(store: Store, memory: int) -> int:
    """Cells of which two runs, one in use and one being read, fit in `memory`."""
    a_cell = PACKED_BYTES * store.manifest.n_entries / max(store.n_cells, 1) + RECORD_BYTES
    return max(1, int(memory / 2 / a_cell))

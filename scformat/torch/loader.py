"""Weighted batches of a store's cells, in an order that any number of ranks share and any run can resume."""

from __future__ import annotations

import json
import math
import os
import warnings
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from scformat.errors import ScformatError, UsageError, unknown_name
from scformat.loading.batches import Drawn, make_batches
from scformat.loading.explanation import advice, measure_rate
from scformat.loading.faults import MOST_TRIES, Damage, OnDamage, check_way, read_sound
from scformat.loading.form import choose_form, made_together
from scformat.loading.neighbours import choose_neighbours, make_cells
from scformat.loading.options import (
    cells_held,
    check_number,
    default_plan,
    number_of_threads,
    schedule_of,
    stream_shape,
)
from scformat.loading.prefetch import Loaded, deliver
from scformat.loading.schedule import MOST_AHEAD, Share, Step, runs
from scformat.loading.selection import choose_table
from scformat.loading.sets import choose_sets
from scformat.loading.window import Held, costs, in_order, read_window
from scformat.pool import Pool
from scformat.sampling.state import PLANS, State
from scformat.sizes import parse_size
from scformat.store import open_store
from scformat.torch.batch import let_torch_warn
from scformat.torch.device import Delivery, check_device, check_pinning
from scformat.torch.ranks import check_agreement, ranks_of
from scformat.torch.sets import make_controls, with_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    import torch
    import torch.distributed as dist
    from numpy.typing import NDArray

    from scformat.loading.batches import Arrays, Output
    from scformat.loading.encodings import Target, Vocabulary
    from scformat.loading.neighbours import Neighbours, Surrounded
    from scformat.loading.sets import Sets
    from scformat.loading.transforms import TokenSpec, Transform
    from scformat.loading.window import Work
    from scformat.sampling.plans import Plan
    from scformat.sampling.sets import Combinations
    from scformat.sampling.table import Table
    from scformat.store import Store
    from scformat.tables.view import SamplingTable
    from scformat.torch.batch import Batch

    Made: TypeAlias = tuple[Step, Arrays, Batch | None]


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
        Neighbouring cells that are taken together by the stratified and the epoch plan; 1: none. By default 64, for
        sets 16, so that one has cells from several places.
    seed
        0 .. 2^64 - 1.
    rank, world_size
        By default those of torch.distributed where it is initialised, else those that a launcher put in the environment
        (``RANK``, ``WORLD_SIZE``), else 0 and 1.
    steps_per_epoch
        Batches a pass; with the epoch plan the stream then goes on across the ends of epochs, without filling up.
    labels
        Names of labels; or a vocabulary for each, ``{"cell_type": ["B cell", "T cell"]}`` or ``{name: code}``, in
        whose codes the batches of several stores agree. Categories that it does not list are -1.
    output
        ``dense``, ``csr``, ``tokens``, or a :class:`TokenSpec`, which is ``tokens`` of that form.
    genes
        Ids in the order wanted, a file with one a line, or ``protein_coding``. Ids that the store does not have are
        zero, and flagged in ``loader.genes["found"]``.
    transforms
        Applied to the counts in this order; see :mod:`scformat.loading.transforms`.
    temperature
        Of the table: above 1 evens its strata out. Or a curriculum, ``[(0, 1.0), (10000, 3.0)]``: pairs of a step,
        counted from the begin of the stream, and the temperature from there on, or rather from where the next window
        begins: see :attr:`schedule`.
    threads
        That read and make batches at the same time; None: one a processor that this process may use, 0: none at all,
        1: one that makes them beside one that reads. Whoever asks for a batch that is not there works in the place of
        one of them.
    memory
        For cells that are held, for example ``512MB``. Batches that are ready come on top.
    pin_memory
        Put tensors in page-locked memory, where there is a CUDA device.
    device
        Where batches are delivered. Dense ones travel as CSR and are scattered there, and scaled too if
        :class:`NormalizeTotal` and :class:`Log1p` come last among the transforms.
    targets
        Labels with an ontology, for all terms that each cell is or lies below; or a name for each,
        ``{"lineage": Ancestors("cell_type", ["T cell", "B cell"])}``: see :attr:`Batch.targets`.
    tokens
        The form of ``tokens``.
    window, lanes
        See :class:`scformat.sampling.WindowShape`; by default 65,536 (or the next multiple of `lanes` x `block`), and 8
        lanes or as many as ranks.
    sets
        Batches of sets of cells that share a combination of labels, with controls if wanted: see :class:`Sets`.
        `batch_size` is then whole sets, every position a cell of one. ``stratified`` goes through the cells of each
        combination, ``independent`` draws every set anew, and ``epoch`` has every cell once, with the last set of each
        combination filled up, which ``batch.valid`` says.
    neighbours
        The name of a neighbour table, or :class:`Neighbours`: ``batch.neighbours`` has those of each cell, or
        ``batch.x`` is the sum of a cell and its neighbours. They are read with the cells, so fewer draws fit in
        `memory` at once.
    on_damage
        ``raise`` where a cell cannot be read, once all batches before it are delivered; or ``skip`` such cells: they
        keep their places in the stream, so that other ranks and resumed runs go on as ever, but have no counts and
        ``batch.valid`` is False there. One warning tells the first error, and :attr:`damaged` counts. A cell is skipped
        too if a neighbour that is read with it is damaged. What is not of cells, such as tables, raises always.

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
        block: int | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        steps_per_epoch: int | None = None,
        labels: Sequence[str] | Mapping[str, Vocabulary | None] = (),
        output: Output | TokenSpec = "dense",
        genes: Sequence[str] | str | os.PathLike[str] | None = None,
        organism: str | None = None,
        transforms: Iterable[Transform] = (),
        temperature: float | Sequence[tuple[int, float]] = 1.0,
        threads: int | None = None,
        memory: str | int = "512MB",
        pin_memory: bool = False,  # noqa: FBT001, FBT002 - as torch's own DataLoader has it
        device: torch.device | str | None = None,
        *,
        targets: Sequence[str] | Mapping[str, Target] = (),
        tokens: TokenSpec | None = None,
        window: int | None = None,
        lanes: int | None = None,
        sets: Sets | None = None,
        neighbours: Neighbours | str | None = None,
        on_damage: OnDamage = "raise",
    ) -> None:
        self.store = open_store(store) if isinstance(store, str | os.PathLike) else store
        self.batch_size = check_number("batch size", "bad-batch-size", batch_size)
        self._form = choose_form(
            self.store, labels=labels, targets=targets, output=output, tokens=tokens, genes=genes, organism=organism,
            transforms=transforms, seed=seed,
        )  # fmt: skip
        cells = {"split": split, "where": where, "organism": organism}
        self._sets = None if sets is None else choose_sets(self.store, sets, table, batch_size=batch_size, **cells)
        self.table = choose_table(self.store, table, **cells) if self._sets is None else self._sets.combinations.table
        chosen = plan or default_plan(self.store, weighted=table is not None or sets is not None)
        if chosen not in PLANS:
            raise unknown_name("plan", chosen, PLANS)
        if chosen == "epoch" and (table is not None if sets is not None else len(self.table) != 1):
            raise UsageError(
                "epoch-with-weights",
                "an epoch goes over every cell once, whatever the table",
                hint="use plan='stratified' or 'independent' with a table",
            )
        rank, world_size = ranks_of(rank, world_size)
        shape = stream_shape(
            chosen, window=window, lanes=lanes, block=block, world_size=world_size, size=sets.size if sets else None
        )
        pieces = schedule_of(temperature, stride=batch_size * world_size, window=shape["window"])
        form = None if self._sets is None else self._sets.combinations.form
        state = State(seed=seed, plan=chosen, table=self.table.digest, schedule=pieces, sets=form, **shape)
        self._stream, self._position = state, 0
        self._plan = state.resume(self._drawn)
        self._resumed = False
        if steps_per_epoch is not None:
            check_number("number of steps", "bad-steps", steps_per_epoch)
        elif chosen != "epoch":
            steps_per_epoch = math.ceil(self.table.n_cells / (batch_size * world_size))
        self._share = Share(batch=batch_size, rank=rank, world_size=world_size, steps=steps_per_epoch)
        self._threads = number_of_threads(threads)
        self._neighbours = choose_neighbours(self.store, neighbours, split=split)
        with_controls = form is not None and form.controls is not None
        each = (2 if with_controls else 1) * (1 if self._neighbours is None else self._neighbours.cells_a_draw)
        self._most = max(1, cells_held(self.store, parse_size(memory)) // each)
        self._together = made_together(self.store, self._form.assembly, batch_size)
        self._pool = Pool()
        self._delivery = Delivery.of(self._form, device=check_device(device), pinned=check_pinning(pin_memory))
        self._damage = Damage(self.store.path) if check_way(on_damage) else None

    @property
    def genes(self) -> Any:
        """The genes of a batch, a pandas DataFrame: see :attr:`Batch.genes`."""
        return self._form.columns.table

    @property
    def plan(self) -> Plan:
        """The plan that is followed."""
        return self._plan

    @property
    def combinations(self) -> Any:
        """What sets are of, a pandas DataFrame, one row each; None without `sets`.

        Columns: the labels, then ``cells``, ``mass``, ``probability`` (of the sets), ``weight`` (of a cell), and with
        controls the number of ``controls`` that match.
        """
        return None if self._sets is None else self._sets.frame

    @property
    def _drawn(self) -> Table | Combinations:
        return self.table if self._sets is None else self._sets.combinations

    @property
    def damaged(self) -> dict[int, int]:
        """Cells skipped with ``on_damage="skip"``: rows of the store, and how often each was in a batch of this loader.

        It begins empty, also where a stream is resumed.
        """
        return {} if self._damage is None else dict(self._damage.cells)

    @property
    def schedule(self) -> tuple[tuple[int, float], ...]:
        """First position in the stream, over all ranks, and temperature of each piece."""
        return self._stream.schedule

    @property
    def position(self) -> int:
        """Position in the stream, over all ranks, after the batch that was delivered last."""
        return self._position

    @property
    def _state(self) -> State:
        return self._stream.at(self._position)

    def __len__(self) -> int:
        """Batches of this rank in a pass from its begin."""
        return math.ceil(self._share.pass_length(self._plan) / self._share.stride)

    def __iter__(self) -> Iterator[Batch]:
        start = self._position
        begin, stop = self._share.pass_of(self._plan, start)
        if not self._resumed and start != begin:
            start, stop = stop, stop + self._share.pass_length(self._plan)
        self._resumed = False
        return self._iterate(start, stop)

    def _iterate(self, start: int, stop: int) -> Iterator[Batch]:
        delivered = self._deliver(runs(self._plan, self._share, start, stop, most=self._most))
        stream = self._stream
        try:
            for step, arrays, batch in delivered:
                self._count(arrays)
                self._stream, self._position = stream, step.end
                yield batch if batch is not None else self._finished(step, arrays)
                del arrays, batch  # whoever asks for the next one may have let it go
        finally:
            delivered.close()  # type: ignore[attr-defined]

    def _deliver(self, coming: Iterable[list[Step]]) -> Iterator[Made]:
        if self._form.assembly.output == "csr":
            let_torch_warn()
        return deliver((partial(self._load, steps) for steps in coming), threads=self._threads)

    def _load(self, steps: list[Step], run: Callable[[Work], None]) -> Loaded[Made]:
        rows = np.concatenate([step.all_rows for step in steps])
        held = None
        with suppress(ScformatError):  # it meets the batch that it concerns, after those before it
            held = self._read(rows, partial(read_window, run=run, pool=self._pool), tries=MOST_TRIES)
        drawn: Held | Surrounded | Drawn | None = held
        if isinstance(held, Held) and self._sets is None:
            drawn = Drawn.of(held, rows, np.concatenate([step.positions for step in steps]))
        together = range(0, len(steps), self._together)
        return Loaded(batches=[partial(self._make, steps, at, at + self._together, drawn) for at in together])

    def _read(
        self, rows: NDArray[np.int64], read: Callable[..., Held], *, tries: int | None = None
    ) -> Held | Surrounded:
        """Read cells, and their neighbours where these are asked for."""
        labels = self._form.read
        reader: Callable[..., Any] = partial(read, self.store, labels=labels)
        concerned: Callable[..., NDArray[np.int64]] = np.intersect1d
        if self._neighbours is not None:
            reader = partial(self._neighbours.read, read=reader, labels=labels)
            concerned = self._neighbours.concerned
        if self._damage is None:
            return cast("Held | Surrounded", reader(rows))
        return cast("Held | Surrounded", read_sound(rows, reader, self._damage, concerned=concerned, tries=tries))

    def _count(self, arrays: Arrays) -> None:
        """Count what was skipped."""
        if self._damage is not None:
            self._damage.count(arrays.rows[arrays.source < 0])
            if arrays.control is not None:
                self._damage.count(arrays.control.rows[arrays.control.source < 0])

    def _make(self, steps: list[Step], first: int, last: int, held: Held | Surrounded | Drawn | None) -> Iterator[Made]:
        """Make the batches of some steps of a run; what has no way to a device is made to the end, by this thread."""
        some = steps[first:last]
        made: Iterable[Arrays]
        if isinstance(held, Drawn):
            size = self._share.batch
            bounds = [k * size for k in range(first, first + len(some) + 1)]
            made = make_batches(held, bounds, self._delivery.assembly)
        else:
            made = (self._made(step, held) for step in some)
        for step, arrays in zip(some, made, strict=True):
            yield step, arrays, self._finished(step, arrays) if self._delivery.stays else None

    def _finished(self, step: Step, arrays: Arrays) -> Batch:
        batch = self._delivery(arrays, step.valid & (arrays.source >= 0))
        return batch if self._sets is None else with_sets(batch, step, arrays, self._sets, self._delivery)

    def _made(self, step: Step, held: Held | Surrounded | None) -> Arrays:
        """Make a batch; where its run could not be read whole, of what is read for it alone."""
        if held is None:
            held = self._read(step.all_rows, read_window)
        arrays = make_cells(held, step.rows, step.positions, self._delivery.assembly)
        return arrays if self._sets is None else make_controls(arrays, held, step, self._delivery.assembly)

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands after the batch that was delivered last, as plain JSON values."""
        return cast("dict[str, Any]", json.loads(self._state.to_json()))

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on where a stream stood, on any number of ranks; the pass that it was in is finished first.

        The stream (seed, plan, window, block, temperature) is that of the state, whatever this loader was given.

        Raises
        ------
        UsageError
            ``other-table``: of another table or other cells; both digests are named. ``other-sets``. ``bad-state``.
        """
        found = State.of(state)
        self._plan = found.resume(self._drawn)
        self._stream, self._position = found, found.position
        if self._share.steps is None and found.plan != "epoch":
            self._share = replace(self._share, steps=math.ceil(self.table.n_cells / self._share.stride))
        self._form = self._form.seeded(found.seed)
        self._pool = Pool()
        self._delivery = Delivery.of(self._form, device=self._delivery.device, pinned=self._delivery.pinned)
        self._resumed = True

    def check_ranks(self, group: dist.ProcessGroup | None = None) -> None:
        """Compare this loader with those of all other ranks; each of them has to call this at the same place.

        Ranks that opened different stores, or resumed different checkpoints, would train on other cells than anyone
        thinks, without any error. Call it before the first batch; without torch.distributed it does nothing.

        Parameters
        ----------
        group
            Of the ranks; None: all. What is compared travels as objects, with NCCL through the current device.

        Raises
        ------
        UsageError
            ``ranks-differ``, on every rank: another store, table, seed, plan, position or batch size, another number of
            batches a pass, or a rank of the stream that two of them take.
        """
        import torch.distributed as dist

        if not (dist.is_available() and dist.is_initialized()):
            return
        state = self.state_dict()
        mine = {
            "store": ", ".join(segment.manifest.sha256 for segment in self.store.segments),
            **{name: state[name] for name in state if name != "version"},
            "batch size": self._share.batch,
            "number of batches": len(self),
            "number of ranks": self._share.world_size,
        }
        check_agreement(mine, rank=self._share.rank, group=group)

    def explain(self) -> dict[str, Any]:
        """Say what a window costs and how fast batches come: the next two windows are read and made into batches.

        Returns
        -------
        dict
            ``plan``, ``output``, ``schedule``; ``draws``, ``cells`` (distinct), ``chunks``, ``chunks_per_cell``,
            ``requests``, ``bytes`` of a window as it is read; ``held_bytes`` in memory; ``batches`` a pass;
            ``cells_per_second`` of this rank, as measured.

        Warns
        -----
        UserWarning
            Many chunks are decoded for every cell; the text says what to do.
        """
        begin, stop = self._share.pass_of(self._plan, self._position)
        coming = list(islice(runs(self._plan, self._share, begin, stop, most=self._most, ahead=MOST_AHEAD), 2))
        list(self._load(coming[0][:1], in_order).batches[0]())  # compiles what is not compiled yet
        rate = measure_rate(self._deliver(coming))
        rows = np.concatenate([step.all_rows for step in coming[0]])
        found = costs(self.store, rows if self._neighbours is None else self._neighbours.all_rows(rows))
        cut = self._most < self._plan.shape.window // self._share.world_size
        hint = advice(self.store, self._plan, found, cut=cut)
        if hint is not None:
            warnings.warn(hint, UserWarning, stacklevel=2)
        return {
            "plan": self._plan.name,
            "output": self._form.assembly.output,
            "schedule": self.schedule,
            "draws": len(rows),
            "cells": found.cells,
            "chunks": found.chunks,
            "chunks_per_cell": found.chunks / max(found.cells, 1),
            "requests": found.requests,
            "bytes": found.bytes,
            "held_bytes": self._read(rows, read_window).nbytes,
            "batches": len(self),
            "cells_per_second": rate,
        }

    def __repr__(self) -> str:
        batches = f"{len(self):,} batches of {self.batch_size}, {self._form.assembly.output}"
        return (
            f"<CellLoader of {self.store.path}: {self._plan.name}, {self.table.n_cells:,} cells, {batches}, "
            f"rank {self._share.rank} of {self._share.world_size}>"
        )

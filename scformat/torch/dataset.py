"""Cells for torch's own DataLoader: a map-style data set, and a sampler of weighted rows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch.utils.data

from scformat.errors import UsageError
from scformat.loading.batches import make_batch
from scformat.loading.form import choose_form
from scformat.loading.schedule import LOOK_AHEAD
from scformat.loading.selection import choose_table
from scformat.loading.window import read_window
from scformat.sampling.state import State
from scformat.store import Store, open_store
from scformat.torch.batch import Batch, as_tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scformat.loading.batches import Output
    from scformat.loading.transforms import TokenSpec, Transform
    from scformat.sampling.table import Table
    from scformat.tables.view import SamplingTable


class CellDataset(torch.utils.data.Dataset[Batch]):
    """The cells of a store by row.

    ``dataset[row]`` is a batch of one cell. Under a DataLoader give it a `batch_sampler`, or a `batch_size`, and
    ``collate_fn=dataset.collate``: a batch's cells are then read together, by :meth:`__getitems__`. It can be used
    in forked and in spawned workers. What is random in transforms and tokens depends on the seed and the row.

    Parameters
    ----------
    store
        A store, or where one lies.
    labels, output, genes, organism, transforms
        As for :class:`CellLoader`.
    seed
        Of random transforms and tokens.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        labels: Sequence[str] = (),
        output: Output | TokenSpec = "dense",
        genes: Sequence[str] | str | os.PathLike[str] | None = None,
        organism: str | None = None,
        transforms: Iterable[Transform] = (),
        seed: int = 0,
    ) -> None:
        self.store = open_store(store) if isinstance(store, str | os.PathLike) else store
        self._form = choose_form(
            self.store, labels=labels, output=output, genes=genes, organism=organism, transforms=transforms, seed=seed
        )

    @property
    def genes(self) -> Any:
        """The genes of a batch, a pandas DataFrame: see :attr:`Batch.genes`."""
        return self._form.columns.table

    def __len__(self) -> int:
        return self.store.n_cells

    def __getitem__(self, row: int) -> Batch:
        return self._read([int(row)])

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Return the cells of some rows as one batch.

        Raises
        ------
        RowIndexError
            ``row-out-of-range``, an IndexError.
        """
        return self._read(rows)

    def _read(self, rows: Sequence[int]) -> Batch:
        wanted = self.store.check_rows(np.asarray(rows))
        form = self._form
        held = read_window(self.store, wanted, labels=form.labels)
        arrays = make_batch(held, wanted, wanted.astype(np.uint64), form.assembly)
        return as_tensors(arrays, np.ones(len(wanted), np.bool_), form.labels, form.columns)

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """Pass on what :meth:`__getitems__` made; the `collate_fn` for a DataLoader."""
        return batch


class WeightedSampler(torch.utils.data.Sampler[int]):
    """Rows drawn independently by a table, exactly by its weights, as many as one likes.

    Every pass goes on where the last one ended, so two differ. Draw t depends on the seed and t alone: with the
    ranks of a distributed run each takes every `world_size`-th draw of one stream.

    Parameters
    ----------
    table
        A table, a :class:`scformat.tables.SamplingTable`; with `store` also what :class:`CellLoader` takes.
    num_samples
        Draws of this rank a pass.
    seed
        0 .. 2^64 - 1.
    store
        For tables that are named.
    split, where
        Restrictions, with `store`.
    rank, world_size
        Of a distributed run.
    """

    def __init__(
        self,
        table: Table | SamplingTable | str | os.PathLike[str] | None,
        num_samples: int,
        seed: int = 0,
        *,
        store: Store | None = None,
        split: str | None = None,
        where: str | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if store is not None:
            self.table = choose_table(store, table, split=split, where=where)
        elif table is None or isinstance(table, str | os.PathLike) or (split or where) is not None:
            raise UsageError("no-store", "a named table, a split and an expression need a store", hint="give store=")
        else:
            self.table = cast("Table", getattr(table, "table", table))
        if type(num_samples) is not int or num_samples < 1:
            raise UsageError("bad-number-of-samples", "no such number of draws", expected="1 or more",
                             found=repr(num_samples))  # fmt: skip
        if world_size < 1 or not 0 <= rank < world_size:
            raise UsageError("bad-rank", "no such rank", expected=f"0 to {world_size - 1}", found=rank)
        self._n, self._rank, self._world_size = num_samples, rank, world_size
        self._state = State(seed=seed, plan="independent", table=self.table.digest)
        self._resumed = False

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        length = self._n * self._world_size
        start = self._state.position
        begin = start // length * length
        if not self._resumed and start != begin:
            start, begin = begin + length, begin + length
        self._resumed = False
        return self._draw(start, begin + length)

    def _draw(self, start: int, stop: int) -> Iterator[int]:
        ranks, state = self._world_size, self._state
        while start < stop:
            n = min(LOOK_AHEAD, -(-(stop - start) // ranks))
            rows = self.table.draw(state.seed, start + (self._rank - start) % ranks, n, step=ranks)
            for row in rows.tolist():
                start += ranks
                self._state = state.at(start)
                yield row

    def state_dict(self) -> dict[str, Any]:
        """Return where the stream stands after the row that was asked for last, as plain JSON values.

        A DataLoader with workers asks ahead of what it delivers.
        """
        import json

        return cast("dict[str, Any]", json.loads(self._state.to_json()))

    def load_state_dict(self, state: Mapping[str, Any] | str) -> None:
        """Go on where a stream stood; the pass that it was in is finished first.

        Raises
        ------
        UsageError
            ``other-table``: both digests are named. ``bad-state``.
        """
        found = State.of(state)
        found.resume(self.table)
        if found.plan != "independent":
            raise UsageError("bad-state", "not the state of independent draws", found=found.plan)
        self._state = found
        self._resumed = True

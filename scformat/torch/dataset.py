"""Cells for torch's own DataLoader: a map-style data set, and a sampler of weighted rows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch.utils.data

from scformat.errors import UsageError
from scformat.loading.batches import make_batch
from scformat.loading.form import choose_form
from scformat.loading.options import check_number
from scformat.loading.selection import choose_table
from scformat.loading.window import read_window
from scformat.sampling.state import State
from scformat.store import Store, open_store
from scformat.torch.batch import Batch, as_tensors
from scformat.torch.ranks import ranks_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from scformat.loading.batches import Output
    from scformat.loading.encodings import Target, Vocabulary
    from scformat.loading.transforms import TokenSpec, Transform
    from scformat.sampling.table import Table
    from scformat.tables.view import SamplingTable


_TOGETHER = 4_096
"""Draws that a sampler asks for at once."""


class CellDataset(torch.utils.data.Dataset[Batch]):
    """The cells of a store by row.

    ``dataset[row]`` is a batch of one cell. Under a DataLoader give it a `batch_sampler`, or a `batch_size`, and
    ``collate_fn=dataset.collate``: a batch's cells are then read together, by :meth:`__getitems__`. It can be used
    in forked and in spawned workers. What is random in transforms and tokens depends on the seed and the row.

    Parameters
    ----------
    store
        A store, or where one lies.
    labels, targets, output, genes, organism, transforms
        As for :class:`CellLoader`.
    seed
        Of random transforms and tokens.
    """

    def __init__(
        self,
        store: Store | str | os.PathLike[str],
        *,
        labels: Sequence[str] | Mapping[str, Vocabulary | None] = (),
        targets: Sequence[str] | Mapping[str, Target] = (),
        output: Output | TokenSpec = "dense",
        genes: Sequence[str] | str | os.PathLike[str] | None = None,
        organism: str | None = None,
        transforms: Iterable[Transform] = (),
        seed: int = 0,
    ) -> None:
        self.store = open_store(store) if isinstance(store, str | os.PathLike) else store
        self._form = choose_form(
            self.store, labels=labels, targets=targets, output=output, genes=genes, organism=organism,
            transforms=transforms, seed=seed,
        )  # fmt: skip

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
        held = read_window(self.store, wanted, labels=form.read)
        arrays = make_batch(held, wanted, wanted.astype(np.uint64), form.assembly)
        return as_tensors(arrays, np.ones(len(wanted), np.bool_), form)

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
        By default as of :class:`CellLoader`.
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
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if store is not None:
            self.table = choose_table(store, table, split=split, where=where)
        elif table is None or isinstance(table, str | os.PathLike) or (split or where) is not None:
            raise UsageError("no-store", "a named table, a split and an expression need a store", hint="give store=")
        else:
            self.table = cast("Table", getattr(table, "table", table))
        check_number("number of draws", "bad-number-of-samples", num_samples)
        self._n = num_samples
        self._rank, self._world_size = ranks_of(rank, world_size)
        self._state = State(seed=seed, plan="independent", table=self.table.digest)
        self._begun = 0
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
        self._begun = start
        return self._draw(start, begin + length)

    def _draw(self, start: int, stop: int) -> Iterator[int]:
        ranks, state = self._world_size, self._state
        while start < stop:
            n = min(_TOGETHER, -(-(stop - start) // ranks))
            rows = self.table.draw(state.seed, start + (self._rank - start) % ranks, n, step=ranks)
            for row in rows.tolist():
                start += ranks
                self._state = state.at(start)
                yield row

    def state_dict(self, *, delivered: int | None = None) -> dict[str, Any]:
        """Return where the stream stands, as plain JSON values.

        Parameters
        ----------
        delivered
            Rows that were used since this pass was begun or resumed; None: all that were asked for. A DataLoader with
            workers asks ahead of what it delivers, so that only who takes its batches knows this number.

        Raises
        ------
        UsageError
            ``bad-number-of-samples``: more than were asked for.
        """
        import json

        state, ranks = self._state, self._world_size
        if delivered is not None:
            asked = (state.position - self._begun) // ranks
            if type(delivered) is not int or not 0 <= delivered <= asked:
                raise UsageError("bad-number-of-samples", "not as many rows were asked for in this pass",
                                 expected=f"0 to {asked}", found=repr(delivered))  # fmt: skip
            state = state.at(self._begun + delivered * ranks)
        return cast("dict[str, Any]", json.loads(state.to_json()))

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
        self._begun = found.position
        self._resumed = True

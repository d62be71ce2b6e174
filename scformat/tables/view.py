"""A sampling table as users see it: what it was made of, its strata by name, and draws from it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.sampling import Table
    from scformat.tables.model import TableKey, WeightsFile


@dataclass(frozen=True, kw_only=True)
class TableInfo:
    """What a table was made of.

    Attributes
    ----------
    by
        Canonical text of labels and schemes.
    keys
        What its strata are told apart by.
    split, where
        Restrictions, None for none.
    temperature
        Already in the masses.
    files
        Files that custom schemes took their numbers from.
    n_missing
        Cells left out because they have no value of a label or figure.
    n_left_out
        Cells left out because the schemes have no place for their categories.
    n_rows
        Rows 0 .. n_rows - 1 of the store were looked at.
    """

    by: str
    keys: tuple[TableKey, ...]
    split: str | None = None
    where: str | None = None
    temperature: float = 1.0
    files: tuple[WeightsFile, ...] = ()
    n_missing: int
    n_left_out: int
    n_rows: int


class SamplingTable:
    """A distribution over the cells of a store.

    Attributes
    ----------
    name
        In the store, or the text it was resolved from.
    info
        What it was made of.
    """

    def __init__(
        self,
        name: str,
        info: TableInfo,
        *,
        codes: Callable[[], NDArray[np.int32]],
        table: Callable[[], Table],
        categories: Callable[[str], Sequence[str]],
    ) -> None:
        self.name = name
        self.info = info
        self._read_codes = codes
        self._make_table = table
        self._categories = categories

    def __repr__(self) -> str:
        return f"<table {self.name}: {self.info.by}>"

    @cached_property
    def table(self) -> Table:
        """The distribution itself, which plans are made of."""
        return self._make_table()

    @cached_property
    def codes(self) -> NDArray[np.int32]:
        """Codes of each stratum, -1 for cells without the label; int32, shape (n_keys, K)."""
        return self._read_codes()

    @cached_property
    def strata(self) -> pd.DataFrame:
        """One row a stratum.

        Columns: one for each label or figure, then ``cells``, ``mass`` (they sum to a power of 2), ``probability``
        and ``weight``, the probability of one cell relative to a draw of all drawn cells alike.
        """
        import pandas as pd

        named = [self._named(key, codes) for key, codes in zip(self.info.keys, self.codes, strict=True)]
        columns: dict[str, object] = {
            key.name: pd.Categorical.from_codes(codes, pd.Index(names))
            for key, (codes, names) in zip(self.info.keys, named, strict=True)
        }
        mean = self.probability / self.counts * self.table.n_cells
        figures = {"cells": self.counts, "mass": self.masses, "probability": self.probability, "weight": mean}
        taken = set(columns)
        return pd.DataFrame(columns | {name if name not in taken else f"{name}_": v for name, v in figures.items()})

    def _named(self, key: TableKey, codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], list[str]]:
        if key.levels is not None:
            return codes, [f"{a!r} to {b!r}" for a, b in itertools.pairwise(key.levels)]
        names = list(self._categories(key.name))
        if key.missing is None:
            return codes, names
        if key.missing in names:
            return np.where(codes < 0, np.int32(names.index(key.missing)), codes), names
        return np.where(codes < 0, np.int32(len(names)), codes), [*names, key.missing]

    @property
    def masses(self) -> NDArray[np.int64]:
        """Integer masses; int64, shape (K,)."""
        return self.table.masses

    @property
    def counts(self) -> NDArray[np.int64]:
        """Cells of each stratum; int64, shape (K,)."""
        return self.table.counts

    @property
    def probability(self) -> NDArray[np.float64]:
        """Probability of each stratum; float64, shape (K,)."""
        return self.table.probability

    @property
    def n_cells(self) -> int:
        """Cells that can be drawn."""
        return self.table.n_cells

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides which cell a draw gives."""
        return self.table.digest

    def draw(self, seed: int, start: int, n: int) -> NDArray[np.int64]:
        """Return the rows of draws `start` .. `start` + `n` - 1; int64, shape (n,).

        Draw t is a function of the seed and t alone, in every implementation.
        """
        return self.table.draw(seed, start, n)

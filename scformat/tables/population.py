"""The cells that a table is over, block by block: which of them count, and the stratum of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.expression import parse
from scformat.sampling.levels import Levels
from scformat.sampling.schemes import Axis, Proportional
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence, Set

    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.sampling.parsing import Item
    from scformat.store import Store

BLOCK = 1 << 18
"""Cells whose labels are in memory at once."""

FIGURES = ("total_counts", "n_genes")


@dataclass(frozen=True, kw_only=True, eq=False)
class Block:
    """Consecutive cells.

    Attributes
    ----------
    start
        First row.
    keys : int64 array, shape (n_keys, n)
        Codes of the cells; anything where not `drawn`.
    drawn : bool array, shape (n,)
        Cells that belong to a stratum.
    missing, left_out
        Cells of the population without a label or figure, and those that a scheme has no place for.
    """

    start: int
    keys: NDArray[np.int64]
    drawn: NDArray[np.bool_]
    missing: int
    left_out: int


class Population:
    """Cells of a store, restricted to a split and an expression.

    Parameters
    ----------
    store
        The store.
    items
        Labels and schemes.
    split, where
        Restrictions; None for none.
    among : bool array, shape (n_cells,), or None
        Cells that there are at all; None: those of the store.

    Raises
    ------
    UnknownNameError
        ``unknown-label``, ``unknown-split``, and those of the schemes.
    UsageError
        ``no-splits``, and those of the expression.
    """

    def __init__(
        self,
        store: Store,
        items: Sequence[Item],
        *,
        split: str | None = None,
        where: str | None = None,
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        self.store = store
        self._among = among
        self.items = tuple(items)
        self._split = None if split is None else _split_code(store, split)
        self._where = None if where is None else parse(where)
        self._axes = [None if _is_figure(item) else _axis(store, item) for item in self.items]
        self._placed = [
            None if axis is None else item.scheme.placed(axis)
            for item, axis in zip(self.items, self._axes, strict=True)
        ]
        for item in self.items:
            if _is_figure(item):
                _check_figure(store, item.name)

    @cached_property
    def axes(self) -> list[Axis | Levels]:
        """Categories of each label; levels of each figure, for which all cells are looked at once."""
        if all(axis is not None for axis in self._axes):
            return [axis for axis in self._axes if axis is not None]
        low, high = np.full(len(self.items), math.inf), np.zeros(len(self.items))
        for rows in self._rows():
            _, present, placed = self._labels(rows)
            figures = self._figures(rows, present)
            some = present & placed & self._restricted(rows)
            for i, values in figures.items():
                if some.any():
                    low[i], high[i] = min(low[i], values[some].min()), max(high[i], values[some].max())
        if not all(high[i] > 0 for i, axis in enumerate(self._axes) if axis is None):
            raise nothing_to_draw(self.store, self.items)
        return [Levels.over(low[i], high[i]) if axis is None else axis for i, axis in enumerate(self._axes)]

    @property
    def sizes(self) -> list[int]:
        """Codes that each key can have."""
        return [axis.n if isinstance(axis, Levels) else len(axis.categories) for axis in self.axes]

    def blocks(self, progress: Callable[[int], None] | None = None) -> Iterator[Block]:
        """Yield all cells in the order of their rows."""
        axes = self.axes
        for rows in self._rows():
            keys, present, placed = self._labels(rows)
            figures = self._figures(rows, present)
            restricted = self._restricted(rows)
            drawn = present & placed & restricted
            for i, values in figures.items():
                levels = axes[i]
                assert isinstance(levels, Levels)
                keys[i, drawn] = levels.of(values[drawn])
            yield Block(
                start=int(rows[0]),
                keys=keys,
                drawn=drawn,
                missing=int((restricted & ~present).sum()),
                left_out=int((restricted & present & ~placed).sum()),
            )
            if progress is not None:
                progress(int(rows[-1]) + 1)

    def _rows(self) -> Iterator[NDArray[np.int64]]:
        for part in self.store.manifest.parts:
            for start in range(part.start, part.start + part.n_cells, BLOCK):
                yield np.arange(start, min(start + BLOCK, part.start + part.n_cells), dtype=np.int64)

    def _restricted(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        out = np.ones(len(rows), np.bool_) if self._among is None else self._among[rows]
        if self._split is not None:
            out &= self.store.field("split", rows) == self._split
        if self._where is not None:
            out &= self._where.evaluate(_Columns(self.store, rows))
        return out

    def _labels(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Codes of the labels, which cells have all of them, and which all schemes have a place for."""
        keys = np.zeros((len(self.items), len(rows)), np.int64)
        present, placed = np.ones(len(rows), np.bool_), np.ones(len(rows), np.bool_)
        for i, (item, axis, places) in enumerate(zip(self.items, self._axes, self._placed, strict=True)):
            if axis is None or places is None:
                continue
            codes = self.store.labels[item.name].codes(rows).astype(np.int64)
            lacking = codes < 0
            if item.missing is not None:
                codes[lacking] = axis.categories.index(item.missing)
            else:
                present &= ~lacking
                codes[lacking] = 0
            keys[i] = codes
            placed &= places[codes]
        return keys, present, placed

    def _figures(self, rows: NDArray[np.int64], present: NDArray[np.bool_]) -> dict[int, NDArray[np.float64]]:
        """Figures as numbers; a cell where one is missing or not above zero is taken out of `present`."""
        out = {}
        for i, item in enumerate(self.items):
            if _is_figure(item):
                values = _numbers(_column(self.store, item.name, rows))
                present &= np.isfinite(values) & (values > 0)
                out[i] = values
        return out


def _is_figure(item: Item) -> bool:
    return isinstance(item.scheme, Proportional)


def _split_code(store: Store, name: str) -> int:
    splits = store.manifest.splits
    if splits is None:
        raise UsageError(
            "no-splits", "the store has no splits", where=store.path, hint="convert with --splits or --splits-file"
        )
    if name not in splits.names:
        raise unknown_name("split", name, splits.names, where=store.path)
    return splits.names.index(name)


def _axis(store: Store, item: Item) -> Axis:
    label = store.labels[item.name]
    categories = label.categories
    if item.missing is not None and item.missing not in categories:
        categories = (*categories, item.missing)
    ontology = label.ontology
    if ontology is None:
        return Axis(name=item.name, categories=categories)
    return Axis(name=item.name, categories=categories, graph=ontology.graph, terms=ontology.category_terms)


def _check_figure(store: Store, name: str) -> None:
    column = _column(store, name, np.empty(0, np.int64))
    if column.kind not in ("integer", "float"):
        raise UsageError(
            "not-a-figure",
            "proportional needs a number for each cell",
            expected=f"one of {', '.join(FIGURES)}, or a numeric obs column",
            found=f"{name!r}, {column.kind}",
            hint=f"write {name}:balanced for a label" if name in store.labels else None,
        )


def _column(store: Store, name: str, rows: NDArray[np.int64]) -> Column:
    """Return a column as expressions know it: a label or figure first, then an obs column."""
    known_elsewhere = name in store.labels or name in FIGURES
    if not known_elsewhere and any(c.name == name for c in store.manifest.obs):
        return store.obs_column(name, rows)
    return store.other_column(name, rows)


def _numbers(column: Column) -> NDArray[np.float64]:
    assert not isinstance(column.values, Strings)  # checked before any is read
    values = column.values.astype(np.float64)
    if column.mask is not None:
        values[column.mask] = np.nan
    return values


def nothing_to_draw(store: Store, items: Sequence[Item]) -> UsageError:
    """Build the error for a table that no cell is in."""
    return UsageError(
        "nothing-to-draw",
        "no cell has all labels and passes all restrictions",
        where=store.path,
        found=", ".join(map(str, items)),
    )


class _Columns:
    """Columns of some rows, for expressions."""

    def __init__(self, store: Store, rows: NDArray[np.int64]) -> None:
        self._store = store
        self._rows = rows

    def column(self, name: str) -> Column:
        return _column(self._store, name, self._rows)

    def under(self, name: str, term: str) -> Set[int]:
        ontology = self._store.labels[name].ontology if name in self._store.labels else None
        if ontology is None:
            raise UsageError("no-ontology", f"under {term!r} needs a label with an ontology", found=f"column {name!r}")
        return frozenset(ontology.categories_under(term).tolist())

"""Everything that a report says of a store, read in memory that does not grow with its cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.report.measured import Measured, measured_genes
from scformat.report.shares import BLOCK, LabelShares, label_shares
from scformat.report.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.store import Store
    from scformat.tables import SamplingTable

    Progress = Callable[[str, int, int], None]

SOURCES, LABELS, TABLES = 24, 16, 4
"""Sources, labels and tables that are plotted; the rest is counted, and named as far as it fits."""
COLUMNS = 280
FIGURES = ("n_genes", "total_counts")
EXACT_BITS, SOURCE_BITS = 16, 12
"""Precision of the quantiles of all cells, and of those of one source."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Figure:
    """A number that every cell has.

    Attributes
    ----------
    all
        Of all cells.
    by_source
        Of each source that is shown, and at the end of all others together.
    """

    all: Tally
    by_source: Tally


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What was found.

    Attributes
    ----------
    store
        The store.
    shown : int64 array, shape (n_shown,)
        Numbers of the sources that are plotted, the largest first.
    genes, depth
        Genes with a count, and counts, of the cells.
    labels
        Labels that are plotted.
    tables
        Tables that are.
    measured
        Genes by sources; its `n_genes` are those of all sources, its `shares` those of `shown`.
    """

    store: Store
    shown: NDArray[np.int64]
    genes: Figure
    depth: Figure
    labels: Sequence[LabelShares]
    tables: Sequence[SamplingTable]
    measured: Measured

    @cached_property
    def cells_by_source(self) -> list[int]:
        """Cells of each source."""
        return [record.n_cells for record in self.store.sources_view.records]


def collect(store: Store, tables: Sequence[SamplingTable], progress: Progress | None = None) -> Facts:
    """Read what a report needs.

    Parameters
    ----------
    tables
        The first :data:`TABLES` of them are plotted.
    progress
        Called with stage, done, total.
    """

    def stage(name: str) -> Callable[[int], None]:
        return lambda done: None if progress is None else progress(name, done, store.n_cells)

    records = store.sources_view.records
    shown = np.argsort([-r.n_cells for r in records], kind="stable")[:SOURCES].astype(np.int64)
    genes, depth = _figures(store, shown, stage("reading cells"))
    plotted = tables[:TABLES]
    return Facts(
        store=store,
        shown=shown,
        genes=genes,
        depth=depth,
        labels=label_shares(store, _plotted_labels(store, plotted), plotted, progress=stage("weighting cells")),
        tables=plotted,
        measured=measured_genes(store, shown, columns=COLUMNS),
    )


def _figures(store: Store, shown: NDArray[np.int64], advance: Callable[[int], None]) -> tuple[Figure, Figure]:
    place = np.full(len(store.sources_view.records), len(shown), np.int64)
    place[shown] = np.arange(len(shown))
    made = [Figure(all=Tally(bits=EXACT_BITS), by_source=Tally(len(shown) + 1, bits=SOURCE_BITS)) for _ in FIGURES]
    for start in range(0, store.n_cells, BLOCK):
        rows = np.arange(start, min(start + BLOCK, store.n_cells), dtype=np.int64)
        group = place[store.field("source", rows)]
        for name, figure in zip(FIGURES, made, strict=True):
            values = np.asarray(store.other_column(name, rows).values, np.int64)
            figure.all.add(values)
            figure.by_source.add(values, group)
        advance(int(rows[-1]) + 1)
    return made[0], made[1]


def _plotted_labels(store: Store, tables: Sequence[SamplingTable]) -> list[str]:
    """Labels of two or more categories, those that tables are made by before others."""
    weighted = [key.name for table in tables for key in table.info.keys if key.kind == "label"]
    names = [name for name in dict.fromkeys([*weighted, *store.labels]) if len(store.labels[name].categories) > 1]
    return names[:LABELS]

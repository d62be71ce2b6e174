"""Which genes the sources measured, drawn small: genes in the order of who measured them, many to a column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.store import Store

AT_ONCE = 64
"""Sources whose genes are in memory at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """Genes by sources.

    Attributes
    ----------
    n_genes : int64 array, shape (n_sources,)
        Genes that each source measured.
    by_all, by_one
        Genes that all sources measured, and that only one did.
    shares : float64 array, shape (n_shown, n_columns)
        For the sources that are shown, which share of the genes of each column they measured.
    """

    n_genes: NDArray[np.int64]
    by_all: int
    by_one: int
    shares: NDArray[np.float64]


def measured_genes(store: Store, shown: NDArray[np.int64], *, columns: int) -> Measured:
    """Count and arrange measured genes.

    Parameters
    ----------
    shown
        Numbers of the sources that are drawn.
    columns
        At most as many columns.
    """
    n_sources = len(store.sources_view.records)
    sources_of_gene = np.zeros(store.n_genes, np.int64)
    n_genes = np.zeros(n_sources, np.int64)
    for start in range(0, n_sources, AT_ONCE):
        block = store.sources_view.measured(np.arange(start, min(start + AT_ONCE, n_sources)))
        n_genes[start : start + len(block)] = block.sum(axis=1)
        sources_of_gene += block.sum(axis=0)
    mask = store.sources_view.measured(shown)
    # Genes of most sources first; equal numbers by which of the sources, the first one shown before the others.
    order = np.lexsort([*(~mask[::-1]), -sources_of_gene])
    bounds = np.linspace(0, store.n_genes, min(columns, store.n_genes) + 1).round().astype(np.int64)
    sums = np.concatenate([np.zeros((len(mask), 1)), np.cumsum(mask[:, order], axis=1)], axis=1)
    return Measured(
        n_genes=n_genes,
        by_all=int((sources_of_gene == n_sources).sum()),
        by_one=int((sources_of_gene == 1).sum()),
        shares=np.diff(sums[:, bounds], axis=1) / np.maximum(np.diff(bounds), 1),
    )

"""What an append needs to know of the store that it adds to."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.sources.memory import series_column
from scformat.store.obs import to_pandas, with_categories

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.genes import GeneTable
    from scformat.labels import Label
    from scformat.manifest import SourceColumn
    from scformat.store import Store


class Existing:
    """The cells of a store, source by source, read when asked for.

    Parameters
    ----------
    store
        The store.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.manifest = store.manifest

    @cached_property
    def every(self) -> NDArray[np.int64]:
        """All rows."""
        return np.arange(self.store.n_cells, dtype=np.int64)

    @cached_property
    def genes(self) -> GeneTable:
        """The gene index."""
        return self.store.gene_table

    @cached_property
    def labels(self) -> tuple[Label, ...]:
        """The labels, without codes."""
        return tuple(label.plan() for label in self.store.labels.values())

    @cached_property
    def rows_of(self) -> list[NDArray[np.int64]]:
        """Rows of each source, ascending."""
        source = self.store.field("source", self.every)
        order = np.argsort(source, kind="stable")
        cuts = np.searchsorted(source[order], np.arange(1, len(self.store.sources_view.records)))
        return np.split(order, cuts)

    def described(self, name: str) -> list[SourceColumn | None]:
        """How each source has an obs column, None where it has none."""
        return [next((c for c in record.columns if c.name == name), None) for record in self.store.sources_view.records]

    def columns(self, name: str) -> list[Column | None]:
        """Return an obs column of each source in the type that the source had."""
        out: list[Column | None] = []
        for rows, own in zip(self.rows_of, self.described(name), strict=True):
            if own is None:
                out.append(None)
            else:
                column = self.store.obs_column(name, rows)
                series = to_pandas(column, with_categories(own, column))
                out.append(series_column(series, where=f"{self.store.path}:obs/{name}"))
        return out

    def column(self, name: str) -> Column:
        """Return a column that splits go by, over all cells: a label before an obs column of its name."""
        if name not in self.store.labels and any(c.name == name for c in self.manifest.obs):
            return self.store.obs_column(name, self.every)
        return self.store.other_column(
            "source" if name == "study" and name not in self.store.labels else name, self.every
        )

    def in_row_order(self, column: Column) -> Column:
        """Bring a column that goes over the sources one after another into the order of the rows."""
        order = np.argsort(np.concatenate(self.rows_of), kind="stable")
        return column.take(order)

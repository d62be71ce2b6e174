"""Columns by name while a conversion is planned: labels, obs columns and per-cell figures, over all sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.conversion.merge import codes_and_texts, merge
from scformat.errors import UsageError, unknown_name
from scformat.ontology.find import node_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from numpy.typing import NDArray

    from scformat.labels import LabelPlan

FIGURES = ("total_counts", "n_genes")
"""Per-cell figures; an obs column of the same name is not what an expression means."""


class PlanLookup:
    """What an expression or a split can name.

    A label comes before the obs column of its name, because its texts are the same in every source; ``source``
    is a source's name, and so is ``study`` where no source says more.

    Parameters
    ----------
    names
        Names of the sources.
    n_cells
        Cells of each.
    obs
        Columns of each.
    figures
        Per-cell figures over all sources, by name.
    labels
        Labels planned over the same cells.
    """

    def __init__(
        self,
        *,
        names: Sequence[str],
        n_cells: Sequence[int],
        obs: Sequence[Mapping[str, Column]],
        figures: Mapping[str, NDArray[np.int64]],
        labels: LabelPlan,
    ) -> None:
        self._names, self._n_cells, self._obs, self._figures, self._labels = names, n_cells, obs, figures, labels

    def known(self) -> list[str]:
        """Every name."""
        obs = dict.fromkeys(name for columns in self._obs for name in columns)
        return list(dict.fromkeys([*self._figures, *self._labels.names, *obs, "source", "study"]))

    def column(self, name: str) -> Column:
        """Return a column over all cells."""
        if name in self._figures:
            return Column(kind="integer", dtype="int64", values=self._figures[name])
        if name in self._labels.names:
            label = self._labels[name]
            codes = np.concatenate(label.codes)
            return Column(kind="categorical", dtype="string", values=codes, categories=label.categories)
        columns = [obs.get(name) for obs in self._obs]
        if any(c is not None for c in columns):
            return merge(columns, self._n_cells)
        if name in ("source", "study"):
            return self.sources()
        raise unknown_name("column", name, self.known())

    def sources(self) -> Column:
        """Return the name of each cell's source."""
        codes = np.repeat(np.arange(len(self._names), dtype=np.int32), self._n_cells)
        return Column(kind="categorical", dtype="string", values=codes, categories=tuple(self._names))

    def groups(self, name: str) -> tuple[NDArray[np.int32], tuple[str, ...]]:
        """Return a column as codes and the texts they stand for."""
        return codes_and_texts(self.column(name))

    def under(self, name: str, term: str) -> Set[int]:
        """Categories of a label at or below a term of its ontology."""
        ontology = self._labels[name].ontology if name in self._labels.names else None
        if ontology is None:
            raise UsageError("no-ontology", f"under {term!r} needs a label with an ontology", found=f"column {name!r}")
        below = ontology.graph.descendants_of(node_of(ontology.graph, term))
        return frozenset(np.flatnonzero(np.isin(ontology.terms, below)).tolist())

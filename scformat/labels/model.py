"""What goes into a plan of labels, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.ontology import TermGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceObs:
    """The per-cell columns of one source, as far as labels need them.

    Attributes
    ----------
    name
        The source's name, for reports.
    n_cells
        Its cells.
    obs
        Its obs columns, each of `n_cells` values.
    constants
        Values that hold for the whole source, by label or column name (``study``, ``organism_ontology_term_id``).
        A cell's own value in obs goes before a constant. An empty text is no value.
    """

    name: str
    n_cells: int
    obs: Mapping[str, Column]
    constants: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, order=True)
class Finding:
    """One value of one source that a person should know about.

    Attributes
    ----------
    label
        The label concerned.
    source
        The source's name.
    value
        The text in the source.
    status
        ``synonym``, ``replaced``, ``deprecated``, ``unknown``, ``malformed`` (of
        :class:`scformat.ontology.Resolution`), ``name-differs`` (id and name columns disagree: the id counts),
        ``constant-unused`` (cells have values of their own that differ), ``mixed-types`` (not a categorical in this
        source).
    cells
        Cells that hold it.
    note
        What was made of it.
    """

    label: str
    source: str
    value: str
    status: str
    cells: int
    note: str


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelOntology:
    """The terms of a label.

    Attributes
    ----------
    graph
        The present terms with all their ancestors.
    terms : int32 array, shape (n_categories,)
        Node of `graph` for each category, -1 where the category is not a term.
    """

    graph: TermGraph
    terms: NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Label:
    """One label over all sources.

    Attributes
    ----------
    name
        Its name.
    categories
        The values that cells hold, sorted by their UTF-8 bytes.
    codes : int32 arrays, one per source, shape (n_cells,)
        Position in `categories`, -1 where a cell has no value. Read only; a source of one value, or of none, has
        an array without strides of its own.
    counts : int64 array, shape (n_categories,)
        Cells of each category, over all sources.
    ontology
        The terms, where at least one category is a term.
    columns
        Per source the obs columns and constants (``=NAME``) it was made from.
    findings
        What a person should know, sorted.
    """

    name: str
    categories: tuple[str, ...]
    codes: tuple[NDArray[np.int32], ...]
    counts: NDArray[np.int64]
    ontology: LabelOntology | None
    columns: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...] = ()

    @property
    def n_missing(self) -> int:
        """Cells without a value."""
        return sum(len(codes) for codes in self.codes) - int(self.counts.sum())

    @property
    def n_without_term(self) -> int:
        """Cells with a value that is not a term of the ontology (0 for a plain label)."""
        if self.ontology is None:
            return 0
        return int(self.counts[self.ontology.terms < 0].sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelPlan:
    """All labels of a set of sources, in their order.

    Attributes
    ----------
    labels
        The labels.
    skipped
        Columns that could have been labels, by name, and why they are not.
    notes
        Lines about the whole plan.
    """

    labels: tuple[Label, ...]
    skipped: Mapping[str, str]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Label:
        for label in self.labels:
            if label.name == name:
                return label
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(label.name for label in self.labels)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings of all labels, in the labels' order."""
        return tuple(finding for label in self.labels for finding in label.findings)

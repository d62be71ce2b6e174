"""The labels of a store, and the ontologies behind them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import InvalidDataError, unknown_name
from scformat.ontology.find import node_of
from scformat.ontology.graph import TermGraph, descendant_counts, why_no_graph
from scformat.store.codes import check_codes
from scformat.store.obs import read_categories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from scformat.labels import Label as Plan
    from scformat.labels import LabelOntology
    from scformat.manifest import Label as LabelManifest
    from scformat.manifest import Ontology as OntologyManifest
    from scformat.storage import Storage


class Ontology:
    """The terms of a label's categories, with all their ancestors.

    Attributes
    ----------
    releases
        Release of each vocabulary, by its prefix.
    """

    def __init__(
        self,
        releases: Mapping[str, str],
        *,
        graph: Callable[[], TermGraph],
        category_terms: Callable[[], NDArray[np.int32]],
        counts: Callable[[], NDArray[np.int64]],
    ) -> None:
        self.releases = dict(releases)
        self._read_graph = graph
        self._read_category_terms = category_terms
        self._read_counts = counts

    @classmethod
    def stored(cls, storage: Storage, manifest: OntologyManifest) -> Ontology:
        """Open what a store has; reads nothing."""
        read, m = storage, manifest
        return cls(
            m.releases,
            graph=lambda: _read_graph(read, m),
            category_terms=lambda: _read_terms(read, m),
            counts=lambda: read.read_array(m.counts),
        )

    @classmethod
    def planned(cls, plan: LabelOntology, counts: NDArray[np.int64]) -> Ontology:
        """Make one of a graph in memory; `counts` are the cells of each category."""
        own = np.zeros(len(plan.graph), np.int64)
        held = plan.terms >= 0
        np.add.at(own, plan.terms[held], counts[held])
        return cls(
            plan.graph.releases,
            graph=lambda: plan.graph,
            category_terms=lambda: plan.terms,
            counts=lambda: descendant_counts(plan.graph, own),
        )

    @cached_property
    def graph(self) -> TermGraph:
        """The graph as arrays."""
        return self._read_graph()

    @cached_property
    def category_terms(self) -> NDArray[np.int32]:
        """Node of each category's term, -1 where a category is no term; int32, shape (n_categories,)."""
        return self._read_category_terms()

    @cached_property
    def terms(self) -> pd.DataFrame:
        """One row a term, indexed by id: ``name``, and ``count``, the cells at or below it."""
        import pandas as pd

        graph, counts = self.graph, self._read_counts()
        return pd.DataFrame({"name": graph.names, "count": counts}, index=pd.Index(graph.ids, name="id"))

    @property
    def counts(self) -> pd.Series[int]:
        """Cells at or below each term, each cell counted once; indexed by term id."""
        return self.terms["count"]

    def parents(self, term: str) -> list[str]:
        """Ids of a term's parents; `term` is an id or a name."""
        node = node_of(self.graph, term)
        edges = self.graph.edges
        return [self.graph.ids[i] for i in edges[edges[:, 0] == node, 1].tolist()]

    def ancestors(self, term: str) -> list[str]:
        """Ids of all terms above a term, sorted, without itself."""
        node = node_of(self.graph, term)
        return [self.graph.ids[i] for i in self.graph.ancestors_of(node).tolist() if i != node]

    def descendants(self, term: str) -> list[str]:
        """Ids of all present terms, and terms between, below a term, sorted, without itself."""
        node = node_of(self.graph, term)
        return [self.graph.ids[i] for i in self.graph.descendants_of(node).tolist() if i != node]

    def categories_under(self, term: str) -> NDArray[np.int64]:
        """Categories whose term is `term` or lies below it; int64, ascending."""
        below = self.graph.descendants_of(node_of(self.graph, term))
        return np.flatnonzero(np.isin(self.category_terms, below))


def _read_graph(storage: Storage, manifest: OntologyManifest) -> TermGraph:
    graph = TermGraph(
        ids=tuple(storage.read_strings(manifest.id)),
        names=tuple(storage.read_strings(manifest.name)),
        releases=dict(manifest.releases),
        edges=np.ascontiguousarray(storage.read_array(manifest.edges).T),
        ancestor_offsets=storage.read_array(manifest.closure_offsets),
        ancestors=storage.read_array(manifest.closure),
    )
    fault = why_no_graph(graph)
    if fault is not None:
        where = storage.at(manifest.closure.path)
        raise InvalidDataError("bad-ontology", fault, where=where, hint="run scformat validate")
    return graph


def _read_terms(storage: Storage, manifest: OntologyManifest) -> NDArray[np.int32]:
    terms: NDArray[np.int32] = storage.read_array(manifest.category_terms)
    check_codes(terms, range(-1, manifest.n_terms), where=storage.at(manifest.category_terms.path))
    return terms


class Label:
    """One label: its categories, how many cells each has, and the code of any cell."""

    def __init__(
        self,
        name: str,
        *,
        n_categories: Callable[[], int],
        categories: Callable[[], tuple[str, ...]],
        counts: Callable[[], NDArray[np.int64]],
        ontology: Callable[[], Ontology | None],
        codes: Callable[[ArrayLike | None], NDArray[np.int32]],
    ) -> None:
        self.name = name
        self._n_categories = n_categories
        self._read_categories = categories
        self._read_counts = counts
        self._open_ontology = ontology
        self._read_codes = codes

    @classmethod
    def stored(
        cls, storage: Storage, manifest: LabelManifest, codes: Callable[[ArrayLike | None], NDArray[np.int32]]
    ) -> Label:
        """Open what a store has; reads nothing."""
        terms = manifest.ontology
        return cls(
            manifest.name,
            n_categories=lambda: manifest.categories.n,
            categories=lambda: read_categories(storage, manifest.categories),
            counts=lambda: storage.read_array(manifest.counts),
            ontology=lambda: None if terms is None else Ontology.stored(storage, terms),
            codes=codes,
        )

    @classmethod
    def planned(
        cls, name: str, plan: Callable[[], Plan], codes: Callable[[ArrayLike | None], NDArray[np.int32]]
    ) -> Label:
        """Make one of what a plan says, which is made when it is first needed."""

        def ontology() -> Ontology | None:
            made = plan()
            return None if made.ontology is None else Ontology.planned(made.ontology, made.counts)

        return cls(
            name,
            n_categories=lambda: len(plan().categories),
            categories=lambda: plan().categories,
            counts=lambda: plan().counts,
            ontology=ontology,
            codes=codes,
        )

    def plan(self) -> Plan:
        """Return what it is without the codes of cells, as plans of labels have it."""
        from scformat.labels import Label as Plan
        from scformat.labels import LabelOntology

        terms = None
        if self.ontology is not None:
            terms = LabelOntology(graph=self.ontology.graph, terms=self.ontology.category_terms)
        counts = np.asarray(self.counts, np.int64)
        return Plan(name=self.name, categories=self.categories, codes=(), counts=counts, ontology=terms, columns=())

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories; a code is a place in this sequence."""
        return self._read_categories()

    @cached_property
    def counts(self) -> pd.Series[int]:
        """Cells of each category; cells without the label are in none."""
        import pandas as pd

        return pd.Series(self._read_counts(), index=pd.Index(self.categories), name=self.name)

    def codes(self, rows: ArrayLike | None = None) -> NDArray[np.int32]:
        """Codes of some cells, of all where `rows` is None; -1 where a cell has no value. int32, shape (n,)."""
        return self._read_codes(rows)

    @cached_property
    def ontology(self) -> Ontology | None:
        """The ontology of the categories, None where the label has none."""
        return self._open_ontology()

    def __repr__(self) -> str:
        return f"<label {self.name}: {self._n_categories()} categories>"


class Labels(Mapping[str, Label]):
    """The labels of a store by name, in its order."""

    def __repr__(self) -> str:
        return f"<labels {', '.join(self._labels) or '(none)'}>"

    def __init__(self, labels: dict[str, Label]) -> None:
        self._labels = labels

    def __getitem__(self, name: str) -> Label:
        if name not in self._labels:
            raise unknown_name("label", name, self._labels)
        return self._labels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

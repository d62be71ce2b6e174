"""The labels of a store, and the ontologies behind them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import unknown_name
from scformat.ontology.find import node_of
from scformat.ontology.graph import TermGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from scformat.manifest import Label as LabelManifest
    from scformat.manifest import Ontology as OntologyManifest
    from scformat.storage import Storage


class Ontology:
    """The terms of a label's categories, with all their ancestors."""

    def __init__(self, storage: Storage, manifest: OntologyManifest) -> None:
        self._storage = storage
        self._manifest = manifest

    @property
    def releases(self) -> dict[str, str]:
        """Release of each vocabulary, by its prefix."""
        return dict(self._manifest.releases)

    @cached_property
    def graph(self) -> TermGraph:
        """The graph as arrays."""
        read, m = self._storage, self._manifest
        return TermGraph(
            ids=tuple(read.read_strings(m.id)),
            names=tuple(read.read_strings(m.name)),
            releases=self.releases,
            edges=np.ascontiguousarray(read.read_array(m.edges).T),
            ancestor_offsets=read.read_array(m.closure_offsets),
            ancestors=read.read_array(m.closure),
        )

    @cached_property
    def category_terms(self) -> NDArray[np.int32]:
        """Node of each category's term, -1 where a category is no term; int32, shape (n_categories,)."""
        return self._storage.read_array(self._manifest.category_terms)

    @cached_property
    def terms(self) -> pd.DataFrame:
        """One row a term, indexed by id: ``name``, and ``count``, the cells at or below it."""
        import pandas as pd

        graph = self.graph
        counts = self._storage.read_array(self._manifest.counts)
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


class Label:
    """One label: its categories, how many cells each has, and the code of any cell."""

    def __init__(
        self,
        storage: Storage,
        manifest: LabelManifest,
        read_codes: Callable[[ArrayLike | None], NDArray[np.int32]],
    ) -> None:
        self._storage = storage
        self._manifest = manifest
        self._read_codes = read_codes
        self.name = manifest.name

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """The categories; a code is a place in this sequence."""
        return tuple(self._storage.read_strings(self._manifest.categories))

    @cached_property
    def counts(self) -> pd.Series[int]:
        """Cells of each category; cells without the label are in none."""
        import pandas as pd

        return pd.Series(
            self._storage.read_array(self._manifest.counts), index=pd.Index(self.categories), name=self.name
        )

    def codes(self, rows: ArrayLike | None = None) -> NDArray[np.int32]:
        """Codes of some cells, of all where `rows` is None; -1 where a cell has no value. int32, shape (n,)."""
        return self._read_codes(rows)

    @cached_property
    def ontology(self) -> Ontology | None:
        """The ontology of the categories, None where the label has none."""
        found = self._manifest.ontology
        return None if found is None else Ontology(self._storage, found)

    def __repr__(self) -> str:
        return f"<label {self.name}: {self._manifest.counts.shape[0]} categories>"


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

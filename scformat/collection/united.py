"""The view of several stores as one: parts are read as in their own stores, and get the numbers of the whole."""

from __future__ import annotations

from collections import Counter
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from scformat.collection.neighbours import UnitedNeighbourTables
from scformat.collection.obs import ObsColumns
from scformat.collection.plan import (
    UnitedGenes,
    UnitedLabel,
    n_sources,
    place_parts,
    unite_genes,
    unite_labels,
    unite_manifests,
    unite_splits,
)
from scformat.collection.tables import SharedTables, shared_tables
from scformat.errors import UsageError
from scformat.store import Store
from scformat.store.labels import Label, Labels
from scformat.store.segments import Segment
from scformat.store.sources import Sources

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.genes import GeneTable
    from scformat.manifest import SourceRecord
    from scformat.storage import Storage


class Collection(Store):
    """Several stores that are read as one; made by :func:`scformat.open`.

    The rows of a store follow those of the one before it, and so do its sources. Genes are the same where taxon and id
    are, categories of a label where they have one term or, without terms, one text, splits where they have one name:
    those of the first store keep their numbers, and what a further one adds comes after them. So numbers stay as they
    are while stores are added at the end of the list. A gene that a store does not have was not measured in its cells;
    a label, obs column or split that it does not have is missing in them.

    Attributes
    ----------
    manifest
        What holds of all of them; it names no file but those of the parts.
    stores : tuple of Store
        Them, in order.
    same_splits
        Their splits were made by one rule: a group that two of them have is in one split.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        self.stores = tuple(stores)
        manifests = [store.manifest for store in self.stores]
        indexes: dict[str, Store] = {}
        for store in self.stores:
            indexes.setdefault(store.manifest.genes.index_digest, store)
        self._genes: UnitedGenes = unite_genes(
            [m.genes.index_digest for m in manifests], {digest: store.gene_table for digest, store in indexes.items()}
        )
        splits = unite_splits([m.splits for m in manifests])
        self.same_splits = splits.same_rule
        placed = place_parts(manifests)
        self.manifest = unite_manifests(
            manifests, placed, n_genes=len(self._genes.table), splits=splits.splits, tables=shared_tables(self.stores)
        )
        segments: list[Segment] = []
        first_source = 0
        for k, (store, parts) in enumerate(zip(self.stores, placed, strict=True)):
            segments += (
                Segment(
                    storage=store._storage,
                    manifest=store.manifest,
                    part=part,
                    first_source=first_source,
                    first_gene=self._genes.first[k],
                    genes=self._genes.genes[k],
                    splits=splits.codes[k],
                    recode=partial(self._recode, k),
                )
                for part in parts
            )
            first_source += n_sources(store.manifest)
        self.segments = tuple(segments)
        self._labels: dict[str, UnitedLabel] = {}
        self._obs = ObsColumns(self)

    def __getstate__(self) -> dict[str, Any]:
        return {"stores": self.stores}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["stores"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<{len(self.stores)} scformat stores: {self.n_cells:,} cells x {self.n_genes:,} genes>"

    @property
    def path(self) -> str:
        """Where the stores lie."""
        return " + ".join(store.path for store in self.stores)

    @property
    def _storage(self) -> Storage:  # type: ignore[override]
        return self.alone()._storage

    def alone(self) -> Store:
        """Refuse: they are several."""
        raise UsageError(
            "several-stores", "this is done with one store", where=self.path, found=f"{len(self.stores)} stores as one",
            hint="take one of .stores, or append the sources of the others to it",
        )  # fmt: skip

    def size_on_disk(self) -> int | None:
        """Bytes of all files of the stores; None where one of them is a bucket or an HTTP address."""
        sizes = [store.size_on_disk() for store in self.stores]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None

    @cached_property
    def n_genes(self) -> int:
        """Number of genes of all stores together."""
        return len(self._genes.table)

    @cached_property
    def gene_table(self) -> GeneTable:
        """The genes of all stores as arrays."""
        return self._genes.table

    @property
    def packed_genes(self) -> NDArray[np.int32] | None:
        """See :attr:`scformat.store.Store.packed_genes`; None where all stores have the same genes."""
        return self._genes.packed

    @cached_property
    def sources_view(self) -> Sources:
        """Records, measured genes, statistics and columns of the sources."""
        return _UnitedSources(self.segments, self.n_genes, where=self.path)

    @cached_property
    def labels(self) -> Labels:
        """The labels by name."""
        names = [label.name for label in self.manifest.labels]
        return Labels({n: Label.planned(n, partial(self._plan, n), self._codes_reader(n)) for n in names})

    @cached_property
    def tables(self) -> SharedTables:
        """The sampling tables by name: those that all stores have, made anew over all cells, and ``LABEL:SCHEME``."""
        return SharedTables(self)

    @cached_property
    def neighbours(self) -> UnitedNeighbourTables:
        """The neighbour tables that all stores have: the neighbours of a cell are of its own store."""
        return UnitedNeighbourTables(self)

    def obs_column(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an obs column of some rows, in the kind that holds what every store has there."""
        return self._obs.read(name, self.by_segment(rows), rows)

    def _united(self, name: str) -> UnitedLabel:
        if name not in self._labels:
            own = [store.labels[name].plan() if name in store.labels else None for store in self.stores]
            self._labels[name] = unite_labels(own)
        return self._labels[name]

    def _plan(self, name: str) -> Any:
        return self._united(name).label

    def _recode(self, k: int, name: str) -> NDArray[np.int32] | None:
        return self._united(name).codes[k]


class _UnitedSources(Sources):
    """Sources whose names tell the store, where several stores have one of a name."""

    @cached_property
    def records(self) -> tuple[SourceRecord, ...]:
        records = super().records
        held = Counter(record.name for record in records)
        names = [record.name for record in records]
        for i, segment in self._by_number():
            if held[names[i]] > 1:
                names[i] = f"{_stem(segment.storage.url)}/{names[i]}"
        seen: Counter[str] = Counter()
        for i, name in enumerate(names):
            seen[name] += 1
            names[i] = name if seen[name] == 1 else f"{name} {seen[name]}"
        return tuple(r.model_copy(update={"name": name}) for r, name in zip(records, names, strict=True))

    def _by_number(self) -> list[tuple[int, Segment]]:
        described = [(segment.part.sources, segment) for segment in self._segments]
        return [(i, segment) for s, segment in described for i in range(s.first, s.first + s.n)]


def _stem(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".cells")

"""A store as plain Python values: what a case is made from, and what its expected content is read off."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

Value = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Gene:
    """A gene of the index."""

    id: str
    symbol: str = ""
    biotype: str = ""
    taxon: int = 0
    resolved: bool = False


@dataclass(frozen=True, kw_only=True)
class VarColumn:
    """A column of a source: its name there, what it is, and its number in the index (None: left out)."""

    name: str
    id: str
    taxon: int = 0
    gene: int | None = None
    resolved: bool = False


@dataclass(kw_only=True)
class Source:
    """A source. `record` has members of its record beside those that follow from the cells."""

    name: str
    var: list[VarColumn]
    n_rows: int
    columns: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    content: str | None = None
    """Stands for the bytes of the source; None: its name does."""

    @property
    def sha256(self) -> str:
        """Digest of the source."""
        return hashlib.sha256((self.name if self.content is None else self.content).encode()).hexdigest()


@dataclass(kw_only=True)
class Cell:
    """A cell: `counts` by column of its source, `source` its number in the store."""

    source: int
    source_row: int
    counts: dict[int, int] = field(default_factory=dict)
    barcode: str = ""
    labels: dict[str, str | None] = field(default_factory=dict)
    split: str | None = None
    obs: dict[str, Value] = field(default_factory=dict)
    new_shard: bool = False
    """Starts a shard although it would fit the one before."""


@dataclass(kw_only=True)
class Graph:
    """Terms of a label: (id, name) sorted by id, edges (child, parent) by id, the term of each category."""

    terms: list[tuple[str, str]]
    edges: list[tuple[str, str]]
    of_category: dict[str, str]
    releases: dict[str, str]

    def reached(self, term: str) -> set[str]:
        """Terms at or above a term."""
        found, todo = {term}, [term]
        while todo:
            at = todo.pop()
            above = {parent for child, parent in self.edges if child == at} - found
            found |= above
            todo += above
        return found


@dataclass(kw_only=True)
class Label:
    """A label."""

    name: str
    categories: list[str]
    graph: Graph | None = None


@dataclass(kw_only=True)
class Column:
    """An obs column over all parts. `dtype` is that of its values in the store, `masked` that it has a mask."""

    name: str
    kind: str
    dtype: str
    categories: list[str] | None = None
    label: str | None = None
    stored: str | None = None
    masked: bool = False


@dataclass(kw_only=True)
class Splits:
    """Splits of the store."""

    names: list[str]
    shares: list[float] | None = None
    by: list[str] = field(default_factory=list)
    seed: int = 0
    duplicates_left_out: int = 0


@dataclass(kw_only=True)
class Stratum:
    """Cells that are alike: their codes of the table's keys, their mass, their rows."""

    codes: tuple[int, ...]
    rows: list[int]
    weight: float


@dataclass(kw_only=True)
class Table:
    """A sampling table."""

    name: str
    by: str
    keys: list[dict[str, Any]]
    strata: list[Stratum]
    as_rows: bool = False
    split: str | None = None
    where: str | None = None
    n_missing: int = 0
    n_left_out: int = 0
    n_rows: int | None = None
    masses: list[int] | None = None
    """In place of those that the weights give."""


@dataclass(kw_only=True)
class Neighbours:
    """A neighbour table: for each row its neighbours, nearest first, with their weights where `weight` names them."""

    name: str
    k: int
    lists: list[list[tuple[int, float]]]
    weight: str | None = None
    source: str = "arrays"


@dataclass(frozen=True, kw_only=True)
class Extents:
    """Chunk and shard of arrays, in elements of their last axis; tables without one are one chunk."""

    entries: tuple[int, int] = (16, 256)
    records: tuple[int, int] = (8, 32)
    cells: tuple[int, int] = (8, 64)
    bytes: tuple[int, int] = (64, 1024)
    table: tuple[int, int] | None = None


@dataclass(kw_only=True)
class Part:
    """A run of cells and their sources. `in_record` names the labels that the record holds, in this order."""

    cells: list[Cell]
    sources: list[Source]
    order: str = "source"
    order_by: list[str] = field(default_factory=list)
    in_record: list[str] | None = None
    labels: list[str] | None = None
    """Labels that the part has codes for; None: all."""
    obs: list[str] | None = None
    split_in_record: bool = True
    n_genes: int | None = None


@dataclass(kw_only=True)
class Store:
    """A store."""

    genes: list[Gene]
    parts: list[Part]
    labels: list[Label] = field(default_factory=list)
    obs: list[Column] = field(default_factory=list)
    splits: Splits | None = None
    tables: list[Table] = field(default_factory=list)
    neighbours: list[Neighbours] = field(default_factory=list)
    extents: Extents = field(default_factory=Extents)
    mode: str = "union"
    seed: int = 0
    organisms: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    """Name and reference of each taxon."""
    optional_features: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    """Members of the manifest beyond those of this version."""
    findings: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    @property
    def cells(self) -> list[Cell]:
        """All cells by row."""
        return [cell for part in self.parts for cell in part.cells]

    @property
    def sources(self) -> list[Source]:
        """All sources by number."""
        return [source for part in self.parts for source in part.sources]

    def label(self, name: str) -> Label:
        """The label of a name."""
        return next(label for label in self.labels if label.name == name)

    def values(self, cell: Cell) -> dict[int, int]:
        """Counts of a cell by gene, those above 0, ascending."""
        out: dict[int, int] = {}
        var = self.sources[cell.source].var
        for column, count in cell.counts.items():
            gene = var[column].gene
            if gene is not None and count:
                out[gene] = out.get(gene, 0) + count
        return dict(sorted(out.items()))

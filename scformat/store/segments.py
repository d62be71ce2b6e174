"""The parts that cells are read from: where each lies, and how its numbers become those of what was opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import InvalidDataError
from scformat.layout import MISSING, RECORD_FIELDS
from scformat.store.codes import check_codes, label_codes, source_numbers, split_codes
from scformat.store.fetch import Decoded, read_at, read_rows
from scformat.store.obs import read_column
from scformat.strings import offsets_fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.manifest import Manifest, ObsColumn, Part, Place
    from scformat.storage import Storage

SOURCE = RECORD_FIELDS.index("source")


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """A part of a store, or of one of several stores that are read as one.

    Rows are numbered from the part's first. What is read is numbered as in the whole: for a store by itself, as it is
    stored.

    Attributes
    ----------
    storage
        Of its store.
    manifest
        Of its store.
    part
        Where it lies in the whole: its rows and sources are numbered there.
    first_source
        The first source of its store, in the whole.
    first_gene
        Of its store's genes among those that rows are packed with; see :attr:`scformat.store.Store.packed_genes`.
    genes : int32 array, shape (n_genes of its store,), or None
        Gene of the whole for each of its store's; None: the same.
    splits : int32 array, shape (n_splits of its store + 1,), or None
        Split of the whole for each of its store's, and -1; None: the same.
    recode
        Gives the code of the whole for each code of a label, and -1 at the end; None: the same.
    """

    storage: Storage
    manifest: Manifest
    part: Part
    first_source: int = 0
    first_gene: int = 0
    genes: NDArray[np.int32] | None = None
    splits: NDArray[np.int32] | None = None
    recode: Callable[[str], NDArray[np.int32] | None] | None = None

    @property
    def n_genes(self) -> int:
        """Genes of its store."""
        return self.manifest.genes.n

    @cached_property
    def shard_rows(self) -> NDArray[np.int64]:
        """First row of each shard, and the number of cells at the end."""
        rows = self.storage.read_array(self.part.shard_rows)
        if not offsets_fit(rows, self.part.n_cells):
            raise InvalidDataError(
                "bad-shard-rows", "shards do not cover the cells", where=self.storage.at(self.part.shard_rows.path)
            )
        return rows

    def read(self, rows: NDArray[np.int64]) -> Decoded:
        """Read the counts of some rows."""
        found = read_rows(self.storage, self.part, self.shard_rows, rows, self.n_genes)
        return found if self.genes is None else renumbered(found, self.genes)

    def field(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Read a field of the records of some rows, ``split`` and those of labels aside."""
        values: NDArray[np.int32] = self._record(rows)[self.part.fields.index(name)]
        return self.sources(values) if name == "source" else values

    def sources(self, stored: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the sources of the whole for those of records; refuse what is none of the part's."""
        found = stored + np.int32(self.first_source) if self.first_source else stored
        check_codes(found, source_numbers(self.part), where=self.storage.at(self.part.index.path))
        return found

    def split(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Read the splits of some rows, -1 where a cell is in none."""
        place = self.part.split
        codes = self._placed(place, rows)
        if place is not None:
            check_codes(codes, split_codes(self.manifest), where=f"{self.storage.url}, splits")
        return codes if self.splits is None else self.splits[codes]

    def label(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Read the codes of a label of some rows, -1 where a cell has no value."""
        return self.translated(name, self.own_codes(name, rows))

    def own_codes(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Read the codes of a label as its store has them."""
        return self.checked(name, self._placed(self.part.labels.get(name), rows))

    def codes_in(self, name: str, records: NDArray[np.int32], rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return what :meth:`label` does, given the records of the rows, int32 (n_fields, n)."""
        place = self.part.labels.get(name)
        if place is None or place.field is None:
            return self.label(name, rows)
        return self.translated(name, self.checked(name, records[place.field]))

    def checked(self, name: str, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return codes of a label; refuse what is none of its store's."""
        if name in self.part.labels:
            check_codes(codes, label_codes(self.manifest, name), where=f"{self.storage.url}, label {name!r}")
        return codes

    def translated(self, name: str, codes: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the codes of the whole for those of its store, all of them checked."""
        table = None if self.recode is None or name not in self.part.labels else self.recode(name)
        return codes if table is None else table[codes]

    def obs_column(self, described: ObsColumn, rows: NDArray[np.int64]) -> Column:
        """Read an obs column of some rows that is no label's, as its store describes it; without its categories."""
        part = self.part
        return read_column(self.storage, described, part.obs.get(described.name), rows, part.n_cells, first=part.start)

    def _placed(self, place: Place | None, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        if place is None:
            return np.full(len(rows), MISSING, np.int32)
        if place.array is not None:
            codes: NDArray[np.int32] = read_at(self.storage, place.array, rows, cells=self.part.start + rows)
            return codes
        values: NDArray[np.int32] = self._record(rows)[place.field]
        return values

    def _record(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        values: NDArray[np.int32] = read_at(self.storage, self.part.index, rows, cells=self.part.start + rows)
        return values


def renumbered(counts: Decoded, genes: NDArray[np.int32]) -> Decoded:
    """Give the genes of rows other numbers, ascending within each row again."""
    indices = genes[counts.indices]
    if not (np.diff(genes) < 0).any():
        return Decoded(offsets=counts.offsets, indices=indices, data=counts.data)
    rows = np.repeat(np.arange(len(counts.offsets) - 1), np.diff(counts.offsets))
    order = np.lexsort((indices, rows))
    return Decoded(offsets=counts.offsets, indices=indices[order], data=counts.data[order])

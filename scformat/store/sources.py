"""The sources of a store: their records, what they measured, their own genes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from scformat.errors import InvalidDataError, unknown_name
from scformat.manifest import SourceRecord

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from scformat.manifest import Manifest, PartSources
    from scformat.storage import Storage
    from scformat.strings import Strings

STATISTICS = ("n_cells", "sum", "sum_of_squares", "median")
"""Rows of the statistics array; see the chapter on sources of the specification."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceGenes:
    """The columns of one source's matrix.

    Attributes
    ----------
    names
        Its own var names, length m.
    gene : int32 array, shape (m,)
        Place of each column in the gene index, -1 left out.
    """

    names: Strings
    gene: NDArray[np.int32]


class Sources:
    """What a store keeps of its sources, read when asked for."""

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self._storage = storage
        self._parts = [part.sources for part in manifest.parts]
        self._n_genes = manifest.genes.n

    @cached_property
    def records(self) -> tuple[SourceRecord, ...]:
        """One record a source, in the order of their numbers."""
        records = []
        for part in self._parts:
            for text in self._storage.read_strings(part.records):
                try:
                    records.append(SourceRecord.model_validate_json(text))
                except ValidationError as error:
                    first = error.errors(include_url=False)[0]
                    raise InvalidDataError(
                        "bad-source-record",
                        f"{'/'.join(map(str, first['loc']))}: {first['msg']}",
                        where=self._storage.at(part.records.bytes.path),
                    ) from None
        return tuple(records)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The records as a table, one row a source, indexed by name."""
        import pandas as pd

        rows = [r.model_dump(exclude={"columns", "not_kept", "metadata"}) | r.metadata for r in self.records]
        return pd.DataFrame(rows).set_index("name")

    def number(self, name: str) -> int:
        """Return the number of the source of a name.

        Raises
        ------
        UnknownNameError
            ``unknown-source``.
        """
        names = [r.name for r in self.records]
        if name not in names:
            raise unknown_name("source", name, names, where=self._storage.url)
        return names.index(name)

    def measured(self, numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which genes some sources measured; bool, shape (len(numbers), n_genes)."""
        out = np.zeros((len(numbers), self._n_genes), np.bool_)
        for i, number in enumerate(numbers.tolist()):
            part, local = self._part_of(number)
            out[i, : part.n_genes] = self._storage.read_array(part.measured, np.s_[local]) != 0
        return out

    def statistics(self, source: str | int) -> pd.DataFrame:
        """Return cells, sum, sum of squares and lower median of the non-zero counts of each gene of a source.

        `source` is a name or a number.

        One row a gene of the index; a gene that the source did not measure has zeros. -3 stands for a sum of
        squares beyond 2^53.
        """
        import pandas as pd

        part, local = self._part_of(self.number(source) if isinstance(source, str) else source)
        values = np.zeros((len(STATISTICS), self._n_genes), np.int64)
        values[:, : part.n_genes] = self._storage.read_array(part.stats, np.s_[:, local])
        return pd.DataFrame(values.T, columns=list(STATISTICS))

    def genes(self, number: int) -> SourceGenes:
        """Return the columns of a source."""
        part, local = self._part_of(number)
        offsets = self._storage.read_array(part.var_offsets)
        some = slice(int(offsets[local]), int(offsets[local + 1]))
        names = self._storage.read_strings(part.var_names).take(np.arange(some.start, some.stop))
        return SourceGenes(names=names, gene=self._storage.read_array(part.var_gene, np.s_[some]))

    def _part_of(self, number: int) -> tuple[PartSources, int]:
        for part in self._parts:
            if part.first <= number < part.first + part.n:
                return part, number - part.first
        raise InvalidDataError("bad-source", "a cell of a source that is not there", found=number)

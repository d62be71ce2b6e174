"""The sources of a store: their records, what they measured, their own genes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from scformat.errors import InvalidDataError, unknown_name
from scformat.manifest import SourceRecord, first_error
from scformat.store.codes import check_codes
from scformat.strings import offsets_fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.store.segments import Segment
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

    def __init__(self, segments: Sequence[Segment], n_genes: int, *, where: str) -> None:
        self._segments = segments
        self._n_genes = n_genes
        self._where = where

    @cached_property
    def records(self) -> tuple[SourceRecord, ...]:
        """One record a source, in the order of their numbers."""
        records = []
        for segment in self._segments:
            described = segment.part.sources.records
            for text in segment.storage.read_strings(described):
                try:
                    records.append(SourceRecord.model_validate_json(text))
                except ValidationError as error:
                    where = segment.storage.at(described.bytes.path)
                    raise InvalidDataError("bad-source-record", ": ".join(first_error(error)), where=where) from None
        stores = [segment.first_source for segment in self._segments for _ in range(segment.part.sources.n)]
        named = Counter(zip(stores, (record.name for record in records), strict=True))
        twice = [name for (_, name), n in named.items() if n > 1]
        if twice:
            what = "two sources have one name"
            raise InvalidDataError("bad-source-record", what, where=self._where, found=repr(twice[0]))
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
            raise unknown_name("source", name, names, where=self._where)
        return names.index(name)

    def measured(self, numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which genes some sources measured; bool, shape (len(numbers), n_genes)."""
        out = np.zeros((len(numbers), self._n_genes), np.bool_)
        for i, number in enumerate(numbers.tolist()):
            segment, local = self._place_of(number)
            described = segment.part.sources
            found = segment.storage.read_array(described.measured, np.s_[local]) != 0
            out[i, self._genes(segment)] = found
        return out

    def statistics(self, source: str | int) -> pd.DataFrame:
        """Return cells, sum, sum of squares and lower median of the non-zero counts of each gene of a source.

        `source` is a name or a number.

        One row a gene of the index; a gene that the source did not measure has zeros. -3 stands for a sum of
        squares beyond 2^53.
        """
        import pandas as pd

        segment, local = self._place_of(self.number(source) if isinstance(source, str) else source)
        values = np.zeros((len(STATISTICS), self._n_genes), np.int64)
        values[:, self._genes(segment)] = segment.storage.read_array(segment.part.sources.stats, np.s_[:, local])
        return pd.DataFrame(values.T, columns=list(STATISTICS))

    def genes(self, number: int) -> SourceGenes:
        """Return the columns of a source."""
        segment, local = self._place_of(number)
        read, described = segment.storage, segment.part.sources
        offsets = read.read_array(described.var_offsets)
        if not offsets_fit(offsets, described.var_names.n):
            where = read.at(described.var_offsets.path)
            raise InvalidDataError("bad-offsets", "offsets do not fit the columns of the sources", where=where)
        some = slice(int(offsets[local]), int(offsets[local + 1]))
        names = read.read_strings(described.var_names).take(np.arange(some.start, some.stop))
        gene = read.read_array(described.var_gene, np.s_[some])
        check_codes(gene, range(-1, segment.n_genes), where=read.at(described.var_gene.path))
        if segment.genes is not None:
            gene = np.append(segment.genes, np.int32(-1))[gene]
        return SourceGenes(names=names, gene=gene)

    def _place_of(self, number: int) -> tuple[Segment, int]:
        for segment in self._segments:
            sources = segment.part.sources
            if sources.first <= number < sources.first + sources.n:
                return segment, number - sources.first
        raise InvalidDataError("bad-source", "a cell of a source that is not there", found=number)

    @staticmethod
    def _genes(segment: Segment) -> NDArray[np.int32] | slice:
        """Places of the genes that were there when the part was written."""
        n = segment.part.sources.n_genes
        return slice(n) if segment.genes is None else segment.genes[:n]

"""Reading a store: its cells in any order, their labels, genes and sources."""

from __future__ import annotations

import os
import warnings
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.blobs import local_path
from scformat.caching import Cache, choose_cache
from scformat.columns import Column
from scformat.errors import RowIndexError, StorageError, UsageError, unknown_name
from scformat.expression import parse
from scformat.layout import RECOMPUTE
from scformat.storage import MANIFEST_KEY, Storage
from scformat.store.cells import Cells
from scformat.store.labels import Label, Labels
from scformat.store.neighbours import NeighbourTables
from scformat.store.obs import absent_column, agreed, read_categories, read_strings_at, to_pandas
from scformat.store.opening import open_root, require_genes
from scformat.store.segments import Segment
from scformat.store.sources import Sources
from scformat.strings import Strings
from scformat.structure.arrays import arrays_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    import anndata
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from scformat.genes import GeneTable
    from scformat.manifest import Manifest
    from scformat.store.fetch import Decoded
    from scformat.tables import Tables

FIGURES = ("total_counts", "n_genes")
_ANY_CELLS = 1 << 22
"""So many cells are believed; of more the records have to be there before all rows are numbered."""
FIELDS = ("source", "source_row", *FIGURES, "split")


def open_store(
    path: str | os.PathLike[str],
    *,
    cache: str | os.PathLike[str] | Cache | None = None,
    cache_size: str | int | None = None,
) -> Store:
    """Open a store; see :func:`scformat.open`."""
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(
            "bad-path", "not the place of a store", expected="a path or an address", found=type(path).__name__
        )
    text = os.fspath(path)
    storage = Storage(os.path.expanduser(text) if text.startswith("~") else text)  # noqa: PTH111 (addresses too)
    data = storage.read(MANIFEST_KEY)
    if data is None:
        storage.check_place()
        place = local_path(storage.url)
        is_file = place is not None and Path(place).is_file()
        found = "a file; a store is a directory" if is_file else None
        hint = "make one with: scformat convert SRC... DST"
        raise StorageError("no-store", "there is no store", where=text, found=found, hint=hint)
    manifest = open_root(data, where=text)
    if not isinstance(cache, Cache):
        cache = choose_cache(cache, cache_size, url=storage.url, environment=os.environ)
    if cache is not None:
        storage.keep(cache, {array.path: array.sha256 for array in arrays_of(manifest)})
    return Store(storage, manifest)


class Store:
    """An open cell store. Opening one reads its manifest only; everything else is read when asked for.

    A store can be pickled and used in other processes, which open it anew.

    Attributes
    ----------
    manifest
        What the store says of itself.
    """

    def __init__(self, storage: Storage, manifest: Manifest) -> None:
        self._storage = storage
        self.manifest = manifest

    def __getstate__(self) -> dict[str, Any]:
        return {"storage": self._storage, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["storage"], state["manifest"])  # type: ignore[misc]

    def alone(self) -> Store:
        """Return it, for what is done with one store alone; several that are read as one refuse.

        Raises
        ------
        UsageError
            ``several-stores``.
        """
        return self

    def __repr__(self) -> str:
        return f"<scformat store {self.path}: {self.n_cells:,} cells x {self.manifest.genes.n:,} genes>"

    def __len__(self) -> int:
        return self.n_cells

    @property
    def shape(self) -> tuple[int, int]:
        """Cells, genes."""
        return self.n_cells, self.n_genes

    @property
    def path(self) -> str:
        """Where the store lies, as it was given."""
        return self._storage.url

    def size_on_disk(self) -> int | None:
        """Bytes of all files of the store; None for a bucket or an HTTP address."""
        return self._storage.size()

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.manifest.n_cells

    @cached_property
    def n_genes(self) -> int:
        """Number of genes of the unified index."""
        for segment in self.segments:
            require_genes(segment.storage, segment.manifest.genes)
        return self.manifest.genes.n

    @cached_property
    def genes(self) -> pd.DataFrame:
        """The gene index: one row a gene, in its order, indexed by ``id``.

        Columns: ``symbol``, ``taxon`` (0 unknown), ``biotype``, ``resolved`` (a gene reference knows it).
        """
        import pandas as pd

        table = self.gene_table
        return pd.DataFrame(
            {
                "symbol": table.symbols.to_numpy(),
                "taxon": table.taxons,
                "biotype": table.biotypes.to_numpy(),
                "resolved": table.resolved,
            },
            index=pd.Index(table.ids.to_numpy(), name="id"),
        )

    @cached_property
    def gene_table(self) -> GeneTable:
        """The gene index as arrays."""
        from scformat.genes import GeneTable

        genes, read = self.manifest.genes, self._storage
        return GeneTable(
            taxons=read.read_array(genes.taxon),
            ids=read.read_strings(genes.id),
            symbols=read.read_strings(genes.symbol),
            biotypes=read.read_strings(genes.biotype),
            resolved=read.read_array(genes.resolved) != 0,
        )

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The parts, as they are read."""
        return tuple(Segment(storage=self._storage, manifest=self.manifest, part=part) for part in self.manifest.parts)

    @property
    def packed_genes(self) -> NDArray[np.int32] | None:
        """Gene of the index for each number that a gene has in packed rows; None: they are the same.

        Several stores that are read as one keep their own orders of genes there, one store's numbers after another's.
        """
        return None

    @cached_property
    def sources_view(self) -> Sources:
        """Records, measured genes, statistics and columns of the sources."""
        return Sources(self.segments, self.n_genes, where=self.path)

    @property
    def sources(self) -> pd.DataFrame:
        """The sources: one row a source, in the order of their numbers, indexed by name."""
        return self.sources_view.frame

    @cached_property
    def labels(self) -> Labels:
        """The labels by name."""
        return Labels(
            {m.name: Label.stored(self._storage, m, self._codes_reader(m.name)) for m in self.manifest.labels}
        )

    @cached_property
    def tables(self) -> Tables:
        """The sampling tables by name; ``LABEL:SCHEME`` resolves for any label without being stored."""
        from scformat.tables import Tables

        return Tables(self)

    @cached_property
    def neighbours(self) -> NeighbourTables:
        """The neighbour tables by name: the cells nearest to each cell."""
        return NeighbourTables(self)

    def read(self, rows: ArrayLike) -> Cells:
        """Read the counts of some cells.

        Parameters
        ----------
        rows : integer array-like, shape (n,)
            Any order, repeats allowed; negative rows are not.

        Raises
        ------
        RowIndexError
            ``row-out-of-range``, an IndexError.
        DamagedDataError
            A chunk is missing or damaged; the array, the chunk and the cells are named.
        """
        wanted = self.check_rows(rows)
        pieces: list[tuple[NDArray[np.int64], Decoded]] = []
        for segment, some in self.by_segment(wanted):
            pieces.append((some, segment.read(wanted[some] - segment.part.start)))
        counts = _joined(pieces, len(wanted))
        return Cells(wanted, lambda: self.field("source", wanted), counts, self.sources_view, self.n_genes)

    def obs(self, columns: Sequence[str] | None = None, rows: ArrayLike | None = None) -> pd.DataFrame:
        """Return obs columns as a table indexed by barcode.

        Parameters
        ----------
        columns
            Names of obs columns, labels, ``source``, ``source_row``, ``split``, ``total_counts``, ``n_genes``; an
            obs column comes before a label, and a label before a figure of the same name. None: every obs column,
            then every label that is none.
        rows
            Which cells, in any order, repeats allowed; None: all.

        Raises
        ------
        UnknownNameError
            ``unknown-column``.
        """
        import pandas as pd

        wanted = self.check_rows(rows)
        if isinstance(columns, str):
            raise UsageError("not-a-list", "columns is one text", expected="a list of names", found=repr(columns))
        names = list(columns) if columns is not None else self._default_columns()
        data = {name: self._series(name, wanted) for name in names}
        return pd.DataFrame(data, index=pd.RangeIndex(len(wanted)), columns=names).set_axis(
            self.barcodes(wanted).to_numpy(), axis=0
        )

    def barcodes(self, rows: ArrayLike | None = None) -> Strings:
        """Return the sources' own names of some cells; the same may occur in several sources."""
        wanted = self.check_rows(rows)
        pieces = []
        for segment, some in self.by_segment(wanted):
            part, local = segment.part, wanted[some] - segment.part.start
            found = read_strings_at(segment.storage, part.barcode, local, part.n_cells, first=part.start)
            pieces.append((some, found))
        order = np.concatenate([some for some, _ in pieces]) if pieces else np.empty(0, np.int64)
        return Strings.concatenate([strings for _, strings in pieces]).take(np.argsort(order, kind="stable"))

    def select(self, expression: str) -> NDArray[np.int64]:
        """Return the rows where an expression is true, ascending; int64.

        The expression may name labels, ``total_counts``, ``n_genes``, obs columns, ``source``, ``split``; a label
        comes before an obs column of its name. ``cell_type under 'T cell'`` takes an ontology's descendants.

        Raises
        ------
        UsageError
            The expression cannot be parsed, or compares text with a number.
        UnknownNameError
            ``unknown-column``, ``unknown-ontology-term``.
        """
        return np.flatnonzero(parse(expression).evaluate(_Lookup(self))).astype(np.int64)

    def to_anndata(self, rows: ArrayLike | None = None) -> anndata.AnnData:
        """Return cells as an AnnData object over the unified gene index; X is CSR float32, float64 above 2^24.

        A gene that a cell's source did not measure is a zero there: see :meth:`Cells.measured`.
        """
        import anndata

        wanted = self.check_rows(rows)
        obs = self.obs(rows=wanted)
        obs.index = obs.index.astype(str)
        var = self.genes.copy()
        var.index.name = None
        cells = self.read(wanted)
        with warnings.catch_warnings():
            # Barcodes that several sources share are an ordinary state of a store.
            warnings.filterwarnings("ignore", message="Observation names are not unique", category=UserWarning)
            return anndata.AnnData(X=cells.csr(cells.exact_dtype()), obs=obs, var=var)

    def check_rows(self, rows: ArrayLike | None) -> NDArray[np.int64]:
        """Return rows as int64, all of the store's where None; refuse what is no row of it."""
        if rows is None:
            return self._all_rows
        wanted = np.asarray(rows)
        if wanted.ndim != 1 or (wanted.dtype.kind not in "iu" and wanted.size):
            raise UsageError(
                "bad-rows",
                "rows are not whole numbers in one dimension",
                expected="for example [3], range(0, 5) or np.flatnonzero(mask)",
                found=f"{wanted.dtype}, shape {wanted.shape}",
            )
        if wanted.size and (int(wanted.min()) < 0 or int(wanted.max()) >= self.n_cells):
            bad = wanted[(wanted < 0) | (wanted >= self.n_cells)][0]
            raise RowIndexError(
                "row-out-of-range", "no such row", where=self.path, expected=f"0 to {self.n_cells - 1}", found=bad
            )
        return wanted.astype(np.int64)

    @property
    def _all_rows(self) -> NDArray[np.int64]:
        if self.n_cells > _ANY_CELLS:
            for segment in self.segments:
                segment.storage.require(segment.part.index)
        return np.arange(self.n_cells, dtype=np.int64)

    def by_segment(self, rows: NDArray[np.int64]) -> list[tuple[Segment, NDArray[np.int64]]]:
        """Which of some rows lie in each segment."""
        if len(self.segments) == 1:
            return [(self.segments[0], np.arange(len(rows)))]
        which = np.searchsorted(self._starts, rows, side="right") - 1
        return [(self.segments[i], np.flatnonzero(which == i)) for i in np.unique(which).tolist()]

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array([segment.part.start for segment in self.segments], np.int64)

    def field(self, name: str, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return a field of the record of some cells as it is stored; int32, shape (n,).

        ``row_end``, ``source``, ``source_row``, ``total_counts``, ``n_genes``, ``split``.
        """
        out = np.empty(len(rows), np.int32)
        for segment, some in self.by_segment(rows):
            local = rows[some] - segment.part.start
            out[some] = segment.split(local) if name == "split" else segment.field(name, local)
        return out

    def _codes_reader(self, name: str) -> Callable[[ArrayLike | None], NDArray[np.int32]]:
        def codes(rows: ArrayLike | None) -> NDArray[np.int32]:
            wanted = self.check_rows(rows)
            out = np.empty(len(wanted), np.int32)
            for segment, some in self.by_segment(wanted):
                out[some] = segment.label(name, wanted[some] - segment.part.start)
            return out

        return codes

    def _default_columns(self) -> list[str]:
        return list(dict.fromkeys([c.name for c in self.manifest.obs] + [m.name for m in self.manifest.labels]))

    def column_names(self) -> list[str]:
        """Every name that :meth:`obs` and :meth:`select` know."""
        fields = [name for name in FIELDS if name != "split" or self.manifest.splits is not None]
        return list(dict.fromkeys([*self._default_columns(), *fields]))

    def _series(self, name: str, rows: NDArray[np.int64]) -> pd.Series[Any]:
        if any(c.name == name for c in self.manifest.obs):
            records = self.sources_view.records
            described = [c for r in records for c in r.columns if c.name == name]
            restore = agreed(described)
            if restore is not None and len(described) < len(records) and restore.kind not in ("categorical", "string"):
                restore = None  # cells of the other sources have no value, which the sources' own type may not know
            return to_pandas(self.obs_column(name, rows), restore)
        return to_pandas(self.other_column(name, rows))

    def obs_column(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return an obs column of some rows as it is stored, over all parts."""
        described = next(c for c in self.manifest.obs if c.name == name)
        if described.label is not None:
            return self._label_column(described.label, rows)
        pieces = []
        for segment, some in self.by_segment(rows):
            pieces.append((some, segment.obs_column(described, rows[some] - segment.part.start)))
        if not pieces:
            return absent_column(described, 0)
        column = pieces[0][1] if len(pieces) == 1 else _stacked(pieces, len(rows))
        if described.categories is not None:
            texts = read_categories(self._storage, described.categories)
            return Column(kind="categorical", dtype="string", values=column.codes, categories=texts)
        return column

    def _label_column(self, name: str, rows: NDArray[np.int64]) -> Column:
        label = self.labels[name]
        return Column(kind="categorical", dtype="string", values=label.codes(rows), categories=label.categories)

    def other_column(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Return a label, a figure, the source or the split of some cells."""
        if name in self.labels:
            return self._label_column(name, rows)
        if name == "source":
            texts = tuple(r.name for r in self.sources_view.records)
            return Column(kind="categorical", dtype="string", values=self.field("source", rows), categories=texts)
        if name == "split" and self.manifest.splits is not None:
            texts = tuple(self.manifest.splits.names)
            return Column(kind="categorical", dtype="string", values=self.field("split", rows), categories=texts)
        if name in FIGURES or name == "source_row":
            values = self.field(name, rows).astype(np.int64)
            beyond = np.flatnonzero(values == RECOMPUTE)
            if len(beyond):
                counts = self.read(rows[beyond]).csr(np.int64)
                values[beyond] = np.diff(counts.indptr) if name == "n_genes" else counts.sum(axis=1).A1
            return Column(kind="integer", dtype="int64", values=values)
        raise unknown_name("column", name, self.column_names(), where=self.path)


class _Lookup:
    """Columns of a whole store, for expressions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._all = store.check_rows(None)

    def column(self, name: str) -> Column:
        known_elsewhere = name in self._store.labels or name in FIGURES
        if not known_elsewhere and any(c.name == name for c in self._store.manifest.obs):
            return self._store.obs_column(name, self._all)
        return self._store.other_column(name, self._all)

    def under(self, name: str, term: str) -> Set[int]:
        ontology = self._store.labels[name].ontology if name in self._store.labels else None
        if ontology is None:
            raise UsageError("no-ontology", f"under {term!r} needs a label with an ontology", found=f"column {name!r}")
        return frozenset(ontology.categories_under(term).tolist())


def _joined(pieces: Sequence[tuple[NDArray[np.int64], Decoded]], n: int) -> Decoded:
    """Put rows that were read part by part into the order asked for."""
    from scformat.store.fetch import Decoded

    if len(pieces) == 1:
        return pieces[0][1]
    lengths = np.zeros(n, np.int64)
    for some, piece in pieces:
        lengths[some] = np.diff(piece.offsets)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    indices, data = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int64)
    for some, piece in pieces:
        places = np.repeat(offsets[some] - piece.offsets[:-1], lengths[some]) + np.arange(len(piece.data))
        indices[places], data[places] = piece.indices, piece.data
    return Decoded(offsets=offsets, indices=indices, data=data)


def _stacked(pieces: Sequence[tuple[NDArray[np.int64], Column]], n: int) -> Column:
    """Put a column that was read part by part into the order asked for."""
    from scformat.store.obs import mask_of

    order = np.argsort(np.concatenate([some for some, _ in pieces]), kind="stable")
    first = pieces[0][1]
    columns = [column for _, column in pieces]
    mask = None
    if any(c.mask is not None for c in columns):
        mask = np.concatenate([mask_of(c) for c in columns])[order]
    values: Any
    if isinstance(first.values, Strings):
        values = Strings.concatenate([c.values for c in columns if isinstance(c.values, Strings)]).take(order)
    else:
        values = np.concatenate([c.values for c in columns if not isinstance(c.values, Strings)])[order]
    return Column(kind=first.kind, dtype=first.dtype, values=values, mask=mask, categories=first.categories)

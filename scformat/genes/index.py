"""One gene index for all sources of a store: which genes, in which order, and where each source's columns go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from scformat.errors import InvalidDataError
from scformat.genes.genelist import GeneList
from scformat.genes.organisms import SPIKE_INS, UNKNOWN, organism_name
from scformat.genes.table import GeneTable
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.genes.resolve import GeneMap


@dataclass(frozen=True, kw_only=True, eq=False)
class LeftOut:
    """Columns of one source that go to no gene of the index.

    Attributes
    ----------
    source
        Name of the source.
    columns : int32 array, shape (k,)
        Numbers of the columns, ascending.
    ids
        What they are, length k.
    """

    source: str
    columns: NDArray[np.int32]
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneIndex:
    """A gene index of n genes, and where the columns of S sources go in it.

    Attributes
    ----------
    genes
        The genes in index order.
    column_to_gene
        For each source an int32 array with the gene of each of its columns; -1 left out.
    left_out
        For each source its columns that are left out.
    measured : bool array, shape (S, n)
        Whether any column of a source is that gene.
    releases
        Releases of the gene references used, by taxon.
    """

    genes: GeneTable
    column_to_gene: tuple[NDArray[np.int32], ...]
    left_out: tuple[LeftOut, ...]
    measured: NDArray[np.bool_]
    releases: Mapping[int, str]

    @property
    def unmeasured(self) -> NDArray[np.int32]:
        """Genes that none of these sources has; int32, ascending. A list may name some."""
        return np.flatnonzero(~self.measured.any(axis=0)).astype(np.int32)


def unify(
    maps: Sequence[GeneMap],
    *,
    mode: Literal["union", "intersection"] | GeneList = "union",
    detection: Sequence[NDArray[np.int64]] | None = None,
) -> GeneIndex:
    """Make the gene index of a new store.

    Parameters
    ----------
    maps
        What the columns of each source are.
    mode
        ``"union"`` keeps every gene. ``"intersection"`` keeps, within each organism, the genes that every source
        with any gene of that organism has; what is of no known organism, and spike-ins, where every source has it.
        A list keeps its genes in its order, also those that no source has.
    detection
        For each source the number of (sampled) cells that detect each of its columns: int64, shape (columns,).
        Genes stand by their sum, descending, ties by taxon and id; without it, by taxon and id alone.

    Raises
    ------
    InvalidDataError
        Code ``no-common-genes``: the intersection leaves a source without any gene. Code ``no-listed-genes``: no
        source has a gene of the list.
    """
    pool = _Pool()
    rows = [pool.add(source) for source in maps]
    n_found = len(pool)
    if isinstance(mode, GeneList):
        order = _listed(pool, mode)
        if not (order < n_found).any():
            raise InvalidDataError(
                "no-listed-genes",
                "no source has any gene of the list",
                where=mode.name,
                found=f"{len(order)} listed genes, {n_found} others in the sources",
                hint="name genes by the ids that a dry run shows, or by symbols of the sources' organism",
            )
    else:
        keep = np.arange(n_found) if mode == "union" else _common(pool, maps, rows)
        order = pool.by_detection(keep, rows, detection)
    return _index(pool, order, maps, rows)


def extend(
    genes: GeneTable,
    maps: Sequence[GeneMap],
    *,
    mode: Literal["union", "fixed"] = "union",
    detection: Sequence[NDArray[np.int64]] | None = None,
) -> GeneIndex:
    """Make the gene index of a store to which sources are appended.

    Parameters
    ----------
    genes
        The store's genes, which keep their places and all that is known of them.
    maps, detection
        The appended sources, as for :func:`unify`.
    mode
        ``"union"`` puts new genes after the others, in the order of :func:`unify`; ``"fixed"`` leaves them out.

    Returns
    -------
    GeneIndex
        All genes; everything else of it is about the appended sources alone.
    """
    pool = _Pool(genes)
    rows = [pool.add(source) for source in maps]
    order = np.arange(len(genes))
    if mode == "union":
        new = pool.by_detection(np.arange(len(genes), len(pool)), rows, detection)
        order = np.concatenate([order, new])
    return _index(pool, order, maps, rows)


class _Pool:
    """Genes collected in the order they come."""

    def __init__(self, genes: GeneTable | None = None) -> None:
        self._n_fixed = 0 if genes is None else len(genes)
        self.row_of = {} if genes is None else dict(genes.row_of)
        self.symbols = [] if genes is None else list(genes.symbols)
        self.biotypes = [] if genes is None else list(genes.biotypes)
        self.resolved = [] if genes is None else genes.resolved.tolist()

    def __len__(self) -> int:
        return len(self.row_of)

    def add(self, source: GeneMap) -> NDArray[np.int64]:
        """Take the genes of a source; returns the row of each of its columns."""
        row_of, symbols, biotypes, resolved = self.row_of, self.symbols, self.biotypes, self.resolved
        rows = np.empty(source.n_columns, np.int64)
        columns = zip(
            source.taxons.tolist(), source.ids, source.symbols, source.biotypes, source.resolved.tolist(), strict=True
        )
        for i, (taxon, gene_id, symbol, biotype, known) in enumerate(columns):
            row = row_of.setdefault((taxon, gene_id), len(row_of))
            rows[i] = row
            if row == len(symbols):
                symbols.append(symbol)
                biotypes.append(biotype)
                resolved.append(known)
            elif row >= self._n_fixed and not resolved[row]:
                # Of a gene that no reference knows, the first source that has a symbol or a biotype names it.
                if symbols[row] == gene_id:
                    symbols[row] = symbol
                biotypes[row] = biotypes[row] or biotype
                resolved[row] = known
        return rows

    def by_detection(
        self, genes: NDArray[np.int64], rows: Sequence[NDArray[np.int64]], detection: Sequence[NDArray[np.int64]] | None
    ) -> NDArray[np.int64]:
        """Order of `genes`: descending detection, then taxon and id."""
        total = np.zeros(len(self), np.int64)
        for source_rows, counts in zip(rows, detection if detection is not None else (), strict=detection is not None):
            np.add.at(total, source_rows, counts)
        totals, identities = total.tolist(), list(self.row_of)
        return np.array(sorted(genes.tolist(), key=lambda g: (-totals[g], identities[g])), np.int64)


def _common(pool: _Pool, maps: Sequence[GeneMap], rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Genes that every source with any gene of their organism has."""
    taxons = np.array([taxon for taxon, _ in pool.row_of], np.int64)
    no_organism = np.isin(taxons, (UNKNOWN, SPIKE_INS))
    n_having, n_needed = np.zeros(len(pool), np.int64), np.zeros(len(pool), np.int64)
    for source_rows in rows:
        genes = np.unique(source_rows)
        n_having[genes] += 1
        n_needed += no_organism | np.isin(taxons, taxons[genes])
    common = n_having == n_needed
    for source, source_rows in zip(maps, rows, strict=True):
        if len(source_rows) and not common[source_rows].any():
            taxa = ", ".join(f"{n} of {organism_name(taxon)}" for taxon, n in source.organisms.items())
            raise InvalidDataError(
                "no-common-genes",
                "no gene of this source is in every other source of its organism",
                where=source.source,
                found=f"{taxa}, named by {source.kind} ({source.column})",
                hint="keep every gene (union), give a list, or say the organism of the sources",
            )
    return np.flatnonzero(common)


def _listed(pool: _Pool, wanted: GeneList) -> NDArray[np.int64]:
    """Rows of the genes of a list, in its order; those that no source has are added to the pool."""
    entries = wanted.genes
    taxa_of: dict[str, list[int]] = {}
    for taxon, gene_id in pool.row_of:
        taxa_of.setdefault(gene_id, []).append(taxon)
    taxons = entries.taxons.copy()
    for i, (taxon, gene_id) in enumerate(zip(entries.taxons.tolist(), entries.ids, strict=True)):
        # An unresolved name tells no organism: it is that of the only one that has the name.
        taxa = taxa_of.get(gene_id, [])
        if not entries.resolved[i] and taxon not in taxa and len(taxa) == 1:
            taxons[i] = taxa[0]
    rows = pool.add(replace(entries, taxons=taxons))
    return np.array(list(dict.fromkeys(rows.tolist())), np.int64)


def _index(
    pool: _Pool, order: NDArray[np.int64], maps: Sequence[GeneMap], rows: Sequence[NDArray[np.int64]]
) -> GeneIndex:
    identities, kept = list(pool.row_of), order.tolist()
    genes = GeneTable(
        taxons=np.array([identities[g][0] for g in kept], np.int32),
        ids=Strings.of(identities[g][1] for g in kept),
        symbols=Strings.of(pool.symbols[g] for g in kept),
        biotypes=Strings.of(pool.biotypes[g] for g in kept),
        resolved=np.array([pool.resolved[g] for g in kept], np.bool_),
    )
    place = np.full(len(pool), -1, np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    column_to_gene = tuple(place[source_rows] for source_rows in rows)
    measured = np.zeros((len(maps), len(order)), np.bool_)
    left_out = []
    for number, (source, to_gene) in enumerate(zip(maps, column_to_gene, strict=True)):
        measured[number, to_gene[to_gene >= 0]] = True
        columns = np.flatnonzero(to_gene < 0).astype(np.int32)
        left_out.append(
            LeftOut(source=source.source, columns=columns, ids=tuple(source.ids[i] for i in columns.tolist()))
        )
    return GeneIndex(
        genes=genes,
        column_to_gene=column_to_gene,
        left_out=tuple(left_out),
        measured=measured,
        releases={taxon: release for source in maps for taxon, release in source.releases.items()},
    )

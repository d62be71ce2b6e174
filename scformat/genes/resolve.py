"""What each column of a source's matrix is: a gene with an organism and an id, or a name that nobody knows."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scformat.errors import InvalidDataError, unknown_name
from scformat.genes.organisms import SPIKE_INS, UNKNOWN, organism_name
from scformat.genes.reference import AMBIGUOUS
from scformat.genes.vartable import INDEX, SYMBOL_COLUMNS, VarText

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.genes.reference import Reference
    from scformat.genes.vartable import ParsedId
    from scformat.strings import Strings

ID_SHARE = 0.9
"""A column names genes by id where at least this share of its values look like ids."""

LEAD = 5
"""A source is of an organism that knows this many times the names of any other."""

# An id stands in a line of "taxon TAB id LF" of the digests, so it holds no control character.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


@dataclass(frozen=True, kw_only=True)
class MergedColumns:
    """Columns of one source that are one gene, whose counts are summed.

    Attributes
    ----------
    taxon, gene_id
        The gene.
    columns
        Numbers of the columns, ascending, at least two.
    """

    taxon: int
    gene_id: str
    columns: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneMap:
    """What each of the n columns of one source is.

    Attributes
    ----------
    source
        Name of the source, for messages.
    column
        Where the genes were named: ``"index"`` or a var column.
    kind
        Whether it names ids or symbols.
    organism
        Taxon given to names that carry none; 0 unknown.
    taxons : int32 array, shape (n,)
        Organism of each gene; 0 unknown, and for features that are no genes.
    ids
        Id of each gene, length n: the reference's, an id that no reference knows, or a name as it stands.
    symbols
        Symbol of each gene, length n; the id where there is none.
    biotypes
        Biotype of each gene, length n; of a feature that is no gene its 10x type; "" unknown.
    resolved : bool array, shape (n,)
        Whether a reference knows the gene.
    ambiguous
        Symbols that several genes of the reference bear, sorted; they stay unresolved.
    merged
        Columns that are one gene, ordered by their first column.
    releases
        Release of the reference of each organism of which a gene was resolved, by taxon.
    """

    source: str
    column: str
    kind: Literal["id", "symbol"]
    organism: int
    taxons: NDArray[np.int32]
    ids: tuple[str, ...]
    symbols: tuple[str, ...]
    biotypes: tuple[str, ...]
    resolved: NDArray[np.bool_]
    ambiguous: tuple[str, ...]
    merged: tuple[MergedColumns, ...]
    releases: Mapping[int, str]

    @property
    def n_columns(self) -> int:
        """Columns of the matrix."""
        return len(self.ids)

    @property
    def n_resolved(self) -> int:
        """Columns that a reference knows."""
        return int(self.resolved.sum())

    @property
    def n_unresolved(self) -> int:
        """Columns that keep their own id or name."""
        return self.n_columns - self.n_resolved

    @property
    def organisms(self) -> dict[int, int]:
        """Number of columns of each taxon, ascending by taxon."""
        taxa, counts = np.unique(self.taxons, return_counts=True)
        return dict(zip(taxa.tolist(), counts.tolist(), strict=True))


def resolve(
    *,
    index: Strings,
    columns: Mapping[str, Column],
    references: Mapping[int, Reference],
    organism: int | None = None,
    gene_ids: str | None = None,
    source: str = "source",
) -> GeneMap:
    """Resolve the columns of one source to genes.

    Parameters
    ----------
    index
        Var names, length n.
    columns
        Columns of var, each of length n; those that hold no text are not looked at.
    references
        Gene references by taxon.
    organism
        Taxon that the caller says the source is of; None where nobody says.
    gene_ids
        Where the genes are named: ``"index"`` or a column of var; None to find out.
    source
        Name of the source, for messages.

    Raises
    ------
    UnknownNameError
        Code ``unknown-var-column``: `gene_ids` names no column of var that holds text.
    InvalidDataError
        Code ``organism-mismatch``: the genes are of another organism than `organism`.
    """
    var = VarText(index, columns)
    features = var.other_features()
    rows = [i for i, feature in enumerate(features) if not feature]
    column = _choose(var, rows, gene_ids, references, source)
    kind: Literal["id", "symbol"] = "id" if var.id_share(column, rows) >= ID_SHARE else "symbol"
    parsed = var.ids(column)
    names = [name or fallback for name, fallback in zip(var.text(column), var.text(INDEX), strict=True)]

    id_taxa = Counter(entry[1] for i in rows if (entry := parsed[i]) is not None)
    plain = [names[i] for i in rows if parsed[i] is None]
    chosen = _organism(id_taxa, plain, references, organism, source)

    lookup = _Lookup(references, chosen)
    genes = [
        (UNKNOWN, name, "", feature, False) if feature else lookup.gene(name, entry)
        for name, entry, feature in zip(names, parsed, features, strict=True)
    ]
    # Five columns rather than objects: an object a gene would take most of the time.
    taxons, found, symbols, biotypes, resolved = zip(*genes, strict=True) if genes else ((), (), (), (), ())
    ids = tuple(
        gene_id if known else _identity(gene_id) or f"unnamed-{source}-{i}"
        for i, (gene_id, known) in enumerate(zip(found, resolved, strict=True))
    )
    return GeneMap(
        source=source,
        column=column,
        kind=kind,
        organism=chosen,
        taxons=np.array(taxons, np.int32),
        ids=ids,
        symbols=_symbols(var, column, symbols, ids),
        biotypes=_biotypes(var, biotypes),
        resolved=np.array(resolved, np.bool_),
        ambiguous=tuple(sorted(lookup.ambiguous)),
        merged=_merged(taxons, ids),
        releases={taxon: references[taxon].release for taxon in sorted(lookup.used)},
    )


_Gene = tuple[int, str, str, str, bool]
"""Taxon, id, symbol, biotype, whether a reference knows it."""


class _Lookup:
    """Looks up names in the references; remembers the ambiguous names, and the references that knew any."""

    def __init__(self, references: Mapping[int, Reference], organism: int) -> None:
        self._references = references
        self._organism = organism
        self.ambiguous: set[str] = set()
        self.used: set[int] = set()

    def gene(self, name: str, parsed: ParsedId | None) -> _Gene:
        """Gene of a name, by the id that it is or else as a symbol of the source's organism."""
        gene_id, taxon = parsed or (name, UNKNOWN)
        taxon = taxon or self._organism
        reference = self._references.get(taxon)
        row = None if reference is None else _row(reference, gene_id)
        if reference is None or row is None:
            return taxon, gene_id, "", "", False
        if row == AMBIGUOUS:
            self.ambiguous.add(name)
            return taxon, gene_id, "", "", False
        self.used.add(taxon)
        return taxon, reference.ids[row], reference.symbols[row], reference.biotypes[row], True


def _row(reference: Reference, name: str) -> int | None:
    row = reference.row_of_id.get(name)
    return reference.row_of_symbol.get(name) if row is None else row


def _n_known(reference: Reference, names: Iterable[str]) -> int:
    return sum(1 for name in names if (row := _row(reference, name)) is not None and row != AMBIGUOUS)


def _choose(
    var: VarText, rows: Sequence[int], gene_ids: str | None, references: Mapping[int, Reference], source: str
) -> str:
    """Name of the column that names the genes."""
    names = var.names
    if gene_ids is not None:
        if gene_ids not in names:
            raise unknown_name("var column", gene_ids, names, where=source)
        return gene_ids
    if var.id_share(INDEX, rows) >= ID_SHARE:
        return INDEX
    # max takes the first of equals, so the order of var decides between columns that are as good.
    best = max(names, key=lambda name: var.id_share(name, rows))
    if var.id_share(best, rows) >= ID_SHARE:
        return best

    def known(name: str) -> int:
        text = var.text(name)
        return max((_n_known(reference, (text[i] for i in rows)) for reference in references.values()), default=0)

    # An index of numbers or of somebody's own names beside a column of symbols: it would resolve nothing.
    others = [name for name in SYMBOL_COLUMNS if name in names]
    if not others or known(INDEX):
        return INDEX
    best = max(others, key=known)
    return best if known(best) else INDEX


def _organism(
    id_taxa: Counter[int],
    plain: Sequence[str],
    references: Mapping[int, Reference],
    organism: int | None,
    source: str,
) -> int:
    """Taxon of names that carry none; checks what the caller said against what the names say.

    Each organism counts the names that are its own: ids with its prefix, and symbols that its reference resolves.
    """
    ids = {taxon: n for taxon, n in id_taxa.items() if taxon not in (UNKNOWN, SPIKE_INS)}
    tally = Counter(ids)
    for taxon, reference in references.items():
        tally[taxon] += _n_known(reference, plain)
    ranked = sorted(tally.items(), key=lambda item: (-item[1], item[0]))
    leader, most = ranked[0] if ranked else (UNKNOWN, 0)
    clear = most > 0 and (len(ranked) == 1 or most >= LEAD * ranked[1][1])
    if organism is None:
        return leader if clear else UNKNOWN
    if ids and sum(id_taxa.values()) > len(plain):
        # By ids alone: a prefix is certain where a symbol is not.
        leader, most = max(ids.items(), key=lambda item: (item[1], item[0] == organism, -item[0]))
        wrong, total, what = leader != organism, sum(id_taxa.values()), "gene ids"
    else:
        # Symbols of an organism without a reference often resolve through a relative's: no evidence against it.
        beaten = leader != organism and most >= LEAD * tally[organism] and 2 * most > len(plain)
        wrong = beaten and organism in references
        total, what = len(plain) + sum(id_taxa.values()), "gene names"
    if wrong:
        raise InvalidDataError(
            "organism-mismatch",
            f"the source is not of the organism given, {organism_name(organism)} ({organism})",
            where=source,
            found=f"{most} of {total} {what} of {organism_name(leader)} ({leader})",
            hint="leave out the organism to take it from the genes, or give this source another one",
        )
    return organism


def _identity(name: str) -> str:
    """Name as it may stand in an index; empty where there is none."""
    return _CONTROL.sub(" ", name) if name.strip() else ""


def _symbols(var: VarText, column: str, known: Sequence[str], ids: Sequence[str]) -> tuple[str, ...]:
    named = var.symbols() or [""] * len(ids)
    # Var names beside a column of ids are symbols as a rule; an index of numbers names nothing.
    index = [""] * len(ids) if column == INDEX else ["" if n.isdecimal() else n for n in var.text(INDEX)]
    return tuple(
        symbol or name or var_name or gene_id
        for symbol, name, var_name, gene_id in zip(known, named, index, ids, strict=True)
    )


def _biotypes(var: VarText, known: Sequence[str]) -> tuple[str, ...]:
    named = var.biotypes()
    if named is None:
        return tuple(known)
    return tuple(biotype or name for biotype, name in zip(known, named, strict=True))


def _merged(taxons: Sequence[int], ids: Sequence[str]) -> tuple[MergedColumns, ...]:
    if len(set(ids)) == len(ids):
        return ()
    columns: dict[tuple[int, str], list[int]] = {}
    for i, gene in enumerate(zip(taxons, ids, strict=True)):
        columns.setdefault(gene, []).append(i)
    return tuple(
        MergedColumns(taxon=taxon, gene_id=gene_id, columns=tuple(numbers))
        for (taxon, gene_id), numbers in columns.items()
        if len(numbers) > 1
    )

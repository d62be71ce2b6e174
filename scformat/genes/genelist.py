"""A list of genes that a user gives: the genes of a store, or of a batch, and their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.errors import InvalidDataError
from scformat.genes.reference import FIELDS, read_table
from scformat.genes.resolve import resolve
from scformat.genes.vartable import INDEX
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.genes.reference import Reference
    from scformat.genes.resolve import GeneMap


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneList:
    """Genes in the order wanted.

    Attributes
    ----------
    name
        Where the list comes from, for messages.
    genes
        What each entry is. Entries that are one gene are in its ``merged``: the first gives the place.
    """

    name: str
    genes: GeneMap


def gene_list(
    names: Sequence[str],
    *,
    references: Mapping[int, Reference],
    symbols: Sequence[str] | None = None,
    organism: int | None = None,
    name: str = "gene list",
) -> GeneList:
    """Make a gene list of ids and symbols.

    Parameters
    ----------
    names
        Ids, or symbols, which are resolved through the reference of `organism` (by default of the organism that the
        list itself tells). What does not resolve is kept: it finds columns of that very name.
    references
        Gene references by taxon.
    symbols
        Symbols beside the ids, for those that the references do not know.
    organism
        Taxon of the symbols.
    name
        Where the list comes from, for messages.

    Raises
    ------
    InvalidDataError
        Code ``empty-gene-list``; code ``organism-mismatch`` as for a source.
    """
    if not names:
        raise InvalidDataError("empty-gene-list", "the gene list is empty", where=name, hint="name one gene a line")
    columns: dict[str, Column] = {}
    if symbols is not None:
        columns["symbol"] = Column(
            kind="string", dtype="string", values=Strings.of(symbols), mask=np.zeros(len(symbols), np.bool_)
        )
    genes = resolve(
        index=Strings.of(names), columns=columns, references=references, organism=organism, gene_ids=INDEX, source=name
    )
    return GeneList(name=name, genes=genes)


def read_gene_list(path: Path | str, *, references: Mapping[int, Reference], organism: int | None = None) -> GeneList:
    """Read a gene list: one id or symbol a line, or a table whose header names a column of ids, of symbols, or both.

    Parameters
    ----------
    path
        A file, plain or ``.gz``, comma- or tab-separated. Lines that start with ``#`` are not read.
    references, organism
        As for :func:`gene_list`.

    Raises
    ------
    StorageError
        Code ``gene-list-unreadable``.
    InvalidDataError
        Code ``empty-gene-list``; code ``organism-mismatch`` as for a source.
    """
    path = Path(path)
    rows = [row for row in read_table(path, code="gene-list-unreadable") if not row[0].startswith("#")]
    header = [name.strip().lower() for name in rows[0]] if rows else []
    at_id, at_symbol = (next((header.index(n) for n in FIELDS[f] if n in header), None) for f in ("id", "symbol"))
    if at_id is None and at_symbol is None:
        at_id = 0
    else:
        rows = rows[1:]

    def field(at: int | None) -> list[str]:
        return [row[at].strip() if at is not None and at < len(row) else "" for row in rows]

    symbols = field(at_symbol)
    entries = [(gene_id or symbol, symbol) for gene_id, symbol in zip(field(at_id), symbols, strict=True)]
    entries = [entry for entry in entries if entry[0]]
    return gene_list(
        [entry[0] for entry in entries],
        references=references,
        symbols=None if at_symbol is None else [entry[1] for entry in entries],
        organism=organism,
        name=str(path),
    )

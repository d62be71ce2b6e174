"""Gene references: the ids, symbols and biotypes of an organism's genes in one release of its annotation.

The package ships human (GENCODE 48) and mouse (GENCODE M37), written by ``tools/genes/build.py``. A table of any
other organism comes from a file of the same form.
"""

from __future__ import annotations

import csv
import functools
import gzip
import hashlib
import importlib.resources
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.errors import InvalidDataError, StorageError, unknown_name
from scformat.genes.organisms import ORGANISMS, organism_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

SHIPPED = (9606, 10090)
"""Taxa of the references in the package."""

AMBIGUOUS = -1
"""Row of a symbol that several genes bear."""

FIELDS = {
    "id": ("id", "gene_id", "ensembl_id", "ensembl_gene_id", "feature_id"),
    "symbol": ("symbol", "gene_symbol", "gene_name", "feature_name", "name"),
    "biotype": ("biotype", "gene_biotype", "gene_type", "feature_type"),
    "par_x": ("par_x",),
}
"""Header names taken for each field of a table of genes, in lower case."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """The genes of one organism, n of them.

    Attributes
    ----------
    taxon
        NCBI taxon.
    name
        Scientific name of the organism.
    release
        What the table is a copy of ("GENCODE 48").
    ids
        Gene ids without version, all different, length n.
    symbols
        Gene symbols, length n; empty where a gene has none.
    biotypes
        Biotypes ("protein_coding"), length n; empty where none is given.
    par_x
        For the copies on chromosome Y of pseudoautosomal genes, by their id: the id of the copy on X. Counts
        cannot tell the two apart and aligners are given the one on X, so a symbol that both bear is the one on X.
    """

    taxon: int
    name: str
    release: str
    ids: tuple[str, ...]
    symbols: tuple[str, ...]
    biotypes: tuple[str, ...]
    par_x: Mapping[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Reference(taxon={self.taxon}, name={self.name!r}, release={self.release!r}, n={len(self)})"

    @functools.cached_property
    def row_of_id(self) -> Mapping[str, int]:
        """Row of each id; ``<id on X>_PAR_Y``, GENCODE's older name of a copy on Y, is that copy's row."""
        rows = dict(zip(self.ids, range(len(self.ids)), strict=True))
        for copy, gene in self.par_x.items():
            rows.setdefault(f"{gene}_PAR_Y", rows[copy])
        return rows

    @functools.cached_property
    def row_of_symbol(self) -> Mapping[str, int]:
        """Row of each symbol, case-sensitive; :data:`AMBIGUOUS` where several genes bear it."""
        rows: dict[str, int] = {}
        for row, (gene_id, symbol) in enumerate(zip(self.ids, self.symbols, strict=True)):
            if symbol and gene_id not in self.par_x:
                rows[symbol] = AMBIGUOUS if symbol in rows else row
        return rows


@functools.cache
def load(taxon: int) -> Reference:
    """Load a reference that the package ships; the same object at every call.

    Raises
    ------
    UnknownNameError
        Code ``unknown-gene-reference``: there is none for this taxon.
    """
    if taxon not in SHIPPED:
        shipped = [ORGANISMS[t].name for t in SHIPPED]
        raise unknown_name("gene reference", organism_name(taxon), shipped, where="shipped gene references")
    folder = importlib.resources.files("scformat.genes") / "data"
    about = json.loads((folder / f"{taxon}.json").read_text("utf-8"))
    # Written by the build tool: always tab-separated with these five fields and no quotes, so one split will do.
    text = _text(folder / f"{taxon}.tsv.gz")
    header, _, body = text.partition("\n")
    width = header.count("\t") + 1
    cells = body.replace("\n", "\t").split("\t")
    cells.pop()
    column = {name: cells[i::width] for i, name in enumerate(header.split("\t"))}
    return _reference(taxon, about["name"], about["release"], column)


def load_all(extra: Sequence[Reference] = ()) -> dict[int, Reference]:
    """All references by taxon: those that the package ships, and `extra`, which replace them."""
    return {**{taxon: load(taxon) for taxon in SHIPPED}, **{reference.taxon: reference for reference in extra}}


def from_file(path: Path | str, taxon: int, *, release: str | None = None) -> Reference:
    """Read a reference from a table with a header, comma- or tab-separated, plain or ``.gz``.

    Parameters
    ----------
    path
        The file. Its header names a column of ids (``id``, ``gene_id``, ``ensembl_id``), and may name symbols
        (``symbol``, ``gene_name``, ``feature_name``) and biotypes (``biotype``, ``gene_type``, ``feature_type``).
        Others are not read.
    taxon
        The organism.
    release
        What it is a copy of; by default the file's name and the start of its SHA-256.

    Raises
    ------
    StorageError
        Code ``gene-reference-unreadable``.
    InvalidDataError
        Code ``bad-gene-reference``: no column of ids, a line of another width, an empty or repeated id.
    """
    path = Path(path)
    rows = read_table(path, code="gene-reference-unreadable")
    columns = _columns(path, rows[0] if rows else [])
    n = len(rows[0]) if rows else 0
    for line, row in enumerate(rows[1:], 2):
        if len(row) != n:
            raise _bad(path, f"line {line} has another number of fields than the header", expected=n, found=len(row))
    fields = {name: [row[at].strip() for row in rows[1:]] if at is not None else [] for name, at in columns.items()}
    ids = fields["id"]
    seen: dict[str, int] = {}
    for line, gene_id in enumerate(ids, 2):
        if not gene_id:
            raise _bad(path, f"line {line} has an empty id")
        if gene_id in seen:
            raise _bad(path, f"the id {gene_id!r} of line {line} is that of line {seen[gene_id]} too")
        seen[gene_id] = line
    if release is None:
        release = f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    none = [""] * len(ids)
    return _reference(taxon, organism_name(taxon), release, {name: text or none for name, text in fields.items()})


def read_table(path: Path, *, code: str) -> list[list[str]]:
    """Rows of a comma- or tab-separated file, plain or ``.gz``; lines without text are left out.

    Raises
    ------
    StorageError
        With `code`: the file cannot be read.
    """
    try:
        text = _text(path)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise StorageError(code, f"cannot read the file ({error})", where=path, hint="give a CSV or TSV file") from None
    lines = text.removeprefix("\ufeff").splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    return [row for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]


def _text(path: Path | Traversable) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8")


def _columns(path: Path, header: Sequence[str]) -> dict[str, int | None]:
    names = [name.strip().lower() for name in header]
    found = {f: next((names.index(n) for n in known if n in names), None) for f, known in FIELDS.items()}
    if found["id"] is None:
        raise _bad(path, "no column of gene ids", expected=f"a header with one of {', '.join(FIELDS['id'])}")
    return found


def _reference(taxon: int, name: str, release: str, fields: Mapping[str, Sequence[str]]) -> Reference:
    ids = fields["id"]
    # A symbol that repeats the id says nothing: GENCODE gives it to genes without a name.
    return Reference(
        taxon=taxon,
        name=name,
        release=release,
        ids=tuple(ids),
        symbols=tuple(
            "" if symbol == gene_id else symbol for symbol, gene_id in zip(fields["symbol"], ids, strict=True)
        ),
        biotypes=tuple(fields["biotype"]),
        par_x={gene_id: gene for gene_id, gene in zip(ids, fields["par_x"], strict=True) if gene},
    )


def _bad(path: Path, what: str, *, expected: object = None, found: object = None) -> InvalidDataError:
    return InvalidDataError("bad-gene-reference", what, where=path, expected=expected, found=found)

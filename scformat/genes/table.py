"""The genes of a store, in index order, with the digests and keys that identify them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneTable:
    """The n genes of a store; row i of every array is gene i of its counts.

    Attributes
    ----------
    taxons : int32 array, shape (n,)
        NCBI taxon of each gene; 0 unknown.
    ids
        Ids, length n; different within a taxon.
    symbols
        Symbols, length n; the id where there is none.
    biotypes
        Biotypes, length n; empty where unknown.
    resolved : bool array, shape (n,)
        Whether a gene reference knows the gene.
    """

    taxons: NDArray[np.int32]
    ids: Strings
    symbols: Strings
    biotypes: Strings
    resolved: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.taxons)

    @cached_property
    def identities(self) -> tuple[tuple[int, str], ...]:
        """Taxon and id of each gene, length n."""
        return tuple(zip(self.taxons.tolist(), self.ids, strict=True))

    @cached_property
    def row_of(self) -> Mapping[tuple[int, str], int]:
        """Row of each taxon and id."""
        return {gene: row for row, gene in enumerate(self.identities)}

    @cached_property
    def by_id(self) -> NDArray[np.int32]:
        """Permutation that sorts the genes by taxon, then by the bytes of the id; int32, shape (n,)."""
        # UTF-8 keeps the order of code points, so that strings compare as their bytes do.
        return np.array(sorted(range(len(self)), key=self.identities.__getitem__), np.int32)

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """64-bit key of each gene (see :func:`gene_key`); uint64, shape (n,)."""
        return np.fromiter((gene_key(taxon, gene_id) for taxon, gene_id in self.identities), np.uint64, len(self))

    @cached_property
    def index_digest(self) -> str:
        """SHA-256, in hex, over the lines ``taxon TAB id LF`` in index order."""
        return hashlib.sha256(b"".join(self._lines())).hexdigest()

    @cached_property
    def set_digest(self) -> str:
        """SHA-256, in hex, over the same lines sorted by their bytes: equal for the same genes in any order."""
        return hashlib.sha256(b"".join(sorted(self._lines()))).hexdigest()

    def _lines(self) -> list[bytes]:
        return [f"{taxon}\t{gene_id}\n".encode() for taxon, gene_id in self.identities]


def unite(tables: Sequence[GeneTable]) -> tuple[GeneTable, tuple[NDArray[np.int32], ...]]:
    """Put several tables together: genes are the same where taxon and id are.

    Parameters
    ----------
    tables
        At least one.

    Returns
    -------
    table
        The genes of the first in their places, then those that each further one adds, in its order. Of a gene that
        several have, the first says symbol and biotype.
    genes : int32 arrays, one a table, shape (n,)
        Where the genes of each are in it.
    """
    row_of: dict[tuple[int, str], int] = {}
    genes, new, before = [], [], 0
    for table in tables:
        known = len(row_of)
        rows = np.fromiter((row_of.setdefault(g, len(row_of)) for g in table.identities), np.int32, len(table))
        genes.append(rows)
        # Within a table each gene is once, so that new ones come in ascending order.
        new.append(before + np.flatnonzero(rows >= known))
        before += len(table)
    picked = np.concatenate(new)
    return (
        GeneTable(
            taxons=np.concatenate([t.taxons for t in tables])[picked],
            ids=Strings.concatenate([t.ids for t in tables]).take(picked),
            symbols=Strings.concatenate([t.symbols for t in tables]).take(picked),
            biotypes=Strings.concatenate([t.biotypes for t in tables]).take(picked),
            resolved=np.concatenate([t.resolved for t in tables])[picked],
        ),
        tuple(genes),
    )


def gene_key(taxon: int, gene_id: str) -> int:
    """Key of a gene, the same in every store: an unsigned 64-bit integer.

    The first 8 bytes, little-endian, of SHA-256 over ``taxon TAB id``.
    """
    return int.from_bytes(hashlib.sha256(f"{taxon}\t{gene_id}".encode()).digest()[:8], "little")

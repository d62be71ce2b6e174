"""Level 3, the gene index: distinct genes, their sorting permutation, their digests."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.structure.sink import ROOT, several
from scformat.validation.strings import read_strings, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Array, Genes
    from scformat.validation.files import Files
    from scformat.validation.report import Findings

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, kw_only=True, eq=False)
class GeneFacts:
    """What checks of counts and sources need to know of the n genes.

    Attributes
    ----------
    taxa : int64 array, shape (n,)
    resolved : uint8 array, shape (n,), or None
    keys : uint64 array, shape (n,)
        Content key of each gene.
    """

    taxa: NDArray[np.int64]
    resolved: NDArray[np.uint8] | None
    keys: NDArray[np.uint64]


def check_genes(files: Files, genes: Genes, findings: Findings) -> GeneFacts | None:
    """Check the gene index; None where it is damaged."""
    ids = read_strings(files, genes.id)
    symbols = read_strings(files, genes.symbol)
    read_strings(files, genes.biotype)
    taxa = files.whole(genes.taxon)
    by_id = files.whole(genes.by_id)
    resolved = check_flags(files, genes.resolved, "GEN-5", findings)
    if symbols is not None and b"" in symbols:
        findings.add("GEN-6", f"{genes.symbol.bytes.path}, gene {symbols.index(b'')}", "a gene without a symbol")
    if taxa is not None:
        _check_taxa(genes, taxa, findings)
    if ids is None or taxa is None:
        return None
    lines = [b"%d\t%s\n" % (taxon, gene_id) for taxon, gene_id in zip(taxa.tolist(), ids, strict=True)]
    order = sorted(range(len(ids)), key=list(zip(taxa.tolist(), ids, strict=True)).__getitem__)
    _check_ids(genes, ids, lines, order, findings)
    if by_id is not None:
        wrong = np.flatnonzero(by_id != np.array(order, by_id.dtype))
        if len(wrong):
            at, text = int(wrong[0]), f"not the permutation that sorts the genes{several(len(wrong))}"
            findings.add("GEN-7", f"{genes.by_id.path}, element {at}", text, expected=order[at], found=by_id[at])
    for name, requirement, hashed in (("index_digest", "GEN-12", lines), ("set_digest", "GEN-13", sorted(lines))):
        stated, actual = getattr(genes, name), hashlib.sha256(b"".join(hashed)).hexdigest()
        if stated != actual:
            where = f"{ROOT}:scformat/genes/{name}"
            findings.add(requirement, where, "not the digest of the genes", expected=actual, found=stated)
    keys = [int.from_bytes(hashlib.sha256(line[:-1]).digest()[:8], "little") for line in lines]
    return GeneFacts(taxa=taxa.astype(np.int64), resolved=resolved, keys=np.array(keys, np.uint64))


def _check_taxa(genes: Genes, taxa: NDArray[np.int32], findings: Findings) -> None:
    below = np.flatnonzero(taxa < 0)
    if len(below):
        where = f"{genes.taxon.path}, gene {below[0]}"
        findings.add("GEN-4", where, f"not a taxon{several(len(below))}", found=taxa[below[0]])
    held = dict(zip(*(x.tolist() for x in np.unique(taxa, return_counts=True)), strict=True))
    stated = {o.taxon: o.n_genes for o in genes.organisms}
    if held != stated:
        where = f"{ROOT}:scformat/genes/organisms"
        findings.add("GEN-8", where, "not the taxa of the index with their genes", expected=held, found=stated)


def _check_ids(
    genes: Genes, ids: Sequence[bytes], lines: Sequence[bytes], order: Sequence[int], findings: Findings
) -> None:
    path = genes.id.bytes.path
    bad = [i for i, gene_id in enumerate(ids) if not gene_id or _CONTROL.search(gene_id)]
    if bad:
        text = f"an id that is empty or holds a control character{several(len(bad))}"
        findings.add("GEN-2", f"{path}, gene {bad[0]}", text, found=shown(ids[bad[0]]))
    twice = [b for a, b in itertools.pairwise(order) if lines[a] == lines[b]]
    if twice:
        text = f"two genes have this taxon and id{several(len(twice))}"
        findings.add("GEN-2", f"{path}, gene {twice[0]}", text, found=shown(lines[twice[0]][:-1]))


def check_flags(files: Files, array: Array, requirement: str, findings: Findings) -> NDArray[np.uint8] | None:
    """Read an array of flags and check that each is 0 or 1."""
    flags = files.whole(array)
    if flags is not None:
        bad = np.argwhere(flags > 1)
        if len(bad):
            at = ", ".join(map(str, bad[0].tolist()))
            text = f"neither 0 nor 1{several(len(bad))}"
            findings.add(requirement, f"{array.path}, element {at}", text, found=flags[tuple(bad[0])])
    return flags

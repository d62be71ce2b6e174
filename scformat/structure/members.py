"""Genes, labels, obs columns and splits of a manifest: whether what belongs together has one size and right types."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

from scformat.manifest import DTYPES_OF_KIND
from scformat.structure.arrays import Expect
from scformat.structure.sink import ROOT, several

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scformat.manifest import Genes, Label, Manifest, ObsColumn, Splits
    from scformat.structure.sink import Sink

_TOLERANCE = 1e-9


def check_genes(genes: Genes, findings: Sink) -> None:
    """Check what the manifest says of the gene index."""
    n = genes.n
    if n >= 2**31:
        findings.add("GEN-1", f"{ROOT}:scformat/genes/n", "too many genes", expected="below 2^31", found=n)
    expect = Expect(findings, "GEN-1")
    for strings in (genes.id, genes.symbol, genes.biotype):
        expect.strings(strings, n)
    expect.integers(genes.taxon, "int32", [n])
    expect.integers(genes.by_id, "int32", [n])
    expect.flags(genes.resolved, [n])
    taxa = [o.taxon for o in genes.organisms]
    where = f"{ROOT}:scformat/genes/organisms"
    if any(a >= b for a, b in itertools.pairwise(taxa)):
        findings.add("GEN-8", where, "the taxa do not ascend", found=taxa)
    total = sum(o.n_genes for o in genes.organisms)
    if total != n:
        findings.add("GEN-8", where, "the numbers of genes do not sum to that of the index", expected=n, found=total)


def check_label(label: Label, findings: Sink) -> None:
    """Check what it says of a label."""
    n = label.categories.n
    Expect(findings, "LAB-3").integers(label.counts, "int64", [n])
    expect = Expect(findings, "LAB-10")
    expect.strings(label.categories, None)
    graph = label.ontology
    if graph is None:
        return
    t = graph.n_terms
    expect.strings(graph.id, t)
    expect.strings(graph.name, t)
    expect.integers(graph.edges, "int32", [2, None])
    expect.integers(graph.closure, "int32", [None])
    expect.integers(graph.closure_offsets, "int64", [t + 1])
    expect.integers(graph.counts, "int64", [t])
    expect.integers(graph.category_terms, "int32", [n])


def check_column(manifest: Manifest, column: ObsColumn, findings: Sink) -> None:
    """Check what it says of an obs column."""
    where = f"{ROOT}:scformat/obs, column {column.name!r}"
    has = [member for member in ("categories", "label") if getattr(column, member) is not None]
    if len(has) != (1 if column.kind == "categorical" else 0):
        expected = "either of categories and label" if column.kind == "categorical" else "neither categories nor label"
        found = " and ".join(has) or "none"
        findings.add("CEL-20", where, f"a column of kind {column.kind}", expected=expected, found=found)
    if column.label is not None and manifest.label(column.label) is None:
        findings.add("CEL-20", where, "there is no such label", found=repr(column.label))
    if column.categories is not None:
        Expect(findings, "CEL-19").strings(column.categories, None)
    if column.dtype not in DTYPES_OF_KIND[column.kind]:
        findings.add("MAN-1", where, f"no type of a column of kind {column.kind}", found=repr(column.dtype))


def check_splits(splits: Splits, findings: Sink) -> None:
    """Check what it says of the splits."""
    where = f"{ROOT}:scformat/splits"
    check_distinct(splits.names, "SPL-2", "splits", findings)
    if not all(splits.names):
        findings.add("SPL-2", where, "a split has an empty name")
    n = len(splits.names)
    for member, values in (("counts", splits.counts), ("shares", splits.shares)):
        if values is not None and len(values) != n:
            findings.add("SPL-2", where, f"wrong number of {member}", expected=n, found=len(values))
    shares = splits.shares
    if shares is not None and (not all(f > 0 for f in shares) or abs(math.fsum(shares) - 1) > _TOLERANCE):
        findings.add("SPL-6", where, "shares are not above 0 or do not sum to 1", found=shares)


def check_distinct(names: Iterable[str], requirement: str, what: str, findings: Sink) -> None:
    """Check that things differ in their names."""
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        text = f"two {what} have one name"
        findings.add(requirement, f"{ROOT}:scformat", text, found=f"{twice[0]!r}{several(len(twice))}")

"""Level 1, second half: whether the members of the manifest fit one another; genes, labels, columns, splits."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from scformat.layout import CODE_FILL
from scformat.manifest import as_json
from scformat.tables.model import TableEntry
from scformat.validation.arrays import Expect, arrays_of
from scformat.validation.metadata import ROOT
from scformat.validation.neighbours import check_entries
from scformat.validation.parts import check_parts
from scformat.validation.report import several

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scformat.manifest import Genes, Label, Manifest, ObsColumn, Splits
    from scformat.validation.report import Findings

_TOLERANCE = 1e-9
_KINDS = {"integer": "iu", "float": "f", "boolean": "b", "string": "", "categorical": "iufb"}
"""numpy's kinds that the type of a column may be of; ``string`` is a type of its own for the last two."""
_DTYPES = {"bool", "float16", "float32", "float64", *(f"{u}int{bits}" for u in ("", "u") for bits in (8, 16, 32, 64))}


def check_structure(manifest: Manifest, findings: Findings) -> None:
    """Check all that the manifest alone shows.

    What does not fit is marked in ``findings.broken``: ``genes``, ``splits``, ``labels/<i>``, ``obs/<i>``,
    ``parts/<i>``, ``neighbours/<i>``.
    """
    check_paths(manifest, findings)
    with findings.domain("genes"):
        _check_genes(manifest.genes, findings)
    with findings.domain("labels"):
        _distinct((x.name for x in manifest.labels), "LAB-1", "labels", findings)
    for i, label in enumerate(manifest.labels):
        with findings.domain(f"labels/{i}"):
            _check_label(label, findings)
    with findings.domain("obs"):
        _distinct((x.name for x in manifest.obs), "CEL-13", "obs columns", findings)
    for i, column in enumerate(manifest.obs):
        with findings.domain(f"obs/{i}"):
            _check_column(manifest, column, findings)
    with findings.domain("splits"):
        if manifest.splits is not None:
            _check_splits(manifest.splits, findings)
    check_parts(manifest, findings)
    with findings.domain("tables"):
        _check_tables(manifest, findings)
    check_entries(manifest, findings)


def check_paths(manifest: Manifest, findings: Findings) -> None:
    """Check that array paths differ and that none lies within another."""
    with findings.domain("paths"):
        times = Counter(array.path for array in arrays_of(manifest))
        for path, n in times.items():
            if n > 1:
                findings.add("ZAR-3", path, "two arrays have this path", found=f"{n} arrays")
            above = [path[:i] for i, letter in enumerate(path) if letter == "/" and path[:i] in times]
            for outer in above:
                findings.add("ZAR-3", path, "an array lies within another", found=outer)


def _check_tables(manifest: Manifest, findings: Findings) -> None:
    _distinct((table.name for table in manifest.tables), "TAB-6", "tables", findings)
    for i, table in enumerate(manifest.tables):
        try:
            entry = TableEntry.model_validate(as_json(table))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "/".join(map(str, (i, *first["loc"])))
            findings.add("TAB-6", f"{ROOT}:scformat/tables/{place}", first["msg"])
            continue
        for array in arrays_of(entry):
            Expect(findings, "TAB-6").array(array, array.dtype, [None] * len(array.shape), fill=CODE_FILL)


def _check_genes(genes: Genes, findings: Findings) -> None:
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


def _check_label(label: Label, findings: Findings) -> None:
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


def _check_column(manifest: Manifest, column: ObsColumn, findings: Findings) -> None:
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
    is_text = column.dtype == "string" and column.kind in {"string", "categorical"}
    if not is_text and not _is_dtype(column.dtype, _KINDS[column.kind]):
        findings.add("MAN-1", where, f"no type of a column of kind {column.kind}", found=repr(column.dtype))


def _is_dtype(name: str, kinds: str) -> bool:
    return name in _DTYPES and np.dtype(name).kind in kinds


def _check_splits(splits: Splits, findings: Findings) -> None:
    where = f"{ROOT}:scformat/splits"
    _distinct(splits.names, "SPL-2", "splits", findings)
    if not all(splits.names):
        findings.add("SPL-2", where, "a split has an empty name")
    n = len(splits.names)
    for member, values in (("counts", splits.counts), ("shares", splits.shares)):
        if values is not None and len(values) != n:
            findings.add("SPL-2", where, f"wrong number of {member}", expected=n, found=len(values))
    shares = splits.shares
    if shares is not None and (not all(f > 0 for f in shares) or abs(math.fsum(shares) - 1) > _TOLERANCE):
        findings.add("SPL-6", where, "shares are not above 0 or do not sum to 1", found=shares)


def _distinct(names: Iterable[str], requirement: str, what: str, findings: Findings) -> None:
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        text = f"two {what} have one name"
        findings.add(requirement, f"{ROOT}:scformat", text, found=f"{twice[0]!r}{several(len(twice))}")

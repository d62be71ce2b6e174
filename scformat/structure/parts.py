"""Whether the parts fit one another, and each part the labels, columns and splits of the manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.layout import BYTE_FILL, CODE_FILL, ENTRY_FILL, FLAG_FILL, RECORD_FIELDS
from scformat.structure.arrays import Expect
from scformat.structure.sink import ROOT

if TYPE_CHECKING:
    from scformat.manifest import Manifest, ObsColumn, ObsValues, Part, PartSources, Place
    from scformat.structure.sink import Sink

VALUE_TYPES = {
    "integer": ("int32", "int64", "uint32", "uint64"),
    "float": ("float32", "float64"),
    "boolean": ("uint8",),
}
"""Stored types of the columns that have ``values``."""


def check_parts(manifest: Manifest, findings: Sink) -> None:
    """Check all that the manifest says of its parts."""
    start = entries = first = 0
    for i, part in enumerate(manifest.parts):
        where = f"{ROOT}:scformat/parts/{i}"
        with findings.domain(f"parts/{i}"):
            if part.start != start:
                findings.add("PRT-1", where, "wrong start", expected=start, found=part.start)
            if part.sources.first != first:
                text = "wrong number of the first source"
                findings.add("PRT-5", f"{where}/sources", text, expected=first, found=part.sources.first)
            if part.sources.n_genes > manifest.genes.n:
                text = "more genes than the index has"
                findings.add("PRT-9", f"{where}/sources", text, expected=manifest.genes.n, found=part.sources.n_genes)
            _check_part(manifest, part, where, findings)
        start += part.n_cells
        entries += part.n_entries
        first += part.sources.n
    for name, total, stated in (("n_cells", start, manifest.n_cells), ("n_entries", entries, manifest.n_entries)):
        if total != stated:
            findings.add("PRT-3", f"{ROOT}:scformat/{name}", "not the sum over the parts", expected=total, found=stated)
    named = "parts" in manifest.required_features
    if named != (len(manifest.parts) > 1):
        text = "the feature parts is not that of a store with more than one part"
        found = f"{len(manifest.parts)} parts, the feature {'named' if named else 'not named'}"
        findings.add("PRT-4", f"{ROOT}:scformat/required_features", text, found=found)


def _check_part(manifest: Manifest, part: Part, where: str, findings: Sink) -> None:
    n = part.n_cells
    expect = Expect(findings, "PRT-8")
    _check_counts(part, expect, findings)
    expect.integers(part.index, "int32", [len(part.fields), n])
    expect.integers(part.content, "int64", [n])
    expect.strings(part.barcode, n)
    _check_sources(part.sources, expect)
    if part.index.chunk[0] != len(part.fields) or part.index.shard[0] != len(part.fields):
        text = "a record does not lie in one chunk"
        found = f"chunk {part.index.chunk}, shard {part.index.shard}, {len(part.fields)} fields"
        findings.add("CEL-2", part.index.path, text, found=found)
    begin = len(RECORD_FIELDS)
    if tuple(part.fields[:begin]) != RECORD_FIELDS or len(set(part.fields)) != len(part.fields):
        expected = ", ".join(RECORD_FIELDS) + ", then distinct names"
        findings.add("CEL-1", f"{where}/fields", "wrong fields", expected=expected, found=part.fields)
    if len(part.fields) != part.index.shape[0]:
        text = "another number of fields than the records have"
        findings.add("CEL-1", f"{where}/fields", text, expected=part.index.shape[0], found=len(part.fields))
    if (part.split is None) != (manifest.splits is None):
        text = "split codes without splits" if manifest.splits is None else "no split codes in a store with splits"
        findings.add("SPL-1", f"{where}/split", text)
    _check_places(manifest, part, where, expect, findings)
    _check_order(part, where, findings)
    _check_obs(manifest, part, where, expect, findings)


def _check_counts(part: Part, expect: Expect, findings: Sink) -> None:
    entries, n_shards = part.entries, part.shard_digests.shape[0]
    expect.array(entries, "uint16", [2, None], fill=ENTRY_FILL)
    expect.integers(part.shard_rows, "int64", [n_shards + 1])
    expect.array(part.shard_digests, "uint8", [None, 64], fill=BYTE_FILL)
    if len(entries.shape) != 2:
        return
    size = entries.shard[1]
    if entries.chunk[0] != 2 or entries.shard[0] != 2 or size >= 2**31 or entries.shape[1] % size:
        expected = "chunks and shards of extent 2, whole shards of less than 2^31 entries"
        found = f"shape {entries.shape}, chunk {entries.chunk}, shard {entries.shard}"
        findings.add("CNT-12", entries.path, "wrong extents", expected=expected, found=found)
    elif entries.shape[1] // size != n_shards:
        text = "another number of shards than of shard digests"
        findings.add("PRT-8", entries.path, text, expected=n_shards, found=entries.shape[1] // size)


def _check_sources(sources: PartSources, expect: Expect) -> None:
    n, genes = sources.n, sources.n_genes
    expect.strings(sources.records, n)
    expect.array(sources.measured, "uint8", [n, genes], fill=FLAG_FILL)
    expect.integers(sources.stats, "int64", [4, n, genes])
    expect.integers(sources.var_offsets, "int64", [n + 1])
    expect.integers(sources.var_gene, "int32", [None])
    expect.strings(sources.var_names, sources.var_gene.shape[0])


def _check_places(manifest: Manifest, part: Part, where: str, expect: Expect, findings: Sink) -> None:
    used: set[int] = set()

    def check(place: Place, at: str) -> None:
        if place.array is not None:
            expect.integers(place.array, "int32", [part.n_cells])
        elif place.field is not None:
            if not len(RECORD_FIELDS) <= place.field < len(part.fields) or place.field in used:
                expected = f"{len(RECORD_FIELDS)} to {len(part.fields) - 1}, each once"
                findings.add("CEL-4", at, "wrong field number", expected=expected, found=place.field)
            used.add(place.field)

    if part.split is not None:
        check(part.split, f"{where}/split")
    for name, place in part.labels.items():
        check(place, f"{where}/labels, label {name!r}")
        if manifest.label(name) is None:
            findings.add("LAB-5", f"{where}/labels", "codes of a label that is not there", found=repr(name))


def _check_order(part: Part, where: str, findings: Sink) -> None:
    by, kind = part.order.by, part.order.kind
    unknown = [name for name in by if name not in part.labels]
    if (by and kind != "stratified") or unknown:
        expected = "labels with codes in the part" if kind == "stratified" else f"none in the order {kind!r}"
        findings.add("ORD-6", f"{where}/order", "wrong labels", expected=expected, found=unknown or by)


def _check_obs(manifest: Manifest, part: Part, where: str, expect: Expect, findings: Sink) -> None:
    columns = {c.name: c for c in manifest.obs}
    for name, values in part.obs.items():
        at = f"{where}/obs, column {name!r}"
        column = columns.get(name)
        if column is None:
            findings.add("CEL-13", at, "values of a column that the manifest does not list")
        else:
            _check_values(column, values, part.n_cells, at, expect, findings)


def _check_values(column: ObsColumn, values: ObsValues, n: int, at: str, expect: Expect, findings: Sink) -> None:
    kinds = {"string": "strings", "categorical": "codes"}
    wanted = [] if column.label is not None else [kinds.get(column.kind, "values")]
    has = [m for m in ("values", "strings", "codes") if getattr(values, m) is not None]
    masked = values.missing is not None and (column.kind == "categorical")
    if has != wanted or masked:
        found = " and ".join([*has, *(["missing"] if masked else [])]) or "none"
        text = f"wrong members for a column of kind {column.kind}"
        findings.add("CEL-15", at, text, expected=" and ".join(wanted) or "none", found=found)
        return
    types = Expect(findings, "CEL-15")
    if values.values is not None:
        fill = FLAG_FILL if column.kind == "boolean" else None
        types.array(values.values, VALUE_TYPES[column.kind], [None], fill=fill)
        expect.array(values.values, values.values.dtype, [n], fill=None)
    if values.codes is not None:
        types.array(values.codes, "int32", [None], fill=CODE_FILL)
        expect.array(values.codes, values.codes.dtype, [n], fill=None)
    if values.strings is not None:
        expect.strings(values.strings, n)
    if values.missing is not None:
        expect.flags(values.missing, [n])

"""Values that break the format while all checksums and digests hold (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scformat

if TYPE_CHECKING:
    from collections.abc import Callable

    from .damage import Damage

    Member = Callable[[Damage], None]


def _value(locate: Callable[[Damage], dict[str, Any]], at: Any, value: Any) -> Member:
    """Set some values of an array."""
    return lambda d: d.change(locate(d), at, value)


def _field(name: str, cell: int, value: int) -> Member:
    return lambda d: d.change(d.part["index"], (d.field(name), cell), value)


def _label_field(name: str, cell: int, value: int) -> Member:
    return _field(f"label:{name}", cell, value)


def _entries(change: Callable[[list[list[tuple[int, int]]]], int | None]) -> Member:
    """Change the entries of cells, and put ends and digests right."""

    def act(d: Damage) -> None:
        rows = d.rows()
        change(rows)
        d.put_rows(rows)

    return act


def _first(rows: list[list[tuple[int, int]]], accept: Callable[[tuple[int, int]], bool]) -> tuple[int, int]:
    return next((i, p) for i, row in enumerate(rows) for p, pair in enumerate(row) if accept(pair))


def _split_a_count(rows: list[list[tuple[int, int]]]) -> None:
    """A count of five or more in two entries, which readers accept."""
    i, p = _first(rows, lambda pair: 5 <= pair[1] < 60_000)
    delta, count = rows[i][p]
    rows[i][p : p + 1] = [(delta, count - 2), (0, 2)]


def _trailing_gap(rows: list[list[tuple[int, int]]]) -> None:
    rows[8].append((65_535, 0))


def _zero(rows: list[list[tuple[int, int]]]) -> None:
    rows[8][1] = (rows[8][1][0], 0)


def _delta_and_count(rows: list[list[tuple[int, int]]]) -> None:
    rows[8][1] = (65_535, 3)


def _fill_pair(rows: list[list[tuple[int, int]]]) -> None:
    rows[8][1] = (65_535, 65_535)


def _beyond_the_index(rows: list[list[tuple[int, int]]]) -> None:
    rows[8][-1] = (500, 1)


def _another_count(rows: list[list[tuple[int, int]]]) -> None:
    i, p = _first(rows, lambda pair: pair[1] > 1)
    rows[i][p] = (rows[i][p][0], rows[i][p][1] - 1)


def _extend(d: Damage) -> None:
    """A row that ends beyond the shard."""
    d.change(d.part["index"], (0, -1), 5 << 20)


def _swap_ends(d: Damage) -> None:
    values = d.values(d.part["index"])
    values[0, 20] = values[0, 19] - 1
    d.put(d.part["index"], values)


def _swap_cells(d: Damage) -> None:
    """Two neighbours change places in all that is kept of cells, entries too: only their order is wrong."""
    index = d.values(d.part["index"])
    by = d.field("label:cell_type")
    cell = int(np.flatnonzero((index[by, 1:] == index[by, :-1]) & (index[5, 1:] == index[5, :-1]))[10])
    rows = d.rows()
    rows[cell], rows[cell + 1] = rows[cell + 1], rows[cell]
    index[1:, [cell, cell + 1]] = index[1:, [cell + 1, cell]]
    content = d.values(d.part["content"])
    content[[cell, cell + 1]] = content[[cell + 1, cell]]
    d.put(d.part["content"], content)
    d.put(d.part["index"], index)
    d.put_rows(rows)


def _move_to_split(d: Damage) -> None:
    index = d.values(d.part["index"])
    cell = int(np.flatnonzero(index[5] == 0)[7])
    index[5, cell] = 1
    d.put(d.part["index"], index)
    d.manifest["splits"]["counts"][0] -= 1
    d.manifest["splits"]["counts"][1] += 1


def _same_source_row(d: Damage) -> None:
    index = d.values(d.part["index"])
    cells = np.flatnonzero(index[1] == 0)
    index[2, cells[4]] = index[2, cells[3]]
    d.put(d.part["index"], index)


def _gene_twice(d: Damage) -> None:
    strings = d.manifest["genes"]["id"]
    texts = d.texts(strings)
    texts[4] = texts[3]
    d.put_texts(strings, texts)


def _gene_id(text: bytes) -> Member:
    def act(d: Damage) -> None:
        strings = d.manifest["genes"]["id"]
        texts = d.texts(strings)
        texts[4] = text
        d.put_texts(strings, texts)

    return act


def _by_id(d: Damage) -> None:
    values = d.values(d.manifest["genes"]["by_id"])
    values[[3, 4]] = values[[4, 3]]
    d.put(d.manifest["genes"]["by_id"], values)


def _no_symbol(d: Damage) -> None:
    strings = d.manifest["genes"]["symbol"]
    d.put_texts(strings, [b"", *d.texts(strings)[1:]])


def _ontology(d: Damage) -> dict[str, Any]:
    found: dict[str, Any] = d.label("cell_type")["ontology"]
    return found


def _resized(d: Damage, array: dict[str, Any], values: Any) -> None:
    """Give an array other values in one chunk."""
    array["chunk"] = array["shard"] = [*([1] * (values.ndim - 1)), max(1, values.shape[-1])]
    if values.ndim == 2:
        array["shard"] = [values.shape[0], max(1, values.shape[-1])]
    d.put(array, values)


def _closure_lacks_a_pair(d: Damage) -> None:
    graph = _ontology(d)
    offsets, closure = d.values(graph["closure_offsets"]), d.values(graph["closure"])
    node = int(np.diff(offsets).argmax())
    offsets[node + 1 :] -= 1
    _resized(d, graph["closure"], np.delete(closure, offsets[node]))
    d.put(graph["closure_offsets"], offsets)


def _closure_offsets(d: Damage) -> None:
    d.change(_ontology(d)["closure_offsets"], 1, 10_000)


def _cycle(d: Damage) -> None:
    graph = _ontology(d)
    edges = d.values(graph["edges"])
    both = np.unique(np.concatenate([edges, edges[::-1, :1]], axis=1), axis=1)
    _resized(d, graph["edges"], both)


def _edges_not_sorted(d: Damage) -> None:
    edges = d.values(_ontology(d)["edges"])
    d.put(_ontology(d)["edges"], edges[:, ::-1])


def _term_ids_not_sorted(d: Damage) -> None:
    strings = _ontology(d)["id"]
    d.put_texts(strings, d.texts(strings)[::-1])


def _node_twice(d: Damage) -> None:
    terms = d.values(_ontology(d)["category_terms"])
    held = np.flatnonzero(terms >= 0)
    terms[held[0]] = terms[held[1]]
    d.put(_ontology(d)["category_terms"], terms)


def _other_name(d: Damage) -> None:
    strings = d.label("cell_type")["categories"]
    terms = d.values(_ontology(d)["category_terms"])
    texts = d.texts(strings)
    at = int(np.flatnonzero(terms >= 0)[-1])
    texts[at] += b"!"
    d.put_texts(strings, texts)


def _release(d: Damage) -> None:
    releases = _ontology(d)["releases"]
    releases["XX"] = releases.pop("CL")


def _categories(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Member:
    def act(d: Damage) -> None:
        strings = d.label(name)["categories"]
        d.put_texts(strings, change(d.texts(strings)))

    return act


def _offsets_fall(d: Damage) -> None:
    d.change(d.part["barcode"]["offsets"], 7, 3)


def _offsets_begin(d: Damage) -> None:
    d.change(d.part["barcode"]["offsets"], 0, 1)


def _offsets_end(d: Damage) -> None:
    offsets = d.part["barcode"]["offsets"]
    d.change(offsets, -1, int(d.values(offsets)[-1]) - 1)


def _not_utf8(d: Damage) -> None:
    d.change(d.part["barcode"]["bytes"], 9, 0xC3)


def _cut_letter(d: Damage) -> None:
    """The bytes are UTF-8, but a string ends within a letter."""
    strings = d.part["barcode"]
    texts = d.texts(strings)
    texts[3:5] = [b"x\xc3", b"\xa4"]
    d.put_texts(strings, texts)


def _missing(name: str, value: int) -> Member:
    return lambda d: d.change(d.obs(name)["missing"], 11, value)


def _missing_not_zero(d: Damage) -> None:
    at = int(np.flatnonzero(d.values(d.obs("masked")["missing"]) == 1)[2])
    d.change(d.obs("masked")["values"], at, 4)


def _missing_text(d: Damage) -> None:
    texts = d.texts(d.obs("note")["strings"])
    at = next(i for i, text in enumerate(texts) if text)
    d.change(d.obs("note")["missing"], at, 1)


def _column_categories(d: Damage) -> None:
    strings = next(c for c in d.manifest["obs"] if c["name"] == "identifier")["categories"]
    texts = d.texts(strings)
    texts[5] = texts[6]
    d.put_texts(strings, texts)


def _fill_in_data(d: Damage) -> None:
    d.change(d.obs("depth")["values"], 12, d.obs("depth")["values"]["fill"])


def _record(source: int, **members: Any) -> Member:
    return lambda d: d.record(source, lambda record: record.update(members))


def _record_text(text: bytes) -> Member:
    def act(d: Damage) -> None:
        strings = d.part["sources"]["records"]
        d.put_texts(strings, [text, *d.texts(strings)[1:]])

    return act


def _more_columns(record: dict[str, Any]) -> None:
    record["columns"].append({"name": "nowhere", "kind": "string", "dtype": "string"})


def _more_merged(record: dict[str, Any]) -> None:
    record["n_merged"] += 1


def _measured(d: Damage) -> None:
    measured = d.part["sources"]["measured"]
    values = d.values(measured)
    s, g = np.argwhere(values == 0)[0]
    d.change(measured, (s, g), 1)


def _measured_flag(d: Damage) -> None:
    d.change(d.part["sources"]["measured"], (1, 3), 3)


def _not_measured(d: Damage) -> None:
    """A source forgets a column that its cells have counts of."""
    sources = d.part["sources"]
    gene = int(d.values(sources["stats"])[0, 0].argmax())
    offsets, var_gene = d.values(sources["var_offsets"]), d.values(sources["var_gene"])
    at = int(np.flatnonzero(var_gene[: offsets[1]] == gene)[0])
    d.change(sources["var_gene"], at, -1)
    d.change(sources["measured"], (0, gene), 0)
    d.record(0, lambda record: record.update(n_left_out=1))


def _stats(row: int) -> Member:
    def act(d: Damage) -> None:
        stats = d.part["sources"]["stats"]
        gene = int(d.values(stats)[0, 1].argmax())
        d.change(stats, (row, 1, gene), int(d.values(stats)[row, 1, gene]) + 1)

    return act


ENTRIES = "parts/1/counts/entries"
INDEX, CONTENT = "parts/1/cells/index", "parts/1/cells/content"
SOURCES, GRAPH = "parts/1/sources", "labels/1/"
VALUES: dict[str, tuple[str, str, Member]] = {
    "row-end-falls": ("CNT-11", f"{INDEX}, cell 20", _swap_ends),
    "row-end-beyond": ("CNT-11", f"{INDEX}, cell 309", _extend),
    "n-entries": ("CNT-11", INDEX, lambda d: d.part.update(n_entries=4) or d.manifest.update(n_entries=4)),
    "shard-rows-begin": ("CNT-9", "shard_rows", _value(lambda d: d.part["shard_rows"], 0, 1)),
    "shard-rows-end": ("CNT-9", "shard_rows", _value(lambda d: d.part["shard_rows"], 1, 309)),
    "zero-count": ("CNT-4", f"{ENTRIES}, shard 0, cell 8", _entries(_zero)),
    "delta-with-count": ("CNT-4", f"{ENTRIES}, shard 0, cell 8", _entries(_delta_and_count)),
    "fill-pair": ("ZAR-18", f"{ENTRIES}, shard 0, cell 8", _entries(_fill_pair)),
    "gene-beyond": ("CNT-5", f"{ENTRIES}, shard 0, cell 8", _entries(_beyond_the_index)),
    "gap-at-the-end": ("CNT-5", f"{ENTRIES}, shard 0, cell 8", _entries(_trailing_gap)),
    "not-canonical": ("CNT-3", f"{ENTRIES}, shard 0", _entries(_split_a_count)),
    "another-count": ("CEL-7", INDEX, _entries(_another_count)),
    "another-count-hash": ("CEL-10", CONTENT, _entries(_another_count)),
    "another-count-stats": ("SRC-8", SOURCES, _entries(_another_count)),
    "total-counts": ("CEL-7", f"{INDEX}, cell 30", _field("total_counts", 30, 7)),
    "total-counts-negative": ("CEL-7", f"{INDEX}, cell 30", _field("total_counts", 30, -1)),
    "total-counts-not-large": ("CEL-7", f"{INDEX}, cell 30", _field("total_counts", 30, -3)),
    "n-genes": ("CEL-7", f"{INDEX}, cell 30", _field("n_genes", 30, 7)),
    "content": ("CEL-10", f"{CONTENT}, cell 30", _value(lambda d: d.part["content"], 30, 12345)),
    "content-negative": ("CEL-10", f"{CONTENT}, cell 30", _value(lambda d: d.part["content"], 30, -12345)),
    "source-beyond": ("CEL-5", f"{INDEX}, cell 30", _field("source", 30, 3)),
    "source-negative": ("CEL-5", f"{INDEX}, cell 30", _field("source", 30, -1)),
    "source-row-beyond": ("CEL-5", f"{INDEX}, cell 30", _field("source_row", 30, 150)),
    "source-row-negative": ("CEL-5", f"{INDEX}, cell 30", _field("source_row", 30, -1)),
    "source-row-twice": ("CEL-6", f"{INDEX}, cell", _same_source_row),
    "split-code": ("SPL-3", f"{INDEX}, cell 30", _field("split", 30, 3)),
    "split-counts": ("SPL-4", "splits/counts", lambda d: d.manifest["splits"].update(counts=[310, 0, 0])),
    "split-of-another-group": ("SPL-10", INDEX, _move_to_split),
    "order": ("ORD-4", INDEX, _swap_cells),
    "label-code": ("LAB-7", f"{INDEX}, cell 30", _label_field("cell_type", 30, 4)),
    "label-code-negative": ("LAB-7", f"{INDEX}, cell 30", _label_field("cell_type", 30, -3)),
    "label-code-of-array": (
        "LAB-7",
        "parts/1/cells/label-0, cell 30",
        _value(lambda d: next(p["array"] for p in d.part["labels"].values() if "array" in p), 30, 99),
    ),
    "label-counts": ("LAB-4", "counts, category 1", _value(lambda d: d.label("donor_id")["counts"], 1, 0)),
    "label-category-twice": ("LAB-2", "categories", _categories("donor_id", lambda t: [t[0], *t[:-1]])),
    "label-categories-not-sorted": ("LAB-2", "categories", _categories("donor_id", lambda t: t[::-1])),
    "term-ids": ("LAB-11", "terms/id", _term_ids_not_sorted),
    "edges-cycle": ("LAB-12", "terms/edges", _cycle),
    "edges-order": ("LAB-12", "terms/edges", _edges_not_sorted),
    "edges-node": ("LAB-12", "terms/edges, edge 0", _value(lambda d: _ontology(d)["edges"], (0, 0), 5000)),
    "closure-lacks-a-pair": ("LAB-13", "terms/closure, node", _closure_lacks_a_pair),
    "closure-offsets": ("LAB-13", "terms/closure_offsets", _closure_offsets),
    "closure-node": ("LAB-13", "terms/closure, element 2", _value(lambda d: _ontology(d)["closure"], 2, 5000)),
    "category-term": ("LAB-14", "category_terms", _value(lambda d: _ontology(d)["category_terms"], 0, 5000)),
    "category-term-twice": ("LAB-14", "category_terms", _node_twice),
    "term-counts": ("LAB-15", "terms/counts, node 0", _value(lambda d: _ontology(d)["counts"], 0, 1)),
    "category-name": ("LAB-16", "category_terms, category", _other_name),
    "release": ("LAB-17", "ontology", _release),
    "genes-twice": ("GEN-2", "genes/1/id/bytes, gene", _gene_twice),
    "gene-id-empty": ("GEN-2", "genes/1/id/bytes, gene 4", _gene_id(b"")),
    "gene-id-line": ("GEN-2", "genes/1/id/bytes, gene 4", _gene_id(b"a\nb")),
    "gene-id-other": ("GEN-12", "index_digest", _gene_id(b"another")),
    "taxon": ("GEN-4", "genes/1/taxon, gene 4", _value(lambda d: d.manifest["genes"]["taxon"], 4, -1)),
    "resolved": ("GEN-5", "genes/1/resolved, element 4", _value(lambda d: d.manifest["genes"]["resolved"], 4, 2)),
    "symbol": ("GEN-6", "genes/1/symbol/bytes, gene 0", _no_symbol),
    "by-id": ("GEN-7", "genes/1/by_id, element 3", _by_id),
    "organism": ("GEN-8", "organisms", lambda d: d.manifest["genes"]["organisms"][0].update(taxon=10090)),
    "offsets-fall": ("ZAR-23", "barcode/offsets, element 7", _offsets_fall),
    "offsets-begin": ("ZAR-23", "barcode/offsets", _offsets_begin),
    "offsets-end": ("ZAR-23", "barcode/offsets", _offsets_end),
    "not-utf8": ("ZAR-23", "barcode/bytes, string", _not_utf8),
    "letter-cut": ("ZAR-23", "barcode/bytes, string 3", _cut_letter),
    "missing-flag": ("CEL-16", "missing, cell 11", _missing("masked", 7)),
    "missing-value": ("CEL-16", "values, cell", _missing_not_zero),
    "missing-text": ("CEL-16", "text/offsets, cell", _missing_text),
    "boolean": ("CEL-18", "values, cell 11", _value(lambda d: d.obs("good")["values"], 11, 2)),
    "obs-code": ("CEL-19", "codes, cell 11", _value(lambda d: d.obs("identifier")["codes"], 11, 310)),
    "obs-categories": ("CEL-19", "labels/1/obs-", _column_categories),
    "fill-in-data": ("ZAR-18", "values, shard 0, element 12", _fill_in_data),
    "fill-in-codes": ("ZAR-18", "codes, shard 0, element 11", _value(lambda d: d.obs("identifier")["codes"], 11, -2)),
    "record-json": ("SRC-1", f"{SOURCES}/records/bytes, source 0", _record_text(b"{")),
    "record-utf8": ("ZAR-23", f"{SOURCES}/records/bytes, string 0", _record_text(b"\xff")),
    "record-member": ("SRC-1", f"{SOURCES}/records/bytes, source 0", _record_text(b"{}")),
    "record-type": ("SRC-1", f"{SOURCES}/records/bytes, source 1", _record(1, n_rows="90")),
    "record-name": ("SRC-2", "sources", _record(1, name="anndata")),
    "record-columns": ("SRC-4", f"{SOURCES}/records/bytes, source 1", lambda d: d.record(1, _more_columns)),
    "record-path": ("MAN-7", f"{SOURCES}/records/bytes, source 1", _record(1, path="/home/someone/a.h5ad")),
    "record-n-vars": ("SRC-9", f"{SOURCES}/records/bytes, source 1", _record(1, n_vars=61)),
    "record-n-cells": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, n_cells=89)),
    "record-n-nonzero": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, n_nonzero=5)),
    "record-total": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, total=5)),
    "record-left-out": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, n_left_out=1)),
    "record-merged": ("SRC-11", f"{SOURCES}/records/bytes, source 2", lambda d: d.record(2, _more_merged)),
    "record-resolved": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, n_resolved=1)),
    "record-organisms": ("SRC-11", f"{SOURCES}/records/bytes, source 1", _record(1, organisms=[10090])),
    "measured": ("SRC-5", f"{SOURCES}/measured, source", _measured),
    "measured-flag": (
        "SRC-5",
        f"{SOURCES}/measured, element",
        _value(lambda d: d.part["sources"]["measured"], (1, 3), 3),
    ),
    "count-not-measured": ("SRC-7", f"{SOURCES}/measured, source 0", _not_measured),
    "stats-cells": ("SRC-8", f"{SOURCES}/stats, source 1", _stats(0)),
    "stats-sum": ("SRC-8", f"{SOURCES}/stats, source 1", _stats(1)),
    "stats-squares": ("SRC-8", f"{SOURCES}/stats, source 1", _stats(2)),
    "stats-median": ("SRC-8", f"{SOURCES}/stats, source 1", _stats(3)),
    "var-offsets": ("SRC-9", "var_offsets", _value(lambda d: d.part["sources"]["var_offsets"], 1, 1000)),
    "var-gene": ("SRC-10", "var_gene, element 4", _value(lambda d: d.part["sources"]["var_gene"], 4, 1000)),
}


@pytest.mark.parametrize("name", VALUES)
def test_values(damage: Damage, name: str) -> None:
    requirement, where, change = VALUES[name]
    change(damage)
    damage.seal()
    assert scformat.validate(damage.path, level=2).ok  # the damage is to be where only level 3 looks
    found = scformat.validate(damage.path).findings
    assert any(f.requirement == requirement and where in f.where for f in found), found
    # All digests were put right, so that nothing but the values can have been noticed.
    assert {"INT-2", "INT-3", "INT-4", "CNT-13", "ZAR-10", "ZAR-11", "ZAR-16"}.isdisjoint(f.requirement for f in found)

"""Values of genes, labels and sources that break the format while all checksums and digests hold (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.conformance.corruptions import Corruption, corruption, told
from tools.conformance.corruptions.cells import value

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage

# Genes


def _gene_twice(d: Damage) -> None:
    """Two genes have one id and one taxon."""
    strings = d.manifest["genes"]["id"]
    texts = d.texts(strings)
    texts[4] = texts[3]
    d.put_texts(strings, texts)


def _gene_id(text: bytes) -> Change:
    def act(d: Damage) -> None:
        strings = d.manifest["genes"]["id"]
        texts = d.texts(strings)
        texts[4] = text
        d.put_texts(strings, texts)

    return told(f"The id of gene 4 is {text!r}.", act)


def _by_id(d: Damage) -> None:
    """Two genes have changed places in by_id."""
    values = d.values(d.manifest["genes"]["by_id"])
    values[[3, 4]] = values[[4, 3]]
    d.put(d.manifest["genes"]["by_id"], values)


def _no_symbol(d: Damage) -> None:
    """A gene's symbol is empty."""
    strings = d.manifest["genes"]["symbol"]
    d.put_texts(strings, [b"", *d.texts(strings)[1:]])


def _organism(d: Damage) -> None:
    """The only organism has another taxon than the genes."""
    d.manifest["genes"]["organisms"][0]["taxon"] = 10090


def _set_digest(d: Damage) -> None:
    """set_digest is another."""
    d.manifest["genes"]["set_digest"] = "3" * 64


def _genes(member: str) -> Callable[[Damage], dict[str, Any]]:
    return lambda d: dict.__getitem__(d.manifest["genes"], member)


def _biotype(d: Damage) -> None:
    """A biotype is no UTF-8."""
    strings = d.manifest["genes"]["biotype"]
    d.put_texts(strings, [b"\xff", *d.texts(strings)[1:]])


GENES: dict[str, Corruption] = {
    "genes-twice": corruption("GEN-2", "genes/1/id/bytes, gene", _gene_twice),
    "gene-id-empty": corruption("GEN-2", "genes/1/id/bytes, gene 4", _gene_id(b"")),
    "gene-id-line": corruption("GEN-2", "genes/1/id/bytes, gene 4", _gene_id(b"a\nb")),
    "gene-id-delete": corruption("GEN-2", "genes/1/id/bytes, gene 4", _gene_id(b"a\x7fb")),
    "gene-id-other": corruption("GEN-12", "index_digest", _gene_id(b"another")),
    "set-digest": corruption("GEN-13", "set_digest", _set_digest),
    "taxon": corruption("GEN-4", "genes/1/taxon, gene 4", value("The taxon of gene 4 is -1.", _genes("taxon"), 4, -1)),
    "resolved": corruption(
        "GEN-5", "genes/1/resolved, element 4", value("resolved of gene 4 is 2.", _genes("resolved"), 4, 2)
    ),
    "symbol": corruption("GEN-6", "genes/1/symbol/bytes, gene 0", _no_symbol),
    "biotype": corruption("ZAR-23", "genes/1/biotype/bytes, string 0", _biotype),
    "by-id": corruption("GEN-7", "genes/1/by_id, element 3", _by_id),
    "by-id-beyond": corruption(
        "GEN-7", "genes/1/by_id, element 3", value("by_id names a gene that is not there.", _genes("by_id"), 3, 70_000)
    ),
    "organism": corruption("GEN-8", "organisms", _organism),
}

# Labels


def ontology(d: Damage) -> dict[str, Any]:
    """The term graph of the cell types."""
    found: dict[str, Any] = d.label("cell_type")["ontology"]
    return found


def _resized(d: Damage, array: dict[str, Any], values: Any) -> None:
    """Give an array other values in one chunk."""
    array["chunk"] = array["shard"] = [*([1] * (values.ndim - 1)), max(1, values.shape[-1])]
    if values.ndim == 2:
        array["shard"] = [values.shape[0], max(1, values.shape[-1])]
    d.put(array, values)


def _closure_lacks_a_pair(d: Damage) -> None:
    """A term lacks one that is above it in the closure."""
    graph = ontology(d)
    offsets, closure = d.values(graph["closure_offsets"]), d.values(graph["closure"])
    node = int(np.diff(offsets).argmax())
    offsets[node + 1 :] -= 1
    _resized(d, graph["closure"], np.delete(closure, offsets[node]))
    d.put(graph["closure_offsets"], offsets)


def _closure_descends(d: Damage) -> None:
    """Two terms of one closure have changed places."""
    graph = ontology(d)
    offsets, closure = d.values(graph["closure_offsets"]), d.values(graph["closure"])
    at = int(offsets[int(np.diff(offsets).argmax())])
    closure[[at, at + 1]] = closure[[at + 1, at]]
    d.put(graph["closure"], closure)


def _closure_goes_on(d: Damage) -> None:
    """The closure has one more node than the offsets say."""
    closure = d.values(ontology(d)["closure"])
    _resized(d, ontology(d)["closure"], np.append(closure, closure[-1:]))


def _closure_negative(d: Damage) -> None:
    """The closure names the node -3, and an edge one that is not there."""
    d.change(ontology(d)["closure"], 2, -3)
    d.change(ontology(d)["edges"], (0, 0), 5000)


def _cycle(d: Damage) -> None:
    """A parent is the child of its child."""
    graph = ontology(d)
    edges = d.values(graph["edges"])
    both = np.unique(np.concatenate([edges, edges[::-1, :1]], axis=1), axis=1)
    _resized(d, graph["edges"], both)


def _edge_twice(d: Damage) -> None:
    """An edge is listed twice."""
    edges = d.values(ontology(d)["edges"])
    _resized(d, ontology(d)["edges"], np.concatenate([edges[:, :1], edges], axis=1))


def _edges_not_sorted(d: Damage) -> None:
    """The edges are in the reverse order."""
    edges = d.values(ontology(d)["edges"])
    d.put(ontology(d)["edges"], edges[:, ::-1])


def _term_ids_not_sorted(d: Damage) -> None:
    """The ids of terms are in the reverse order."""
    strings = ontology(d)["id"]
    d.put_texts(strings, d.texts(strings)[::-1])


def _term_id_twice(d: Damage) -> None:
    """Two terms have one id."""
    strings = ontology(d)["id"]
    texts = d.texts(strings)
    d.put_texts(strings, [texts[0], texts[0], *texts[2:]])


def _term_without_name(d: Damage) -> None:
    """The name of a term is empty."""
    strings = ontology(d)["name"]
    d.put_texts(strings, [b"", *d.texts(strings)[1:]])


def _node_twice(d: Damage) -> None:
    """Two categories have one node."""
    terms = d.values(ontology(d)["category_terms"])
    held = np.flatnonzero(terms >= 0)
    terms[held[0]] = terms[held[1]]
    d.put(ontology(d)["category_terms"], terms)


def _other_name(d: Damage) -> None:
    """A category that is a term has another name."""
    strings = d.label("cell_type")["categories"]
    terms = d.values(ontology(d)["category_terms"])
    texts = d.texts(strings)
    at = int(np.flatnonzero(terms >= 0)[-1])
    texts[at] += b"!"
    d.put_texts(strings, texts)


def _release(d: Damage) -> None:
    """The release of the ontology that the nodes come from is not given."""
    releases = ontology(d)["releases"]
    releases["XX"] = releases.pop("CL")


def _categories(text: str, change: Callable[[list[bytes]], list[bytes]]) -> Change:
    def act(d: Damage) -> None:
        strings = d.label("donor_id")["categories"]
        d.put_texts(strings, change(d.texts(strings)))

    return told(text, act)


def _graph(member: str) -> Callable[[Damage], dict[str, Any]]:
    return lambda d: dict.__getitem__(ontology(d), member)


LABELS: dict[str, Corruption] = {
    "label-cells": corruption(
        "LAB-4",
        "counts, category 1",
        value("A category of a label is said to have no cells.", lambda d: d.label("donor_id")["counts"], 1, 0),
    ),
    "label-category-twice": corruption(
        "LAB-2", "categories", _categories("Two categories of a label are one text.", lambda t: [t[0], *t[:-1]])
    ),
    "label-categories-not-sorted": corruption(
        "LAB-2", "categories", _categories("The categories of a label are in the reverse order.", lambda t: t[::-1])
    ),
    "term-ids": corruption("LAB-11", "terms/id", _term_ids_not_sorted),
    "term-ids-twice": corruption("LAB-11", "terms/id", _term_id_twice),
    "term-name": corruption("LAB-11", "terms/name", _term_without_name),
    "edges-cycle": corruption("LAB-12", "terms/edges", _cycle),
    "edges-twice": corruption("LAB-12", "terms/edges", _edge_twice),
    "edges-order": corruption("LAB-12", "terms/edges", _edges_not_sorted),
    "edges-node-negative": corruption(
        "LAB-12", "terms/edges, edge 0", value("An edge begins at the node -3.", _graph("edges"), (0, 0), -3)
    ),
    "edges-node": corruption(
        "LAB-12",
        "terms/edges, edge 0",
        value("An edge begins at a node that is not there.", _graph("edges"), (0, 0), 5000),
    ),
    "closure-lacks-a-pair": corruption("LAB-13", "terms/closure, node", _closure_lacks_a_pair),
    "closure-descends": corruption("LAB-13", "terms/closure", _closure_descends),
    "closure-offsets": corruption(
        "LAB-13",
        "terms/closure_offsets",
        value("An offset of the closure is beyond it.", _graph("closure_offsets"), 1, 10_000),
    ),
    "closure-begins": corruption(
        "LAB-13",
        "terms/closure_offsets",
        value("The offsets of the closure begin with 1.", _graph("closure_offsets"), 0, 1),
    ),
    "closure-goes-on": corruption("LAB-13", "terms/closure_offsets", _closure_goes_on),
    "closure-node-negative": corruption("LAB-13", "terms/closure, element 2", _closure_negative),
    "closure-node": corruption(
        "LAB-13",
        "terms/closure, element 2",
        value("The closure names a node that is not there.", _graph("closure"), 2, 5000),
    ),
    "category-term": corruption(
        "LAB-14", "category_terms", value("The node of a category is not there.", _graph("category_terms"), 0, 5000)
    ),
    "category-term-negative": corruption(
        "LAB-14", "category_terms", value("The node of a category is -3.", _graph("category_terms"), 0, -3)
    ),
    "category-term-twice": corruption("LAB-14", "category_terms", _node_twice),
    "term-counts": corruption(
        "LAB-15", "terms/counts, node 0", value("A term has another number of cells.", _graph("counts"), 0, 1)
    ),
    "category-name": corruption("LAB-16", "category_terms, category", _other_name),
    "release": corruption("LAB-17", "ontology", _release),
}

# Sources


def record(source: int, text: str, **members: Any) -> Change:
    """Change members of a source's record."""
    return told(text, lambda d: d.record(source, lambda found: found.update(members)))


def _record_text(text: bytes) -> Change:
    def act(d: Damage) -> None:
        strings = d.part["sources"]["records"]
        d.put_texts(strings, [text, *d.texts(strings)[1:]])

    return told(f"The first record is {text!r}.", act)


def _name_twice(d: Damage) -> None:
    """Two sources have one name."""
    import json

    first = json.loads(d.texts(d.part["sources"]["records"])[0])["name"]
    d.record(1, lambda found: found.update(name=first))


def _more_columns(d: Damage) -> None:
    """A record lists a column that the store does not have."""
    d.record(1, lambda r: r["columns"].append({"name": "nowhere", "kind": "string", "dtype": "string"}))


def _column_listed_twice(d: Damage) -> None:
    """A record lists a column twice."""
    d.record(1, lambda r: r["columns"].append(r["columns"][0]))


def _category_twice(d: Damage) -> None:
    """A record lists a category of a column twice."""
    column = {"name": "identifier", "kind": "categorical", "dtype": "string", "categories": ["a", "a"]}

    def change(r: dict[str, Any]) -> None:
        r["columns"] = [c for c in r["columns"] if c["name"] != "identifier"] + [column]

    d.record(1, change)


def _record_member_twice(d: Damage) -> None:
    """A record has a member twice."""
    texts = d.texts(d.part["sources"]["records"])
    d.put_texts(d.part["sources"]["records"], [texts[0].replace(b"{", b'{"later": 1, "later": 1, ', 1), *texts[1:]])


def _record_not_exact(d: Damage) -> None:
    """A record has a number that is not exact as binary64."""
    d.record(0, lambda r: r.update(later=2**60 + 1))


def _organisms_twice(d: Damage) -> None:
    """The organisms of a record name one taxon twice."""
    d.record(1, lambda r: r.update(organisms=2 * r["organisms"]))


def _organism_more(d: Damage) -> None:
    """The organisms of a record name one that none of its genes has."""
    d.record(1, lambda r: r.update(organisms=[*r["organisms"], 2**31 - 1]))


def _n_vars(d: Damage) -> None:
    """Put n_vars of the records right after a change of var_offsets."""
    lengths = np.diff(d.values(d.part["sources"]["var_offsets"])).tolist()
    for s, n in enumerate(lengths):
        d.record(s, lambda r, n=n: r.update(n_vars=max(n, 0)))  # type: ignore[misc]


def _var_begin(d: Damage) -> None:
    """The columns of the first source begin with 1, and its n_vars is what the offsets say."""
    d.change(_sources("var_offsets")(d), 0, 1)
    _n_vars(d)


def _var_falls(d: Damage) -> None:
    """The columns of the second source end before they begin, and n_vars is what the offsets say."""
    offsets = d.values(_sources("var_offsets")(d))
    d.change(_sources("var_offsets")(d), 2, int(offsets[1]) - 4)
    _n_vars(d)


def _more_merged(d: Damage) -> None:
    """A record counts one merged column too many."""
    d.record(2, lambda r: r.update(n_merged=r["n_merged"] + 1))


def _sources(member: str) -> Callable[[Damage], dict[str, Any]]:
    return lambda d: dict.__getitem__(d.part["sources"], member)


def _measured(d: Damage) -> None:
    """A gene that a source has no column of is said to be measured."""
    measured = d.part["sources"]["measured"]
    values = d.values(measured)
    s, g = np.argwhere(values == 0)[0]
    d.change(measured, (s, g), 1)


def _not_measured(d: Damage) -> None:
    """A source forgets a column that its cells have counts of."""
    sources = d.part["sources"]
    gene = int(d.values(sources["stats"])[0, 0].argmax())
    offsets, var_gene = d.values(sources["var_offsets"]), d.values(sources["var_gene"])
    at = int(np.flatnonzero(var_gene[: offsets[1]] == gene)[0])
    d.change(sources["var_gene"], at, -1)
    d.change(sources["measured"], (0, gene), 0)
    d.record(0, lambda r: r.update(n_left_out=1))


def _stats(row: int, what: str) -> Change:
    def act(d: Damage) -> None:
        stats = d.part["sources"]["stats"]
        gene = int(d.values(stats)[0, 1].argmax())
        d.change(stats, (row, 1, gene), int(d.values(stats)[row, 1, gene]) + 1)

    return told(f"The {what} of a gene in a source is one too many.", act)


def _var_end(d: Damage) -> None:
    """The columns of the last source end before those of the part do, and its n_vars is what the offsets say."""
    d.change(_sources("var_offsets")(d), -1, int(d.values(_sources("var_offsets")(d))[-1]) - 1)
    _n_vars(d)


SOURCES_AT = "parts/1/sources"
SOURCES: dict[str, Corruption] = {
    "record-json": corruption(
        "SRC-1", f"{SOURCES_AT}/records/bytes, source 0", _record_text(b"{"), refuse=[("describe",)]
    ),
    "record-list": corruption("SRC-1", f"{SOURCES_AT}/records/bytes, source 0", _record_text(b"[]")),
    "record-utf8": corruption("ZAR-23", f"{SOURCES_AT}/records/bytes, string 0", _record_text(b"\xff")),
    "record-member": corruption(
        "SRC-1", f"{SOURCES_AT}/records/bytes, source 0", _record_text(b"{}"), refuse=[("describe",)]
    ),
    "record-type": corruption(
        "SRC-1", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_rows of a record is text.", n_rows="90")
    ),
    "record-name": corruption("SRC-2", "sources", _name_twice),
    "record-columns": corruption("SRC-4", f"{SOURCES_AT}/records/bytes, source 1", _more_columns),
    "record-column-twice": corruption("SRC-4", f"{SOURCES_AT}/records/bytes, source 1", _column_listed_twice),
    "record-path": corruption(
        "MAN-7",
        f"{SOURCES_AT}/records/bytes, source 1",
        record(1, "The path of a record has several segments.", path="/home/someone/a.h5ad"),
    ),
    "record-path-of-windows": corruption(
        "MAN-7",
        f"{SOURCES_AT}/records/bytes, source 1",
        record(1, "The path of a record has several segments, divided by backslashes.", path="C:\\someone\\a.h5ad"),
    ),
    "record-category-twice": corruption("SRC-4", f"{SOURCES_AT}/records/bytes, source 1", _category_twice),
    "record-member-twice": corruption("CNV-1", f"{SOURCES_AT}/records/bytes, source 0", _record_member_twice),
    "record-number-not-exact": corruption("CNV-2", f"{SOURCES_AT}/records/bytes, source 0", _record_not_exact),
    "record-organisms-twice": corruption("SRC-11", f"{SOURCES_AT}/records/bytes, source 1", _organisms_twice),
    "record-organism-more": corruption("SRC-11", f"{SOURCES_AT}/records/bytes, source 1", _organism_more),
    "record-n-vars": corruption(
        "SRC-9", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_vars of a record is another.", n_vars=61)
    ),
    "record-n-cells": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_cells of a record is another.", n_cells=2)
    ),
    "record-n-rows": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "A record has fewer rows than cells.", n_rows=1)
    ),
    "record-n-nonzero": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_nonzero of a record is another.", n_nonzero=5)
    ),
    "record-total": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "total of a record is another.", total=5)
    ),
    "record-left-out": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_left_out of a record is another.", n_left_out=1)
    ),
    "record-merged": corruption("SRC-11", f"{SOURCES_AT}/records/bytes, source 2", _more_merged),
    "record-resolved": corruption(
        "SRC-11", f"{SOURCES_AT}/records/bytes, source 1", record(1, "n_resolved of a record is another.", n_resolved=1)
    ),
    "record-organisms": corruption(
        "SRC-11",
        f"{SOURCES_AT}/records/bytes, source 1",
        record(1, "The organisms of a record are others.", organisms=[10090]),
    ),
    "measured": corruption("SRC-5", f"{SOURCES_AT}/measured, source", _measured),
    "measured-flag": corruption(
        "SRC-5", f"{SOURCES_AT}/measured, element", value("A flag of measured is 3.", _sources("measured"), (1, 3), 3)
    ),
    "count-not-measured": corruption("SRC-7", f"{SOURCES_AT}/measured, source 0", _not_measured),
    "stats-cells": corruption("SRC-8", f"{SOURCES_AT}/stats, source 1", _stats(0, "number of cells")),
    "stats-sum": corruption("SRC-8", f"{SOURCES_AT}/stats, source 1", _stats(1, "sum")),
    "stats-squares": corruption("SRC-8", f"{SOURCES_AT}/stats, source 1", _stats(2, "sum of squares")),
    "stats-median": corruption("SRC-8", f"{SOURCES_AT}/stats, source 1", _stats(3, "median")),
    "var-offsets": corruption(
        "SRC-9",
        "var_offsets",
        value("The columns of a source begin beyond those of the part.", _sources("var_offsets"), 1, 1000),
    ),
    "var-offsets-begin": corruption("SRC-9", "var_offsets", _var_begin),
    "var-offsets-fall": corruption("SRC-9", "var_offsets", _var_falls),
    "var-offsets-end": corruption("SRC-9", "var_offsets", _var_end),
    "var-gene": corruption(
        "SRC-10", "var_gene, element 4", value("A column is a gene that is not there.", _sources("var_gene"), 4, 1000)
    ),
    "var-gene-negative": corruption(
        "SRC-10", "var_gene, element 4", value("The gene of a column is -3.", _sources("var_gene"), 4, -3)
    ),
}

"""Arrays with right checksums whose values break what readers take for granted: graphs, categories, tables, records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from scformat.errors import InvalidDataError, ScformatError
from scformat.exporting import source_anndata
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Liar

    from scformat.manifest import Ontology, StringArray


def refused(code: str) -> pytest.RaisesExc[ScformatError]:
    return pytest.raises(ScformatError, match=rf"\[{code}\]$")


def ontology(liar: Liar) -> tuple[str, Ontology]:
    return next((label.name, label.ontology) for label in liar.manifest.labels if label.ontology is not None)


def rewrite(
    liar: Liar, strings: StringArray, texts: list[str], place: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Write a string array anew, of the same number of strings, and say its new size."""
    made = Strings.of(texts)
    liar.edit(lambda m: place(m)["bytes"].update(shape=[len(made.data)]))
    liar.write(strings.bytes.model_copy(update={"shape": [len(made.data)]}), made.data)
    liar.write(strings.offsets, made.offsets)


def test_terms_above_themselves(liar: Liar) -> None:
    """Two nodes that are above one another: a walk up would have no end."""
    name, graph = ontology(liar)
    edges = liar.values(graph.edges)
    liar.change(graph.edges, (slice(None), 0), edges[::-1, 0])
    with refused("bad-ontology"):
        _ = liar.open().labels[name].ontology.graph  # type: ignore[union-attr]
    with refused("bad-ontology"):
        liar.open().select(f"`{name}` under 'cell'")


@pytest.mark.parametrize("value", [-1, 10**6, -(2**31) + 1])
@pytest.mark.parametrize("member", ["closure", "edges", "closure_offsets", "category_terms"])
def test_terms_that_are_not_there(liar: Liar, member: str, value: int) -> None:
    name, graph = ontology(liar)
    array = getattr(graph, member)
    liar.change(array, (0,) * len(array.shape), value)
    found = liar.open().labels[name].ontology
    assert found is not None
    if member == "category_terms" and value == -1:
        assert found.category_terms[0] == -1
        return
    with refused("bad-(ontology|code)"):
        _ = found.graph, found.category_terms


def test_one_category_twice(liar: Liar) -> None:
    label = liar.manifest.labels[0]
    assert label.name == "lab"
    rewrite(liar, label.categories, ["a", "a", "c"], lambda m: m["labels"][0]["categories"])
    for read in (lambda s: s.labels["lab"].categories, lambda s: s.obs(["lab"]), lambda s: s.select("lab == 'a'")):
        with refused("bad-categories"):
            read(liar.open())


@pytest.mark.parametrize("change", [
    {"columns": [{"name": "lab", "kind": "integer", "dtype": "V1000000000"}]},
    {"columns": [{"name": "lab", "kind": "integer", "dtype": "object"}]},
    {"columns": [{"name": "lab", "kind": "float", "dtype": "datetime64[ns]"}]},
    {"columns": "lab"},
    {"n_cells": -1},
    {"name": None},
], ids=range(6))  # fmt: skip
def test_records_of_sources(liar: Liar, change: dict[str, Any]) -> None:
    records = liar.part.sources.records
    document = json.loads(liar.open()._storage.read_strings(records)[0]) | change
    rewrite(liar, records, [json.dumps(document)], lambda m: m["parts"][0]["sources"]["records"])
    for read in (lambda s: s.sources, lambda s: s.obs(["lab"]), lambda s: s.obs(["source"])):
        with refused("bad-source-record"):
            read(liar.open())


def test_types_that_a_source_cannot_have_had(liar: Liar) -> None:
    """The record says numbers where the store has letters."""
    records = liar.part.sources.records
    document = json.loads(liar.open()._storage.read_strings(records)[0])
    text = next(c for c in document["columns"] if c["kind"] == "string")
    text.update(kind="integer", dtype="int64")
    rewrite(liar, records, [json.dumps(document)], lambda m: m["parts"][0]["sources"]["records"])
    with refused("bad-source-record"):
        liar.open().obs([text["name"]])


@pytest.mark.parametrize("dtype", ["object", "datetime64[ns]", "V1000000000", "complex128"])
def test_types_of_counts(liar: Liar, dtype: str) -> None:
    records = liar.part.sources.records
    document = json.loads(liar.open()._storage.read_strings(records)[0]) | {"dtype": dtype}
    rewrite(liar, records, [json.dumps(document)], lambda m: m["parts"][0]["sources"]["records"])
    with refused("bad-source-record"):
        source_anndata(liar.open(), document["name"])


@pytest.mark.parametrize("value", [-5, 2**40])
def test_genes_of_sources(liar: Liar, value: int) -> None:
    sources = liar.part.sources
    liar.change(sources.var_offsets, 1, value)
    with refused("bad-offsets"):
        liar.open().sources_view.genes(0)


def test_genes_of_sources_beyond_the_index(liar: Liar) -> None:
    liar.change(liar.part.sources.var_gene, 0, 10**6)
    with refused("bad-code"):
        liar.open().sources_view.genes(0)


@pytest.mark.parametrize(("member", "at", "value"), [
    ("run_start", 0, 2**62), ("run_length", 0, 2**62), ("run_start", 0, -1), ("offsets", 1, 2**40), ("alias", 0, 2**30),
    ("threshold", 0, 2**40), ("masses", 0, -5), ("masses", 0, 2**62), ("counts", 0, 2**62),
])  # fmt: skip
def test_tables(liar: Liar, member: str, at: int, value: int) -> None:
    table = liar.manifest.tables[0].document
    liar.change(liar.array(table[member]), at, value)
    if member == "run_length":  # whatever else says so, says it too
        counts = liar.array(table["counts"])
        liar.change(counts, 0, value)
    with refused("bad-.*"):
        liar.open().tables["ct"].draw(1, 0, 100)


def test_strata_of_categories_that_are_not_there(liar: Liar) -> None:
    table = liar.manifest.tables[0].document
    liar.change(liar.array(table["codes"]), (0, 0), 99)
    with refused("bad-code"):
        _ = liar.open().tables["ct"].strata


def test_numbers_of_no_shard(liar: Liar) -> None:
    array = liar.part.shard_rows
    values = liar.values(array)
    liar.write(array, np.where(np.arange(len(values)) == len(values) - 1, 2**40, values))
    with refused("bad-shard-rows"):
        liar.open().read([5])


def test_strings_that_claim_more_than_there_is(liar: Liar) -> None:
    """One offset and the manifest say a barcode of 2^50 bytes."""
    barcode = liar.part.barcode
    liar.edit(lambda m: m["parts"][0]["barcode"]["bytes"].update(shape=[2**50]))
    values = liar.values(barcode.offsets)
    values[5:] = 2**50
    liar.write(barcode.offsets, values)
    for rows in ([4], range(1200)):
        with pytest.raises(InvalidDataError, match=r"\[lost-chunk\]$"):
            liar.open().barcodes(list(rows))

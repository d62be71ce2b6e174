"""The ontologies of cellxgene-ontology-guide 1.11.1, as they are."""

from __future__ import annotations

import pytest

pytest.importorskip("cellxgene_ontology_guide")

from calls import calls_of

from scformat.errors import UnknownNameError, UsageError
from scformat.ontology import build_graph, load, load_taxa, releases
from scformat.ontology.guide import _scan, organism_table


def test_terms_and_releases() -> None:
    cells = load("CL")
    assert (cells.prefix, cells.release, len(cells)) == ("CL", releases()["CL"], len(cells.terms))
    term = cells["CL:0000598"]
    assert (term.name, term.deprecated) == ("pyramidal neuron", False)
    assert set(term.synonyms) >= {"pyramidal cell"}
    assert load("CL") is cells
    assert load("AfPO") is load("HANCESTRO")


@pytest.mark.parametrize("prefix", ["CL", "UBERON", "MONDO", "EFO", "HANCESTRO", "HsapDv", "MmusDv", "PATO"])
def test_edges_reach_the_ancestors_that_the_guide_gives(prefix: str) -> None:
    """Also where the guide's path leads through a term of another ontology, which it leaves out."""
    from cellxgene_ontology_guide.supported_versions import CXGSchema

    raw = CXGSchema().ontology(prefix)
    graph = build_graph([load(prefix)], raw)
    assert graph.ids == tuple(sorted(raw))
    for node, term_id in enumerate(graph.ids):
        assert {graph.ids[a] for a in graph.ancestors_of(node)} == {term_id, *raw[term_id]["ancestors"]}


def test_an_assay_is_below_the_experimental_factor() -> None:
    graph = build_graph([load("EFO")], ["EFO:0009922"])
    assert {graph.names[a] for a in graph.ancestors_of(graph.nodes["EFO:0009922"])} == {
        "10x 3' v3", "10x 3' transcription profiling", "10x transcription profiling", "10x technology",
        "single cell library construction", "experimental process", "planned process", "experimental factor",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "term_id", "status"),
    [
        ("CL:0000003", "CL:0000000", "replaced"),  # obsolete native cell
        ("CL:0000044", "CL:0000051", "replaced"),  # a withdrawn term that lost even its name
        ("CL:0000073", "CL:0000073", "deprecated"),  # replaced by CL:0000215, itself withdrawn
        ("CL:0000013", "CL:0000013", "deprecated"),  # a term to consider, none that replaces
        ("CL:0000045", "CL:0000045", "deprecated"),  # neither
        ("CL_3000003", "CL:3000003", "exact-id"),
        ("projection neuron", "CL:0000598", "synonym"),
        ("t CELL", "CL:0000084", "name"),
    ],
)
def test_real_cell_terms(text: str, term_id: str, status: str) -> None:
    answer = load("CL").resolve(text)
    assert (answer.term_id, answer.status) == (term_id, status)


def test_common_organisms_need_no_search() -> None:
    texts = ["NCBITaxon:9606", "mouse", "Danio rerio", "unknown", "hg38", "EFO:0009922 (x)"]
    assert _scan.__qualname__ in calls_of(lambda: load_taxa([*texts, "Loxodonta africana"]))
    assert _scan.__qualname__ not in calls_of(lambda: load_taxa(texts))
    taxa = load_taxa(texts)
    assert taxa.resolve("human").term_id == "NCBITaxon:9606"
    assert taxa.resolve("Mus musculus").term_id == "NCBITaxon:10090"
    graph = build_graph([taxa], ["NCBITaxon:9606", "NCBITaxon:10090"])
    both = set(graph.ancestors_of(graph.nodes["NCBITaxon:9606"])) & set(
        graph.ancestors_of(graph.nodes["NCBITaxon:10090"])
    )
    assert {"Mammalia", "Vertebrata <vertebrates>"} <= {graph.names[a] for a in both}
    assert "Primates" not in {graph.names[a] for a in both}


def test_the_table_of_organisms_is_the_guides() -> None:
    """Every organism of the table, and one that is not in it, read from the guide's file."""
    table = organism_table()
    assert table.release == releases()["NCBITaxon"]
    raw = dict(_scan(set(table.terms)))
    assert raw.keys() == table.terms.keys()
    graph = build_graph([table], table.terms)
    for node, term_id in enumerate(graph.ids):
        above = {term_id, *(a for a in raw[term_id]["ancestors"] if a in table)}
        assert {graph.ids[a] for a in graph.ancestors_of(node)} == above
        assert table[term_id].name == raw[term_id]["label"]
        assert list(table[term_id].synonyms) == raw[term_id].get("synonyms", [])


def test_a_rare_organism_is_searched_for() -> None:
    taxa = load_taxa(["Loxodonta africana", "human", "NCBITaxon:9785"])
    assert taxa.resolve("Loxodonta africana").term_id == "NCBITaxon:9785"
    graph = build_graph([taxa], ["NCBITaxon:9785", "NCBITaxon:9606"])
    names = {graph.names[a] for a in graph.ancestors_of(graph.nodes["NCBITaxon:9785"])}
    assert {"Elephantidae", "Mammalia", "Eumetazoa"} <= names
    assert "Primates" not in names


def test_what_cannot_be_loaded() -> None:
    with pytest.raises(UnknownNameError, match="UBERON"):
        load("UBERONN")
    with pytest.raises(UsageError, match="ontology-too-large"):
        load("NCBITaxon")

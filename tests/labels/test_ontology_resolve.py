"""From texts to terms."""

from __future__ import annotations

import pytest

from scformat.ontology import Library, Resolution, Scope, Term, Vocabulary, leading_term_id, parse_term_id, resolve

SMALL = Vocabulary.of(
    "CL",
    "r1",
    [
        Term("CL:0000001", "T cell", synonyms=("T lymphocyte", "lymphocyte")),
        Term("CL:0000002", "B cell", synonyms=("B lymphocyte", "lymphocyte", "T cell")),
        Term("CL:0000003", "b CELL"),
        Term("CL:0000004", "obsolete old", deprecated=True, replaced_by="CL_0000001"),
        Term("CL:0000005", "obsolete older", deprecated=True, replaced_by="CL:0000004"),
        Term("CL:0000006", "obsolete lost", deprecated=True, consider=("CL:0000001", "CL:0000002")),
        Term("CL:0000007", "obsolete ring", deprecated=True, replaced_by="CL:0000008"),
        Term("CL:0000008", "obsolete rang", deprecated=True, replaced_by="CL:0000007"),
        Term("CL:0000009", "obsolete elsewhere", deprecated=True, replaced_by="GO:0000001"),
        Term("CL:0000010", "twice"),
        Term("CL:0000011", "twice"),
    ],
)


@pytest.mark.parametrize(
    ("text", "term_id"),
    [
        ("CL:0000084", "CL:0000084"),
        ("CL_0000084", "CL:0000084"),
        (" cl:0000084 ", "CL:0000084"),
        ("http://purl.obolibrary.org/obo/CL_0000084", "CL:0000084"),
        ("https://purl.obolibrary.org/obo/NCBITaxon_9606", "NCBITaxon:9606"),
        ("http://www.ebi.ac.uk/efo/EFO_0009922", "EFO:0009922"),
        ("obo.MmusDv_0000017", "MmusDv:0000017"),
        ("hsapdv:0000003", "HsapDv:0000003"),
        ("CVCL_0001", "CVCL_0001"),
        ("AfPO:0000422", "AfPO:0000422"),
        ("T cell", None),
        ("T_cell", None),
        ("NCIT:C14424", None),
        ("NCBITaxon:7", "NCBITaxon:7"),
        ("CL_01", None),
        ("CL:lymphoid", None),
        ("CL:", None),
        ("CL:0000084 (x)", None),
        ("", None),
    ],
)
def test_ids_in_their_spellings(text: str, term_id: str | None) -> None:
    assert parse_term_id(text) == term_id


def test_leading_ids() -> None:
    assert leading_term_id("EFO:0009922 (sci-plex)") == "EFO:0009922"
    assert leading_term_id("MONDO:1 || MONDO:2") is None
    assert leading_term_id("MONDO:0000001||MONDO:0000002") == "MONDO:0000001"
    assert leading_term_id("brain UBERON:0000955") is None
    assert leading_term_id("CL:0000057_x") is None


@pytest.mark.parametrize(
    ("text", "term_id", "status"),
    [
        ("CL:0000001", "CL:0000001", "exact-id"),
        ("T cell", "CL:0000001", "name"),
        ("t Cell", "CL:0000001", "name"),
        ("B cell", "CL:0000002", "name"),  # exactly, though another differs by case only
        ("B Cell", None, "unknown"),  # two without regard to case
        ("T lymphocyte", "CL:0000001", "synonym"),
        ("lymphocyte", None, "unknown"),  # of two
        ("t lymphocyte", None, "unknown"),  # synonyms are compared exactly
        ("twice", None, "unknown"),
        ("CL:0000004", "CL:0000001", "replaced"),
        ("CL:0000005", "CL:0000001", "replaced"),  # over two steps
        ("obsolete older", "CL:0000001", "replaced"),
        ("CL:0000006", "CL:0000006", "deprecated"),
        ("CL:0000007", "CL:0000007", "deprecated"),  # replaced in a ring
        ("CL:0000009", "CL:0000009", "deprecated"),  # replaced by a term out of reach
        ("CL:0009999", None, "unknown"),
        ("UBERON:0000955", None, "unknown"),  # of another ontology
        ("nothing", None, "unknown"),
        ("unknown", None, "unknown"),
        ("na", None, "unknown"),
        ("CL:0000001 (cell culture)", None, "malformed"),
        ("CL:0000001 || CL:0000002", None, "malformed"),
        ("CL:0000001,CL:0000002", None, "malformed"),
        ("T cell || B cell", None, "malformed"),
    ],
)
def test_statuses(text: str, term_id: str | None, status: str) -> None:
    answer = SMALL.resolve(text)
    assert (answer.term_id, answer.status) == (term_id, status)
    assert answer.fault == (status not in ("exact-id", "name") and text not in ("unknown", "na"))


def test_notes_say_what_was_seen() -> None:
    assert "CL:0000001 (T cell)" in SMALL.resolve("CL:0000001 (cell culture)").note
    assert "several terms" in SMALL.resolve("CL:0000001 || CL:0000002").note
    assert "consider CL:0000001, CL:0000002" in SMALL.resolve("CL:0000006").note
    assert "CL:0000010 or CL:0000011" in SMALL.resolve("twice").note
    assert "GO:0000001" in SMALL.resolve("CL:0000009").note


def test_a_name_has_to_be_one_over_all_vocabularies() -> None:
    human = Vocabulary.of("HsapDv", "r1", [Term("HsapDv:0000001", "embryonic stage"), Term("HsapDv:0000002", "child")])
    mouse = Vocabulary.of("MmusDv", "r1", [Term("MmusDv:0000001", "embryonic stage")])
    library = Library({"HsapDv": human, "MmusDv": mouse})
    scope = Scope(names=("HsapDv", "MmusDv"), ids=("HsapDv", "MmusDv"))
    assert resolve("embryonic stage", library, scope).term_id is None
    assert resolve("child", library, scope).term_id == "HsapDv:0000002"
    assert resolve("MmusDv:0000001", library, scope).term_id == "MmusDv:0000001"


def test_a_scope_can_limit_what_names_lead_to() -> None:
    qualities = Vocabulary.of("PATO", "r1", [Term("PATO:0000461", "normal"), Term("PATO:0000001", "monosomy")])
    diseases = Vocabulary.of("MONDO", "r1", [Term("MONDO:0000001", "monosomy")])
    library = Library({"PATO": qualities, "MONDO": diseases})
    scope = Scope(names=("MONDO", "PATO"), ids=("MONDO", "PATO"), only={"PATO": frozenset({"PATO:0000461"})})
    assert resolve("normal", library, scope).term_id == "PATO:0000461"
    assert resolve("monosomy", library, scope).term_id == "MONDO:0000001"


def test_vocabularies_are_loaded_when_they_are_needed() -> None:
    asked: list[str] = []

    def load(prefix: str) -> Vocabulary | None:
        asked.append(prefix)
        return SMALL if prefix == "CL" else None

    library, scope = Library(load=load), Scope(names=("UBERON", "CL"), ids=("UBERON", "CL"))
    assert resolve("unknown", library, scope) == Resolution(term_id=None, status="unknown")
    assert asked == []
    assert resolve("CL_0000001", library, scope).status == "exact-id"
    assert asked == ["CL"]
    assert resolve("T cell", library, scope).status == "name"
    assert resolve("B cell", library, scope).status == "name"
    assert asked == ["CL", "UBERON"]
    assert library.held() == (SMALL,)

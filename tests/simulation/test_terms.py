"""The fixed ontology terms against the ontologies themselves."""

from __future__ import annotations

from typing import Any

import pytest

from scformat.genes import load
from scformat.simulation.terms import (
    ASSAYS,
    CELL_TYPES,
    DISEASES,
    ETHNICITIES,
    HUMAN,
    NORMAL,
    SEXES,
    STAGES,
    TISSUES,
    CellType,
    Term,
)

TERMS: tuple[CellType | Term, ...] = (
    *CELL_TYPES,
    *TISSUES,
    *DISEASES,
    NORMAL,
    *ASSAYS,
    *SEXES,
    *ETHNICITIES,
    *(stage for stage, _ in STAGES),
)


@pytest.fixture(scope="module")
def parser() -> Any:
    return pytest.importorskip("cellxgene_ontology_guide.ontology_parser").OntologyParser()


@pytest.mark.parametrize("term", TERMS, ids=lambda term: term.id)
def test_term_is_current_and_bears_its_canonical_name(parser: Any, term: CellType | Term) -> None:
    assert parser.get_term_label(term.id) == term.name
    assert not parser.is_term_deprecated(term.id)


def test_organism() -> None:
    assert (HUMAN.id, HUMAN.name) == ("NCBITaxon:9606", load(9606).name)


def test_terms_are_distinct() -> None:
    assert len({term.id for term in TERMS}) == len({term.name for term in TERMS}) == len(TERMS)


def test_cell_types() -> None:
    assert len(CELL_TYPES) == 45
    tissues = {tissue.name for tissue in TISSUES}
    symbols = load(9606).row_of_symbol
    for cell_type in CELL_TYPES:
        assert cell_type.home in tissues | {""}
        assert len(cell_type.markers) >= 2
        assert [symbol for symbol in cell_type.markers if symbol not in symbols] == []

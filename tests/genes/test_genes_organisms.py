from __future__ import annotations

import pytest

from scformat.errors import UsageError
from scformat.genes import ORGANISMS, organism_name, organism_taxon, parse_gene_id


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ENSG00000142599", ("ENSG00000142599", 9606)),
        ("ENSG00000142599.12", ("ENSG00000142599", 9606)),
        ("ENSMUSG00000051951.6", ("ENSMUSG00000051951", 10090)),
        ("ENSRNOG00000009523", ("ENSRNOG00000009523", 10116)),
        ("ENSDARG00000103202", ("ENSDARG00000103202", 7955)),
        ("WBGene00000003", ("WBGene00000003", 6239)),
        ("FBgn0038189", ("FBgn0038189", 7227)),
        ("ERCC-00002", ("ERCC-00002", 32630)),
        ("ENSABCG00000000001", ("ENSABCG00000000001", 0)),
        # The copy on Y is another gene than the one on X.
        ("ENSG00000002586.20_PAR_Y", ("ENSG00000002586_PAR_Y", 9606)),
        # Not genes, not ids, not whole.
        ("ENST00000335137", None),
        ("ENSP00000334393", None),
        ("ENSG0000014259", None),
        ("ENSG000001425990", None),
        ("ensg00000142599", None),
        ("ENSG00000142599 ", None),
        ("ENSG00000142599.", None),
        ("FBgn00381890", None),
        ("ERCC1", None),
        ("MATR3", None),
        ("AL627309.1", None),
        ("", None),
    ],
)
def test_gene_ids(name: str, expected: tuple[str, int] | None) -> None:
    assert parse_gene_id(name) == expected


@pytest.mark.parametrize(
    "text", ["human", "Human", "Homo sapiens", "homo_sapiens", "9606", "NCBITaxon:9606", " human "]
)
def test_human_by_any_name(text: str) -> None:
    assert organism_taxon(text) == 9606


def test_other_organisms() -> None:
    assert organism_taxon("mouse") == 10090
    assert organism_taxon("Danio rerio") == 7955
    assert organism_taxon("NCBITaxon:424242") == 424242
    assert organism_name(424242) == "NCBITaxon:424242"
    assert organism_name(0) == "unknown"


def test_every_organism_is_found_by_its_names_and_no_name_is_shared() -> None:
    names = [name for o in ORGANISMS.values() for name in (o.name.lower(), *o.common)]
    assert len(names) == len(set(names))
    prefixes = [o.prefix for o in ORGANISMS.values() if o.prefix]
    assert len(prefixes) == len(set(prefixes)) >= 20
    for organism in ORGANISMS.values():
        assert {organism_taxon(name) for name in (organism.name, *organism.common)} == {organism.taxon}
        if organism.prefix:
            gene_id = organism.prefix + "0" * organism.digits
            assert parse_gene_id(gene_id) == (gene_id, organism.taxon)


def test_unknown_organism_lists_near_names() -> None:
    with pytest.raises(UsageError, match=r"'huamn'.*'human'.*\[unknown-organism\]"):
        organism_taxon("huamn")
    with pytest.raises(UsageError, match=r"\[unknown-organism\]"):
        organism_taxon("")
    for text in ("0", "NCBITaxon:0", "99999999999"):
        with pytest.raises(UsageError, match=r"\[bad-organism\]"):
            organism_taxon(text)

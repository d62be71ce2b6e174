from __future__ import annotations

import numpy as np
import pytest
from calls import calls_of

from scformat.columns import Column
from scformat.errors import InvalidDataError, UnknownNameError
from scformat.genes import MergedColumns, Reference, resolve
from scformat.strings import Strings

from .genes_small import HUMAN, REFERENCES, categorical, h, m, make_reference, resolve_small, strings


def test_ids_in_the_index() -> None:
    genes = resolve_small([h(1), f"{h(2)}.7", h(99), f"{h(98)}.3"])
    assert (genes.column, genes.kind, genes.organism) == ("index", "id", 9606)
    assert genes.ids == (h(1), h(2), h(99), h(98))
    assert genes.symbols == ("CD4", "CD8A", h(99), h(98))
    assert genes.biotypes == ("protein_coding", "protein_coding", "", "")
    assert genes.taxons.dtype == np.int32
    assert genes.taxons.tolist() == [9606] * 4
    assert genes.resolved.tolist() == [True, True, False, False]
    assert (genes.n_columns, genes.n_resolved, genes.n_unresolved) == (4, 2, 2)
    assert genes.organisms == {9606: 4}
    assert genes.releases == {9606: "test 1"}
    assert genes.merged == ()
    assert genes.ambiguous == ()


def test_symbols_in_the_index() -> None:
    genes = resolve_small(["CD8A", "MATR3", "nobody", "CD99", "ACTB", h(8)])
    assert (genes.column, genes.kind, genes.organism) == ("index", "symbol", 9606)
    assert genes.ids == (h(2), "MATR3", "nobody", h(6), h(9), h(8))
    assert genes.symbols == ("CD8A", "MATR3", "nobody", "CD99", "ACTB", "MALAT1")
    assert genes.resolved.tolist() == [True, False, False, True, True, True]
    assert genes.taxons.tolist() == [9606] * 6
    assert genes.ambiguous == ("MATR3",)


def test_case_tells_human_from_mouse() -> None:
    assert resolve_small(["Cd4", "Cd8a", "Actb", "nobody"]).organism == 10090
    # CD4 is a symbol of both small references: 5 against 1 is enough, 4 against 1 is not.
    assert resolve_small(["CD4", "CD8A", "ACTB", "GAPDH", "B2M"]).organism == 9606
    unsure = resolve_small(["CD4", "CD8A", "ACTB", "GAPDH"])
    assert (unsure.organism, unsure.n_resolved) == (0, 0)
    assert unsure.taxons.tolist() == [0] * 4
    assert unsure.ids == unsure.symbols == ("CD4", "CD8A", "ACTB", "GAPDH")
    assert unsure.releases == {}


def test_the_organism_given_decides_where_symbols_do_not() -> None:
    genes = resolve_small(["CD4", "CD8A", "ACTB", "GAPDH"], organism=9606)
    assert (genes.organism, genes.n_resolved) == (9606, 4)
    # An organism without a reference: names stay, under its taxon.
    rat = resolve_small(["Cd4", "Cd8a", "Actb"], organism=10116)
    assert rat.taxons.tolist() == [10116] * 3
    assert rat.n_resolved == 0


def test_prefix_goes_before_the_organism_given() -> None:
    genes = resolve_small([h(1), h(2), m(1)], organism=9606)
    assert genes.taxons.tolist() == [9606, 9606, 10090]
    assert genes.ids == (h(1), h(2), m(1))
    assert genes.resolved.all()
    mixed = resolve_small([h(1), h(2), m(1), "GFP"] * 5)
    assert mixed.organism == 0


def test_names_among_ids_are_of_the_organism_of_the_ids() -> None:
    genes = resolve_small([*(h(i) for i in range(20, 50)), "GFP", "CD4", "ERCC-00002"])
    assert genes.kind == "id"
    assert genes.ids[-3:] == ("GFP", h(1), "ERCC-00002")
    assert genes.taxons.tolist()[-3:] == [9606, 9606, 32630]
    assert genes.resolved.tolist()[-3:] == [False, True, False]


def test_copy_on_y_is_its_own_gene() -> None:
    genes = resolve_small([f"{h(6)}.20", f"{h(6)}.20_PAR_Y", f"{h(90)}.1_PAR_Y"])
    assert genes.ids == (h(6), h(7), f"{h(90)}_PAR_Y")
    assert genes.resolved.tolist() == [True, True, False]


def test_ids_in_a_column() -> None:
    ids = [h(1), h(99), h(5), "", h(8), h(9), h(10), h(11), h(2), h(3), h(4)]
    index = ["a", "b", "c", "CD99", "e", "f", "g", "h", "i", "j", "k"]
    genes = resolve_small(index, other=strings(["x"] * 11), gene_ids=None, ens=strings(ids))
    assert (genes.column, genes.kind) == ("ens", "id")
    # A blank id: the var name is looked up. Known without a symbol, or unknown: the var name is the symbol.
    assert genes.ids[:4] == (h(1), h(99), h(5), h(6))
    assert genes.symbols[:4] == ("CD4", "b", "c", "CD99")
    numbered = resolve_small([str(i) for i in range(11)], ens=strings(ids))
    assert numbered.symbols[:3] == ("CD4", h(99), h(5))
    assert numbered.ids[3] == "3"


@pytest.mark.parametrize("n_ids", [8, 9])
def test_nine_tenths_of_the_index_make_it_ids(n_ids: int) -> None:
    index = [h(i) for i in range(20, 20 + n_ids)] + [f"name{i}" for i in range(10 - n_ids)]
    other = categorical([h(i) for i in range(50, 60)])
    genes = resolve_small(index, other=other)
    assert genes.column == ("index" if n_ids == 9 else "other")


def test_the_column_with_most_ids_then_the_first() -> None:
    index = [f"n{i}" for i in range(20)]
    all_ids = [h(i) for i in range(20)]
    nearly = ["", *all_ids[1:]]
    assert resolve_small(index, a=strings(nearly), b=strings(all_ids), c=categorical(all_ids)).column == "b"
    assert resolve_small(index, c=categorical(all_ids), b=strings(all_ids)).column == "c"


def test_missing_values_in_a_column_are_no_names() -> None:
    ids = [h(i) for i in range(1, 19)]
    index = [f"n{i}" for i in range(20)]
    for blank in ("nan", "None", "<NA>"):
        assert resolve_small(index, e=strings([*ids, blank, blank])).ids[-2:] == ("n18", "n19")
    masked = strings([*ids, "junk", "junk"], missing=[False] * 18 + [True] * 2)
    assert resolve_small(index, e=masked).ids[-2:] == ("n18", "n19")
    assert resolve_small(index, e=categorical([*ids, None, None])).ids[-2:] == ("n18", "n19")


def test_numbers_are_not_looked_at() -> None:
    entrez = Column(kind="integer", dtype="int64", values=np.arange(2))
    assert resolve_small(["CD4", "CD8A"], organism=9606, entrez=entrez).column == "index"
    with pytest.raises(UnknownNameError, match=r"'entrez'.*'index'.*\[unknown-var-column\]"):
        resolve_small(["CD4", "CD8A"], entrez=entrez, gene_ids="entrez")


def test_column_asked_for() -> None:
    ids, symbols = [h(1), h(2)], ["Cd4", "Cd8a"]
    assert resolve_small(ids, gene_symbols=strings(symbols), gene_ids="gene_symbols").ids == (m(1), m(2))
    assert resolve_small(symbols, ens=strings(ids), gene_ids="index").ids == (m(1), m(2))
    assert resolve_small(symbols, ens=strings(ids), gene_ids="ens").ids == (h(1), h(2))
    with pytest.raises(UnknownNameError, match=r"pbmc: unknown var column 'esn'.*'ens'.*\[unknown-var-column\]"):
        resolve_small(symbols, ens=strings(ids), gene_ids="esn", source="pbmc")


def test_symbols_beside_an_index_that_names_nothing() -> None:
    symbols = strings(["Cd4", "Cd8a", "nobody"])
    genes = resolve_small(["0", "1", "2"], kind=strings(["x"] * 3), gene_name=symbols)
    assert (genes.column, genes.kind, genes.ids) == ("gene_name", "symbol", (m(1), m(2), "nobody"))
    # An index that does resolve stays, whatever else there is.
    assert resolve_small(["CD8A", "1", "2"], gene_name=symbols).column == "index"
    assert resolve_small(["0", "1", "2"], gene_name=strings(["a", "b", "c"])).column == "index"


def test_symbols_and_biotypes_of_var_serve_what_the_reference_does_not_know() -> None:
    genes = resolve_small(
        [h(1), h(98), h(99)],
        feature_name=strings(["CD4-old", "OLD1", ""]),
        gene_type=categorical(["lncRNA", "snRNA", None]),
    )
    assert genes.symbols == ("CD4", "OLD1", h(99))
    assert genes.biotypes == ("protein_coding", "snRNA", "")
    plain = resolve_small([h(98)], feature_biotype=strings(["gene"]))
    assert plain.biotypes == ("",)


def test_features_that_are_no_genes_stay_unresolved() -> None:
    genes = resolve_small(
        [h(1), h(2), "CD4", "CD8A", "tag1"],
        gene_name=strings(["CD4", "CD8A", "CD4_TotalSeqB", "CD8A", "tag1"]),
        feature_types=categorical(["Gene Expression"] * 2 + ["Antibody Capture"] * 2 + ["Multiplexing Capture"]),
    )
    # Two ids of five names, but two of the two genes.
    assert (genes.column, genes.kind) == ("index", "id")
    assert genes.ids == (h(1), h(2), "CD4", "CD8A", "tag1")
    assert genes.resolved.tolist() == [True, True, False, False, False]
    assert genes.taxons.tolist() == [9606, 9606, 0, 0, 0]
    assert genes.symbols == ("CD4", "CD8A", "CD4_TotalSeqB", "CD8A", "tag1")
    assert genes.biotypes[2:] == ("Antibody Capture", "Antibody Capture", "Multiplexing Capture")


def test_biotypes_in_a_column_of_feature_types_are_genes() -> None:
    genes = resolve_small([h(1), h(99)], feature_type=strings(["protein_coding", "lncRNA"]))
    assert genes.resolved.tolist() == [True, False]
    assert genes.biotypes == ("protein_coding", "lncRNA")


def test_columns_of_one_gene_are_merged() -> None:
    genes = resolve_small([f"{h(1)}.1", h(2), f"{h(1)}.2", h(99), h(1), h(99)])
    assert genes.merged == (
        MergedColumns(taxon=9606, gene_id=h(1), columns=(0, 2, 4)),
        MergedColumns(taxon=9606, gene_id=h(99), columns=(3, 5)),
    )
    names = resolve_small(["MATR3", "nobody", "MATR3", "nobody"], organism=9606)
    assert [(merged.gene_id, merged.columns) for merged in names.merged] == [("MATR3", (0, 2)), ("nobody", (1, 3))]


def test_columns_without_a_name_are_kept_apart() -> None:
    genes = resolve_small(["", "CD4", "", " "], source="pbmc", organism=9606)
    assert genes.ids == ("unnamed-pbmc-0", h(1), "unnamed-pbmc-2", "unnamed-pbmc-3")
    assert genes.resolved.tolist() == [False, True, False, False]
    assert genes.merged == ()


def test_ids_hold_no_control_characters() -> None:
    assert resolve_small(["a\tb", "c\n9606\td", "\u00e9\u4e2d"]).ids == ("a b", "c 9606 d", "\u00e9\u4e2d")


def test_no_columns() -> None:
    genes = resolve_small([])
    assert (genes.n_columns, genes.n_resolved, genes.organism, genes.organisms) == (0, 0, 0, {})


def test_without_references() -> None:
    genes = resolve(index=Strings.of([h(1), "CD4"]), columns={}, references={})
    assert genes.ids == (h(1), "CD4")
    assert genes.n_resolved == 0


def test_ids_of_another_form_are_found_through_their_reference() -> None:
    yeast = make_reference(4932, [("YAL001C", "TFC3", "protein_coding"), ("YAL002W", "VPS8", "protein_coding")])
    references: dict[int, Reference] = {**REFERENCES, 4932: yeast}
    genes = resolve(index=Strings.of(["YAL001C", "YAL002W", "VPS8"]), columns={}, references=references)
    assert (genes.organism, genes.ids) == (4932, ("YAL001C", "YAL002W", "YAL002W"))


def test_ids_of_another_organism_than_given() -> None:
    with pytest.raises(
        InvalidDataError,
        match=r"^heart: .*Homo sapiens \(9606\); found 2 of 3 gene ids of Mus musculus.*\[organism-mismatch\]$",
    ):
        resolve_small([m(1), m(2), h(1)], organism=9606, source="heart")
    # As many of one as of the other, and ids of nobody, say nothing against it.
    assert resolve_small([m(1), h(1)], organism=9606).organism == 9606
    assert resolve_small([m(1), h(1)], organism=10090).organism == 10090
    assert resolve_small(["ENSABCG00000000001"], organism=9606).taxons.tolist() == [9606]
    assert resolve_small(["ERCC-00002", "ERCC-00003"], organism=9606).organism == 9606


def test_symbols_of_another_organism_than_given() -> None:
    with pytest.raises(InvalidDataError, match=r"found 3 of 4 gene names of Mus musculus.*\[organism-mismatch\]"):
        resolve_small(["Cd4", "Cd8a", "Actb", "nobody"], organism=9606)
    # A few ids of another organism among symbols are none.
    assert resolve_small(["CD8A", "ACTB", "GAPDH", m(1)], organism=9606).taxons.tolist() == [9606] * 3 + [10090]
    # Too few of the names resolve to be evidence.
    assert resolve_small(["Cd4", "a", "b"], organism=9606).organism == 9606


def test_nothing_is_changed_and_nothing_remembered() -> None:
    first = resolve_small(["CD4", "MATR3", "CD8A"], organism=9606)
    again = resolve_small(["CD4", "MATR3", "CD8A"], organism=9606)
    assert (first.ids, first.ambiguous) == (again.ids, again.ambiguous)
    assert HUMAN.ids[0] == h(1)


def test_sixty_thousand_columns(references: dict[int, Reference]) -> None:
    human = references[9606]
    assert human.row_of_id
    assert human.row_of_symbol
    index = Strings.of(human.ids[:60_000])
    assert resolve(index=index, columns={}, references=references).n_resolved == 60_000
    calls = calls_of(lambda: resolve(index=index, columns={}, references=references))
    assert calls.total() < 20 * 60_000, calls.most_common(20)

"""What stores have together: unions of genes, categories with terms, and splits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scformat.collection.plan import unite_genes, unite_labels, unite_splits
from scformat.genes import GeneTable
from scformat.labels import Label, LabelOntology
from scformat.manifest import Splits
from scformat.ontology.graph import assemble
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

IDENTITIES = st.lists(st.tuples(st.sampled_from([0, 9606, 10090]), st.sampled_from("ABCDEF")), unique=True, max_size=12)
PARENTS = {"T:1": (), "T:2": ("T:1",), "T:3": ("T:1",), "T:4": ("T:2", "T:3")}
NAMES = {"T:1": "cell", "T:2": "left", "T:3": "right", "T:4": "both"}
CATEGORIES = st.dictionaries(
    st.sampled_from(["cell", "left", "right", "both", "odd", "even"]), st.integers(0, 9), min_size=1
)


def gene_table(identities: Sequence[tuple[int, str]]) -> GeneTable:
    return GeneTable(
        taxons=np.array([taxon for taxon, _ in identities], np.int32),
        ids=Strings.of(name for _, name in identities),
        symbols=Strings.of(name.lower() for _, name in identities),
        biotypes=Strings.of("" for _ in identities),
        resolved=np.ones(len(identities), np.bool_),
    )


def label(counts: dict[str, int], *, terms: bool) -> Label:
    """A label whose categories are terms where they are named like one."""
    texts = tuple(sorted(counts))
    held = {name: term for term, name in NAMES.items() if name in texts}
    ontology = None
    if terms and held:
        needed = set(held.values())
        for term in sorted(needed, reverse=True):  # a parent has a lower number
            needed |= set(PARENTS[term])
        needed |= {"T:1"}
        graph = assemble({t: PARENTS[t] for t in needed}, {t: NAMES[t] for t in needed}, {"T": "1"})
        places = [graph.nodes[held[text]] if text in held else -1 for text in texts]
        ontology = LabelOntology(graph=graph, terms=np.array(places, np.int32))
    numbers = np.array([counts[text] for text in texts], np.int64)
    return Label(name="kind", categories=texts, codes=(), counts=numbers, ontology=ontology, columns=())


@given(st.lists(IDENTITIES, min_size=1, max_size=4))
def test_genes(stores: list[list[tuple[int, str]]]) -> None:
    tables = [gene_table(some) for some in stores]
    united = unite_genes([table.index_digest for table in tables], {table.index_digest: table for table in tables})
    every = list(dict.fromkeys(gene for some in stores for gene in some))
    assert list(united.table.identities) == every
    for some, genes, first in zip(stores, united.genes, united.first, strict=True):
        own = np.arange(len(some)) if genes is None else genes
        assert [every[place] for place in own.tolist()] == some
        packed = np.arange(len(every)) if united.packed is None else united.packed
        assert packed[first : first + len(some)].tolist() == own.tolist()
    assert list(united.table.symbols) == [name.lower() for _, name in every]
    same = len({tuple(some) for some in stores}) == 1
    assert (united.packed is None) == same


@given(st.lists(st.none() | CATEGORIES, min_size=1, max_size=4).filter(any), st.data())
def test_categories(stores: list[dict[str, int] | None], data: st.DataObject) -> None:
    """Each category keeps its text; those of one text, all terms or none, are one, and counts add up."""
    terms = data.draw(st.booleans())
    labels = [None if counts is None else label(counts, terms=terms) for counts in stores]
    united = unite_labels(labels)
    whole = united.label
    assert len(set(whole.categories)) == len(whole.categories)
    assert set(whole.categories) == {text for counts in stores for text in counts or ()}
    first = next(one for one in labels if one is not None)
    assert whole.categories[: len(first.categories)] == first.categories
    total = dict.fromkeys(whole.categories, 0)
    for one, codes in zip(labels, united.codes, strict=True):
        assert (one is None) == (codes is None)
        if one is not None and codes is not None:
            assert codes[-1] == -1
            assert [whole.categories[code] for code in codes[:-1].tolist()] == list(one.categories)
            for text, n in zip(one.categories, one.counts.tolist(), strict=True):
                total[text] += n
    assert dict(zip(whole.categories, whole.counts.tolist(), strict=True)) == total
    if whole.ontology is not None:
        ids = whole.ontology.graph.ids
        found = {c: ids[t] for c, t in zip(whole.categories, whole.ontology.terms.tolist(), strict=True) if t >= 0}
        assert found == {name: term for term, name in NAMES.items() if name in whole.categories}


def test_a_term_that_another_release_renamed_is_one_category() -> None:
    old = label({"left": 3, "odd": 1}, terms=True)
    graph = assemble({"T:1": (), "T:2": ("T:1",)}, {"T:1": "cell", "T:2": "sinister"}, {"T": "2"})
    ontology = LabelOntology(graph=graph, terms=np.array([1], np.int32))
    new = Label(name="kind", categories=("sinister",), codes=(), counts=np.array([4]), ontology=ontology, columns=())
    united = unite_labels([old, new])
    assert united.label.categories == ("left", "odd") and united.label.counts.tolist() == [7, 1]
    assert united.codes[1] is not None and united.codes[1].tolist() == [0, -1]
    assert united.label.ontology is not None and united.label.ontology.graph.releases == {"T": "1, 2"}


def splits(names: list[str], *, shares: list[float] | None, seed: int = 0, by: Sequence[str] = ("donor",)) -> Splits:
    return Splits(names=names, shares=shares, by=list(by), seed=seed, counts=[10 * (i + 1) for i in range(len(names))])


def test_splits() -> None:
    one, other = splits(["train", "test"], shares=[0.8, 0.2]), splits(["val", "train"], shares=[0.5, 0.5])
    united = unite_splits([one, None, other, one])
    assert united.splits is not None and not united.same_rule
    assert (united.splits.names, united.splits.counts, united.splits.by) == (["train", "test", "val"], [40, 40, 10], [])
    assert [codes.tolist() for codes in united.codes] == [[0, 1, -1], [-1], [2, 0, -1], [0, 1, -1]]
    assert unite_splits([None, None]).splits is None


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (splits(["train", "test"], shares=[0.8, 0.2]), True),
        (splits(["train", "test"], shares=[0.8, 0.2], seed=1), False),
        (splits(["train", "test"], shares=[0.8, 0.2], by=["study"]), False),
        (splits(["train", "test"], shares=None), False),
        (None, True),
    ],
)
def test_splits_of_one_rule(other: Splits | None, *, same: bool) -> None:
    first = splits(["train", "test"], shares=[0.8, 0.2])
    united = unite_splits([first, other])
    assert united.same_rule is same
    assert united.splits is not None and (united.splits.shares == first.shares) is same

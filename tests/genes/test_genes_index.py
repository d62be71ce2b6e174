from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import InvalidDataError
from scformat.genes import GeneIndex, GeneMap, extend, gene_key, gene_list, unify

from .genes_small import REFERENCES, h, m, resolve_small, strings

NAMES = st.sampled_from(
    [
        *(h(i) for i in (1, 2, 3, 5, 50, 51)),
        *(m(i) for i in (1, 2, 60)),
        *("CD4", "CD8A", "MATR3", "Cd4", "nobody", "GFP", "", "ERCC-00002", "\u4e2d", "Z", "a"),
        f"{h(1)}.4",
    ]
)
SOURCES = st.lists(
    st.tuples(st.lists(NAMES, max_size=12), st.sampled_from([None, 10116])).map(
        lambda given: resolve_small(given[0], organism=None if any(map(str.strip, given[0])) else given[1])
    ),
    max_size=5,
)


def identities(index: GeneIndex) -> list[tuple[int, str]]:
    return list(zip(index.genes.taxons.tolist(), index.genes.ids, strict=True))


def columns_of(source: GeneMap) -> list[tuple[int, str]]:
    return list(zip(source.taxons.tolist(), source.ids, strict=True))


def detections(sources: list[GeneMap], seed: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 4, source.n_columns).astype(np.int64) for source in sources]


def test_order_is_by_detection_then_taxon_and_id() -> None:
    a = resolve_small([h(1), h(2), m(1), h(5)])
    b = resolve_small([h(2), h(8)])
    detection = [np.array([5, 1, 6, 6]), np.array([9, 6])]
    index = unify([a, b], detection=detection)
    assert identities(index) == [(9606, h(2)), (9606, h(5)), (9606, h(8)), (10090, m(1)), (9606, h(1))]
    assert [to_gene.tolist() for to_gene in index.column_to_gene] == [[4, 0, 3, 1], [0, 2]]
    assert all(to_gene.dtype == np.int32 for to_gene in index.column_to_gene)
    assert index.measured.tolist() == [[True, True, False, True, True], [True, False, True, False, False]]
    assert index.genes.by_id.tolist() == [4, 0, 1, 2, 3]
    assert index.genes.by_id.dtype == np.int32
    assert list(index.genes.symbols) == ["CD8A", h(5), "MALAT1", "Cd4", "CD4"]
    assert index.genes.resolved.all()
    assert index.releases == {9606: "test 1", 10090: "test 1"}
    assert index.unmeasured.size == 0
    assert [left.ids for left in index.left_out] == [(), ()]
    assert identities(unify([a, b])) == sorted(identities(index))


def test_ids_sort_by_their_bytes() -> None:
    names = ["a", "Z", "\u00e9", "\u4e2d", "\U00010000", "\uffee"]
    index = unify([resolve_small(names)])
    assert [i.encode() for i in index.genes.ids] == sorted(name.encode() for name in names)


def test_digests_and_keys_are_those_of_the_specification() -> None:
    index = unify([resolve_small([m(1), h(2), "nobody"])], detection=[np.array([3, 2, 1])])
    lines = [f"10090\t{m(1)}\n", f"9606\t{h(2)}\n", "0\tnobody\n"]
    assert index.genes.index_digest == hashlib.sha256("".join(lines).encode()).hexdigest()
    # Sorted by bytes, not by number: "0", "10090", "9606".
    assert index.genes.set_digest == hashlib.sha256("".join([lines[2], *lines[:2]]).encode()).hexdigest()
    key = int.from_bytes(hashlib.sha256(f"10090\t{m(1)}".encode()).digest()[:8], "little")
    assert gene_key(10090, m(1)) == key
    assert index.genes.keys.dtype == np.uint64
    assert int(index.genes.keys[0]) == key
    assert gene_key(9606, "ENSG00000010610") == 0x2C28E241F61E118D


def test_intersection_within_each_organism() -> None:
    a = resolve_small([h(1), h(2), h(5), m(1)], source="a")
    b = resolve_small([h(2), h(1), h(8)], source="b")
    c = resolve_small([m(1), m(2), m(1)], source="c")
    index = unify([a, b, c], mode="intersection")
    assert identities(index) == [(9606, h(1)), (9606, h(2)), (10090, m(1))]
    assert [to_gene.tolist() for to_gene in index.column_to_gene] == [[0, 1, -1, 2], [1, 0, -1], [2, -1, 2]]
    assert [(left.source, left.columns.tolist(), left.ids) for left in index.left_out] == [
        ("a", [2], (h(5),)),
        ("b", [2], (h(8),)),
        ("c", [1], (m(2),)),
    ]


def test_intersection_drops_spike_ins_and_unknown_names_that_a_source_lacks() -> None:
    a = resolve_small([*(h(i) for i in range(1, 12)), "ERCC-00002"])
    b = resolve_small([h(i) for i in range(1, 12)])
    assert len(unify([a, b], mode="intersection").genes) == 11
    assert len(unify([a, a], mode="intersection").genes) == 12


def test_intersection_that_leaves_a_source_empty() -> None:
    with pytest.raises(InvalidDataError, match=r"^a: .*1 of Homo sapiens.*\[no-common-genes\]"):
        unify(
            [resolve_small([h(1)], source="a"), resolve_small([h(2)], source="b"), resolve_small([m(1)], source="c")],
            mode="intersection",
        )


def test_list_gives_genes_and_order() -> None:
    a = resolve_small([h(1), h(2), "nobody"], source="a")
    wanted = gene_list([h(8), "CD8A", f"{h(1)}.3", h(2), "CD4"], references=REFERENCES, organism=9606)
    index = unify([a], mode=wanted, detection=[np.array([1, 2, 3])])
    assert identities(index) == [(9606, h(8)), (9606, h(2)), (9606, h(1))]
    assert index.unmeasured.tolist() == [0]
    assert index.measured.tolist() == [[False, True, True]]
    assert index.column_to_gene[0].tolist() == [2, 1, -1]
    assert index.left_out[0].ids == ("nobody",)
    assert list(index.genes.symbols) == ["MALAT1", "CD8A", "CD4"]


def test_list_finds_names_that_no_reference_knows() -> None:
    a = resolve_small([*(h(i) for i in range(1, 12)), "GFP"])
    b = resolve_small(["GFP2", "x"])
    # The list alone tells no organism; the sources do.
    index = unify([a, b], mode=gene_list(["GFP", "GFP2", "GFP3"], references=REFERENCES))
    assert identities(index) == [(9606, "GFP"), (0, "GFP2"), (0, "GFP3")]
    assert index.measured.tolist() == [[True, False, False], [False, True, False]]


def test_list_of_which_no_source_has_a_gene() -> None:
    wanted = gene_list([h(1)], references=REFERENCES, name="panel.csv")
    with pytest.raises(InvalidDataError, match=r"^panel\.csv: .*\[no-listed-genes\]"):
        unify([resolve_small([m(1)])], mode=wanted)


def test_a_gene_that_no_reference_knows_is_named_by_the_first_source_that_can() -> None:

    a = resolve_small([h(50), h(51)])
    b = resolve_small([h(50), h(51)], gene_name=strings(["OLD", ""]), gene_type=strings(["lncRNA", ""]))
    index = unify([a, b])
    assert list(index.genes.symbols) == ["OLD", h(51)]
    assert list(index.genes.biotypes) == ["lncRNA", ""]
    assert not index.genes.resolved.any()


def test_detection_must_fit_the_sources() -> None:
    a = resolve_small([h(1), h(2)])
    with pytest.raises(ValueError, match="shorter"):
        unify([a, a], detection=[np.array([1, 2])])
    with pytest.raises(ValueError, match="shape"):
        unify([a], detection=[np.array([1, 2, 3])])


def test_detection_is_exact_above_float_precision() -> None:
    huge = 2**60
    index = unify([resolve_small([h(1), h(2)])], detection=[np.array([huge, huge + 1])])
    assert list(index.genes.ids) == [h(2), h(1)]


def test_extend() -> None:
    a = resolve_small([h(2), h(1)])
    b = resolve_small([h(8), h(1), h(5)])
    old = unify([a], detection=[np.array([2, 1])])
    new = extend(old.genes, [b], detection=[np.array([1, 9, 2])])
    assert identities(new) == [(9606, h(2)), (9606, h(1)), (9606, h(5)), (9606, h(8))]
    assert new.column_to_gene[0].tolist() == [3, 1, 2]
    assert new.measured.tolist() == [[False, True, True, True]]
    fixed = extend(old.genes, [b], mode="fixed")
    assert identities(fixed) == identities(old)
    assert fixed.column_to_gene[0].tolist() == [-1, 1, -1]
    assert fixed.left_out[0].ids == (h(8), h(5))
    assert extend(old.genes, []).genes.index_digest == old.genes.index_digest


@settings(max_examples=150, deadline=None)
@given(SOURCES, st.integers(0, 9))
def test_union_maps_every_column_to_its_own_gene(sources: list[GeneMap], seed: int) -> None:
    index = unify(sources, detection=detections(sources, seed))
    genes = identities(index)
    assert len(set(genes)) == len(genes)
    assert set(genes) == {gene for source in sources for gene in columns_of(source)}
    for number, (source, to_gene) in enumerate(zip(sources, index.column_to_gene, strict=True)):
        assert [genes[g] for g in to_gene.tolist()] == columns_of(source)
        assert set(np.flatnonzero(index.measured[number]).tolist()) == set(to_gene.tolist())
        merged = {c for entry in source.merged for c in entry.columns}
        assert source.n_columns - len(merged) + len(source.merged) == len(set(to_gene.tolist()))
    assert [genes[g] for g in index.genes.by_id.tolist()] == sorted(genes, key=lambda gene: (gene[0], gene[1].encode()))


@settings(max_examples=150, deadline=None)
@given(SOURCES, st.integers(0, 9), st.randoms())
def test_set_digest_knows_no_order(sources: list[GeneMap], seed: int, random: object) -> None:
    one, other = unify(sources, detection=detections(sources, seed)), unify(sources[::-1])
    assert one.genes.set_digest == other.genes.set_digest
    assert (one.genes.index_digest == other.genes.index_digest) == (identities(one) == identities(other))
    assert sorted(one.genes.keys.tolist()) == sorted(other.genes.keys.tolist())


@settings(max_examples=150, deadline=None)
@given(SOURCES, SOURCES, st.integers(0, 9), st.sampled_from(["union", "fixed"]))
def test_extend_moves_no_gene(first: list[GeneMap], then: list[GeneMap], seed: int, mode: str) -> None:
    old = unify(first, detection=detections(first, seed))
    new = extend(old.genes, then, mode="union" if mode == "union" else "fixed", detection=detections(then, seed))
    n = len(old.genes)
    genes = identities(new)
    assert genes[:n] == identities(old)
    for name in ("symbols", "biotypes"):
        assert list(getattr(new.genes, name))[:n] == list(getattr(old.genes, name))
    assert new.genes.resolved[:n].tolist() == old.genes.resolved.tolist()
    for source, to_gene in zip(then, new.column_to_gene, strict=True):
        for gene, place in zip(columns_of(source), to_gene.tolist(), strict=True):
            assert (place == -1 and mode == "fixed" and gene not in genes) or genes[place] == gene
    if mode == "union":
        assert new.genes.set_digest == unify([*first, *then]).genes.set_digest


@settings(max_examples=150, deadline=None)
@given(SOURCES.filter(len))
def test_intersection_is_what_its_definition_says(sources: list[GeneMap]) -> None:
    sets = [set(columns_of(source)) for source in sources]
    every = set().union(*sets)

    def common(gene: tuple[int, str]) -> bool:
        return all(gene in s or (gene[0] not in (0, 32630) and all(t != gene[0] for t, _ in s)) for s in sets)

    expected = {gene for gene in every if common(gene)}
    if any(s and not s & expected for s in sets):
        with pytest.raises(InvalidDataError, match="no-common-genes"):
            unify(sources, mode="intersection")
        return
    index = unify(sources, mode="intersection")
    assert set(identities(index)) == expected
    for source, to_gene, left in zip(sources, index.column_to_gene, index.left_out, strict=True):
        assert left.ids == tuple(g[1] for g, p in zip(columns_of(source), to_gene.tolist(), strict=True) if p < 0)


PROGRAM = """
from genes_small import REFERENCES, h, m, resolve_small
from scformat.genes import gene_list, unify
a = resolve_small([h(1), "MATR3", "CD8A", "x", "y", "MATR3", "", "z", m(1)], source="a")
b = resolve_small([h(2), h(50), h(2), m(60), "GFP"], source="b")
print(a.ids, a.ambiguous, a.merged, b.ids, b.merged, list(a.releases), list(b.organisms))
for mode in ("union", gene_list([h(8), "x", "y"], references=REFERENCES)):
    index = unify([a, b], mode=mode)
    print(index.genes.index_digest, index.genes.set_digest, list(index.genes.symbols), list(index.releases))
    print([g.tolist() for g in index.column_to_gene], index.left_out, index.measured.tolist())
"""


def test_nothing_depends_on_the_hash_seed() -> None:
    def output(seed: str) -> str:
        path = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
        code = f"import sys; sys.path[:0] = {path!r}\n{PROGRAM}"
        run = subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        )
        return run.stdout

    first = output("0")
    assert first.count("\n") == 5
    assert {output(seed) for seed in ("1", "2", "3")} == {first}

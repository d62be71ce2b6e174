from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scformat.errors import InvalidDataError
from scformat.genes import unify

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from scformat.genes import GeneMap, Reference


@pytest.mark.parametrize(
    ("name", "kind", "organism", "counts"),
    [
        ("pbmc_facs", "id", 9606, (16_791, 16_108)),
        ("mixology_sc_dropseq", "id", 9606, (15_127, 15_003)),
        ("mixology_sc_celseq2", "id", 9606, (28_204, 27_563)),
        ("cas_test_adata", "id", 9606, (18_082, 18_063)),
        ("cxg_example_with_labels", "id", 9606, (123, 122)),
        ("heart_1k_mouse", "id", 10090, (31_053, 30_198)),
        ("scvi_pbmc_10k_protein_v3", "symbol", 9606, (16_727, 13_825)),
        ("scvi_pbmc_5k_protein_v3", "symbol", 9606, (16_581, 13_696)),
        ("scimilarity_test", "symbol", 9606, (1_000, 783)),
        ("scp_test", "symbol", 10090, (187, 181)),
        ("anndataR_example", "symbol", 0, (100, 0)),
        ("bpcells_mini_v0.6.22", "symbol", 0, (5, 0)),
    ],
)
def test_real_file(
    resolve_file: Callable[..., GeneMap], name: str, kind: str, organism: int, counts: tuple[int, int]
) -> None:
    genes = resolve_file(name)
    assert (genes.column, genes.kind, genes.organism) == ("index", kind, organism)
    assert (genes.n_columns, genes.n_resolved) == counts
    assert set(genes.organisms) <= {organism, 32630}
    assert genes.merged == ()


def test_symbols_land_on_the_genes_that_files_of_ids_use(resolve_file: Callable[..., GeneMap]) -> None:
    symbols = resolve_file("scvi_pbmc_10k_protein_v3")
    files = ["pbmc_facs", "mixology_sc_celseq2", "mixology_sc_dropseq", "cas_test_adata"]
    used = {gene_id for name in files for gene_id in resolve_file(name).ids}
    n_landed = sum(gene_id in used for gene_id in symbols.ids)
    assert n_landed == 13_653
    assert n_landed >= 0.8 * symbols.n_columns


def test_every_symbol_that_the_reference_has_resolves_or_is_ambiguous(
    resolve_file: Callable[..., GeneMap], references: dict[int, Reference]
) -> None:
    genes = resolve_file("scvi_pbmc_10k_protein_v3")
    known = set(references[9606].symbols)
    assert len(genes.ambiguous) == 15
    assert sum(symbol in known for symbol in genes.symbols) == genes.n_resolved + len(genes.ambiguous) == 13_840


def test_symbols_agree_with_the_ids_that_another_file_gives_them(
    resolve_file: Callable[..., GeneMap], read_var: Callable[[str], pd.DataFrame]
) -> None:
    # cas_test_adata names its genes by an older annotation: a few symbols have moved to other genes since.
    var = read_var("cas_test_adata")
    ids: dict[str, set[str]] = {}
    for gene_id, symbol in zip(var.index, var["gene_name"].astype(str), strict=True):
        ids.setdefault(symbol, set()).add(gene_id)
    genes = resolve_file("scvi_pbmc_10k_protein_v3")
    names = read_var("scvi_pbmc_10k_protein_v3").index
    shared = [(name, gene_id) for name, gene_id, known in zip(names, genes.ids, genes.resolved, strict=True) if known]
    agree = [gene_id in ids[name] for name, gene_id in shared if name in ids]
    assert len(agree) > 12_000
    assert sum(agree) > 0.999 * len(agree)


def test_mouse_given_as_human_is_refused(resolve_file: Callable[..., GeneMap]) -> None:
    with pytest.raises(
        InvalidDataError,
        match=r"^heart_1k_mouse: .*Homo sapiens.*31053 of 31053 gene ids of Mus musculus.*\[organism-mismatch\]$",
    ):
        resolve_file("heart_1k_mouse", organism=9606)
    with pytest.raises(InvalidDataError, match=r"^scp_test: .*gene names of Mus musculus.*\[organism-mismatch\]$"):
        resolve_file("scp_test", organism=9606)
    assert resolve_file("heart_1k_mouse", organism=10090).organism == 10090


def test_union_and_intersection_of_real_files(resolve_file: Callable[..., GeneMap]) -> None:
    a, b = resolve_file("mixology_sc_celseq2"), resolve_file("mixology_sc_dropseq")
    mouse = resolve_file("heart_1k_mouse")
    assert len(unify([a, b]).genes) == 28_204 + 15_127 - 15_073
    assert len(unify([a, b], mode="intersection").genes) == 15_073
    both = unify([a, b, mouse], mode="intersection")
    assert len(both.genes) == 15_073 + 31_053
    assert both.measured[:2].sum(axis=1).tolist() == [15_073, 15_073]
    assert both.left_out[2].columns.size == 0


def test_a_symbols_file_and_an_id_file_share_genes(resolve_file: Callable[..., GeneMap]) -> None:
    a, b = resolve_file("scvi_pbmc_10k_protein_v3"), resolve_file("pbmc_facs")
    index = unify([a, b])
    assert int(np.logical_and(*index.measured).sum()) == 12_678

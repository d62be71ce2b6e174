"""Small references and var tables for the tests of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.genes import GeneMap, Reference, resolve
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def strings(values: Sequence[str], missing: Sequence[bool] | None = None) -> Column:
    mask = None if missing is None else np.array(missing, np.bool_)
    return Column(kind="string", dtype="string", values=Strings.of(values), mask=mask)


def categorical(values: Sequence[str | None]) -> Column:
    categories = tuple(sorted({value for value in values if value is not None}))
    code = {value: number for number, value in enumerate(categories)}
    codes = np.array([-1 if value is None else code[value] for value in values], np.int32)
    return Column(kind="categorical", dtype="string", values=codes, categories=categories)


def make_reference(
    taxon: int, genes: Sequence[tuple[str, str, str]], par_x: Mapping[str, str] | None = None
) -> Reference:
    ids, symbols, biotypes = zip(*genes, strict=True)
    return Reference(
        taxon=taxon,
        name=f"organism {taxon}",
        release="test 1",
        ids=ids,
        symbols=symbols,
        biotypes=biotypes,
        par_x=par_x or {},
    )


def h(number: int) -> str:
    return f"ENSG{number:011d}"


def m(number: int) -> str:
    return f"ENSMUSG{number:011d}"


HUMAN = make_reference(
    9606,
    [
        (h(1), "CD4", "protein_coding"),
        (h(2), "CD8A", "protein_coding"),
        (h(3), "MATR3", "protein_coding"),
        (h(4), "MATR3", "protein_coding"),
        (h(5), "", "lncRNA"),
        (h(6), "CD99", "protein_coding"),
        (h(7), "CD99", "protein_coding"),
        (h(8), "MALAT1", "lncRNA"),
        (h(9), "ACTB", "protein_coding"),
        (h(10), "GAPDH", "protein_coding"),
        (h(11), "B2M", "protein_coding"),
    ],
    {h(7): h(6)},
)
MOUSE = make_reference(
    10090,
    [
        (m(1), "Cd4", "protein_coding"),
        (m(2), "Cd8a", "protein_coding"),
        (m(3), "Actb", "protein_coding"),
        (m(4), "Gapdh", "protein_coding"),
        (m(5), "B2m", "protein_coding"),
        (m(6), "CD4", "protein_coding"),
    ],
)
REFERENCES = {9606: HUMAN, 10090: MOUSE}


def resolve_small(
    index: Sequence[str],
    *,
    organism: int | None = None,
    gene_ids: str | None = None,
    source: str = "source",
    **columns: Column,
) -> GeneMap:
    return resolve(
        index=Strings.of(index),
        columns=columns,
        references=REFERENCES,
        organism=organism,
        gene_ids=gene_ids,
        source=source,
    )

"""A small store with something of everything, which most invalid cases are made from."""

from __future__ import annotations

from typing import Any

from tools.conformance import plainly
from tools.conformance.plain import (
    Cell,
    Column,
    Extents,
    Graph,
    Label,
    Neighbours,
    Part,
    Source,
    Splits,
    Store,
    VarColumn,
)
from tools.conformance.valid_counts import HUMAN, genes
from tools.conformance.valid_tables import table_of

SEED = 7
SIZES = (20, 14, 10)
N_GENES = 24
COLUMNS = (range(16), range(6, 22), [*range(10, 24), 10])
"""Genes of the columns of each source; two columns of the third are one gene."""

GRAPH = Graph(
    terms=[
        ("CL:0000084", "T cell"),
        ("CL:0000236", "B cell"),
        ("CL:0000542", "lymphocyte"),
        ("CL:0000623", "natural killer cell"),
        ("CL:0000625", "CD8-positive, alpha-beta T cell"),
    ],
    edges=[
        ("CL:0000084", "CL:0000542"),
        ("CL:0000236", "CL:0000542"),
        ("CL:0000623", "CL:0000542"),
        ("CL:0000625", "CL:0000084"),
    ],
    of_category={
        "B cell": "CL:0000236",
        "CD8-positive, alpha-beta T cell": "CL:0000625",
        "natural killer cell": "CL:0000623",
    },
    releases={"CL": "2025-07-30"},
)
TYPES = ["B cell", "CD8-positive, alpha-beta T cell", "natural killer cell", "type nobody knows"]
KINDS = ["x", "y", "z"]
IN_RECORD = ["cell_type", "donor_id", "more_0", "tissue"]

COLUMNS_OF_OBS = [
    Column(name="score", kind="float", dtype="float64"),
    Column(name="fraction", kind="float", dtype="float32"),
    Column(name="lane", kind="integer", dtype="uint8", stored="int32"),
    Column(name="depth", kind="integer", dtype="int64"),
    Column(name="masked", kind="integer", dtype="int64", stored="int32", masked=True),
    Column(name="good", kind="boolean", dtype="bool"),
    Column(name="note", kind="string", dtype="string", masked=True),
    Column(name="identifier", kind="categorical", dtype="string", categories=[]),
    Column(name="cell_type", kind="categorical", dtype="string", categories=["B", "T", "nobody's"]),
    Column(name="donor_id", kind="categorical", dtype="string", label="donor_id"),
    Column(name="tissue", kind="categorical", dtype="string", label="tissue"),
]


def everything(order: str = "stratified") -> Store:
    """Make the store."""
    index = genes(N_GENES)
    sources = [_source(s, index) for s in range(len(SIZES))]
    identifiers = [f"id-{s}-{row}" for s, n in enumerate(SIZES) for row in range(n)]
    columns = [_with(c, identifiers) if c.name == "identifier" else c for c in COLUMNS_OF_OBS]
    labels = [
        Label(name="cell_type", categories=TYPES, graph=GRAPH),
        Label(name="tissue", categories=["blood", "lung"]),
        Label(name="donor_id", categories=[f"d{i}" for i in range(5)]),
        *(Label(name=f"more_{i}", categories=KINDS) for i in range(2)),
    ]
    splits = Splits(names=["train", "val", "test"], shares=[0.7, 0.2, 0.1], seed=SEED)
    cells = [_cell(s, row, splits, sources[s]) for s, n in enumerate(SIZES) for row in range(n)]
    if order == "stratified":
        cells.sort(key=lambda cell: _place(cell, splits, sources))
    part = Part(
        cells=cells,
        sources=sources,
        order=order,
        order_by=["cell_type"] if order == "stratified" else [],
        in_record=IN_RECORD,
    )
    return Store(
        genes=index,
        parts=[part],
        labels=labels,
        obs=columns,
        splits=splits,
        seed=SEED,
        extents=Extents(entries=(64, 2048), records=(16, 64), cells=(8, 64), bytes=(256, 8192)),
        organisms={HUMAN: ("Homo sapiens", "GENCODE 48")},
        findings=[{"source": "first", "what": "cell_type: unknown", "value": TYPES[3], "cells": 3, "note": "kept"}],
        skipped=[{"path": "bad.h5ad", "code": "counts-not-found", "message": "no counts"}],
    )


def everything_drawn() -> Store:
    """The store with sampling tables."""
    store = everything()

    def natural(_codes: tuple[int, ...], n: int) -> float:
        return float(n)

    def balanced(_codes: tuple[int, ...], _n: int) -> float:
        return 1.0

    store.tables = [
        table_of(store, "types", "cell_type:balanced", balanced, "cell_type"),
        table_of(store, "natural", "cell_type:natural", natural, "cell_type"),
        table_of(store, "nested", "cell_type:natural,donor_id:natural", natural, "cell_type", "donor_id"),
        table_of(
            store,
            "train",
            "donor_id:natural",
            natural,
            "donor_id",
            split="train",
            keep=lambda cell: cell.split == "train",
            n_missing=0,
        ),
        table_of(store, "listed", "more_1:natural", natural, "more_1", as_rows=True),
        table_of(store, "touching", "more_0:natural", natural, "more_0"),
        table_of(store, "few", "donor_id:natural", natural, "donor_id", n_missing=0, keep=_early),
    ]
    return store


def _early(cell: Cell) -> bool:
    return cell.labels["cell_type"] in (None, *TYPES[:2])


def everything_near() -> Store:
    """The store with neighbour tables: of distances, of similarities, and without weights."""
    store = everything()
    n = len(store.cells)

    def lists(step: int, weight: float) -> list[list[tuple[int, float]]]:
        near = [[((row + step * (j + 1)) % n, weight * (j + 1) + row) for j in range(4)] for row in range(n)]
        near[7] = []
        near[9] = near[9][:4]
        near[30] = near[30][:2]
        return near

    distances = lists(3, 0.5)
    store.neighbours = [
        Neighbours(name="knn", k=4, lists=distances, weight="distance", source="obsp/distances"),
        Neighbours(name="near", k=4, lists=lists(5, -0.25), weight="connectivity"),
        Neighbours(name="rows", k=4, lists=distances),
    ]
    return store


def _with(column: Column, categories: list[str]) -> Column:
    return Column(name=column.name, kind=column.kind, dtype=column.dtype, categories=categories)


def _source(s: int, index: list[Any]) -> Source:
    var = [
        VarColumn(name=f"{index[g].id}.{s}", id=index[g].id, taxon=HUMAN, gene=g, resolved=False) for g in COLUMNS[s]
    ]
    held = [c for c in COLUMNS_OF_OBS if s != 1 or c.name not in ("masked", "score")]
    columns = [{"name": c.name, "kind": c.kind, "dtype": c.dtype, "nullable": c.masked, "ordered": False} for c in held]
    return Source(name=("first", "second", "third")[s], var=var, n_rows=SIZES[s], columns=columns)


def _cell(s: int, row: int, splits: Splits, source: Source) -> Cell:
    n = len(source.var)
    counts = {c: 1 + (row * 5 + c * 7 + s) % 6 for c in range(n) if (row * 3 + c * 5 + s * 2) % 4 == 0}
    if row == 3:
        counts = {}
    if row == 5:
        counts[n - 5] = 70_000
    if row == 6:
        counts[n - 6] = 65_535 * 3
    kind = TYPES[(row * row + s) % 4]
    cell = Cell(
        source=s,
        source_row=row,
        counts=dict(sorted(counts.items())),
        barcode=f"c{s}-{row}",
        labels={
            "cell_type": None if s == 1 and row % 5 == 4 else kind,
            "tissue": "blood" if s else "lung",
            "donor_id": f"d{(row * 3 + s) % 5}",
            "more_0": KINDS[row % 3],
            "more_1": KINDS[(row // 2) % 3],
        },
    )
    cell.obs = {
        "score": None if s == 1 else (row - 7) / 3,
        "fraction": None if row % 4 == 1 else row / 32,
        "lane": (row * 37) % 255,
        "depth": (row - 5) * 2**38 + s,
        "masked": None if row % 3 == 1 or s == 1 else row - 5,
        "good": row % 2 == 0,
        "note": None if row % 7 == 3 else f"note {s} {row} ä",
        "identifier": f"id-{s}-{row}",
        "cell_type": ("B", "T", "nobody's")[(row * row + s) % 3],
    }
    cell.split = plainly.split_of(splits, None, plainly.content_hash(cell, source))
    return cell


def _place(cell: Cell, splits: Splits, sources: list[Source]) -> tuple[int, int, int]:
    kind = cell.labels["cell_type"]
    code = -1 if kind is None else TYPES.index(kind)
    return code, splits.names.index(str(cell.split)), plainly.order_key(SEED, cell, sources[cell.source])

"""Valid cases of counts: how rows lie in chunks and shards, and what values they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.conformance.case import Valid
from tools.conformance.plain import Cell, Extents, Gene, Part, Source, Store, VarColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HUMAN = 9606


def genes(n: int, *, taxon: int = HUMAN, first: int = 1, prefix: str = "ENSG9") -> list[Gene]:
    """Genes with ids like Ensembl's that no reference knows."""
    return [
        Gene(id=f"{prefix}{i:010d}", symbol=f"SYM{i}", taxon=taxon, biotype="protein_coding" if i % 3 else "")
        for i in range(first, first + n)
    ]


def source_of(index: Sequence[Gene], name: str, n_rows: int, *, chosen: Sequence[int] | None = None) -> Source:
    """A source with a column for each gene, or for some of them."""
    numbers = range(len(index)) if chosen is None else chosen
    var = [VarColumn(name=index[g].id, id=index[g].id, taxon=index[g].taxon, gene=g) for g in numbers]
    return Source(name=name, var=var, n_rows=n_rows)


def pattern(row: int, n_genes: int, *, every: int = 3) -> dict[int, int]:
    """Counts of a cell that differ from row to row; some cells have none."""
    if row % 11 == 5:
        return {}
    return {g: 1 + (row * 7 + g * 13) % 9 for g in range(n_genes) if (row * 5 + g * 3) % every == 0}


def plain_cells(n: int, n_genes: int, *, source: int = 0, prefix: str = "cell") -> list[Cell]:
    """Cells of one source with counts by :func:`pattern`."""
    return [
        Cell(source=source, source_row=row, counts=pattern(row, n_genes), barcode=f"{prefix}-{row}") for row in range(n)
    ]


def small(n: int = 20, n_genes: int = 12, extents: Extents | None = None) -> Store:
    """A store of one source."""
    index = genes(n_genes)
    part = Part(cells=plain_cells(n, n_genes), sources=[source_of(index, "one", n)])
    return Store(
        genes=index, parts=[part], extents=extents or Extents(), organisms={HUMAN: ("Homo sapiens", "GENCODE 48")}
    )


def cases() -> Iterator[Valid]:
    """Yield the cases."""
    yield Valid(
        id="valid/small",
        store=small(),
        made="20 cells of one source and 12 genes; two cells have no counts.",
        requirements=["CNT-1", "CNT-2", "CNT-3", "CNT-4", "CNT-5", "PRT-2", "ZAR-6", "ZAR-14", "CEL-8", "SRC-6"],
        refused_rows=[[20], [0, 25]],
    )
    yield Valid(
        id="valid/no-cells",
        store=Store(genes=genes(3), parts=[Part(cells=[], sources=[source_of(genes(3), "nothing", 0)])]),
        made="A source without cells and a part without shards.",
        requirements=["CNT-9", "CNT-12", "ZAR-15", "PRT-2"],
        refused_rows=[[0]],
    )
    yield Valid(
        id="valid/nothing",
        store=Store(genes=[], parts=[Part(cells=[], sources=[])]),
        made="No cells, no genes, no sources.",
        requirements=["ZAR-15", "ZAR-23", "GEN-8"],
    )
    empty = small(5)
    for row in (0, 2, 4):
        empty.parts[0].cells[row].counts = {}
    yield Valid(
        id="valid/empty-cells",
        store=empty,
        made="The first, a middle and the last cell have no counts.",
        requirements=["CNT-2", "CNT-10", "CEL-10"],
    )
    only = small(3)
    for cell in only.parts[0].cells:
        cell.counts = {}
    yield Valid(
        id="valid/only-empty-cells",
        store=only,
        made="No cell has counts: one shard without chunks.",
        requirements=["CNT-8", "CNT-10", "CNT-11", "ZAR-16"],
    )
    yield from _layouts()
    yield from _values()


def _layouts() -> Iterator[Valid]:
    yield Valid(
        id="valid/partial-chunks",
        store=small(
            21, 12, Extents(entries=(8, 512), records=(16, 64), cells=(16, 64), bytes=(32, 256), table=(5, 20))
        ),
        made="No array fills its last chunk, and tables have several chunks.",
        requirements=["ZAR-16", "ZAR-17", "ZAR-14", "ZAR-13", "CNT-8"],
    )
    yield Valid(
        id="valid/full-chunks",
        store=small(32, 12, Extents(entries=(8, 32), records=(8, 16), cells=(8, 32), bytes=(64, 128))),
        made="Records and contents end with their last chunk and shard; counts have many shards.",
        requirements=["ZAR-15", "ZAR-16", "CNT-8", "CNT-9", "CNT-10"],
    )
    bounds = small(24, 10, Extents(entries=(4, 24), records=(4, 8), cells=(4, 8), bytes=(16, 64)))
    yield Valid(
        id="valid/shard-bounds",
        store=bounds,
        made="Shards of 24 entries: every one ends with a tail, and rows of several shards are read out of order.",
        requirements=["CNT-8", "CNT-9", "CNT-10", "CNT-11", "CNT-13", "ZAR-14"],
        reads=[range(24), [23, 0, 5, 6, 7, 0, 23, 11, 12, 13]],
    )
    early = small(9, 6)
    for row in (3, 4, 8):
        early.parts[0].cells[row].new_shard = True
    yield Valid(
        id="valid/shards-started-early",
        store=early,
        made="Cells start a shard although they would fit the one before; one shard holds a single empty cell.",
        requirements=["CNT-8", "CNT-10"],
    )
    exact = small(6, 8, Extents(entries=(4, 8)))
    for cell in exact.parts[0].cells:
        cell.counts = dict.fromkeys(range(4), 1 + cell.source_row)
    yield Valid(
        id="valid/full-shards",
        store=exact,
        made="Every shard of counts is full: two cells of four entries in a shard of eight, no tail.",
        requirements=["CNT-8", "CNT-11"],
    )
    yield Valid(
        id="valid/recommended-extents",
        store=small(
            40,
            30,
            Extents(entries=(2048, 4 << 20), records=(1024, 1 << 20), cells=(4096, 1 << 20), bytes=(65536, 1 << 24)),
        ),
        made="Chunks and shards of the sizes that writers should use.",
        requirements=["ZAR-14", "CNT-8"],
        reads=[[0, 1, 20, 39]],
    )


def _values() -> Iterator[Valid]:
    index = genes(6)
    counts = [
        {0: 65534, 1: 65535, 2: 65536, 3: 131070, 4: 131071, 5: 1},
        {0: 16_777_216, 5: 16_777_217},
        {2: 1_073_741_824, 3: 1_073_741_824},
        {5: 3_000_000_000},
    ]
    cells = [Cell(source=0, source_row=i, counts=c, barcode=f"c{i}") for i, c in enumerate(counts)]
    yield Valid(
        id="valid/large-counts",
        store=Store(
            genes=index,
            parts=[Part(cells=cells, sources=[source_of(index, "deep", 4)])],
            extents=Extents(entries=(4096, 65536)),
        ),
        made="Counts about 65,535, above 2^24 and above 2^31, and totals that a record cannot hold.",
        requirements=["CNT-1", "CNT-2", "CNT-7", "CEL-7", "CEL-8", "SRC-8"],
    )
    yield _many_genes()
    merged = genes(4)
    var = [
        VarColumn(name=name, id=merged[g].id, taxon=HUMAN, gene=g)
        for name, g in [("b.1", 1), ("a", 0), ("b.2", 1), ("d", 3), ("b.3", 1)]
    ]
    var.append(VarColumn(name="left out", id="ENSG90000000099", taxon=HUMAN))
    rows = [{0: 1, 2: 2, 4: 4}, {1: 5, 5: 100}, {5: 7}, {0: 70000, 2: 70000, 3: 1}, {}]
    yield Valid(
        id="valid/merged-and-left-out",
        store=Store(
            genes=merged,
            parts=[
                Part(
                    cells=[Cell(source=0, source_row=i, counts=c, barcode=f"m{i}") for i, c in enumerate(rows)],
                    sources=[Source(name="merged", var=var, n_rows=5)],
                )
            ],
            mode="list",
        ),
        made="Three columns are one gene, a column is left out of the index, and no source has the gene number 2.",
        requirements=["GEN-9", "GEN-11", "SRC-5", "SRC-6", "SRC-8", "SRC-10", "SRC-11", "CEL-7", "CEL-10"],
    )
    squares = small(4, 3)
    for cell, value in zip(squares.parts[0].cells, (94_906_265, 94_906_266, 3, 0), strict=True):
        cell.counts = {0: value} if value else {1: 2}
    squares.extents = Extents(entries=(256, 4096))
    yield Valid(
        id="valid/sum-of-squares",
        store=squares,
        made="A sum of squares beyond 2^53 is stored as -3; the lower median is of an odd number of values.",
        requirements=["SRC-8"],
    )


def _many_genes() -> Valid:
    """More genes than two gaps of 65,535 reach over; ids are short, and answers do not list them."""
    index = [Gene(id=f"{i:x}") for i in range(131_080)]
    counts = [
        {3: 2, 65_543: 70_000},
        {},
        {0: 1, 1: 5, 7: 300, 131_079: 2},
        {65_534: 1, 131_069: 1},
        {65_535: 1, 131_070: 1},
        {65_536: 65_536},
        {131_079: 1},
    ]
    cells = [Cell(source=0, source_row=i, counts=c, barcode=f"c{i}") for i, c in enumerate(counts)]
    return Valid(
        id="valid/many-genes",
        store=Store(
            genes=index,
            parts=[Part(cells=cells, sources=[source_of(index, "wide", 7)])],
            extents=Extents(cells=(16384, 1 << 18), bytes=(65536, 1 << 20)),
        ),
        made="131,080 genes: gaps below, at and above 65,535 and twice that.",
        requirements=["CNT-1", "CNT-2", "CNT-5", "GEN-1"],
        described=False,
    )

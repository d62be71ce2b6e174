"""A valid case of what an append makes: a second part with genes, categories, terms and sources of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tools.conformance import plainly
from tools.conformance.case import Draw, Valid
from tools.conformance.plain import Column, Label, Part, Splits, Store
from tools.conformance.valid_cells import GRAPH
from tools.conformance.valid_counts import HUMAN, genes, plain_cells, source_of
from tools.conformance.valid_tables import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TYPES = ["B cell", "mature NK T cell", "T cell", "natural killer cell (CL:0000623)"]
"""The first two are the older; those of the second part are sorted among themselves."""
DONORS = ["d1", "d2", "d0"]


def cases() -> Iterator[Valid]:
    """Yield the case."""
    store = _store()
    yield Valid(
        id="valid/appended",
        store=store,
        made="A second part with two sources, new genes, categories and terms; splits and tables over both parts.",
        requirements=[
            *["PRT-1", "PRT-4", "PRT-5", "PRT-7", "PRT-9", "GEN-3", "LAB-2", "LAB-15", "CEL-19"],
            *["SPL-8", "SPL-10", "TAB-9", "TAB-15", "SRC-2", "SRC-6"],
        ],
        reads=[range(33), [32, 0, 13, 14]],
        draws=[
            Draw(table="types", plan="independent", seed=1, count=64),
            Draw(table="types", plan="stratified", seed=2, count=64, window=32, lanes=2, block=4),
            Draw(table="before", plan="independent", seed=3, count=64),
            Draw(plan="epoch", seed=4, count=66, window=16, lanes=2, block=2),
        ],
    )


def _store() -> Store:
    index = genes(9)
    first = Part(
        cells=plain_cells(14, 6),
        sources=[source_of(index, "one", 14, chosen=range(6))],
        n_genes=6,
        obs=["batch"],
        order="source",
    )
    second = Part(
        cells=plain_cells(8, 9, source=1, prefix="b") + plain_cells(11, 4, source=2, prefix="c"),
        sources=[source_of(index, "two", 8), source_of(index, "three", 11, chosen=[8, 0, 7, 3])],
    )
    # Nodes are sorted by id: the new term comes before older ones.
    graph = replace(GRAPH, of_category={**GRAPH.of_category, "T cell": "CL:0000084"})
    store = Store(
        genes=index,
        parts=[first, second],
        labels=[Label(name="cell_type", categories=TYPES, graph=graph), Label(name="donor", categories=DONORS)],
        obs=[
            Column(name="batch", kind="categorical", dtype="string", categories=["x", "z", "y"]),
            Column(name="depth", kind="integer", dtype="int64", stored="int32"),
        ],
        splits=Splits(names=["train", "test"], shares=[0.5, 0.5], by=["donor"], seed=11),
        organisms={HUMAN: ("Homo sapiens", "GENCODE 48")},
    )
    assert store.splits is not None
    for i, cell in enumerate(store.cells):
        older = i < 14
        cell.labels = {
            "cell_type": (TYPES[i % 2] if older else TYPES[1:][i % 3]) if i % 7 else None,
            "donor": ("d1", "d2")[i % 2] if older else ("d0", None, "d2")[i % 3],
        }
        cell.obs = {"batch": "xz"[i % 2]} if older else {"batch": "yx"[i % 2], "depth": 10 * i}
        cell.split = plainly.split_of(store.splits, [cell.labels["donor"]], 0)
    store.tables = [
        table_of(store, "types", "cell_type:natural", lambda _, n: float(n), "cell_type"),
        table_of(
            store,
            "before",
            "donor:balanced",
            lambda _, n: 1.0,
            "donor",
            n_rows=14,
            n_missing=0,
            keep=lambda c: c.source == 0,
        ),
    ]
    return store

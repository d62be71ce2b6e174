"""What the commands ``describe``, ``read`` and ``draw`` have to answer, from plain values alone."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from tools.conformance import plainly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.conformance.plain import Cell, Column, Store, Value

_EXACT = 2**53


def describe(store: Store, digests: dict[str, str]) -> dict[str, Any]:
    """Answer of ``describe``; `digests` of the tables by name."""
    return {
        "version": "0.1",
        "n_cells": len(store.cells),
        "n_genes": len(store.genes),
        "n_entries": sum(len(plainly.entries_of(store.values(cell))) for cell in store.cells),
        "genes": {
            "id": [gene.id for gene in store.genes],
            "symbol": [gene.symbol or gene.id for gene in store.genes],
            "taxon": [gene.taxon for gene in store.genes],
        },
        "labels": {label.name: _label(store, label.name) for label in store.labels},
        "sources": [
            {"name": source.name, "n_cells": sum(cell.source == s for cell in store.cells)}
            for s, source in enumerate(store.sources)
        ],
        "splits": None if store.splits is None else store.splits.names,
        "tables": {table.name: _table(store, table.name, digests[table.name]) for table in store.tables},
    }


def _label(store: Store, name: str) -> dict[str, Any]:
    label = store.label(name)
    terms = None
    if label.graph is not None:
        terms = {
            "id": [term for term, _ in label.graph.terms],
            "name": [text for _, text in label.graph.terms],
            "counts": plainly.term_counts(store, name),
        }
    return {"categories": label.categories, "counts": plainly.category_counts(store, name), "terms": terms}


def _table(store: Store, name: str, digest: str) -> dict[str, Any]:
    table = next(table for table in store.tables if table.name == name)
    return {
        "by": table.by,
        "n_strata": len(table.strata),
        "n_cells": sum(len(s.rows) for s in table.strata),
        "counts": [len(s.rows) for s in table.strata],
        "masses": [str(q) for q in plainly.masses_of(table)],
        "digest": digest,
    }


def read(store: Store, rows: Sequence[int]) -> dict[str, Any]:
    """Answer of ``read``."""
    cells = store.cells
    return {"cells": [_cell(store, row, cells[row]) for row in rows]}


def _cell(store: Store, row: int, cell: Cell) -> dict[str, Any]:
    values = store.values(cell)
    source = store.sources[cell.source]
    part = next(part for part in store.parts if any(c is cell for c in part.cells))
    coded = {label.name for label in store.labels} if part.labels is None else set(part.labels)
    return {
        "row": row,
        "source": source.name,
        "source_row": cell.source_row,
        "barcode": cell.barcode,
        "total_counts": integer(sum(cell.counts.values())),
        "n_genes": sum(count > 0 for count in cell.counts.values()),
        "split": cell.split,
        "genes": list(values),
        "counts": [integer(value) for value in values.values()],
        "measured": len({v.gene for v in source.var if v.gene is not None}),
        "labels": {x.name: cell.labels.get(x.name) if x.name in coded else None for x in store.labels},
        "obs": {column.name: _obs(column, cell, absent=_absent(column, part.obs)) for column in store.obs},
    }


def _absent(column: Column, held: list[str] | None) -> bool:
    return column.label is None and held is not None and column.name not in held


def _obs(column: Column, cell: Cell, *, absent: bool) -> Value:
    if absent:
        return None
    value = cell.labels.get(column.label) if column.label is not None else cell.obs.get(column.name)
    if value is None:
        return "NaN" if column.kind == "float" and not column.masked else None
    if column.kind == "boolean":
        return bool(value)
    if column.kind in ("string", "categorical"):
        return str(value)
    if column.kind == "integer":
        return integer(int(value))
    number = float(value)
    if (column.stored or column.dtype) == "float32":
        number = struct.unpack("<f", struct.pack("<f", number))[0]
    return number if math.isfinite(number) else str({math.inf: "Infinity", -math.inf: "-Infinity"}.get(number, "NaN"))


def integer(value: int) -> int | str:
    """A number that every JSON parser reads alike: text beyond 2^53."""
    return value if -_EXACT <= value <= _EXACT else str(value)


def draw(
    store: Store,
    *,
    table: str | None,
    plan: str,
    seed: int,
    start: int,
    count: int,
    window: int = 65536,
    lanes: int = 8,
    block: int = 64,
    schedule: Sequence[tuple[int, float]] = ((0, 1.0),),
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, Any]:
    """Answer of ``draw``: SAM-10 to SAM-40 in plain integers."""
    positions = [t for t in range(start, start + count) if t % world_size == rank]
    slow = plainly.slow
    if plan == "epoch":
        drawn = next((x for x in store.tables if x.name == table), None)
        cells = sorted(row for s in drawn.strata for row in s.rows) if drawn else range(len(store.cells))
        n = len(cells)
        windows: dict[int, list[int]] = {}
        out = []
        for t in positions:
            epoch, u = divmod(t, n)
            number = epoch * -(-n // window) + u // window
            if number not in windows:
                windows[number] = slow.epoch_window(seed, number, n, window, lanes, block)
            out.append(cells[windows[number][u % window]])
        return {"rows": out}
    found = next(x for x in store.tables if x.name == table)
    counts, rows = [len(s.rows) for s in found.strata], [s.rows for s in found.strata]
    q = plainly.masses_of(found)
    held: dict[int, list[tuple[int, int]]] = {}
    out = []
    for t in positions:
        temperature = [temperature for first, temperature in schedule if first <= t][-1]
        masses = plainly.tempered(q, temperature)
        if plan == "independent":
            c, k = slow.draw(seed, t, masses, counts)
        else:
            number = t // window
            if number not in held:
                held[number] = slow.stratified_window(seed, number, masses, counts, window, lanes, block)
            c, k = held[number][t % window]
        out.append(rows[c][k])
    return {"rows": out}

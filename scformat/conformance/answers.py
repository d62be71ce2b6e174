"""Answers of ``describe``, ``read`` and ``draw`` as JSON values, the same from every implementation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.layout import RECOMPUTE
from scformat.sampling import Table
from scformat.sampling.state import State
from scformat.store.obs import mask_of
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.store import Store
    from scformat.store.labels import Label

_EXACT = 2**53


def describe(store: Store) -> dict[str, Any]:
    """Return sizes, genes, labels, sources, splits and tables of a store as JSON values."""
    manifest, genes = store.manifest, store.genes
    source = store.field("source", np.arange(store.n_cells, dtype=np.int64))
    cells = np.bincount(source, minlength=len(store.sources_view.records)).tolist()
    tables = {}
    for name in store.tables:
        table = store.tables[name]
        tables[name] = {
            "by": table.info.by,
            "n_strata": len(table.counts),
            "n_cells": table.n_cells,
            "counts": table.counts.tolist(),
            "masses": [str(q) for q in table.masses.tolist()],
            "digest": table.digest,
        }
    return {
        "version": manifest.version,
        "n_cells": store.n_cells,
        "n_genes": store.n_genes,
        "n_entries": manifest.n_entries,
        "genes": {
            "id": genes.index.tolist(),
            "symbol": genes["symbol"].tolist(),
            "taxon": genes["taxon"].tolist(),
        },
        "labels": {name: _label(label) for name, label in store.labels.items()},
        "sources": [
            {"name": record.name, "n_cells": n} for record, n in zip(store.sources_view.records, cells, strict=True)
        ],
        "splits": None if manifest.splits is None else manifest.splits.names,
        "tables": tables,
    }


def _label(label: Label) -> dict[str, Any]:
    terms = None
    if label.ontology is not None:
        frame = label.ontology.terms
        terms = {"id": frame.index.tolist(), "name": frame["name"].tolist(), "counts": frame["count"].tolist()}
    return {"categories": list(label.categories), "counts": label.counts.tolist(), "terms": terms}


def read(store: Store, rows: Sequence[int]) -> dict[str, Any]:
    """Return some cells as JSON values, in the order asked for.

    Raises
    ------
    RowIndexError
        ``row-out-of-range``.
    """
    wanted = store.check_rows(np.asarray(rows, np.int64))
    found = store.read(wanted)
    counts = found.csr(np.int64)
    # Sums beyond 2^31 do not fit the record; the reader's own columns recompute them.
    figures = {name: store.other_column(name, wanted).values for name in ("total_counts", "n_genes")}
    numbers = {name: store.field(name, wanted) for name in ("source", "source_row", "split")}
    barcodes = store.barcodes(wanted)
    names = [record.name for record in store.sources_view.records]
    measured = found.measured().sum(axis=1).tolist()
    splits = store.manifest.splits
    labels = {name: _texts(label.codes(wanted), label.categories) for name, label in store.labels.items()}
    obs = {column.name: _values(store.obs_column(column.name, wanted)) for column in store.manifest.obs}
    cells = []
    for i, row in enumerate(wanted.tolist()):
        some = slice(counts.indptr[i], counts.indptr[i + 1])
        split = int(numbers["split"][i])
        cells.append(
            {
                "row": row,
                "source": names[numbers["source"][i]],
                "source_row": int(numbers["source_row"][i]),
                "barcode": barcodes[i],
                "total_counts": _integer(_item(figures["total_counts"], i)),
                "n_genes": _item(figures["n_genes"], i),
                "split": None if splits is None or split < 0 else splits.names[split],
                "genes": counts.indices[some].tolist(),
                "counts": [_integer(value) for value in counts.data[some].tolist()],
                "measured": measured[i],
                "labels": {name: texts[i] for name, texts in labels.items()},
                "obs": {name: values[i] for name, values in obs.items()},
            }
        )
    return {"cells": cells}


def _item(values: Any, i: int) -> int:
    value = int(values[i])
    assert value != RECOMPUTE  # the column was recomputed
    return value


def draw(
    store: Store,
    *,
    table: str | None,
    plan: str,
    seed: int,
    start: int,
    count: int,
    window: int = 65_536,
    lanes: int = 8,
    block: int = 64,
    schedule: Sequence[tuple[int, float]] = ((0, 1.0),),
    rank: int = 0,
    world_size: int = 1,
) -> dict[str, Any]:
    """Return the rows at positions `start` .. `start` + `count` - 1 of a stream, those of one rank.

    An epoch goes over the cells of the table, or over all, in the order of their rows.

    Raises
    ------
    UsageError
        Parameters that no stream has.
    UnknownNameError
        An unknown plan or table.
    """
    if table is None:
        drawn = Table.uniform(np.arange(store.n_cells, dtype=np.int64))
    else:
        drawn = store.tables[table].table
        if plan == "epoch":
            strata = drawn.strata
            rows = np.concatenate([strata.rows_of(c) for c in range(len(strata))])
            drawn = Table.uniform(np.sort(rows))
    state = State(
        seed=seed,
        plan=plan,
        table=drawn.digest,
        window=window,
        lanes=lanes,
        block=block,
        schedule=tuple(schedule),
    )
    return {"rows": state.resume(drawn).rows(start, start + count, rank=rank, world_size=world_size).tolist()}


def _texts(codes: NDArray[np.int32], categories: Sequence[str]) -> list[str | None]:
    return [categories[code] if code >= 0 else None for code in codes.tolist()]


def _values(column: Column) -> list[Any]:
    """Values of a column: None where one is missing, text for numbers that JSON has no notation for."""
    if column.categories is not None:
        return list(_texts(column.codes, column.categories))
    values = list(column.values) if isinstance(column.values, Strings) else [_plain(v) for v in column.values.tolist()]
    missing = mask_of(column).tolist()
    return [None if lost else value for value, lost in zip(values, missing, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return _integer(value)
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _integer(value: int) -> int | str:
    """Return a number that every JSON parser reads alike: text beyond 2^53."""
    return value if -_EXACT <= value <= _EXACT else str(value)

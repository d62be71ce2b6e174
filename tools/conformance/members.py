"""Members of the manifest and of records that take some computing, from plain values."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from scformat.codec import encode_json
from tools.conformance import plainly

if TYPE_CHECKING:
    from tools.conformance.plain import Source, Table

NO_DIGEST = "0" * 64


def digest_by_cell(values: list[list[Any]], code: str) -> str:
    """SHA-256 of all values of cell 0, then of cell 1 and so on."""
    return plainly.sha256(b"".join(struct.pack(code, value) for cell in zip(*values, strict=True) for value in cell))


def source_record(source: Source, cells: list[dict[int, int]]) -> dict[str, Any]:
    """Record of a source with the figures of its cells."""
    placed = [(v.taxon, v.id) for v in source.var]
    return {
        "name": source.name,
        "sha256": source.sha256,
        "format": "h5ad",
        "counts": "X",
        "layout": "csr",
        "dtype": "float32",
        "n_rows": source.n_rows,
        "n_cells": len(cells),
        "n_vars": len(source.var),
        "n_nonzero": sum(map(len, cells)),
        "total": sum(sum(cell.values()) for cell in cells),
        "organisms": sorted({v.taxon for v in source.var}),
        "gene_ids": "index",
        "gene_id_kind": "id",
        "n_resolved": sum(v.resolved for v in source.var),
        "n_merged": len(placed) - len(set(placed)),
        "n_left_out": sum(v.gene is None for v in source.var),
        "columns": source.columns,
        "not_kept": [],
        "metadata": {},
        **source.record,
    }


def table_entry(table: Table, n_rows: int, cells: str) -> tuple[dict[str, Any], dict[str, list[int]]]:
    """Members of a table's entry that are no arrays, and the values of its arrays but the codes."""
    masses = plainly.masses_of(table)
    threshold, alias = plainly.slow.alias(masses)
    arrays: dict[str, list[int]] = {
        "counts": [len(s.rows) for s in table.strata],
        "masses": masses,
        "threshold": threshold,
        "alias": alias,
    }
    pieces = [s.rows if table.as_rows else plainly.runs_of(s.rows) for s in table.strata]
    arrays["offsets"] = [sum(map(len, pieces[:c])) for c in range(len(pieces) + 1)]
    if table.as_rows:
        arrays["rows"] = [row for s in table.strata for row in s.rows]
    else:
        runs = [run for s in table.strata for run in plainly.runs_of(s.rows)]
        arrays["run_start"], arrays["run_length"] = [a for a, _ in runs], [n for _, n in runs]
    optional = {k: v for k, v in (("split", table.split), ("where", table.where)) if v is not None}
    entry = {
        "name": table.name,
        "by": table.by,
        "keys": table.keys,
        **optional,
        "n_strata": len(table.strata),
        "bits": 32 + plainly.slow.ceil_log2(len(table.strata)),
        "n_cells": sum(arrays["counts"]),
        "n_missing": table.n_missing,
        "n_left_out": table.n_left_out,
        "n_rows": n_rows,
        "cells": cells,
        "sha256": plainly.table_digest(cells, arrays),
    }
    return entry, arrays


def sealed(manifest: dict[str, Any]) -> bytes:
    """The root with its digest: INT-4."""
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"scformat": {**manifest, "sha256": NO_DIGEST}}}
    blank = encode_json(document)
    head, tail = blank.rsplit(f'"{NO_DIGEST}"'.encode(), 1)
    return head + f'"{plainly.sha256(blank)}"'.encode() + tail

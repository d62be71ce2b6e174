"""From a plain store to its files. The container (shards, chunks, JSON) is written with the package's encoders."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.codec import encode_json, encode_shard
from tools.conformance import plainly
from tools.conformance.members import NO_DIGEST, digest_by_cell, sealed, source_record, table_entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tools.conformance.plain import Cell, Column, Label, Neighbours, Part, Store, Table, Value

Files = dict[str, bytes]
GENERATOR = "conformance kit 0.1"
_OBS_TYPES = {"boolean": "uint8"}


class Writer:
    """Writes one store.

    Attributes
    ----------
    files
        What was written, by path.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.files: Files = {}
        self._cells: list[str] = []

    def run(self) -> Files:
        """Write everything."""
        store = self.store
        labels = [self._label(i, label) for i, label in enumerate(store.labels)]
        obs = [self._column(i, column) for i, column in enumerate(store.obs)]
        genes = self._genes()
        parts, start, first = [], 0, 0
        for k, part in enumerate(store.parts, 1):
            parts.append(self._part(f"parts/{k}", part, start, first))
            start += len(part.cells)
            first += len(part.sources)
            self._cells.append(f"{parts[-1]['index']['sha256']}\t{parts[-1]['content']['sha256']}\n")
        tables = [self._table(table, parts) for table in store.tables]
        neighbours = [self._neighbours(table, parts) for table in store.neighbours]
        optional = [*(["tables"] if tables else []), *(["neighbours"] if neighbours else []), *store.optional_features]
        manifest = {
            "format": "scformat",
            "version": "0.1",
            "required_features": ["parts"] if len(parts) > 1 else [],
            "optional_features": optional,
            "generator": GENERATOR,
            "seed": store.seed,
            "n_cells": start,
            "n_entries": sum(part["n_entries"] for part in parts),
            "genes": genes,
            "labels": labels,
            "obs": obs,
            "splits": self._splits(),
            "parts": parts,
            "tables": tables,
            **({"neighbours": neighbours} if neighbours else {}),
            "findings": store.findings,
            "skipped": store.skipped,
            **store.extra,
            "groups": self._groups(),
            "sha256": NO_DIGEST,
        }
        if manifest["splits"] is None:
            del manifest["splits"]
        self.files["zarr.json"] = sealed(manifest)
        return dict(sorted(self.files.items()))

    # Arrays

    def array(
        self, path: str, dtype: str, values: Any, extents: tuple[int, int] | None, *, fill: float = layout.CODE_FILL
    ) -> dict[str, Any]:
        """Write an array; with `extents` its last axis has chunks and shards, else all of it is one shard."""
        block = np.asarray(values, dtype)
        if extents is None:
            spec = layout.table(path, block, fill=fill)
        else:
            above = tuple(max(n, 1) for n in block.shape[:-1])
            spec = layout.ArraySpec(
                path=path,
                dtype=dtype,
                shape=block.shape,
                chunk=(*above, extents[0]),
                shard=(*above, extents[1]),
                fill=fill,
            )
        return self._put(spec, [(place, block[spec.slices(place)]) for place, _ in spec.files()])

    def _put(self, spec: layout.ArraySpec, shards: Sequence[tuple[tuple[int, ...], NDArray[Any]]]) -> dict[str, Any]:
        files = {"zarr.json": encode_json(layout.array_metadata(spec))}
        for place, block in shards:
            files[spec.key(place)[len(spec.path) + 1 :]] = encode_shard(spec, np.ascontiguousarray(block))
        lines = "".join(f"{plainly.sha256(data)}  {name}\n" for name, data in files.items())
        self.files.update({f"{spec.path}/{name}": data for name, data in files.items()})
        return {
            "path": spec.path,
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "chunk": list(spec.chunk),
            "shard": list(spec.shard),
            "fill": spec.fill,
            "sha256": plainly.sha256(lines.encode()),
        }

    def strings(self, path: str, texts: list[str]) -> dict[str, Any]:
        """Write strings."""
        raw = [text.encode() for text in texts]
        offsets = [sum(map(len, raw[:i])) for i in range(len(raw) + 1)] if len(raw) < 1000 else _offsets(raw)
        data = np.frombuffer(b"".join(raw), np.uint8)
        extents = self.store.extents
        return {
            "bytes": self.array(f"{path}/bytes", "uint8", data, extents.bytes, fill=layout.BYTE_FILL),
            "offsets": self.array(f"{path}/offsets", "int64", offsets, extents.cells),
        }

    def flags(self, path: str, values: Any, *, per_cell: bool = False) -> dict[str, Any]:
        """Write an array of 0 and 1."""
        extents = self.store.extents.cells if per_cell else self.store.extents.table
        return self.array(path, "uint8", values, extents, fill=layout.FLAG_FILL)

    def per_cell(self, path: str, dtype: str, values: Any) -> dict[str, Any]:
        """Write codes or numbers of cells."""
        return self.array(path, dtype, values, self.store.extents.cells)

    def whole(self, path: str, dtype: str, values: Any) -> dict[str, Any]:
        """Write a table of codes or numbers."""
        return self.array(path, dtype, values, self.store.extents.table)

    # What cells share

    def _genes(self) -> dict[str, Any]:
        genes, at = self.store.genes, "genes/1"
        order = sorted(range(len(genes)), key=lambda g: (genes[g].taxon, genes[g].id.encode()))
        organisms = []
        for taxon in sorted({gene.taxon for gene in genes}):
            name, reference = self.store.organisms.get(taxon, ("unknown", None))
            known = {} if reference is None else {"reference": reference}
            n = sum(gene.taxon == taxon for gene in genes)
            organisms.append({"taxon": taxon, "name": name, "n_genes": n, **known})
        return {
            "n": len(genes),
            "mode": self.store.mode,
            "id": self.strings(f"{at}/id", [gene.id for gene in genes]),
            "symbol": self.strings(f"{at}/symbol", [gene.symbol or gene.id for gene in genes]),
            "biotype": self.strings(f"{at}/biotype", [gene.biotype for gene in genes]),
            "taxon": self.whole(f"{at}/taxon", "int32", [gene.taxon for gene in genes]),
            "resolved": self.flags(f"{at}/resolved", [gene.resolved for gene in genes]),
            "by_id": self.whole(f"{at}/by_id", "int32", order),
            "organisms": organisms,
            "index_digest": plainly.index_digest(genes),
            "set_digest": plainly.set_digest(genes),
        }

    def _label(self, i: int, label: Label) -> dict[str, Any]:
        at = f"labels/1/{i}"
        out = {
            "name": label.name,
            "categories": self.strings(f"{at}/categories", label.categories),
            "counts": self.whole(f"{at}/counts", "int64", plainly.category_counts(self.store, label.name)),
        }
        graph = label.graph
        if graph is not None:
            ids = [term for term, _ in graph.terms]
            number = {term: i for i, term in enumerate(ids)}
            edges = sorted((number[child], number[parent]) for child, parent in graph.edges)
            closure = [sorted(number[t] for t in graph.reached(term)) for term in ids]
            terms = [number.get(graph.of_category.get(c, ""), -1) for c in label.categories]
            offsets = [sum(map(len, closure[:i])) for i in range(len(closure) + 1)]
            out["ontology"] = {
                "releases": graph.releases,
                "n_terms": len(ids),
                "id": self.strings(f"{at}/terms/id", ids),
                "name": self.strings(f"{at}/terms/name", [name for _, name in graph.terms]),
                "edges": self.whole(f"{at}/terms/edges", "int32", np.array(edges, np.int32).reshape(-1, 2).T),
                "closure": self.whole(f"{at}/terms/closure", "int32", [node for part in closure for node in part]),
                "closure_offsets": self.whole(f"{at}/terms/closure_offsets", "int64", offsets),
                "counts": self.whole(f"{at}/terms/counts", "int64", plainly.term_counts(self.store, label.name)),
                "category_terms": self.whole(f"{at}/category_terms", "int32", terms),
            }
        return out

    def _column(self, i: int, column: Column) -> dict[str, Any]:
        out: dict[str, Any] = {"name": column.name, "kind": column.kind, "dtype": column.dtype}
        if column.label is not None:
            out["label"] = column.label
        elif column.categories is not None:
            out["categories"] = self.strings(f"labels/1/obs-{i}", column.categories)
        return out

    def _splits(self) -> dict[str, Any] | None:
        splits = self.store.splits
        if splits is None:
            return None
        held = [cell.split for cell in self.store.cells]
        shares = {} if splits.shares is None else {"shares": splits.shares}
        return {
            "names": splits.names,
            **shares,
            "by": splits.by,
            "seed": splits.seed,
            "counts": [held.count(name) for name in splits.names],
            "duplicates_left_out": splits.duplicates_left_out,
        }

    # Parts

    def _part(self, at: str, part: Part, start: int, first: int) -> dict[str, Any]:
        store, n = self.store, len(part.cells)
        names = [x.name for x in store.labels] if part.labels is None else part.labels
        packed = [name for name in (names[:8] if part.in_record is None else part.in_record) if name in names]
        rows = [plainly.entries_of(store.values(cell)) for cell in part.cells]
        shards = self._cut(part.cells, rows)
        ends = [sum(map(len, rows[low : k + 1])) for low, stop in shards for k in range(low, stop)]
        records = [
            ends,
            [cell.source for cell in part.cells],
            [cell.source_row for cell in part.cells],
            [plainly.record_number(sum(cell.counts.values())) for cell in part.cells],
            [plainly.record_number(sum(v > 0 for v in cell.counts.values())) for cell in part.cells],
        ]
        fields = [*layout.RECORD_FIELDS]
        split: dict[str, Any] | None = None
        if store.splits is not None:
            codes = [-1 if cell.split is None else store.splits.names.index(cell.split) for cell in part.cells]
            if part.split_in_record:
                split = {"field": len(fields)}
                fields.append("split")
                records.append(codes)
            else:
                split = {"array": self.per_cell(f"{at}/cells/split", "int32", codes)}
        labels: dict[str, Any] = {}
        for i, name in enumerate(names):
            codes = [self._code(cell.labels.get(name), store.label(name).categories) for cell in part.cells]
            if name in packed:
                labels[name] = {"field": len(fields)}
                fields.append(f"label:{name}")
                records.append(codes)
            else:
                labels[name] = {"array": self.per_cell(f"{at}/cells/label-{i}", "int32", codes)}
        counts = self._counts(f"{at}/counts", rows, shards)
        order: dict[str, Any] = {"kind": part.order}
        if part.order_by:
            order["by"] = part.order_by
        index = np.array(records, np.int32).reshape(len(fields), n)
        content = [plainly.content_hash(cell, store.sources[cell.source]) for cell in part.cells]
        placed: dict[str, Any] = {} if split is None else {"split": split}
        return {
            "start": start,
            "n_cells": n,
            "n_entries": sum(map(len, rows)),
            "order": order,
            "fields": fields,
            **counts,
            "index": self.array(f"{at}/cells/index", "int32", index, store.extents.records),
            "content": self.per_cell(f"{at}/cells/content", "int64", content),
            "barcode": self.strings(f"{at}/cells/barcode", [cell.barcode for cell in part.cells]),
            "labels": labels,
            **placed,
            "obs": self._obs(f"{at}/obs", part),
            "sources": self._sources(f"{at}/sources", part, first),
        }

    def _cut(self, cells: list[Cell], rows: list[list[tuple[int, int]]]) -> list[tuple[int, int]]:
        """CNT-8: a cell that does not fit starts the next shard."""
        bounds, held = [0], 0
        for i, row in enumerate(rows):
            if i and (held + len(row) > self.store.extents.entries[1] or cells[i].new_shard):
                bounds.append(i)
                held = 0
            held += len(row)
        if rows:
            bounds.append(len(rows))
        return list(itertools.pairwise(bounds))

    def _counts(self, at: str, rows: list[list[tuple[int, int]]], shards: list[tuple[int, int]]) -> dict[str, Any]:
        chunk, size = self.store.extents.entries
        spec = layout.ArraySpec(
            path=f"{at}/entries",
            dtype="uint16",
            shape=(2, len(shards) * size),
            chunk=(2, chunk),
            shard=(2, size),
            fill=layout.ENTRY_FILL,
        )
        blocks = []
        for k, (low, stop) in enumerate(shards):
            flat = [pair for row in rows[low:stop] for pair in row]
            blocks.append(((0, k), np.array(flat, np.uint16).reshape(-1, 2).T))
        entries = self._put(spec, blocks)
        digests = [list(plainly.sha256(self.files[spec.key(place)]).encode()) for place, _ in blocks]
        bounds = [low for low, _ in shards] + [len(rows)]
        text = np.array(digests, np.uint8).reshape(len(shards), 64)
        return {
            "entries": entries,
            "shard_rows": self.whole(f"{at}/shard_rows", "int64", bounds),
            "shard_digests": self.array(f"{at}/shard_digests", "uint8", text, None, fill=layout.BYTE_FILL),
        }

    def _code(self, value: Value, categories: list[str] | None) -> int:
        return -1 if value is None else (categories or []).index(str(value))

    def _obs(self, at: str, part: Part) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for i, column in enumerate(self.store.obs):
            if column.label is not None or (part.obs is not None and column.name not in part.obs):
                continue
            values = [cell.obs.get(column.name) for cell in part.cells]
            if column.kind == "categorical":
                codes = [self._code(value, column.categories) for value in values]
                out[column.name] = {"codes": self.per_cell(f"{at}/{i}/codes", "int32", codes)}
                continue
            if column.kind == "string":
                held = {"strings": self.strings(f"{at}/{i}/text", ["" if v is None else str(v) for v in values])}
            else:
                held = {"values": self._values(f"{at}/{i}/values", column, values)}
            if column.masked:
                mask = [value is None for value in values]
                held["missing"] = self.flags(f"{at}/{i}/missing", mask, per_cell=True)
            out[column.name] = held
        return out

    def _values(self, path: str, column: Column, values: list[Value]) -> dict[str, Any]:
        dtype = column.stored or _OBS_TYPES.get(column.kind, column.dtype)
        absent = 0 if column.masked or column.kind != "float" else np.nan
        block = np.array([absent if v is None else v for v in values], dtype)
        fill = layout.FLAG_FILL if column.kind == "boolean" else layout.absent_value(block)
        return self.array(path, dtype, block, self.store.extents.cells, fill=fill)

    def _sources(self, at: str, part: Part, first: int) -> dict[str, Any]:
        store, n_genes = self.store, part.n_genes or len(self.store.genes)
        n = len(part.sources)
        measured = np.zeros((n, n_genes), np.uint8)
        stats = np.zeros((4, n, n_genes), np.int64)
        records, names, genes, offsets = [], [], [], [0]
        for s, source in enumerate(part.sources):
            cells = [store.values(cell) for cell in part.cells if cell.source == first + s]
            held: dict[int, list[int]] = {}
            for cell in cells:
                for gene, value in cell.items():
                    held.setdefault(gene, []).append(value)
            for gene in {v.gene for v in source.var if v.gene is not None}:
                measured[s, gene] = 1
            for gene, values in held.items():
                stats[:, s, gene] = plainly.statistics(values)
            names += [v.name for v in source.var]
            genes += [-1 if v.gene is None else v.gene for v in source.var]
            offsets.append(len(names))
            records.append(json.dumps(source_record(source, cells), ensure_ascii=False))
        return {
            "first": first,
            "n": n,
            "n_genes": n_genes,
            "records": self.strings(f"{at}/records", records),
            "measured": self.flags(f"{at}/measured", measured),
            "stats": self.whole(f"{at}/stats", "int64", stats),
            "var_names": self.strings(f"{at}/var_names", names),
            "var_offsets": self.whole(f"{at}/var_offsets", "int64", offsets),
            "var_gene": self.whole(f"{at}/var_gene", "int32", genes),
        }

    # Tables and groups

    def _table(self, table: Table, parts: list[dict[str, Any]]) -> dict[str, Any]:
        n_rows = len(self.store.cells) if table.n_rows is None else table.n_rows
        entry, arrays = table_entry(table, n_rows, self._cells_below(n_rows, parts))
        at = f"tables/{table.name}-{entry['sha256'][:8]}"
        codes = [list(column) for column in zip(*(s.codes for s in table.strata), strict=True)]
        entry["codes"] = self.whole(f"{at}/codes", "int32", codes)
        for name, values in arrays.items():
            dtype = "int32" if name in ("alias", "rows") else "int64"
            entry[name] = self.whole(f"{at}/{name}", dtype, values)
        entry["sha256"] = entry.pop("sha256")
        return entry

    def _cells_below(self, n_rows: int, parts: list[dict[str, Any]]) -> str:
        """TAB-9."""
        lines = "".join(line for line, part in zip(self._cells, parts, strict=True) if part["start"] < n_rows)
        return plainly.sha256(lines.encode())

    def _neighbours(self, table: Neighbours, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """NBR-1 to NBR-9."""
        k, n = table.k, len(table.lists)
        cells = self._cells_below(n, parts)
        rows = [[pairs[j][0] if j < len(pairs) else -1 for pairs in table.lists] for j in range(k)]
        weights = [[pairs[j][1] if j < len(pairs) else 0.0 for pairs in table.lists] for j in range(k)]
        lines = f"scformat neighbours 1\ncells {cells}\nk {k}\n"
        lines += f"rows {digest_by_cell(rows, '<q')}\n"
        if table.weight is not None:
            lines += f"weights {digest_by_cell(weights, '<f')}\n"
        digest = plainly.sha256(lines.encode())
        at = f"neighbours/{table.name}-{digest[:8]}"
        weighted: dict[str, Any] = {} if table.weight is None else {"weight": table.weight}
        arrays = {"rows": self.array(f"{at}/rows", "int32", rows, (16, 64))}
        if table.weight is not None:
            lowest = float(-(2**24 - 1) * 2**104)
            arrays["weights"] = self.array(f"{at}/weights", "float32", weights, (16, 64), fill=lowest)
        return {
            "name": table.name,
            "k": k,
            "n_rows": n,
            "cells": cells,
            "n_neighbours": sum(map(len, table.lists)),
            **weighted,
            "source": table.source,
            **arrays,
            "sha256": digest,
        }

    def _groups(self) -> dict[str, str]:
        data = encode_json(layout.group_metadata())
        paths = {path.rsplit("/", 1)[0] for path in self.files if path.endswith("/zarr.json")}
        groups = sorted({path[:i] for path in paths for i, letter in enumerate(path) if letter == "/"})
        self.files.update({f"{group}/zarr.json": data for group in groups})
        return {group: plainly.sha256(data) for group in groups}


def _offsets(raw: list[bytes]) -> list[int]:
    out = [0]
    for piece in raw:
        out.append(out[-1] + len(piece))
    return out

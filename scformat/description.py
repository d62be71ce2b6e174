"""What a store is, as plain JSON values: sizes, genes, sources, labels, splits, layout, digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scformat.manifest import as_json

if TYPE_CHECKING:
    from scformat.store import Store


def describe_store(store: Store) -> dict[str, Any]:
    """Describe an open store; see :func:`scformat.describe`."""
    m = store.alone().manifest
    labels = []
    for label in store.labels.values():
        ontology = label.ontology
        labels.append(
            {
                "name": label.name,
                "n_categories": len(label.categories),
                "n_labelled": int(label.counts.sum()),
                "n_missing": m.n_cells - int(label.counts.sum()),
                "counts": {str(k): int(v) for k, v in label.counts.items()},
                "ontology": None
                if ontology is None
                else {"releases": ontology.releases, "n_terms": len(ontology.graph)},
            }
        )
    sources = [
        {"number": i, **as_json(record), "columns": [c.name for c in record.columns]}
        for i, record in enumerate(store.sources_view.records)
    ]
    return {
        "path": store.path,
        "format": m.format,
        "version": m.version,
        "generator": m.generator,
        "required_features": list(m.required_features),
        "optional_features": list(m.optional_features),
        "bytes": store.size_on_disk(),
        "n_cells": m.n_cells,
        "n_genes": m.genes.n,
        "n_entries": m.n_entries,
        "n_sources": len(sources),
        "seed": m.seed,
        "genes": {
            "mode": m.genes.mode,
            "organisms": [as_json(o) for o in m.genes.organisms],
            "index_digest": m.genes.index_digest,
            "set_digest": m.genes.set_digest,
        },
        "sources": sources,
        "labels": labels,
        "obs": [{"name": c.name, "kind": c.kind, "dtype": c.dtype, "label": c.label} for c in m.obs],
        "splits": None if m.splits is None else as_json(m.splits),
        "tables": [t.name for t in m.tables],
        "neighbours": [n.name for n in m.neighbours or ()],
        "layout": [
            {
                "path": part.entries.path.rsplit("/", 2)[0],
                "order": as_json(part.order),
                "n_cells": part.n_cells,
                "n_entries": part.n_entries,
                "n_shards": part.n_shards,
                "entries_a_chunk": part.entries.chunk[1],
                "entries_a_shard": part.entries.shard[1],
                "fields": list(part.fields),
            }
            for part in m.parts
        ],
        "findings": [as_json(f) for f in m.findings],
        "skipped": [as_json(s) for s in m.skipped],
        "sha256": m.sha256,
    }

"""Everything of a store but its root: counts, cells, genes, sources, labels; and the manifest that names it all."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from scformat import layout
from scformat.conversion.counts import write_counts
from scformat.conversion.encoder import RowEncoder
from scformat.conversion.obs import obs_column, write_column
from scformat.conversion.requests import check_stamps
from scformat.conversion.resume import cannot_resume, plan_digest
from scformat.errors import UsageError
from scformat.genes import organism_name
from scformat.manifest import (
    VERSION,
    Finding,
    Genes,
    Label,
    Manifest,
    Ontology,
    Order,
    Organism,
    Part,
    PartSources,
    Place,
    SourceRecord,
    Splits,
    as_json,
    every_array,
)
from scformat.ontology import descendant_counts
from scformat.root import encode_root
from scformat.storage import MANIFEST_KEY, Storage
from scformat.store import Store
from scformat.strings import Strings
from scformat.tables import build_table, with_table
from scformat.version import __version__
from scformat.writing import ArrayWriter, write_array, write_groups, write_strings, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.conversion.engine import Engine
    from scformat.conversion.journal import Journal
    from scformat.conversion.plan import Plan
    from scformat.genes import GeneIndex
    from scformat.labels import Label as PlannedLabel
    from scformat.manifest import Array


def write_store(
    storage: Storage,
    plan: Plan,
    *,
    engine: Engine,
    scratch: Path,
    progress: Callable[[str, int, int], None],
    journal: Journal | None = None,
) -> None:
    """Write a store of one part, its root last and in one step, where nothing lies but shards of the journal.

    Raises
    ------
    UsageError
        ``destination-exists``: another process has put a root there meanwhile.
    """
    part = write_part(storage, "parts/1", plan, engine=engine, scratch=scratch, progress=progress, journal=journal)
    genes = write_genes(storage, "genes/1", plan.index, plan.options.genes)
    labels = [write_label(storage, f"labels/1/{i}", label) for i, label in enumerate(plan.labels.labels)]
    obs = [obs_column(column, f"labels/1/obs-{i}", storage) for i, column in enumerate(plan.obs)]
    manifest = Manifest(
        format="scformat",
        version=VERSION,
        required_features=[],
        optional_features=[],
        generator=f"scformat {__version__}",
        seed=plan.options.seed,
        n_cells=plan.n_cells,
        n_entries=part.n_entries,
        genes=genes,
        labels=labels,
        obs=obs,
        splits=_splits(plan),
        parts=[part],
        tables=[],
        findings=[Finding.model_validate(as_json(f)) for f in plan.findings],
        skipped=list(plan.skipped),
        groups={},
        sha256="0" * 64,
    )
    groups = write_groups(storage, [array.path for array in every_array(manifest)])
    manifest = manifest.model_copy(update={"groups": groups})
    for spec in plan.options.weights:
        store = Store(storage, manifest)
        table = build_table(store, spec.by, name=spec.name, split=spec.split, progress=progress)
        manifest = with_table(storage, manifest, spec.name, table)
    storage.sync()
    if not storage.replace(MANIFEST_KEY, encode_root(manifest), expected=None):
        raise UsageError("destination-exists", "the destination has come to exist", where=storage.url)


def write_genes(storage: Storage, path: str, index: GeneIndex, mode: str) -> Genes:
    """Write the gene index."""
    table = index.genes
    taxa, counts = np.unique(table.taxons, return_counts=True)
    return Genes(
        n=len(table),
        mode=mode if mode in ("union", "intersection") else "list",  # type: ignore[arg-type]
        id=write_strings(storage, f"{path}/id", table.ids),
        symbol=write_strings(storage, f"{path}/symbol", table.symbols),
        biotype=write_strings(storage, f"{path}/biotype", table.biotypes),
        taxon=write_table(storage, f"{path}/taxon", table.taxons),
        resolved=write_table(storage, f"{path}/resolved", table.resolved.astype(np.uint8), fill=layout.FLAG_FILL),
        by_id=write_table(storage, f"{path}/by_id", table.by_id),
        organisms=[
            Organism(taxon=taxon, name=organism_name(taxon), n_genes=n, reference=index.releases.get(taxon))
            for taxon, n in zip(taxa.tolist(), counts.tolist(), strict=True)
        ],
        index_digest=table.index_digest,
        set_digest=table.set_digest,
    )


def write_label(storage: Storage, path: str, label: PlannedLabel) -> Label:
    """Write a label's categories and, where it has one, its term graph."""
    ontology = None
    if label.ontology is not None:
        graph, terms = label.ontology.graph, label.ontology.terms
        own = np.bincount(terms[terms >= 0], weights=label.counts[terms >= 0], minlength=len(graph)).astype(np.int64)
        ontology = Ontology(
            releases=dict(graph.releases),
            n_terms=len(graph),
            id=write_strings(storage, f"{path}/terms/id", Strings.of(graph.ids)),
            name=write_strings(storage, f"{path}/terms/name", Strings.of(graph.names)),
            edges=write_table(storage, f"{path}/terms/edges", np.ascontiguousarray(graph.edges.T)),
            closure=write_table(storage, f"{path}/terms/closure", graph.ancestors),
            closure_offsets=write_table(storage, f"{path}/terms/closure_offsets", graph.ancestor_offsets),
            counts=write_table(storage, f"{path}/terms/counts", descendant_counts(graph, own)),
            category_terms=write_table(storage, f"{path}/category_terms", terms),
        )
    return Label(
        name=label.name,
        categories=write_strings(storage, f"{path}/categories", Strings.of(label.categories)),
        counts=write_table(storage, f"{path}/counts", label.counts),
        ontology=ontology,
    )


def write_part(
    storage: Storage,
    path: str,
    plan: Plan,
    *,
    engine: Engine,
    scratch: Path,
    progress: Callable[[str, int, int], None],
    journal: Journal | None = None,
) -> Part:
    """Write everything that belongs to the cells of a part alone; shards that the journal has are taken as they are."""
    if journal is not None:
        _check_plan(journal, plan, where=storage.url)
    bounds = plan.cells.shards()
    n_genes = len(plan.index.genes)
    block_values = plan.options.block_values
    encoders = [
        RowEncoder(matrix=s.located, gene_of_column=columns, n_genes=n_genes, at_most=block_values)
        for s, columns in zip(plan.surveyed, plan.index.column_to_gene, strict=True)
    ]
    total = plan.n_cells * (1 if plan.cells.order is None else 2)
    done = 0

    def advance(n_cells: int) -> None:
        nonlocal done
        done += n_cells
        progress("writing counts", done, total)

    writer = ArrayWriter(storage, layout.entries(f"{path}/counts/entries", len(bounds) - 1))
    written = write_counts(
        storage,
        writer,
        plan.cells,
        encoders,
        n_genes=n_genes,
        journal=journal,
        engine=engine,
        scratch=scratch,
        bucket_bytes=plan.options.memory // plan.options.jobs,
        block_values=block_values,
        advance=advance,
    )
    progress("writing cells", 0, plan.n_cells)
    index, fields, labels, split = _write_records(storage, path, plan, written.row_end)
    order = plan.cells.order
    barcode = Strings.concatenate(plan.barcodes)
    part = Part(
        start=plan.start,
        n_cells=plan.n_cells,
        n_entries=written.n_entries,
        order=Order(kind=plan.options.order, by=list(_strata(plan))),
        fields=fields,
        entries=writer.finish(),
        shard_rows=write_table(storage, f"{path}/counts/shard_rows", bounds),
        shard_digests=write_table(storage, f"{path}/counts/shard_digests", written.digests, fill=layout.BYTE_FILL),
        index=index,
        content=write_array(
            storage, layout.per_cell(f"{path}/cells/content", "int64", plan.n_cells), _ordered(plan.content, order)
        ),
        barcode=write_strings(storage, f"{path}/cells/barcode", barcode if order is None else barcode.take(order)),
        labels=labels,
        split=split,
        obs={c.name: write_column(storage, f"{path}/obs/{i}", c, order) for i, c in enumerate(plan.obs)},
        sources=_write_sources(storage, f"{path}/sources", plan, written.stats),
    )
    progress("writing cells", plan.n_cells, plan.n_cells)
    # Everything of the sources has been read; what was edited in between must not stand under the digest of before.
    check_stamps(s.request for s in plan.surveyed)
    return part


def _check_plan(journal: Journal, plan: Plan, *, where: str) -> None:
    """Refuse to go on with shards that were made by another plan; nothing that was asked for tells of it."""
    digest = plan_digest(plan.cells, plan.index)
    before = journal.find("plan", "counts")
    if before is not None and before.facts["sha256"] != digest:
        raise cannot_resume("another plan", where=where, expected=before.facts["sha256"], found=digest)
    journal.add("plan", "counts", sha256=digest)


def _ordered(values: NDArray[np.int64], order: NDArray[np.int64] | None) -> NDArray[np.int64]:
    return values if order is None else values[order]


def _strata(plan: Plan) -> Sequence[str]:
    from scformat.conversion.plan import default_strata

    if plan.options.order != "stratified":
        return ()
    return plan.options.stratify_by or default_strata(plan.labels)


def _write_records(
    storage: Storage, path: str, plan: Plan, row_end: NDArray[np.int32]
) -> tuple[Array, list[str], dict[str, Place], Place | None]:
    """Write the record of each cell, and the codes of the labels that do not fit it."""
    order = plan.cells.order
    fields = [*layout.RECORD_FIELDS, *(["split"] if plan.splits is not None else [])]
    packed = [label.name for label in plan.labels.labels[: layout.MAX_RECORD_LABELS]]
    small = np.iinfo(np.int32).max
    columns: list[NDArray[np.integer]] = [
        plan.cells.source + np.int32(plan.first_source),
        plan.cells.row,
        np.where(plan.total <= small, plan.total, layout.RECOMPUTE),
        np.where(plan.n_genes <= small, plan.n_genes, layout.RECOMPUTE),
        *([plan.splits.codes] if plan.splits is not None else []),
        *(np.concatenate(label.codes) for label in plan.labels.labels[: layout.MAX_RECORD_LABELS]),
    ]
    spec = layout.records(f"{path}/cells/index", 1 + len(columns), plan.n_cells)
    writer = ArrayWriter(storage, spec)
    for index, _ in spec.files():
        some = spec.slices(index)[1]
        block = np.empty((1 + len(columns), some.stop - some.start), np.int32)
        block[0] = row_end[some]
        for field, values in enumerate(columns, start=1):
            block[field] = values[some] if order is None else values[order[some]]
        writer.put(index, block)
    places = {name: Place(field=len(fields) + i) for i, name in enumerate(packed)}
    for i, label in enumerate(plan.labels.labels[layout.MAX_RECORD_LABELS :]):
        codes = np.concatenate(label.codes)
        array = write_array(
            storage,
            layout.per_cell(f"{path}/cells/label-{i}", "int32", plan.n_cells),
            codes if order is None else codes[order],
        )
        places[label.name] = Place(array=array)
    split = Place(field=len(layout.RECORD_FIELDS)) if plan.splits is not None else None
    return writer.finish(), [*fields, *(f"label:{name}" for name in packed)], places, split


def _write_sources(storage: Storage, path: str, plan: Plan, stats: NDArray[np.int64]) -> PartSources:
    n_cells = np.bincount(plan.cells.source, minlength=len(plan.surveyed)).tolist()
    records = []
    for i, s in enumerate(plan.surveyed):
        genes, columns = s.genes, plan.index.column_to_gene[i]
        record = SourceRecord(
            name=s.source.name,
            path=None if s.source.path is None else PurePath(s.source.path).name,
            sha256=s.digest,
            format=s.source.format,
            counts=s.matrix.location,
            layout=s.layout,  # type: ignore[arg-type]
            dtype=s.dtype,
            n_rows=s.source.n_cells,
            n_cells=n_cells[i],
            n_vars=s.matrix.shape[1],
            n_nonzero=int(stats[0, i].sum()),
            total=int(stats[1, i].sum()),
            organisms=sorted(set(genes.taxons.tolist())),
            gene_ids=genes.column,
            gene_id_kind=genes.kind,
            n_resolved=int(genes.resolved.sum()),
            n_merged=sum(len(m.columns) - 1 for m in genes.merged),
            n_left_out=int((columns < 0).sum()),
            index_name=s.source.index_name,
            columns=list(plan.columns[i]),
            not_kept=s.source.not_kept(counts=s.matrix.location),
            var_index_name=s.matrix.var.index_name,
            study=s.request.provenance.get("study"),
            licence=s.request.provenance.get("licence"),
            citation=s.request.provenance.get("citation") or s.source.uns_text().get("citation"),
            doi=s.request.provenance.get("doi"),
            metadata={k: v for k, v in s.request.constants.items() if k != "study"},
        )
        records.append(record.model_dump_json(exclude_none=True))
    names = [s.matrix.var.index for s in plan.surveyed]
    offsets = np.cumsum([0, *(len(n) for n in names)], dtype=np.int64)
    return PartSources(
        first=plan.first_source,
        n=len(records),
        n_genes=len(plan.index.genes),
        records=write_strings(storage, f"{path}/records", Strings.of(records)),
        measured=write_table(storage, f"{path}/measured", plan.index.measured.astype(np.uint8), fill=layout.FLAG_FILL),
        stats=write_table(storage, f"{path}/stats", stats),
        var_names=write_strings(storage, f"{path}/var_names", Strings.concatenate(names)),
        var_offsets=write_table(storage, f"{path}/var_offsets", offsets),
        var_gene=write_table(storage, f"{path}/var_gene", np.concatenate(plan.index.column_to_gene)),
    )


def _splits(plan: Plan) -> Splits | None:
    if plan.splits is None:
        return None
    return Splits(
        names=list(plan.splits.names),
        shares=None if plan.splits.shares is None else list(plan.splits.shares),
        by=list(plan.splits.by),
        seed=plan.options.seed,
        counts=list(plan.splits.counts),
        duplicates_left_out=plan.splits.duplicates_left_out,
    )

"""From sources that were read once and the store they are appended to, to everything that will be written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.appending.obs import MergedColumn, merge_columns
from scformat.appending.splits import split_appended, with_older
from scformat.columns import Column
from scformat.conversion.plan import (
    Plan,
    copy_findings,
    find_copies,
    gene_findings,
    keep_cells,
    label_findings,
    order_of,
)
from scformat.conversion.report import ConversionPlan
from scformat.conversion.shards import CellPlan
from scformat.entries import max_gap_entries
from scformat.errors import InvalidDataError
from scformat.genes import extend
from scformat.labels import extend_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.appending.existing import Existing
    from scformat.conversion.options import Options
    from scformat.conversion.plan import Kept
    from scformat.conversion.survey import Surveyed
    from scformat.labels import LabelPlan
    from scformat.manifest import Skipped


@dataclass(frozen=True, kw_only=True, eq=False)
class AppendPlan:
    """Everything that an append will write, but for the counts themselves.

    Attributes
    ----------
    part
        The new part. Its gene index and its labels are those of the whole store, its codes, columns and measured
        genes those of the appended cells.
    columns
        The obs columns of the whole store.
    """

    part: Plan
    columns: tuple[MergedColumn, ...]


def plan_append(
    existing: Existing, surveyed: Sequence[Surveyed], skipped: Sequence[Skipped], options: Options
) -> AppendPlan:
    """Decide everything: genes, cells, labels, splits, order, columns."""
    store, manifest = existing.store, existing.manifest
    index = extend(
        existing.genes,
        [s.genes for s in surveyed],
        mode="union" if manifest.genes.mode == "union" else "fixed",
        detection=[s.scan.detection for s in surveyed],
    )
    for s, measured in zip(surveyed, index.measured, strict=True):
        if not measured.any():
            raise InvalidDataError(
                "no-common-genes", "a source without any gene of the store", where=s.source.name,
                expected=f"some of its {manifest.genes.n:,} genes, which are fixed ({manifest.genes.mode})",
                hint="say the organism or the column of the gene ids, or leave the source out",
            )  # fmt: skip
    kept = keep_cells(
        surveyed, options, lambda sources: extend_labels(existing.labels, sources, ontology=options.ontology)
    )
    columns, own = merge_columns(existing, kept.obs, kept.n_cells, kept.labels)
    splits = split_appended(
        existing, kept, options.splits_file, lambda name: _group_column(existing, kept, columns, name)
    )
    figures = with_older(existing, kept)
    copies = find_copies(figures["content"], figures["total"], np.abs(figures["n_genes"]))
    copies = copies[copies >= store.n_cells] - store.n_cells
    part = Plan(
        options=options,
        surveyed=tuple(surveyed),
        skipped=tuple(skipped),
        index=index,
        cells=CellPlan(
            source=kept.source,
            row=kept.row,
            needed=kept.figures["needed"] + max_gap_entries(len(index.genes)),
            order=order_of(kept, None if splits is None else splits.codes, options),
        ),
        total=kept.figures["total"],
        n_genes=kept.figures["n_genes"],
        content=kept.figures["content"],
        barcodes=kept.barcodes,
        columns=own,
        obs=tuple(c.fresh for c in columns if c.fresh is not None),
        labels=kept.labels,
        splits=splits,
        findings=(
            *gene_findings(surveyed, index),
            *label_findings(kept.labels),
            *copy_findings(kept.source[copies], surveyed),
        ),
        start=store.n_cells,
        first_source=len(store.sources_view.records),
    )
    return AppendPlan(part=part, columns=columns)


def _group_column(existing: Existing, kept: Kept, columns: Sequence[MergedColumn], name: str) -> Column | None:
    """Return a column that splits go by over the appended cells; what the store says it is decides."""
    if name in kept.labels.names:
        return _label_column(kept.labels, name)
    known = {c.name for c in existing.manifest.obs}
    if name in known:
        fresh = next(c.fresh for c in columns if c.name == name)
        return None if fresh is None else fresh.column
    return kept.lookup.sources()


def _label_column(labels: LabelPlan, name: str) -> Column:
    codes = np.concatenate(labels[name].codes)
    return Column(kind="categorical", dtype="string", values=codes, categories=labels[name].categories)


def describe_append(plan: AppendPlan, existing: Existing) -> ConversionPlan:
    """Say what an append would do, as a dry run of a conversion does; and what of it is new to the store."""
    described = ConversionPlan.of(plan.part)
    before = {label.name: len(label.categories) for label in existing.labels}
    known = {c.name for c in existing.manifest.obs}
    new = {
        "n_cells_before": existing.store.n_cells,
        "n_genes_new": len(plan.part.index.genes) - existing.manifest.genes.n,
        "categories_new": {
            label.name: list(label.categories[before[label.name] :]) for label in plan.part.labels.labels
        },
        "obs_new": [c.name for c in plan.columns if c.name not in known],
        "tables": [table.name for table in existing.manifest.tables],
    }
    labels = [
        {**shown, "missing": sum(int((codes < 0).sum()) for codes in label.codes)}
        for shown, label in zip(described.document["labels"], plan.part.labels.labels, strict=True)
    ]
    own = {"genes": existing.manifest.genes.mode, "labels": labels, "append": new}
    return ConversionPlan(document={**described.document, **own})

"""From sources that were read once to everything that will be written. Pure but for reading obs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.conversion.lookup import PlanLookup
from scformat.conversion.merge import merge
from scformat.conversion.obs import ObsPlan, same_as_label, source_column
from scformat.conversion.order import order_keys, shuffled
from scformat.conversion.shards import CellPlan
from scformat.entries import max_gap_entries
from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.genes import read_gene_list, unify
from scformat.labels import SourceObs, constants_of, plan_labels
from scformat.manifest import Finding
from scformat.splits import assign_cells, assign_content, cells_per_split, read_split_file, resolve_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.columns import Column
    from scformat.conversion.options import Options
    from scformat.conversion.survey import Surveyed
    from scformat.genes import GeneIndex, Reference
    from scformat.labels import LabelPlan
    from scformat.manifest import Skipped, SourceColumn
    from scformat.strings import Strings


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitPlan:
    """Splits of the cells, in the order of the sources.

    Attributes
    ----------
    names, shares, by
        As asked for; `shares` is None where a file gives the splits.
    codes : int32 array, shape (n_cells,)
        -1 no split.
    counts
        Cells in each.
    duplicates_left_out
        Cells that repeat one of another split, and so are in none.
    """

    names: tuple[str, ...]
    shares: tuple[float, ...] | None
    by: tuple[str, ...]
    codes: NDArray[np.int32]
    counts: tuple[int, ...]
    duplicates_left_out: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """Everything that a conversion will write, but for the counts themselves.

    Per-cell arrays are in the order of the sources, of the cells that are kept. The part that is written begins
    with the row `start` and the source `first_source` of its store.
    """

    options: Options
    surveyed: tuple[Surveyed, ...]
    skipped: tuple[Skipped, ...]
    index: GeneIndex
    cells: CellPlan
    total: NDArray[np.int64]
    n_genes: NDArray[np.int64]
    content: NDArray[np.int64]
    barcodes: tuple[Strings, ...]
    columns: tuple[tuple[SourceColumn, ...], ...]
    obs: tuple[ObsPlan, ...]
    labels: LabelPlan
    splits: SplitPlan | None
    findings: tuple[Finding, ...]
    start: int = 0
    first_source: int = 0

    @property
    def n_cells(self) -> int:
        """Cells that are kept."""
        return len(self.cells.row)


@dataclass(frozen=True, kw_only=True, eq=False)
class Kept:
    """The n cells of some sources that are kept, in the order of the sources.

    Attributes
    ----------
    surveyed
        The sources.
    rows : int64 arrays, one a source
        Rows of the source, ascending.
    obs, barcodes
        Of each source, of these rows.
    figures : int64 arrays, shape (n,)
        ``total``, ``n_genes``, ``content`` and ``needed`` of :class:`scformat.conversion.scan.Scan`.
    labels
        Planned over these cells.
    """

    surveyed: tuple[Surveyed, ...]
    rows: tuple[NDArray[np.int64], ...]
    obs: tuple[Mapping[str, Column], ...]
    barcodes: tuple[Strings, ...]
    figures: Mapping[str, NDArray[np.int64]]
    labels: LabelPlan

    @property
    def n_cells(self) -> list[int]:
        """Cells of each source."""
        return [len(rows) for rows in self.rows]

    @cached_property
    def source(self) -> NDArray[np.int32]:
        """Source of each cell, shape (n,)."""
        return np.repeat(np.arange(len(self.rows), dtype=np.int32), self.n_cells)

    @cached_property
    def row(self) -> NDArray[np.int64]:
        """Row of each cell in its source, shape (n,)."""
        return np.concatenate(self.rows)

    @cached_property
    def lookup(self) -> PlanLookup:
        """The cells' columns by name."""
        return PlanLookup(
            names=[s.source.name for s in self.surveyed],
            n_cells=self.n_cells,
            obs=self.obs,
            figures={"total_counts": self.figures["total"], "n_genes": self.figures["n_genes"]},
            labels=self.labels,
        )

    @cached_property
    def rank(self) -> NDArray[np.int64]:
        """Which of several copies of a cell comes first: the primary ones, then the earlier; shape (n,)."""
        n = len(self.row)
        lookup = self.lookup
        primary = np.ones(n, np.bool_)
        if "is_primary_data" in lookup.known():
            codes, texts = lookup.groups("is_primary_data")
            primary = ~np.isin(codes, [i for i, text in enumerate(texts) if text.lower() == "false"])
        return np.arange(n, dtype=np.int64) + np.where(primary, 0, n)


def keep_cells(
    surveyed: Sequence[Surveyed], options: Options, plan: Callable[[Sequence[SourceObs]], LabelPlan]
) -> Kept:
    """Read what the sources say of their cells, and leave out those that are not wanted."""
    rows = [np.arange(s.source.n_cells, dtype=np.int64) for s in surveyed]
    obs = tuple(s.source.obs() for s in surveyed)
    kept = Kept(
        surveyed=tuple(surveyed),
        rows=tuple(rows),
        obs=obs,
        barcodes=tuple(s.source.barcodes() for s in surveyed),
        figures={
            name: np.concatenate([getattr(s.scan, name) for s in surveyed])
            for name in ("total", "n_genes", "content", "needed")
        },
        labels=plan(_label_sources(surveyed, obs, [len(r) for r in rows])),
    )
    if options.where is None:
        return kept
    keep = options.where.evaluate(kept.lookup)
    if not keep.any():
        raise InvalidDataError("no-cells", "no cell is selected", found=f"{len(keep):,} cells, where {options.where}")
    cuts = np.cumsum(kept.n_cells)[:-1]
    rows = [np.flatnonzero(k).astype(np.int64) for k in np.split(keep, cuts)]
    obs = tuple({n: c.take(r) for n, c in columns.items()} for columns, r in zip(kept.obs, rows, strict=True))
    return Kept(
        surveyed=kept.surveyed,
        rows=tuple(rows),
        obs=obs,
        barcodes=tuple(b.take(r) for b, r in zip(kept.barcodes, rows, strict=True)),
        figures={name: values[keep] for name, values in kept.figures.items()},
        labels=plan(_label_sources(surveyed, obs, [len(r) for r in rows])),
    )


def make_plan(
    surveyed: Sequence[Surveyed],
    skipped: Sequence[Skipped],
    options: Options,
    *,
    references: Mapping[int, Reference],
) -> Plan:
    """Decide everything: genes, cells, labels, splits, order."""
    index = _gene_index(surveyed, options, references)
    kept = keep_cells(surveyed, options, lambda sources: _labels(sources, options))
    labels, figures = kept.labels, kept.figures
    copies = find_copies(figures["content"], figures["total"], figures["n_genes"])
    splits = _splits(kept, options)
    plan = CellPlan(
        source=kept.source,
        row=kept.row,
        needed=figures["needed"] + max_gap_entries(len(index.genes)),
        order=order_of(kept, None if splits is None else splits.codes, options),
    )
    merged, columns = _obs(kept.obs, kept.n_cells, labels)
    return Plan(
        options=options,
        surveyed=tuple(surveyed),
        skipped=tuple(skipped),
        index=index,
        cells=plan,
        total=figures["total"],
        n_genes=figures["n_genes"],
        content=figures["content"],
        barcodes=kept.barcodes,
        columns=columns,
        obs=merged,
        labels=labels,
        splits=splits,
        findings=(
            *gene_findings(surveyed, index),
            *label_findings(labels),
            *copy_findings(kept.source[copies], surveyed),
        ),
    )


def find_copies(content: NDArray[np.int64], total: NDArray[np.int64], n_genes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cells whose content an earlier cell has too; int64, ascending. Cells without a gene are no copies."""
    cells = np.flatnonzero(n_genes > 0)
    order = cells[np.lexsort((cells, n_genes[cells], total[cells], content[cells]))]
    same = np.ones(max(len(order) - 1, 0), np.bool_)
    for figure in (content, total, n_genes):
        same &= figure[order[1:]] == figure[order[:-1]]
    return np.sort(order[1:][same])


def _gene_index(surveyed: Sequence[Surveyed], options: Options, references: Mapping[int, Reference]) -> GeneIndex:
    mode: Any = options.genes
    if options.genes not in ("union", "intersection"):
        mode = read_gene_list(options.genes, references=references, organism=options.organism)
    return unify([s.genes for s in surveyed], mode=mode, detection=[s.scan.detection for s in surveyed])


def _label_sources(
    surveyed: Sequence[Surveyed], obs: Sequence[Mapping[str, Column]], n_cells: Sequence[int]
) -> list[SourceObs]:
    return [
        SourceObs(
            name=s.source.name,
            n_cells=n,
            obs=columns,
            constants={**constants_of(s.source.uns_text()), **s.request.constants},
        )
        for s, columns, n in zip(surveyed, obs, n_cells, strict=True)
    ]


def _labels(sources: Sequence[SourceObs], options: Options) -> LabelPlan:
    return plan_labels(sources, explicit=options.labels, ontology=options.ontology)


def _splits(kept: Kept, options: Options) -> SplitPlan | None:
    figures, lookup = kept.figures, kept.lookup
    shares: tuple[float, ...] | None = None
    if options.splits_file is not None:
        given = read_split_file(options.splits_file)
        names, by = given.names, given.columns
        if given.by_cell:
            codes = np.concatenate(
                given.assign_barcodes([(s.source.name, b) for s, b in zip(kept.surveyed, kept.barcodes, strict=True)])
            )
        else:
            codes = given.assign_cells(*_groups(lookup, by))
    elif options.splits is not None:
        names, shares, by = options.splits.names, options.splits.shares, options.split_by
        if by:
            codes = assign_cells(options.splits, *_groups(lookup, by), options.seed)
        else:
            codes = assign_content(options.splits, figures["content"], options.seed)
    else:
        return None
    codes, left_out = resolve_duplicates(codes, figures["content"], figures["total"], figures["n_genes"], kept.rank)
    counts = cells_per_split(names, codes)
    return SplitPlan(
        names=tuple(names),
        shares=shares,
        by=tuple(by),
        codes=codes,
        counts=tuple(counts[name] for name in names),
        duplicates_left_out=left_out,
    )


def _groups(lookup: PlanLookup, names: Sequence[str]) -> tuple[list[NDArray[np.int32]], list[tuple[str, ...]]]:
    known = lookup.known()
    for name in names:
        if name not in known:
            raise unknown_name("column to split by", name, known)
    pairs = [lookup.groups(name) for name in names]
    return [codes for codes, _ in pairs], [texts for _, texts in pairs]


def order_of(kept: Kept, splits: NDArray[np.int32] | None, options: Options) -> NDArray[np.int64] | None:
    """Return which cell lies at each place; None where they come as in their sources."""
    labels = kept.labels
    if options.order == "source":
        return None
    by = []
    if options.order == "stratified":
        for name in options.stratify_by or default_strata(labels):
            if name not in labels.names:
                raise unknown_name("label", name, labels.names, where="stratify_by")
            by.append(np.concatenate(labels[name].codes))
        if splits is not None:
            by.append(splits)
    keys = order_keys(kept.row, kept.source, [s.digest for s in kept.surveyed], options.seed)
    return shuffled(keys, by)


def default_strata(labels: LabelPlan) -> tuple[str, ...]:
    """Label that the stratified order sorts by when none is named: the cell type."""
    for name in ("cell_type", "celltype"):
        if name in labels.names:
            return (name,)
    raise UsageError(
        "no-strata",
        "the stratified order needs a label",
        expected="a label 'cell_type', or one named by --stratify-by",
        found=f"labels {', '.join(labels.names) or '(none)'}",
    )


def _obs(
    obs: Sequence[Mapping[str, Column]], n_cells: Sequence[int], labels: LabelPlan
) -> tuple[tuple[ObsPlan, ...], tuple[tuple[SourceColumn, ...], ...]]:
    """Merge the columns of the sources, and describe each source's own."""
    plans = []
    described: list[dict[str, SourceColumn]] = [{} for _ in obs]
    for name in dict.fromkeys(name for columns in obs for name in columns):
        column = merge([columns.get(name) for columns in obs], n_cells)
        label = None
        if name in labels.names and same_as_label(column, labels[name].categories, np.concatenate(labels[name].codes)):
            label = name
        for own, columns in zip(described, obs, strict=True):
            if name in columns:
                own[name] = source_column(name, columns[name], column)
        if label is not None:
            # The label holds the codes; a second copy of them would only take memory.
            column = replace(column, values=np.broadcast_to(np.int32(layout.MISSING), len(column)))
        plans.append(ObsPlan(name=name, column=column, label=label))
    own_order = tuple(tuple(own[name] for name in columns) for own, columns in zip(described, obs, strict=True))
    return tuple(plans), own_order


def gene_findings(surveyed: Sequence[Surveyed], index: GeneIndex) -> list[Finding]:
    """Say what became of the columns of the sources."""
    findings = []
    for s, left_out in zip(surveyed, index.left_out, strict=True):
        name = s.source.name
        if s.genes.ambiguous:
            some = ", ".join(s.genes.ambiguous[:5])
            findings.append(
                Finding(source=name, what="ambiguous-symbols", note=f"{len(s.genes.ambiguous)} stay unresolved: {some}")
            )
        findings += [
            Finding(
                source=name,
                what="merged-columns",
                value=m.gene_id,
                note=f"columns {', '.join(map(str, m.columns))} summed",
            )
            for m in s.genes.merged
        ]
        if len(left_out.ids):
            some = ", ".join(left_out.ids[:5])
            findings.append(Finding(source=name, what="genes-left-out", note=f"{len(left_out.ids)} left out: {some}"))
    return findings


def label_findings(labels: LabelPlan) -> list[Finding]:
    """Say what became of the labels of the sources."""
    skipped = [Finding(what="not-a-label", value=name, note=why) for name, why in labels.skipped.items()]
    return skipped + [
        Finding(source=f.source or None, what=f"{f.label}: {f.status}", value=f.value, cells=f.cells, note=f.note)
        for f in labels.findings
    ]


def copy_findings(copies: NDArray[np.int32], surveyed: Sequence[Surveyed]) -> list[Finding]:
    """Count the cells that repeat earlier ones; `copies` has the source of each."""
    counts = np.bincount(copies, minlength=len(surveyed))
    return [
        Finding(source=s.source.name, what="duplicate-cells", cells=n, note="the same counts as an earlier cell")
        for s, n in zip(surveyed, counts.tolist(), strict=True)
        if n
    ]

"""From sources that were read once to everything that will be written. Pure but for reading obs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.conversion.counts import CellPlan
from scformat.conversion.lookup import PlanLookup
from scformat.conversion.merge import merge
from scformat.conversion.obs import ObsPlan, same_as_label, source_column
from scformat.conversion.order import order_keys, shuffled
from scformat.entries import max_gap_entries
from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.genes import read_gene_list, unify
from scformat.labels import SourceObs, constants_of, plan_labels
from scformat.manifest import Finding
from scformat.splits import assign_cells, assign_content, cells_per_split, read_split_file, resolve_duplicates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


def make_plan(
    surveyed: Sequence[Surveyed],
    skipped: Sequence[Skipped],
    options: Options,
    *,
    references: Mapping[int, Reference],
) -> Plan:
    """Decide everything: genes, cells, labels, splits, order."""
    index = _gene_index(surveyed, options, references)
    obs = [s.source.obs() for s in surveyed]
    barcodes = [s.source.barcodes() for s in surveyed]
    rows = [np.arange(s.source.n_cells, dtype=np.int64) for s in surveyed]
    figures = {
        name: np.concatenate([getattr(s.scan, name) for s in surveyed])
        for name in ("total", "n_genes", "content", "needed")
    }
    labels = _labels(surveyed, obs, [len(r) for r in rows], options)
    if options.where is not None:
        lookup = _lookup(surveyed, obs, [len(r) for r in rows], figures, labels)
        keep = options.where.evaluate(lookup)
        if not keep.any():
            raise InvalidDataError(
                "no-cells", "no cell is selected", found=f"{len(keep):,} cells, where {options.where}"
            )
        cuts = np.cumsum([len(r) for r in rows])[:-1]
        rows = [np.flatnonzero(k).astype(np.int64) for k in np.split(keep, cuts)]
        figures = {name: values[keep] for name, values in figures.items()}
        obs = [{n: c.take(r) for n, c in columns.items()} for columns, r in zip(obs, rows, strict=True)]
        barcodes = [b.take(r) for b, r in zip(barcodes, rows, strict=True)]
        labels = _labels(surveyed, obs, [len(r) for r in rows], options)
    n_cells = [len(r) for r in rows]
    lookup = _lookup(surveyed, obs, n_cells, figures, labels)
    source = np.repeat(np.arange(len(rows), dtype=np.int32), n_cells)
    row = np.concatenate(rows)
    primary = _primary(lookup, len(row))
    copies = find_copies(figures["content"], figures["total"], figures["n_genes"])
    splits = _splits(surveyed, barcodes, figures, lookup, primary, options)
    plan = CellPlan(
        source=source,
        row=row,
        needed=figures["needed"] + max_gap_entries(len(index.genes)),
        order=_order(surveyed, source, row, labels, splits, options),
    )
    merged, columns = _obs(obs, n_cells, labels)
    return Plan(
        options=options,
        surveyed=tuple(surveyed),
        skipped=tuple(skipped),
        index=index,
        cells=plan,
        total=figures["total"],
        n_genes=figures["n_genes"],
        content=figures["content"],
        barcodes=tuple(barcodes),
        columns=columns,
        obs=merged,
        labels=labels,
        splits=splits,
        findings=(
            *_gene_findings(surveyed, index),
            *_label_findings(labels),
            *_copy_findings(copies, source, surveyed),
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


def _labels(
    surveyed: Sequence[Surveyed], obs: Sequence[Mapping[str, Column]], n_cells: Sequence[int], options: Options
) -> LabelPlan:
    sources = [
        SourceObs(
            name=s.source.name,
            n_cells=n,
            obs=columns,
            constants={**constants_of(s.source.uns_text()), **s.request.constants},
        )
        for s, columns, n in zip(surveyed, obs, n_cells, strict=True)
    ]
    return plan_labels(sources, explicit=options.labels, ontology=options.ontology)


def _lookup(
    surveyed: Sequence[Surveyed],
    obs: Sequence[Mapping[str, Column]],
    n_cells: Sequence[int],
    figures: Mapping[str, NDArray[np.int64]],
    labels: LabelPlan,
) -> PlanLookup:
    return PlanLookup(
        names=[s.source.name for s in surveyed],
        n_cells=n_cells,
        obs=obs,
        figures={"total_counts": figures["total"], "n_genes": figures["n_genes"]},
        labels=labels,
    )


def _primary(lookup: PlanLookup, n_cells: int) -> NDArray[np.bool_]:
    """Whether a cell is the primary copy of its data; True where no source says."""
    if "is_primary_data" not in lookup.known():
        return np.ones(n_cells, np.bool_)
    codes, texts = lookup.groups("is_primary_data")
    return ~np.isin(codes, [i for i, text in enumerate(texts) if text.lower() == "false"])


def _splits(
    surveyed: Sequence[Surveyed],
    barcodes: Sequence[Strings],
    figures: Mapping[str, NDArray[np.int64]],
    lookup: PlanLookup,
    primary: NDArray[np.bool_],
    options: Options,
) -> SplitPlan | None:
    shares: tuple[float, ...] | None = None
    if options.splits_file is not None:
        given = read_split_file(options.splits_file)
        names, by = given.names, given.columns
        if given.by_cell:
            codes = np.concatenate(
                given.assign_barcodes([(s.source.name, b) for s, b in zip(surveyed, barcodes, strict=True)])
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
    n = len(codes)
    rank = np.arange(n, dtype=np.int64) + np.where(primary, 0, n)
    codes, left_out = resolve_duplicates(codes, figures["content"], figures["total"], figures["n_genes"], rank)
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


def _order(
    surveyed: Sequence[Surveyed],
    source: NDArray[np.int32],
    row: NDArray[np.int64],
    labels: LabelPlan,
    splits: SplitPlan | None,
    options: Options,
) -> NDArray[np.int64] | None:
    if options.order == "source":
        return None
    by = []
    if options.order == "stratified":
        for name in options.stratify_by or default_strata(labels):
            if name not in labels.names:
                raise unknown_name("label", name, labels.names, where="stratify_by")
            by.append(np.concatenate(labels[name].codes))
        if splits is not None:
            by.append(splits.codes)
    keys = order_keys(row, source, [s.digest for s in surveyed], options.seed)
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


def _gene_findings(surveyed: Sequence[Surveyed], index: GeneIndex) -> list[Finding]:
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


def _label_findings(labels: LabelPlan) -> list[Finding]:
    skipped = [Finding(what="not-a-label", value=name, note=why) for name, why in labels.skipped.items()]
    return skipped + [
        Finding(source=f.source, what=f"{f.label}: {f.status}", value=f.value, cells=f.cells, note=f.note)
        for f in labels.findings
    ]


def _copy_findings(copies: NDArray[np.int64], source: NDArray[np.int32], surveyed: Sequence[Surveyed]) -> list[Finding]:
    counts = np.bincount(source[copies], minlength=len(surveyed))
    return [
        Finding(source=s.source.name, what="duplicate-cells", cells=n, note="the same counts as an earlier cell")
        for s, n in zip(surveyed, counts.tolist(), strict=True)
        if n
    ]

"""Level 3, the sources of a part: their records, their columns, what they measured, their statistics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from scformat.layout import RECOMPUTE
from scformat.manifest import SourceRecord, first_error
from scformat.structure.sink import several
from scformat.validation.document import NotJsonError, parse
from scformat.validation.genes import check_flags
from scformat.validation.kernels import AT_MOST, BELOW, CELLS, MEDIAN, N_FIGURES, SATURATED, SQUARES, SUM
from scformat.validation.strings import read_strings, string_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Manifest, PartSources
    from scformat.validation.files import Files
    from scformat.validation.genes import GeneFacts
    from scformat.validation.report import Findings

_EXACT = (("number of cells", CELLS), ("sum", SUM), ("sum of squares", SQUARES))
"""The first rows of the statistics, and the figures that check them."""
_MEDIAN_ROW = 3
_LARGEST_EXACT = 2**53


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceFacts:
    """What is known of the S sources of a part; None what is damaged.

    Attributes
    ----------
    records
        One a source; None for one that is no record.
    left_out, merged : bool arrays, shape (S,)
        Whether columns of the source are not in the index, and whether several are one gene of it.
    measured : uint8 array, shape (S, n_genes)
    stats : int64 array, shape (4, S, n_genes)
    """

    records: list[SourceRecord | None]
    left_out: NDArray[np.bool_] | None
    merged: NDArray[np.bool_] | None
    measured: NDArray[np.uint8] | None
    stats: NDArray[np.int64] | None

    def new_figures(self) -> NDArray[np.int64] | None:
        """Return what :func:`scformat.validation.kernels.check_rows` adds to, None without statistics."""
        if self.stats is None:
            return None
        figures = np.zeros((*self.stats.shape[1:], N_FIGURES), np.int64)
        figures[..., MEDIAN] = self.stats[_MEDIAN_ROW]
        return figures


def check_sources(files: Files, sources: PartSources, genes: GeneFacts | None, manifest: Manifest) -> SourceFacts:
    """Check the sources of a part, except for what only the cells show."""
    findings = files.findings
    records = _check_records(files, sources, manifest)
    for _ in string_blocks(files, sources.var_names):
        pass
    measured = check_flags(files, sources.measured, "SRC-5", findings)
    stats = files.whole(sources.stats)
    offsets, gene = files.whole(sources.var_offsets), files.whole(sources.var_gene)
    left_out = merged = None
    if offsets is not None and gene is not None and _columns_fit(sources, offsets, gene, findings):
        left_out, merged = np.zeros(sources.n, np.bool_), np.zeros(sources.n, np.bool_)
        for s in range(sources.n):
            columns = gene[offsets[s] : offsets[s + 1]]
            kept = columns[columns >= 0]
            left_out[s] = len(kept) < len(columns)
            held = np.unique(kept)
            merged[s] = len(held) < len(kept)
            if measured is not None:
                _check_measured(sources, s, held, measured[s], findings)
            record = records[s]
            if record is not None:
                where = f"{sources.records.bytes.path}, source {sources.first + s}"
                _check_columns(record, columns, held, genes, where, findings)
    return SourceFacts(records=records, left_out=left_out, merged=merged, measured=measured, stats=stats)


def check_names(facts: list[SourceFacts], findings: Findings) -> None:
    """Check that no two sources of the store have one name."""
    names = Counter(r.name for part in facts for r in part.records if r is not None)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        text = f"two sources have one name{several(len(twice))}"
        findings.add("SRC-2", "sources", text, found=repr(twice[0]))


def _check_records(files: Files, sources: PartSources, manifest: Manifest) -> list[SourceRecord | None]:
    findings, path = files.findings, sources.records.bytes.path
    texts = read_strings(files, sources.records)
    records: list[SourceRecord | None] = []
    columns = {c.name for c in manifest.obs}
    if texts is None:
        return [None] * sources.n
    for s, text in enumerate(texts):
        where = f"{path}, source {sources.first + s}"
        record = None
        try:
            document, twice, inexact = parse(text)
            for name in twice:
                findings.add("CNV-1", where, f"an object has the member {name} twice")
            for number in inexact:
                findings.add("CNV-2", where, "a number that is not exact as binary64", found=number)
            record = SourceRecord.model_validate(document)
        except NotJsonError as error:
            findings.add("SRC-1", where, "not a JSON document", found=error)
        except ValidationError as error:
            findings.add("SRC-1", where, ": ".join(first_error(error)))
        if record is not None:
            _check_record(record, columns, where, findings)
        records.append(record)
    return records


def _check_record(record: SourceRecord, columns: set[str], where: str, findings: Findings) -> None:
    names = [c.name for c in record.columns]
    unknown = [name for name in names if name not in columns]
    if unknown or len(set(names)) != len(names):
        text = "a column that the store does not have" if unknown else "a column twice"
        findings.add("SRC-4", where, text, found=repr(unknown[0]) if unknown else None)
    for column in record.columns:
        if column.categories is not None and len(set(column.categories)) != len(column.categories):
            findings.add("SRC-4", where, "a column has a category twice", found=repr(column.name))
    if record.path is not None and ("/" in record.path or "\\" in record.path):
        findings.add("MAN-7", where, "the path is more than its last segment", found=repr(record.path))
    if record.n_cells > record.n_rows:
        findings.add("SRC-11", where, "more cells than rows", expected=f"at most {record.n_rows}", found=record.n_cells)
    if any(a >= b for a, b in zip(record.organisms[:-1], record.organisms[1:], strict=True)):
        findings.add("SRC-11", where, "the organisms do not ascend", found=record.organisms)


def _columns_fit(sources: PartSources, offsets: NDArray[np.int64], gene: NDArray[np.int32], findings: Findings) -> bool:
    path = sources.var_offsets.path
    if offsets[0] != 0 or (np.diff(offsets) < 0).any() or offsets[-1] != len(gene):
        expected = f"0, ascending, {len(gene)}"
        found = f"{offsets[0]} to {offsets[-1]}"
        findings.add("SRC-9", path, "the offsets do not fit the columns", expected=expected, found=found)
        return False
    bad = np.flatnonzero((gene < -1) | (gene >= sources.n_genes))
    if len(bad):
        text = f"a column of a gene that is not there{several(len(bad))}"
        where = f"{sources.var_gene.path}, element {bad[0]}"
        findings.add("SRC-10", where, text, expected=f"-1 to {sources.n_genes - 1}", found=gene[bad[0]])
        return False
    return True


def _check_measured(
    sources: PartSources, s: int, held: NDArray[np.int32], measured: NDArray[np.uint8], findings: Findings
) -> None:
    expected = np.zeros(len(measured), np.uint8)
    expected[held] = 1
    wrong = np.flatnonzero(measured != expected)
    if len(wrong):
        g, where = int(wrong[0]), f"{sources.measured.path}, source {sources.first + s}, gene {int(wrong[0])}"
        text = f"not what the source's columns say{several(len(wrong))}"
        findings.add("SRC-5", where, text, expected=expected[g], found=measured[g])


def _check_columns(
    record: SourceRecord,
    columns: NDArray[np.int32],
    held: NDArray[np.int32],
    genes: GeneFacts | None,
    where: str,
    findings: Findings,
) -> None:
    n_left_out = int((columns < 0).sum())
    n_merged = len(columns) - n_left_out - len(held)
    if record.n_vars != len(columns):
        findings.add("SRC-9", where, "n_vars is not the number of columns", expected=len(columns), found=record.n_vars)
    if record.n_left_out != n_left_out:
        text = "n_left_out is not the number of columns without a gene"
        findings.add("SRC-11", where, text, expected=n_left_out, found=record.n_left_out)
    # Columns of one gene that is not in the index are merged too, but var_gene does not tell them apart.
    if not n_merged <= record.n_merged <= n_merged + max(n_left_out - 1, 0):
        findings.add("SRC-11", where, "wrong n_merged", expected=n_merged, found=record.n_merged)
    if genes is None:
        return
    if genes.resolved is not None:
        n_resolved = int((genes.resolved[columns[columns >= 0]] == 1).sum())
        if not n_resolved <= record.n_resolved <= n_resolved + n_left_out:
            text = "n_resolved is not the number of columns whose gene is resolved"
            findings.add("SRC-11", where, text, expected=n_resolved, found=record.n_resolved)
    taxa = set(np.unique(genes.taxa[held]).tolist())
    stated = set(record.organisms)
    if not taxa <= stated or (n_left_out == 0 and taxa != stated):
        text = "the organisms are not those of the source's genes"
        findings.add("SRC-11", where, text, expected=sorted(taxa), found=record.organisms)


def check_stats(sources: PartSources, facts: SourceFacts, figures: list[NDArray[np.int64]], findings: Findings) -> None:
    """Hold what the counts gave against the statistics, the measured genes and the records."""
    stats = facts.stats
    if stats is None:
        return
    for s in range(sources.n):
        one = _combined([table[s] for table in figures])
        rows = [(name, _figure_fits(one[:, f], stats[k, s]), one[:, f]) for k, (name, f) in enumerate(_EXACT)]
        for k, (name, right, actual) in enumerate([*rows, ("lower median", _median_fits(one, stats[:, s]), None)]):
            wrong = np.flatnonzero(~right)
            if len(wrong):
                g = int(wrong[0])
                expected = None if actual is None else actual[g]
                text = f"the {name} is not that of the counts{several(len(wrong))}"
                where = f"{sources.stats.path}, source {sources.first + s}, gene {g}"
                findings.add("SRC-8", where, text, expected=expected, found=stats[k, s, g])
        if facts.measured is not None:
            unmeasured = np.flatnonzero((one[:, CELLS] > 0) & (facts.measured[s] == 0))
            if len(unmeasured):
                text = f"cells have counts of a gene that their source did not measure{several(len(unmeasured))}"
                where = f"{sources.measured.path}, source {sources.first + s}, gene {unmeasured[0]}"
                findings.add("SRC-7", where, text)
        record = facts.records[s]
        if record is not None:
            where = f"{sources.records.bytes.path}, source {sources.first + s}"
            for name, figure in (("n_nonzero", CELLS), ("total", SUM)):
                actual, stated = sum(one[:, figure].tolist()), getattr(record, name)
                if actual != stated:
                    findings.add("SRC-11", where, f"{name} is not that of the counts", expected=actual, found=stated)


def _combined(tables: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    out = tables[0].copy()
    for table in tables[1:]:
        for figure in (CELLS, SUM, BELOW, AT_MOST):
            out[:, figure] += table[:, figure]
        full = out[:, SQUARES] > SATURATED - table[:, SQUARES]
        out[:, SQUARES] = np.where(full, SATURATED, out[:, SQUARES] + np.where(full, 0, table[:, SQUARES]))
    return out


def _figure_fits(actual: NDArray[np.int64], stated: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((actual == stated) | ((stated == RECOMPUTE) & (actual > _LARGEST_EXACT)))


def _median_fits(figures: NDArray[np.int64], stats: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the stated median has as many values below it, and at or below it, as a lower median has."""
    rank = (figures[:, CELLS] - 1) // 2
    within: NDArray[np.bool_] = (figures[:, BELOW] <= rank) & (rank < figures[:, AT_MOST])
    return np.asarray(np.where(figures[:, CELLS] > 0, within, stats[_MEDIAN_ROW] == 0))

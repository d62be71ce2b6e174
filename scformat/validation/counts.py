"""Level 3, counts: the entries of every cell, and the figures of its record that they give."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.layout import RECOMPUTE
from scformat.structure.sink import several
from scformat.validation.kernels import BAD_FORM, FAULTS, N_FIGURES, check_rows
from scformat.validation.sources import check_stats

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Part
    from scformat.validation.files import Files
    from scformat.validation.genes import GeneFacts
    from scformat.validation.sources import SourceFacts

_TABLE_BYTES = 1 << 30
"""Memory that tables of statistics, one a thread, may take before all threads share one."""
_LIMIT = 2**31


@dataclass(frozen=True, kw_only=True, eq=False)
class ShardRows:
    """The n cells of a shard, as their records have them.

    Attributes
    ----------
    first
        Number of the first in the part.
    row_end, total, n_genes : int32 arrays, shape (n,)
    source : int64 array, shape (n,)
        Within the part; -1 for one that is not there.
    content : int64 array, shape (n,), or None
        None where it is damaged.
    """

    first: int
    row_end: NDArray[np.int32]
    source: NDArray[np.int64]
    total: NDArray[np.int32]
    n_genes: NDArray[np.int32]
    content: NDArray[np.int64] | None


class CountCheck:
    """Checks the shards of counts of a part, from several threads."""

    def __init__(self, files: Files, part: Part, facts: SourceFacts, genes: GeneFacts | None, *, threads: int) -> None:
        self._files = files
        self._part = part
        self._facts = facts
        n_genes = part.sources.n_genes
        self._keys = np.zeros(n_genes, np.uint64) if genes is None else genes.keys[:n_genes]
        self._has_keys = genes is not None
        self._n_genes = n_genes
        self._figures: list[NDArray[np.int64]] = []
        size = 8 * N_FIGURES * part.sources.n * n_genes
        self._idle: queue.SimpleQueue[NDArray[np.int64] | None] = queue.SimpleQueue()
        for _ in range(threads if size * threads <= _TABLE_BYTES else 1):
            self._idle.put(None)
        self._sound = True
        self._n_checked = 0

    def end_of(self, k: int, rows: ShardRows) -> int | None:
        """Return where the last row of shard `k` ends, None where the ends make no sense."""
        ends, size = rows.row_end, self._part.entries.shard[1]
        bad = np.flatnonzero((np.diff(ends, prepend=np.int32(0)) < 0) | (ends > size) | (ends < 0))
        if len(bad):
            at = int(bad[0])
            text = f"row_end is below the one before it, or beyond the shard{several(len(bad))}"
            before = 0 if at == 0 else int(ends[at - 1])
            where = f"{self._part.index.path}, cell {self._part.start + rows.first + at}"
            self._files.findings.add("CNT-11", where, text, expected=f"{before} to {size}", found=ends[at])
            self.spoil()
            return None
        return int(ends[-1])

    def spoil(self) -> None:
        """Give up on the statistics: some cells cannot be counted."""
        self._sound = False

    def check(self, k: int, rows: ShardRows, end: int) -> None:
        """Check shard `k`, whose last row ends at `end`."""
        entries = self._files.of(self._part.entries).load((0, k), extent=(2, end))
        if entries is None:
            self.spoil()
            return
        n = len(rows.row_end)
        total, n_genes, content = np.empty((3, n), np.int64)
        faults = np.empty(n, np.uint8)
        source = rows.source
        figures = self._idle.get()
        if figures is None:
            figures = self._facts.new_figures()
            if figures is not None:
                self._figures.append(figures)
        if figures is None:
            figures, source = np.empty((0, 0, N_FIGURES), np.int64), np.full(n, -1, np.int64)
        ends = rows.row_end.astype(np.int64)
        check_rows(entries, ends, source, self._n_genes, self._keys, figures, total, n_genes, content, faults)
        self._idle.put(figures if figures.size else None)
        if not self._report_faults(k, rows.first, faults) or (rows.source < 0).any():
            self.spoil()
        self._compare(rows, faults, total, n_genes, content)
        self._n_checked += 1

    def _report_faults(self, k: int, first: int, faults: NDArray[np.uint8]) -> bool:
        """Report faulty rows; whether the values of all can be taken."""
        for fault in np.unique(faults[faults > 0]).tolist():
            rows = np.flatnonzero(faults == fault)
            requirement, text = FAULTS[fault]
            where = f"{self._part.entries.path}, shard {k}, cell {self._part.start + first + int(rows[0])}"
            self._files.findings.add(requirement, where, text + several(len(rows)))
        return not ((faults > 0) & (faults != BAD_FORM)).any()

    def _compare(
        self,
        rows: ShardRows,
        faults: NDArray[np.uint8],
        total: NDArray[np.int64],
        n_genes: NDArray[np.int64],
        content: NDArray[np.int64],
    ) -> None:
        """Hold what the records say against the entries, as far as the entries show it."""
        facts = self._facts
        if facts.left_out is None or facts.merged is None:
            return
        good = ((faults == 0) | (faults == BAD_FORM)) & (rows.source >= 0)
        if not good.any():
            return
        source = np.maximum(rows.source, 0)
        left_out, merged = facts.left_out[source], facts.merged[source]
        large = rows.total == RECOMPUTE
        other = np.where(large, total < _LIMIT, rows.total != total)
        self._report("CEL-7", rows, "total_counts", rows.total, total, good & ~left_out & other)
        low = good & left_out & ~large & (rows.total >= 0) & (rows.total < total)
        self._report("CEL-7", rows, "total_counts", rows.total, total, low, at_least=True)
        # Nothing of a cell was left out where its columns are all there, or what is there sums to what was.
        whole = good & (~left_out | (rows.total == total))
        low = good & (rows.n_genes >= 0) & (rows.n_genes < n_genes)
        exact = whole & ~merged & (rows.n_genes != n_genes) & (rows.n_genes != RECOMPUTE)
        self._report("CEL-7", rows, "n_genes", rows.n_genes, n_genes, low | exact, at_least=bool((low & ~exact).any()))
        if rows.content is not None and self._has_keys:
            self._report("CEL-10", rows, "content", rows.content, content, whole & (rows.content != content))

    def _report(
        self,
        requirement: str,
        rows: ShardRows,
        name: str,
        stated: NDArray[Any],
        actual: NDArray[np.int64],
        wrong: NDArray[np.bool_],
        *,
        at_least: bool = False,
    ) -> None:
        found = np.flatnonzero(wrong)
        if len(found):
            at = int(found[0])
            array = self._part.content if name == "content" else self._part.index
            where = f"{array.path}, cell {self._part.start + rows.first + at}"
            text = f"{name} is not that of the entries{several(len(found))}"
            expected = f"{'at least ' if at_least else ''}{actual[at]}"
            self._files.findings.add(requirement, where, text, expected=expected, found=stated[at])

    def finish(self, n_shards: int) -> None:
        """Check the statistics, once all shards are done; only where all could be counted."""
        if self._sound and self._n_checked == n_shards:
            empty = self._facts.new_figures() if not self._figures else None
            figures = [empty] if empty is not None else self._figures
            if figures:
                check_stats(self._part.sources, self._facts, figures, self._files.findings)

    def check_digests(self, stated: NDArray[np.uint8]) -> None:
        """Hold the digests of the shards, uint8 of shape (n_shards, 64), against the files."""
        for (_, k), digest in self._files.of(self._part.entries).digests.items():
            if k < len(stated) and stated[k].tobytes() != digest.encode():
                where = f"{self._part.shard_digests.path}, shard {k}"
                found = repr(stated[k].tobytes().decode(errors="backslashreplace"))
                self._files.findings.add("CNT-13", where, "not the digest of the shard", expected=digest, found=found)

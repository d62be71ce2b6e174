"""Level 3, the cells of a part: their records, block by block, and with them the shards of their counts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.layout import MISSING, RECOMPUTE
from scformat.structure.sink import several
from scformat.validation.counts import CountCheck, ShardRows
from scformat.validation.kernels import mark_rows
from scformat.validation.order import OrderCheck
from scformat.validation.splits import GroupColumn, SplitCheck, group_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from numpy.typing import NDArray

    from scformat.manifest import Array, Label, Manifest, Part, Place
    from scformat.validation.files import Files, Window
    from scformat.validation.genes import GeneFacts
    from scformat.validation.labels import LabelFacts
    from scformat.validation.sources import SourceFacts

_ROWS = 2**31


@dataclass(kw_only=True, eq=False)
class Tallies:
    """Cells of each category and each split over all parts; ``incomplete`` where some could not be read."""

    labels: dict[str, NDArray[np.int64]]
    splits: NDArray[np.int64]
    incomplete: set[str] = field(default_factory=set)
    """Names of labels, and the empty name for the splits."""

    @classmethod
    def of(cls, manifest: Manifest) -> Tallies:
        """Begin with none."""
        n_splits = 0 if manifest.splits is None else len(manifest.splits.names)
        labels = {m.name: np.zeros(m.categories.n, np.int64) for m in manifest.labels}
        return cls(labels=labels, splits=np.zeros(n_splits, np.int64))


class CellCheck:
    """Checks the cells of one part.

    Parameters
    ----------
    files, manifest, part
        The store.
    facts, genes, labels
        What is known of the part's sources, of the genes, and of each label by its name.
    tallies
        Added to.
    threads
        Workers of the executor.
    """

    def __init__(
        self,
        files: Files,
        manifest: Manifest,
        part: Part,
        *,
        facts: SourceFacts,
        genes: GeneFacts | None,
        labels: dict[str, LabelFacts],
        tallies: Tallies,
        threads: int,
    ) -> None:
        self._files = files
        self._findings = files.findings
        self._manifest = manifest
        self._part = part
        self._facts = facts
        self._tallies = tallies
        self._threads = threads
        self._index = files.window(part.index)
        self._content = files.window(part.content)
        self._stated = files.whole(part.shard_digests)
        self._counts = CountCheck(files, part, facts, genes, threads=threads)
        self._codes: dict[str, Window] = {
            name: files.window(place.array) for name, place in part.labels.items() if place.array is not None
        }
        held = part.split.array if part.split is not None else None
        self._split = None if held is None else files.window(held)
        self._n_cells = np.zeros(part.sources.n, np.int64)
        self._seen: dict[int, NDArray[np.uint64]] = {}
        self._complete = True
        records = facts.records
        known = all(r is not None for r in records)
        digests = [r.sha256 for r in records if r is not None]
        self._order = OrderCheck(part, digests, manifest.seed, self._findings) if known else None
        self._rows_of = np.array([_ROWS if r is None else min(r.n_rows, _ROWS) for r in records] or [0], np.int64)
        self._groups = None
        self._splits = None
        if manifest.splits is not None and manifest.splits.shares is not None:
            texts = {m.name: labels[m.name].texts if m.name in labels else None for m in manifest.labels}
            self._groups = group_texts(manifest, texts, [r.name for r in records if r is not None] if known else [])
            self._splits = None if self._groups is None else SplitCheck(manifest.splits, self._findings)

    def run(self, pool: Executor) -> None:
        """Check all cells and all counts."""
        part, findings = self._part, self._findings
        bounds = self._files.whole(part.shard_rows)
        if bounds is not None and not self._bounds_fit(bounds):
            bounds = None
        pending: deque[Future[None]] = deque()
        shard, n_entries = 0, 0 if bounds is not None else None
        step = part.index.shard[1]
        for start in range(0, part.n_cells, step):
            stop = min(start + step, part.n_cells)
            rows = self._index.read(start, stop)
            content = self._content.read(start, stop)
            self._check_block(start, stop, rows, content)
            while bounds is not None and shard < len(bounds) - 1 and bounds[shard + 1] <= stop:
                end = self._submit(pool, pending, shard, int(bounds[shard]), int(bounds[shard + 1]))
                n_entries = None if end is None or n_entries is None else n_entries + end
                shard += 1
                self._files.tell()
            reached = stop if bounds is None else min(stop, int(bounds[shard]))
            for window in (self._index, self._content):
                window.release(reached)
            for window in (*self._codes.values(), *([] if self._split is None else [self._split])):
                window.release(stop)
        while pending:
            pending.popleft().result()
        if n_entries is not None and n_entries != part.n_entries:
            text = "n_entries is not the sum of the shards' last row_end"
            findings.add("CNT-11", part.index.path, text, expected=n_entries, found=part.n_entries)
        if bounds is not None:
            self._counts.finish(len(bounds) - 1)
        self._check_sources()

    def check_digests(self) -> None:
        """Check the digests of the shards, once all files are read."""
        if self._stated is not None:
            self._counts.check_digests(self._stated)

    def _bounds_fit(self, bounds: NDArray[np.int64]) -> bool:
        n = self._part.n_cells
        if bounds[0] == 0 and bounds[-1] == n and (np.diff(bounds) > 0).all():
            return True
        found = bounds[:10].tolist()
        expected = f"0, strictly increasing, {n}"
        text = "the shards do not cut the cells"
        self._findings.add("CNT-9", self._part.shard_rows.path, text, expected=expected, found=found)
        return False

    def _submit(self, pool: Executor, pending: deque[Future[None]], k: int, start: int, stop: int) -> int | None:
        """Check a shard of counts in another thread; return its end, None where it cannot be known."""
        index, content = self._index.read(start, stop), self._content.read(start, stop)
        if index is None:
            self._counts.spoil()
            return None
        rows = ShardRows(
            first=start,
            row_end=index[0],
            source=self._local(index[1]),
            total=index[3],
            n_genes=index[4],
            content=content,
        )
        end = self._counts.end_of(k, rows)
        if end is not None:
            pending.append(pool.submit(self._counts.check, k, rows, end))
            if len(pending) > 2 * self._threads:
                pending.popleft().result()
        return end

    def _local(self, source: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return sources counted within the part, -1 for those that are not in it."""
        local = source.astype(np.int64) - self._part.sources.first
        return np.where((local >= 0) & (local < self._part.sources.n), local, -1)

    def _check_block(
        self, start: int, stop: int, rows: NDArray[np.int32] | None, content: NDArray[np.int64] | None
    ) -> None:
        codes = self._check_labels(start, stop, rows)
        split = self._check_split(start, stop, rows)
        if content is not None:
            self._report("CEL-10", self._part.content, start, content < 0, "not 63 bits", content)
        if rows is None:
            self._complete = False
            self._order = None
            return
        source = self._local(rows[1])
        self._report("CEL-5", self._part.index, start, source < 0, "no source of the part", rows[1])
        source_row, known = rows[2], source >= 0
        beyond = (source_row < 0) | (known & (source_row >= self._rows_of[np.minimum(source, len(self._rows_of) - 1)]))
        self._report("CEL-5", self._part.index, start, beyond, "no row of its source", source_row)
        self._check_rows_once(start, source, source_row, known & ~beyond)
        for name, values in (("total_counts", rows[3]), ("n_genes", rows[4])):
            bad = (values < 0) & (values != RECOMPUTE)
            self._report("CEL-7", self._part.index, start, bad, f"{name} is negative", values)
        self._check_order(start, source, source_row, codes, split)
        if self._splits is not None and self._groups is not None and split is not None and content is not None:
            groups = self._group_columns(source, codes)
            if groups is not None:
                self._splits.add(self._part, start, split, content=content, n_genes=rows[4], groups=groups)

    def _check_rows_once(
        self, start: int, source: NDArray[np.int64], source_row: NDArray[np.int32], good: NDArray[np.bool_]
    ) -> None:
        for s in np.unique(source[source >= 0]).tolist():
            of_source = source == s
            self._n_cells[s] += int(of_source.sum())
            cells = np.flatnonzero(of_source & good)
            if s not in self._seen:
                self._seen[s] = np.zeros((int(self._rows_of[s]) + 63) // 64, np.uint64)
            n, first = mark_rows(self._seen[s], source_row[cells])
            if n:
                at = int(cells[first])
                where = f"{self._part.index.path}, cell {self._part.start + start + at}"
                found = f"source {self._part.sources.first + s}, row {source_row[at]}"
                text = f"another cell has the same source and source_row{several(n)}"
                self._findings.add("CEL-6", where, text, found=found)

    def _check_labels(
        self, start: int, stop: int, rows: NDArray[np.int32] | None
    ) -> dict[str, NDArray[np.int32] | None]:
        out: dict[str, NDArray[np.int32] | None] = {}
        for label in self._manifest.labels:
            place = self._part.labels.get(label.name)
            if place is None:
                out[label.name] = np.full(stop - start, MISSING, np.int32)
                continue
            codes = self._at(place, self._codes.get(label.name), start, stop, rows)
            out[label.name] = codes
            if codes is None:
                self._tallies.incomplete.add(label.name)
            else:
                self._count_codes(label, place, start, codes)
        return out

    def _count_codes(self, label: Label, place: Place, start: int, codes: NDArray[np.int32]) -> None:
        n = label.categories.n
        bad = (codes < MISSING) | (codes >= n)
        array = place.array if place.array is not None else self._part.index
        self._report("LAB-7", array, start, bad, f"a code of the label {label.name!r} that is no category", codes)
        self._tallies.labels[label.name] += np.bincount(codes[~bad & (codes >= 0)], minlength=n)

    def _check_split(self, start: int, stop: int, rows: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
        place = self._part.split
        if place is None:
            return None
        codes = self._at(place, self._split, start, stop, rows)
        if codes is None:
            self._tallies.incomplete.add("")
            return None
        n = len(self._tallies.splits)
        bad = (codes < MISSING) | (codes >= n)
        array = place.array if place.array is not None else self._part.index
        self._report("SPL-3", array, start, bad, "a code that is no split", codes)
        self._tallies.splits += np.bincount(codes[~bad & (codes >= 0)], minlength=n)
        return codes

    def _at(
        self, place: Place, window: Window | None, start: int, stop: int, rows: NDArray[np.int32] | None
    ) -> NDArray[np.int32] | None:
        if window is not None:
            return window.read(start, stop)
        return None if rows is None or place.field is None else rows[place.field]

    def _check_order(
        self,
        start: int,
        source: NDArray[np.int64],
        source_row: NDArray[np.int32],
        codes: dict[str, NDArray[np.int32] | None],
        split: NDArray[np.int32] | None,
    ) -> None:
        by = [codes.get(name) for name in self._part.order.by]
        if self._part.order.kind == "stratified" and self._part.split is not None:
            by.append(split)
        sorted_by = [column for column in by if column is not None]
        if len(sorted_by) < len(by) or (source < 0).any() or (source_row < 0).any():
            self._order = None  # what the order depends on is wrong, and reported
        if self._order is not None:
            self._order.add(start, source, source_row, sorted_by)

    def _group_columns(
        self, source: NDArray[np.int64], codes: dict[str, NDArray[np.int32] | None]
    ) -> Sequence[GroupColumn] | None:
        out = []
        for name, texts in self._groups or ():
            column = codes[name] if name in codes else source.astype(np.int32)
            if column is None or int(column.max(initial=-1)) >= len(texts):
                return None
            out.append(GroupColumn(codes=column, texts=texts))
        return out

    def _check_sources(self) -> None:
        if not self._complete:
            return
        for s, record in enumerate(self._facts.records):
            if record is not None and record.n_cells != self._n_cells[s]:
                where = f"{self._part.sources.records.bytes.path}, source {self._part.sources.first + s}"
                text = "n_cells is not the number of its cells"
                self._findings.add("SRC-11", where, text, expected=self._n_cells[s], found=record.n_cells)

    def _report(
        self, requirement: str, array: Array, start: int, bad: NDArray[np.bool_], what: str, values: NDArray[Any]
    ) -> None:
        found = np.flatnonzero(bad)
        if len(found):
            at = int(found[0])
            where = f"{array.path}, cell {self._part.start + start + at}"
            self._findings.add(requirement, where, what + several(len(found)), found=values[at])

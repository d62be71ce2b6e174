"""Level 3: every byte and every value, read once, with as many threads as processors."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from scformat.structure.arrays import arrays_of, n_files
from scformat.structure.sink import ROOT
from scformat.validation.cells import CellCheck, Tallies
from scformat.validation.files import Files
from scformat.validation.genes import check_genes
from scformat.validation.labels import check_counts, check_label
from scformat.validation.neighbours import check_lists
from scformat.validation.obs import check_categories, check_values
from scformat.validation.sources import check_names, check_sources
from scformat.validation.strings import string_blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor

    from scformat.manifest import Manifest, StringArray
    from scformat.storage import Storage
    from scformat.validation.hierarchy import Hierarchy
    from scformat.validation.report import Findings

    Progress = Callable[[str, int, int], None]


def check_data(
    storage: Storage, manifest: Manifest, hierarchy: Hierarchy, findings: Findings, progress: Progress
) -> None:
    """Check every byte, and every value of the parts of the manifest that fit together.

    A domain of the manifest that level 1 found broken is checked for its bytes only.
    """
    if "paths" in findings.broken:
        return
    total = sum(n_files(a) for a in arrays_of(manifest) if a.path not in hierarchy.hopeless)
    counter = _Counter(total, progress)
    files = Files(storage, manifest, hierarchy, findings, advance=counter.advance, tell=counter.tell)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        parts = _check_values(files, manifest, pool, threads)
        files.finish(pool)
        for part in parts:
            part.check_digests()
    counter.tell()


def _check_values(files: Files, manifest: Manifest, pool: Executor, threads: int) -> list[CellCheck]:
    findings = files.findings
    whole = findings.broken.isdisjoint
    genes = check_genes(files, manifest.genes, findings) if whole(["genes"]) else None
    labels = {
        label.name: check_label(files, label, len(manifest.parts))
        for i, label in enumerate(manifest.labels)
        if whole(["labels", f"labels/{i}"])
    }
    tallies = Tallies.of(manifest)
    if not whole(["labels", "splits", *(f"labels/{i}" for i in range(len(manifest.labels)))]):
        tallies.incomplete.update(["", *tallies.labels])
    sound = [part for i, part in enumerate(manifest.parts) if whole([f"parts/{i}"])]
    facts = [check_sources(files, part.sources, genes, manifest) for part in sound]
    check_names(facts, findings)
    checks = [
        CellCheck(files, manifest, part, facts=of_part, genes=genes, labels=labels, tallies=tallies, threads=threads)
        for part, of_part in zip(sound, facts, strict=True)
    ]
    for check in checks:
        check.run(pool)
    if len(sound) == len(manifest.parts):
        for label in manifest.labels:
            if label.name in labels and label.name not in tallies.incomplete:
                check_counts(label, labels[label.name], tallies.labels[label.name], findings)
        _check_split_counts(manifest, tallies, findings)
    _wait(pool, [partial(_exhaust, files, part.barcode) for part in sound])
    _check_obs(files, manifest, pool)
    check_lists(files, manifest, findings)
    return checks


def _check_split_counts(manifest: Manifest, tallies: Tallies, findings: Findings) -> None:
    splits = manifest.splits
    if splits is not None and "" not in tallies.incomplete and splits.counts != tallies.splits.tolist():
        text = "not the numbers of cells in the splits"
        where = f"{ROOT}:scformat/splits/counts"
        findings.add("SPL-4", where, text, expected=tallies.splits.tolist(), found=splits.counts)


def _check_obs(files: Files, manifest: Manifest, pool: Executor) -> None:
    tasks: list[Callable[[], None]] = []
    broken = files.findings.broken
    for i, column in enumerate(manifest.obs):
        if not broken.isdisjoint(["obs", f"obs/{i}"]):
            continue
        tasks.append(partial(check_categories, files, column))
        for k, part in enumerate(manifest.parts):
            if column.name in part.obs and f"parts/{k}" not in broken:
                tasks.append(partial(check_values, files, part, column, part.obs[column.name]))
    _wait(pool, tasks)


def _exhaust(files: Files, strings: StringArray) -> None:
    for _ in string_blocks(files, strings):
        pass


def _wait(pool: Executor, tasks: Iterable[Callable[[], None]]) -> None:
    for future in [pool.submit(task) for task in tasks]:
        future.result()


class _Counter:
    """Counts files from any thread, and tells how many there are when asked to."""

    def __init__(self, total: int, progress: Progress) -> None:
        self._total = total
        self._progress = progress
        self._lock = threading.Lock()
        self._done = 0

    def advance(self) -> None:
        with self._lock:
            self._done += 1

    def tell(self) -> None:
        self._progress("checking data", self._done, self._total)

"""Neighbour tables: level 1, whether they are of this store's cells; level 3, every list."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.structure.sink import ROOT, several
from scformat.tables.build import cells_digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Manifest, NeighboursEntry
    from scformat.validation.files import Files
    from scformat.validation.report import Findings

_AT_ONCE = 1 << 16
"""Cells that are looked at together."""


def check_cells(manifest: Manifest, findings: Findings) -> None:
    """Check that the tables are of the cells of the store."""
    for i, entry in enumerate(manifest.neighbours or ()):
        cells = cells_digest(manifest, entry.n_rows)
        if entry.cells != cells:
            where = f"{ROOT}:scformat/neighbours/{i}/cells"
            with findings.domain(f"neighbours/{i}"):
                findings.add("NBR-6", where, "not the cells of this store", expected=cells, found=entry.cells)


def check_lists(files: Files, manifest: Manifest, findings: Findings) -> None:
    """Check every list of the tables whose entries were sound."""
    for i, entry in enumerate(manifest.neighbours or ()):
        if f"neighbours/{i}" not in findings.broken:
            _ListCheck(files, entry, f"{ROOT}:scformat/neighbours/{i}", findings).run()


class _ListCheck:
    """Goes over the lists of one table once. Faults of a kind are one finding that counts the cells."""

    def __init__(self, files: Files, entry: NeighboursEntry, where: str, findings: Findings) -> None:
        self._files = files
        self._entry = entry
        self._where = where
        self._findings = findings
        self._faults: dict[tuple[str, str, str], tuple[int, int]] = {}

    def run(self) -> None:
        entry = self._entry
        rows = self._files.window(entry.rows)
        weights = None if entry.weights is None else self._files.window(entry.weights)
        digests = hashlib.sha256(), hashlib.sha256()
        n_neighbours, whole = 0, True
        for start in range(0, entry.n_rows, _AT_ONCE):
            stop = min(start + _AT_ONCE, entry.n_rows)
            block = rows.read(start, stop)
            weight = None if weights is None else weights.read(start, stop)
            whole &= block is not None and (weights is None or weight is not None)
            if block is not None:
                lists = block.astype(np.int64)
                n_neighbours += int((lists >= 0).sum())
                digests[0].update(np.ascontiguousarray(lists.T, "<i8").data)
                self._check_rows(lists, start)
                if weight is not None:
                    self._check_weights(lists, weight, start)
            if weight is not None:
                digests[1].update(np.ascontiguousarray(weight.T, "<f4").data)
            for window in (rows, weights):
                if window is not None:
                    window.release(stop)
            self._files.tell()
        for (requirement, path, what), (n, first) in self._faults.items():
            self._findings.add(requirement, f"{path}, cell {first}", f"{what}{several(n)}")
        if whole:
            self._check_figures(n_neighbours, digests[0].hexdigest(), digests[1].hexdigest())

    def _check_figures(self, n_neighbours: int, rows: str, weights: str) -> None:
        entry, add = self._entry, self._findings.add
        if n_neighbours != entry.n_neighbours:
            text = "not the number of neighbours"
            add("NBR-4", f"{self._where}/n_neighbours", text, expected=n_neighbours, found=entry.n_neighbours)
        lines = f"scformat neighbours 1\ncells {entry.cells}\nk {entry.k}\nrows {rows}\n"
        if entry.weights is not None:
            lines += f"weights {weights}\n"
        digest = hashlib.sha256(lines.encode()).hexdigest()
        if digest != entry.sha256:
            text = "not the digest of what the table holds"
            add("NBR-8", f"{self._where}/sha256", text, expected=digest, found=entry.sha256)

    def _check_rows(self, lists: NDArray[np.int64], start: int) -> None:
        path = self._entry.rows.path
        ordered = np.sort(lists, axis=0)
        for what, bad in (
            ("a neighbour that is no row", (lists < -1) | (lists >= self._entry.n_rows)),
            ("a neighbour after the last one", (lists[1:] >= 0) & (lists[:-1] < 0)),
            ("a neighbour for the second time", (ordered[1:] >= 0) & (ordered[1:] == ordered[:-1])),
            ("a cell that is its own neighbour", lists == np.arange(start, start + lists.shape[1])),
        ):
            self._note("NBR-4", path, what, bad, start)

    def _check_weights(self, lists: NDArray[np.int64], weights: NDArray[Any], start: int) -> None:
        assert self._entry.weights is not None  # they were read
        path = self._entry.weights.path
        before, after = weights[:-1], weights[1:]
        rises = after < before if self._entry.weight == "distance" else after > before
        for what, bad in (
            ("a weight that is no finite number", ~np.isfinite(weights)),
            ("a weight of no neighbour", (lists < 0) & (weights != 0)),
            ("a nearer neighbour after one farther away", rises & (lists[1:] >= 0)),
        ):
            self._note("NBR-5", path, what, bad, start)

    def _note(self, requirement: str, path: str, what: str, bad: NDArray[np.bool_], start: int) -> None:
        cells = np.flatnonzero(bad.any(axis=0))
        if len(cells):
            n, first = self._faults.get((requirement, path, what), (0, start + int(cells[0])))
            self._faults[requirement, path, what] = n + len(cells), first

"""Level 4: a table is what it says: its masses, its alias table, and the cells of each stratum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from scformat.errors import ScformatError
from scformat.sampling import AliasTable, ResidentRows, Strata, Table
from scformat.sampling.alias import build_alias
from scformat.sampling.parsing import parse_schemes
from scformat.store import open_store
from scformat.structure.sink import ROOT, several
from scformat.tables.build import cells_digest
from scformat.tables.model import TableEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scformat.manifest import Array, Manifest
    from scformat.storage import Storage
    from scformat.store import Store
    from scformat.validation.report import Findings

_AT_ONCE = 1 << 20
"""Rows whose labels are looked at together."""


def check_tables(
    storage: Storage, manifest: Manifest, findings: Findings, progress: Callable[[str, int, int], None]
) -> None:
    """Check every table whose arrays can be read; what cannot be read was reported by the levels below."""
    sound = not len(findings)
    store = open_store(storage.url) if sound and manifest.tables else None
    for i, member in enumerate(manifest.tables):
        progress("checking tables", i, len(manifest.tables))
        try:
            entry = TableEntry.model_validate(member.document)
            _Check(storage, manifest, entry, findings, f"{ROOT}:scformat/tables/{i}").run(store)
        except (ScformatError, ValidationError):
            if sound:
                raise
    progress("checking tables", len(manifest.tables), len(manifest.tables))


class _Check:
    """The checks of one table."""

    def __init__(self, storage: Storage, manifest: Manifest, entry: TableEntry, findings: Findings, where: str) -> None:
        self._storage = storage
        self._manifest = manifest
        self._entry = entry
        self._findings = findings
        self._where = where

    def run(self, store: Store | None) -> None:
        entry, manifest = self._entry, self._manifest
        before = len(self._findings)
        cells = cells_digest(manifest, entry.n_rows)
        ends = [part.start + part.n_cells for part in manifest.parts]
        if entry.n_rows not in ends:
            self._add("TAB-9", None, "no part of the store ends at n_rows", expected=ends[-1], found=entry.n_rows)
        elif cells != entry.cells:
            self._add("TAB-9", None, "the table is not one of this store's cells", expected=cells, found=entry.cells)
        masses, counts = self._read(entry.masses), self._read(entry.counts)
        self._check_masses(masses, counts)
        alias = AliasTable(threshold=self._read(entry.threshold), alias=self._read(entry.alias).astype(np.int32))
        if len(self._findings) == before:
            self._check_alias(masses, alias)
        rows, offsets = self._check_rows(counts)
        if len(self._findings) > before:
            return
        strata = Strata(offsets=offsets, rows=ResidentRows(rows)) if entry.rows is not None else self._runs()
        digest = Table(masses, counts, strata, alias=alias, cells_digest=entry.cells).digest
        if digest != entry.sha256:
            self._add("TAB-10", None, "not the digest of what the table holds", expected=digest, found=entry.sha256)
        if store is not None:
            self._check_members(store, rows, counts)

    def _add(
        self, requirement: str, array: Array | None, what: str, *, expected: object = None, found: object = None
    ) -> None:
        where = self._where if array is None else array.path
        self._findings.add(requirement, where, what, expected=expected, found=found)

    def _read(self, array: Array) -> NDArray[np.int64]:
        return np.asarray(self._storage.read_array(array), np.int64)

    def _runs(self) -> Strata:
        entry = self._entry
        assert entry.run_start is not None and entry.run_length is not None  # the model's own contract
        start, length = self._read(entry.run_start), self._read(entry.run_length)
        return Strata(offsets=self._read(entry.offsets), run_start=start, run_length=length)

    def _check_masses(self, masses: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        entry = self._entry
        whole = 1 << entry.bits
        total = sum(masses.tolist())  # Python's integers do not wrap around
        if bool((masses < 0).any()) or total != whole:
            self._add("TAB-1", entry.masses, "masses are not 0 or more with a sum of 2^B", expected=whole, found=total)
        bad = np.flatnonzero((counts < 0) | ((masses > 0) & (counts == 0)))
        if len(bad):
            text = f"stratum {bad[0]} can be drawn, but has no cell{several(len(bad))}"
            self._add("TAB-1", entry.counts, text, found=counts[bad[0]])
        if sum(counts.tolist()) != entry.n_cells:
            self._add("TAB-16", None, "n_cells is not the sum of counts", expected=counts.sum(), found=entry.n_cells)
        if entry.n_cells + entry.n_missing + entry.n_left_out > entry.n_rows:
            self._add("TAB-16", None, "more cells are drawn and left out than there are rows", found=entry.n_rows)

    def _check_alias(self, masses: NDArray[np.int64], stored: AliasTable) -> None:
        entry = self._entry
        made = build_alias(masses)
        bad = np.flatnonzero(stored.threshold != made.threshold)
        if len(bad):
            text = f"column {bad[0]} is not what the masses give{several(len(bad))}"
            found = int(stored.threshold[bad[0]])
            self._add("TAB-4", entry.threshold, text, expected=int(made.threshold[bad[0]]), found=found)
        bad = np.flatnonzero(stored.alias != made.alias)
        if len(bad):
            text = f"column {bad[0]} is not what the masses give{several(len(bad))}"
            found = int(stored.alias[bad[0]])
            self._add("TAB-4", entry.alias, text, expected=int(made.alias[bad[0]]), found=found)

    def _check_rows(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Check runs or rows, and return all rows, stratum after stratum, with the offsets of the strata in them."""
        entry, none = self._entry, (np.empty(0, np.int64), np.zeros(1, np.int64))
        offsets = self._read(entry.offsets)
        listed = entry.rows if entry.rows is not None else entry.run_start
        assert listed is not None  # the model's own contract
        n = listed.shape[0]
        if offsets[0] != 0 or offsets[-1] != n or bool((np.diff(offsets) < 0).any()):
            self._add("TAB-7", entry.offsets, "offsets do not go from 0 to the number of runs or rows", expected=n,
                      found=int(offsets[-1]))  # fmt: skip
            return none
        first = self._read(listed)
        length = np.ones(n, np.int64) if entry.run_length is None else self._read(entry.run_length)
        bad = np.flatnonzero(length < 1)
        if len(bad):
            self._add(
                "TAB-7", entry.run_length, f"run {bad[0]} has no row{several(len(bad))}", found=int(length[bad[0]])
            )
            return none
        last = first + (length - 1)
        bad = np.flatnonzero((first < 0) | (last < first) | (last >= entry.n_rows))
        if len(bad):
            text = f"number {bad[0]} is not of rows below n_rows{several(len(bad))}"
            self._add("TAB-8", listed, text, expected=f"0 to {entry.n_rows - 1}", found=int(first[bad[0]]))
            return none
        opens = np.zeros(n + 1, np.bool_)
        opens[offsets] = True
        gap = 2 if entry.rows is None else 1  # runs that touch would be one
        bad = 1 + np.flatnonzero(~opens[1:n] & (first[1:] < last[:-1] + gap))
        if len(bad):
            text = f"number {bad[0]} is not ascending and apart from the one before it{several(len(bad))}"
            self._add("TAB-7", listed, text, found=int(first[bad[0]]))
        ends = np.concatenate([[0], np.cumsum(length)])[offsets]
        bad = np.flatnonzero(np.diff(ends) != counts)
        if len(bad):
            text = f"stratum {bad[0]} has another number of cells{several(len(bad))}"
            self._add("TAB-7", entry.counts, text, expected=int(np.diff(ends)[bad[0]]), found=int(counts[bad[0]]))
        order = np.argsort(first, kind="stable")
        bad = np.flatnonzero(first[order][1:] <= last[order][:-1])
        if len(bad):
            self._add("TAB-8", listed, f"a row is listed twice{several(len(bad))}", found=int(first[order][1:][bad[0]]))
            return none
        rows = np.repeat(first - np.concatenate([[0], np.cumsum(length)[:-1]]), length) + np.arange(int(length.sum()))
        return rows, ends

    def _check_members(self, store: Store, rows: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Check that the cells of a stratum have its codes, and are of the table's split."""
        entry, splits = self._entry, self._manifest.splits
        codes = np.asarray(self._storage.read_array(entry.codes))
        stratum = np.repeat(np.arange(len(counts)), counts)
        if entry.split is not None and (splits is None or entry.split not in splits.names):
            self._add("TAB-15", None, "a split that the store does not have", found=entry.split)
            return
        for begin in range(0, len(rows), _AT_ONCE):
            some, of = rows[begin : begin + _AT_ONCE], stratum[begin : begin + _AT_ONCE]
            for key, item, expected in zip(entry.keys, parse_schemes(entry.by), codes, strict=True):
                if key.kind != "label":
                    continue
                if key.name not in store.labels:
                    self._add("TAB-15", entry.codes, "a label that the store does not have", found=key.name)
                    return
                found = store.labels[key.name].codes(some)
                named = (found < 0) & (item.missing is not None)  # cells without a value have a category's name
                bad = np.flatnonzero((found != expected[of]) & ~named)
                if len(bad):
                    text = f"cell {some[bad[0]]} is not of its stratum's {key.name}{several(len(bad))}"
                    self._add("TAB-15", entry.codes, text, expected=int(expected[of[bad[0]]]))
                    return
            if entry.split is not None and splits is not None:
                bad = np.flatnonzero(store.field("split", some) != splits.names.index(entry.split))
                if len(bad):
                    text = f"cell {some[bad[0]]} is not in the split {entry.split}{several(len(bad))}"
                    self._add("TAB-15", None, text)
                    return

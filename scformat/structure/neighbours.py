"""Neighbour tables of a manifest: whether their arrays cover the cells that they say."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from scformat.layout import CODE_FILL, WEIGHT_FILL
from scformat.structure.arrays import Expect
from scformat.structure.sink import ROOT

if TYPE_CHECKING:
    from scformat.manifest import Array, Manifest, NeighboursEntry
    from scformat.structure.sink import Sink

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_MOST_LETTERS = 64


def check_entries(manifest: Manifest, findings: Sink) -> None:
    """Check what the manifest says of its neighbour tables."""
    entries = manifest.neighbours
    if entries is None:
        return
    where = f"{ROOT}:scformat/neighbours"
    if not entries or "neighbours" not in manifest.optional_features:
        text = "an empty list" if not entries else "there are neighbours, but the feature is not named"
        findings.add("NBR-9", where, text)
    for name, n in Counter(entry.name for entry in entries).items():
        if n > 1:
            findings.add("NBR-1", where, "two neighbour tables have one name", found=repr(name))
    for i, entry in enumerate(entries):
        with findings.domain(f"neighbours/{i}"):
            _check_entry(manifest, entry, f"{where}/{i}", findings)


def _check_entry(manifest: Manifest, entry: NeighboursEntry, where: str, findings: Sink) -> None:
    if _NAME.fullmatch(entry.name) is None or len(entry.name) > _MOST_LETTERS:
        findings.add("NBR-1", f"{where}/name", "not the name of a neighbour table", found=repr(entry.name))
    ends = [part.start + part.n_cells for part in manifest.parts]
    if entry.n_rows not in ends:
        findings.add("NBR-1", f"{where}/n_rows", "no part ends there", expected=ends, found=entry.n_rows)
    if (entry.weight is None) != (entry.weights is None):
        text = "weights without a meaning" if entry.weight is None else "a meaning of weights, but no weights"
        findings.add("NBR-2", where, text)
    expect = Expect(findings, "NBR-2")
    shape = [entry.k, entry.n_rows]
    expect.array(entry.rows, "int32" if entry.n_rows < 1 << 31 else "int64", shape, fill=CODE_FILL)
    _check_extents(entry, entry.rows, findings)
    if entry.weights is not None:
        expect.array(entry.weights, "float32", shape, fill=None)
        _check_extents(entry, entry.weights, findings)
        if entry.weights.fill != WEIGHT_FILL:
            findings.add(
                "NBR-3", entry.weights.path, "wrong fill value", expected=WEIGHT_FILL, found=entry.weights.fill
            )


def _check_extents(entry: NeighboursEntry, array: Array, findings: Sink) -> None:
    if array.chunk[0] != entry.k or array.shard[0] != entry.k:
        text = "the neighbours of a cell do not lie in one chunk"
        found = f"chunk {array.chunk}, shard {array.shard}"
        findings.add("NBR-2", array.path, text, expected=f"extent {entry.k} along the first axis", found=found)

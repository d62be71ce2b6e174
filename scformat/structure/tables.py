"""Sampling tables of a manifest: whether each is one, and its arrays are what tables have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from scformat.layout import CODE_FILL
from scformat.manifest import first_error
from scformat.structure.arrays import Expect, arrays_of, table_entry
from scformat.structure.members import check_distinct
from scformat.structure.sink import ROOT

if TYPE_CHECKING:
    from scformat.manifest import Manifest
    from scformat.structure.sink import Sink


def check_tables(manifest: Manifest, findings: Sink) -> None:
    """Check what the manifest says of its tables."""
    check_distinct((table.name for table in manifest.tables), "TAB-6", "tables", findings)
    for i, table in enumerate(manifest.tables):
        entry = table_entry(table)
        if isinstance(entry, ValidationError):
            place, what = first_error(entry)
            findings.add("TAB-6", "/".join(filter(None, (f"{ROOT}:scformat/tables/{i}", place))), what)
            continue
        expect = Expect(findings, "TAB-6")
        for array in arrays_of(entry):
            expect.array(array, array.dtype, [None] * len(array.shape), fill=CODE_FILL)

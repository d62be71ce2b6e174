"""Whether the members of a manifest fit one another: asked when a store is opened, and reported by a validation.

Every check is written once, here. A reader can then rely on what a manifest says: that arrays have the types and axes
of their roles, and that whatever has one size has it everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.structure.arrays import arrays_of
from scformat.structure.members import check_column, check_distinct, check_genes, check_label, check_splits
from scformat.structure.neighbours import check_entries
from scformat.structure.parts import check_parts
from scformat.structure.tables import check_tables

if TYPE_CHECKING:
    from scformat.manifest import Manifest
    from scformat.structure.sink import Sink

__all__ = ["check_paths", "check_structure"]


def check_structure(manifest: Manifest, findings: Sink) -> None:
    """Check all that the manifest alone shows.

    The domains of what does not fit are ``paths``, ``genes``, ``labels``, ``labels/<i>``, ``obs``, ``obs/<i>``,
    ``splits``, ``parts/<i>``, ``tables`` and ``neighbours/<i>``.
    """
    check_paths(manifest, findings)
    with findings.domain("genes"):
        check_genes(manifest.genes, findings)
    with findings.domain("labels"):
        check_distinct((x.name for x in manifest.labels), "LAB-1", "labels", findings)
    for i, label in enumerate(manifest.labels):
        with findings.domain(f"labels/{i}"):
            check_label(label, findings)
    with findings.domain("obs"):
        check_distinct((x.name for x in manifest.obs), "CEL-13", "obs columns", findings)
    for i, column in enumerate(manifest.obs):
        with findings.domain(f"obs/{i}"):
            check_column(manifest, column, findings)
    with findings.domain("splits"):
        if manifest.splits is not None:
            check_splits(manifest.splits, findings)
    check_parts(manifest, findings)
    with findings.domain("tables"):
        check_tables(manifest, findings)
    check_entries(manifest, findings)


def check_paths(manifest: Manifest, findings: Sink) -> None:
    """Check that array paths differ and that none lies within another."""
    with findings.domain("paths"):
        outer = before = ""
        # In this order whatever lies within an array comes right after it.
        for path in sorted([f"{array.path}/" for array in arrays_of(manifest)]):
            if path == before:
                findings.add("ZAR-3", path[:-1], "two arrays have this path")
            elif outer and path.startswith(outer):
                findings.add("ZAR-3", path[:-1], "an array lies within another", found=outer[:-1])
            else:
                outer = path
            before = path

"""Validation of a store against the numbered requirements of the specification.

Four levels: the manifest alone, every ``zarr.json`` and which files there are, every byte, the sampling tables. The
bytes are read and decoded apart from the reader: both would have to be wrong in the same way for a fault to pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scformat.errors import UsageError
from scformat.storage import Storage
from scformat.structure import check_structure
from scformat.validation.hierarchy import check_hierarchy
from scformat.validation.metadata import check_root
from scformat.validation.neighbours import check_cells
from scformat.validation.report import Finding, Findings, Report

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["Finding", "Report", "validate_store"]

METADATA, HIERARCHY, DATA, SAMPLING = 1, 2, 3, 4


def validate_store(
    path: str | os.PathLike[str], *, level: int = DATA, progress: Callable[[str, int, int], None] | None = None
) -> Report:
    """Check a store.

    Parameters
    ----------
    path
        Where it lies.
    level
        1 metadata: the root alone. 2 hierarchy: every ``zarr.json`` and which files exist. 3 data: every byte.
        4 sampling: that every table is what it says. Each contains those below it.
    progress
        Called as ``progress(stage, done, total)`` from the calling thread.

    Returns
    -------
    Report
        No finding where the store conforms at `level`. Damage of any kind gives findings, not errors.

    Raises
    ------
    UsageError
        ``bad-level``.
    StorageError
        ``no-store``: there is nothing at all.
    """
    if level not in (METADATA, HIERARCHY, DATA, SAMPLING):
        raise UsageError("bad-level", "no such level of validation", expected="1 to 4", found=level)
    tell = progress if progress is not None else _nobody
    storage = Storage(path)
    findings = Findings()
    tell("checking metadata", 0, 1)
    manifest = check_root(storage, findings)
    if manifest is not None:
        check_structure(manifest, findings)
        check_cells(manifest, findings)
        tell("checking metadata", 1, 1)
        if level >= HIERARCHY:
            hierarchy = check_hierarchy(storage, manifest, findings)
            if level >= DATA:
                from scformat.validation.data import check_data

                check_data(storage, manifest, hierarchy, findings, tell)
            if level >= SAMPLING:
                from scformat.validation.tables import check_tables

                check_tables(storage, manifest, findings, tell)
    return Report(store=storage.url, level=level, findings=findings.sorted())


def _nobody(stage: str, done: int, total: int) -> None:
    """Tell nobody."""

"""Whether a conversion is the one that was begun: the same sources, options and versions."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from scformat.errors import UsageError
from scformat.sources.digest import file_sha256
from scformat.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.conversion.options import Options
    from scformat.conversion.requests import Request
    from scformat.conversion.shards import CellPlan
    from scformat.genes import GeneIndex

FREE = frozenset({"jobs", "memory", "overwrite", "resume", "dask"})
"""Options that change nothing of what is written."""
_PACKAGES = ("numcodecs", "cellxgene-ontology-guide")
"""What else the bytes of a store come from."""


def describe(requests: Sequence[Request], options: Options) -> dict[str, Any]:
    """Return what was asked for as plain JSON values, by the name that a message would use."""
    asked: dict[str, Any] = {"scformat": __version__}
    asked |= {name: _version(name) for name in _PACKAGES}
    for field in fields(options):
        if field.name not in FREE:
            value = getattr(options, field.name)
            asked[field.name] = value if value is None or isinstance(value, (int, str)) else str(value)
    # Of files, the content counts; one that is not there is noticed before anything is read.
    if options.genes not in ("union", "intersection"):
        asked["genes"] = f"a list with SHA-256 {file_sha256(options.genes)}"
    if options.splits_file is not None:
        asked["splits_file"] = f"a file with SHA-256 {file_sha256(options.splits_file)}"
    asked["sources"] = [r.name for r in requests]
    for request in requests:
        asked[f"settings of {request.name}"] = repr(
            [sorted(part.items()) for part in (request.settings, request.provenance, request.constants)]
        )
    return asked


def check_same(before: Mapping[str, Any], now: Mapping[str, Any], *, where: object) -> None:
    """Refuse to go on with another conversion than the one that was begun (``cannot-resume``)."""
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            raise cannot_resume(f"another {name}", where=where, expected=before.get(name), found=now.get(name))


def cannot_resume(what: str, *, where: object, expected: object, found: object) -> UsageError:
    """Build the error of a conversion that is not the one that was begun."""
    return UsageError(
        "cannot-resume",
        f"the conversion that was begun had {what}",
        where=where,
        expected=_short(expected),
        found=_short(found),
        hint="repeat its command, or leave --resume out to start anew",
    )


def plan_digest(cells: CellPlan, index: GeneIndex) -> str:
    """SHA-256 of what determines the counts' files: cells, their order, and the gene of each column."""
    digest = hashlib.sha256(index.genes.index_digest.encode())
    for array in (cells.source, cells.row, cells.needed, cells.order, cells.shards(), *index.column_to_gene):
        digest.update(b"none" if array is None else array.tobytes())
    return digest.hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:200]}..."

"""What is to be converted: paths, globs and objects, or a table of sources with settings and labels."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.errors import ScformatError, StorageError, UsageError
from scformat.sources import expand
from scformat.sources.digest import check_unchanged, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SETTINGS = ("organism", "counts", "gene_ids")
"""Columns of a sources table that override an option for one source."""
PROVENANCE = ("study", "licence", "citation", "doi")
"""Columns of a sources table that the store keeps of a source."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One source to convert.

    Attributes
    ----------
    source
        A path or an AnnData object.
    name
        Its name in the store.
    settings
        Options that hold for this source alone, by name (:data:`SETTINGS`).
    provenance
        Where it is from (:data:`PROVENANCE`).
    constants
        Labels of all its cells, by name.
    stamp
        Of its files, before they were read; None for an object in memory.
    """

    source: Any
    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    stamp: str | None = None


def gather(sources: Any, table: str | Path | None) -> list[Request]:
    """List the sources, each once and under a name of its own."""
    if table is not None:
        if sources:
            raise UsageError("conflicting-options", "both sources and a table of sources", hint="leave one of them out")
        return _read_table(Path(table))
    if isinstance(sources, Iterable) and not isinstance(sources, str) and not hasattr(sources, "obs"):
        sources = list(sources)
        if not sources:
            wanted = "at least one file, pattern or AnnData object"
            raise UsageError("no-sources", "no source is given", expected=wanted)
    return [Request(source=item.source, name=item.name, stamp=_stamp(item.source)) for item in expand(sources)]


def _read_table(path: Path) -> list[Request]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t"))
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            "sources-table-unreadable", "cannot read the table of sources", where=path, found=error
        ) from None
    rows = [row for row in rows if any(row)]
    header = rows[0] if rows else []
    if "path" not in header:
        raise UsageError(
            "bad-sources-table", "no column 'path'", where=path, found=", ".join(header) or "an empty file"
        )
    if len(set(header)) != len(header) or "" in header:
        raise UsageError(
            "bad-sources-table", "a column without a name or named twice", where=path, found=", ".join(header)
        )
    records = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise UsageError(
                "bad-sources-table",
                "a line of another length",
                where=f"{path}:{number}",
                expected=len(header),
                found=len(row),
            )
        records.append({k: v for k, v in zip(header, row, strict=True) if v != ""})
    if not records:
        raise UsageError("no-sources", "the table names no source", where=path)
    return [_request(record, item) for record, item in _matched(path, records)]


def _matched(path: Path, records: Sequence[dict[str, str]]) -> list[tuple[dict[str, str], Any]]:
    """Resolve each line's path relative to the table; a pattern stands for all it matches."""
    matched = []
    for number, record in enumerate(records, start=2):
        if "path" not in record:
            raise UsageError("bad-sources-table", "a line without a path", where=f"{path}:{number}")
        given = Path(record["path"])
        for item in expand([given if given.is_absolute() else path.parent / given]):
            matched.append((record, item.source))
    named = expand([source for _, source in matched])
    return [(record, item) for (record, _), item in zip(matched, named, strict=True)]


def _request(record: Mapping[str, str], item: Any) -> Request:
    known = {"path", "name", *SETTINGS, *PROVENANCE}
    return Request(
        source=item.source,
        name=record.get("name", item.name),
        settings={k: record[k] for k in SETTINGS if k in record},
        provenance={k: record[k] for k in PROVENANCE if k in record},
        constants={k: v for k, v in record.items() if k not in known}
        | ({"study": record["study"]} if "study" in record else {}),
        stamp=_stamp(item.source),
    )


def _stamp(source: Any) -> str | None:
    return stamp(source) if isinstance(source, Path) else None


def check_stamps(requests: Iterable[Request]) -> None:
    """Refuse sources that were changed, replaced or removed since they were asked for (``source-changed``)."""
    for request in requests:
        if request.stamp is not None:
            check_unchanged(request.source, request.stamp)


@contextmanager
def blaming_sources(requests: Iterable[Request]) -> Iterator[None]:
    """Where reading fails because a source was changed meanwhile, say this instead."""
    try:
        yield
    except ScformatError:
        check_stamps(requests)
        raise


def check_names(requests: Sequence[Request]) -> None:
    """Refuse two sources of one name."""
    seen: set[str] = set()
    for request in requests:
        if request.name in seen:
            raise UsageError("duplicate-name", "two sources have one name", found=repr(request.name))
        seen.add(request.name)

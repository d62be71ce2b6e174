"""Appending: more sources come into a store as a part of their own, and whoever reads it goes on."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.appending.existing import Existing
from scformat.appending.plan import AppendPlan, describe_append, plan_append
from scformat.appending.write import write_append
from scformat.blobs import system_errors
from scformat.conversion.engine import Threads
from scformat.conversion.options import DEFAULTS, check_options
from scformat.conversion.requests import blaming_sources, check_names, gather
from scformat.conversion.survey import open_all, survey
from scformat.errors import UsageError
from scformat.genes import load_all
from scformat.publishing import place_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from scformat.conversion.engine import Engine
    from scformat.conversion.options import Options
    from scformat.conversion.report import ConversionPlan
    from scformat.store import Store

__all__ = ["append_sources", "plan_appending"]


def append_sources(
    store: Store,
    sources: Any,
    *,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> None:
    """Append and publish; see :func:`scformat.append`."""
    place = place_of(store, "sources")
    report = progress or _silent
    checked = _checked(store, options)
    with (
        system_errors(store.path),
        tempfile.TemporaryDirectory(prefix="scformat-") as scratch,
        _planned(store, sources, sources_table, checked, Path(scratch), report) as (existing, plan, engine),
    ):
        write_append(place, existing, plan, engine=engine, scratch=Path(scratch), progress=report)


def plan_appending(
    store: Store,
    sources: Any,
    *,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> ConversionPlan:
    """Read the sources and decide everything, but write nothing."""
    checked = _checked(store, options)
    with (
        tempfile.TemporaryDirectory(prefix="scformat-") as scratch,
        _planned(store, sources, sources_table, checked, Path(scratch), progress or _silent) as (existing, plan, _),
    ):
        return describe_append(plan, existing)


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def _checked(store: Store, options: dict[str, Any]) -> Options:
    """Check the options; what they leave open is as the store has it."""
    manifest = store.manifest
    last = manifest.parts[-1].order
    given = {name: value for name, value in options.items() if value is not None}
    if "order" not in given and "stratify_by" not in given:
        given["order"] = last.kind
        given["stratify_by"] = last.by or None
    given.setdefault("order", "source")
    return check_options(**{**DEFAULTS, **given, "seed": manifest.seed})


@contextmanager
def _planned(
    store: Store,
    sources: Any,
    sources_table: str | os.PathLike[str] | None,
    options: Options,
    scratch: Path,
    progress: Callable[[str, int, int], None],
) -> Iterator[tuple[Existing, AppendPlan, Engine]]:
    """Open and read the sources; they stay open within the context."""
    requests = gather(sources, None if sources_table is None else Path(sources_table))
    check_names(requests)
    known = {record.name for record in store.sources_view.records}
    for request in requests:
        if request.name in known:
            raise UsageError(
                "source-exists",
                f"the store has a source {request.name!r}",
                where=store.path,
                hint="if it is another one, name it anew in a table of sources (--sources, column name)",
            )
    existing = Existing(store)
    references = load_all()
    opened, skipped = open_all(requests, options)
    try:
        with blaming_sources(requests), Threads(options.jobs) as engine:
            surveyed, more = survey(
                opened, options, references=references, engine=engine, scratch=scratch, progress=progress
            )
            yield existing, plan_append(existing, surveyed, [*skipped, *more], options), engine
    finally:
        for _, source in opened:
            source.close()

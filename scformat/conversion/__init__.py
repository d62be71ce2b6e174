"""Conversion: h5ad, 10x, AnnData-Zarr and AnnData objects become one store."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.blobs import system_errors
from scformat.conversion.cluster import cluster
from scformat.conversion.engine import Threads
from scformat.conversion.options import Options, check_options
from scformat.conversion.plan import Plan, make_plan
from scformat.conversion.publish import check_parent, staging
from scformat.conversion.report import ConversionPlan
from scformat.conversion.requests import blaming_sources, check_names, gather
from scformat.conversion.resume import describe
from scformat.conversion.survey import open_all, survey
from scformat.conversion.write import write_store
from scformat.genes import load_all
from scformat.sources import get_ready

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from scformat.conversion.engine import Engine
    from scformat.conversion.journal import Journal

__all__ = ["ConversionPlan", "Options", "Plan", "convert_sources", "plan_sources"]


def _silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def convert_sources(
    sources: Any,
    destination: str | os.PathLike[str],
    *,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Convert and publish; see :func:`scformat.convert`."""
    checked = check_options(**options)
    target = Path(destination).expanduser()
    if target.is_symlink():
        target = target.resolve()
    report = progress or _silent
    requests = gather(sources, None if sources_table is None else Path(sources_table))
    check_names(requests)
    check_parent(target)
    asked = describe(requests, checked)
    with (
        system_errors(target),
        staging(target, overwrite=checked.overwrite, resume=checked.resume, asked=asked) as place,
    ):
        if place is not None:
            with _planned(requests, checked, place.scratch, report, journal=place.journal) as (plan, engine):
                write_store(
                    place.store, plan, engine=engine, scratch=place.scratch, progress=report, journal=place.journal
                )
    return target


def plan_sources(
    sources: Any,
    *,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    **options: Any,
) -> ConversionPlan:
    """Read the sources and decide everything, but write nothing."""
    checked = check_options(**options)
    requests = gather(sources, None if sources_table is None else Path(sources_table))
    check_names(requests)
    with (
        tempfile.TemporaryDirectory(prefix="scformat-") as scratch,
        _planned(requests, checked, Path(scratch), progress or _silent) as (plan, _),
    ):
        return ConversionPlan.of(plan)


@contextmanager
def _planned(
    requests: Sequence[Any],
    options: Options,
    scratch: Path,
    progress: Callable[[str, int, int], None],
    *,
    journal: Journal | None = None,
) -> Iterator[tuple[Plan, Engine]]:
    """Open and read the sources; they stay open within the context."""
    get_ready(request.source for request in requests)
    references = load_all()
    opened, skipped = open_all(requests, options)
    try:
        with blaming_sources(requests), engine_of(options, scratch) as engine:
            options = replace(options, jobs=engine.tasks_a_process)
            surveyed, more = survey(
                opened,
                options,
                references=references,
                engine=engine,
                scratch=scratch,
                progress=progress,
                journal=journal,
            )
            yield make_plan(surveyed, [*skipped, *more], options, references=references), engine
    finally:
        for _, source in opened:
            source.close()


def engine_of(options: Options, scratch: Path) -> AbstractContextManager[Engine]:
    """Return who runs the tasks: threads of this process, or the cluster that was asked for."""
    if options.dask is None:
        return Threads(options.jobs)
    return cluster(options.dask, threads=options.jobs, scratch=scratch)

"""Conversion: h5ad, 10x, AnnData-Zarr and AnnData objects become one store."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.blobs import local_path, system_errors
from scformat.conversion.bucket import in_bucket
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
from scformat.errors import UsageError
from scformat.genes import load_all
from scformat.sources import get_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from scformat.conversion.engine import Engine
    from scformat.conversion.journal import Journal
    from scformat.conversion.publish import Workplace
    from scformat.conversion.requests import Request

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
) -> str:
    """Convert and publish; see :func:`scformat.convert`."""
    checked = check_options(**options)
    target = os.fspath(destination)
    report = progress or _silent
    requests = gather(sources, None if sources_table is None else Path(sources_table))
    check_names(requests)
    with system_errors(target), _place(target, requests, checked) as place:
        if place is not None:
            with _planned(requests, checked, place.scratch, report, journal=place.journal) as (plan, engine):
                write_store(
                    place.storage, plan, engine=engine, scratch=place.scratch, progress=report, journal=place.journal
                )
    return target


def _place(target: str, requests: Sequence[Request], options: Options) -> AbstractContextManager[Workplace | None]:
    """Give the place where a store is made, and published on leaving."""
    given = local_path(target)
    if given is None:
        if options.dask is not None:
            raise UsageError(
                "cannot-share",
                "a conversion into a bucket has no directory that the workers of a cluster see",
                where=target,
                hint="convert into a directory that all of them see, and copy it, zarr.json last",
            )
        return in_bucket(target, overwrite=options.overwrite, resume=options.resume)
    path = Path(given).expanduser()
    if path.is_symlink():
        path = path.resolve()
    check_parent(path)
    return staging(path, overwrite=options.overwrite, resume=options.resume, asked=describe(requests, options))


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

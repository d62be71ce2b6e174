"""``scformat stage``."""

from __future__ import annotations

from typing import Annotated

import typer

from scformat.cli.output import message
from scformat.cli.parameters import Debug, StorePath, Where
from scformat.cli.progress import progress


def stage(
    *,
    store: StorePath,
    cache: Annotated[
        str | None,
        typer.Argument(metavar="[DIR]", help="The cache; by default SCFORMAT_CACHE.", show_default=False),
    ] = None,
    split: Annotated[str | None, typer.Option(metavar="NAME", help="Cells of this split.")] = None,
    where: Where = None,
    table: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Cells that this sampling table draws, and the table.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much it is.")] = False,
    debug: Debug = False,
) -> None:
    """Bring what reading some cells of a remote store needs to a local disk; run again, it goes on where it ended."""
    from scformat.staging import plan_staging

    staging = plan_staging(store, cache, split=split, where=where, table=table)
    planned = staging.planned
    message(f"{planned.cells:,} cells, {planned.bytes:,} bytes to {planned.directory}")
    if not dry_run:
        with progress() as report:
            staging.bring(report)
        message(f"staged: open the store with cache={str(planned.directory)!r}, or SCFORMAT_CACHE")

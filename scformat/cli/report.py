"""``scformat report``."""

from __future__ import annotations

from typing import Annotated

import typer

from scformat.cli.output import message
from scformat.cli.parameters import Debug, StorePath
from scformat.cli.progress import progress


def report(
    *,
    store: StorePath,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE", help="The page to write.")] = "report.html",
    table: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TABLE",
            help="Compare with this sampling table: a name, a text such as cell_type:balanced, or a path; may be "
            "repeated, up to four times. By default those of the store.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    debug: Debug = False,
) -> None:
    """Write a page with plots: labels before and after weighting, genes per cell, depth, what sources measured."""
    import scformat
    from scformat.report import write_report

    with progress() as advance:
        write_report(scformat.open(store), output, tables=table, overwrite=overwrite, progress=advance)
    message(f"wrote {output}")

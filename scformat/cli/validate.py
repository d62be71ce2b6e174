"""``scformat validate``."""

from __future__ import annotations

from typing import Annotated

import typer

from scformat.cli.failures import INVALID
from scformat.cli.output import emit, emit_json
from scformat.cli.parameters import Debug, Json, StorePath
from scformat.cli.progress import progress


def validate(
    *,
    store: StorePath,
    level: Annotated[
        int,
        typer.Option(
            min=1, max=4, metavar="1|2|3|4", help="1 metadata, 2 hierarchy, 3 every byte, 4 sampling tables too."
        ),
    ] = 3,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check a store against the requirements of the spec."""
    import scformat

    with progress() as advance:
        report = scformat.validate(store, level=level, progress=advance)
    if json:
        emit_json(report.as_dict())
    else:
        for finding in report.findings:
            where = f"{finding.where}: " if finding.where else ""
            emit(f"{finding.requirement} {where}{finding.message}")
        n = len(report.findings)
        verdict = "valid" if report.ok else "invalid"
        emit(f"{store}: {verdict} at level {level}, {n or 'no'} finding{'' if n == 1 else 's'}")
    if not report.ok:
        raise typer.Exit(INVALID)

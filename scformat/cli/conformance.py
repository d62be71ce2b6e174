"""``scformat conformance``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.failures import INVALID
from scformat.cli.output import emit, emit_json, message
from scformat.cli.parameters import Debug, Json

if TYPE_CHECKING:
    from types import ModuleType


def conformance(
    *,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The implementation: a program with arguments.")
    ],
    level: Annotated[int, typer.Option(min=1, max=4, metavar="1|2|3|4", help="Highest level of checks.")] = 4,
    case: Annotated[
        list[str] | None, typer.Option("--case", metavar="ID", help="Only this case; * and ? are allowed.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Cases at a time.")] = 2,
    timeout: Annotated[float, typer.Option(min=1, metavar="S", help="Seconds for one answer.")] = 120,
    vectors: Annotated[
        str | None, typer.Option(metavar="DIR", help="The kit; by default the one of this release.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Check any implementation against the conformance kit: COMMAND answers validate, describe, read and draw."""
    from scformat.conformance.kit import find_vectors, load_runner, run_kit

    runner: ModuleType = load_runner(find_vectors(vectors))

    def tell(result: dict[str, Any]) -> None:
        (message if json else emit)(runner.report(result))

    found = run_kit(command, level=level, cases=case or (), jobs=jobs, timeout=timeout, vectors=vectors, tell=tell)
    if json:
        emit_json(found)
    else:
        emit(runner.summary(found))
    if not found["passed"]:
        raise typer.Exit(INVALID)

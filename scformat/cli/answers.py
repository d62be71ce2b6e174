"""``scformat describe|read|draw``: what is asked of every implementation, as one JSON object each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.output import emit
from scformat.cli.parameters import Debug, Json, StorePath
from scformat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


def describe(*, store: StorePath, json: Json = False, debug: Debug = False) -> None:
    """Print sizes, genes, labels, sources, splits and tables as one JSON object."""
    import scformat
    from scformat.conformance import describe

    _emit(describe(scformat.open(store)))


def read(
    *,
    store: StorePath,
    rows: Annotated[str, typer.Option(metavar="0,5,2", help="Rows, in the order wanted.")],
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print cells with their counts, labels and values as one JSON object."""
    import scformat
    from scformat.conformance import read

    _emit(read(scformat.open(store), _numbers(rows, int, "--rows")))


def draw(
    *,
    store: StorePath,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the stream.")],
    start: Annotated[int, typer.Option(metavar="T", help="First position.")],
    count: Annotated[int, typer.Option(min=0, metavar="N", help="Number of positions.")],
    plan: Annotated[str, typer.Option(metavar="PLAN", help="independent, stratified or epoch.")] = "independent",
    table: Annotated[str | None, typer.Option(metavar="NAME", help="A sampling table; by default all cells.")] = None,
    window: Annotated[int, typer.Option(metavar="W", help="Positions of a window.")] = 65_536,
    lanes: Annotated[int, typer.Option(metavar="V", help="Lanes of a window.")] = 8,
    block: Annotated[int, typer.Option(metavar="B", help="Cells of a block.")] = 64,
    schedule: Annotated[
        str, typer.Option(metavar="POS:TEMP,...", help="Temperatures from stated positions on.")
    ] = "0:1",
    rank: Annotated[int, typer.Option(metavar="R", help="Positions of this rank only.")] = 0,
    world_size: Annotated[int, typer.Option(min=1, metavar="R", help="Number of ranks.")] = 1,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Print the rows that a stream draws as one JSON object."""
    import scformat
    from scformat.conformance import draw

    pieces = [_numbers(piece, float, "--schedule", ":") for piece in schedule.split(",")]
    if any(len(piece) != 2 or piece[0] != int(piece[0]) for piece in pieces):
        raise UsageError("bad-schedule", "not a schedule", where="--schedule", expected="POS:TEMP,...", found=schedule)
    _emit(
        draw(
            scformat.open(store),
            table=table,
            plan=plan,
            seed=seed,
            start=start,
            count=count,
            window=window,
            lanes=lanes,
            block=block,
            schedule=[(int(at), temperature) for at, temperature in pieces],
            rank=rank,
            world_size=world_size,
        )
    )


def _numbers(text: str, kind: Callable[[str], Any], option: str, by: str = ",") -> list[Any]:
    try:
        return [kind(piece) for piece in text.split(by) if piece.strip()]
    except ValueError:
        raise UsageError(
            "bad-number", "not numbers", where=option, expected=f"numbers divided by '{by}'", found=repr(text)
        ) from None


def _emit(answer: dict[str, Any]) -> None:
    import json

    emit(json.dumps(answer, ensure_ascii=False, allow_nan=False))

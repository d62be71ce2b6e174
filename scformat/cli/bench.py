"""``scformat bench``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from scformat.cli.output import describe_size, emit, emit_json
from scformat.cli.parameters import Debug, Json, StorePath, names
from scformat.cli.progress import progress
from scformat.cli.tables import format_pairs, format_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.benchmark import Cache, Plan
    from scformat.loading.batches import Output

_COLUMNS = (
    "plan",
    "table",
    "output",
    "cells/s",
    "processor, us a cell",
    "limit, cells/s",
    "of the limit",
    "writing, of making",
)


def bench(
    *,
    store: StorePath,
    table: Annotated[
        str | None,
        typer.Option(
            metavar="TABLE",
            help="Table of weighted draws: a name, a text such as cell_type:balanced, or a path. By default balanced "
            "over what the store is ordered by, or over cell_type.",
        ),
    ] = None,
    plan: Annotated[
        list[str] | None, typer.Option(metavar="PLAN,...", help="Of stratified, independent, epoch; by default all.")
    ] = None,
    output: Annotated[
        list[str] | None, typer.Option(metavar="OUTPUT,...", help="Of csr, dense; by default both.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Cells a batch.")] = 128,
    threads: Annotated[
        int | None, typer.Option(min=1, help="That load; by default one a processor.", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option(help="To measure each plan and output, after a warm-up.")] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draws.")] = 0,
    cache: Annotated[
        str | None,
        typer.Option(
            metavar="STATE",
            help="Page cache: warm (the store is read before), cold (it is dropped before each measurement) or found. "
            "By default warm where the store fits in half of the memory.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure how fast this machine makes batches of a store, beside what reading, decoding and writing alone allow."""
    import scformat
    from scformat.benchmark import OUTPUTS, PLANS, measure_store

    with progress() as advance:
        found = measure_store(
            scformat.open(store),
            table=table,
            plans=cast("Sequence[Plan]", names(plan, "--plan") or PLANS),
            outputs=cast("Sequence[Output]", names(output, "--output") or OUTPUTS),
            batch_size=batch_size,
            threads=threads,
            seconds=seconds,
            seed=seed,
            cache=cast("Cache | None", cache),
            progress=advance,
        )
    if json:
        emit_json(found)
    else:
        emit(render(found))


def render(found: Mapping[str, Any]) -> str:
    """Write what :func:`scformat.benchmark.measure_store` returned for people."""
    store, machine = found["store"], found["machine"]
    size = "" if store["bytes"] is None else f", {describe_size(store['bytes'])}"
    head = {
        "store": f"{store['path']}: {store['cells']:,} cells x {store['genes']:,} genes{size}",
        "machine": f"{machine['processor']}, {machine['cores']} processors, {describe_size(machine['memory_bytes'])}; "
        f"load {machine['load']:.1f}",
        "versions": ", ".join(f"{name} {version}" for name, version in found["versions"].items()),
        "settings": ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found["settings"].items()),
    }
    rows = [
        [
            rate["plan"],
            rate["table"] or "uniform",
            rate["output"],
            round(rate["cells_per_second"]),
            round(rate["cpu_seconds"] * 1e6, 2),
            round(rate["limit"]),
            f"{rate['share']:.0%}",
            f"{rate['stages']['write'] / rate['stages']['make']:.0%}",
        ]
        for rate in found["rates"]
    ]
    return f"{format_pairs(head)}\n\n{format_table(_COLUMNS, rows)}"

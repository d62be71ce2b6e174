"""``scformat export``."""

from __future__ import annotations

from typing import Annotated

import typer

from scformat.cli.output import message
from scformat.cli.parameters import Debug, StorePath, Where


def export(
    *,
    store: StorePath,
    destination: Annotated[str, typer.Argument(metavar="DST.h5ad", help="The file to write.", show_default=False)],
    source: Annotated[
        str | None, typer.Option(metavar="NAME", help="One source, with its own genes, order and names.")
    ] = None,
    where: Where = None,
    rows: Annotated[
        str | None, typer.Option(metavar="FILE", help="Rows to take, in this order: a text file, one number a line.")
    ] = None,
    debug: Debug = False,
) -> None:
    """Write cells back to h5ad, as they were in the sources."""
    import scformat

    scformat.export(scformat.open(store), destination, source=source, where=where, rows=rows)
    message(f"wrote {destination}")

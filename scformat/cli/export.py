"""``scformat export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scformat.cli.output import message
from scformat.cli.parameters import Debug, StorePath, Where
from scformat.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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

    taken = None if rows is None else read_rows(Path(rows))
    scformat.export(scformat.open(store), destination, source=source, where=where, rows=taken)
    message(f"wrote {destination}")


def read_rows(path: Path) -> NDArray[np.int64]:
    """Read row numbers, one a line; empty lines are passed over.

    Returns
    -------
    int64 array, shape (n,)

    Raises
    ------
    UsageError
        Code ``bad-rows-file``: a line is not a row number.
    OSError
        The file cannot be read.
    """
    import numpy as np

    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        text = line.strip()
        if not text:
            continue
        if not text.isdigit() or len(text) > 18:
            shown = text[:40].decode(errors="backslashreplace")
            raise UsageError(
                "bad-rows-file",
                "not a row",
                where=f"{path}, line {number}",
                expected="a whole number",
                found=repr(shown),
            )
        found.append(int(text))
    return np.array(found, np.int64)

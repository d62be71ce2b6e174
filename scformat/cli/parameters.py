"""Parameters that several commands share, and how lists are written in one."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Annotated

import typer

from scformat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

Debug = Annotated[bool, typer.Option("--debug", help="Print the traceback of a failure.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
StorePath = Annotated[str, typer.Argument(metavar="STORE", help="A cell store.", show_default=False)]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="EXPR",
        help='Cells to take, for example "is_primary_data and n_genes >= 200" or "cell_type under \'T cell\'".',
    ),
]


def names(given: Sequence[str] | None, option: str) -> list[str] | None:
    """Split ``A,B`` into its names; a name with a comma stands in double quotes.

    Parameters
    ----------
    given
        The values of an option that may be repeated, or None where it was not given.
    option
        Its name, for the error.

    Raises
    ------
    UsageError
        Code ``empty-name``.
    """
    if not given:
        return None
    found = [name.strip() for row in csv.reader(given, skipinitialspace=True) for name in row or [""]]
    if not all(found):
        raise UsageError(
            "empty-name",
            "a name is empty",
            where=option,
            expected="names divided by commas",
            found=repr(",".join(given)),
        )
    return found

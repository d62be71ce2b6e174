"""Values as people read them, in aligned columns."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from scformat.cli.output import describe_size

PLAIN = ("taxon", "seed", "number")
"""Numbers that are names: no thousands are set apart in them."""

SHOWN = 6
"""Members of a list or mapping that a cell of a table shows."""


def format_value(value: object, *, name: str = "") -> str:  # noqa: PLR0911 - one return a kind of value
    """Write one value on one line.

    Parameters
    ----------
    value
        A scalar, or a list or mapping, of which the first members are shown.
    name
        What it is called: bytes are written as sizes, digests in full.
    """
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case int() if name == "bytes" or name.endswith("_bytes"):
            return describe_size(value)
        case int():
            return str(value) if name in PLAIN else f"{value:,}"
        case float():
            return f"{value:g}"
        case str():
            return value if value.isprintable() else repr(value)
        case Mapping():
            pairs = [f"{key} {format_value(item, name=str(key))}" for key, item in value.items()]
            return _listing(pairs)
        case Sequence():
            # Members of a mapping are divided by commas, so mappings are not.
            divider = "; " if value and isinstance(value[0], Mapping) else ", "
            return _listing([format_value(item) for item in value], divider)
        case _:
            return str(value)


def _listing(items: list[str], divider: str = ", ") -> str:
    more = [f"and {len(items) - SHOWN:,} more"] if len(items) > SHOWN else []
    return divider.join(items[:SHOWN] + more) or "-"


def format_pairs(pairs: Mapping[str, Any]) -> str:
    """Write names and values in two columns."""
    return _render([[title(name), format_value(value, name=name)] for name, value in pairs.items()])


def format_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Write rows under their column names, numbers to the right.

    Parameters
    ----------
    columns
        Names, shown as they are.
    rows
        One value a column each.
    """
    numeric = [bool(rows) and all(_is_number(row[i]) for row in rows) for i in range(len(columns))]
    cells = [[format_value(value, name=name) for name, value in zip(columns, row, strict=True)] for row in rows]
    return _render(cells, header=columns, right=numeric)


def title(name: str) -> str:
    """Turn a key into words: ``n_cells`` is ``cells``."""
    return name.removeprefix("n_").replace("_", " ")


def _is_number(value: object) -> bool:
    import numbers

    return value is None or (isinstance(value, numbers.Real) and not isinstance(value, bool))


def _render(
    cells: Sequence[Sequence[str]], *, header: Sequence[str] | None = None, right: Sequence[bool] | None = None
) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=header is not None, pad_edge=False, padding=(0, 2, 0, 0))
    for i in range(max((len(row) for row in cells), default=len(header or ()))):
        name = Text(header[i], "" if "NO_COLOR" in os.environ else "bold") if header is not None else ""
        table.add_column(name, justify="right" if right and right[i] else "left")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    # In a pipe nothing is wrapped or cut, however long the lines are.
    terminal = sys.stdout.isatty()
    console = Console(width=shutil.get_terminal_size().columns if terminal else 100_000)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())

"""What a page is made of: sections, cards, and tables, which a reader can sort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scformat.report.markup import Attribute, Child, Markup, element, joined
from scformat.report.numbers import count

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDED = 60
"""Names that are listed of what is not plotted."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column.

    Attributes
    ----------
    title
        Text or markup.
    kind
        ``text``, ``number``, or ``plot``, a small plot.
    sorted
        The rows are in its order, the largest first.
    """

    title: str
    kind: Literal["text", "number", "plot"] = "text"
    sorted: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: what is shown, and the number or text that it is sorted by, where that is another."""

    shown: str
    value: float | str | None = None
    kind: str | None = None


def section(name: str, title: str, said: str, *parts: Child) -> Markup:
    """Write a section, which links go to by its name."""
    lead = element("p", {"class": "lead"}, said)
    return element("section", {"id": name}, element("h2", None, title), lead, *parts)


def card(*parts: Child, title: str | None = None, sub: str | None = None) -> Markup:
    """Write a box, with a title and a remark to the right of it."""
    if title is None:
        return element("div", {"class": "card"}, *parts)
    subs = [] if sub is None else [element("span", {"class": "sub"}, sub)]
    head = element("div", {"class": "head"}, element("h3", None, title), *subs)
    return element("div", {"class": "card"}, head, *parts)


def note(text: str) -> Markup:
    """Write a remark."""
    return element("p", {"class": "note"}, text)


def unfolding(title: str, *lines: str) -> Markup:
    """Write lines that are shown when one asks for them."""
    return element("details", None, element("summary", None, title), *(element("p", None, line) for line in lines))


def listed(names: Sequence[str]) -> str:
    """Write names one after another, the first of them where they are many."""
    left = len(names) - FOLDED
    return ", ".join(names[:FOLDED]) + (f", and {count(left)} more" if left > 0 else "")


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], last: Sequence[Sequence[Cell]] = ()) -> Markup:
    """Write a table.

    Parameters
    ----------
    columns
        Its columns.
    rows
        Their cells; they can be sorted where there are three or more.
    last
        Rows that stay at the end, whatever the order.
    """
    sortable = len(rows) > 2
    heads = []
    for column in columns:
        attributes: dict[str, Attribute] = {"class": _CLASS[column.kind], "scope": "col"}
        if sortable and column.kind != "plot":
            attributes["data-sort"] = column.kind
            attributes["aria-sort"] = "descending" if column.sorted else None
        heads.append(element("th", attributes, column.title))
    parts = [
        element("thead", None, element("tr", None, *heads)),
        element("tbody", None, joined(_row(columns, row) for row in rows)),
    ]
    if last:
        parts.append(element("tfoot", None, joined(_row(columns, row) for row in last)))
    return element("div", {"class": "wide"}, element("table", {"class": "sortable" if sortable else None}, *parts))


def pairs(rows: Sequence[tuple[str, str]], kind: str) -> Markup:
    """Write names above their values, in one row."""
    names = element("tr", None, *(element("th", {"class": "n", "scope": "col"}, name) for name, _ in rows))
    values = element("tr", None, *(element("td", {"class": "n"}, value) for _, value in rows))
    return element("table", {"class": kind}, element("thead", None, names), element("tbody", None, values))


_CLASS = {"text": "t", "number": "n", "plot": "s"}


def _row(columns: Sequence[Column], cells: Sequence[Cell]) -> Markup:
    out = []
    for column, cell in zip(columns, cells, strict=True):
        kind = _CLASS[column.kind] if cell.kind is None else f"{_CLASS[column.kind]} {cell.kind}"
        value = None if cell.value is None else str(cell.value) if isinstance(cell.value, str) else repr(cell.value)
        out.append(element("td", {"class": kind, "data-value": value}, cell.shown))
    return element("tr", None, *out)

"""HTML and SVG elements as text; whatever is not an element already is escaped."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VOID = frozenset({"meta", "br", "col", "link"})
"""Elements of HTML that have no end."""


SPACES = "\xa0\u202f"
"""That keep a number and its unit in one line."""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Child = str | int | float | None
"""Text, which is escaped, or Markup; None is nothing."""
Attribute = str | int | float | None


def element(name: str, attributes: Mapping[str, Attribute] | None = None, *children: Child) -> Markup:
    """Write an element.

    Parameters
    ----------
    name
        Of the element, for example ``td``.
    attributes
        Those that are None are left out.
    children
        Text and elements.
    """
    given = "".join(f' {key}="{_escaped(value)}"' for key, value in (attributes or {}).items() if value is not None)
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Write text and elements one after another."""
    return Markup("".join(child if isinstance(child, Markup) else _escaped(child) for child in children))


def plain(text: str) -> str:
    """Return text as one can read it: white space as spaces, what cannot be printed as U+FFFD.

    Names of a store are any Unicode: controls among them end strings early, and marks of direction turn a line around.
    """
    return "".join(c if c.isprintable() or c in SPACES else " " if c.isspace() else "\ufffd" for c in text)


def shortened(text: str, length: int) -> str:
    """Return text of at most `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "\u2026"


def _escaped(value: Child) -> str:
    if value is None:
        return ""
    return html.escape(plain(value) if isinstance(value, str) else repr(value))

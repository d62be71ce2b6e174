"""Pages of reports read back, by a strict parser, with their tables as values; names that no page should trust."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table></body>",
    "\"><img src=x onerror='alert(2)'>",
    "</style><script>alert(3)</script>",
    "&lt;b&gt; &amp; &#60;",
    "a\x07b\x1b[31m\u202eright to left",
    "x" * 400,
    "javascript:alert(4)",
)

VOID = {"meta", "br", "col", "link", "img", "input", "hr"}


@dataclass
class Node:
    name: str
    attributes: dict[str, str]
    children: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text for c in self.children)

    def all(self, name: str, **wanted: str) -> list[Node]:
        """Nodes of a name below this one, with these attributes (`kind` is the class)."""
        wanted = {"class" if key == "kind" else key: value for key, value in wanted.items()}
        found = []
        for child in self.children:
            if isinstance(child, Node):
                if child.name == name and wanted.items() <= child.attributes.items():
                    found.append(child)
                found += child.all(name, **wanted)
        return found

    def one(self, name: str, **wanted: str) -> Node:
        found = self.all(name, **wanted)
        assert len(found) == 1, (name, wanted, len(found))
        return found[0]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].name == tag, f"</{tag}> closes <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def parse(page: str) -> Node:
    """Read a page; an element that is not closed, or closed by another, fails."""
    assert page.startswith("<!DOCTYPE html>\n")
    reader = _Reader()
    reader.feed(page.partition("\n")[2])
    reader.close()
    assert reader.open == [reader.root], [n.name for n in reader.open]
    return reader.root


def rows_of(table: Node) -> list[list[Any]]:
    """Values of the cells of a table: numbers where there are some, else text."""
    return [[_value(cell) for cell in row.all("td")] for row in table.all("tr") if row.all("td")]


def heads_of(table: Node) -> list[str]:
    return [head.text for head in table.all("th")]


def card(page: Node, section: str, title: str) -> Node:
    """The card of a title in a section."""
    cards = [c for c in page.one("section", id=section).all("div", kind="card") if c.all("h3")]
    found = [c for c in cards if c.one("h3").text == title]
    assert len(found) == 1, (section, title, len(found))
    return found[0]


def _value(cell: Node) -> Any:
    given = cell.attributes.get("data-value")
    if given is None or cell.attributes["class"].split()[0] != "n":
        return cell.text
    return float(given)

"""The tree of an expression, and its canonical text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Op: TypeAlias = Literal["==", "!=", "<", "<=", ">", ">="]
Value: TypeAlias = str | int | float | bool

KEYWORDS: Final = frozenset(("and", "or", "not", "in", "is", "missing", "under", "true", "false", "True", "False"))
BARE_NAME: Final = r"[^\W\d][\w.]*"


@dataclass(frozen=True)
class Truth:
    """A boolean column as it is."""

    name: str


@dataclass(frozen=True)
class Compare:
    """A column against one value, the column on the left."""

    name: str
    op: Op
    value: Value


@dataclass(frozen=True)
class In:
    """A column whose value is among `values`, of which there is at least one."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """A column without a value."""

    name: str


@dataclass(frozen=True)
class Under:
    """A label whose term is `term`, given by name or id, or one below it in the ontology."""

    name: str
    term: str


@dataclass(frozen=True)
class Not:
    """The opposite; unknown stays unknown."""

    operand: Node


@dataclass(frozen=True)
class And:
    """All of at least two."""

    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Or:
    """Any of at least two."""

    operands: tuple[Node, ...]


Condition: TypeAlias = Truth | Compare | In | Missing | Under
Node: TypeAlias = Condition | Not | And | Or


def conditions(node: Node) -> Iterator[Condition]:
    """All conditions of a tree, from left to right."""
    if isinstance(node, Not):
        yield from conditions(node.operand)
    elif isinstance(node, And | Or):
        for operand in node.operands:
            yield from conditions(operand)
    else:
        yield node


def to_text(node: Node) -> str:
    """Canonical text: :func:`scformat.expression.parse` makes the same tree of it."""
    match node:
        case Truth(name):
            return _name(name)
        case Compare(name, op, value):
            return f"{_name(name)} {op} {_value(value)}"
        case In() | Missing() | Under():
            return _affirmed(node, "")
        case Not(In() | Missing() | Under() as condition):
            return _affirmed(condition, "not ")
        case Not(operand):
            return f"not {_inside(operand, And | Or)}"
        case And(operands) | Or(operands):
            word, weaker = (" and ", And | Or) if isinstance(node, And) else (" or ", Or)
            return word.join(_inside(operand, weaker) for operand in operands)


def _affirmed(node: In | Missing | Under, negation: str) -> str:
    name = _name(node.name)
    match node:
        case In(_, values):
            return f"{name} {negation}in ({', '.join(_value(value) for value in values)})"
        case Missing():
            return f"{name} is {negation}missing"
        case Under(_, term):
            return f"{name} {negation}under {_value(term)}"


def _inside(node: Node, weaker: object) -> str:
    return f"({to_text(node)})" if isinstance(node, weaker) else to_text(node)  # type: ignore[arg-type]


def _name(name: str) -> str:
    if re.fullmatch(BARE_NAME, name) and name not in KEYWORDS:
        return name
    return "`" + name.replace("`", "``") + "`"


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)

"""Expressions that select cells: ``is_primary_data and n_genes >= 200``.

The language is small and its own, never Python's::

    expression  := conjunction { "or" conjunction }
    conjunction := negation { "and" negation }
    negation    := "not" negation | "(" expression ")" | condition
    condition   := column                                   a boolean column as it is
                 | column OP value | value OP column        OP is == != < <= > >=
                 | column ["not"] "in" "(" value {"," value} ")"
                 | column "is" ["not"] "missing"
                 | column ["not"] "under" text              a term of the column's ontology, or below it
    value       := text | number | "true" | "false"
    text        := '...' or "..."                           a quote inside is written twice
    column      := a name, or `any characters`              a backtick inside is written twice

Truth has three values, as in SQL. A condition on a missing value is unknown, neither true nor false; only
``is missing`` and ``is not missing`` always decide. ``not`` leaves unknown unknown, ``and`` is false where
one side is false, ``or`` is true where one side is true. **A cell is selected where the whole is true**:
``tissue != 'blood'`` and ``not tissue == 'blood'`` select the same cells, and none without a tissue. A
float's NaN is missing; an empty text is not.

Text and numbers do not compare, which is told before any value is read. Text is ordered by its code
points. Integers compare exactly; a float column with the number rounded to the column's precision. A
categorical's categories compare as the numbers or booleans they are, and for equality also as the text they
are written in; text columns that are categorical and hold only true and false, however capitalised, serve
as booleans. A boolean column equals ``true`` and ``'true'`` alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.expression.answers import TRUE, Lookup, answer
from scformat.expression.conditions import ColumnType, check_condition
from scformat.expression.parser import MAX_DEPTH, MAX_LENGTH, parse_tree
from scformat.expression.tree import And, Node, Not, Or, Under, conditions, to_text

if TYPE_CHECKING:
    from collections.abc import Set

    from numpy.typing import NDArray

    from scformat.columns import Column

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "ColumnType", "Expression", "Lookup", "parse"]


@dataclass(frozen=True)
class Expression:
    """A parsed expression; equal to another with the same canonical text, which is its ``str``.

    Attributes
    ----------
    tree
        Nodes of :mod:`scformat.expression.tree`.
    text
        Canonical text; :func:`parse` makes the same tree of it.
    """

    tree: Node = field(compare=False)
    text: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", to_text(self.tree))

    def __str__(self) -> str:
        return self.text

    @property
    def names(self) -> frozenset[str]:
        """Columns that the expression reads, at least one."""
        return frozenset(condition.name for condition in conditions(self.tree))

    @property
    def under_names(self) -> frozenset[str]:
        """Columns of which ``under`` is asked, so that need an ontology."""
        return frozenset(c.name for c in conditions(self.tree) if isinstance(c, Under))

    def check(self, types: Mapping[str, ColumnType]) -> None:
        """Check every condition against the types of the columns, before any value is read.

        Raises
        ------
        UnknownNameError
            ``unknown-column``.
        UsageError
            ``expression-type``: text against a number, an order of booleans and the like.
        """
        for condition in conditions(self.tree):
            if condition.name not in types:
                raise unknown_name("column", condition.name, types, where=f"expression {_short(self.text)!r}")
            check_condition(condition, types[condition.name])

    def evaluate(self, columns: Lookup | Mapping[str, Column]) -> NDArray[np.bool_]:
        """Evaluate the expression for all cells of `columns`.

        Parameters
        ----------
        columns
            Where the columns are found, each asked for once; all of one length. A mapping has no ontology.

        Returns
        -------
        bool array, shape (n,)
            True where the expression is true; False where it is false or unknown.

        Raises
        ------
        UnknownNameError, UsageError
            As in :meth:`check`, and what `columns` raises.
        """
        lookup = _Plain(columns) if isinstance(columns, Mapping) else columns
        found: dict[str, Column] = {}
        for condition in conditions(self.tree):
            if condition.name not in found:
                found[condition.name] = lookup.column(condition.name)
        self.check({name: ColumnType.of(column) for name, column in found.items()})
        return np.asarray(_evaluate(self.tree, found, lookup) == TRUE)


def parse(text: str) -> Expression:
    """Parse the text of an expression.

    Raises
    ------
    UsageError
        ``expression-syntax`` with the position, counted from 1; ``expression-too-long`` above 2^20
        characters; ``expression-too-deep`` above 64 parentheses and ``not`` inside one another.
    """
    return Expression(parse_tree(text))


class _Plain:
    """Columns without an ontology."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = columns

    def column(self, name: str) -> Column:
        if name not in self._columns:
            raise unknown_name("column", name, self._columns, where="expression")
        return self._columns[name]

    def under(self, name: str, term: str) -> Set[int]:
        raise UsageError(
            "no-ontology", f"under {term!r} needs an ontology", where="expression", found=f"column {name!r} without one"
        )


def _evaluate(node: Node, columns: Mapping[str, Column], lookup: Lookup) -> NDArray[np.uint8]:
    if isinstance(node, Not):
        return np.asarray(TRUE - _evaluate(node.operand, columns, lookup))
    if isinstance(node, And | Or):
        combine = np.minimum if isinstance(node, And) else np.maximum
        out = _evaluate(node.operands[0], columns, lookup)
        for operand in node.operands[1:]:
            combine(out, _evaluate(operand, columns, lookup), out=out)
        return out
    return answer(node, columns[node.name], lookup)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."

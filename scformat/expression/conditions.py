"""Whether a condition can be asked of a column, decided from the column's type alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from scformat.errors import UsageError
from scformat.expression.tree import Compare, Condition, In, Op, Truth, Under, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.columns import Column, Kind

Family: TypeAlias = Literal["integer", "float", "boolean", "text"]

ORDERING: Final = frozenset(("<", "<=", ">", ">="))
BOOLEAN_TEXT: Final = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class ColumnType:
    """What can be known of a column before its values are read; fields as in :class:`scformat.columns.Column`."""

    kind: Kind
    dtype: str
    categories: Sequence[str] | None = None
    ordered: bool = False

    @classmethod
    def of(cls, column: Column) -> ColumnType:
        """Type of `column`."""
        return cls(kind=column.kind, dtype=column.dtype, categories=column.categories, ordered=column.ordered)

    @property
    def family(self) -> Family:
        """What its values, or its categories, compare with."""
        if self.kind == "string":
            return "text"
        if self.kind != "categorical":
            return self.kind
        families: dict[str, Family] = {"i": "integer", "u": "integer", "f": "float", "b": "boolean"}
        try:
            return families.get(np.dtype(self.dtype).kind, "text")
        except TypeError:  # "string" and whatever else numpy has no name for
            return "text"

    @property
    def spells_booleans(self) -> bool:
        """A categorical of text whose only categories are true and false, however capitalised."""
        return self.categories is not None and all(c.lower() in BOOLEAN_TEXT for c in self.categories)

    def __str__(self) -> str:
        if self.kind == "categorical":
            return f"categorical ({self.family})"
        return self.family


def check_condition(condition: Condition, kind: ColumnType) -> None:
    """Raise ``expression-type`` where `condition` cannot be asked of a column of this type."""
    match condition:
        case Truth(name):
            if kind.family != "boolean" and not kind.spells_booleans:
                raise _mismatch(name, kind, "true or false", "a bare name", "compare it with a value")
        case Under(name):
            if kind.kind != "categorical" or kind.family != "text":
                raise _mismatch(name, kind, "a label with an ontology", "under", None)
        case Compare(name, op, value):
            if op in ORDERING:
                _check_order(name, kind, op)
            _check_value(name, kind, value, order=op in ORDERING)
        case In(name, values):
            for value in values:
                _check_value(name, kind, value, order=False)


def _check_order(name: str, kind: ColumnType, op: Op) -> None:
    if kind.family == "boolean":
        raise _mismatch(name, kind, "== or !=", op, None)
    if kind.family == "text" and kind.ordered:
        # Its order belongs to one source and is gone where sources are joined: the answer would change there.
        raise _mismatch(
            name, kind, "== or in: its categories have an order of their own", op, "list them with in (...)"
        )


def _check_value(name: str, kind: ColumnType, value: Value, *, order: bool) -> None:
    text, boolean = isinstance(value, str), isinstance(value, bool)
    match kind.family:
        case "text":
            if boolean and not order and kind.spells_booleans:
                return
            if not text:
                shown = str(value).lower() if boolean else repr(value)
                raise _mismatch(name, kind, "text", _described(value), f"write it in quotes: '{shown}'")
        case "boolean":
            if not boolean and not (isinstance(value, str) and value.lower() in BOOLEAN_TEXT):
                raise _mismatch(name, kind, "true or false", _described(value), None)
        case _:
            if boolean or (text and (kind.kind != "categorical" or order)):
                raise _mismatch(name, kind, "a number", _described(value), "write it without quotes" if text else None)


def _described(value: Value) -> str:
    if isinstance(value, str):
        return f"the text {value if len(value) <= 40 else value[:37] + '...'!r}"
    return str(value).lower() if isinstance(value, bool) else f"the number {value!r}"


def _mismatch(name: str, kind: ColumnType, expected: str, found: str, hint: str | None) -> UsageError:
    return UsageError(
        "expression-type", f"column {name!r} is {kind}", where="expression", expected=expected, found=found, hint=hint
    )

"""JSON documents of a store, read more strictly than parsers do."""

from __future__ import annotations

import json
import math
from typing import Any

_EXACT = 2**53
_DIGITS = 300
"""An integer of more digits is beyond binary64, or nearly."""


class NotJsonError(ValueError):
    """A text that is no JSON document; the message says why."""


def parse(data: bytes) -> tuple[Any, list[str], list[str]]:
    """Parse a document.

    Returns
    -------
    value
        Integers exact.
    twice
        Member names that one object has twice.
    inexact
        Numbers that are not exact as binary64.

    Raises
    ------
    NotJsonError
        No RFC 8259 document in UTF-8 without a byte order mark.
    """
    twice: list[str] = []
    inexact: list[str] = []

    def integer(text: str) -> int:
        value = int(text)
        if abs(value) > _EXACT and (len(text) > _DIGITS or int(float(value)) != value):
            inexact.append(text[:_DIGITS])
        return value

    def number(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            inexact.append(text[:_DIGITS])
        return value

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice.extend(repr(name) for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return found

    try:
        value = json.loads(
            data.decode(), object_pairs_hook=members, parse_constant=_refuse, parse_int=integer, parse_float=number
        )
    except (ValueError, RecursionError) as error:
        raise NotJsonError(f"{type(error).__name__}: {error}") from None
    return value, twice, inexact


def _refuse(constant: str) -> Any:
    raise NotJsonError(f"{constant} is no JSON number")


def same(value: Any, expected: Any) -> bool:
    """Whether two JSON values are the same: 1 is neither true nor 1.0; the order of members does not matter."""
    if isinstance(expected, dict):
        return (
            isinstance(value, dict)
            and value.keys() == expected.keys()
            and all(same(value[name], item) for name, item in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(same(a, b) for a, b in zip(value, expected, strict=True))
        )
    return type(value) is type(expected) and bool(value == expected)


def same_number(value: Any, expected: Any) -> bool:
    """Whether two JSON numbers are equal, however they are written."""
    kinds = (int, float)
    return type(value) in kinds and type(expected) in kinds and bool(value == expected)

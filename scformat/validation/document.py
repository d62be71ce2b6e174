"""JSON documents of a store, read more strictly than parsers do."""

from __future__ import annotations

import json
from typing import Any


class NotJsonError(ValueError):
    """A text that is no JSON document; the message says why."""


def parse(data: bytes) -> tuple[Any, list[str]]:
    """Parse a document.

    Returns
    -------
    value
        Integers exact.
    twice
        Member names that one object has twice.

    Raises
    ------
    NotJsonError
        No RFC 8259 document in UTF-8 without a byte order mark.
    """
    twice: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            twice.extend(repr(name) for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return found

    if data.startswith(b"\xef\xbb\xbf"):
        raise NotJsonError("a byte order mark")
    try:
        return json.loads(data.decode(), object_pairs_hook=members, parse_constant=_refuse), twice
    except (ValueError, RecursionError) as error:
        raise NotJsonError(f"{type(error).__name__}: {error}") from None


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

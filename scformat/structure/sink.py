"""Where a check says what does not fit: the opening of a store stops at the first, a validation collects all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from scformat.storage import MANIFEST_KEY

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

ROOT = MANIFEST_KEY


class Sink(Protocol):
    """Takes what was found."""

    def add(self, requirement: str, where: str, what: str, *, expected: object = None, found: object = None) -> None:
        """Take one: the statement of the specification that it breaks, where, and what is wrong."""

    def domain(self, name: str) -> AbstractContextManager[None]:
        """Note which member of the manifest what is found within belongs to."""


def several(n: int) -> str:
    """Say that a finding stands for `n` of its kind."""
    return "" if n <= 1 else f" (and {n - 1:,} more)"

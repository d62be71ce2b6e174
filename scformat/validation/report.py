"""What a validation found: findings, each with the requirement of the specification that it breaks."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Finding:
    """A violation.

    Attributes
    ----------
    requirement
        Number of the statement, for example ``CNT-5``.
    message
        What is wrong, what was expected and what was found; one line.
    where
        The file, array, member of the manifest, shard or cell concerned, relative to the store.
    """

    requirement: str
    message: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of a validation.

    Attributes
    ----------
    store
        Where the store lies, as it was given.
    level
        The level that was checked: 1 metadata, 2 hierarchy, 3 data, 4 sampling. Nothing is said of higher ones.
    findings
        Every violation; equal ones of one array or shard are one finding that counts them.
    """

    store: str
    level: int
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "store": self.store,
            "level": self.level,
            "ok": self.ok,
            "valid": self.ok,
            "findings": [{"requirement": f.requirement, "where": f.where, "message": f.message} for f in self.findings],
        }


class Findings:
    """Collects findings, from any thread, and which parts of the manifest they make useless for deeper checks."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self.broken: set[str] = set()
        """Domains (see :meth:`domain`) of the manifest that do not fit together."""

    def __len__(self) -> int:
        return len(self._found)

    def add(self, requirement: str, where: str, what: str, *, expected: object = None, found: object = None) -> None:
        """Add one; `expected` and `found` are shown as they are."""
        message = what
        if expected is not None:
            message += f"; expected {expected}"
        if found is not None:
            message += f"; found {found}"
        self._found.append(Finding(requirement, " ".join(message.split()), where))

    @contextmanager
    def domain(self, name: str) -> Iterator[None]:
        """Mark `name` as broken where anything is found within."""
        before = len(self._found)
        yield
        if len(self._found) > before:
            self.broken.add(name)

    def sorted(self) -> tuple[Finding, ...]:
        """All findings by place, numbers in it as numbers: the order does not depend on threads."""
        return tuple(sorted(dict.fromkeys(self._found), key=lambda f: (_natural(f.where), f.requirement, f.message)))


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in re.split(r"([0-9]+)", text)]

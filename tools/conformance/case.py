"""A case of the kit, before it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tools.conformance.plain import Store
    from tools.conformance.writer import Files

METADATA, HIERARCHY, DATA, SAMPLING = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Parameters of a draw; the members are options of the command."""

    table: str | None = None
    plan: str = "independent"
    seed: int = 0
    start: int = 0
    count: int = 64
    window: int | None = None
    lanes: int | None = None
    block: int | None = None
    schedule: tuple[tuple[int, float], ...] | None = None
    rank: int | None = None
    world_size: int | None = None

    def given(self) -> dict[str, Any]:
        """The members that are set."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def options(self) -> list[str]:
        """As arguments of the command."""
        out: list[str] = []
        for name, value in self.given().items():
            schedule = name == "schedule"
            text = ",".join(f"{at}:{temperature:g}" for at, temperature in value) if schedule else str(value)
            out += [f"--{name.replace('_', '-')}", text]
        return out


@dataclass(kw_only=True)
class Valid:
    """A store that conforms, with its content."""

    id: str
    store: Store
    made: str
    requirements: Sequence[str]
    reads: Sequence[Sequence[int]] = ()
    """Rows of each ``read``; all rows in one where empty."""
    refused_rows: Sequence[Sequence[int]] = ()
    draws: Sequence[Draw] = ()
    described: bool = True


@dataclass(kw_only=True)
class Invalid:
    """A store that does not conform: a base, damaged.

    `requirements` has the statements of which one has to be among the findings at `level`; below it the store is valid.
    """

    id: str
    base: str
    made: str
    level: int
    requirements: Sequence[str]
    damage: Callable[[Path], None]
    also: Sequence[str] = ()
    """Further statements that it is about, those that bind readers."""
    refuse: Sequence[Sequence[str]] = ()
    """Commands (verb and options) that must be refused."""
    read: Sequence[int] = ()
    """Rows that must be read all the same, as the base's."""


@dataclass(kw_only=True)
class Base:
    """A store that invalid cases are made from."""

    id: str
    files: Files
    store: Store | None = None
    extra: dict[str, Any] = field(default_factory=dict)

"""Named ways to damage a store, each with the statement that it breaks; for the kit and for tests of the validator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.conformance.damage import Damage

    Change = Callable[[Damage], Any]


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """A way to damage a store.

    Attributes
    ----------
    requirement
        The statement that it breaks and that a validator names.
    where
        What the place of the finding contains; ``{last}`` stands for the number of the last cell.
    made
        One sentence about it.
    change
        Does it. Digests that no longer fit are part of the damage, or are put right by it.
    sealed
        The root is written anew with its digest afterwards.
    refuse
        Commands that cannot be answered.
    """

    requirement: str
    where: str
    made: str
    change: Change
    sealed: bool = True
    refuse: tuple[tuple[str, ...], ...] = ()

    def apply(self, damage: Damage) -> None:
        """Damage a store."""
        self.change(damage)
        if self.sealed:
            damage.seal()


def corruption(
    requirement: str, where: str, change: Change, made: str | None = None, *, sealed: bool = True, refuse: Any = ()
) -> Corruption:
    """Describe a corruption; without a sentence that of the change's docstring."""
    text = made or (change.__doc__ or "").strip()
    assert text.endswith("."), f"{requirement} {where}: a sentence is missing"
    return Corruption(
        requirement=requirement,
        where=where,
        made=" ".join(text.split()),
        change=change,
        sealed=sealed,
        refuse=tuple(tuple(one) for one in refuse),
    )


def told(text: str, change: Change) -> Change:
    """Give a change its sentence."""

    def act(d: Damage) -> None:
        change(d)

    act.__doc__ = text
    return act

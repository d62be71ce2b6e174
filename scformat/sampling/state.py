"""Where a stream stands: what makes it up, in JSON, and the plan that goes on from there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from scformat.errors import UsageError, unknown_name
from scformat.random import check_seed
from scformat.sampling.independent import check_range
from scformat.sampling.masses import check_temperature
from scformat.sampling.plans import EpochPlan, IndependentPlan, Plan, ScheduledPlan, StratifiedPlan
from scformat.sampling.set_plans import SET_PLANS
from scformat.sampling.sets import Combinations, SetForm, SetShape
from scformat.sampling.window import WindowShape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scformat.sampling.table import Table

PLANS: Final[dict[str, type[Plan]]] = {
    plan.name: plan for plan in (IndependentPlan, StratifiedPlan, EpochPlan)
}  # fmt: skip

_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True)
class State:
    """Everything that a stream's next row depends on; ranks and batch sizes are no part of it.

    Attributes
    ----------
    seed
        0 .. 2^64 - 1.
    position
        Of the next draw, over all ranks.
    plan
        ``independent``, ``stratified`` or ``epoch``.
    table
        Digest of the table (:attr:`scformat.sampling.Table.digest`).
    window, lanes, block
        See :class:`scformat.sampling.WindowShape`.
    schedule
        First position and temperature of each piece, ascending from position 0, positions multiples of the window.
    sets
        None: a stream of single cells.

    Raises
    ------
    UsageError
        ``bad-seed``, ``bad-position``, ``bad-window``, ``bad-schedule``, ``bad-temperature``.
    UnknownNameError
        ``unknown-plan``.
    """

    seed: int
    plan: str
    table: str
    position: int = 0
    window: int = 65_536
    lanes: int = 8
    block: int = 64
    schedule: tuple[tuple[int, float], ...] = ((0, 1.0),)
    sets: SetForm | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_range(self.position, 0)
        if self.plan not in PLANS:
            raise unknown_name("plan", self.plan, PLANS)
        starts = [start for start, _ in self.schedule]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or any(s % self.window for s in starts):
            raise UsageError(
                "bad-schedule",
                "a schedule of temperatures does not begin at 0 or does not change between windows",
                expected=f"ascending multiples of {self.window}",
                found=starts,
            )
        for _, temperature in self.schedule:
            check_temperature(temperature)
        if self.plan == "epoch" and any(temperature != 1 for _, temperature in self.schedule):
            raise UsageError("bad-schedule", "an epoch goes over every cell once, at any temperature")
        if self.position % self.shape.unit:
            raise UsageError(
                "bad-position", "a position within a set", expected=f"multiples of {self.shape.unit}",
                found=self.position,
            )  # fmt: skip

    @property
    def shape(self) -> WindowShape:
        """The windows."""
        if self.sets is not None:
            return SetShape(window=self.window, lanes=self.lanes, block=self.block, size=self.sets.size)
        return WindowShape(window=self.window, lanes=self.lanes, block=self.block)

    def at(self, position: int) -> State:
        """Return the state at another position."""
        return replace(self, position=position)

    def resume(self, drawn: Table | Combinations) -> Plan:
        """Return the plan, whose rows from `position` on are the rest of the stream.

        Parameters
        ----------
        drawn
            The table, or, for a stream of sets, what sets are drawn of.

        Raises
        ------
        UsageError
            ``other-table``: not the table that the stream was drawn with. ``other-sets``: of another size, with other
            controls, or single cells.
        """
        sets = drawn.form if isinstance(drawn, Combinations) else None
        if sets != self.sets:
            raise UsageError(
                "other-sets",
                "the state belongs to a stream of other sets",
                expected=self.sets or "single cells",
                found=sets or "single cells",
                hint="resume with the sets that it began with",
            )
        table = drawn.table if isinstance(drawn, Combinations) else drawn
        if table.digest != self.table:
            raise UsageError(
                "other-table",
                "the state belongs to another sampling table, or to other cells",
                expected=self.table,
                found=table.digest,
                hint="resume with the table and the selection of cells that it began with",
            )
        made = [(start, self._plan(drawn, table.at(temperature))) for start, temperature in self.schedule]
        return made[0][1] if len(made) == 1 else ScheduledPlan(made)

    def _plan(self, drawn: Table | Combinations, table: Table) -> Plan:
        shape = self.shape
        if isinstance(drawn, Combinations) and isinstance(shape, SetShape):
            return SET_PLANS[self.plan](replace(drawn, table=table), self.seed, shape)
        return PLANS[self.plan](table, self.seed, shape)

    def to_json(self) -> str:
        """Serialise; the same state gives the same text. Without sets there is no member `sets`."""
        members = asdict(self)
        if self.sets is None:
            del members["sets"]
        return json.dumps({"version": _VERSION, **members})

    @classmethod
    def of(cls, given: str | Mapping[str, Any]) -> State:
        """Read what :meth:`to_json` wrote, as text or parsed.

        Raises
        ------
        UsageError
            ``bad-state``, and those of the class.
        """
        try:
            members = dict(json.loads(given) if isinstance(given, str) else given)
        except (ValueError, TypeError) as error:
            raise UsageError("bad-state", "not the state of a stream", found=error) from None
        version = members.pop("version", None)
        types = {name: str if name in ("plan", "table") else int for name in cls.__dataclass_fields__}
        schedule = members.pop("schedule", [[0, 1.0]])
        sets = members.pop("sets", None)
        fits = set(members) <= set(types) and {"seed", "plan", "table"} <= set(members) and _is_form(sets)
        fits = fits and all(type(value) is types[name] for name, value in members.items())
        fits = fits and isinstance(schedule, list | tuple) and all(_is_piece(piece) for piece in schedule)
        if not fits or version != _VERSION:
            raise UsageError("bad-state", "not the state of a stream", found=sorted(map(str, members)))
        form = None if sets is None else SetForm(**sets)
        pieces = tuple((start, float(temperature)) for start, temperature in schedule)
        return cls(**members, schedule=pieces, sets=form)


def _is_form(sets: Any) -> bool:
    if sets is None:
        return True
    known = isinstance(sets, dict) and "size" in sets and set(sets) <= {"size", "controls"}
    return known and type(sets["size"]) is int and isinstance(sets.get("controls"), str | None)


def _is_piece(piece: Any) -> bool:
    return (
        isinstance(piece, list | tuple) and len(piece) == 2 and type(piece[0]) is int and type(piece[1]) in (int, float)
    )

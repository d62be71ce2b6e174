"""All cases of the kit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.conformance import invalid, valid_appended, valid_cells, valid_counts, valid_tables
from tools.conformance.case import Base, Valid
from tools.conformance.everything import everything, everything_drawn, everything_near
from tools.conformance.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.conformance.case import Invalid


def valid_cases() -> Iterator[Valid]:
    """Yield every case whose store conforms."""
    yield from valid_counts.cases()
    yield from valid_cells.cases()
    yield from valid_tables.cases()
    yield from valid_appended.cases()
    yield Valid(
        id=invalid.EVERYTHING,
        store=everything(),
        made="Three sources with labels, an ontology, splits and obs columns of all kinds, in the stratified order.",
        requirements=["ORD-4", "SPL-10", "LAB-15", "SRC-1", "SRC-4", "SRC-11"],
    )
    yield Valid(
        id=invalid.DRAWN,
        store=everything_drawn(),
        made="The same store with sampling tables: of one label and of two, of a split, as runs and as rows.",
        requirements=["TAB-1", "TAB-6", "TAB-7", "TAB-8", "TAB-9", "TAB-10", "TAB-13", "TAB-15", "TAB-16"],
        reads=[[0, 43]],
    )
    yield Valid(
        id=invalid.NEAR,
        store=everything_near(),
        made="The same store with neighbour tables of distances, of similarities and without weights.",
        requirements=["NBR-1", "NBR-2", "NBR-3", "NBR-4", "NBR-5", "NBR-6", "NBR-8", "NBR-9", "VER-5"],
        reads=[[0, 43]],
    )


def bases() -> dict[str, Base]:
    """Return the stores that invalid cases are made from: those of valid cases."""
    return {case.id: Base(id=case.id, files=Writer(case.store).run(), store=case.store) for case in valid_cases()}


def invalid_cases() -> Iterator[Invalid]:
    """Yield every case whose store does not conform."""
    yield from invalid.cases()

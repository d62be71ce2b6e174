"""Values that break the format while all checksums and digests hold (level 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import scformat
from tools.conformance.corruptions.cells import CELLS
from tools.conformance.corruptions.shared import GENES, LABELS, SOURCES

if TYPE_CHECKING:
    from .damage import Damage

VALUES = {**CELLS, **GENES, **LABELS, **SOURCES}
DIGESTS = {"INT-2", "INT-3", "INT-4", "CNT-13", "ZAR-10", "ZAR-11", "ZAR-16"}


@pytest.mark.parametrize("name", VALUES)
def test_values(damage: Damage, name: str) -> None:
    case = VALUES[name]
    case.apply(damage)
    assert scformat.validate(damage.path, level=2).ok  # the damage is to be where only level 3 looks
    found = scformat.validate(damage.path).findings
    where = case.where.format(last=damage.manifest["n_cells"] - 1)
    assert any(f.requirement == case.requirement and where in f.where for f in found), found
    # All digests were put right, so that nothing but the values can have been noticed.
    assert (DIGESTS - {case.requirement}).isdisjoint(f.requirement for f in found)

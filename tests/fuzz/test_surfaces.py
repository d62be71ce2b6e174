"""Every surface that is fuzzed reads what it starts from and some inputs made of it: it calls what there is to call."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from scformat.errors import ScformatError
from tools.fuzz.surfaces import SURFACES

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = {"h5ad": 3, "records": 20, "store": 20, "tables": 20}
"""Of those that take long; of others a hundred."""


@pytest.mark.parametrize("name", SURFACES)
def test_a_surface_reads(name: str, tmp_path: Path) -> None:
    surface, random = SURFACES[name], Random(0)
    seeds, read = surface.prepare(tmp_path)
    mutated = (surface.mutate(random.choice(seeds), random) for _ in range(INPUTS.get(name, 100)))
    accepted = 0
    for data in [*seeds, *mutated]:
        try:
            read(data)
            accepted += 1
        except ScformatError:
            pass
    assert accepted > 0

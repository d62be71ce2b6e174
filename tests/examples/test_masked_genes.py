"""The masked-gene transformer learns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_loss_falls_below_the_mean_of_the_gene(run_example: Callable[..., str], studies: list[Path]) -> None:
    said = run_example("masked_genes.py", "--steps", 60, "--data", *studies)
    losses = [float(loss) for loss in re.findall(r"^step \d+: loss ([0-9.]+)", said, re.MULTILINE)]
    assert losses[-1] < losses[0] * 0.9
    error = {name: float(value) for name, value in re.findall(r"^  (.+): ([0-9.]+)$", said, re.MULTILINE)}
    assert set(error) == {"gene's mean", "gene's mean, moved", "transformer"}
    assert error["transformer"] < error["gene's mean"] * 0.9

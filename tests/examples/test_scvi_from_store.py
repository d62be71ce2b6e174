"""scVI is trained from a store, where scvi-tools is installed."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_spec("scvi") is None, reason="scvi-tools is not installed; it is no extra")


def test_the_elbo_rises_and_types_come_apart(run_example: Callable[..., str], studies: list[Path]) -> None:
    said = run_example("scvi_from_store.py", "--steps", 100, "--data", *studies)
    losses = [int(loss) for loss in re.search(r"by epoch: ([0-9 ]+)$", said, re.MULTILINE)[1].split()]
    assert len(losses) == 10
    assert losses[-1] < losses[0] * 0.95
    right = [float(share) for share in re.findall(r": ([0-9.]+) right$", said, re.MULTILINE)]
    assert right[0] > right[1] + 0.1

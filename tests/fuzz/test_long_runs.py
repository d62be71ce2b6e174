"""The long runs of ``tools/fuzz`` whose results are kept found nothing."""

from __future__ import annotations

import json

import pytest

from tools.fuzz.__main__ import RESULTS
from tools.fuzz.child import SECONDS

INPUTS = {
    "entries": 1_000_000,
    "expressions": 1_000_000,
    "h5ad": 500,
    "manifest": 1_000_000,
    "records": 500,
    "shards": 1_000_000,
    "store": 500,
    "strings": 1_000_000,
    "tables": 500,
    "weights": 1_000_000,
}
"""Surfaces with a long run, and inputs of each, at least."""


@pytest.mark.parametrize("name", INPUTS)
def test_a_long_run_found_nothing(name: str) -> None:
    found = json.loads((RESULTS / f"{name}.json").read_text())
    assert found["findings"] == {}
    assert found["seconds"] >= 600
    assert found["inputs"] >= INPUTS[name]
    assert found["outcomes"]["accepted"] > 0
    assert found["slowest_s"] < SECONDS
    assert found["memory_above_start_mb"] < found["limits"]["memory_mb"]


def test_the_library_of_hdf5_crashed_and_took_nothing_with_it() -> None:
    assert json.loads((RESULTS / "h5ad.json").read_text())["outcomes"]["source-crashed"] > 0

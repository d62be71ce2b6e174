"""A few of the changed h5ad files of ``tools/fuzz``; the long run's result lies beside it."""

from __future__ import annotations

import json

from tools.fuzz.__main__ import RESULTS, fuzz
from tools.fuzz.child import SECONDS


def test_changed_files_are_read_or_refused() -> None:
    found = fuzz("h5ad", seconds=1e9, most=40, seed=9, coverage=False, say=lambda _: None)
    assert found["inputs"] == 40
    assert found["findings"] == {}
    assert len(found["outcomes"]) > 3


def test_the_long_run_found_nothing() -> None:
    found = json.loads((RESULTS / "h5ad.json").read_text())
    assert found["findings"] == {}
    assert found["inputs"] > 500
    assert found["outcomes"]["source-crashed"] > 0
    assert found["slowest_s"] < SECONDS
    assert found["memory_above_start_mb"] < found["limits"]["memory_mb"]

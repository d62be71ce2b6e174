"""The run of ``tools/faults/workers.py`` whose result is kept: a kill in each phase, and no fault."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

RESULT = Path(__file__).resolve().parents[2] / "tools" / "faults" / "results" / "workers.json"


def test_a_worker_was_killed_in_each_phase_of_each_order() -> None:
    pytest.importorskip("distributed", reason="needs the extra dask")
    from tools.faults.workers import PHASES

    found = json.loads(RESULT.read_text())
    assert found["workers"] == 4
    assert {(kill["order"], kill["phase"]) for kill in found["kills"]} == {
        (order, phase) for order, phases in PHASES.items() for phase in phases
    }
    assert all(kill["task"] for kill in found["kills"]), "each in the middle of a task"
    assert not any(kill["faults"] for kill in found["kills"])

"""A few of the kills of ``tools/faults/kill.py``; the long run's result lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.faults.kill import NoTracingError, campaign, jobs

RESULT = Path(__file__).resolve().parents[2] / "tools" / "faults" / "results" / "kills.json"


def test_killed_writers_leave_the_old_store_or_the_new(tmp_path: Path) -> None:
    try:
        found = campaign(tmp_path, moments=10, seed=17, only=["convert --overwrite", "append", "weights add"])
    except NoTracingError as error:
        pytest.skip(f"strace cannot be used here: {error}")
    assert len(found) == 10
    assert [(one.job, one.when, one.faults) for one in found if one.faults] == []


def test_the_long_run_killed_every_job_and_found_no_fault(tmp_path: Path) -> None:
    found = json.loads(RESULT.read_text())
    assert {line["job"] for line in found["summary"]} == {job.name for job in jobs([tmp_path])}
    assert len(found["kills"]) >= 200
    assert not any(kill["faults"] for kill in found["kills"])

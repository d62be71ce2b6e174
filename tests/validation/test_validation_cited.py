"""Findings cite statements of the specification, and only those that bind a store."""

from __future__ import annotations

import json
from pathlib import Path

from tools.conformance.collection import invalid_cases


def test_all_cited_requirements_are_in_the_specification() -> None:
    path = Path(__file__).resolve().parents[2] / "spec" / "requirements.json"
    spec = {r["id"]: r for r in json.loads(path.read_bytes())}
    cited = {requirement for case in invalid_cases() for requirement in case.requirements}
    assert not sorted(cited - spec.keys())
    assert not [c for c in sorted(cited) if spec[c]["binds"] != "store"]

"""Findings cite statements of the specification, and only those that bind a store."""

from __future__ import annotations

import json
from pathlib import Path

from .test_validation_container import BYTES, CONTAINER
from .test_validation_metadata import LEVEL_1, LEVEL_2, ROOT
from .test_validation_values import VALUES


def test_all_cited_requirements_are_in_the_specification() -> None:
    path = Path(__file__).resolve().parents[2] / "spec" / "requirements.json"
    spec = {r["id"]: r for r in json.loads(path.read_bytes())}
    cited = {case[0] for cases in (LEVEL_1, LEVEL_2, ROOT, CONTAINER, VALUES) for case in cases.values()}
    cited |= set().union(*(case[0] for case in BYTES.values()))
    assert not sorted(cited - spec.keys())
    assert not [c for c in sorted(cited) if spec[c]["binds"] != "store"]

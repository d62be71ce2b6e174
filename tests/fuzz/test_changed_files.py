"""A few of the changed h5ad files of ``tools/fuzz``."""

from __future__ import annotations

from tools.fuzz.__main__ import fuzz


def test_changed_files_are_read_or_refused() -> None:
    found = fuzz("h5ad", seconds=1e9, most=40, seed=9, coverage=False, say=lambda _: None)
    assert found["inputs"] == 40
    assert found["findings"] == {}
    assert len(found["outcomes"]) > 3

"""The constants of a conversion, small enough for small data."""

from __future__ import annotations

import importlib
from typing import Any

import pytest


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let small data take many blocks and shards."""
    shrink(monkeypatch)


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks hold a 4,000th of their values and shards 4,096 entries."""
    layout, counts, shards, scan, rows, encoder, survey = (
        importlib.import_module(f"scformat.{name}")
        for name in ("layout", *(f"conversion.{m}" for m in ("counts", "shards", "scan", "rows", "encoder", "survey")))
    )
    entries = 2 * layout.ENTRY_CHUNK
    monkeypatch.setattr(layout, "ENTRY_SHARD", entries)
    monkeypatch.setattr(shards, "ENTRY_SHARD", entries)
    monkeypatch.setitem(layout.cut_shards.__kwdefaults__, "capacity", entries)
    monkeypatch.setattr(counts, "BYTES_A_SHARD", 25_000_000)
    monkeypatch.setattr(scan, "MAX_ROW_ENTRIES", entries - 100)

    def smaller(function: Any) -> Any:
        def called(*arguments: Any, at_most: int, **options: Any) -> Any:
            return function(*arguments, at_most=max(1, at_most // 4000), **options)

        return called

    monkeypatch.setattr(scan, "row_ranges", smaller(rows.row_ranges))
    monkeypatch.setattr(counts, "row_ranges", smaller(rows.row_ranges))
    monkeypatch.setattr(encoder, "ranges_of", smaller(rows.ranges_of))
    monkeypatch.setattr(survey, "transpose", smaller(survey.transpose))

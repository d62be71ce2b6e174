"""Makes the shared helpers importable, and the constants of a conversion small enough for small data."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let blocks hold 300 values and shards 8,192 entries, so that small data takes many of both."""
    from scformat import layout
    from scformat.conversion import counts, rows, scan, survey, write

    entries = 4 * layout.ENTRY_CHUNK
    monkeypatch.setattr(layout, "ENTRY_SHARD", entries)
    monkeypatch.setattr(counts, "ENTRY_SHARD", entries)
    monkeypatch.setitem(layout.cut_shards.__kwdefaults__, "capacity", entries)
    monkeypatch.setattr(counts, "BYTES_A_SHARD", 25_000_000)
    monkeypatch.setattr(scan, "MAX_ROW_ENTRIES", entries - 100)
    plain_ranges, plain_cuts = rows.row_ranges, rows.ranges_of
    monkeypatch.setattr(scan, "row_ranges", lambda matrix, *, at_most: plain_ranges(matrix, at_most=at_most // 4000))
    monkeypatch.setattr(counts, "row_ranges", lambda matrix, *, at_most: plain_ranges(matrix, at_most=at_most // 4000))
    from scformat.conversion import encoder

    monkeypatch.setattr(
        encoder, "ranges_of", lambda matrix, some, *, at_most: plain_cuts(matrix, some, at_most=at_most // 4000)
    )
    plain_transpose = survey.transpose
    monkeypatch.setattr(
        survey,
        "transpose",
        lambda matrix, directory, *, where, at_most: plain_transpose(
            matrix, directory, where=where, at_most=at_most // 4000
        ),
    )
    assert write.BYTES_A_VALUE > 0

"""Why a process that fuzzes died is judged by reading its last input again."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tools.fuzz.__main__ import LATE, _cause
from tools.fuzz.child import kernels

if TYPE_CHECKING:
    from pathlib import Path


def test_an_input_that_is_read_in_time_when_read_again_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "current").write_bytes(b"score >= 2")
    assert _cause("expressions", tmp_path, LATE, "") is None


def test_a_crash_is_one_although_it_does_not_come_again(tmp_path: Path) -> None:
    (tmp_path / "current").write_bytes(b"score >= 2")
    found = _cause("expressions", tmp_path, -signal.SIGSEGV, "")
    assert found is not None
    assert found["what"].startswith(f"died {-signal.SIGSEGV}; alone 0")
    assert bytes.fromhex(found["input"]) == b"score >= 2"


def test_modules_of_kernels_are_found() -> None:
    found = kernels()
    assert {"scformat.entries", "scformat.loading.kernels", "scformat.jit"} <= set(found)
    assert "scformat.expression" not in found

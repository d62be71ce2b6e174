"""A run that is killed ends as one that is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_killed_three_times_it_ends_with_the_same_parameters(
    run_example: Callable[..., str], studies: list[Path], tmp_path: Path
) -> None:
    said = run_example("resume_after_kill.py", "--steps", 24, "--out", tmp_path, "--data", *studies)
    assert "resumed to step 24: parameters equal to the last bit: True" in said
    kills = [(int(a), int(b)) for a, b in re.findall(r"killed after step (\d+): .* step (\d+)$", said, re.MULTILINE)]
    assert [after for after, _ in kills] == [7, 13, 19]
    assert all(0 < kept < 24 for _, kept in kills)

    alone, killed = torch.load(tmp_path / "alone.pt"), torch.load(tmp_path / "killed.pt")
    assert alone["step"] == killed["step"] == 24
    assert alone["loader"] == killed["loader"]
    torch.testing.assert_close(killed["model"], alone["model"], rtol=0, atol=0)
    torch.testing.assert_close(killed["optimizer"]["state"], alone["optimizer"]["state"], rtol=0, atol=0)
    assert torch.equal(killed["random"], alone["random"])
    assert not (tmp_path / "alone.new").exists()

"""A source that is not there is refused by every bench in one line, before anything is made or installed."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tools.bench.common import ROOT

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = {
    "convert": ["tools.bench", "convert", "--sources"],
    "convert-files": ["tools.bench", "convert-files"],
    "load": ["tools.bench", "load", "--sources"],
    "workers": ["tools.bench.workers"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_missing_source_is_one_line_and_nothing_made(command: list[str], tmp_path: Path) -> None:
    """The last line names it, the exit code is that of a wrong call, and the directory stays empty."""
    absent = tmp_path / "absent.h5ad"
    result = subprocess.run(
        [sys.executable, "-m", *command, str(absent)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith(f"no file at {absent}")
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bench", ["step", "scale"])
def test_a_missing_store_is_one_line(bench: str, tmp_path: Path) -> None:
    """It is told as the command line tells it, with its exit code."""
    absent = tmp_path / "absent.cells"
    result = subprocess.run(
        [sys.executable, "-m", "tools.bench", bench, *[str(absent)] * (4 if bench == "scale" else 1)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 3
    assert result.stderr.splitlines()[-1].startswith(f"error: {absent}: there is no store")
    assert "Traceback" not in result.stderr

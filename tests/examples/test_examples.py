"""The examples run as they are documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_balanced_draws_help_rare_types(shared_data: Path) -> None:
    pytest.importorskip("torch")
    source = shared_data / "pbmc_facs.h5ad"
    command = [sys.executable, str(EXAMPLES / "rare_cell_types.py"), str(source), "--seeds", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    recall = {
        (kind, draws): float(mean)
        for kind, draws, mean in re.findall(
            r"^(\w+) types, (\w+) draws: mean recall ([0-9.]+)", done.stdout, re.MULTILINE
        )
    }
    assert recall["rare", "balanced"] > recall["rare", "natural"] + 0.05
    assert recall["common", "balanced"] > recall["common", "natural"] - 0.05

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

ENVIRONMENT = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")} | {"PYTHONWARNINGS": ""}


def scformat(*arguments: object, timeout: float = 120, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, as a shell would."""
    return subprocess.run(
        [sys.executable, "-m", "scformat", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="session")
def run() -> Run:
    return scformat


@pytest.fixture(scope="session")
def command() -> list[str]:
    """How to start scformat where a test needs the process itself."""
    return [sys.executable, "-m", "scformat"]


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Variables of a process that a test starts itself."""
    return ENVIRONMENT


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two simulated studies, as ``scformat simulate`` wrote them."""
    directory = tmp_path_factory.mktemp("simulated") / "studies"
    done = scformat("simulate", directory, "--cells", 400, "--studies", 2, "--genes", 800, "--seed", 7)
    assert done.returncode == 0, done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="session")
def store(studies: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The studies as a store, as ``scformat convert`` wrote it."""
    path = tmp_path_factory.mktemp("converted") / "atlas.cells"
    done = scformat("convert", *studies, path, "--splits", "train=0.8,test=0.2", "--split-by", "study,donor_id")
    assert done.returncode == 0, done.stderr
    return path

"""Running examples as a reader would, on small simulated studies."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

import scformat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two studies with ontology terms and unequal genes."""
    pytest.importorskip("torch")
    return scformat.simulate(tmp_path_factory.mktemp("studies"), cells=1500, studies=2, genes=900, seed=1)


@pytest.fixture
def run_example() -> Callable[..., str]:
    """Run an example in a process of its own; what it prints."""

    def run(name: str, *arguments: object, directory: Path = EXAMPLES) -> str:
        command = [sys.executable, str(directory / name), *(str(each) for each in arguments)]
        # Tests run side by side: threads of torch that wait for one another would take a multiple of the time.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import an example, to call its functions."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    names: list[str] = ["common"]

    def load(name: str) -> ModuleType:
        names.append(name)
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)

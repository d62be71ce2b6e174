"""The conformance kit and its runner, as modules and as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.conformance.inprocess import KIT
from tools.conformance.inprocess import runner as load

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="session")
def vectors() -> Path:
    """Directory of the kit."""
    return KIT


@pytest.fixture(scope="session")
def runner() -> ModuleType:
    """``run.py`` of the kit."""
    return load()

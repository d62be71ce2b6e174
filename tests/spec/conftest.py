"""The specification's chapters and the tool that checks them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def spec() -> Path:
    """Directory of the specification."""
    return REPOSITORY / "spec"


@pytest.fixture(scope="session")
def tool() -> ModuleType:
    """Module ``tools/spec.py``."""
    found = importlib.util.spec_from_file_location("spec_tool", REPOSITORY / "tools" / "spec.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def chapters(spec: Path) -> dict[str, str]:
    """Text of every Markdown file of the specification, by its stem."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(spec.glob("*.md"))}

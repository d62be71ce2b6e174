"""Builds the page, finds Chromium."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import node_packages
import pytest


@pytest.fixture(scope="session")
def node() -> Path:
    """Node, with the packages of the reader and of the page installed."""
    node_packages.install(node_packages.TOOLS / "js")
    node_packages.install(node_packages.TOOLS / "viewer")
    return node_packages.find_node()[0]


@pytest.fixture(scope="session")
def viewer(node: Path) -> Path:
    """Directory tools/viewer, its page built."""
    directory = node_packages.TOOLS / "viewer"
    node_packages.run(node, directory / "node_modules" / "vite" / "bin" / "vite.js", "build", cwd=directory)
    assert (directory / "dist" / "index.html").is_file()
    return directory


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of Chromium."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        node_packages.cannot("no Chromium on the PATH, nor in the variable CHROMIUM")
    return found

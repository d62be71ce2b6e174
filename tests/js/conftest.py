"""Installs the packages of tools/js."""

from __future__ import annotations

from pathlib import Path

import drawn
import node_packages
import pytest


@pytest.fixture(scope="session")
def js() -> Path:
    """Directory tools/js, its packages installed."""
    node_packages.install(node_packages.TOOLS / "js")
    return node_packages.TOOLS / "js"


@pytest.fixture(scope="session")
def node(js: Path) -> Path:
    """Node."""
    return node_packages.find_node()[0]


@pytest.fixture(scope="session")
def drawn_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five tables."""
    pytest.importorskip("cellxgene_ontology_guide")
    return drawn.make_store(tmp_path_factory.mktemp("drawn"))

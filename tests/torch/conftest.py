"""Small simulated stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import scformat

if TYPE_CHECKING:
    from scformat.store import Store


N = 3000


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scformat.simulate(tmp_path_factory.mktemp("simulated"), cells=N, studies=3, genes=1500, seed=3)


@pytest.fixture(scope="session")
def ordered_path(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in a stratified order, with splits."""
    target = tmp_path_factory.mktemp("stores") / "ordered.cells"
    scformat.convert(
        files, target, stratify_by=["cell_type"], splits="train=0.8,test=0.2", split_by=["donor_id"], jobs=2
    )
    return target


@pytest.fixture(scope="session")
def store(ordered_path: Path) -> Store:
    return scformat.open(ordered_path)


@pytest.fixture(scope="session")
def plain_path(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in the order of its sources, without splits."""
    target = tmp_path_factory.mktemp("stores") / "plain.cells"
    scformat.convert(files, target, jobs=2)
    return target

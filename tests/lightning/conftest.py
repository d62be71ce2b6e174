"""A small simulated store with the three usual splits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import scformat

if TYPE_CHECKING:
    from scformat.store import Store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scformat.simulate(tmp_path_factory.mktemp("simulated"), cells=1500, studies=2, genes=600, seed=3)


@pytest.fixture(scope="session")
def store_path(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stores") / "split.cells"
    scformat.convert(
        files, target, splits="train=0.6,val=0.2,test=0.2", weights=["ct=cell_type:balanced@train"], jobs=2
    )
    return target


@pytest.fixture(scope="session")
def store(store_path: Path) -> Store:
    return scformat.open(store_path)


@pytest.fixture(scope="session")
def whole(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store without splits."""
    return scformat.convert(files, tmp_path_factory.mktemp("stores") / "whole.cells", jobs=2)

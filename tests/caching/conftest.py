"""A small store behind a server, and no cache of whoever runs the tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import scformat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scformat.store import Store


from http_ranges import RangeServer, range_server


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCFORMAT_CACHE", raising=False)
    monkeypatch.delenv("SCFORMAT_CACHE_SIZE", raising=False)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return scformat.simulate(tmp_path_factory.mktemp("simulated"), cells=2000, studies=2, genes=1000, seed=5)


@pytest.fixture(scope="session")
def place(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a store, ``a.cells``."""
    home = tmp_path_factory.mktemp("served")
    scformat.convert(files, home / "a.cells", splits="train=0.5,test=0.5", split_by=["donor_id"], jobs=2)
    return home


@pytest.fixture(scope="session")
def local(place: Path) -> Store:
    return scformat.open(place / "a.cells")


@pytest.fixture
def server(place: Path) -> Iterator[RangeServer]:
    with range_server(place) as running:
        yield running

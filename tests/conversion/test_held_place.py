"""An interrupt between any two steps of taking a place leaves none behind, and nobody else's is touched."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from scformat.conversion import publish
from scformat.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def take(home: Path) -> None:
    with publish._held(home, home.with_name("atlas.cells")):
        pass


@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("step", ["open", "_locked"])
def test_an_interrupt_leaves_no_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool
) -> None:
    """It comes before a step, or once it is done and before anybody knows what it said."""
    owner: Any = os if step == "open" else publish
    real, calls = getattr(owner, step), []

    def interrupted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) > 1:
            return real(*args, **options)
        if after:
            real(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            take(tmp_path / ".atlas.cells.partial")
    assert calls
    assert not list(tmp_path.iterdir())


def test_the_place_of_another_stays(tmp_path: Path) -> None:
    home = tmp_path / ".atlas.cells.partial"
    with publish._held(home, tmp_path / "atlas.cells"):
        with pytest.raises(StorageError, match="already-converting"):
            take(home)
        assert (home / "lock").is_file()
    assert not home.exists()

"""Fixtures that all tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No store of a test must outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of the real files, beside the repository."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real files (../shared/data) are not there")
    return path


@pytest.fixture
def mount(tmp_path: Path) -> Callable[[str], AbstractContextManager[Path]]:
    """Mounts a file system of its own of some size; the test is skipped where that is not allowed."""

    @contextmanager
    def mounted(size: str) -> Iterator[Path]:
        place = tmp_path / "disk"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "scformat-test", str(place)],
            capture_output=True, text=True, check=False,
        ) if shutil.which("mount") else None  # fmt: skip
        if done is None or done.returncode != 0:
            pytest.skip(f"no file system can be mounted here: {'' if done is None else done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)

    return mounted

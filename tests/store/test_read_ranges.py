"""Ranges of a file, by the kernel and without it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from scformat import native
from scformat.blobs import Directory
from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BYTES = np.random.default_rng(0).integers(0, 256, 10_000, dtype=np.uint8).tobytes()


@pytest.fixture(params=[True, False], ids=["kernel", "plain"])
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not native.available():
        pytest.skip("no kernel for this processor")
    monkeypatch.setattr(native, "available", lambda: request.param)


@pytest.fixture
def handle(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(BYTES)
    opened = os.open(tmp_path / "file", os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.mark.usefixtures("_way")
def test_ranges_lie_end_to_end(handle: int) -> None:
    starts, stops = np.array([5, 9_000, 0, 40, 40]), np.array([17, 10_000, 1, 40, 41])
    out = np.zeros(int((stops - starts).sum()) + 3, np.uint8)
    assert native.read_ranges(handle, starts, stops, out) == (-1, 0)
    expected = b"".join(BYTES[a:b] for a, b in zip(starts.tolist(), stops.tolist(), strict=True))
    assert out.tobytes() == expected + b"\0\0\0"


@pytest.mark.usefixtures("_way")
def test_a_file_that_ends_too_early_is_told(handle: int) -> None:
    out = np.zeros(30, np.uint8)
    assert native.read_ranges(handle, np.array([0, 9_995]), np.array([10, 10_005]), out) == (1, 5)


@pytest.mark.usefixtures("_way")
def test_an_error_of_the_system_is_raised(handle: int) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        native.read_ranges(handle + 500, np.array([0]), np.array([10]), np.zeros(10, np.uint8))


@pytest.mark.usefixtures("_way")
def test_a_truncated_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(BYTES)
    with pytest.raises(
        InvalidDataError, match="file: a truncated file; expected 10005 bytes or more; found 10000"
    ) as e:
        Directory(str(tmp_path)).read_ranges("file", np.array([9_990]), np.array([10_005]), np.zeros(15, np.uint8))
    assert e.value.code == "damaged-object"

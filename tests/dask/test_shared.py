"""What tasks share, as a file: equal in another process, its arrays mapped, refused by another release."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scformat.conversion import shared
from scformat.errors import StorageError


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    arrays = [np.arange(n, dtype=dtype) for n in (0, 1, 1000) for dtype in ("u1", "i4", "f8")]
    arrays.append(np.asfortranarray(np.arange(12.0).reshape(3, 4)))
    path = tmp_path / "shared"
    shared.save(path, {"arrays": arrays, "name": "x"})
    content = path.read_bytes()
    for _ in range(2):
        found = shared.load(path)
        assert found["name"] == "x"
        for before, after in zip(arrays, found["arrays"], strict=True):
            np.testing.assert_array_equal(before, after)
            assert before.dtype == after.dtype
            after[...] = 7  # its own, as any array of a task
    assert path.read_bytes() == content


def test_who_does_not_see_it_and_who_is_of_another_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="not-shared") as caught:
        shared.load(tmp_path / "shared")
    assert str(tmp_path) in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr(shared, "__version__", "0.0.1")
        shared.save(tmp_path / "shared", [1])
    with pytest.raises(StorageError, match=r"expected scformat 0\.0\.1, .*other-worker"):
        shared.load(tmp_path / "shared")

"""A source that is edited, replaced or removed while it is read is never stored under a digest that is not its own."""

from __future__ import annotations

import os
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, sample

import scformat
from scformat.errors import ScformatError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "s.h5ad"
    obs = {"kind": pd.Categorical(["a", "b", "c"] * 100)}
    sample(counts_matrix(300, 40, mean=3.0), obs=obs, prefix="s").write_h5ad(path)
    return path


def edit(path: Path) -> None:
    """Change counts in place, as another program that has the file open would: same size, same inode."""
    with h5py.File(path, "r") as content:
        data = content["X/data"]
        assert data.compression is None
        chunk = data.id.get_chunk_info(0)
        n = chunk.size // data.dtype.itemsize
        values = np.zeros(n, data.dtype)
        values[: min(n, len(data))] = data[:n] + 1
    with path.open("r+b") as file:
        file.seek(chunk.byte_offset)
        file.write(values.tobytes())


def replace(path: Path) -> None:
    shutil.copy(path, path.with_suffix(".new"))
    edit(path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def at(stage: str, change: Callable[[], Any]) -> Callable[[str, int, int], None]:
    """Change something when a stage is first heard of."""
    seen: list[str] = []

    def progress(name: str, done: int, total: int) -> None:
        if name == stage and not seen:
            seen.append(name)
            change()

    return progress


STAGES = ["reading counts", "writing counts", "writing cells"]


@pytest.mark.parametrize("change", [edit, replace, Path.unlink, lambda path: os.truncate(path, 5000)])
@pytest.mark.parametrize("stage", STAGES)
def test_a_conversion_of_it_is_refused(
    stage: str, change: Callable[[Path], None], source: Path, tmp_path: Path
) -> None:
    original = source.read_bytes()
    target = tmp_path / "s.cells"
    with pytest.raises(StorageError) as caught:
        scformat.convert(source, target, jobs=1, progress=at(stage, lambda: change(source)))
    assert (caught.value.code, caught.value.exit_code) == ("source-changed", 3)
    assert "\n" not in str(caught.value)
    assert str(source) in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["in"], "nothing that a run could resume with"
    source.write_bytes(original)
    assert scformat.convert(source, target, jobs=1, resume=True).sources["sha256"].notna().all()


@pytest.mark.parametrize("stage", STAGES)
def test_an_append_of_it_is_refused(stage: str, source: Path, tmp_path: Path) -> None:
    scformat.convert(source, tmp_path / "s.cells", jobs=1)
    other = shutil.copy(source, source.with_name("t.h5ad"))
    before = files_of(tmp_path / "s.cells")
    with pytest.raises(StorageError) as caught:
        scformat.append(tmp_path / "s.cells", other, jobs=1, progress=at(stage, lambda: edit(other)))
    assert caught.value.code == "source-changed"
    assert files_of(tmp_path / "s.cells") == before


def test_a_directory_of_zarr_is_watched_too(source: Path, tmp_path: Path) -> None:
    place = tmp_path / "in" / "z.zarr"
    with warnings.catch_warnings(), anndata.settings.override(zarr_write_format=3):
        warnings.simplefilter("ignore")  # anndata announces new defaults
        anndata.read_h5ad(source).write_zarr(place)

    def touch() -> None:
        chunk = next(p for p in sorted((place / "X").rglob("*")) if p.is_file())
        chunk.write_bytes(chunk.read_bytes())

    with pytest.raises(ScformatError) as caught:
        scformat.convert(place, tmp_path / "z.cells", jobs=1, progress=at("writing cells", touch))
    assert caught.value.code == "source-changed"


def test_reading_and_linking_is_no_change(source: Path, tmp_path: Path) -> None:
    def harmless() -> None:
        source.read_bytes()
        source.chmod(0o600)
        os.link(source, source.with_name("link.h5ad"))

    store = scformat.convert(source, tmp_path / "s.cells", jobs=1, progress=at("writing counts", harmless))
    assert store.n_cells == 300

"""Files that are none: links out of the store, pipes, devices. Nothing but files of the store is read or written."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat
from scformat.errors import StorageError
from scformat.validation import validate_store

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Liar


def refused(code: str) -> pytest.RaisesExc[StorageError]:
    return pytest.raises(StorageError, match=rf"\[{code}\]$")


def linked(file: Path, target: Path | str) -> None:
    """Put a link in the place of a file or a directory."""
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    file.symlink_to(target)


def test_a_pipe_does_not_block(liar: Liar) -> None:
    file = liar.file_of(liar.part.index)
    file.unlink()
    os.mkfifo(file)
    with refused("not-a-file"):
        liar.open().read([0])
    assert "ZAR-15" in {finding.requirement for finding in validate_store(liar.path, level=2).findings}


def test_a_pipe_or_a_directory_as_the_root(liar: Liar) -> None:
    for make in (os.mkfifo, os.mkdir):
        (liar.path / "zarr.json").unlink()
        make(liar.path / "zarr.json")
        with refused("not-a-file"):
            liar.open()


@pytest.mark.parametrize("target", ["/dev/zero", "/etc/passwd", "/proc/self/mem"])
def test_links_out_of_the_store(liar: Liar, target: str) -> None:
    linked(liar.file_of(liar.part.entries), target)
    with refused("outside-store"):
        liar.open().read([0])
    findings = validate_store(liar.path).findings
    assert "ZAR-15" in {finding.requirement for finding in findings}
    linked(liar.path / "zarr.json", target)
    with refused("outside-store"):
        liar.open()


def test_directories_that_are_links_out_of_the_store(liar: Liar, tmp_path: Path) -> None:
    """The same bytes elsewhere, and a private file: neither is read by way of the store."""
    outside = tmp_path / "outside"
    shutil.copytree(liar.path / "parts", outside)
    linked(liar.path / "parts", outside)
    with refused("outside-store"):
        liar.open().read([0])
    with refused("outside-store"):
        liar.open().barcodes([0])


def test_links_within_the_store_and_to_the_store(liar: Liar, tmp_path: Path) -> None:
    expected = liar.open().read([0, 5]).dense()
    file = liar.file_of(liar.part.index)
    file.rename(liar.path / "elsewhere")
    file.symlink_to(os.path.relpath(liar.path / "elsewhere", file.parent))
    link = tmp_path / "link.cells"
    link.symlink_to(liar.path)
    for path in (liar.path, link):
        assert np.array_equal(scformat.open(path).read([0, 5]).dense(), expected)


def test_links_in_a_circle(liar: Liar) -> None:
    file = liar.file_of(liar.part.index)
    linked(file, file.name)
    with refused("storage-failed"):
        liar.open().read([0])


def test_nothing_is_written_by_way_of_a_link(liar: Liar, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (liar.path / "tables").rename(tmp_path / "tables")
    (liar.path / "tables").symlink_to(outside)
    store = liar.open()
    with refused("outside-store"):
        scformat.tables.add_table(store, "other", store.tables["donor:balanced"])
    assert not list(outside.iterdir())


def test_vacuum_of_a_root_that_names_files_without_end(liar: Liar) -> None:
    spare = liar.path / "spare"
    spare.write_bytes(b"1")
    liar.edit(lambda m: m["labels"][0]["categories"]["bytes"].update(shape=[2**53 - 1], shard=[1], chunk=[1]))
    assert scformat.vacuum(liar.open()).keys == ("spare",)


def test_vacuum_leaves_what_a_link_points_to(liar: Liar, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"1")
    (liar.path / "extra").symlink_to(outside)
    (liar.path.parent / f".{liar.path.name}.partial").symlink_to(outside)
    scformat.vacuum(liar.open())
    assert (outside / "precious").exists()
    assert not (liar.path / "extra").is_symlink()

"""``scformat weights`` and ``convert --weights``, as processes."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scformat

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def copied(store: Path, tmp_path: Path) -> Path:
    """A store of one's own to add to."""
    target = tmp_path / "a.cells"
    shutil.copytree(store, target)
    return target


def test_add_list_show(run: Run, copied: Path) -> None:
    assert "no stored tables" in run("weights", "list", copied).stderr
    added = run("weights", "add", copied, "ct", "--by", "cell_type:balanced")
    assert added.returncode == 0, added.stderr
    listed = json.loads(run("weights", "list", copied, "--json").stdout)
    assert list(listed["tables"]) == ["ct"]
    shown = json.loads(run("weights", "show", copied, "ct", "--json").stdout)
    shares = [row["probability"] for row in shown["strata_by_probability"]]
    assert sum(shares) == pytest.approx(1)
    assert max(shares) - min(shares) < 1e-6
    assert run("validate", copied).returncode == 0


def test_a_table_beside_a_store_draws_the_same(run: Run, copied: Path, tmp_path: Path) -> None:
    beside = tmp_path / "ct.table"
    assert run("weights", "add", copied, "ct", "--by", "cell_type:balanced", "-o", beside).returncode == 0
    assert run("weights", "add", copied, "ct", "--by", "cell_type:balanced").returncode == 0
    store = scformat.open(copied)
    np.testing.assert_array_equal(store.tables.find(beside).draw(3, 0, 100), store.tables["ct"].draw(3, 0, 100))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("add", "ct", "--by", "cell_type"), "no-scheme"),
        (("add", "ct", "--by", "cell_type:balancd"), "unknown-weighting-scheme"),
        (("add", "ct", "--by", "cell_typ:balanced"), "unknown-label"),
        (("add", "../ct", "--by", "cell_type:balanced"), "bad-table-name"),
        (("add", "ct", "--by", "cell_type:balanced", "--split", "trein"), "unknown-split"),
        (("show", "nothing"), "unknown-table"),
    ],
)
def test_what_is_refused(run: Run, copied: Path, arguments: tuple[str, ...], code: str) -> None:
    command, *rest = arguments
    done = run("weights", command, copied, *rest)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert f"[{code}]" in done.stderr
    assert not (copied / "tables").exists()


def test_tables_made_with_the_store(run: Run, studies: list[Path], tmp_path: Path) -> None:
    arguments = ("--splits", "train=0.8,test=0.2", "--weights", "ct=cell_type:balanced@train")
    for name in ("a.cells", "b.cells"):
        done = run("convert", *studies, tmp_path / name, *arguments)
        assert done.returncode == 0, done.stderr
    one, other = (scformat.open(tmp_path / name) for name in ("a.cells", "b.cells"))
    assert one.manifest.sha256 == other.manifest.sha256
    rows = one.tables["ct"].draw(0, 0, 200)
    assert set(one.obs(["split"], rows)["split"]) == {"train"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("ct", "bad-weights"),
        ("ct=cell_type:balanced@trein", "unknown-split"),
        ("ct=cell_type:balancd", "unknown-weighting-scheme"),
        ("ct=cell_typ:balanced", "unknown-label"),
    ],
)
def test_tables_that_cannot_be_made_leave_nothing(
    run: Run, studies: list[Path], tmp_path: Path, text: str, code: str
) -> None:
    done = run("convert", *studies, tmp_path / "a.cells", "--splits", "train=0.8,test=0.2", "--weights", text)
    assert done.returncode == 2, done.stderr
    assert f"[{code}]" in done.stderr
    assert list(tmp_path.iterdir()) == []

"""Damage that the root shows (level 1), or the other ``zarr.json`` and the names of files (level 2)."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import scformat
from scformat.errors import StorageError
from tools.conformance.corruptions.document import HIERARCHY, ROOT
from tools.conformance.corruptions.manifest import MANIFEST

if TYPE_CHECKING:
    from .damage import Damage


@pytest.mark.parametrize("name", MANIFEST)
def test_manifest(damage: Damage, name: str) -> None:
    case = MANIFEST[name]
    case.apply(damage)
    report = scformat.validate(damage.path, level=1)
    assert any(f.requirement == case.requirement and case.where in f.where for f in report.findings), report.findings
    assert "INT-4" not in {f.requirement for f in report.findings}
    assert not scformat.validate(damage.path, level=3).ok


@pytest.mark.parametrize(
    ("requirement", "where", "member", "value"),
    [
        # Parsers that know no integers cannot tell these; ours can, and a writer of ours does not write them.
        ("MAN-1", "scformat/n_cells", "n_cells", 310.0),
        ("VER-10", "required_features", "required_features", ["neighbourhoods"]),
    ],
)
def test_members(damage: Damage, requirement: str, where: str, member: str, value: Any) -> None:
    damage.manifest[member] = value
    damage.seal()
    found = scformat.validate(damage.path, level=1).findings
    assert any(f.requirement == requirement and where in f.where for f in found), found


@pytest.mark.parametrize("name", ROOT)
@pytest.mark.parametrize("level", [1, 3])
def test_root(damage: Damage, name: str, level: int) -> None:
    case = ROOT[name]
    case.apply(damage)
    findings = scformat.validate(damage.path, level=level).findings
    assert case.requirement in {f.requirement for f in findings}
    assert level > 1 or all(f.where.startswith("zarr.json") for f in findings)


def test_digest_of_the_manifest_occurs_twice(damage: Damage) -> None:
    ROOT["digest-twice"].apply(damage)
    assert {f.requirement for f in scformat.validate(damage.path, level=1).findings} == {"INT-4"}


# Level 2


@pytest.mark.parametrize("name", HIERARCHY)
def test_hierarchy(damage: Damage, name: str) -> None:
    case = HIERARCHY[name]
    case.apply(damage)
    assert scformat.validate(damage.path, level=1).ok
    report = scformat.validate(damage.path, level=2)
    assert any(f.requirement == case.requirement and case.where in f.where for f in report.findings), report.findings
    deeper = scformat.validate(damage.path, level=3)
    assert set(report.findings) <= set(deeper.findings)


def test_no_files_but_the_root(damage: Damage) -> None:
    for name in ("genes", "labels", "parts"):
        shutil.rmtree(damage.path / name)
    found = scformat.validate(damage.path).findings
    assert {f.requirement for f in found} == {"ZAR-5", "ZAR-9", "ZAR-15"}


def test_an_array_of_more_files_than_can_be_looked_for(damage: Damage) -> None:
    """A manifest that promises 2^50 files is refuted without looking for each."""
    array = damage.manifest["labels"][0]["ontology"]["closure"]
    array.update(shape=[2**50], chunk=[1], shard=[1])
    damage.seal()
    found = [f for f in scformat.validate(damage.path).findings if f.requirement == "ZAR-15"]
    assert 0 < len(found) < 10
    assert any("more" in f.message for f in found)


def test_root_without_anything_cannot_be_told_from_no_store(damage: Damage) -> None:
    shutil.rmtree(damage.path)
    damage.path.mkdir()
    with pytest.raises(StorageError, match="no-store"):
        scformat.validate(damage.path)

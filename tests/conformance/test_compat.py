"""Stores frozen from releases read as they did; newer stores read, or are refused clearly."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

import scformat
from tools.conformance.damage import Damage
from tools.conformance.inprocess import KIT, ask

COMPAT = KIT / "compat"
FROZEN = {
    "0.1/converted.json": "df6cf24c0800b5631144671dab9b05d63a0a92061789b8f987e73cec0dabb612",
    "0.1/converted.zip": "8b35ae8cde5548ffc94c8525b56295bfb545ff9933be4569b7dfb7aa332e75a9",
    "0.1/everything-drawn.json": "e73befb072314a0556f77164feb24b88f53e26513f6a09e6796751cf2d389f0a",
    "0.1/everything-drawn.zip": "4b5c16cccb7da21a21aeac8e980e95d18f909b52fb48c2e440dc8fec72d2e1e9",
    "0.1/everything-near.json": "dff70508ad587d78be66311ddce38ee5d37d85db0bb0d98d0dcbd07cd55a200e",
    "0.1/everything-near.zip": "fde52a3d996216e97c3cd407e92fd5a1d0436503574f82a12079d2f61cce4e5a",
    "0.1/obs-types.json": "8928a94953d86db56ec95ffdc9b083e069f2f72cd9976f1fae51586bd9a85266",
    "0.1/obs-types.zip": "0895722ce80608c277b82eaac56a1a918ea0e536e2f0661bf37de1c7fe5f8ef9",
    "0.1/several-parts.json": "a0965939d72a7693ed08ce590653b29c97466332647370909bd6c452ee7a730e",
    "0.1/several-parts.zip": "d8da16b9ac616be69850ace4e6ca65ec23bba3c982bfc33b9c16294535e80236",
    "0.1/shard-bounds.json": "69be02d5037cb7d08202aa2d284eb8943002c42d13db5671380ead7812a21140",
    "0.1/shard-bounds.zip": "c69f99cd5dfa21ea129e1ae98a3d88b367c98f822eb78fa643275fc29b9cb449",
    "0.1/strings.json": "39ebb895f2cef705f195ab1ef92e88c0de6160ce33c322d6ca0ec0b0e08e370e",
    "0.1/strings.zip": "8fd815daf311e9e1b290d975b613348f33b88873399e195000849ae19874c921",
}
"""SHA-256 of all files that are frozen. A line is added with a release; none is ever changed."""


def test_what_is_frozen_is_never_made_again() -> None:
    found = {
        p.relative_to(COMPAT).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(COMPAT.rglob("*"))
        if p.is_file()
    }
    assert found == FROZEN


def unpacked(document: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    found: dict[str, Any] = json.loads(document.read_text("utf-8"))
    archive = document.with_name(found["store"])
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == found["sha256"]
    target = folder / "frozen.cells"
    zipfile.ZipFile(archive).extractall(target)
    return target, found


DOCUMENTS = sorted(COMPAT.glob("*/*.json"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: p.relative_to(COMPAT).with_suffix("").as_posix())
def test_frozen_stores_read_as_they_did(document: Path, tmp_path: Path) -> None:
    path, found = unpacked(document, tmp_path)
    assert scformat.validate(path, level=4).findings == ()
    assert {a["verb"] for a in found["answers"]} >= {"describe", "read"}
    for question in found["answers"]:
        status, out, err = ask([question["verb"], str(path), *question["options"]])
        assert (status, err) == (0, "")
        assert json.loads(out) == question["answer"]


@pytest.fixture
def newer(tmp_path: Path) -> Damage:
    """A store to be made newer than this release."""
    path, _ = unpacked(COMPAT / "0.1" / "everything-drawn.json", tmp_path)
    return Damage(path)


DRAW = ("--table", "types", "--plan", "stratified", "--seed", "1", "--start", "0", "--count", "8")
DRAW += ("--window", "8", "--lanes", "1", "--block", "1")


def answers(path: Path) -> list[tuple[int, str, str]]:
    return [ask(["describe", str(path)]), ask(["read", str(path), "--rows", "0,8,43"]), ask(["draw", str(path), *DRAW])]


def test_a_newer_store_with_what_need_not_be_known_reads_alike(newer: Damage) -> None:
    before = answers(newer.path)
    assert [status for status, _, _ in before] == [0, 0, 0]
    newer.manifest["optional_features"] += ["x-later", "pictures"]
    newer.manifest["pictures"] = [{"of": {"x": []}}]
    newer.manifest["genes"]["later"] = {"a": 1}
    newer.part["later"] = [1]
    newer.part["order"]["later"] = "x"
    newer.manifest["labels"][0]["later"] = True
    newer.manifest["tables"][0]["later"] = 3
    newer.record(0, lambda record: record.update(later={"b": 2}))
    newer.seal()
    assert answers(newer.path) == before
    assert scformat.validate(newer.path, level=4).ok


@pytest.mark.parametrize(
    ("version", "required", "code", "name"),
    [
        ("0.2", [], "unsupported-version", "0.2"),
        ("0.10", [], "unsupported-version", "0.10"),
        ("1.0", [], "unsupported-version", "1.0"),
        ("2.7", ["x-later"], "unsupported-version", "2.7"),
        ("0.1", ["layers"], "unknown-feature", "layers"),
        ("0.1", ["x-later"], "unknown-feature", "x-later"),
    ],
)
def test_a_newer_store_with_what_must_be_known_is_refused(
    newer: Damage, version: str, required: list[str], code: str, name: str
) -> None:
    newer.manifest["version"] = version
    newer.manifest["required_features"] = required
    newer.manifest["genes"] = "of another shape"
    newer.seal()
    for status, out, err in answers(newer.path):
        assert (status, out) == (4, "")
        assert err.startswith("error: ")
        assert len(err.splitlines()) == 1
        assert code in err
        assert repr(name) in err or name in err
        assert "install a newer scformat" in err

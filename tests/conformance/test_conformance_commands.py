"""``scformat describe``, ``read``, ``draw`` and ``conformance``."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scformat
from scformat.conformance import find_vectors, run_kit
from scformat.errors import StorageError, UsageError
from scformat.manifest import KNOWN_FEATURES
from tools.conformance.inprocess import ask

FIRST = ("--seed", "1", "--start", "0", "--count", "1")


@pytest.fixture(scope="module")
def drawn(vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with tables."""
    target = tmp_path_factory.mktemp("drawn") / "a.cells"
    zipfile.ZipFile(vectors / "stores" / "valid-everything-drawn.zip").extractall(target)
    return target


def answer(*arguments: str) -> Any:
    """The one JSON object of a command."""
    status, out, err = ask(list(arguments))
    assert (status, err) == (0, "")
    return json.loads(out)


def test_json_is_always_allowed(drawn: Path) -> None:
    assert answer("describe", str(drawn), "--json") == answer("describe", str(drawn))
    assert answer("read", "--json", str(drawn), "--rows", "3") == answer("read", str(drawn), "--rows", "3")
    draw = ["draw", str(drawn), "--table", "types", "--plan", "independent", *FIRST]
    assert answer(*draw, "--json") == answer(*draw)


def test_rows(drawn: Path) -> None:
    assert [cell["row"] for cell in answer("read", str(drawn), "--rows", "5,0,5")["cells"]] == [5, 0, 5]
    assert answer("read", str(drawn), "--rows", "")["cells"] == []


def test_epochs_over_a_table_are_over_its_cells(drawn: Path) -> None:
    store = scformat.open(drawn)
    options = ["--plan", "epoch", "--seed", "3", "--start", "0", "--count", "60"]
    options += ["--window", "16", "--lanes", "2", "--block", "4"]
    rows = answer("draw", str(drawn), "--table", "train", *options)["rows"]
    strata = store.tables["train"].table.strata
    held = np.concatenate([strata.rows_of(c) for c in range(len(strata))])
    assert sorted(rows[: len(held)]) == sorted(held.tolist())


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["read", "--rows", "44"], 2, "row-out-of-range"),
        (["read", "--rows", "-1"], 2, "row-out-of-range"),
        (["read", "--rows", "a"], 2, "bad-number"),
        (["read"], 2, "usage"),
        (["draw", "--table", "type", *FIRST], 2, "'types'"),
        (["draw", "--plan", "random", *FIRST], 2, "unknown-plan"),
        (["draw", "--schedule", "0", *FIRST], 2, "bad-schedule"),
        (["draw", "--schedule", "5:2", *FIRST], 2, "bad-schedule"),
        (["draw", "--rank", "2", "--world-size", "2", *FIRST], 2, "bad-rank"),
        (["draw", "--window", "100", "--plan", "epoch", *FIRST], 2, "bad-window"),
    ],
)
def test_what_is_refused(drawn: Path, arguments: list[str], status: int, text: str) -> None:
    found, out, err = ask([arguments[0], str(drawn), *arguments[1:]])
    assert (found, out) == (status, "")
    assert text in err
    assert len(err.splitlines()) == 1


def test_damage_is_refused(drawn: Path, tmp_path: Path) -> None:
    target = tmp_path / "bad.cells"
    shutil.copytree(drawn, target)
    (target / "parts/1/counts/entries/c/0/0").unlink()
    assert ask(["read", str(target), "--rows", "8"])[0] in (1, 3)
    assert ask(["describe", str(target)])[0] == 0


def test_conformance_of_a_command(vectors: Path) -> None:
    command = [sys.executable, "-m", "scformat"]
    status, out, err = ask(["conformance", "--case", "valid/nothing", "--level", "2", "--", *command])
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "pass valid/nothing (2 checks)",
        "level 2: passed; 1 cases, 0 failed; 2 checks, 0 failed",
    ]
    status, out, _ = ask(["conformance", "--json", "--case", "valid/nothing", "--level", "1", "--", "false"])
    assert status == 1
    assert json.loads(out)["n_checks_failed"] == 1


def test_where_the_kit_lies(vectors: Path, tmp_path: Path) -> None:
    assert find_vectors() == vectors
    with pytest.raises(StorageError, match="no-vectors"):
        find_vectors(tmp_path)
    with pytest.raises(UsageError, match="no-command"):
        run_kit([])
    with pytest.raises(UsageError, match="unknown-case"):
        run_kit(["true"], cases=["nowhere"])


def test_features_that_this_release_writes(vectors: Path) -> None:
    """Every feature is one of the specification, and none that it reserves for later."""
    text = (vectors.parent / "versioning.md").read_text("utf-8")
    defined = {line.split("`")[1]: line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| `")}
    reserved = text.partition("Reserved names")[2].partition("\n\n")[0]
    known = {"tables": "optional", "neighbours": "optional", **dict.fromkeys(KNOWN_FEATURES, "required")}
    assert defined == known
    assert not [name for name in known if f"`{name}`" in reserved]
    source = Path(scformat.__file__).parent
    written = [p for p in source.rglob("*.py") if "optional_features=" in p.read_text("utf-8")]
    assert {p.relative_to(source).parts[0] for p in written} <= {"conversion", "tables", "neighbours"}

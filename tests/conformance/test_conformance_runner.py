"""The runner: it drives a program, and notices every kind of wrong answer."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCFORMAT = [sys.executable, "-m", "scformat"]
SMALL = "valid/small"


def run(vectors: Path, *arguments: str, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run ``run.py`` as a program."""
    full = [sys.executable, str(vectors / "run.py"), *arguments, "--", *command]
    return subprocess.run(full, capture_output=True, text=True, check=False, timeout=300)


def test_the_package_as_a_program(vectors: Path) -> None:
    cases = ["--case", "valid/no-cells", "--case", "data/chunk-of-counts-dropped", "--case", "sampling/threshold"]
    done = run(vectors, *cases, "--json", command=SCFORMAT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"]
    assert (found["n_cases"], found["n_cases_failed"], found["n_checks_failed"]) == (3, 0, 0)
    assert [case["id"] for case in found["cases"]] == sorted(
        ["valid/no-cells", "data/chunk-of-counts-dropped", "sampling/threshold"],
        key=[case["id"] for case in found["cases"]].index,
    )
    assert "pass valid/no-cells" in done.stderr


def test_levels(vectors: Path) -> None:
    done = run(vectors, "--case", SMALL, "--level", "1", "--json", command=SCFORMAT)
    found = json.loads(done.stdout)
    assert [check["check"] for check in found["cases"][0]["checks"]] == ["validate --json --level 1 STORE"]


LIAR = """
import json, sys
verb = sys.argv[1]
if verb == "validate":
    level = int(sys.argv[sys.argv.index("--level") + 1])
    print(json.dumps({"valid": True, "level": level, "findings": []}))
else:
    print("{}")
"""


def test_a_program_that_finds_everything_sound(vectors: Path) -> None:
    done = run(vectors, "--case", "data/label-cells", "--case", SMALL, command=[sys.executable, "-c", LIAR])
    assert done.returncode == 1
    assert "expected invalid with LAB-4, found valid" in done.stdout
    assert "/n_cells: missing" in done.stdout
    assert "answered, but must be refused" in done.stdout
    assert "FAIL valid/small" in done.stdout
    assert "FAILED; 2 cases, 2 failed" in done.stdout


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("import sys; sys.exit(3)", "exit status 3: no error line"),
        ("import sys; print('broken', file=sys.stderr); sys.exit(3)", "exit status 3: broken"),
        ("print('no json')", "stdout is not one JSON document"),
        ("print('{}')", "no member valid"),
        ("import time; time.sleep(60)", "no answer within 1 s"),
    ],
)
def test_programs_that_do_not_answer(vectors: Path, program: str, text: str) -> None:
    arguments = ["--case", "valid/nothing", "--level", "1", "--timeout", "1"]
    done = run(vectors, *arguments, command=[sys.executable, "-c", program])
    assert done.returncode == 1
    assert text in done.stdout


def test_command_lines_that_make_no_sense(vectors: Path) -> None:
    for arguments, text in ((["--case", "nowhere"], "no case fits nowhere"), (["--level", "5"], "invalid choice")):
        done = run(vectors, *arguments, command=["true"])
        assert done.returncode == 2
        assert text in done.stderr
    done = run(vectors, command=[])
    assert (done.returncode, "no COMMAND" in done.stderr) == (2, True)


def test_a_list_of_the_cases(vectors: Path) -> None:
    done = run(vectors, "--list", command=[])
    assert done.returncode == 0
    assert SMALL in done.stdout.splitlines()


DIFFERENCES: list[tuple[Any, Any, list[str]]] = [
    ({"a": 1}, {"a": 1.0}, []),
    ({"a": 1, "later": 2}, {"a": 1}, []),
    ({"a": True}, {"a": 1}, ["/a: expected 1, found true"]),
    ({"a": None}, {"a": 0}, ["/a: expected 0, found null"]),
    ({"a": "1"}, {"a": 1}, ['/a: expected 1, found "1"']),
    ({"a": [1, 2]}, {"a": [1]}, ["/a: expected a list of 1, found 2"]),
    ({"a": [1, 3]}, {"a": [1, 2]}, ["/a/1: expected 2, found 3"]),
    ([], {"a": 1}, ["/: expected an object, found []"]),
    ({"a": -0.0}, {"a": 0}, []),
    ({"a": 2**53 + 1}, {"a": 2**53}, [f"/a: expected {2**53}, found {2**53 + 1}"]),
    ({"a": "\u00e9"}, {"a": "e\u0301"}, ['/a: expected "e\u0301", found "\u00e9"']),
]


@pytest.mark.parametrize(("found", "wanted", "texts"), DIFFERENCES)
def test_differences(runner: ModuleType, found: Any, wanted: Any, texts: list[str]) -> None:
    assert list(runner.differences(found, wanted)) == texts


ANSWERS: list[tuple[dict[str, Any], tuple[int, Any, str], str]] = [
    ({"valid": True}, (0, {"valid": True, "level": 2, "findings": []}, ""), ""),
    ({"valid": True}, (0, {"valid": True, "level": 1, "findings": []}, ""), "level: expected 2, found 1"),
    ({"valid": True}, (0, {"valid": True, "level": 2, "findings": [{"requirement": "X"}]}, ""), "valid is true with 1"),
    ({"valid": True}, (1, {"valid": False, "level": 2, "findings": []}, ""), "valid is false with 0"),
    ({"valid": True}, (1, {"valid": False, "level": 2, "findings": [{}]}, ""), "no list findings"),
    ({"valid": False}, (1, {"valid": False, "level": 2, "findings": [{"requirement": "Y"}]}, ""), ""),
    ({"valid": False}, (0, {"valid": False, "level": 2, "findings": [{"requirement": "Y"}]}, ""), ""),
    ({"valid": False}, (1, {"valid": False, "level": 2, "findings": [{"requirement": "Z"}]}, ""), "finding Y, found Z"),
]


@pytest.mark.parametrize(("check", "answer", "text"), ANSWERS)
def test_verdicts(runner: ModuleType, check: dict[str, Any], answer: tuple[int, Any, str], text: str) -> None:
    full = {"verb": "validate", "level": 2, "findings": ["Y"], **check}
    wrong = runner.judge(full, (answer[0], json.dumps(answer[1]), answer[2]), lambda _: None)
    assert (text in wrong[0]) if text else not wrong


def test_refusals(runner: ModuleType) -> None:
    check = {"verb": "read", "refused": True}
    for given, answer, text in (
        ({}, (0, "{}", ""), "answered, but must be refused"),
        ({}, (1, "", ""), "without a line on stderr"),
        ({}, (1, "", "error: lost\n"), ""),
        ({"exit": 2}, (1, "", "error: lost\n"), "exit status 1, expected 2"),
        ({"exit": 2}, (2, "", "error: no such row\n"), ""),
    ):
        wrong = runner.judge({**check, **given}, answer, lambda _: None)
        assert (text in wrong[0]) if text else not wrong


def test_patches(runner: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "gone").write_bytes(b"x")
    new, other = b"01ab3456789\xff", b"\x00\xff"

    def change(data: bytes, **members: Any) -> dict[str, Any]:
        return {**members, "sha256": hashlib.sha256(data).hexdigest()}

    patch = {
        "files": {
            "a": change(new, splice=[[2, 1, "text:ab"], [10, 0, "base64:/w=="]]),
            "deep/b": change(other, bytes=f"base64:{base64.b64encode(other).decode()}"),
            "gone": None,
        }
    }
    runner.apply_patch(tmp_path, patch)
    assert (tmp_path / "a").read_bytes() == new
    assert (tmp_path / "deep" / "b").read_bytes() == other
    assert not (tmp_path / "gone").exists()
    with pytest.raises(ValueError, match="does not fit"):
        runner.apply_patch(tmp_path, {"files": {"a": change(b"else", splice=[[0, 1, "text:x"]])}})

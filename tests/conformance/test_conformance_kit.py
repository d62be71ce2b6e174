"""The kit: what tools/conformance makes, passed by the package, about every statement, noticed by every check."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.conformance.collection import bases, invalid_cases, valid_cases
from tools.conformance.coverage import coverage
from tools.conformance.inprocess import KIT, ask
from tools.conformance.kit import make
from tools.conformance.mutants import fault_mutants, mutants
from tools.conformance.mutate import RESULTS, Bench, killer
from tools.conformance.unreachable import UNREACHABLE

if TYPE_CHECKING:
    from types import ModuleType

CASES: list[dict[str, Any]] = json.loads((KIT / "cases.json").read_text("utf-8"))["cases"]


@pytest.fixture(scope="module")
def unpacked(runner: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The kit, with stores unpacked once."""
    return runner.Kit(KIT, tmp_path_factory.mktemp("kit"))


def test_the_kit_is_what_the_tool_makes() -> None:
    """Stores are compared file by file, as compressors of archives differ; answers and patches byte by byte."""
    assert make(valid_cases(), invalid_cases(), bases()).differences(KIT) == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_package_passes(case: dict[str, Any], unpacked: Any, runner: ModuleType) -> None:
    result = runner.run_case(unpacked, case, ask, level=4)
    assert result["passed"], runner.report(result)


def test_what_the_kit_has() -> None:
    invalid = [case for case in CASES if not case["valid"]]
    assert len(invalid) >= 60
    assert {case["level"] for case in invalid} == {1, 2, 3, 4}
    assert {case["level"] for case in CASES if case["valid"]} == {3, 4}
    made = [case["made"] for case in CASES]
    assert all(text.endswith(".") and len(text) > 15 for text in made)
    files = {
        p.relative_to(KIT).as_posix() for folder in ("stores", "patches", "expected") for p in (KIT / folder).iterdir()
    }
    named = {case[name] for case in CASES for name in ("store", "patch") if name in case}
    named |= {check["expect"] for case in CASES for check in case["checks"] if "expect" in check}
    assert files == named
    size = sum(p.stat().st_size for p in KIT.rglob("*") if p.is_file())
    assert size < 4_000_000


def test_every_statement_is_covered() -> None:
    stored = json.loads((KIT / "coverage.json").read_text("utf-8"))
    requirements = json.loads((KIT.parent / "requirements.json").read_text("utf-8"))
    assert stored == coverage(requirements, CASES)
    # What binds a store by level is shown by stores, not by tests of the package alone.
    stores = {r["id"] for r in requirements if r["binds"] == "store"}
    by_cases = {name for name, entry in stored.items() if "cases" in entry}
    assert stores - by_cases <= {"SRC-3", "INT-1"}
    damaged = {requirement for case in CASES if not case["valid"] for requirement in case["requirements"]}
    never_broken = stores - damaged
    # Definitions and origins: what breaks them breaks another statement, or nothing that a store shows.
    assert never_broken == {*["CEL-9", "CEL-12", "INT-1", "MAN-6", "ORD-2", "SPL-7", "SPL-8", "SPL-9", "SRC-3"]}


def test_coverage_refuses_what_is_not_covered() -> None:
    requirements = [{"id": "CNT-1"}, {"id": "INT-6"}]
    with pytest.raises(ValueError, match=r"not in requirements\.json"):
        coverage(requirements, CASES)


def test_each_check_of_the_validator_is_noticed() -> None:
    """The list of the mutation run is that of the code, and none survived."""
    if not RESULTS.is_file():
        pytest.skip("the mutation run has not been finished: python -m tools.conformance.mutate")
    stored = json.loads(RESULTS.read_text("utf-8"))["checks"]
    assert [row["check"] for row in stored] == [m.name for m in (*mutants(), *fault_mutants())], (
        "run tools.conformance.mutate"
    )
    assert {row["check"] for row in stored if row["noticed_by"] is None} == UNREACHABLE.keys()
    assert {row["noticed_by"] for row in stored} - {None} <= {case["id"] for case in CASES}


def test_some_checks_are_noticed_when_taken_out(tmp_path: Path) -> None:
    if not RESULTS.is_file():
        pytest.skip("the mutation run has not been finished: python -m tools.conformance.mutate")
    stored = {row["check"]: row["noticed_by"] for row in json.loads(RESULTS.read_text("utf-8"))["checks"]}
    bench = Bench(tmp_path)
    for mutant in [*mutants(), *fault_mutants()][::60]:
        name = stored[mutant.name]
        if name is not None:
            assert bench.trace(name)
            assert killer(bench, mutant) is not None, mutant.name


def test_the_runner_needs_the_standard_library_alone() -> None:
    tree = ast.parse((KIT / "run.py").read_text("utf-8"))
    names = {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    names |= {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    assert names <= set(sys.stdlib_module_names)

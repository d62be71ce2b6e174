"""``python -m tools.conformance.mutate``: each check of the validator is taken out, and some vector has to notice.

Writes ``tools/conformance/results/mutations.json``: every check with a case that fails without it, or none. Checks
that no vector can reach are listed below with the reason. The exit status is 1 where another one survives.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.errors import ScformatError
from scformat.validation import validate_store
from scformat.validation.report import Findings
from tools.conformance.inprocess import KIT, runner
from tools.conformance.mutants import CHECKING, PACKAGE, Mutant, fault_mutants, function_of, module_of, mutants
from tools.conformance.unreachable import UNREACHABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).with_name("results") / "mutations.json"
_REQUIREMENT = re.compile(r"[A-Z]{3}-[0-9]+")
_HERE = tuple(str(PACKAGE / name) for name in CHECKING)

Line = tuple[str, int]


class Bench:
    """The cases, their stores on disk, and which lines of the validator each finding came through."""

    def __init__(self, work: Path) -> None:
        self._kit = runner().Kit(KIT, work)
        self._patch = runner().apply_patch
        self.cases: dict[str, dict[str, Any]] = {case["id"]: case for case in self._kit.cases}
        self.through: dict[str, set[Line]] = {}

    @contextmanager
    def _store(self, case: dict[str, Any]) -> Iterator[Path]:
        """The base with the patch applied; put right afterwards."""
        base = self._kit._base(case["store"])
        if "patch" not in case:
            yield base
            return
        patch = json.loads((KIT / case["patch"]).read_text("utf-8"))
        before = {path: file.read_bytes() if (file := base / path).is_file() else None for path in patch["files"]}
        self._patch(base, patch)
        try:
            yield base
        finally:
            for path, data in before.items():
                if data is None:
                    (base / path).unlink()
                else:
                    (base / path).write_bytes(data)

    def passes(self, name: str) -> bool:
        """Whether the validator says of a case what it has to."""
        case = self.cases[name]
        checks = [check for check in case["checks"] if check["verb"] == "validate"]
        with self._store(case) as path:
            return all(_right(path, check) for check in checks[-1:])

    def trace(self, name: str) -> bool:
        """Run a case and note the lines that its findings came through."""
        lines = self.through[name] = set()
        plain = Findings.add

        def add(self: Findings, requirement: str, where: str, what: str, **more: Any) -> None:
            frame: Any = sys._getframe(1)
            while frame is not None:
                file = frame.f_code.co_filename
                if file.startswith(_HERE):
                    lines.add((module_of(Path(file)), frame.f_lineno))
                frame = frame.f_back
            plain(self, requirement, where, what, **more)

        Findings.add = add  # type: ignore[method-assign]
        try:
            return self.passes(name)
        finally:
            Findings.add = plain  # type: ignore[method-assign]

    def candidates(self, mutant: Mutant) -> list[str]:
        """Cases that could notice: first those whose findings came through the check."""
        module, first, last = mutant.module, mutant.line, mutant.end
        direct = [n for n, lines in self.through.items() if any(m == module and first <= at <= last for m, at in lines)]
        code = function_of(mutant).__code__
        span = {at for _, _, at in code.co_lines() if at is not None}
        near = [n for n, lines in self.through.items() if any(m == module and at in span for m, at in lines)]
        named = set(_REQUIREMENT.findall(mutant.text)) or set(_REQUIREMENT.findall(str(code.co_consts)))
        if mutant.module == "validation.document":
            named = {"CNV-1", "CNV-2", "SRC-1"}
        by_name = [n for n, case in self.cases.items() if named & set(case["requirements"]) and not case["valid"]]
        # Findings of other threads, and those that are only kept, cannot be traced: then every case is asked.
        all_others = [n for n, case in self.cases.items() if not direct or case["valid"]]
        return list(dict.fromkeys([*direct, *near, *by_name, *all_others]))


def _right(path: Path, check: dict[str, Any]) -> bool:
    try:
        report = validate_store(path, level=check["level"])
    except ScformatError:
        return False
    if check["valid"]:
        return report.ok
    return bool(set(check["findings"]) & {f.requirement for f in report.findings})


@contextmanager
def _installed(mutant: Mutant) -> Iterator[None]:
    if mutant.code is None:
        with _muted(mutant.fault):
            yield
        return
    function = function_of(mutant)
    plain = function.__code__
    function.__code__ = mutant.code
    try:
        yield
    finally:
        function.__code__ = plain


@contextmanager
def _muted(fault: int | None) -> Iterator[None]:
    """Let the kernel that checks rows pass over a fault."""
    from scformat.validation import counts

    plain: Any = vars(counts)["check_rows"]

    def check_rows(*arguments: Any) -> None:
        plain(*arguments)
        faults = arguments[-1]
        faults[faults == fault] = 0

    vars(counts)["check_rows"] = check_rows
    try:
        yield
    finally:
        vars(counts)["check_rows"] = plain


def killer(bench: Bench, mutant: Mutant) -> str | None:
    """A case that fails without the check; None where none does."""
    with _installed(mutant):
        for name in bench.candidates(mutant):
            noticed = True
            with suppress(Exception):  # a crash is noticed as well
                noticed = not bench.passes(name)
            if noticed:
                return name
    return None


def main() -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.conformance.mutate", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="checks whose name contains it; writes nothing")
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--verbose", action="store_true", help="print each check with the case that notices it")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scformat-mutants-") as work:
        bench = Bench(Path(work))
        failing = [name for name, case in bench.cases.items() if not case["valid"] and not bench.trace(name)]
        if failing:
            print(f"the validator itself fails {', '.join(failing)}")
            return 1
        results = []
        for mutant in (*mutants(), *fault_mutants()):
            if options.only in mutant.name:
                by = killer(bench, mutant)
                results.append((mutant, by))
                if options.verbose:
                    print(f"{time.monotonic() - began:6.1f} {mutant.name}: {by}", flush=True)
                if by is None and mutant.name not in UNREACHABLE:
                    place = f"scformat.{mutant.module}:{mutant.line}"
                    print(f"survives: {place} {mutant.name}", flush=True)
    survivors = [m for m, by in results if by is None and m.name not in UNREACHABLE]
    stale = [] if options.only else sorted(UNREACHABLE.keys() - {m.name for m, by in results if by is None})
    for name in stale:
        print(f"listed as unreachable, but it is not: {name}")
    killed = sum(by is not None for _, by in results)
    unreachable = len(results) - killed - len(survivors)
    print(f"{len(results)} checks, {killed} noticed, {unreachable} unreachable, {len(survivors)} survive; "
          f"{time.monotonic() - began:.0f} s")  # fmt: skip
    if not options.only and not options.check:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(_document(results, len(bench.cases)), indent=1, ensure_ascii=False) + "\n")
    return 1 if survivors or stale else 0


def _document(results: list[tuple[Mutant, str | None]], n_cases: int) -> dict[str, Any]:
    rows = []
    for mutant, by in results:
        row = {"check": mutant.name, "kind": mutant.kind, "noticed_by": by}
        if by is None and mutant.name in UNREACHABLE:
            row["reason"] = UNREACHABLE[mutant.name]
        rows.append(row)
    return {
        "n_cases": n_cases,
        "n_checks": len(rows),
        "n_noticed": sum(row["noticed_by"] is not None for row in rows),
        "n_unreachable": sum("reason" in row for row in rows),
        "checks": rows,
    }


if __name__ == "__main__":
    sys.exit(main())

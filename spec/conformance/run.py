"""Drive an implementation of the cell store format through the conformance kit. Python's standard library alone.

    python run.py [--level N] [--case ID ...] [--jobs N] [--timeout S] [--json] [--vectors DIR] -- COMMAND ...

COMMAND is a program with arguments that answers ``validate``, ``describe``, ``read`` and ``draw`` as README.md says.
The exit status is 0 where every check of every case passed, 1 where one failed, 2 where the arguments are wrong.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

Answer = tuple[int, str, str]
"""Exit status, stdout, stderr."""
Command = Callable[[list[str]], Answer]

VALID, INVALID = 0, 1
MAX_SHOWN = 5


class Kit:
    """The cases, and their stores unpacked below a directory."""

    def __init__(self, vectors: Path, work: Path) -> None:
        self.vectors = vectors
        self.work = work
        self.cases: list[dict[str, Any]] = json.loads((vectors / "cases.json").read_text("utf-8"))["cases"]
        self._lock = threading.Lock()
        self._bases: set[str] = set()

    def store(self, case: dict[str, Any]) -> Path:
        """Unpack the store of a case; one with a patch is a copy of its own."""
        base = self._base(case["store"])
        if "patch" not in case:
            return base
        target = self.work / "cases" / f"{case['id']}.cells"
        if target.exists():
            shutil.rmtree(target)
        shutil.copytree(base, target)
        apply_patch(target, json.loads((self.vectors / case["patch"]).read_text("utf-8")))
        return target

    def done(self, case: dict[str, Any], store: Path) -> None:
        """Remove the copy of a case."""
        if "patch" in case:
            shutil.rmtree(store, ignore_errors=True)

    def expected(self, name: str) -> Any:
        """Return an answer that is expected."""
        return json.loads((self.vectors / name).read_text("utf-8"))

    def _base(self, name: str) -> Path:
        target = self.work / "bases" / f"{Path(name).stem}.cells"
        with self._lock:
            if name not in self._bases:
                with zipfile.ZipFile(self.vectors / name) as archive:
                    archive.extractall(target)
                self._bases.add(name)
        return target


def apply_patch(store: Path, patch: dict[str, Any]) -> None:
    """Change files of a store as a patch says; README.md describes its members."""
    for path, change in patch["files"].items():
        file = store / path
        if change is None:
            file.unlink()
            continue
        if "splice" in change:
            data = bytearray(file.read_bytes())
            for start, length, new in reversed(change["splice"]):
                data[start : start + length] = _decoded(new)
        else:
            data = bytearray(_decoded(change["bytes"]))
        if hashlib.sha256(data).hexdigest() != change["sha256"]:
            raise ValueError(f"{path}: the patch does not fit the store")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


def _decoded(text: str) -> bytes:
    """``text:...`` is UTF-8, ``base64:...`` any bytes."""
    kind, _, rest = text.partition(":")
    return rest.encode() if kind == "text" else base64.b64decode(rest, validate=True)


def arguments_of(check: dict[str, Any], store: str) -> list[str]:
    """Return what stands after COMMAND."""
    if check["verb"] == "validate":
        return ["validate", "--json", "--level", str(check["level"]), store]
    return [check["verb"], store, *check.get("options", [])]


def differences(found: Any, wanted: Any, where: str = "") -> Iterator[str]:
    """Yield what a found JSON value lacks of a wanted one; members beyond the wanted ones are no difference."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict):
            yield f"{where or '/'}: expected an object, found {_short(found)}"
            return
        for name, value in wanted.items():
            if name not in found:
                yield f"{where}/{name}: missing"
            else:
                yield from differences(found[name], value, f"{where}/{name}")
    elif isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            size = f"{len(found)}" if isinstance(found, list) else _short(found)
            yield f"{where}: expected a list of {len(wanted)}, found {size}"
            return
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            yield from differences(a, b, f"{where}/{i}")
    elif not _same(found, wanted):
        yield f"{where}: expected {_short(wanted)}, found {_short(found)}"


def _same(found: Any, wanted: Any) -> bool:
    numbers = (int, float)
    if isinstance(wanted, bool) or isinstance(found, bool) or wanted is None or found is None:
        return found is wanted
    if isinstance(wanted, numbers) and isinstance(found, numbers):
        return found == wanted
    return type(found) is type(wanted) and bool(found == wanted)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def judge(check: dict[str, Any], answer: Answer, expected: Callable[[str], Any]) -> list[str]:
    """Return what is wrong with an answer; nothing where the check passed."""
    status, out, err = answer
    if check.get("refused"):
        return _judge_refusal(check, status, err)
    if status != 0 and not (check["verb"] == "validate" and status == INVALID):
        return [f"exit status {status}: {_last_line(err) or 'no error line'}"]
    try:
        found = json.loads(out)
    except ValueError as error:
        return [f"stdout is not one JSON document: {error}"]
    if check["verb"] != "validate":
        wrong = list(differences(found, expected(check["expect"])))
        return wrong[:MAX_SHOWN] + ([f"and {len(wrong) - MAX_SHOWN} more"] if len(wrong) > MAX_SHOWN else [])
    return _judge_validation(check, found)


def _judge_refusal(check: dict[str, Any], status: int, err: str) -> list[str]:
    wrong = []
    if status == 0:
        wrong.append("answered, but must be refused")
    elif "exit" in check and status != check["exit"]:
        wrong.append(f"refused with exit status {status}, expected {check['exit']}: {_last_line(err)}")
    elif not _last_line(err):
        wrong.append("refused without a line on stderr")
    return wrong


def _judge_validation(check: dict[str, Any], found: Any) -> list[str]:
    if not isinstance(found, dict) or not isinstance(found.get("valid"), bool):
        return ["no member valid that is true or false"]
    listed = found.get("findings")
    if not isinstance(listed, list) or not all(isinstance(f, dict) and "requirement" in f for f in listed):
        return ["no list findings of objects with a requirement"]
    names = sorted({str(f["requirement"]) for f in listed})
    wrong = []
    if found.get("level") != check["level"]:
        wrong.append(f"level: expected {check['level']}, found {_short(found.get('level'))}")
    if found["valid"] != (not listed):
        wrong.append(f"valid is {_short(found['valid'])} with {len(listed)} findings")
    if check["valid"] and not found["valid"]:
        first = f"{listed[0].get('where', '')}: {listed[0].get('message', '')}" if listed else ""
        wrong.append(f"expected valid, found {', '.join(names) or 'invalid'} ({first})")
    elif not check["valid"]:
        if found["valid"]:
            wrong.append(f"expected invalid with {' or '.join(check['findings'])}, found valid")
        elif not set(check["findings"]) & set(names):
            wrong.append(f"expected a finding {' or '.join(check['findings'])}, found {', '.join(names)}")
    return wrong


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def run_case(kit: Kit, case: dict[str, Any], command: Command, level: int) -> dict[str, Any]:
    """Run the checks of a case up to a level."""
    store = kit.store(case)
    results = []
    try:
        for check in case["checks"]:
            if check["level"] > level:
                continue
            arguments = arguments_of(check, str(store))
            wrong = judge(check, command(arguments), kit.expected)
            shown = " ".join(["STORE" if a == str(store) else a for a in arguments])
            results.append({"check": shown, "passed": not wrong, "differences": wrong})
    finally:
        kit.done(case, store)
    return {"id": case["id"], "passed": all(r["passed"] for r in results), "checks": results}


def program(command: Sequence[str], timeout: float) -> Command:
    """COMMAND as a process for each question."""

    def ask(arguments: list[str]) -> Answer:
        try:
            done = subprocess.run(
                [*command, *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return -1, "", f"no answer within {timeout:g} s"
        return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")

    return ask


def chosen(cases: Sequence[dict[str, Any]], patterns: Sequence[str], level: int) -> list[dict[str, Any]]:
    """Cases that have a check up to `level` and fit one of the patterns, where there are any."""
    return [
        case
        for case in cases
        if (not patterns or any(fnmatchcase(case["id"], p) for p in patterns))
        and any(check["level"] <= level for check in case["checks"])
    ]


def run(
    vectors: Path,
    command: Command,
    *,
    level: int = 4,
    patterns: Sequence[str] = (),
    jobs: int = 1,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the kit and return the summary, the object that ``--json`` prints."""
    with tempfile.TemporaryDirectory(prefix="scformat-conformance-") as work:
        kit = Kit(vectors, Path(work))
        cases = chosen(kit.cases, patterns, level)
        results = []
        with ThreadPoolExecutor(jobs) as pool:
            each = map if jobs == 1 else pool.map  # one at a time runs in the thread that asked
            for result in each(lambda case: run_case(kit, case, command, level), cases):
                tell(result)
                results.append(result)
    checks = [check for result in results for check in result["checks"]]
    return {
        "level": level,
        "passed": all(r["passed"] for r in results) and bool(results),
        "n_cases": len(results),
        "n_cases_failed": sum(not r["passed"] for r in results),
        "n_checks": len(checks),
        "n_checks_failed": sum(not c["passed"] for c in checks),
        "cases": results,
    }


def report(result: dict[str, Any]) -> str:
    """One case as text."""
    lines = [f"{'pass' if result['passed'] else 'FAIL'} {result['id']} ({len(result['checks'])} checks)"]
    for check in result["checks"]:
        if not check["passed"]:
            lines.append(f"     {check['check']}")
            lines += [f"       {text}" for text in check["differences"]]
    return "\n".join(lines)


def summary(result: dict[str, Any]) -> str:
    """Tell the outcome in one line."""
    verdict = "passed" if result["passed"] else "FAILED"
    return (
        f"level {result['level']}: {verdict}; {result['n_cases']} cases, {result['n_cases_failed']} failed; "
        f"{result['n_checks']} checks, {result['n_checks_failed']} failed"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a program; return the exit status."""
    parser = argparse.ArgumentParser(prog="run.py", description="Conformance of an implementation of the cell store.")
    parser.add_argument("--level", type=int, choices=(1, 2, 3, 4), default=4, help="highest level of checks")
    parser.add_argument("--case", action="append", default=[], metavar="ID", help="only this case; * and ? are allowed")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds for one answer")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--quiet", action="store_true", help="print only cases that fail")
    parser.add_argument("--list", action="store_true", help="print the ids of the cases")
    parser.add_argument("--vectors", type=Path, default=Path(__file__).resolve().parent, metavar="DIR")
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = given[given.index("--") + 1 :] if "--" in given else []
    options = parser.parse_args(given[: given.index("--")] if "--" in given else given)
    if options.list:
        for case in json.loads((options.vectors / "cases.json").read_text("utf-8"))["cases"]:
            print(case["id"])
        return 0
    if not command:
        parser.error("no COMMAND; give it after --")

    def tell(result: dict[str, Any]) -> None:
        if not (options.quiet and result["passed"]):
            print(report(result), file=sys.stderr if options.json else sys.stdout, flush=True)

    found = run(
        options.vectors,
        program(command, options.timeout),
        level=options.level,
        patterns=options.case,
        jobs=max(1, options.jobs),
        tell=tell,
    )
    if not found["n_cases"]:
        parser.error(f"no case fits {', '.join(options.case)}")
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else summary(found))
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

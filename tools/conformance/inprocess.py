"""The package's command in this process: the same answers as ``scformat`` in a process of its own, sooner."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.cli import main
from scformat.conformance.kit import load_runner

if TYPE_CHECKING:
    from types import ModuleType

KIT = Path(__file__).resolve().parents[2] / "spec" / "conformance"


def ask(arguments: list[str]) -> tuple[int, str, str]:
    """Answer as a process would: exit status, stdout, stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(arguments)
    return status, out.getvalue(), err.getvalue()


def runner() -> ModuleType:
    """``run.py`` of the kit."""
    return load_runner(KIT)


def run_in_process(patterns: tuple[str, ...] = (), level: int = 4) -> dict[str, Any]:
    """Run the kit in this process."""
    found: dict[str, Any] = runner().run(KIT, ask, level=level, patterns=patterns)
    return found


if __name__ == "__main__":
    import sys

    module = runner()
    found = module.run(KIT, ask, patterns=sys.argv[1:])
    for result in found["cases"]:
        if not result["passed"]:
            print(module.report(result))
    print(module.summary(found))

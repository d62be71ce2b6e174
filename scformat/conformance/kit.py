"""The conformance kit: where it lies, and its runner, which needs nothing of this package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

_PACKAGE = Path(__file__).resolve().parents[1]
_PLACES = (_PACKAGE / "_vectors", _PACKAGE.parent / "spec" / "conformance")
"""In a wheel, and in a checkout."""


def find_vectors(given: str | Path | None = None) -> Path:
    """Return the directory of the kit.

    Raises
    ------
    StorageError
        ``no-vectors``: there is none.
    """
    places = _PLACES if given is None else (Path(given),)
    for place in places:
        if (place / "cases.json").is_file() and (place / "run.py").is_file():
            return place
    raise StorageError(
        "no-vectors",
        "the conformance kit is not there",
        where=places[-1],
        expected="a directory with cases.json and run.py",
        hint="give the directory spec/conformance of the sources with --vectors",
    )


def load_runner(vectors: Path) -> ModuleType:
    """Load ``run.py`` of a kit, a program that is also a module."""
    found = importlib.util.spec_from_file_location("scformat_conformance_run", vectors / "run.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def run_kit(
    command: Sequence[str],
    *,
    level: int = 4,
    cases: Sequence[str] = (),
    jobs: int = 2,
    timeout: float = 120,
    vectors: str | Path | None = None,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run an implementation through the kit.

    Parameters
    ----------
    command
        A program with arguments that answers ``validate``, ``describe``, ``read`` and ``draw``.
    level
        Highest level of checks: 1 to 4.
    cases
        Ids, with ``*`` and ``?``; all where empty.
    jobs
        Cases at a time.
    timeout
        Seconds for one answer.
    vectors
        Directory of the kit; None: the one that came with the package.
    tell
        Called with the outcome of each case.

    Returns
    -------
    dict
        ``passed``, numbers of cases and checks, and the outcome of each case; see ``spec/conformance/README.md``.

    Raises
    ------
    UsageError
        ``no-command``, ``unknown-case``.
    StorageError
        ``no-vectors``.
    """
    if not command:
        raise UsageError("no-command", "no command to check", expected="scformat conformance -- COMMAND ...")
    place = find_vectors(vectors)
    runner = load_runner(place)
    found: dict[str, Any] = runner.run(
        place,
        runner.program(list(command), timeout),
        level=level,
        patterns=list(cases),
        jobs=jobs,
        tell=tell or (lambda _: None),
    )
    if not found["n_cases"]:
        raise UsageError("unknown-case", "no case of this id", found=", ".join(cases))
    return found

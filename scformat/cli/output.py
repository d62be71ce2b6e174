"""Where output goes: data to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OutputClosedError(Exception):
    """Whoever read our stdout has seen enough (``scformat head STORE | head -1``)."""


def emit(text: str) -> None:
    """Write data to stdout, with a line feed at its end.

    Raises
    ------
    OutputClosedError
        The reader of a pipe has gone.
    OSError
        Other failures, such as a full disk.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        close_stdout()
        raise OutputClosedError from None


def emit_json(value: Mapping[str, Any]) -> None:
    """Write a JSON object to stdout."""
    import json

    emit(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def message(text: str) -> None:
    """Write a message to stderr."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        _to_devnull(2)


def close_stdout() -> None:
    """Write out what stdout still holds; drop it where nobody reads it, or Python complains at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        _to_devnull(1)


def _to_devnull(descriptor: int) -> None:
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, descriptor)
    os.close(devnull)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Show warnings as one line each, and none of those that libraries address to programmers."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.simplefilter("ignore", category)
        warnings.formatwarning = _one_line
        yield


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"warning: {' '.join(str(message).split())}\n"


def describe_size(n_bytes: int) -> str:
    """Write a number of bytes as people read it: ``4.2 MB``."""
    size = float(n_bytes)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    return f"{size:.3g} {unit}" if unit != "B" else f"{n_bytes} B"

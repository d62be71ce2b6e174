"""From exceptions to exit statuses: every failure is one line on stderr."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import typer

from scformat.cli.output import OutputClosedError, message
from scformat.errors import ScformatError

if TYPE_CHECKING:
    from collections.abc import Callable

INVALID = 1
USAGE = 2
IO = 3
INTERRUPTED = 130


def exit_status(action: Callable[[], int | None], *, debug: bool) -> int:
    """Run `action` and return its status, or the status of its failure after one line about it.

    Parameters
    ----------
    action
        Returns its own status, or None for 0.
    debug
        Print the traceback before the line.
    """
    try:
        return action() or 0
    except typer.Exit as exit_request:
        return exit_request.exit_code
    except OutputClosedError:
        return 0
    except (Exception, KeyboardInterrupt) as error:  # the boundary: nothing passes it
        if debug:
            message(traceback.format_exc().rstrip())
        status, line = describe_failure(error)
        message(" ".join(line.split()))
        return status


def describe_failure(error: BaseException) -> tuple[int, str]:
    """Return the exit status of a failure, and the line that tells it."""
    match error:
        case ScformatError():
            return error.exit_code, f"error: {error}"
        case typer.TyperException():
            return USAGE, _usage(error)
        case KeyboardInterrupt():
            return INTERRUPTED, "; ".join(["interrupted", *getattr(error, "__notes__", ())])
        case MemoryError():
            return IO, "error: out of memory; give a smaller --memory or fewer --jobs [out-of-memory]"
        case OSError():
            where = "" if error.filename is None else f"{error.filename}: "
            return IO, f"error: {where}{error.strerror or str(error) or type(error).__name__} [io-error]"
        case _:
            what = f"{type(error).__name__}: {error}"
            return INVALID, f"internal error: {what}; run again with --debug for the traceback [internal-error]"


def _usage(error: typer.TyperException) -> str:
    what = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    command = "scformat" if context is None else context.command_path
    return f"error: {what[:1].lower()}{what[1:]}; see '{command} --help' [usage]"

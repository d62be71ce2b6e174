"""The command ``scformat``: its subcommands, and what every run of it has in common."""

from __future__ import annotations

import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup

from scformat import __version__
from scformat.cli import neighbours, weights
from scformat.cli.answers import describe, draw, read
from scformat.cli.append import append, vacuum
from scformat.cli.bench import bench
from scformat.cli.conformance import conformance
from scformat.cli.convert import convert
from scformat.cli.export import export
from scformat.cli.failures import exit_status
from scformat.cli.head import head
from scformat.cli.info import info
from scformat.cli.output import close_stdout, emit, plain_warnings
from scformat.cli.parameters import Debug
from scformat.cli.report import report
from scformat.cli.simulate import simulate
from scformat.cli.stage import stage
from scformat.cli.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType


class _Command(TyperCommand):
    """A subcommand whose failures become an exit status here, before typer has its own ideas about them."""

    def invoke(self, ctx: Any) -> int:
        debug = bool(ctx.params["debug"] or ctx.parent.params["debug"])
        return exit_status(lambda: super(_Command, self).invoke(ctx), debug=debug)


class _Group(TyperGroup):
    """The subcommands; one that does not exist is answered with those that do."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            if args[0] not in self.commands and "Did you mean" not in error.message:
                error.message = f"{error.message.rstrip('.')}; one of {', '.join(self.commands)}"
            raise


def _show_version(value: bool) -> None:  # noqa: FBT001 - typer's signature of a callback
    if value:
        emit(f"scformat {__version__}")
        raise typer.Exit


def _root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Cell stores for training on single-cell atlases: h5ad and 10x files in, fast random access out."""


def _tables(*, debug: Debug = False) -> None:
    """List, add and show sampling tables."""


def _neighbours(*, debug: Debug = False) -> None:
    """List and add tables of the cells nearest to each cell."""


def _build() -> typer.Typer:
    app = typer.Typer(
        cls=_Group,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    commands: tuple[Callable[..., None], ...] = (
        convert,
        append,
        vacuum,
        info,
        head,
        validate,
        export,
        report,
        stage,
        bench,
        simulate,
        describe,
        read,
        draw,
        conformance,
    )
    for command in commands:
        app.command(command.__name__, cls=_Command)(command)
    tables = typer.Typer(cls=_Group, rich_markup_mode=None, help="Sampling tables: list, add, show.")
    tables.callback()(_tables)
    for name, command in (("list", weights.list_tables), ("add", weights.add), ("show", weights.show)):
        tables.command(name, cls=_Command)(command)
    app.add_typer(tables, name="weights")
    near = typer.Typer(cls=_Group, rich_markup_mode=None, help="Cells nearest to each cell: list, add.")
    near.callback()(_neighbours)
    for name, command in (("list", neighbours.list_neighbours), ("add", neighbours.add)):
        near.command(name, cls=_Command)(command)
    app.add_typer(near, name="neighbours")
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        Without the program's name; those of the process where None.

    Returns
    -------
    int
        0 done; 1 the data is invalid or a check failed; 2 usage; 3 input or output failed, or an optional
        dependency is missing; 4 a version or feature this release does not know; 130 interrupted.
    """
    from typer.main import get_command

    def run() -> int | None:
        command = get_command(_build())
        status = command.main(
            args=list(sys.argv[1:] if arguments is None else arguments), prog_name="scformat", standalone_mode=False
        )
        sys.stdout.flush()
        return status if isinstance(status, int) else 0

    with _termination_as_interrupt(), plain_warnings():
        status = exit_status(run, debug=False)
    close_stdout()
    return status


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that half-written files are removed."""

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)

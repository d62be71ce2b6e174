"""The command line: one module a command, each a thin layer over the Python interface."""

from scformat.cli.app import main

__all__ = ["main"]

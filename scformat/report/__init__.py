"""A store as a page with plots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.blobs import write_whole
from scformat.errors import StorageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scformat.store import Store

__all__ = ["render_report", "write_report"]


def render_report(
    store: Store,
    *,
    tables: Sequence[str | os.PathLike[str]] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> str:
    """Return a store as a page of HTML, which holds everything that it shows and asks for nothing.

    Parameters
    ----------
    store
        An open store.
    tables
        Sampling tables to compare with: names, texts such as ``cell_type:balanced``, or paths of table files; None:
        those of the store. The first four are plotted.
    progress
        Called with stage, done, total.

    Raises
    ------
    UnknownNameError
        ``unknown-table``.
    """
    from scformat.report.facts import TABLES, collect
    from scformat.report.page import page

    store = store.alone()
    names = list(dict.fromkeys(store.tables if tables is None else tables))
    found = [store.tables.find(name) for name in names[:TABLES]]
    return page(collect(store, found, progress), others=[os.fspath(name) for name in names[TABLES:]])


def write_report(
    store: Store,
    destination: str | os.PathLike[str],
    *,
    tables: Sequence[str | os.PathLike[str]] | None = None,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Write the page of :func:`render_report` to a file, whole or not at all.

    Raises
    ------
    UsageError
        ``destination-exists``.
    StorageError
        ``no-directory``, ``cannot-write``.
    """
    target = Path(destination).expanduser()
    if target.is_dir():
        raise UsageError("destination-exists", "the destination is a directory", where=target, hint="name a file")
    if target.exists() and not overwrite:
        raise UsageError(
            "destination-exists", "the destination exists", where=target, hint="choose another, or give --overwrite"
        )
    if not target.parent.is_dir():
        raise StorageError("no-directory", "there is no such directory", where=target.parent, hint="create it first")
    text = render_report(store, tables=tables, progress=progress)
    write_whole(target, text.encode())
    return target

"""Errors are part of the interface: a stable code, one line, an exit status.

Every error that a user can cause derives from :class:`ScformatError`. Its text is one line that says
what is wrong, where, what was expected, what was found and what to do about it.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMED_CELLS = 5
"""Cells that the text of an error lists."""


class ScformatError(Exception):
    """Base of all errors of this package.

    Parameters
    ----------
    code
        Stable identifier in kebab case (``counts-not-found``), the same in every release.
    what
        What is wrong, in a few words.
    where
        File, column, row or array concerned.
    expected, found
        What the operation needed, and what was there instead.
    hint
        What to do about it.
    """

    exit_code = 1

    def __init__(
        self,
        code: str,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        hint: str | None = None,
    ) -> None:
        self.code = code
        self.what = what
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.hint = hint
        super().__init__(self._line())

    def _line(self) -> str:
        text = self.what if self.where is None else f"{self.where}: {self.what}"
        if self.expected is not None:
            text += f"; expected {self.expected}"
        if self.found is not None:
            text += f"; found {self.found}"
        if self.hint is not None:
            text += f"; {self.hint}"
        return f"{' '.join(text.split())} [{self.code}]"

    def __str__(self) -> str:
        return self._line()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(cls: type[ScformatError], state: dict[str, object]) -> ScformatError:
    """Unpickle: errors travel from worker processes with all their fields."""
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, error._line())
    return error


class InvalidDataError(ScformatError):
    """The data is not what the operation needs: a bad source, a damaged store, a failed check."""

    exit_code = 1


class DamagedDataError(InvalidDataError):
    """What a store holds is lost, is not what was written, or breaks the encoding.

    Attributes
    ----------
    array
        Path of the array.
    chunks : tuple of int
        Chunks concerned, counted along the array's last axis; empty where not known.
    cells : tuple of int
        Rows of the store, ascending, among those that were asked for, that cannot be read because of it; empty where
        the array is not one of cells.
    """

    array: str = ""
    chunks: tuple[int, ...] = ()
    cells: tuple[int, ...] = ()

    def of_cells(self, cells: Iterable[int]) -> DamagedDataError:
        """Return the same error with the cells that it concerns; itself where it has some, or there are none."""
        rows = tuple(sorted(set(cells)))
        if self.cells or not rows:
            return self
        named = ", ".join(map(str, rows[:NAMED_CELLS]))
        more = f" and {len(rows) - NAMED_CELLS} more" if len(rows) > NAMED_CELLS else ""
        found = f"{self.found}, for cell {named}{more}" if self.found else f"cell {named}{more}"
        made = type(self)(self.code, self.what, where=self.where, expected=self.expected, found=found, hint=self.hint)
        made.array, made.chunks, made.cells = self.array, self.chunks, rows
        return made


def damaged_data(
    code: str,
    what: str,
    *,
    where: object,
    array: str,
    chunks: Iterable[int] = (),
    found: object = None,
    hint: str | None = "restore the file from a copy, or convert again",
) -> DamagedDataError:
    """Build the error for an array that cannot be read."""
    error = DamagedDataError(code, what, where=where, found=found, hint=hint)
    error.array, error.chunks = array, tuple(chunks)
    return error


def truncated_file(where: object, *, expected: int, found: int) -> InvalidDataError:
    """Build the error for a file or object that ends too early."""
    return InvalidDataError(
        "damaged-object",
        "a truncated file",
        where=where,
        expected=f"{expected} bytes or more",
        found=found,
        hint="restore the file from a copy, or convert again",
    )


class UsageError(ScformatError, ValueError):
    """An argument or option is wrong."""

    exit_code = 2


class UnknownNameError(UsageError, KeyError):
    """A name (label, column, table, source, split) that is not there; near names are listed."""


class RowIndexError(UsageError, IndexError):
    """A row outside of the store."""


class StorageError(ScformatError, OSError):
    """Input or output failed: permissions, a full disk, a lost object, no such file."""

    exit_code = 3


class MissingExtraError(ScformatError, ImportError):
    """An optional dependency is not installed; the text names the extra that brings it."""

    exit_code = 3


class UnsupportedError(ScformatError):
    """A version or a required feature that this release does not know."""

    exit_code = 4


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: object = None) -> UnknownNameError:
    """Build the error for a name that is not among `known`, with the nearest ones in its hint."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:8]
    listing = ", ".join(repr(n) for n in near) + (", ..." if len(names) > len(near) else "")
    hint = f"did you mean one of {listing}?" if near else f"there is no {kind} at all"
    return UnknownNameError(f"unknown-{kind.replace(' ', '-')}", f"unknown {kind} {name!r}", where=where, hint=hint)


def missing_extra(extra: str, *, needed_for: str) -> MissingExtraError:
    """Build the error for an optional dependency that is absent."""
    return MissingExtraError(
        "missing-extra",
        f"{needed_for} needs the extra '{extra}'",
        hint=f"install it with: pip install 'scformat[{extra}]'",
    )

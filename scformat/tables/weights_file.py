"""Files of weights: a table of the categories of one label."""

from __future__ import annotations

import csv
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from scformat.errors import InvalidDataError, StorageError
from scformat.sampling.masses import check_weights
from scformat.sampling.schemes import Custom

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("mass", "weight")


def read_weights_file(path: str) -> tuple[Custom, str]:
    """Read a table with the columns ``category`` and ``mass`` (of the category) or ``weight`` (of each cell in it).

    Commas separate the columns of a ``.csv`` file, tabs those of any other.

    Returns
    -------
    scheme
        With the file's numbers; its `file` is the last segment of `path`.
    sha256
        Digest of the file.

    Raises
    ------
    StorageError
        ``weights-file-unreadable``.
    InvalidDataError
        ``bad-weights-file``, with the line.
    UsageError
        ``bad-weights``: NaN, negative, or none above zero.
    """
    where = Path(path).expanduser()
    try:
        data = where.read_bytes()
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDataError("bad-weights-file", "not UTF-8 text", where=path, found=error.reason) from None
    except OSError as error:
        raise StorageError("weights-file-unreadable", error.strerror or "cannot be read", where=path) from None
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter="," if where.suffix.lower() == ".csv" else "\t", strict=True
    )
    try:
        values, kind = _table(path, lines)
    except csv.Error as error:
        raise InvalidDataError("bad-weights-file", f"not a table: {error}", where=path) from None
    check_weights(list(values.values()), where=path)
    return Custom(where.name, values=values, per_cell=kind == "weight"), hashlib.sha256(data).hexdigest()


def _table(path: str, lines: Iterator[list[str]]) -> tuple[dict[str, float], str]:
    header = [name.strip() for name in next(lines, [])]
    if len(header) != 2 or "category" not in header or not set(header) & set(COLUMNS):
        raise InvalidDataError(
            "bad-weights-file",
            "not the header of a file of weights",
            where=path,
            expected="category and mass (of a category), or category and weight (of a cell)",
            found=", ".join(header),
        )
    at = header.index("category")
    values: dict[str, float] = {}
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        if len(line) != 2:
            raise InvalidDataError(
                "bad-weights-file", "a row of another length", where=f"{path}: line {number}", found=len(line)
            )
        try:
            value = float(line[1 - at])
        except ValueError:
            raise InvalidDataError(
                "bad-weights-file", "not a number", where=f"{path}: line {number}", found=repr(line[1 - at])
            ) from None
        if line[at] in values:
            raise InvalidDataError(
                "bad-weights-file", "a category for the second time", where=f"{path}: line {number}", found=line[at]
            )
        values[line[at]] = value
    return values, header[1 - at]

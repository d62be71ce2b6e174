"""What the chapters demand of single arrays: type, shape, fill value."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ValidationError

from scformat.layout import BYTE_FILL, CODE_FILL, FLAG_FILL
from scformat.manifest import Array, Table
from scformat.regions import files_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scformat.layout import ArraySpec
    from scformat.manifest import StringArray
    from scformat.structure.sink import Sink
    from scformat.tables.model import TableEntry

_PLAIN = frozenset({str, int, float, bool, type(None)})
_FILL_STEP = 4096
"""Of the fill values of 64-bit obs values, so that they are exact as binary64."""


def arrays_of(value: object) -> Iterator[Array]:
    """Yield every array that a model names, in the order of its members."""
    pending = [value]
    while pending:  # not a generator in each member's: a manifest may name a hundred thousand arrays
        member = pending.pop()
        members: list[object] = []
        if type(member) is Array:
            yield member
        elif isinstance(member, Table):
            members = [table_entry(member)]  # one that is none is reported where the structure is checked
        elif isinstance(member, BaseModel):
            members = list(vars(member).values())
        elif isinstance(member, dict):
            members = list(member.values())
        elif isinstance(member, (list, tuple)):
            members = list(member)
        pending += [each for each in reversed(members) if type(each) not in _PLAIN]


def table_entry(table: Table) -> TableEntry | ValidationError:
    """Return what the chapter on tables makes of a table, or why that is nothing."""
    from scformat.tables.model import TableEntry  # a store without tables is opened without what draws by them

    try:
        return TableEntry.model_validate(table.document)
    except ValidationError as error:
        return error


def n_files(array: Array) -> int:
    """Files of an array's grid."""
    return math.prod(-(-n // s) for n, s in zip(array.shape, array.shard, strict=True))


def grid_places(array: Array) -> Iterator[tuple[int, ...]]:
    """Yield the places of an array's grid in C order; unlike ``numpy.ndindex`` of a grid of any size."""
    return files_of(tuple((0, n) for n in array.shape), tuple(array.shard))


def fill_of(array: Array | ArraySpec) -> np.generic | None:
    """Return the fill value in the array's type, None where the type cannot hold it."""
    if not _holds(array.dtype, array.fill):
        return None
    value: np.generic = np.dtype(array.dtype).type(array.fill)
    return value


class Expect:
    """Holds arrays of the manifest against what a chapter demands.

    Parameters
    ----------
    findings
        Where to report.
    requirement
        The statement that gives data types and shapes.
    """

    def __init__(self, findings: Sink, requirement: str) -> None:
        self._findings = findings
        self._requirement = requirement

    def array(
        self, array: Array, dtypes: str | Sequence[str], shape: Sequence[int | None], *, fill: int | None
    ) -> None:
        """Check an array; None in `shape` is any extent, as `fill` any value that the type can hold."""
        allowed = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
        if array.dtype not in allowed:
            self._add(self._requirement, array, "wrong data type", " or ".join(allowed), array.dtype)
        fits = len(shape) == len(array.shape) and all(
            want is None or want == have for want, have in zip(shape, array.shape, strict=True)
        )
        if not fits:
            wanted = ["any" if n is None else n for n in shape]
            self._add(self._requirement, array, "wrong shape", str(wanted).replace("'", ""), array.shape)
        self._check_fill(array, fill)

    def integers(self, array: Array, dtype: str, shape: Sequence[int | None]) -> None:
        """Check an array of codes, places or numbers."""
        self.array(array, dtype, shape, fill=CODE_FILL)

    def flags(self, array: Array, shape: Sequence[int | None]) -> None:
        """Check an array of 0 and 1."""
        self.array(array, "uint8", shape, fill=FLAG_FILL)

    def strings(self, strings: StringArray, n: int | None) -> None:
        """Check `n` strings."""
        plain = Expect(self._findings, "ZAR-22")
        plain.array(strings.bytes, "uint8", [None], fill=BYTE_FILL)
        plain.array(strings.offsets, "int64", [None], fill=CODE_FILL)
        if n is not None and strings.n != n:
            self._add(self._requirement, strings.offsets, "wrong number of strings", n, strings.n)

    def _check_fill(self, array: Array, fill: int | None) -> None:
        if fill is not None:
            if type(array.fill) is not int or array.fill != fill:
                self._add("ZAR-19", array, "wrong fill value", fill, array.fill)
        elif not _holds(array.dtype, array.fill):
            self._add("ZAR-19", array, "the data type cannot hold the fill value", f"a {array.dtype}", array.fill)
        elif array.dtype in ("int64", "uint64") and array.fill % _FILL_STEP:
            self._add("ZAR-19", array, "wrong fill value", f"a multiple of {_FILL_STEP}", array.fill)

    def _add(self, requirement: str, array: Array, what: str, expected: object, found: object) -> None:
        self._findings.add(requirement, array.path, what, expected=expected, found=found)


@lru_cache(maxsize=1024, typed=True)  # of a handful of types and fill values
def _holds(dtype: str, value: float) -> bool:
    if dtype.startswith("float"):
        if isinstance(value, int) and abs(value) > 2**53:
            return False
        with np.errstate(over="ignore"):
            held = float(np.dtype(dtype).type(value))
        return math.isfinite(held) and held == value
    limits = np.iinfo(dtype)
    return type(value) is int and limits.min <= value <= limits.max

"""Level 3, obs columns: flags, codes, categories, and what stands where a value is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.structure.sink import several
from scformat.validation.labels import check_distinct
from scformat.validation.strings import read_strings, string_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Array, ObsColumn, ObsValues, Part
    from scformat.validation.files import Files

_CELLS_AT_ONCE = 1 << 20


def check_categories(files: Files, column: ObsColumn) -> None:
    """Check the categories of a column that is no label."""
    if column.categories is not None:
        texts = read_strings(files, column.categories)
        if texts is not None:
            check_distinct(texts, "CEL-19", column.categories.bytes.path, files.findings)


def check_values(files: Files, part: Part, column: ObsColumn, values: ObsValues) -> None:
    """Check the values of a column in a part."""
    checker = _Checker(files, part)
    if values.codes is not None and column.categories is not None:
        checker.codes(values.codes, column.categories.n)
    elif values.values is not None:
        checker.numbers(values.values, values.missing, boolean=column.kind == "boolean")
    elif values.strings is not None:
        checker.strings(values)


class _Checker:
    def __init__(self, files: Files, part: Part) -> None:
        self._files = files
        self._part = part

    def codes(self, array: Array, n: int) -> None:
        window = self._files.window(array)
        for start in range(0, self._part.n_cells, _CELLS_AT_ONCE):
            codes = window.read(start, min(start + _CELLS_AT_ONCE, self._part.n_cells))
            if codes is not None:
                self._report("CEL-19", array, start, (codes < -1) | (codes >= n), "a code without a category", codes)
            window.release(start + _CELLS_AT_ONCE)

    def numbers(self, array: Array, missing: Array | None, *, boolean: bool) -> None:
        window = self._files.window(array)
        masks = None if missing is None else self._files.window(missing)
        for start in range(0, self._part.n_cells, _CELLS_AT_ONCE):
            stop = min(start + _CELLS_AT_ONCE, self._part.n_cells)
            values = window.read(start, stop)
            mask = None if masks is None else masks.read(start, stop)
            if mask is not None and missing is not None:
                self._flags(missing, start, mask)
            if values is not None and boolean:
                self._report("CEL-18", array, start, values > 1, "a boolean that is neither 0 nor 1", values)
            if values is not None and mask is not None:
                bad = (mask == 1) & ~(values == 0)
                self._report("CEL-16", array, start, bad, "a missing value that is not 0", values)
            window.release(stop)
            if masks is not None:
                masks.release(stop)

    def strings(self, values: ObsValues) -> None:
        if values.strings is None:
            return
        masks = None if values.missing is None else self._files.window(values.missing)
        for start, offsets, _ in string_blocks(self._files, values.strings):
            stop = start + len(offsets) - 1
            mask = None if masks is None else masks.read(start, stop)
            if masks is not None:
                masks.release(stop)
            if mask is not None and values.missing is not None:
                self._flags(values.missing, start, mask)
                lengths = np.diff(offsets)
                bad = (mask == 1) & (lengths > 0)
                self._report("CEL-16", values.strings.offsets, start, bad, "a missing text that is not empty", lengths)

    def _flags(self, array: Array, start: int, mask: NDArray[np.uint8]) -> None:
        self._report("CEL-16", array, start, mask > 1, "neither 0 nor 1", mask)

    def _report(
        self, requirement: str, array: Array, start: int, bad: NDArray[np.bool_], what: str, values: NDArray[Any]
    ) -> None:
        found = np.flatnonzero(bad)
        if len(found):
            at = int(found[0])
            where = f"{array.path}, cell {self._part.start + start + at}"
            self._files.findings.add(requirement, where, what + several(len(found)), found=values[at])

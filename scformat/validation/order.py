"""Level 3, the physical order of cells: whether they are sorted as the part says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.random import DOMAIN_ORDER, words64
from scformat.structure.sink import several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Part
    from scformat.validation.report import Findings

_REQUIREMENT = {"source": "ORD-1", "shuffled": "ORD-3", "stratified": "ORD-4"}


class OrderCheck:
    """Checks the order of a part block by block.

    Parameters
    ----------
    part
        The part.
    digests
        SHA-256 of each source of the part.
    seed
        The manifest's.
    """

    def __init__(self, part: Part, digests: Sequence[str], seed: int, findings: Findings) -> None:
        self._part = part
        self._seed = seed
        self._findings = findings
        self._heads = np.array([int.from_bytes(bytes.fromhex(d)[:4], "little") for d in digests], np.uint32)
        self._last: list[Any] | None = None
        self._reported = False

    def add(
        self,
        first: int,
        source: NDArray[np.int64],
        source_row: NDArray[np.int32],
        by: Sequence[NDArray[np.int32]],
    ) -> None:
        """Check the cells from `first` on: their source within the part, their row in it, the codes to sort by."""
        columns: list[NDArray[Any]] = list(by)
        if self._part.order.kind != "source":
            keys = words64(self._seed, DOMAIN_ORDER, source_row.astype(np.uint64), self._heads[source])
            columns.append(keys)
        n_keyed = len(columns)
        columns += [source, source_row]
        if self._last is not None:
            columns = [np.concatenate([[last], c]).astype(c.dtype) for last, c in zip(self._last, columns, strict=True)]
            first -= 1
        self._last = [c[-1] for c in columns]
        falls, tied = _falls(columns, n_keyed)
        if len(falls) and not self._reported:
            self._reported = True
            kind = self._part.order.kind
            at = int(falls[0])
            requirement = "ORD-5" if tied[at] and kind != "source" else _REQUIREMENT[kind]
            text = f"the cell is not in the order {kind!r}{several(len(falls))}"
            where = f"{self._part.index.path}, cell {self._part.start + first + at + 1}"
            self._findings.add(requirement, where, text)


def _falls(columns: Sequence[NDArray[Any]], n_keyed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where a row of columns is above the next one, and whether the first `n_keyed` columns tie there."""
    n = max(len(columns[0]) - 1, 0)
    tied, fell, after = np.ones(n, np.bool_), np.zeros(n, np.bool_), np.ones(n, np.bool_)
    for i, column in enumerate(columns):
        fell |= tied & (column[:-1] > column[1:])
        tied &= column[:-1] == column[1:]
        if i + 1 == n_keyed:
            after = tied.copy()
    return np.flatnonzero(fell), after

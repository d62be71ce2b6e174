"""First pass over the counts of a source: whether they are counts, and what each cell holds."""

from __future__ import annotations

import threading
from concurrent.futures import as_completed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.rows import as_csr, row_ranges
from scformat.entries import FAULTS, OK, scan_rows
from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from scformat.sources.base import CountsMatrix


class NotCountsError(Exception):
    """A matrix does not hold counts; the text says what it holds, and where."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scan:
    """Figures of the n cells and m columns of one matrix.

    Attributes
    ----------
    needed : int64 array, shape (n,)
        Entries that the cell may take at most, gaps aside.
    total : int64 array, shape (n,)
        Sum of the cell's counts over all columns.
    n_genes : int64 array, shape (n,)
        Columns with a non-zero count.
    content : int64 array, shape (n,)
        Content hash, 63 bits.
    detection : int64 array, shape (m,)
        Cells with a non-zero count in each column.
    """

    needed: NDArray[np.int64]
    total: NDArray[np.int64]
    n_genes: NDArray[np.int64]
    content: NDArray[np.int64]
    detection: NDArray[np.int64]


def scan(
    matrix: CountsMatrix,
    keys: NDArray[np.uint64],
    *,
    pool: Executor,
    at_most: int,
    where: str,
    advance: Callable[[int], None] = lambda _: None,
) -> Scan:
    """Read every value of a row-wise matrix once.

    Parameters
    ----------
    matrix
        CSR or dense.
    keys : uint64 array, shape (n_columns,)
        Content key of each column's gene.
    pool
        Runs the blocks.
    at_most
        Stored values a block.
    where
        File and place, for messages.
    advance
        Called with the number of stored values of each block that is done.

    Raises
    ------
    NotCountsError
        A value is no count, or no value is above zero.
    """
    n_rows, n_columns = matrix.shape
    figures = np.zeros((4, n_rows), np.int64)
    detections: list[NDArray[np.int64]] = []
    scratch = threading.local()

    def work(start: int, stop: int) -> tuple[str | None, int, int]:
        offsets, indices, data = as_csr(matrix.read_rows(start, stop))
        if not hasattr(scratch, "seen"):
            scratch.seen = np.full(n_columns, -1, np.int64)
            scratch.detection = np.zeros(n_columns, np.int64)
            detections.append(scratch.detection)
        fault, row, p = scan_rows(
            offsets, indices, data, keys, scratch.detection, scratch.seen, start, *figures[:, start:stop]
        )
        if fault != OK:
            place = f"row {start + row}, column {indices[p]}"
            value = "" if fault not in (1, 2) else f" ({data[p]})"
            return f"{FAULTS[fault]}{value} at {place}", start, len(data)
        return None, start, len(data)

    tasks = [pool.submit(work, *bounds) for bounds in row_ranges(matrix, at_most=at_most)]
    try:
        faults = []
        for task in as_completed(tasks):
            fault, start, n_values = task.result()
            advance(n_values)
            if fault is not None:
                faults.append((start, fault))
                break
    finally:
        for task in tasks:
            task.cancel()
    if faults:
        # Blocks end in any order; the first bad row of those that were read is named.
        faults += [(r[1], r[0]) for t in tasks if t.done() and not t.cancelled() and (r := t.result())[0] is not None]
        raise NotCountsError(min(faults)[1])
    if not figures[1].any():
        raise NotCountsError("no value above zero")
    needed, total, n_genes, content = figures
    if needed.max(initial=0) > MAX_ROW_ENTRIES or total.max(initial=0) > MAX_TOTAL:
        row = int(needed.argmax())
        raise InvalidDataError("cell-too-large", "a cell too large to store", where=where, found=f"row {row}")
    detection = np.zeros(n_columns, np.int64)
    for some in detections:
        detection += some
    return Scan(needed=needed, total=total, n_genes=n_genes, content=content, detection=detection)


MAX_ROW_ENTRIES = 4_000_000
"""A row must fit a shard, gaps included."""
MAX_TOTAL = 2**53 - 1

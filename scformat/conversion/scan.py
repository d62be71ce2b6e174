"""First pass over the counts of a source: whether they are counts, and what each cell holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.rows import as_csr, row_ranges
from scformat.entries import FAULTS, OK, scan_rows
from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scformat.conversion.engine import Engine
    from scformat.conversion.located import LocatedMatrix


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


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanJob:
    """A row-wise matrix to scan, and the content key of each column's gene: uint64 array, shape (n_columns,)."""

    matrix: LocatedMatrix
    keys: NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True, eq=False)
class ScannedRows:
    """What the n rows of a block hold.

    Attributes
    ----------
    n_values
        Stored values.
    figures : int64 array, shape (4, n)
        ``needed``, ``total``, ``n_genes`` and ``content`` of :class:`Scan`.
    detection : int64 array, shape (n_columns,)
        Cells with a non-zero count in each column.
    fault
        What is no count, and where; None where all are counts.
    """

    n_values: int
    figures: NDArray[np.int64]
    detection: NDArray[np.int64]
    fault: str | None


def scan_block(job: ScanJob, rows: tuple[int, int]) -> ScannedRows:
    """Read the rows from one number up to another."""
    start, stop = rows
    offsets, indices, data = as_csr(job.matrix.matrix.read_rows(start, stop))
    n_columns = len(job.keys)
    figures, detection = np.zeros((4, stop - start), np.int64), np.zeros(n_columns, np.int64)
    seen = np.full(n_columns, -1, np.int64)
    fault, row, p = scan_rows(offsets, indices, data, job.keys, detection, seen, start, *figures)
    text = None
    if fault != OK:
        value = "" if fault not in (1, 2) else f" ({data[p]})"
        text = f"{FAULTS[fault]}{value} at row {start + row}, column {indices[p]}"
    return ScannedRows(n_values=len(data), figures=figures, detection=detection, fault=text)


def scan(
    matrix: LocatedMatrix,
    keys: NDArray[np.uint64],
    *,
    engine: Engine,
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
    engine
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
    rows = matrix.matrix
    figures = np.zeros((4, rows.shape[0]), np.int64)
    detection = np.zeros(len(keys), np.int64)
    fault: tuple[int, str] | None = None
    with engine.submit(scan_block, ScanJob(matrix=matrix, keys=keys), row_ranges(rows, at_most=at_most)) as blocks:
        for (start, stop), found in blocks:
            advance(found.n_values)
            figures[:, start:stop] = found.figures
            detection += found.detection
            if found.fault is not None and (fault is None or start < fault[0]):
                # Blocks end in any order; those before this one may have a bad row too, and the first one is named.
                fault = start, found.fault
                blocks.drop(lambda block, first=start: block[0] > first)  # type: ignore[misc]
    if fault is not None:
        raise NotCountsError(fault[1])
    if not figures[1].any():
        raise NotCountsError("no value above zero")
    needed, total, n_genes, content = figures
    if needed.max(initial=0) > MAX_ROW_ENTRIES or total.max(initial=0) > MAX_TOTAL:
        row = int(needed.argmax())
        raise InvalidDataError("cell-too-large", "a cell too large to store", where=where, found=f"row {row}")
    return Scan(needed=needed, total=total, n_genes=n_genes, content=content, detection=detection)


MAX_ROW_ENTRIES = 4_000_000
"""A row must fit a shard, gaps included."""
MAX_TOTAL = 2**53 - 1

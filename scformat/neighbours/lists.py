"""Lists of neighbours in memory, or in a file where they are many: what a table is written from."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, UsageError
from scformat.store.neighbours import NONE

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DISTANCE = "distance"
"""The one meaning of weights by which less is nearer."""
MAX_K = 1024
IN_MEMORY = 1 << 30
"""Bytes of a list beyond which it lies in a file that has no name."""
BLOCK = 1 << 16
"""Cells that are looked at together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourLists:
    """The neighbours of all cells of a store.

    Attributes
    ----------
    rows : int32 or int64 array, shape (n_cells, k)
        Rows of the store, nearest first, -1 from where a cell has no more.
    weights : float32 array, shape (n_cells, k), or None
        0 where there is no neighbour.
    weight
        What weights are: ``distance``, or a similarity of any other name; None without weights.
    source
        Where they are from, for people.
    """

    rows: NDArray[np.integer[Any]]
    weights: NDArray[np.float32] | None = None
    weight: str | None = None
    source: str = "given"

    @property
    def k(self) -> int:
        """Neighbours of a cell, at most."""
        return int(self.rows.shape[1])

    def __len__(self) -> int:
        return len(self.rows)


def empty_lists(
    n_cells: int, k: int, *, weight: str | None, source: str, directory: Path | None = None
) -> NeighbourLists:
    """Make lists without any neighbour, to be filled; long ones lie in a nameless file of `directory`."""
    dtype = row_type(n_cells)
    rows = _room((n_cells, k), dtype, directory)
    rows[:] = NONE
    weights = None if weight is None else _room((n_cells, k), "float32", directory)
    if weights is not None:
        weights[:] = 0
    return NeighbourLists(rows=rows, weights=weights, weight=weight, source=source)


def row_type(n_cells: int) -> str:
    """Type of stored rows."""
    return "int32" if n_cells < 1 << 31 else "int64"


def _room(shape: tuple[int, int], dtype: str, directory: Path | None) -> NDArray[Any]:
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if size <= IN_MEMORY or directory is None:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile(dir=directory) as file:
        file.truncate(size)
        return np.memmap(file, dtype, "r+", shape=shape)


def check_k(k: object, *, most: int = MAX_K) -> int:
    """Return a number of neighbours, or refuse what is none (``bad-k``)."""
    if type(k) is not int or not 1 <= k <= most:
        raise UsageError("bad-k", "not a number of neighbours", expected=f"1 to {most}", found=repr(k))
    return k


def fill_nearest(
    lists: NeighbourLists,
    cells: NDArray[np.int64],
    neighbours: NDArray[np.int64],
    weights: NDArray[Any],
    *,
    where: str,
) -> None:
    """Fill in the lists of some cells from their ties.

    A cell's ties must all be among those given. The nearest come first, of equal weight by row; a cell's tie to
    itself and a similarity of 0 are none.

    Parameters
    ----------
    lists
        Of weights; no list of these cells has been filled yet.
    cells, neighbours : int64 arrays, shape (n,)
        Rows of the store.
    weights : array, shape (n,)
    where
        For messages.

    Raises
    ------
    InvalidDataError
        ``bad-neighbour-weight``: a weight that is not finite as float32.
    """
    assert lists.weights is not None  # a graph has weights
    kept = cells != neighbours
    cells, neighbours, given = cells[kept], neighbours[kept], weights[kept]
    with np.errstate(over="ignore"):
        weight = given.astype(np.float32)
    refuse_weights(weight, given, cells, where=where)
    if lists.weight != DISTANCE:
        kept = weight != 0
        cells, neighbours, weight = cells[kept], neighbours[kept], weight[kept]
    order = np.lexsort((neighbours, weight if lists.weight == DISTANCE else -weight, cells))
    cells = cells[order]
    place = np.arange(len(cells)) - np.searchsorted(cells, cells)
    near = place < lists.k
    lists.rows[cells[near], place[near]] = neighbours[order][near]
    lists.weights[cells[near], place[near]] = weight[order][near]


def refuse_weights(weight: NDArray[np.float32], given: NDArray[Any], cells: NDArray[np.int64], *, where: str) -> None:
    """Refuse weights that are not finite, or the fill value of their array."""
    bad = ~np.isfinite(weight) | (weight == np.finfo(np.float32).min)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InvalidDataError(
            "bad-neighbour-weight",
            "a weight that is no finite number of 32 bits",
            where=f"{where}, row {int(cells[at])}",
            found=given[at],
        )


def lists_of_arrays(
    n_cells: int, rows: Any, weights: Any, *, k: int | None, weight: str | None, source: str
) -> NeighbourLists:
    """Check lists that are given as arrays, and bring them into the form of a table.

    Parameters
    ----------
    n_cells
        Of the store.
    rows : integer array-like, shape (n_cells, m)
        Negative ones are none, wherever they are; a cell among its own neighbours is left out. Without weights the
        nearest come first.
    weights : array-like, shape (n_cells, m), or None
        They say what is nearest; equal ones stay in their order.
    k
        Neighbours of a cell to keep; None: m.

    Raises
    ------
    UsageError
        ``bad-neighbours``: another shape, rows beyond the store, a row twice; ``bad-k``; ``no-weight-meaning``.
    InvalidDataError
        ``bad-neighbour-weight``.
    """
    given = np.asarray(rows)
    if given.ndim != 2 or given.dtype.kind not in "iu" or len(given) != n_cells or given.shape[1] < 1:
        raise _bad_lists(f"whole numbers of shape ({n_cells}, k)", f"{given.dtype}, shape {given.shape}")
    values = None if weights is None else np.asarray(weights)
    if values is not None and (values.shape != given.shape or values.dtype.kind not in "iuf"):
        raise _bad_lists(f"weights of shape {given.shape}", f"{values.dtype}, shape {values.shape}")
    if (values is None) != (weight is None):
        what = "weights without a meaning" if weight is None else "a meaning of weights, but no weights"
        raise UsageError("no-weight-meaning", what, hint="give weights and weight='distance' or 'connectivity'")
    k = check_k(given.shape[1] if k is None else k, most=min(MAX_K, given.shape[1]))
    lists = empty_lists(n_cells, k, weight=weight, source=source)
    for start in range(0, n_cells, BLOCK):
        some = slice(start, min(start + BLOCK, n_cells))
        _fill_block(lists, some, given[some].astype(np.int64), None if values is None else values[some])
    return lists


def _fill_block(lists: NeighbourLists, some: slice, rows: NDArray[np.int64], given: NDArray[Any] | None) -> None:
    n_cells, cells = len(lists), np.arange(some.start, some.stop)
    held = (rows >= 0) & (rows != cells[:, None])
    if rows.size and int(rows.max()) >= n_cells:
        raise _bad_lists(f"rows below {n_cells}", int(rows.max()))
    keys = [~held]
    weight = np.zeros(rows.shape, np.float32)
    if given is not None:
        with np.errstate(over="ignore"):
            weight[:] = given
        weight[~held] = 0
        refuse_weights(weight.reshape(-1), given.reshape(-1), np.repeat(cells, rows.shape[1]), where="the weights")
        keys = [weight if lists.weight == DISTANCE else -weight, ~held]
    order = np.lexsort(keys, axis=1)
    rows = np.take_along_axis(np.where(held, rows, NONE), order, axis=1)
    sorted_rows = np.sort(rows, axis=1)
    twice = ((sorted_rows[:, 1:] == sorted_rows[:, :-1]) & (sorted_rows[:, 1:] >= 0)).any(axis=1)
    if twice.any():
        raise _bad_lists("every neighbour of a cell once", f"one of row {int(cells[twice][0])} twice")
    lists.rows[some] = rows[:, : lists.k]
    if lists.weights is not None:
        lists.weights[some] = np.take_along_axis(weight, order, axis=1)[:, : lists.k]


def _bad_lists(expected: object, found: object) -> UsageError:
    return UsageError("bad-neighbours", "not lists of the neighbours of each cell", expected=expected, found=found)

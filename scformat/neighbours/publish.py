"""Neighbours added to a store: arrays first, then the root that names them, in one step."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat import layout
from scformat.errors import UsageError
from scformat.manifest import NeighboursEntry
from scformat.neighbours.graph import longest_list, read_ties
from scformat.neighbours.lists import (
    BLOCK,
    MAX_K,
    NeighbourLists,
    check_k,
    empty_lists,
    fill_nearest,
    lists_of_arrays,
    row_type,
)
from scformat.publishing import place_of
from scformat.sources.matrices import ArrayRows, SparseMatrix
from scformat.storage import Storage
from scformat.tables.build import cells_digest
from scformat.writing import ArrayWriter, write_groups

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from scformat.layout import ArraySpec
    from scformat.manifest import Array, Manifest
    from scformat.store import Store

FEATURE = "neighbours"
"""Optional feature of a store that has neighbour tables."""

_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def add_neighbours(
    store: Store,
    name: str,
    graph: Any,
    *,
    k: int | None = None,
    weight: str | None = None,
    source: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Manifest:
    """Add a neighbour table to a store, and return the store's new manifest.

    Who has the store open goes on with what it was.

    Parameters
    ----------
    store
        The store.
    name
        Of the table: letters, digits, ``_`` and ``-``, dots between them.
    graph
        A scipy sparse matrix over the rows of the store, row i what cell i is tied to; or a pair of arrays (rows,
        weights), each of shape (n_cells, m), weights None where there are none; or what
        :func:`neighbours_from_sources` returns. Ties of a cell to itself are left out.
    k
        Neighbours of a cell to keep, the nearest; None: as many as the longest list has.
    weight
        What weights are: ``distance`` (less is nearer), or a similarity by any other name (more is nearer, 0 is no
        tie). To be given with weights, except where `graph` says it.
    source
        Where the neighbours are from, for people.
    progress
        Called with stage, done, total.

    Raises
    ------
    UsageError
        ``bad-name``, ``neighbours-exist``, ``cannot-add``, ``bad-graph``, ``bad-neighbours``, ``bad-k``,
        ``no-weight-meaning``.
    InvalidDataError
        ``bad-neighbour-weight``, ``index-out-of-range``.
    StorageError
        ``store-changed``: another process replaced the root since the store was opened.
    """
    place = place_of(store, "neighbours")
    check_new(store, name)
    lists = _lists(store, graph, k=k, weight=weight, source=source)
    with place.adding() as begun:
        storage = place.storage
        entry = _write(storage, store.manifest, name, lists, progress, begun)
        arrays = [array.path for array in (entry.rows, entry.weights) if array is not None]
        groups = write_groups(storage, arrays)
        storage.sync()
        old = store.manifest
        features = old.optional_features
        new = old.model_copy(
            update={
                "neighbours": [*(old.neighbours or ()), entry],
                "groups": dict(sorted({**old.groups, **groups}.items())),
                "optional_features": features if FEATURE in features else [*features, FEATURE],
            }
        )
        return place.replace_root(store, new)


def check_new(store: Store, name: str) -> None:
    """Refuse what is no name (``bad-name``), or one that the store has (``neighbours-exist``)."""
    if _NAME.fullmatch(name) is None or len(name) > 64:
        raise UsageError(
            "bad-name",
            "not a name of a neighbour table",
            expected="letters, digits, _ and -, dots between them, at most 64",
            found=repr(name),
        )
    if name in store.neighbours:
        raise UsageError(
            "neighbours-exist", f"the store has neighbours {name!r}", where=store.path, hint="choose another name"
        )


def _lists(store: Store, graph: Any, *, k: int | None, weight: str | None, source: str | None) -> NeighbourLists:
    from scipy import sparse

    n = store.n_cells
    if isinstance(graph, NeighbourLists):
        if weight is not None and weight != graph.weight:
            raise UsageError("no-weight-meaning", "the lists say what their weights are", found=repr(graph.weight))
        if len(graph) != n:
            raise _bad_graph(f"lists of {n} cells", len(graph))
        return _lists_up_to(graph, graph.k if k is None else check_k(k, most=graph.k), source)
    if isinstance(graph, tuple) and len(graph) == 2:
        return lists_of_arrays(n, *graph, k=k, weight=weight, source=source or "given")
    if not sparse.issparse(graph):
        raise _bad_graph("a scipy sparse matrix, or a pair (rows, weights)", type(graph).__name__)
    if graph.shape != (n, n):
        raise _bad_graph(f"a matrix of shape {(n, n)}", graph.shape)
    if weight is None:
        raise UsageError(
            "no-weight-meaning",
            "what the elements of the matrix mean is not said",
            hint="say weight='distance' (less is nearer) or weight='connectivity' (more is nearer)",
        )
    return _lists_of_matrix(graph.tocsr(), k, weight, source or "given")


def _lists_of_matrix(graph: Any, k: int | None, weight: str, source: str) -> NeighbourLists:
    stored = int(graph.indptr[-1])
    matrix = SparseMatrix(
        location="graph",
        where="the graph",
        layout="csr",
        shape=graph.shape,
        offsets=graph.indptr,
        indices=ArrayRows(graph.indices[:stored]),
        data=ArrayRows(graph.data[:stored]),
        var=_no_var,
    )
    lists = empty_lists(graph.shape[0], longest_list(matrix) if k is None else check_k(k), weight=weight, source=source)
    for cells, neighbours, weights in read_ties(matrix):
        fill_nearest(lists, cells, neighbours, weights, where="the graph")
    if k is None:
        used = max([1, *(int((block >= 0).sum(axis=1).max()) for block in _blocks(lists.rows))])
        return _lists_up_to(lists, used, source)
    return lists


def _lists_up_to(lists: NeighbourLists, k: int, source: str | None = None) -> NeighbourLists:
    return NeighbourLists(
        rows=lists.rows[:, :k],
        weights=None if lists.weights is None else lists.weights[:, :k],
        weight=lists.weight,
        source=source or lists.source,
    )


def _no_var() -> Any:
    raise TypeError("a graph has no var table")


def _bad_graph(expected: object, found: object) -> UsageError:
    return UsageError("bad-graph", "not a graph over the cells of the store", expected=expected, found=found)


def _write(
    storage: Storage,
    manifest: Manifest,
    name: str,
    lists: NeighbourLists,
    progress: Callable[[str, int, int], None] | None,
    begun: list[str],
) -> NeighboursEntry:
    n, k, cells = len(lists), lists.k, cells_digest(manifest)
    digest = lists_digest(lists, cells)
    path = f"neighbours/{name}-{digest[:8]}"
    begun.append(path)
    stages = _Stages(progress, n * (1 if lists.weights is None else 2))
    rows = layout.neighbours(f"{path}/rows", row_type(n), k, n)
    weights = layout.neighbours(f"{path}/weights", "float32", k, n, fill=layout.WEIGHT_FILL)
    return NeighboursEntry(
        name=name,
        k=check_k(k, most=MAX_K),
        n_rows=n,
        cells=cells,
        n_neighbours=sum(int((block >= 0).sum()) for block in _blocks(lists.rows)),
        weight=lists.weight,
        source=lists.source,
        rows=_write_turned(storage, rows, lists.rows, stages),
        weights=None if lists.weights is None else _write_turned(storage, weights, lists.weights, stages),
        sha256=digest,
    )


def lists_digest(lists: NeighbourLists, cells: str) -> str:
    """Digest of a table: the cells that its rows are, then rows and weights, cell after cell."""
    lines = ["scformat neighbours 1", f"cells {cells}", f"k {lists.k}", f"rows {_digest_of(lists.rows, '<i8')}"]
    if lists.weights is not None:
        lines.append(f"weights {_digest_of(lists.weights, '<f4')}")
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _digest_of(values: NDArray[Any], dtype: str) -> str:
    total = hashlib.sha256()
    for block in _blocks(values):
        total.update(np.ascontiguousarray(block, dtype).data)
    return total.hexdigest()


def _blocks(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    return (values[start : start + BLOCK] for start in range(0, len(values), BLOCK))


def _write_turned(storage: Storage, spec: ArraySpec, values: NDArray[Any], stages: _Stages) -> Array:
    """Write lists as an array whose last axis runs over the cells, as all arrays of cells do."""
    writer = ArrayWriter(storage, spec)
    for index, _ in spec.files():
        _, some = spec.slices(index)
        writer.put(index, np.ascontiguousarray(values[some].T, spec.dtype))
        stages.advance(some.stop - some.start)
    return writer.finish()


class _Stages:
    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def advance(self, n: int) -> None:
        self._done += n
        if self._progress is not None:
            self._progress("writing neighbours", self._done, self._total)

"""Neighbours from the graphs that the sources of a store carry in ``obsp``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.neighbours.graph import read_ties
from scformat.neighbours.lists import BLOCK, DISTANCE, check_k, empty_lists, fill_nearest
from scformat.sources import expand, open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import anndata
    from numpy.typing import NDArray

    from scformat.neighbours.lists import NeighbourLists
    from scformat.sources import Source
    from scformat.store import Store
    from scformat.strings import Strings

MEANINGS = {"distances": DISTANCE, "connectivities": "connectivity"}


def neighbours_from_sources(
    store: Store,
    sources: str | Path | anndata.AnnData | Sequence[str | Path | anndata.AnnData],
    *,
    key: str = "distances",
    k: int = 15,
    weight: str | None = None,
    directory: Path | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> NeighbourLists:
    """Read the neighbours of a store's cells from the files that it was converted from.

    A file may have got its graph after the conversion: a source is found by its name, else by its digest, and its
    barcodes must be those that the store knows. Cells of other sources have no neighbours. Cells that the store
    left out are left out of the lists.

    Parameters
    ----------
    store
        The store.
    sources
        h5ad files, AnnData-Zarr directories, patterns of them, AnnData objects.
    key
        Of the matrix in ``obsp``.
    k
        Neighbours of a cell to keep, the nearest; 1 to 1024.
    weight
        What the elements are: ``distance``, or a similarity of any other name; None: as `key` ends with
        ``distances`` or ``connectivities``.
    directory
        Where a nameless file may lie for lists beyond 1 GiB; None: they lie in memory.
    progress
        Called with stage, done, total.

    Raises
    ------
    UnknownNameError
        ``unknown-source``: the store has none of that name; ``unknown-obsp-matrix``: both with near names.
    UsageError
        ``bad-k``, ``no-weight-meaning``, ``duplicate-source``.
    InvalidDataError
        ``other-source``: another number of cells, or other barcodes, than the store knows; ``index-out-of-range``,
        ``bad-neighbour-weight``.
    """
    check_k(k)
    tell = progress if progress is not None else _nobody
    opened: dict[int, Source] = {}
    try:
        for given in expand(sources):
            source = open_source(given.source, name=given.name)
            number = _number(store, source)
            if number in opened:
                source.close()
                raise UsageError("duplicate-source", "the same source is given twice", where=source.path or source.name)
            opened[number] = source
            source.graph(key)  # of all of them before anything is read
            _check_length(store, number, source)
        weight = weight or _meaning(key)
        rows_of = _rows_of_sources(store, opened, tell)
        lists = empty_lists(store.n_cells, k, weight=weight, source=f"obsp/{key}", directory=directory)
        for done, (number, source) in enumerate(opened.items()):
            tell("reading neighbours", done, len(opened))
            _fill(lists, source, key, rows_of[number])
        tell("reading neighbours", len(opened), len(opened))
    finally:
        for source in opened.values():
            source.close()
    return lists


def _meaning(key: str) -> str:
    """Return what the elements of a matrix are by its name, as scanpy gives names."""
    found = next((meaning for end, meaning in MEANINGS.items() if key.endswith(end)), None)
    if found is None:
        raise UsageError(
            "no-weight-meaning",
            f"what the elements of obsp/{key} mean is not clear from its name",
            hint="say weight='distance' (less is nearer) or weight='connectivity' (more is nearer)",
        )
    return found


def _number(store: Store, source: Source) -> int:
    """Find a file in the store by name, else by digest; an object, whose name says little, the other way round."""
    records = store.sources_view.records
    names = [record.name for record in records]
    if source.name in names and source.path is not None:
        return names.index(source.name)
    digest = source.sha256()
    same = [i for i, record in enumerate(records) if record.sha256 == digest]
    if len(same) == 1:
        return same[0]
    if source.name in names:
        return names.index(source.name)
    raise unknown_name("source", source.name, names, where=store.path)


def _check_length(store: Store, number: int, source: Source) -> None:
    record = store.sources_view.records[number]
    if source.n_cells != record.n_rows:
        raise _other(source, f"{record.n_rows} cells, as the source {record.name!r} of the store", source.n_cells)


def _rows_of_sources(
    store: Store, opened: dict[int, Source], tell: Callable[[str, int, int], None]
) -> dict[int, NDArray[np.int64]]:
    """Return the row in the store of each row of each source, -1 where it was left out, and compare barcodes."""
    rows_of = {number: np.full(source.n_cells, -1, np.int64) for number, source in opened.items()}
    barcodes = {number: source.barcodes() for number, source in opened.items()}
    for start in range(0, store.n_cells, BLOCK):
        tell("finding cells", start, store.n_cells)
        rows = np.arange(start, min(start + BLOCK, store.n_cells))
        numbers, places = store.field("source", rows), store.field("source_row", rows)
        for number in np.intersect1d(numbers, list(opened)).tolist():
            here = numbers == number
            own = places[here].astype(np.int64)
            if len(own) and (int(own.min()) < 0 or int(own.max()) >= len(rows_of[number])):
                raise InvalidDataError("bad-source-row", "a row that the source does not have", where=store.path)
            _compare(store.barcodes(rows[here]), barcodes[number].take(own), own, opened[number])
            rows_of[number][own] = rows[here]
    return rows_of


def _compare(known: Strings, found: Strings, places: NDArray[np.int64], source: Source) -> None:
    same = np.diff(known.offsets) == np.diff(found.offsets)
    if same.all() and np.array_equal(known.data[known.offsets[0] : known.offsets[-1]], found.data):
        return
    at = next(i for i, (one, other) in enumerate(zip(known, found, strict=True)) if one != other)
    raise _other(source, f"the barcode {known[at]!r} in row {int(places[at])}, as in the store", repr(found[at]))


def _fill(lists: NeighbourLists, source: Source, key: str, rows_of: NDArray[np.int64]) -> None:
    matrix = source.graph(key)
    where = f"{source.path or source.name}: obsp/{key}"
    ties: Any
    for ties in read_ties(matrix):
        cells, neighbours = rows_of[ties[0]], rows_of[ties[1]]
        held = (cells >= 0) & (neighbours >= 0)
        fill_nearest(lists, cells[held], neighbours[held], ties[2][held], where=where)


def _other(source: Source, expected: str, found: object) -> InvalidDataError:
    return InvalidDataError(
        "other-source",
        "not the source that the store was converted from",
        where=source.path or source.name,
        expected=expected,
        found=found,
    )


def _nobody(stage: str, done: int, total: int) -> None:
    """Tell nobody."""

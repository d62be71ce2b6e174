"""Tables from the labels of a store, in memory that grows with the strata and not with the cells."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scformat.expression import parse
from scformat.sampling.levels import Levels
from scformat.sampling.masses import check_temperature, integer_masses, tempered
from scformat.sampling.nesting import nested_weights
from scformat.sampling.parsing import Item, parse_schemes, scheme_text
from scformat.sampling.schemes import Axis, Custom, Proportional
from scformat.sampling.table import Table
from scformat.tables.counting import Packing, collect_strata, count_strata
from scformat.tables.model import TableKey, WeightsFile
from scformat.tables.population import Population, nothing_to_draw
from scformat.tables.view import SamplingTable, TableInfo
from scformat.tables.weights_file import read_weights_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scformat.manifest import Manifest
    from scformat.sampling.strata import Strata
    from scformat.store import Store


def build_table(
    store: Store,
    by: str,
    *,
    name: str | None = None,
    scheme: str | None = None,
    split: str | None = None,
    where: str | None = None,
    temperature: float = 1.0,
    among: NDArray[np.bool_] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> SamplingTable:
    """Build a sampling table over a store.

    Parameters
    ----------
    store
        The store.
    by
        Labels and schemes: ``cell_type:ontology_nodes,tissue:scaled(50)``; see :mod:`scformat.sampling.parsing`.
    name
        By default `by` in its canonical form.
    scheme
        Of the labels that come without one.
    split, where
        Restrict the cells.
    temperature
        Flattens above 1, sharpens below; 1 changes nothing.
    among : bool array, shape (n_cells,), or None
        A further restriction, which the table does not tell of; for tables that are not stored.
    progress
        Called with stage, done, total.

    Raises
    ------
    UsageError
        The text is no scheme, its numbers are no weights, or nothing is left to draw.
    UnknownNameError
        An unknown label, column, scheme, split, category or term.
    """
    check_temperature(temperature)
    items, files = _with_files(parse_schemes(by, default=scheme))
    population = Population(store, items, split=split, where=where, among=among)
    stages = _Stages(progress, store.n_cells)
    axes, packing = population.axes, Packing(population.sizes)
    count = count_strata(population.blocks(stages("counting strata")), packing)
    if not len(count.counts):
        raise nothing_to_draw(store, items)
    strata = collect_strata(population.blocks(stages("collecting rows")), packing, count, n_rows=store.n_cells)
    keys = packing.unpack(count.words)
    masses = tempered(
        integer_masses(nested_weights(keys, count.counts, [item.scheme for item in items], axes)), temperature
    )
    table = Table(masses, count.counts, strata, cells_digest=cells_digest(store.manifest))
    table_keys = tuple(_key(store, item, axis) for item, axis in zip(items, axes, strict=True))
    codes = _stored_codes(store, table_keys, keys)
    info = TableInfo(
        by=scheme_text(items),
        keys=table_keys,
        split=split,
        where=None if where is None else str(parse(where)),
        temperature=float(temperature),
        files=files,
        n_missing=count.missing,
        n_left_out=count.left_out,
        n_rows=store.n_cells,
    )
    return SamplingTable(name or info.by, info, codes=lambda: codes, table=lambda: table, categories=_categories(store))


def resolve_table(store: Store, text: str) -> SamplingTable:
    """Make a table of its text alone, such as ``cell_type:balanced``.

    One label with a scheme is resolved from the label's counts; the codes of cells are read when a cell is drawn.
    """
    items = parse_schemes(text)
    item = items[0]
    if len(items) > 1 or item.missing is not None or isinstance(item.scheme, Custom | Proportional):
        return build_table(store, text, name=text)
    population = Population(store, items)
    axis = population.axes[0]
    assert isinstance(axis, Axis)  # a figure went the other way
    counts: NDArray[np.int64] = np.asarray(store.labels[item.name].counts, np.int64)
    placed = item.scheme.placed(axis)
    codes = np.flatnonzero((counts > 0) & placed)
    if not len(codes):
        raise nothing_to_draw(store, items)
    masses = integer_masses(nested_weights(codes[None], counts[codes], [item.scheme], [axis]))

    def strata() -> Strata:
        packing = Packing(population.sizes)
        count = count_strata(population.blocks(), packing)
        return collect_strata(population.blocks(), packing, count, n_rows=store.n_cells)

    table = Table(masses, counts[codes], strata, cells_digest=cells_digest(store.manifest))
    info = TableInfo(
        by=scheme_text(items),
        keys=(TableKey(name=item.name, kind="label"),),
        n_missing=store.n_cells - int(counts.sum()),
        n_left_out=int(counts[~placed].sum()),
        n_rows=store.n_cells,
    )
    return SamplingTable(
        text, info, codes=lambda: codes[None].astype(np.int32), table=lambda: table, categories=_categories(store)
    )


def cells_digest(manifest: Manifest, n_rows: int | None = None) -> str:
    """Digest of what row numbers refer to.

    SHA-256 over a line ``<sha256 of index> TAB <sha256 of content> LF`` for each part of the first `n_rows` rows,
    by default all.
    """
    total = hashlib.sha256()
    for part in manifest.parts:
        if n_rows is None or part.start < n_rows:
            total.update(f"{part.index.sha256}\t{part.content.sha256}\n".encode())
    return total.hexdigest()


def _with_files(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], tuple[WeightsFile, ...]]:
    """Read the files of custom schemes."""
    out, files = [], []
    for item in items:
        if isinstance(item.scheme, Custom):
            scheme, digest = read_weights_file(item.scheme.file)
            files.append(WeightsFile(name=scheme.file, sha256=digest))
            out.append(replace(item, scheme=scheme))
        else:
            out.append(item)
    return tuple(out), tuple(files)


def _key(store: Store, item: Item, axis: Axis | Levels) -> TableKey:
    if isinstance(axis, Levels):
        return TableKey(name=item.name, kind="figure", levels=axis.bounds.tolist())
    known = item.missing is not None and item.missing in store.labels[item.name].categories
    return TableKey(name=item.name, kind="label", missing=None if known else item.missing)


def _stored_codes(store: Store, keys: tuple[TableKey, ...], codes: NDArray[np.int64]) -> NDArray[np.int32]:
    """Codes with -1 for the category that stands for a missing label and is none of the store's."""
    out = codes.astype(np.int32)
    for row, key in zip(out, keys, strict=True):
        if key.missing is not None:
            row[row == len(store.labels[key.name].categories)] = -1
    return out


def _categories(store: Store) -> Callable[[str], tuple[str, ...]]:
    return lambda name: store.labels[name].categories


class _Stages:
    def __init__(self, progress: Callable[[str, int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._total = total

    def __call__(self, stage: str) -> Callable[[int], None]:
        progress, total = self._progress, self._total

        def advance(done: int) -> None:
            if progress is not None:
                progress(stage, done, total)

        return advance

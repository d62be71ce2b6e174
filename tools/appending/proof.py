"""One source after another is appended to a store, and everything that an append promises is checked after each."""

from __future__ import annotations

import pickle
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import scformat
from scformat.exporting import source_anndata
from tools.appending.files import read_original

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from scformat.store import Store
    from scformat.torch import CellBatch

OPTIONS: dict[str, Any] = {
    "labels": ["cell_type", "tissue", "donor_id", "disease", "lane"],
    "splits": "train=0.8,test=0.2",
    "split_by": ["donor_id"],
    "weights": [
        "ct=cell_type:ontology_nodes@train",
        "donors=donor_id:balanced",
        "deep=cell_type:scaled(50),lane:natural",
    ],
    "seed": 3,
}


class ProofError(AssertionError):
    """What was to be proved does not hold."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one append did, and what was held against it."""

    source: str
    cells: int
    genes: int
    new_genes: int
    new_categories: int
    donors: int
    donors_seen_before: int
    cells_compared: int
    share_error: float
    seconds: float


def prove(
    directory: Path, sources: Sequence[Path], *, report: Callable[[Step], None], options: dict[str, Any] | None = None
) -> list[Step]:
    """Convert the first source, append the others one by one, and check the store after each.

    Parameters
    ----------
    directory
        Stores are made in it.
    report
        Called after each append.
    options
        Of the conversion, beside OPTIONS.

    Raises
    ------
    ProofError
        A cell differs from its source, a donor changed its split, a table has other shares than that of a fresh
        conversion, or a reader of the first root met something else than what it had opened.
    """
    given = {**OPTIONS, **(options or {})}
    place, untouched = directory / "grown.cells", directory / "untouched.cells"
    reader = scformat.convert(sources[:1], place, **given)
    shutil.copytree(place, untouched)
    old = OldReader(reader, scformat.open(untouched))
    steps = []
    for n in range(1, len(sources)):
        before = scformat.open(place)
        begun = time.perf_counter()
        store = scformat.append(place, [sources[n]], ontology=given.get("ontology", True))
        seconds = time.perf_counter() - begun
        check_numbers(before, store)
        check_donors(store)
        old.check()
        fresh = scformat.convert(sources[: n + 1], directory / "fresh.cells", **given, overwrite=True)
        known, donors = donors_of(before, 0), donors_of(store, before.n_cells)
        step = Step(
            source=store.sources.index[-1],
            cells=store.n_cells - before.n_cells,
            genes=store.n_genes,
            new_genes=store.n_genes - before.n_genes,
            new_categories=n_categories(store) - n_categories(before),
            donors=len(donors),
            donors_seen_before=len(donors & known),
            cells_compared=sum(check_source(store, path) for path in sources[: n + 1]),
            share_error=check_fresh(store, fresh),
            seconds=round(seconds, 2),
        )  # fmt: skip
        steps.append(step)
        report(step)
    findings = scformat.validate(place, level=4).findings
    _hold(not findings, f"the store is not valid: {findings[:3]}")
    return steps


def check_source(store: Store, path: Path) -> int:
    """Hold every cell of a source against its file; return how many there are."""
    name = path.stem
    number = store.sources_view.number(name)
    record = store.sources_view.records[number]
    wanted = read_original(path, record.counts)
    found = source_anndata(store, name)
    _hold(found.shape == wanted.counts.shape, f"{name}: {found.shape} in place of {wanted.counts.shape}")
    _hold((wanted.counts != found.X).nnz == 0, f"{name}: counts differ")
    _hold(list(found.var_names) == wanted.var_names or path.suffix == ".h5", f"{name}: genes differ")
    _hold(list(found.obs_names) == list(wanted.obs.index), f"{name}: barcodes differ")
    kept = [column for column in wanted.obs if column not in {k.removeprefix("obs/") for k in record.not_kept}]
    _hold(path.suffix == ".h5" or list(found.obs) == kept, f"{name}: other obs columns")
    for column in kept:
        pd.testing.assert_series_equal(found.obs[column], wanted.obs[column], obj=f"{name}: {column}")
    # The same once more by the gene index alone: every count at its gene, and none at a gene that was not measured.
    rows = np.flatnonzero(store.field("source", np.arange(store.n_cells)) == number)
    cells = store.read(rows)
    own = wanted.counts[store.field("source_row", rows)].tocoo()
    genes = store.sources_view.genes(number).gene
    total = np.zeros(store.n_genes, np.int64)
    np.add.at(total, genes[own.col], own.data.astype(np.int64))
    _hold((total == cells.csr(np.int64).sum(axis=0).A1).all(), f"{name}: a gene has other counts")
    _hold(set(np.flatnonzero(cells.measured()[0]).tolist()) == set(genes.tolist()), f"{name}: other genes are measured")
    return len(rows)


def check_numbers(before: Store, store: Store) -> None:
    """No cell, gene, category or split that was there has another number."""
    every = np.arange(before.n_cells)
    _hold(list(store.genes.index[: before.n_genes]) == list(before.genes.index), "a gene changed its number")
    for name, label in before.labels.items():
        grown = store.labels[name]
        _hold(grown.categories[: len(label.categories)] == label.categories, f"{name}: a category changed its number")
        _hold(bool((grown.codes(every) == label.codes()).all()), f"{name}: a cell changed its category")
    _hold(bool((store.field("split", every) == before.field("split", every)).all()), "a cell changed its split")


def check_donors(store: Store) -> None:
    """No donor has cells in two splits."""
    splits = store.obs(["donor_id", "split"]).groupby("donor_id", observed=True)["split"].nunique()
    _hold(int(splits.max()) <= 1, f"donors in two splits: {list(splits.index[splits > 1])}")


def donors_of(store: Store, first: int) -> set[str]:
    """Donors of the cells from a row on."""
    label = store.labels["donor_id"]
    codes = label.codes(np.arange(first, store.n_cells))
    return {label.categories[code] for code in np.unique(codes[codes >= 0]).tolist()}


def n_categories(store: Store) -> int:
    """Categories of all labels together."""
    return sum(len(label.categories) for label in store.labels.values())


def check_fresh(store: Store, fresh: Store) -> float:
    """Compare with a store of all sources that was made at once; return the largest difference of a share."""
    every = np.arange(store.n_cells)
    _hold(fresh.n_cells == store.n_cells and set(fresh.genes.index) == set(store.genes.index), "other cells or genes")
    _hold(bool((fresh.field("split", every) == store.field("split", every)).all()), "a fresh store has other splits")
    for name in store.labels:
        mine, theirs = (s.obs([name])[name].astype(object) for s in (store, fresh))
        _hold(bool((mine.fillna("") == theirs.fillna("")).all()), f"{name}: a fresh store has other categories")
    largest = 0.0
    for name in store.tables:
        mine, theirs = shares(store, name), shares(fresh, name)
        _hold(list(mine.index) == list(theirs.index), f"table {name}: other strata")
        _hold(bool((mine["cells"] == theirs["cells"]).all()), f"table {name}: strata of other cells")
        largest = max(largest, float((mine["probability"] - theirs["probability"]).abs().max()))
    _hold(largest < 1e-8, f"shares differ by {largest}")
    return largest


def shares(store: Store, name: str) -> pd.DataFrame:
    """Cells and probability of each stratum of a table, by the names of its categories."""
    table = store.tables[name]
    keys = [key.name for key in table.info.keys]
    return table.strata.astype(dict.fromkeys(keys, str)).set_index(keys).sort_index()[["cells", "probability"]]


class OldReader:
    """A store that was open before all appends, beside a copy of it that none of them touched.

    It is read as it is, in a copy with nothing held in memory, and by a loader that goes on all the while.
    """

    def __init__(self, reader: Store, untouched: Store) -> None:
        self._reader, self._untouched = reader, untouched
        self._batches = [_batches(store) for store in (reader, untouched)]

    def check(self) -> None:
        """Everything that it reads is what it opened."""
        for store in (self._reader, pickle.loads(pickle.dumps(self._reader))):
            self._compare(store, pickle.loads(pickle.dumps(self._untouched)))
        for _ in range(3):
            mine, theirs = (next(batches) for batches in self._batches)
            for one, other in ((mine.rows, theirs.rows), (mine.x, theirs.x), (mine.source, theirs.source)):
                _hold(bool((one == other).all()), "the loader of an old reader hands out other batches")

    @staticmethod
    def _compare(store: Store, untouched: Store) -> None:
        rows = np.random.default_rng(store.n_cells).permutation(untouched.n_cells)
        mine, theirs = (s.read(rows) for s in (store, untouched))
        _hold((mine.csr() != theirs.csr()).nnz == 0, "an old reader reads other counts")
        _hold(bool((mine.measured() == theirs.measured()).all()), "an old reader finds other genes measured")
        _hold(store.genes.equals(untouched.genes), "an old reader has other genes")
        _hold(store.obs().equals(untouched.obs()), "an old reader reads another obs")
        for name, label in untouched.labels.items():
            _hold(bool((store.labels[name].codes(rows) == label.codes(rows)).all()), f"an old reader: {name} differs")
            _hold(store.labels[name].counts.equals(label.counts), f"an old reader: {name} has other counts")
        for name, table in untouched.tables.items():
            drawn = store.tables[name].draw(7, 0, 500)
            _hold(bool((drawn == table.draw(7, 0, 500)).all()), f"an old reader draws otherwise from {name}")


def _batches(store: Store) -> Iterator[CellBatch]:
    from scformat.torch import CellLoader

    return iter(CellLoader(store, batch_size=16, table="donors", steps_per_epoch=10**6, seed=5, threads=1))


def _hold(holds: bool, what: str) -> None:  # noqa: FBT001 (an assertion)
    if not holds:
        raise ProofError(what)

"""Flip one bit of a store, anywhere, a thousand times: each has to be found, and never to be read as other data.

    python -m tools.fuzz.flips [--flips N] [--seed N] [--out FILE.json]

The store has all that a store can have, in two parts. Half of the flips take a kind of file at random and then a byte
of one of its files, so that small ones are met too; half take any byte of the store. After each flip

1. `validate` has to have a finding;
2. everything is read, each thing for itself: it has to be what it was, or an error of the interface, and an error at
   least once where the bit is one of data that is read;
3. a loader that skips damaged cells has to give all others as they were.

This happens in a process of its own: one that dies, or has no answer after two minutes, is a fault as well.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import platform
import random
import re
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import scformat
from scformat.errors import ScformatError
from scformat.strings import Strings
from tools.fuzz.base import TABLES, scratch, small_study, with_neighbours

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from scformat.store import Store

    Items = dict[object, str]

SECONDS = 120
"""Longest time for all that is done after a flip."""
UNREAD = ("/cells/content/", "/counts/shard_digests/", "/by_id/")
"""Arrays that only validation and additions to a store read."""
FIGURES = ("source", "source_row", "total_counts", "n_genes", "split")


@dataclass(frozen=True, kw_only=True)
class Flip:
    """A bit of a store.

    Attributes
    ----------
    file
        Its file, relative to the store.
    byte, bit
        Its place there.
    """

    file: str
    byte: int
    bit: int

    def apply(self, store: Path) -> None:
        """Flip it; a second time restores it."""
        path = store / self.file
        data = bytearray(path.read_bytes())
        data[self.byte] ^= 1 << self.bit
        path.write_bytes(data)


@dataclass(kw_only=True)
class Outcome:
    """What a flip led to.

    Attributes
    ----------
    flip
        Which bit.
    requirements
        Those that `validate` found broken.
    refused
        Codes of the errors, by what was read.
    skipped
        Cells that the loader skipped.
    faults
        What must not be, a line each.
    """

    flip: Flip
    requirements: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    faults: list[str] = field(default_factory=list)


def make_store(work: Path) -> Path:
    """Make the store: ontologies, splits, tables, a second part with texts and nullable columns, neighbours."""
    studies = scformat.simulate(work / "studies", cells=240, studies=2, genes=300, seed=3)
    other = work / "other.h5ad"
    small_study("other").write_h5ad(other)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of strata without cells
        store = scformat.convert(
            studies, work / "whole.cells", splits="train=0.8,test=0.2", split_by=["donor_id"], weights=TABLES, jobs=1
        )
        store = with_neighbours(scformat.append(store, [other], jobs=1))
    scformat.vacuum(store)  # no file that the root does not name
    return Path(store.path)


def kind_of(file: str) -> str:
    """Say what a file is for, whatever its number or name."""
    return re.sub(r"(?<=/)[0-9]+(?=/|$)|(?<=^tables/)[^/]+(?=/)|(?<=^neighbours/)[^/]+(?=/)|[0-9]+(?=/|$)", "*", file)


def choose(store: Path, n: int, *, seed: int) -> list[Flip]:
    """Choose bits: every other one of a kind of file chosen first."""
    draw = random.Random(seed)
    sizes = {str(p.relative_to(store)): p.stat().st_size for p in sorted(store.rglob("*")) if p.is_file()}
    kinds: dict[str, list[str]] = {}
    for file in sizes:
        kinds.setdefault(kind_of(file), []).append(file)
    names = sorted(kinds)
    draw.shuffle(names)
    flips = []
    for i in range(n):
        files = list(sizes) if i % 2 else kinds[names[i // 2 % len(names)]]
        file = draw.choices(files, weights=[sizes[f] for f in files])[0]
        flips.append(Flip(file=file, byte=draw.randrange(sizes[file]), bit=draw.randrange(8)))
    return flips


def digest(*values: object) -> str:
    """SHA-256 of arrays, tables, strings, numbers."""
    made = hashlib.sha256()
    for value in values:
        if isinstance(value, pd.DataFrame):
            parts: list[object] = [value.index.tolist(), *((c, str(v.dtype), v.tolist()) for c, v in value.items())]
            made.update(repr(parts).encode())
        elif isinstance(value, np.ndarray):
            made.update(f"{value.dtype} {value.shape}".encode())
            made.update(repr(value.tolist()).encode() if value.dtype.hasobject else value.tobytes())
        elif isinstance(value, Strings):
            made.update(value.data.tobytes() + value.offsets.tobytes())
        else:
            made.update(repr(value).encode())
    return made.hexdigest()


def readings(store: Store) -> dict[str, Callable[[Store], Items]]:
    """List all that can be read of a store, each a function that returns digests of what it reads."""
    found: dict[str, Callable[[Store], Items]] = {
        "counts": _counts, "obs": _obs, "figures": _figures, "barcodes": _barcodes, "genes": _genes,
        "sources": _sources, "select": _select, "loader": _loader, "skipping loader": _skipping_loader,
    }  # fmt: skip
    found |= {f"label {name}": partial(_label, name=name) for name in store.labels}
    found |= {f"table {name}": partial(_table, name=name) for name in (*store.tables, "tissue:balanced")}
    found |= {f"neighbours {name}": partial(_neighbours, name=name) for name in store.neighbours}
    return found


def _counts(store: Store) -> Items:
    cells = store.read(np.arange(store.n_cells)[::-1])
    counts = cells.csr(np.int64)
    return {"counts": digest(counts.indptr, counts.indices, counts.data), "measured": digest(cells.measured())}


def _obs(store: Store) -> Items:
    return {"obs": digest(store.obs())}


def _figures(store: Store) -> Items:
    return {"figures": digest(store.obs(FIGURES))}


def _barcodes(store: Store) -> Items:
    return {"barcodes": digest(store.barcodes())}


def _genes(store: Store) -> Items:
    return {"genes": digest(store.genes)}


def _sources(store: Store) -> Items:
    found = {"sources": digest(store.sources)}
    for k in range(len(store.sources)):
        genes = store.sources_view.genes(k)
        found[f"genes {k}"] = digest(*(getattr(genes, name) for name in vars(genes)))
        found[f"statistics {k}"] = digest(store.sources_view.statistics(k))
    return found


def _select(store: Store) -> Items:
    return {
        "rows": digest(store.select("cell_type under 'lymphocyte' or note == 'note 2 \u00e9' and split == 'train'"))
    }


def _label(store: Store, *, name: str) -> Items:
    label = store.labels[name]
    found = {"label": digest(label.codes(), label.categories, label.counts.to_frame())}
    if label.ontology is not None:
        graph = label.ontology.graph
        found["terms"] = digest(label.ontology.terms, graph.edges, graph.ancestor_offsets, graph.ancestors)
        found["categories"] = digest(label.ontology.category_terms)
    return found


def _table(store: Store, *, name: str) -> Items:
    table = store.tables[name]
    return {"draws": digest(table.draw(5, 0, 500)), "strata": digest(table.strata)}


def _neighbours(store: Store, *, name: str) -> Items:
    table = store.neighbours[name]
    return {"rows": digest(table.rows()), "weights": digest(table.weights())}


def _loader(store: Store) -> Items:
    return _batches(store, table="ct", neighbours="knn", steps_per_epoch=4)


def _skipping_loader(store: Store) -> Items:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that cells are skipped
        return _batches(store, on_damage="skip")


def _batches(store: Store, **options: Any) -> Items:
    """Digest each valid cell of a pass: its row, counts, label, source, sum, neighbours."""
    from scformat.torch import CellLoader

    loader = CellLoader(store, batch_size=32, labels=["cell_type", "donor_id"], seed=1, threads=2, **options)
    found: Items = {}
    for step, batch in enumerate(loader):
        around = batch.neighbours
        columns = [batch.rows, batch.x, *batch.labels.values(), batch.source, batch.total_counts]
        columns += [] if around is None else [around.rows]
        for k in np.flatnonzero(batch.valid.numpy()).tolist():
            found[step, k] = digest(*(column[k].numpy() for column in columns if column is not None))
    return found


def examine(store: Path, flip: Flip, expected: dict[str, Items]) -> Outcome:
    """Validate and read a store in which a bit is flipped."""
    outcome = Outcome(flip=flip)
    outcome.requirements = sorted({found.requirement for found in scformat.validate(store).findings})
    if not outcome.requirements:
        outcome.faults.append("validate finds nothing")
    try:
        scformat.open(store)
    except ScformatError as error:
        outcome.refused["store"] = error.code
        return outcome
    for name, read in readings(scformat.open(store)).items():
        try:
            found = read(scformat.open(store))
        except ScformatError as error:
            outcome.refused[name] = error.code
            continue
        except Exception as error:
            outcome.faults.append(f"{name}: {type(error).__name__}: {str(error)[:200]}")
            continue
        if any(expected[name].get(key) != value for key, value in found.items()):
            outcome.faults.append(f"{name}: other data")
        lost = len(expected[name]) - len(found)
        if name == "skipping loader":
            outcome.skipped = lost
        elif lost:
            outcome.faults.append(f"{name}: less than there was")
    is_data = not flip.file.endswith("zarr.json") and not any(name in flip.file for name in UNREAD)
    if is_data and not outcome.refused and not outcome.skipped:
        outcome.faults.append("nothing that reads it noticed")
    return outcome


def _serve(store: Path, asked: Connection) -> None:
    """Answer for one flip after another."""
    whole = scformat.open(store)
    expected = {name: read(whole) for name, read in readings(whole).items()}
    asked.send(None)
    while True:
        try:
            flip = asked.recv()
        except EOFError:
            return
        try:
            asked.send(examine(store, flip, expected))
        except Exception as error:
            asked.send(Outcome(flip=flip, faults=[f"{type(error).__name__}: {str(error)[:300]}"]))


class Examiner:
    """A process that examines, and another one once it has died."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._store, other), daemon=True)
        self._process.start()
        other.close()
        if not self._end.poll(SECONDS) or self._end.recv() is not None:
            raise RuntimeError("the store cannot be read even as it is")
        self._idle = True

    def ask(self, flip: Flip) -> Outcome:
        """Examine a store that has this flip; the flip is undone afterwards."""
        flip.apply(self._store)
        self._idle = False
        fault = f"no answer in {SECONDS} s"
        try:
            self._end.send(flip)
            if self._end.poll(SECONDS):
                outcome: Outcome = self._end.recv()
                self._idle = True
                return outcome
        except (EOFError, OSError):
            self._process.join(SECONDS)
            fault = f"the process died ({self._process.exitcode})"
        finally:
            flip.apply(self._store)
        self.close()
        self._start()
        return Outcome(flip=flip, faults=[fault])

    def close(self) -> None:
        """End the process, by force if it must be."""
        self._end.close()
        self._process.join(SECONDS if self._idle else 0)
        self._process.kill()
        self._process.join()


def campaign(
    work: Path, *, flips: int, seed: int, report: Callable[[int, Outcome], None] = lambda _n, _outcome: None
) -> list[Outcome]:
    """Make a store in an empty directory, and flip bits of it one after another.

    Parameters
    ----------
    work
        The directory.
    flips
        How many.
    seed
        Of the places.
    report
        Called after each.
    """
    store = make_store(work)
    examiner = Examiner(store)
    found = []
    try:
        for flip in choose(store, flips, seed=seed):
            found.append(examiner.ask(flip))
            report(len(found), found[-1])
    finally:
        examiner.close()
    return found


def summary(found: Sequence[Outcome]) -> dict[str, dict[str, int]]:
    """Count, by kind of file, flips, how many of them `validate` found and reading refused, skipped cells, faults."""
    kinds: dict[str, Counter[str]] = {}
    for one in sorted(found, key=lambda one: kind_of(one.flip.file)):
        kinds.setdefault(kind_of(one.flip.file), Counter()).update(
            {
                "flips": 1,
                "found": bool(one.requirements),
                "refused": bool(one.refused),
                "cells skipped": one.skipped,
                "faults": bool(one.faults),
            }
        )
    return {kind: dict(counts) for kind, counts in kinds.items()}


def write(result: dict[str, Any]) -> str:
    """Write a result as JSON, a line for each kind of file and each flip."""
    plain = {key: value for key, value in result.items() if not isinstance(value, dict | list)}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in plain.items()]
    kinds = ",\n".join(f"  {json.dumps(kind)}: {json.dumps(counts)}" for kind, counts in result["summary"].items())
    flips = ",\n".join(f"  {json.dumps(flip)}" for flip in result["flips"])
    lines += [f'"summary": {{\n{kinds}\n }}', f'"flips": [\n{flips}\n ]']
    return "{\n " + ",\n ".join(lines) + "\n}\n"


def main() -> int:
    """Flip, print what there is to tell, and return 1 where anything passed unseen or was read as other data."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz.flips", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the places (0)")
    parser.add_argument("--out", type=Path, help="a JSON file for every flip and what it led to")
    options = parser.parse_args()

    def report(n: int, outcome: Outcome) -> None:
        for fault in outcome.faults:
            print(f"{outcome.flip}: {fault}", file=sys.stderr)
        if n % 50 == 0 or n == options.flips:
            print(f"{n} of {options.flips} flips", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="scformat-flips-", dir=scratch()) as work:
        found = campaign(Path(work), flips=options.flips, seed=options.seed, report=report)
    bad = [one for one in found if one.faults]
    refused = sum(bool(one.refused) for one in found)
    seen = sum(bool(one.requirements) for one in found)
    print(f"{len(found)} flips: {seen} found by validate, {refused} refused when read, {len(bad)} with faults")
    if options.out is not None:
        result = {
            "scformat": scformat.__version__,
            "python": platform.python_version(),
            "seed": options.seed,
            "summary": summary(found),
            "flips": [asdict(one) for one in found],
        }
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(write(result))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

"""Stores of as many cells as one likes for the scale bench: their parts are hard links of those of a few real ones.

What tells one part from another is written anew: the records of the cells, which number the sources, and the names of
the sources. All else repeats with the parts; such a store is valid, but for measuring and nothing else.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scformat
from scformat.manifest import Manifest, Part, as_json
from scformat.root import encode_root
from scformat.storage import Storage, array_spec
from scformat.strings import Strings
from scformat.tables import SamplingTable, add_table, build_table, cells_digest
from scformat.writing import write_array, write_strings, write_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.store import Store

LABEL, TABLE = "cell_type", "types"
_ANEW = ("cells/index", "sources/records")


class Original:
    """A store of one part, whose files others are made of.

    Parameters
    ----------
    path
        The store.

    Attributes
    ----------
    path, store, part, document
        The store, opened, its part, and its manifest as plain JSON values.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.store = path, scformat.open(path)
        if len(self.store.manifest.parts) != 1:
            raise SystemExit(f"{path}: a store of one part is needed")
        self.part: Part = self.store.manifest.parts[0]
        self.document: dict[str, Any] = as_json(self.store.manifest)

    @property
    def shared(self) -> dict[str, Any]:
        """What parts of one store have in common: genes, and texts of labels and obs columns."""
        labels = [(label["name"], label["categories"]) for label in self.document["labels"]]
        return {"genes": self.document["genes"]["index_digest"], "labels": labels, "obs": self.document["obs"]}

    @cached_property
    def records(self) -> NDArray[np.int32]:
        """Records of all cells; int32, shape (fields, cells)."""
        records: NDArray[np.int32] = self.store._storage.read_array(self.part.index)
        return records

    def copy(self, destination: Storage, number: int, *, start: int, first_source: int) -> dict[str, Any]:
        """Make a part of another store of it; return what the manifest there says of the part."""
        prefix = f"parts/{number}"
        _link(self.path / "parts/1", Path(destination.url) / prefix, but=_ANEW)
        part: dict[str, Any] = json.loads(json.dumps(self.document["parts"][0]).replace('"parts/1/', f'"{prefix}/'))
        records = self.records.copy()
        records[self.part.fields.index("source")] += np.int32(first_source)
        spec = replace(array_spec(self.part.index), path=f"{prefix}/cells/index")
        part["index"] = as_json(write_array(destination, spec, records))
        described = [r.model_copy(update={"name": f"{r.name}-{number}"}) for r in self.store.sources_view.records]
        texts = Strings.of(r.model_dump_json(exclude_none=True) for r in described)
        folder = Path(destination.url) / prefix / "sources/records"
        folder.mkdir()
        (folder / "zarr.json").write_bytes((self.path / "parts/1/sources/records/zarr.json").read_bytes())
        part["sources"] |= {
            "first": first_source,
            "records": as_json(write_strings(destination, f"{prefix}/sources/records", texts)),
        }
        return {**part, "start": start}

    def groups(self, number: int) -> dict[str, str]:
        """Digests of the groups of such a part."""
        own = {path: digest for path, digest in self.document["groups"].items() if f"{path}/".startswith("parts/1/")}
        return {f"parts/{number}{path[7:]}": digest for path, digest in own.items()}


def originals_for(n_cells: int, originals: list[Original]) -> list[Original]:
    """Return those that a store of a size is made of: the largest that is not above it, and all that agree with it."""
    fitting = [o for o in originals if o.store.n_cells <= n_cells]
    chosen = max(fitting or originals, key=lambda o: o.store.n_cells if fitting else -o.store.n_cells)
    return [o for o in originals if o.shared == chosen.shared]


def build(originals: list[Original], destination: Path, n_cells: int) -> None:
    """Write a store of at least so many cells, whose parts are those of the originals in turns, and its table.

    Parameters
    ----------
    originals
        Of the same genes, labels and columns.
    destination
        On the file system of the originals.
    n_cells
        At least; parts are whole.
    """
    first = originals[0]
    assert all(original.shared == first.shared for original in originals)
    for name in ("genes", "labels"):
        _link(first.path / name, destination / name)
    (destination / "parts").mkdir()
    (destination / "parts/zarr.json").write_bytes((first.path / "parts/zarr.json").read_bytes())
    storage = Storage(destination)
    parts: list[dict[str, Any]] = []
    groups = {p: d for p, d in first.document["groups"].items() if not p.startswith(("parts/", "tables"))}
    start = first_source = 0
    while start < n_cells:
        original, number = originals[len(parts) % len(originals)], len(parts) + 1
        parts.append(original.copy(storage, number, start=start, first_source=first_source))
        groups |= original.groups(number)
        start += original.store.n_cells
        first_source += original.part.sources.n
    document = {
        **first.document,
        "labels": _labels(storage, originals, len(parts), start),
        "parts": parts,
        "n_cells": start,
        "n_entries": sum(part["n_entries"] for part in parts),
        "groups": dict(sorted(groups.items())),
        "tables": [],
        "optional_features": [],
        "required_features": ["parts"] if len(parts) > 1 else [],
    }
    document.pop("neighbours", None)
    (destination / "zarr.json").write_bytes(encode_root(Manifest.model_validate(document)))
    _add_table(scformat.open(destination), originals)


def _labels(storage: Storage, originals: list[Original], n_parts: int, n_cells: int) -> list[dict[str, Any]]:
    """Describe the labels with the numbers of cells of all parts, which are written."""
    times = Counter(number % len(originals) for number in range(n_parts))
    labels: list[dict[str, Any]] = json.loads(json.dumps(originals[0].document["labels"]))
    for i, label in enumerate(labels):
        for described in (label, label.get("ontology")):
            if described is not None:
                total = sum(
                    original.store._storage.read_array(
                        member.counts if described is label else member.ontology.counts  # type: ignore[union-attr]
                    )
                    * times[which]
                    for which, original in enumerate(originals)
                    for member in (original.store.manifest.labels[i],)
                )
                path = f"{described['counts']['path']}-{n_cells}"
                described["counts"] = as_json(write_table(storage, path, np.asarray(total)))
    return labels


def _link(source: Path, destination: Path, *, but: tuple[str, ...] = ()) -> None:
    """Make hard links of all files of a directory, some directories below it apart."""
    for folder, below, files in os.walk(source):
        inner = Path(folder).relative_to(source)
        below[:] = [name for name in below if (inner / name).as_posix() not in but]
        target = destination / inner
        target.mkdir(parents=True, exist_ok=True)
        for file in files:
            os.link(Path(folder) / file, target / file)


def _add_table(store: Store, originals: list[Original]) -> None:
    """Equal shares of the types over all parts, made of the runs of the originals: no code of a cell is read again."""
    from scformat.sampling import Strata, Table, integer_masses

    tables = [build_table(original.store, f"{LABEL}:balanced") for original in originals]
    first = tables[0]
    assert all(np.array_equal(t.codes, first.codes) for t in tables)
    runs = [t.table.strata for t in tables]
    starts: list[NDArray[np.int64]] = []
    lengths: list[NDArray[np.int64]] = []
    offsets = [0]
    for c in range(len(first.counts)):
        n = 0
        for number, part in enumerate(store.manifest.parts):
            strata = runs[number % len(runs)]
            assert strata.run_start is not None and strata.run_length is not None
            low, high = strata.offsets[c : c + 2]
            starts.append(strata.run_start[low:high] + part.start)
            lengths.append(strata.run_length[low:high])
            n += int(high - low)
        offsets.append(offsets[-1] + n)
    strata = Strata(offsets=np.array(offsets), run_start=np.concatenate(starts), run_length=np.concatenate(lengths))
    masses = integer_masses(np.ones(len(first.counts)))
    table = Table(masses, strata.counts, strata, cells_digest=cells_digest(store.manifest))
    missing = sum(tables[number % len(tables)].info.n_missing for number in range(len(store.manifest.parts)))
    info = replace(first.info, n_rows=store.n_cells, n_missing=missing)
    made = SamplingTable(TABLE, info, codes=lambda: first.codes, table=lambda: table, categories=first._categories)
    add_table(store, TABLE, made)

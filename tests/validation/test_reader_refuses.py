"""No reader answers with zeros, or anything else that was not stored, where a chunk or a file is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import scformat
from scformat.errors import ScformatError
from scformat.manifest import Manifest
from scformat.structure.arrays import arrays_of

from .damage import Damage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from scformat.store import Store

ROWS = [3, 200, 41, 41]


def _statistics(store: Store) -> Any:
    view = store.sources_view
    frames = [view.statistics(i).assign(measured=view.measured(np.array([i]))[0]) for i in range(3)]
    genes = [pd.DataFrame({"name": g.names.to_numpy(), "gene": g.gene}) for g in (view.genes(i) for i in range(3))]
    return pd.concat([*frames, *genes])


def _labels(store: Store) -> Any:
    out = {}
    for name, label in store.labels.items():
        out[name] = [label.categories, label.counts.to_dict(), label.codes().tolist()]
        if label.ontology is not None:
            graph = label.ontology.graph
            out[name] += [label.ontology.terms.to_dict(), label.ontology.category_terms.tolist()]
            out[name] += [graph.edges.tolist(), graph.ancestors.tolist(), graph.ancestor_offsets.tolist()]
    return out


READS: dict[str, Callable[[Store], Any]] = {
    "all counts": lambda s: s.read(range(s.n_cells)).csr(np.int64).toarray(),
    "some counts": lambda s: s.read(ROWS).dense(np.int64),
    "obs": lambda s: s.obs(),
    "some obs": lambda s: s.obs(rows=ROWS),
    "fields": lambda s: s.obs(["source", "source_row", "total_counts", "n_genes", "split"]),
    "genes": lambda s: s.genes,
    "sources": lambda s: s.sources,
    "statistics": _statistics,
    "labels": _labels,
    "barcodes": lambda s: list(s.barcodes()),
    "some barcodes": lambda s: list(s.barcodes(ROWS)),
}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, pd.DataFrame):
        return bool(a.equals(b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else bool(a == b)


@pytest.fixture(scope="module")
def answers(good: Path) -> dict[str, Any]:
    store = scformat.open(good)
    return {name: read(store) for name, read in READS.items()}


@pytest.mark.parametrize("how", ["file", "chunk"])
def test_lost_data_is_refused(damage: Damage, answers: dict[str, Any], how: str) -> None:
    arrays = [a.model_dump() for a in arrays_of(Manifest.model_validate(damage.manifest)) if 0 not in a.shape]
    never_read = []
    for array in arrays:
        file = damage.file(array)
        data = file.read_bytes()
        if how == "file":
            file.unlink()
        else:
            damage.drop_chunk(array)
        refused = 0
        for name, read in READS.items():
            try:
                found = read(scformat.open(damage.path))
            except ScformatError as error:
                assert error.code in {"lost-chunk", "lost-array", "not-found"}, (array["path"], name, error)
                refused += 1
            else:
                assert _same(found, answers[name]), (array["path"], name)
        if not refused:
            never_read.append(array["path"].split("/")[2:])
        file.write_bytes(data)
    # The reader has no use for these; only the validator reads them.
    assert all(path in (["cells", "content"], ["counts", "shard_digests"], ["by_id"]) for path in never_read), (
        never_read
    )


def test_damaged_chunks_are_refused(damage: Damage, answers: dict[str, Any]) -> None:
    for array in (damage.part["entries"], damage.part["index"], damage.manifest["genes"]["taxon"]):
        file = damage.file(array)
        data = bytearray(file.read_bytes())
        data[40] ^= 1
        file.write_bytes(data)
        refused = 0
        for name, read in READS.items():
            try:
                assert _same(read(scformat.open(damage.path)), answers[name])
            except ScformatError as error:
                assert error.code == "damaged-chunk"
                refused += 1
        assert refused
        data[40] ^= 1
        file.write_bytes(data)

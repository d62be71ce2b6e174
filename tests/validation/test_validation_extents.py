"""Chunks and shards of other extents than this release writes: the format leaves them free."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scformat
from scformat import layout
from scformat.codec import encode_json, encode_shard
from scformat.manifest import Array
from scformat.storage import array_spec

from .damage import Damage

if TYPE_CHECKING:
    from pathlib import Path

ENTRIES_A_SHARD = 1024


@pytest.fixture
def cut(good: Path, tmp_path: Path) -> Damage:
    """The good store in many small files, no two arrays cut alike."""
    shutil.copytree(good, tmp_path / "cut.cells")
    store = Damage(tmp_path / "cut.cells")
    part = store.part
    _cut_counts(store)
    codes = next(p["array"] for p in part["labels"].values() if "array" in p)
    n_fields = len(part["fields"])
    for array, chunk, shard in [
        (part["index"], [n_fields, 16], [n_fields, 64]),
        (part["content"], [8], [48]),
        (codes, [10], [110]),
        (part["barcode"]["bytes"], [7], [70]),
        (part["barcode"]["offsets"], [10], [20]),
        (store.obs("masked")["values"], [5], [30]),
        (store.obs("masked")["missing"], [5], [40]),
        (store.obs("note")["strings"]["bytes"], [100], [300]),
        (part["sources"]["stats"], [2, 1, 16], [2, 2, 32]),
        (store.manifest["genes"]["by_id"], [3], [9]),
    ]:
        values = store.values(array)
        shutil.rmtree(store.path / array["path"] / "c")
        array["chunk"], array["shard"] = chunk, shard
        store.put(array, values)
    store.seal()
    return store


def _cut_counts(store: Damage) -> None:
    rows, part = store.rows(), store.part
    cuts, used = [0], 0
    for cell, row in enumerate(rows):
        if used + len(row) > ENTRIES_A_SHARD:
            cuts.append(cell)
            used = 0
        used += len(row)
    cuts.append(len(rows))
    array: dict[str, Any] = part["entries"]
    array.update(chunk=[2, 256], shard=[2, ENTRIES_A_SHARD], shape=[2, ENTRIES_A_SHARD * (len(cuts) - 1)])
    spec = array_spec(Array.model_validate(array))
    shutil.rmtree(store.path / array["path"] / "c")
    (store.path / array["path"] / "zarr.json").write_bytes(encode_json(layout.array_metadata(spec)))
    index = store.values(part["index"])
    digests = []
    for k, (start, stop) in enumerate(itertools.pairwise(cuts)):
        entries = np.array([pair for row in rows[start:stop] for pair in row], np.uint16).T
        index[0, start:stop] = np.cumsum([len(row) for row in rows[start:stop]])
        data = encode_shard(spec, entries)
        file = store.path / spec.key((0, k))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        digests.append(list(hashlib.sha256(data).hexdigest().encode()))
    store.digest(array)
    store.put(part["index"], index)
    for name, values in (("shard_rows", np.array(cuts)), ("shard_digests", np.array(digests, np.uint8))):
        part[name]["chunk"] = part[name]["shard"] = list(values.shape)
        store.put(part[name], values)


def test_other_extents(cut: Damage) -> None:
    assert len(list((cut.path / cut.part["entries"]["path"] / "c" / "0").iterdir())) >= 5
    assert scformat.validate(cut.path).findings == ()


def test_cells_are_named_across_files(cut: Damage) -> None:
    cut.change(cut.part["content"], 207, 5)
    cut.change(cut.part["index"], (cut.field("total_counts"), 300), 5)
    cut.seal()
    found = {f.requirement: f.where for f in scformat.validate(cut.path).findings if f.requirement != "SPL-10"}
    assert found == {"CEL-10": "parts/1/cells/content, cell 207", "CEL-7": "parts/1/cells/index, cell 300"}


def test_one_lost_file_of_many(cut: Damage) -> None:
    """What does not depend on the lost file is checked all the same."""
    (cut.path / "parts/1/cells/index/c/0/1").unlink()
    (cut.path / "parts/1/counts/entries/c/0/1").unlink()
    cut.change(cut.part["content"], 3, 5)
    cut.change(cut.part["content"], 309, 5)
    cut.seal()
    found = [(f.requirement, f.where) for f in scformat.validate(cut.path).findings if f.requirement != "SPL-10"]
    assert found == [
        ("CEL-10", "parts/1/cells/content, cell 3"),
        ("CEL-10", "parts/1/cells/content, cell 309"),
        ("ZAR-15", "parts/1/cells/index/c/0/1"),
        ("ZAR-15", "parts/1/counts/entries/c/0/1"),
    ]


def test_swapped_shards_of_counts(cut: Damage) -> None:
    """Two whole, sound files in one another's place."""
    folder = cut.path / "parts/1/counts/entries/c/0"
    first, second = (folder / "0").read_bytes(), (folder / "1").read_bytes()
    (folder / "0").write_bytes(second)
    (folder / "1").write_bytes(first)
    found = {f.requirement for f in scformat.validate(cut.path).findings}
    assert {"INT-2", "CNT-13"} <= found
    cut.digest(cut.part["entries"])
    digests = cut.values(cut.part["shard_digests"])
    digests[[0, 1]] = digests[[1, 0]]
    cut.put(cut.part["shard_digests"], digests)
    cut.seal()
    found = {f.requirement for f in scformat.validate(cut.path).findings}
    assert {"INT-2", "CNT-13"}.isdisjoint(found)
    assert found & {"CNT-4", "CNT-8", "CEL-7", "ZAR-16"}


def test_shard_rows_that_do_not_increase(cut: Damage) -> None:
    rows = cut.values(cut.part["shard_rows"])
    rows[1] = rows[2]
    cut.put(cut.part["shard_rows"], rows)
    cut.seal()
    assert {f.requirement for f in scformat.validate(cut.path).findings} == {"CNT-9"}

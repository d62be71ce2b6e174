"""Neighbour tables that break the format, at each level; and stores with sound ones."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import sparse

import scformat
from scformat.neighbours import add_neighbours

from .damage import Damage

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[Damage], None]

K = 4
ROOT = "zarr.json:scformat/neighbours"


def graph(n: int, seed: int = 0) -> sparse.csr_matrix:
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), 5)
    columns = (rows + rng.permuted(np.tile(np.arange(1, 9), (n, 1)), axis=1)[:, :5].ravel()) % n
    made = sparse.csr_matrix((rng.random(len(rows)) + 0.1, (rows, columns)), shape=(n, n))
    made.data[made.indptr[7] : made.indptr[8]] = 0
    made.eliminate_zeros()
    return made


@pytest.fixture
def near(damage: Damage) -> Damage:
    """A good store with neighbours, with weights and without: cell 7 has none, all others K."""
    store = scformat.open(damage.path)
    add_neighbours(store, "knn", graph(store.n_cells), k=K, weight="distance")
    store = scformat.open(damage.path)
    add_neighbours(store, "near", graph(store.n_cells, 1), k=K, weight="connectivity")
    store = scformat.open(damage.path)
    rows = store.neighbours["knn"].rows()
    add_neighbours(store, "rows", (rows, None))
    return Damage(damage.path)


def entry(d: Damage, name: str = "knn") -> dict[str, Any]:
    found: dict[str, Any] = next(e for e in d.manifest["neighbours"] if e["name"] == name)
    return found


def member(name: str, value: Any, table: str = "knn") -> Change:
    return lambda d: entry(d, table).__setitem__(name, value)


def digest_of(d: Damage, table: dict[str, Any]) -> str:
    """The digest as the specification says it."""
    lines = ["scformat neighbours 1", f"cells {table['cells']}", f"k {table['k']}"]
    for name, dtype in (("rows", "<i8"), ("weights", "<f4")):
        if name in table:
            values = np.ascontiguousarray(d.values(table[name]).T, dtype)
            lines.append(f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}")
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def value(array: str, at: Any, to: Any, table: str = "knn", *, n: int | None = None) -> Change:
    """Change values, and put all digests right."""

    def act(d: Damage) -> None:
        found = entry(d, table)
        d.change(found[array], at, to)
        found["sha256"] = digest_of(d, found)
        if n is not None:
            found["n_neighbours"] += n

    return act


def swapped(table: str) -> Change:
    """The two nearest of a cell change places."""

    def act(d: Damage) -> None:
        found = entry(d, table)
        for array in (found["rows"], found["weights"]):
            values = d.values(array)
            values[:2, 20] = values[1::-1, 20]
            d.put(array, values)
        found["sha256"] = digest_of(d, found)

    return act


def without_weights(d: Damage) -> None:
    del entry(d)["weights"]


def grid(array: str, chunk: list[int], shard: list[int]) -> Change:
    return lambda d: entry(d)[array].update(chunk=chunk, shard=shard)


def no_feature(d: Damage) -> None:
    d.manifest["optional_features"] = []


def _twice(d: Damage) -> None:
    first = int(d.values(entry(d)["rows"])[0, 5])
    value("rows", (2, 5), first)(d)


LEVEL_1: dict[str, tuple[str, str, Change]] = {
    "feature": ("NBR-9", ROOT, no_feature),
    "empty-list": ("NBR-9", ROOT, lambda d: d.manifest.__setitem__("neighbours", [])),
    "name-twice": ("NBR-1", ROOT, member("name", "near")),
    "name": ("NBR-1", f"{ROOT}/0/name", member("name", "../knn")),
    "name-length": ("NBR-1", f"{ROOT}/0/name", member("name", "x" * 65)),
    "n-rows": ("NBR-1", f"{ROOT}/0/n_rows", member("n_rows", 100)),
    "cells": ("NBR-6", f"{ROOT}/0/cells", member("cells", "0" * 64)),
    "k": ("NBR-2", "/rows", member("k", K + 1)),
    "k-zero": ("MAN-1", "neighbours/0/k", member("k", 0)),
    "k-large": ("MAN-1", "neighbours/0/k", member("k", 1025)),
    "weight": ("NBR-2", f"{ROOT}/0", lambda d: entry(d).pop("weight")),
    "weights": ("NBR-2", f"{ROOT}/0", without_weights),
    "rows-type": ("NBR-2", "/rows", lambda d: entry(d)["rows"].update(dtype="int64")),
    "rows-shape": ("NBR-2", "/rows", lambda d: entry(d)["rows"].update(shape=[K, 3])),
    "rows-axes": ("NBR-2", "/rows", lambda d: entry(d)["rows"].update(shape=[K], chunk=[K], shard=[K])),
    "weights-type": ("NBR-2", "/weights", lambda d: entry(d)["weights"].update(dtype="float64")),
    "rows-fill": ("ZAR-19", "/rows", lambda d: entry(d)["rows"].update(fill=-1)),
    "weights-fill": ("NBR-3", "/weights", lambda d: entry(d)["weights"].update(fill=-2.0)),
    "chunk": ("NBR-2", "/rows", grid("rows", [2, 1024], [K, 1048576])),
    "shard": ("NBR-2", "/weights", grid("weights", [2, 1024], [2, 1048576])),
    "same-path": ("ZAR-3", "/rows", lambda d: entry(d, "near")["rows"].update(path=entry(d)["rows"]["path"])),
}

VALUES: dict[str, tuple[str, str, Change]] = {
    "beyond": ("NBR-4", "/rows, cell 5", value("rows", (0, 5), 10**6)),
    "negative": ("NBR-4", "/rows, cell 5", value("rows", (K - 1, 5), -3, n=-1)),
    "after-none": ("NBR-4", "/rows, cell 5", value("rows", (1, 5), -1, "rows", n=-1)),
    "twice": ("NBR-4", "/rows, cell 5", _twice),
    "own": ("NBR-4", "/rows, cell 5", value("rows", (0, 5), 5)),
    "number": ("NBR-4", f"{ROOT}/0/n_neighbours", member("n_neighbours", 3)),
    "not-finite": ("NBR-5", "/weights, cell 6", value("weights", (K - 1, 6), math.inf)),
    "nan": ("NBR-5", "/weights, cell 6", value("weights", (0, 6), math.nan)),
    "of-none": ("NBR-5", "/weights, cell 7", value("weights", (0, 7), 1.0)),
    "distances-fall": ("NBR-5", "/weights, cell 20", swapped("knn")),
    "similarities-rise": ("NBR-5", "/weights, cell 20", swapped("near")),
    "digest": ("NBR-8", f"{ROOT}/0/sha256", member("sha256", "0" * 64)),
    "digest-of-rows": ("NBR-8", f"{ROOT}/2/sha256", lambda d: d.change(entry(d, "rows")["rows"], (K - 1, 9), 300)),
    "fill": ("ZAR-18", "/weights, shard 0, element 1, 4", value("weights", (1, 4), np.finfo(np.float32).min)),
}


def test_sound_neighbours(near: Damage) -> None:
    for level in (1, 2, 3, 4):
        assert scformat.validate(near.path, level=level).findings == ()
    assert entry(near)["sha256"] == digest_of(near, entry(near))
    assert entry(near, "rows")["sha256"] == digest_of(near, entry(near, "rows"))


def test_many_cells_are_looked_at_block_by_block(near: Damage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scformat.validation.neighbours._AT_ONCE", 7)
    assert scformat.validate(near.path).findings == ()
    value("rows", (0, slice(40, 60)), 40)(near)
    near.seal()
    found = [f for f in scformat.validate(near.path).findings if "its own neighbour" in f.message]
    assert [f.where.rsplit("/", 1)[1] for f in found] == ["rows, cell 40"]


@pytest.mark.parametrize("name", LEVEL_1)
def test_the_manifest(near: Damage, name: str) -> None:
    requirement, where, change = LEVEL_1[name]
    change(near)
    near.seal()
    found = scformat.validate(near.path, level=1).findings
    assert any(f.requirement == requirement and where in f.where for f in found), found
    # Deeper levels go on, whatever the manifest says.
    assert set(found) <= set(scformat.validate(near.path).findings)


@pytest.mark.parametrize("name", VALUES)
def test_values(near: Damage, name: str) -> None:
    requirement, where, change = VALUES[name]
    change(near)
    near.seal()
    assert scformat.validate(near.path, level=2).ok
    found = scformat.validate(near.path).findings
    assert any(f.requirement == requirement and where in f.where for f in found), found
    assert {"INT-2", "INT-3", "INT-4"}.isdisjoint(f.requirement for f in found)


def test_equal_faults_are_one_finding(near: Damage) -> None:
    value("rows", (0, slice(30, 40)), 10**6)(near)
    near.seal()
    found = [f for f in scformat.validate(near.path).findings if f.requirement == "NBR-4"]
    assert [(f.where.rsplit("/", 1)[1], "(and 9 more)" in f.message) for f in found] == [("rows, cell 30", True)]


@pytest.mark.parametrize("array", ["rows", "weights"])
@pytest.mark.parametrize("how", ["flipped", "gone", "metadata"])
def test_bytes(near: Damage, array: str, how: str) -> None:
    file = near.file(entry(near)[array])
    if how == "flipped":
        data = bytearray(file.read_bytes())
        data[40] ^= 2
        file.write_bytes(data)
    elif how == "gone":
        file.unlink()
    else:
        (near.path / entry(near)[array]["path"] / "zarr.json").write_text("{}")
    found = {f.requirement for f in scformat.validate(near.path).findings}
    assert found & {"flipped": {"INT-2"}, "gone": {"ZAR-15"}, "metadata": {"ZAR-9"}}[how]
    assert not found & {"NBR-4", "NBR-5", "NBR-8"}


def test_all_cited_requirements_bind_a_store() -> None:
    path = Path(__file__).resolve().parents[2] / "spec" / "requirements.json"
    spec = {r["id"]: r for r in json.loads(path.read_bytes())}
    for level, cases in ((1, LEVEL_1), (3, VALUES)):
        for requirement, _, _ in cases.values():
            assert spec[requirement]["level"] == level
    own = {r for r in spec if r.startswith("NBR") and spec[r]["binds"] == "store"}
    assert own == {c[0] for cases in (LEVEL_1, VALUES) for c in cases.values() if c[0].startswith("NBR")}

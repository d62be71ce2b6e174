"""Damage of neighbour tables: what the manifest shows (level 1), and what only the lists show (level 3).

The tables are ``knn`` (distances), ``near`` (connectivities) and ``rows`` (the rows of ``knn`` without weights), of
four neighbours a cell but cell 7, which has none.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.conformance.corruptions import Corruption, corruption, told

if TYPE_CHECKING:
    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage

K = 4
ROOT = "zarr.json:scformat/neighbours"


def entry(d: Damage, name: str = "knn") -> dict[str, Any]:
    """A neighbour table of the manifest."""
    found: dict[str, Any] = next(e for e in d.manifest["neighbours"] if e["name"] == name)
    return found


def digest_of(d: Damage, table: dict[str, Any]) -> str:
    """The digest as the specification says it."""
    lines = ["scformat neighbours 1", f"cells {table['cells']}", f"k {table['k']}"]
    for name, dtype in (("rows", "<i8"), ("weights", "<f4")):
        if name in table:
            values = np.ascontiguousarray(d.values(table[name]).T, dtype)
            lines.append(f"{name} {hashlib.sha256(values.tobytes()).hexdigest()}")
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _member(name: str, value: Any) -> Change:
    return told(f"The member {name} of a neighbour table is {value!r}.", lambda d: entry(d).__setitem__(name, value))


def set_values(text: str, array: str, at: Any, to: Any, table: str = "knn", *, n: int = 0) -> Change:
    """Change values, and put all digests right; `n` neighbours more are there."""

    def act(d: Damage) -> None:
        found = entry(d, table)
        d.change(found[array], at, to)
        found["sha256"] = digest_of(d, found)
        found["n_neighbours"] += n

    return told(text, act)


def _swapped(table: str) -> Change:
    def act(d: Damage) -> None:
        found = entry(d, table)
        for array in (found["rows"], found["weights"]):
            values = d.values(array)
            values[:2, 20] = values[1::-1, 20]
            d.put(array, values)
        found["sha256"] = digest_of(d, found)

    return told(f"The two nearest of a cell change places in {table}.", act)


def _grid(array: str, chunk: list[int], shard: list[int]) -> Change:
    return told(
        f"The chunks and shards of {array} are {chunk[0]} and {shard[0]} high.",
        lambda d: entry(d)[array].update(chunk=chunk, shard=shard),
    )


def _array(array: str, **members: Any) -> Change:
    return told(f"The array {array} has {members}.", lambda d: entry(d)[array].update(members))


def _no_feature(d: Damage) -> None:
    """There are neighbour tables, but the feature is not named."""
    d.manifest["optional_features"].remove("neighbours")


def _empty(d: Damage) -> None:
    """The list of neighbour tables is there and empty."""
    d.manifest["neighbours"] = []


def _twice(d: Damage) -> None:
    """A row is twice among the neighbours of a cell."""
    first = int(d.values(entry(d)["rows"])[0, 5])
    set_values(".", "rows", (2, 5), first)(d)


def _another_row(d: Damage) -> None:
    """A neighbour is another, and the digest of the table as before."""
    array = entry(d, "rows")["rows"]
    held = [9, *d.values(array)[:, 9].tolist()]
    d.change(array, (K - 1, 9), next(row for row in range(44) if row not in held))


def _same_path(d: Damage) -> None:
    """Two tables have their rows at one path."""
    entry(d, "near")["rows"]["path"] = entry(d)["rows"]["path"]


def _no_weight(d: Damage) -> None:
    """There are weights, and it is not said what they are."""
    del entry(d)["weight"]


def _no_weights(d: Damage) -> None:
    """It is said what the weights are, and there are none."""
    del entry(d)["weights"]


NEIGHBOURS_1: dict[str, Corruption] = {
    "feature": corruption("NBR-9", ROOT, _no_feature),
    "empty-list": corruption("NBR-9", ROOT, _empty),
    "name-twice": corruption("NBR-1", ROOT, _member("name", "near")),
    "name": corruption("NBR-1", f"{ROOT}/0/name", _member("name", "../knn")),
    "name-length": corruption("NBR-1", f"{ROOT}/0/name", _member("name", "x" * 65)),
    "n-rows": corruption("NBR-1", f"{ROOT}/0/n_rows", _member("n_rows", 40)),
    "cells": corruption("NBR-6", f"{ROOT}/0/cells", _member("cells", "0" * 64)),
    "k": corruption("NBR-2", "/rows", _member("k", K + 1)),
    "k-zero": corruption("MAN-1", "neighbours/0/k", _member("k", 0)),
    "k-large": corruption("MAN-1", "neighbours/0/k", _member("k", 1025)),
    "weight": corruption("NBR-2", f"{ROOT}/0", _no_weight),
    "weights": corruption("NBR-2", f"{ROOT}/0", _no_weights),
    "rows-type": corruption("NBR-2", "/rows", _array("rows", dtype="int64")),
    "rows-shape": corruption("NBR-2", "/rows", _array("rows", shape=[K, 3])),
    "rows-axes": corruption("NBR-2", "/rows", _array("rows", shape=[K], chunk=[K], shard=[K])),
    "weights-type": corruption("NBR-2", "/weights", _array("weights", dtype="float64")),
    "weights-shape": corruption("NBR-2", "/weights", _array("weights", shape=[K, 3])),
    "rows-fill": corruption("ZAR-19", "/rows", _array("rows", fill=-1)),
    "weights-fill": corruption("NBR-3", "/weights", _array("weights", fill=-2.0)),
    "chunk": corruption("NBR-2", "/rows", _grid("rows", [2, 64], [K, 64])),
    "shard": corruption("NBR-2", "/weights", _grid("weights", [2, 64], [2, 64])),
    "shard-too-high": corruption("NBR-2", "/weights", _grid("weights", [K, 64], [2 * K, 64])),
    "same-path": corruption("ZAR-3", "/rows", _same_path),
}

NEIGHBOURS_3: dict[str, Corruption] = {
    "beyond": corruption("NBR-4", "/rows, cell 5", set_values("A neighbour is no row.", "rows", (0, 5), 10**6)),
    "negative": corruption("NBR-4", "/rows, cell 5", set_values("A neighbour is -3.", "rows", (K - 1, 5), -3, n=-1)),
    "after-none": corruption(
        "NBR-4",
        "/rows, cell 5",
        set_values("A neighbour follows a -1.", "rows", (1, 5), -1, "rows", n=-1),
    ),
    "twice": corruption("NBR-4", "/rows, cell 5", _twice),
    "own": corruption("NBR-4", "/rows, cell 5", set_values("A cell is its own neighbour.", "rows", (0, 5), 5)),
    "number": corruption("NBR-4", f"{ROOT}/0/n_neighbours", _member("n_neighbours", 3)),
    "not-finite": corruption(
        "NBR-5", "/weights, cell 6", set_values("A weight is infinite.", "weights", (K - 1, 6), math.inf)
    ),
    "nan": corruption("NBR-5", "/weights, cell 6", set_values("A weight is NaN.", "weights", (0, 6), math.nan)),
    "of-none": corruption(
        "NBR-5", "/weights, cell 7", set_values("A weight belongs to no neighbour.", "weights", (0, 7), 1.0)
    ),
    "distances-fall": corruption("NBR-5", "/weights, cell 20", _swapped("knn")),
    "similarities-rise": corruption("NBR-5", "/weights, cell 20", _swapped("near")),
    "digest": corruption("NBR-8", f"{ROOT}/0/sha256", _member("sha256", "0" * 64)),
    "digest-of-rows": corruption("NBR-8", f"{ROOT}/2/sha256", _another_row),
    "fill": corruption(
        "ZAR-18",
        "/weights, shard 0, element 1, 4",
        set_values("A weight is the fill value.", "weights", (1, 4), np.finfo(np.float32).min),
    ),
}

"""Roots that lie, with their right digest: what does not fit is refused when the store is opened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from lies import changed_root

from scformat.errors import InvalidDataError, ScformatError, UnsupportedError
from scformat.store.opening import open_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Liar


def part(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["parts"][0]
    return found


def column(manifest: dict[str, Any], member: str) -> dict[str, Any]:
    """Values of the first obs column that has such ones."""
    found: dict[str, Any] = next(v[member] for v in part(manifest)["obs"].values() if member in v)
    return found


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "cells of the store": lambda m: m.update(n_cells=m["n_cells"] + 1),
    "cells of a part": lambda m: (m.update(n_cells=2**53 - 1), part(m).update(n_cells=2**53 - 1)),
    "entries": lambda m: m.update(n_entries=1),
    "genes": lambda m: m["genes"].update(n=2**31 - 1),
    "genes of a part": lambda m: part(m)["sources"].update(n_genes=m["genes"]["n"] + 1),
    "sources": lambda m: part(m)["sources"].update(n=2),
    "the first source": lambda m: part(m)["sources"].update(first=1),
    "start of a part": lambda m: part(m).update(start=7),
    "axes of records": lambda m: part(m)["index"].update(shape=[1200], chunk=[1024], shard=[1024]),
    "axes of cells": lambda m: part(m)["content"].update(shape=[1, 1200], chunk=[1, 1024], shard=[1, 1024]),
    "chunks of records": lambda m: part(m)["index"].update(chunk=[1, 1024]),
    "chunks of entries": lambda m: part(m)["entries"].update(chunk=[1, 2048]),
    "entries of a shard": lambda m: part(m)["entries"].update(shard=[2, 2048]),
    "type of records": lambda m: part(m)["index"].update(dtype="int64"),
    "type of entries": lambda m: part(m)["entries"].update(dtype="uint8"),
    "type of codes": lambda m: column(m, "codes").update(dtype="float64"),
    "type of values": lambda m: column(m, "values").update(dtype="uint8"),
    "type of a column": lambda m: m["obs"][0].update(dtype="V1000000000"),
    "kind of a column": lambda m: [c.update(kind="integer") for c in m["obs"]],
    "no categories": lambda m: [c.pop("categories", None) for c in m["obs"]],
    "label of a column": lambda m: [c.update(label="none") for c in m["obs"] if c["kind"] == "categorical"],
    "fill of records": lambda m: part(m)["index"].update(fill=0),
    "fill beyond its type": lambda m: column(m, "values").update(fill=2**80),
    "fields": lambda m: part(m)["fields"].reverse(),
    "one field too many": lambda m: part(m)["fields"].append("more"),
    "field of a label": lambda m: next(iter(part(m)["labels"].values())).update(field=99),
    "codes of no label": lambda m: part(m)["labels"].update(none={"field": 5}),
    "values of no column": lambda m: part(m)["obs"].update(none={}),
    "no values": lambda m: part(m)["obs"].update({m["obs"][0]["name"]: {}}),
    "no splits": lambda m: m.pop("splits"),
    "counts of splits": lambda m: m["splits"]["counts"].append(1),
    "categories": lambda m: m["labels"][0]["counts"].update(shape=[99]),
    "barcodes": lambda m: part(m)["barcode"]["offsets"].update(shape=[7]),
    "one path twice": lambda m: part(m)["content"].update(path=part(m)["shard_rows"]["path"]),
    "an array in an array": lambda m: part(m)["content"].update(path=part(m)["index"]["path"] + "/c"),
    "two labels": lambda m: m["labels"].append(m["labels"][0]),
    "two columns": lambda m: m["obs"].append(m["obs"][0]),
    "two tables": lambda m: m["tables"].append(m["tables"][0]),
    "strata": lambda m: m["tables"][0]["masses"].update(shape=[1]),
    "a table that is none": lambda m: m["tables"].append({"name": "x"}),
    "a member of a table, deep": lambda m: m["tables"][0].update(keys=json.loads("[" * 300 + "]" * 300)),
    "parts without the feature": lambda m: m["required_features"].append("parts"),
    "extents beyond all": lambda m: part(m)["content"].update(chunk=[10**30], shard=[10**30]),
    "shards of half chunks": lambda m: part(m)["content"].update(chunk=[1000], shard=[1024]),
    "a path out of the store": lambda m: part(m)["content"].update(path="../../etc/passwd"),
    "an absolute path": lambda m: part(m)["content"].update(path="/etc/passwd"),
}


@pytest.mark.parametrize("name", LIES)
def test_what_does_not_fit_is_refused_at_opening(sound: Path, name: str) -> None:
    root = changed_root((sound / "zarr.json").read_bytes(), LIES[name])
    with pytest.raises(InvalidDataError, match=r"\[bad-manifest\]$") as caught:
        open_root(root, where="hostile")
    assert "\n" not in str(caught.value)


_GROUP = b'{"zarr_format": 3, "node_type": "group", "attributes": '


@pytest.mark.parametrize("features", [[[]], [{}], [None], {}, "parts", [["parts"]], 3])
def test_features_that_are_no_names(sound: Path, features: Any) -> None:
    for member in ("required_features", "optional_features"):
        root = changed_root((sound / "zarr.json").read_bytes(), lambda m, member=member: m.update({member: features}))
        with pytest.raises(InvalidDataError, match=r"\[bad-manifest\]$"):
            open_root(root, where="hostile")


def test_unknown_features_are_named(sound: Path) -> None:
    root = changed_root((sound / "zarr.json").read_bytes(), lambda m: m["required_features"].append("spliced"))
    with pytest.raises(UnsupportedError, match=r"'spliced'.*\[unknown-feature\]$"):
        open_root(root, where="hostile")


@pytest.mark.parametrize(
    "root",
    [
        _GROUP + b'{"scformat": {"version": "0.1", "sha256": "\\ud800"}}}',
        _GROUP + b'{"scformat": {"version": "\\ud800"}}}',
        _GROUP + b'{"scformat": {"version": {"a": []}}}}',
        _GROUP + b'{"scformat": []}}',
        _GROUP + b"[]}",
        b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"]",
        b"\xff\xfe",
        b"",
        b"NaN",
    ],
    ids=range(10),
)
def test_roots_that_are_none(root: bytes) -> None:
    with pytest.raises(ScformatError) as caught:
        open_root(root, where="hostile")
    assert str(caught.value).encode(errors="backslashreplace")


@pytest.mark.parametrize("chunk", [2**30, 2**53 - 1])
def test_chunks_of_any_size(liar: Liar, chunk: int) -> None:
    """As a manifest may say it: nothing of the size of a chunk is made before a file shows that it holds one."""
    liar.edit(lambda m: part(m)["content"].update(chunk=[chunk], shard=[chunk]))
    store = liar.open()
    with pytest.raises(InvalidDataError, match=r"\[damaged-chunk\]$"):
        store._storage.read_array(store.manifest.parts[0].content)


def test_more_cells_than_there_are(liar: Liar) -> None:
    """All sizes agree with one another, none with the files."""
    n = 2**40

    def grow(document: Any) -> None:
        if isinstance(document, dict):
            for member in document.values():
                grow(member)
            shape = document.get("shape", [])
            for axis, extent in enumerate(shape):
                if extent in (1200, 1201):
                    shape[axis] += n - 1200
            if document.get("n_cells") == 1200:
                document["n_cells"] = n
        elif isinstance(document, list):
            for member in document:
                grow(member)

    liar.edit(grow)
    store = liar.open()
    for read in (store.obs, store.barcodes, lambda: store.select("lab == 'a'"), store.labels["lab"].codes):
        with pytest.raises(InvalidDataError, match=r"\[(lost|damaged)-chunk\]$"):
            read()


def test_more_genes_than_there_are(liar: Liar) -> None:
    n = 2**31 - 1

    def grow(manifest: dict[str, Any]) -> None:
        genes = manifest["genes"]
        genes["n"], genes["organisms"][0]["n_genes"] = n, n
        for name in ("id", "symbol", "biotype"):
            genes[name]["offsets"]["shape"] = [n + 1]
        for name in ("taxon", "resolved", "by_id"):
            genes[name]["shape"] = [n]

    liar.edit(grow)
    store = liar.open()
    for read in (lambda: store.read(range(100)).dense(), lambda: store.sources_view.statistics(0), lambda: store.genes):
        with pytest.raises(InvalidDataError, match=r"\[lost-chunk\]$"):
            read()


def test_a_sound_root_is_not_refused(sound: Path) -> None:
    assert open_root(changed_root((sound / "zarr.json").read_bytes(), dict), where="sound").n_cells == 1200

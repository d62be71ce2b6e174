"""Damage that the root shows (level 1), or the other ``zarr.json`` and the names of files (level 2)."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

import scformat
from scformat.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from .damage import Damage

    Member = Callable[[Damage], None]


def _set(place: str, value: Any) -> Member:
    """Set a member of the manifest; a place that ends with "/*" drops the last element of a list."""

    def change(d: Damage) -> None:
        *above, last = place.split("/")
        item: Any = d.manifest
        for name in above:
            item = item[int(name)] if isinstance(item, list) else item[name]
        item[int(last) if isinstance(item, list) else last] = value

    return change


def _two_parts(d: Damage) -> None:
    d.manifest["parts"].append(json.loads(json.dumps(d.part).replace("parts/1/", "parts/2/")))


def _same_path(d: Damage) -> None:
    d.manifest["genes"]["taxon"]["path"] = d.manifest["genes"]["by_id"]["path"]


def _path_within(d: Damage) -> None:
    d.manifest["genes"]["taxon"]["path"] = d.manifest["genes"]["by_id"]["path"] + "/c"


def _n_cells(d: Damage) -> None:
    d.manifest["n_cells"] += 1


def _label_twice(d: Damage) -> None:
    d.manifest["labels"][1]["name"] = d.manifest["labels"][0]["name"]


def _column_twice(d: Damage) -> None:
    d.manifest["obs"][1]["name"] = d.manifest["obs"][0]["name"]


def _column(d: Damage, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in d.manifest["obs"] if c["name"] == name)
    return found


def _unlisted_column(d: Damage) -> None:
    d.part["obs"]["nowhere"] = d.part["obs"]["score"]


def _wrong_kind(d: Damage) -> None:
    _column(d, "score")["kind"] = "string"


def _label_column_with_codes(d: Damage) -> None:
    d.part["obs"]["donor_id"] = d.part["obs"]["identifier"]


def _column_of_no_label(d: Damage) -> None:
    _column(d, "donor_id")["label"] = "nowhere"


def _shape_of(place: str, last: int) -> Member:
    def change(d: Damage) -> None:
        item: Any = d.manifest
        for name in place.split("/"):
            item = item[int(name)] if isinstance(item, list) else item[name]
        item["shape"][-1] += last

    return change


def _no_categories(d: Damage) -> None:
    del _column(d, "identifier")["categories"]


LEVEL_1: dict[str, tuple[str, str, Member]] = {
    "format": ("MAN-1", "scformat/format", _set("format", "other")),
    "missing-member": ("MAN-1", "scformat/findings", lambda d: d.manifest.pop("findings")),
    "wrong-type": ("MAN-1", "scformat/n_cells", _set("n_cells", "310")),
    "float-count": ("MAN-1", "scformat/n_cells", _set("n_cells", 310.0)),
    "null": ("MAN-2", "scformat/splits/shares", _set("splits/shares", None)),
    "future-version": ("VER-1", "version", _set("version", "0.2")),
    "no-version": ("VER-1", "version", _set("version", "first")),
    "unknown-feature": ("VER-10", "required_features", _set("required_features", ["layers"])),
    "tables": ("TAB-13", "tables", _set("tables", [{"name": "weights"}])),
    "feature-twice": ("VER-7", "optional_features", _set("optional_features", ["x-a", "x-a"])),
    "feature-name": ("VER-7", "optional_features", _set("optional_features", ["X a"])),
    "path-escapes": ("ZAR-4", "scformat/genes/taxon/path", _set("genes/taxon/path", "../taxon")),
    "path-absolute": ("ZAR-4", "scformat/genes/taxon/path", _set("genes/taxon/path", "/etc/passwd")),
    "path-of-group": ("ZAR-4", "scformat/groups", lambda d: d.manifest["groups"].update({"..": "0" * 64})),
    "path-twice": ("ZAR-3", "genes/1/by_id", _same_path),
    "path-within": ("ZAR-3", "genes/1/by_id/c", _path_within),
    "dtype-unknown": ("ZAR-8", "scformat/genes/taxon/dtype", _set("genes/taxon/dtype", "complex64")),
    "dtype": ("GEN-1", "genes/1/taxon", _set("genes/taxon/dtype", "int64")),
    "axes": ("MAN-5", "scformat/genes/taxon", _set("genes/taxon/chunk", [1, 1])),
    "shard-of-parts-of-chunks": ("ZAR-13", "scformat/genes/taxon", _set("genes/taxon/chunk", [7])),
    "fill": ("ZAR-19", "genes/1/taxon", _set("genes/taxon/fill", 0)),
    "fill-beyond-type": ("ZAR-19", "parts/1/obs", _set("parts/0/obs/lane/values/fill", 2**40)),
    "fill-nan-like": ("MAN-1", "scformat/genes/taxon/fill", _set("genes/taxon/fill", "nan")),
    "strings-dtype": ("ZAR-22", "scformat/genes/id", _set("genes/id/offsets/dtype", "int32")),
    "strings-number": ("GEN-1", "genes/1/id/offsets", _shape_of("genes/id/offsets", 1)),
    "genes-n": ("GEN-1", "genes/1/taxon", _set("genes/n", 3)),
    "organisms-number": ("GEN-8", "organisms", _set("genes/organisms/0/n_genes", 5)),
    "n-cells": ("PRT-3", "scformat/n_cells", _n_cells),
    "n-entries": ("PRT-3", "scformat/n_entries", _set("n_entries", 5)),
    "part-start": ("PRT-1", "parts/0", _set("parts/0/start", 3)),
    "first-source": ("PRT-5", "parts/0/sources", _set("parts/0/sources/first", 1)),
    "parts-not-named": ("PRT-4", "required_features", _two_parts),
    "parts-named": ("PRT-4", "required_features", _set("required_features", ["parts"])),
    "genes-of-part": ("PRT-9", "parts/0/sources", _set("parts/0/sources/n_genes", 1000)),
    "content-shape": ("PRT-8", "parts/1/cells/content", _shape_of("parts/0/content", -1)),
    "index-shape": ("PRT-8", "parts/1/cells/index", _shape_of("parts/0/index", 1)),
    "barcodes": ("PRT-8", "parts/1/cells/barcode", _shape_of("parts/0/barcode/offsets", -1)),
    "measured-shape": ("PRT-8", "parts/1/sources/measured", _shape_of("parts/0/sources/measured", 1)),
    "stats-shape": ("PRT-8", "parts/1/sources/stats", _shape_of("parts/0/sources/stats", -1)),
    "shard-rows-shape": ("PRT-8", "parts/1/counts/shard_rows", _shape_of("parts/0/shard_rows", 1)),
    "entries-shape": ("CNT-12", "parts/1/counts/entries", _shape_of("parts/0/entries", 2048)),
    "fields": ("CEL-1", "fields", _set("parts/0/fields/0", "end")),
    "field-twice": ("CEL-4", "labels", _set("parts/0/labels/cell_type/field", 5)),
    "field-beyond": ("CEL-4", "split", _set("parts/0/split/field", 99)),
    "record-cut": ("CEL-2", "parts/1/cells/index", _set("parts/0/index/chunk", [1, 1024])),
    "place": ("MAN-1", "labels/cell_type", _set("parts/0/labels/cell_type", {})),
    "label-twice": ("LAB-1", "scformat", _label_twice),
    "label-counts": ("LAB-3", "counts", _shape_of("labels/0/counts", -1)),
    "ontology-terms": ("LAB-10", "terms", _set("labels/0/ontology/n_terms", 1)),
    "codes-of-no-label": ("LAB-5", "labels", _set("parts/0/labels/nowhere", {"field": 7})),
    "order-of-no-label": ("ORD-6", "order", _set("parts/0/order/by", ["nowhere"])),
    "order-by": ("ORD-6", "order", _set("parts/0/order/kind", "source")),
    "no-splits": ("SPL-1", "split", lambda d: d.manifest.pop("splits")),
    "no-split-codes": ("SPL-1", "split", lambda d: d.part.pop("split")),
    "split-names": ("SPL-2", "scformat", _set("splits/names", ["a", "a", "b"])),
    "split-counts": ("SPL-2", "splits", _set("splits/counts", [310])),
    "split-shares": ("SPL-6", "splits", _set("splits/shares", [0.7, 0.2, 0.2])),
    "column-twice": ("CEL-13", "scformat", _column_twice),
    "column-not-listed": ("CEL-13", "nowhere", _unlisted_column),
    "column-kind": ("CEL-15", "score", _wrong_kind),
    "column-with-label-and-codes": ("CEL-15", "donor_id", _label_column_with_codes),
    "column-dtype": ("CEL-15", "parts/1/obs", _set("parts/0/obs/score/values/dtype", "uint8")),
    "column-type": ("MAN-1", "lane", lambda d: _column(d, "lane").update(dtype="float64")),
    "column-of-no-label": ("CEL-20", "donor_id", _column_of_no_label),
    "column-without-categories": ("CEL-20", "identifier", _no_categories),
}


@pytest.mark.parametrize("name", LEVEL_1)
def test_manifest(damage: Damage, name: str) -> None:
    requirement, where, change = LEVEL_1[name]
    change(damage)
    damage.seal()
    report = scformat.validate(damage.path, level=1)
    assert any(f.requirement == requirement and where in f.where for f in report.findings), report.findings
    assert "INT-4" not in {f.requirement for f in report.findings}
    assert not scformat.validate(damage.path, level=3).ok


def _root(change: Callable[[bytes], bytes]) -> Member:
    def act(d: Damage) -> None:
        file = d.path / "zarr.json"
        file.write_bytes(change(file.read_bytes()))

    return act


def _consolidated(d: Damage) -> None:
    d.document["consolidated_metadata"] = {}
    d.seal()


def _not_a_group(d: Damage) -> None:
    d.document["node_type"] = "array"
    d.seal()


def _no_manifest(d: Damage) -> None:
    d.document["attributes"] = {}
    (d.path / "zarr.json").write_text(json.dumps(d.document))


ROOT: dict[str, tuple[str, Member]] = {
    "byte-order-mark": ("CNV-1", _root(lambda b: b"\xef\xbb\xbf" + b)),
    "not-utf8": ("CNV-1", _root(lambda b: b.replace(b'"generator": "', b'"generator": "\xff'))),
    "cut": ("CNV-1", _root(lambda b: b[: len(b) // 2])),
    "empty": ("CNV-1", _root(lambda _: b"")),
    "nan": ("CNV-1", _root(lambda b: b.replace(b'"seed": 7', b'"seed": NaN'))),
    "nested": ("CNV-1", _root(lambda _: b"[" * 100_000)),
    "member-twice": ("CNV-1", _root(lambda b: b.replace(b'"seed": 7', b'"seed": 7, "seed": 7'))),
    "list": ("ZAR-1", _root(lambda _: b"[]")),
    "not-a-group": ("ZAR-1", _not_a_group),
    "no-manifest": ("ZAR-1", _no_manifest),
    "consolidated": ("ZAR-2", _consolidated),
    "another-seed": ("INT-4", _root(lambda b: b.replace(b'"seed": 7', b'"seed": 8', 1))),
    "white-space": ("INT-4", _root(lambda b: b + b"\n")),
    "missing": ("ZAR-1", lambda d: (d.path / "zarr.json").unlink()),
}


@pytest.mark.parametrize("name", ROOT)
@pytest.mark.parametrize("level", [1, 3])
def test_root(damage: Damage, name: str, level: int) -> None:
    requirement, change = ROOT[name]
    change(damage)
    findings = scformat.validate(damage.path, level=level).findings
    assert requirement in {f.requirement for f in findings}
    assert level > 1 or all(f.where.startswith("zarr.json") for f in findings)


def test_digest_of_the_manifest_occurs_twice(damage: Damage) -> None:
    file = damage.path / "zarr.json"
    digest = damage.manifest["sha256"].encode()
    file.write_bytes(file.read_bytes().replace(b'"generator": "', b'"generator": "' + digest))
    assert {f.requirement for f in scformat.validate(damage.path, level=1).findings} == {"INT-4"}


# Level 2


def _document(path: str, change: Callable[[dict[str, Any]], Any]) -> Member:
    """Change a ``zarr.json`` and put all digests right."""

    def act(d: Damage) -> None:
        file = d.path / path / "zarr.json"
        document = json.loads(file.read_bytes())
        change(document)
        file.write_text(json.dumps(document))
        if path in d.manifest["groups"]:
            d.digest_groups()
        else:
            d.digest(d.manifest["genes"]["taxon"])
        d.seal()

    return act


def _codec(change: Callable[[dict[str, Any]], Any]) -> Member:
    return _document("genes/1/taxon", lambda x: change(x["codecs"][0]["configuration"]))


def _unlink(path: str) -> Member:
    return lambda d: (d.path / path).unlink()


def _forget_group(d: Damage) -> None:
    del d.manifest["groups"]["genes"]
    d.seal()


def _extra_group(d: Damage) -> None:
    d.manifest["groups"]["elsewhere"] = d.manifest["groups"]["genes"]
    d.seal()


def _group_digest(d: Damage) -> None:
    d.manifest["groups"]["genes"] = "0" * 63 + "1"
    d.seal()


def _group_bytes(d: Damage) -> None:
    file = d.path / "genes" / "zarr.json"
    file.write_bytes(file.read_bytes() + b" ")


TAXON = "genes/1/taxon"
LEVEL_2: dict[str, tuple[str, str, Member]] = {
    "shard-missing": ("ZAR-15", "parts/1/counts/entries/c/0/0", _unlink("parts/1/counts/entries/c/0/0")),
    "small-file-missing": ("ZAR-15", f"{TAXON}/c/0", _unlink(f"{TAXON}/c/0")),
    "array-metadata-missing": ("ZAR-9", f"{TAXON}/zarr.json", _unlink(f"{TAXON}/zarr.json")),
    "group-missing": ("ZAR-5", "genes/1/zarr.json", _unlink("genes/1/zarr.json")),
    "group-not-listed": ("ZAR-5", "groups", _forget_group),
    "group-that-is-none": ("ZAR-5", "groups", _extra_group),
    "group-digest": ("INT-3", "genes/zarr.json", _group_digest),
    "group-bytes": ("INT-3", "genes/zarr.json", _group_bytes),
    "group-attributes": ("ZAR-5", "genes/1/zarr.json", _document("genes/1", lambda x: x.update(attributes={"a": 1}))),
    "group-json": ("CNV-1", "genes/zarr.json", lambda d: (d.path / "genes" / "zarr.json").write_text("{")),
    "shape": ("ZAR-12", TAXON, _document(TAXON, lambda x: x.update(shape=[3]))),
    "shape-float": ("ZAR-12", TAXON, _document(TAXON, lambda x: x.update(shape=[float(x["shape"][0])]))),
    "data-type": ("ZAR-12", TAXON, _document(TAXON, lambda x: x.update(data_type="int64"))),
    "fill": ("ZAR-12", TAXON, _document(TAXON, lambda x: x.update(fill_value=0))),
    "fill-true": ("ZAR-12", TAXON, _document(TAXON, lambda x: x.update(fill_value=True))),
    "chunk": ("ZAR-12", TAXON, _codec(lambda x: x.update(chunk_shape=[1]))),
    "attributes": ("ZAR-9", TAXON, _document(TAXON, lambda x: x.update(attributes={"a": 1}))),
    "extra-member": ("ZAR-9", TAXON, _document(TAXON, lambda x: x.update(dimension_names=["gene"]))),
    "separator": (
        "ZAR-9",
        TAXON,
        _document(TAXON, lambda x: x["chunk_key_encoding"]["configuration"].update(separator=".")),
    ),
    "no-sharding": ("ZAR-9", TAXON, _document(TAXON, lambda x: x.update(codecs=[{"name": "crc32c"}]))),
    "codec": ("ZAR-10", TAXON, _codec(lambda x: x["codecs"][1]["configuration"].update(cname="zstd"))),
    "no-crc": ("ZAR-10", TAXON, _codec(lambda x: x["codecs"].pop())),
    "index-at-start": ("ZAR-11", TAXON, _codec(lambda x: x.update(index_location="start"))),
    "index-codec": ("ZAR-11", TAXON, _codec(lambda x: x["index_codecs"].pop())),
}


@pytest.mark.parametrize("name", LEVEL_2)
def test_hierarchy(damage: Damage, name: str) -> None:
    requirement, where, change = LEVEL_2[name]
    change(damage)
    assert scformat.validate(damage.path, level=1).ok
    report = scformat.validate(damage.path, level=2)
    assert any(f.requirement == requirement and where in f.where for f in report.findings), report.findings
    deeper = scformat.validate(damage.path, level=3)
    assert set(report.findings) <= set(deeper.findings)


def test_no_files_but_the_root(damage: Damage) -> None:
    for name in ("genes", "labels", "parts"):
        shutil.rmtree(damage.path / name)
    found = scformat.validate(damage.path).findings
    assert {f.requirement for f in found} == {"ZAR-5", "ZAR-9", "ZAR-15"}


def test_an_array_of_more_files_than_can_be_looked_for(damage: Damage) -> None:
    """A manifest that promises 2^50 files is refuted without looking for each."""
    array = damage.manifest["labels"][0]["ontology"]["closure"]
    array.update(shape=[2**50], chunk=[1], shard=[1])
    damage.seal()
    found = [f for f in scformat.validate(damage.path).findings if f.requirement == "ZAR-15"]
    assert 0 < len(found) < 10
    assert any("more" in f.message for f in found)


def test_root_without_anything_cannot_be_told_from_no_store(damage: Damage) -> None:
    shutil.rmtree(damage.path)
    damage.path.mkdir()
    with pytest.raises(StorageError, match="no-store"):
        scformat.validate(damage.path)

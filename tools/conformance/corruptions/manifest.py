"""Damage that the manifest shows: level 1. The root is sealed afterwards, so that its digest holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tools.conformance.corruptions import Corruption, corruption, told

if TYPE_CHECKING:
    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage


def set_to(place: str, value: Any) -> Change:
    """Set a member of the manifest."""

    def change(d: Damage) -> None:
        *above, last = place.split("/")
        item: Any = d.manifest
        for name in above:
            item = item[int(name)] if isinstance(item, list) else item[name]
        item[int(last) if isinstance(item, list) else last] = value

    return told(f"The member {place} is {json.dumps(value)}.", change)


def removed(place: str) -> Change:
    """Take a member of the manifest away."""

    def change(d: Damage) -> None:
        *above, last = place.split("/")
        item: Any = d.manifest
        for name in above:
            item = item[int(name)] if isinstance(item, list) else item[name]
        del item[last]

    return told(f"The member {place} is not there.", change)


def longer(place: str, by: int) -> Change:
    """Change the last extent of an array in the manifest."""

    def change(d: Damage) -> None:
        item: Any = d.manifest
        for name in place.split("/"):
            item = item[int(name)] if isinstance(item, list) else item[name]
        item["shape"][-1] += by

    return told(f"The last extent of {place} is off by {by}.", change)


def _two_parts(d: Damage) -> None:
    """A part is listed twice, the second time with other paths, without the feature parts."""
    d.manifest["parts"].append(json.loads(json.dumps(d.part).replace("parts/1/", "parts/2/")))


def _same_path(d: Damage) -> None:
    """Two arrays have one path."""
    d.manifest["genes"]["taxon"]["path"] = d.manifest["genes"]["by_id"]["path"]


def _path_within(d: Damage) -> None:
    """An array lies within another."""
    d.manifest["genes"]["taxon"]["path"] = d.manifest["genes"]["by_id"]["path"] + "/c"


def _n_cells(d: Damage) -> None:
    """The manifest's n_cells is one more than that of the parts."""
    d.manifest["n_cells"] += 1


def _label_twice(d: Damage) -> None:
    """Two labels have one name."""
    d.manifest["labels"][1]["name"] = d.manifest["labels"][0]["name"]


def _column_twice(d: Damage) -> None:
    """Two obs columns have one name; both are those of labels, so that no values are without a column."""
    held = [c for c in d.manifest["obs"] if "label" in c]
    held[0]["name"] = held[1]["name"]


def column(d: Damage, name: str) -> dict[str, Any]:
    """An obs column of the manifest."""
    found: dict[str, Any] = next(c for c in d.manifest["obs"] if c["name"] == name)
    return found


def _unlisted_column(d: Damage) -> None:
    """A part has values of a column that the manifest does not list."""
    d.part["obs"]["nowhere"] = d.part["obs"]["score"]


def _wrong_kind(d: Damage) -> None:
    """A column of numbers is said to hold strings."""
    column(d, "score")["kind"] = "string"


def _label_column_with_codes(d: Damage) -> None:
    """A part has codes for a column whose codes are those of a label."""
    d.part["obs"]["donor_id"] = d.part["obs"]["identifier"]


def _column_of_no_label(d: Damage) -> None:
    """A column is that of a label that is not there."""
    column(d, "donor_id")["label"] = "nowhere"


def _no_categories(d: Damage) -> None:
    """A categorical column has neither categories nor a label."""
    del column(d, "identifier")["categories"]


def _fill_of_obs_categories(d: Damage) -> None:
    """The fill value of the bytes of a column's categories is 0."""
    column(d, "identifier")["categories"]["bytes"]["fill"] = 0


def _both(d: Damage) -> None:
    """A categorical column has categories and a label."""
    column(d, "identifier")["label"] = "donor_id"


def _categories_of_numbers(d: Damage) -> None:
    """A column of numbers has categories."""
    column(d, "score")["categories"] = column(d, "identifier")["categories"]


def _missing_beside_codes(d: Damage) -> None:
    """A column has codes and a mask of missing values."""
    d.obs("identifier")["missing"] = d.obs("masked").pop("missing")


def _two_kinds(d: Damage) -> None:
    """A column has values and codes."""
    d.obs("score")["codes"] = d.obs("identifier").pop("codes")


def _group_beyond(d: Damage) -> None:
    """The path of a group leads out of the store."""
    d.manifest["groups"]["../elsewhere"] = "0" * 64


def _label_in_two_places(d: Damage) -> None:
    """Codes lie in a field and in an array."""
    place = d.part["labels"]["cell_type"]
    place["array"] = next(p["array"] for p in d.part["labels"].values() if "array" in p)


def _fewer_fields(d: Damage) -> None:
    """The fields are one less than the rows of the record array."""
    d.part["fields"].pop()


def _parts_sum(d: Damage) -> None:
    """n_cells of the only part is one less than that of the manifest."""
    d.part["n_cells"] -= 1


def _both_features(d: Damage) -> None:
    """A feature is required and optional."""
    d.manifest["required_features"] = d.manifest["optional_features"] = ["x-a"]


def _organisms_fall(d: Damage) -> None:
    """The taxa of the organisms descend."""
    first = d.manifest["genes"]["organisms"][0]
    first["n_genes"] -= 1
    d.manifest["genes"]["organisms"].append({"taxon": 1, "name": "root", "n_genes": 1})


def _too_many_genes(d: Damage) -> None:
    """There are 2^31 genes, and all that the manifest says of them fits."""
    genes = d.manifest["genes"]
    n = genes["n"] = 2**31
    for name in ("id", "symbol", "biotype"):
        genes[name]["offsets"]["shape"] = [n + 1]
    for name in ("taxon", "resolved", "by_id"):
        genes[name]["shape"] = [n]
    genes["organisms"] = [{**genes["organisms"][0], "n_genes": n}]


def _one_more_shard(d: Damage) -> None:
    """The counts have one shard more than there are digests of shards."""
    entries = d.part["entries"]
    entries["shape"][1] += entries["shard"][1]


def _record_shard(d: Damage) -> None:
    """The shards of the records are twice as high as the records."""
    d.part["index"]["shard"][0] *= 2


REFUSED = (("describe",), ("read", "--rows", "0"))
"""What a reader cannot answer where the manifest is not one that it knows."""

MANIFEST: dict[str, Corruption] = {
    "format": corruption("MAN-1", "scformat/format", set_to("format", "other")),
    "missing-member": corruption("MAN-1", "scformat/findings", removed("findings")),
    "missing-counts": corruption("MAN-1", "scformat/parts/0/entries", removed("parts/0/entries"), refuse=REFUSED),
    "wrong-type": corruption("MAN-1", "scformat/n_cells", set_to("n_cells", "310")),
    "count-not-whole": corruption("MAN-1", "scformat/n_cells", set_to("n_cells", 310.5)),
    "negative-count": corruption("MAN-1", "scformat/seed", set_to("seed", -1)),
    "count-beyond-2-53": corruption("MAN-1", "scformat/seed", set_to("seed", 2**53)),
    "digest-of-upper-case": corruption("MAN-1", "index_digest", set_to("genes/index_digest", "A" * 64)),
    "mode": corruption("MAN-1", "scformat/genes/mode", set_to("genes/mode", "all")),
    "order-kind": corruption("MAN-1", "scformat/parts/0/order/kind", set_to("parts/0/order/kind", "random")),
    "no-parts": corruption("MAN-1", "scformat/parts", set_to("parts", [])),
    "four-axes": corruption("MAN-1", "scformat/genes/taxon/shape", set_to("genes/taxon/shape", [1, 1, 1, 1])),
    "zero-chunk": corruption("MAN-1", "scformat/genes/taxon/chunk", set_to("genes/taxon/chunk", [0])),
    "null": corruption("MAN-2", "scformat/splits/shares", set_to("splits/shares", None)),
    "null-in-a-part": corruption(
        "MAN-2", "scformat/parts/0/obs/score/missing", set_to("parts/0/obs/score/missing", None)
    ),
    "future-version": corruption("VER-1", "version", set_to("version", "0.2"), refuse=REFUSED),
    "future-major-version": corruption("VER-1", "version", set_to("version", "1.0"), refuse=REFUSED),
    "no-version": corruption("VER-1", "version", set_to("version", "first"), refuse=REFUSED),
    "unknown-feature": corruption(
        "VER-10", "required_features", set_to("required_features", ["x-unheard-of"]), refuse=REFUSED
    ),
    "reserved-feature": corruption(
        "VER-10", "required_features", set_to("required_features", ["layers"]), refuse=REFUSED
    ),
    "feature-twice": corruption("VER-7", "optional_features", set_to("optional_features", ["x-a", "x-a"])),
    "feature-name": corruption("VER-7", "optional_features", set_to("optional_features", ["X a"])),
    "feature-required-and-optional": corruption("VER-7", "scformat", _both_features),
    "path-escapes": corruption(
        "ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "../taxon"), refuse=REFUSED
    ),
    "path-escapes-within": corruption(
        "ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "genes/../../taxon"), refuse=REFUSED
    ),
    "path-absolute": corruption(
        "ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "/etc/passwd"), refuse=REFUSED
    ),
    "path-empty-segment": corruption("ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "genes//taxon")),
    "path-of-text": corruption("ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "genes/täxon")),
    "path-line": corruption("ZAR-4", "scformat/genes/taxon/path", set_to("genes/taxon/path", "genes/1/taxon\n")),
    "path-of-group": corruption("ZAR-4", "scformat/groups", _group_beyond),
    "path-twice": corruption("ZAR-3", "genes/1/by_id", _same_path),
    "path-within": corruption("ZAR-3", "genes/1/by_id/c", _path_within),
    "dtype-unknown": corruption("ZAR-8", "scformat/genes/taxon/dtype", set_to("genes/taxon/dtype", "complex64")),
    "dtype-of-strings": corruption("ZAR-8", "scformat/genes/taxon/dtype", set_to("genes/taxon/dtype", "string")),
    "dtype": corruption("GEN-1", "genes/1/taxon", set_to("genes/taxon/dtype", "int64")),
    "axes": corruption("MAN-5", "scformat/genes/taxon", set_to("genes/taxon/chunk", [1, 1])),
    "shard-of-parts-of-chunks": corruption("ZAR-13", "scformat/genes/taxon", set_to("genes/taxon/chunk", [7])),
    "fill": corruption("ZAR-19", "genes/1/taxon", set_to("genes/taxon/fill", 0)),
    "fill-of-flags": corruption("ZAR-19", "genes/1/resolved", set_to("genes/resolved/fill", 0)),
    "fill-of-counts": corruption("ZAR-19", "parts/1/counts/entries", set_to("parts/0/entries/fill", 0)),
    "fill-of-strings": corruption("ZAR-19", "genes/1/id/bytes", set_to("genes/id/bytes/fill", 0)),
    "fill-of-offsets": corruption("ZAR-19", "genes/1/id/offsets", set_to("genes/id/offsets/fill", 0)),
    "fill-of-categories": corruption(
        "ZAR-19", "labels/1/0/categories/bytes", set_to("labels/0/categories/bytes/fill", 0)
    ),
    "fill-of-obs-categories": corruption("ZAR-19", "labels/1/obs-", _fill_of_obs_categories),
    "fill-beyond-type": corruption("ZAR-19", "parts/1/obs", set_to("parts/0/obs/lane/values/fill", 2**40)),
    "fill-of-no-float": corruption("ZAR-19", "parts/1/obs", set_to("parts/0/obs/fraction/values/fill", 1e39)),
    "fill-not-exact": corruption("ZAR-19", "parts/1/obs", set_to("parts/0/obs/depth/values/fill", -(2**63) + 4095)),
    "number-not-exact": corruption("CNV-2", "zarr.json", set_to("parts/0/obs/depth/values/fill", -(2**63) + 4095)),
    "number-beyond-binary64": corruption(
        "CNV-2", "zarr.json", told("The seed has 400 digits.", lambda d: d.manifest.update(seed=10**400 - 1))
    ),
    "fill-nan-like": corruption("MAN-1", "scformat/genes/taxon/fill", set_to("genes/taxon/fill", "nan")),
    "strings-dtype": corruption("ZAR-22", "scformat/genes/id", set_to("genes/id/offsets/dtype", "int32")),
    "strings-bytes": corruption("ZAR-22", "scformat/genes/id", set_to("genes/id/bytes/dtype", "uint16")),
    "strings-axes": corruption(
        "ZAR-22",
        "genes/1/id/bytes",
        told(
            "The bytes of strings have two axes.",
            lambda d: d.manifest["genes"]["id"]["bytes"].update(shape=[1, 4], chunk=[1, 4], shard=[1, 4]),
        ),
    ),
    "strings-number": corruption("GEN-1", "genes/1/id/offsets", longer("genes/id/offsets", 1)),
    "symbols-number": corruption("GEN-1", "genes/1/symbol/offsets", longer("genes/symbol/offsets", 1)),
    "biotypes-number": corruption("GEN-1", "genes/1/biotype/offsets", longer("genes/biotype/offsets", 1)),
    "by-id-shape": corruption("GEN-1", "genes/1/by_id", longer("genes/by_id", 1)),
    "genes-n": corruption("GEN-1", "genes/1/taxon", set_to("genes/n", 3)),
    "genes-too-many": corruption("GEN-1", "genes/n", _too_many_genes),
    "organisms-number": corruption("GEN-8", "organisms", set_to("genes/organisms/0/n_genes", 5)),
    "organisms-order": corruption("GEN-8", "organisms", _organisms_fall),
    "n-cells": corruption("PRT-3", "scformat/n_cells", _n_cells),
    "n-entries": corruption("PRT-3", "scformat/n_entries", set_to("n_entries", 5)),
    "n-cells-of-part": corruption("PRT-3", "scformat/n_cells", _parts_sum),
    "part-start": corruption("PRT-1", "parts/0", set_to("parts/0/start", 3)),
    "first-source": corruption("PRT-5", "parts/0/sources", set_to("parts/0/sources/first", 1)),
    "parts-not-named": corruption("PRT-4", "required_features", _two_parts),
    "parts-named": corruption("PRT-4", "required_features", set_to("required_features", ["parts"])),
    "genes-of-part": corruption("PRT-9", "parts/0/sources", set_to("parts/0/sources/n_genes", 1000)),
    "content-shape": corruption("PRT-8", "parts/1/cells/content", longer("parts/0/content", -1)),
    "content-dtype": corruption("PRT-8", "parts/1/cells/content", set_to("parts/0/content/dtype", "int32")),
    "index-shape": corruption("PRT-8", "parts/1/cells/index", longer("parts/0/index", 1)),
    "barcodes": corruption("PRT-8", "parts/1/cells/barcode", longer("parts/0/barcode/offsets", -1)),
    "records-shape": corruption("PRT-8", "parts/1/sources/records", longer("parts/0/sources/records/offsets", 1)),
    "measured-shape": corruption("PRT-8", "parts/1/sources/measured", longer("parts/0/sources/measured", 1)),
    "stats-shape": corruption("PRT-8", "parts/1/sources/stats", longer("parts/0/sources/stats", -1)),
    "var-names-shape": corruption("PRT-8", "parts/1/sources/var_names", longer("parts/0/sources/var_names/offsets", 1)),
    "var-offsets-shape": corruption("PRT-8", "parts/1/sources/var_offsets", longer("parts/0/sources/var_offsets", 1)),
    "var-gene-dtype": corruption(
        "PRT-8", "parts/1/sources/var_gene", set_to("parts/0/sources/var_gene/dtype", "int64")
    ),
    "shard-rows-shape": corruption("PRT-8", "parts/1/counts/shard_rows", longer("parts/0/shard_rows", 1)),
    "shard-digests-shape": corruption("PRT-8", "parts/1/counts/shard_digests", longer("parts/0/shard_digests", -1)),
    "label-array-dtype": corruption(
        "PRT-8",
        "parts/1/cells/label-",
        told(
            "Codes of a label in an array are int64.",
            lambda d: next(p["array"] for p in d.part["labels"].values() if "array" in p).update(dtype="int64"),
        ),
    ),
    "missing-shape": corruption("PRT-8", "parts/1/obs", longer("parts/0/obs/masked/missing", 1)),
    "values-shape": corruption("PRT-8", "parts/1/obs", longer("parts/0/obs/score/values", -1)),
    "codes-shape": corruption("PRT-8", "parts/1/obs", longer("parts/0/obs/identifier/codes", -1)),
    "obs-strings-shape": corruption("PRT-8", "parts/1/obs", longer("parts/0/obs/note/strings/offsets", -1)),
    "entries-shape": corruption("CNT-12", "parts/1/counts/entries", longer("parts/0/entries", 64)),
    "entries-of-more-shards": corruption("PRT-8", "parts/1/counts/entries", _one_more_shard),
    "entries-shard-axis": corruption("CNT-12", "parts/1/counts/entries", set_to("parts/0/entries/shard/0", 4)),
    "entries-chunk": corruption("CNT-12", "parts/1/counts/entries", set_to("parts/0/entries/chunk/0", 1)),
    "entries-dtype": corruption("PRT-8", "parts/1/counts/entries", set_to("parts/0/entries/dtype", "int32")),
    "entries-shard": corruption(
        "CNT-12",
        "parts/1/counts/entries",
        told(
            "A shard of the counts has 2^31 entries.",
            lambda d: d.part["entries"].update(shape=[2, 2**31], shard=[2, 2**31]),
        ),
    ),
    "fields": corruption("CEL-1", "fields", set_to("parts/0/fields/0", "end")),
    "fields-twice": corruption("CEL-1", "fields", set_to("parts/0/fields/6", "split")),
    "fields-number": corruption("CEL-1", "fields", _fewer_fields),
    "field-twice": corruption("CEL-4", "labels", set_to("parts/0/labels/cell_type/field", 5)),
    "field-beyond": corruption("CEL-4", "split", set_to("parts/0/split/field", 99)),
    "field-of-figures": corruption("MAN-1", "split", set_to("parts/0/split/field", 3)),
    "record-cut": corruption("CEL-2", "parts/1/cells/index", set_to("parts/0/index/chunk/0", 1)),
    "record-shard": corruption("CEL-2", "parts/1/cells/index", _record_shard),
    "place": corruption("MAN-1", "labels/cell_type", set_to("parts/0/labels/cell_type", {})),
    "place-twice": corruption("MAN-1", "labels/cell_type", _label_in_two_places),
    "label-twice": corruption("LAB-1", "scformat", _label_twice),
    "label-counts": corruption("LAB-3", "counts", longer("labels/0/counts", -1)),
    "label-counts-dtype": corruption("LAB-3", "counts", set_to("labels/0/counts/dtype", "int32")),
    "ontology-terms": corruption("LAB-10", "terms", set_to("labels/0/ontology/n_terms", 1)),
    "ontology-edges": corruption("LAB-10", "edges", set_to("labels/0/ontology/edges/shape/0", 3)),
    "ontology-closure": corruption("LAB-10", "closure", set_to("labels/0/ontology/closure/dtype", "int64")),
    "ontology-offsets": corruption("LAB-10", "closure_offsets", longer("labels/0/ontology/closure_offsets", 1)),
    "ontology-counts": corruption("LAB-10", "counts", longer("labels/0/ontology/counts", 1)),
    "ontology-ids": corruption("LAB-10", "id", longer("labels/0/ontology/id/offsets", 1)),
    "ontology-names": corruption("LAB-10", "name", longer("labels/0/ontology/name/offsets", 1)),
    "ontology-category-terms": corruption("LAB-10", "category_terms", longer("labels/0/ontology/category_terms", 1)),
    "codes-of-no-label": corruption("LAB-5", "labels", set_to("parts/0/labels/nowhere", {"field": 7})),
    "order-of-no-label": corruption("ORD-6", "order", set_to("parts/0/order/by", ["nowhere"])),
    "order-by": corruption("ORD-6", "order", set_to("parts/0/order/kind", "source")),
    "no-splits": corruption("SPL-1", "split", removed("splits")),
    "no-split-codes": corruption("SPL-1", "split", removed("parts/0/split")),
    "split-names": corruption("SPL-2", "scformat", set_to("splits/names", ["a", "a", "b"])),
    "split-name-empty": corruption("SPL-2", "splits", set_to("splits/names", ["", "a", "b"])),
    "split-counts": corruption("SPL-2", "splits", set_to("splits/counts", [310])),
    "split-shares-number": corruption("SPL-2", "splits", set_to("splits/shares", [0.5, 0.5])),
    "split-shares": corruption("SPL-6", "splits", set_to("splits/shares", [0.7, 0.2, 0.2])),
    "split-shares-zero": corruption("SPL-6", "splits", set_to("splits/shares", [0.8, 0.2, 0.0])),
    "column-twice": corruption("CEL-13", "scformat", _column_twice),
    "column-not-listed": corruption("CEL-13", "nowhere", _unlisted_column),
    "column-kind": corruption("CEL-15", "score", _wrong_kind),
    "column-of-two-kinds": corruption("CEL-15", "score", _two_kinds),
    "column-with-label-and-codes": corruption("CEL-15", "donor_id", _label_column_with_codes),
    "column-dtype": corruption("CEL-15", "parts/1/obs", set_to("parts/0/obs/score/values/dtype", "uint8")),
    "column-codes-dtype": corruption("CEL-15", "parts/1/obs", set_to("parts/0/obs/identifier/codes/dtype", "int64")),
    "column-missing-beside-codes": corruption("CEL-15", "identifier", _missing_beside_codes),
    "column-type": corruption(
        "MAN-1",
        "lane",
        told("A column of integers is said to be float64.", lambda d: column(d, "lane").update(dtype="float64")),
    ),
    "column-type-unknown": corruption(
        "MAN-1",
        "lane",
        told("A column is of a type that numpy does not have.", lambda d: column(d, "lane").update(dtype="int7")),
    ),
    "column-type-wider": corruption(
        "MAN-1",
        "score",
        told("A column is of a type that not every numpy has.", lambda d: column(d, "score").update(dtype="float128")),
    ),
    "column-of-no-label": corruption("CEL-20", "donor_id", _column_of_no_label),
    "column-without-categories": corruption("CEL-20", "identifier", _no_categories),
    "column-with-categories-and-label": corruption("CEL-20", "identifier", _both),
    "column-of-numbers-with-categories": corruption("CEL-20", "score", _categories_of_numbers),
}

"""Damage of the root's bytes (level 1), of the other ``zarr.json`` and of which files there are (level 2)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tools.conformance.corruptions import Corruption, corruption, told
from tools.conformance.corruptions.manifest import REFUSED

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage


def _root(text: str, change: Callable[[bytes], bytes]) -> Change:
    def act(d: Damage) -> None:
        file = d.path / "zarr.json"
        file.write_bytes(change(file.read_bytes()))

    return told(text, act)


def _no_manifest(d: Damage) -> None:
    """The root group has no attribute scformat."""
    d.document["attributes"] = {}
    (d.path / "zarr.json").write_text(json.dumps(d.document))


def _digest_twice(d: Damage) -> None:
    """The digest of the manifest occurs twice in the root."""
    file = d.path / "zarr.json"
    digest = d.manifest["sha256"].encode()
    file.write_bytes(file.read_bytes().replace(b'"generator": "', b'"generator": "' + digest))


def _one(requirement: str, change: Change, refuse: Any = ()) -> Corruption:
    return corruption(requirement, "zarr.json", change, sealed=False, refuse=refuse)


def _sealed(requirement: str, text: str, change: Change) -> Corruption:
    return corruption(requirement, "zarr.json", told(text, change))


ROOT: dict[str, Corruption] = {
    "byte-order-mark": _one("CNV-1", _root("The root begins with a byte order mark.", lambda b: b"\xef\xbb\xbf" + b)),
    "not-utf8": _one(
        "CNV-1",
        _root("The root has a byte that is no UTF-8.", lambda b: b.replace(b'"generator": "', b'"generator": "\xff')),
        REFUSED,
    ),
    "cut": _one("CNV-1", _root("The second half of the root is lost.", lambda b: b[: len(b) // 2]), REFUSED),
    "empty": _one("CNV-1", _root("The root is an empty file.", lambda _: b""), REFUSED),
    "nan": _one("CNV-1", _root("The seed is NaN.", lambda b: b.replace(b'"seed": 7', b'"seed": NaN'))),
    "infinity": _one(
        "CNV-1", _root("A share is Infinity.", lambda b: b.replace(b'"shares": [', b'"shares": [Infinity, ', 1))
    ),
    "float-beyond-binary64": _one(
        "CNV-2", _root("The seed is 1e999.", lambda b: b.replace(b'"seed": 7', b'"seed": 1e999', 1))
    ),
    "nested": _one("CNV-1", _root("The root is 100,000 opening brackets.", lambda _: b"[" * 100_000), REFUSED),
    "member-twice": _one(
        "CNV-1",
        _root("The manifest has the member seed twice.", lambda b: b.replace(b'"seed": 7', b'"seed": 7, "seed": 7', 1)),
    ),
    "list": _one("ZAR-1", _root("The root is an empty list.", lambda _: b"[]"), REFUSED),
    "not-a-group": _sealed(
        "ZAR-1", "The root says that it is an array.", lambda d: d.document.update(node_type="array")
    ),
    "zarr-format": _sealed("ZAR-1", "The root is of Zarr version 2.", lambda d: d.document.update(zarr_format=2)),
    "no-manifest": _one("ZAR-1", _no_manifest, REFUSED),
    "consolidated": _sealed(
        "ZAR-2", "The root has consolidated metadata.", lambda d: d.document.update(consolidated_metadata={})
    ),
    "another-seed": _one(
        "INT-4",
        _root("The seed is another, the digest as before.", lambda b: b.replace(b'"seed": 7', b'"seed": 8', 1)),
        REFUSED,
    ),
    "white-space": _one("INT-4", _root("The root ends with one more line feed.", lambda b: b + b"\n"), REFUSED),
    "digest-twice": _one("INT-4", _digest_twice),
    "missing": _one("ZAR-1", told("There is no root zarr.json.", lambda d: (d.path / "zarr.json").unlink()), REFUSED),
}

# Level 2


def _document(path: str, text: str, change: Callable[[dict[str, Any]], Any]) -> Change:
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

    return told(text, act)


def _taxon(text: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    return _document(TAXON, text, change)


def _codec(text: str, change: Callable[[dict[str, Any]], Any]) -> Change:
    return _taxon(text, lambda x: change(x["codecs"][0]["configuration"]))


def _unlink(path: str) -> Change:
    return told(f"The file {path} is lost.", lambda d: (d.path / path).unlink())


def _forget_group(d: Damage) -> None:
    """The manifest does not list the group genes."""
    del d.manifest["groups"]["genes"]


def _extra_group(d: Damage) -> None:
    """The manifest lists a group that no array lies in."""
    d.manifest["groups"]["elsewhere"] = d.manifest["groups"]["genes"]


def _group_digest(d: Damage) -> None:
    """The manifest has another digest of a group."""
    d.manifest["groups"]["genes"] = "0" * 63 + "1"


def _group_bytes(d: Damage) -> None:
    """The zarr.json of a group has one more space."""
    file = d.path / "genes" / "zarr.json"
    file.write_bytes(file.read_bytes() + b" ")


def _group_json(text: str) -> Change:
    def act(d: Damage) -> None:
        (d.path / "genes" / "zarr.json").write_text(text)
        d.digest_groups()

    return told(f"The zarr.json of a group is {text!r}.", act)


def _array_json(text: str) -> Change:
    def act(d: Damage) -> None:
        (d.path / TAXON / "zarr.json").write_text(text)
        d.digest(d.manifest["genes"]["taxon"])

    return told(f"The zarr.json of an array is {text!r}.", act)


def _array_member_twice(d: Damage) -> None:
    """The zarr.json of an array has a member twice."""
    file = d.path / TAXON / "zarr.json"
    file.write_bytes(file.read_bytes().replace(b'"zarr_format": 3', b'"zarr_format": 3, "zarr_format": 3', 1))
    d.digest(d.manifest["genes"]["taxon"])


TAXON = "genes/1/taxon"
ENTRIES_FILE = "parts/1/counts/entries/c/0/0"
READ = (("read", "--rows", "8"),)
HIERARCHY: dict[str, Corruption] = {
    "shard-missing": corruption("ZAR-15", ENTRIES_FILE, _unlink(ENTRIES_FILE), refuse=READ),
    "records-missing": corruption(
        "ZAR-15", "parts/1/cells/index/c/0/0", _unlink("parts/1/cells/index/c/0/0"), refuse=READ
    ),
    "small-file-missing": corruption("ZAR-15", f"{TAXON}/c/0", _unlink(f"{TAXON}/c/0"), refuse=[("describe",)]),
    "array-metadata-missing": corruption("ZAR-9", f"{TAXON}/zarr.json", _unlink(f"{TAXON}/zarr.json")),
    "group-missing": corruption("ZAR-5", "genes/1/zarr.json", _unlink("genes/1/zarr.json")),
    "group-not-listed": corruption("ZAR-5", "groups", _forget_group),
    "group-that-is-none": corruption("ZAR-5", "groups", _extra_group),
    "group-digest": corruption("INT-3", "genes/zarr.json", _group_digest),
    "group-bytes": corruption("INT-3", "genes/zarr.json", _group_bytes),
    "group-attributes": corruption(
        "ZAR-5",
        "genes/1/zarr.json",
        _document("genes/1", "A group has an attribute.", lambda x: x.update(attributes={"a": 1})),
    ),
    "group-node-type": corruption(
        "ZAR-5",
        "genes/1/zarr.json",
        _document("genes/1", "A group says that it is an array.", lambda x: x.update(node_type="array")),
    ),
    "group-json": corruption("CNV-1", "genes/zarr.json", _group_json("{")),
    "group-list": corruption("ZAR-5", "genes/zarr.json", _group_json("[]")),
    "array-json": corruption("CNV-1", f"{TAXON}/zarr.json", _array_json("{")),
    "array-list": corruption("ZAR-9", f"{TAXON}/zarr.json", _array_json("[]")),
    "array-member-twice": corruption("CNV-1", f"{TAXON}/zarr.json", _array_member_twice),
    "shape": corruption("ZAR-12", TAXON, _taxon("The shape in zarr.json is another.", lambda x: x.update(shape=[3]))),
    "shape-float": corruption(
        "ZAR-12",
        TAXON,
        _taxon("The shape in zarr.json is not a whole number.", lambda x: x.update(shape=[x["shape"][0] + 0.5])),
    ),
    "data-type": corruption(
        "ZAR-12", TAXON, _taxon("The data type is another.", lambda x: x.update(data_type="int64"))
    ),
    "fill-value": corruption("ZAR-12", TAXON, _taxon("The fill value is another.", lambda x: x.update(fill_value=0))),
    "fill-true": corruption("ZAR-12", TAXON, _taxon("The fill value is true.", lambda x: x.update(fill_value=True))),
    "chunk": corruption("ZAR-12", TAXON, _codec("The chunk is another.", lambda x: x.update(chunk_shape=[1]))),
    "grid": corruption(
        "ZAR-12",
        TAXON,
        _taxon("The shard is another.", lambda x: x["chunk_grid"]["configuration"].update(chunk_shape=[5])),
    ),
    "attributes": corruption(
        "ZAR-9", TAXON, _taxon("An array has an attribute.", lambda x: x.update(attributes={"a": 1}))
    ),
    "extra-member": corruption(
        "ZAR-9", TAXON, _taxon("An array names its axes.", lambda x: x.update(dimension_names=["gene"]))
    ),
    "lacking-member": corruption("ZAR-9", TAXON, _taxon("An array has no attributes.", lambda x: x.pop("attributes"))),
    "separator": corruption(
        "ZAR-9",
        TAXON,
        _taxon("The separator is a dot.", lambda x: x["chunk_key_encoding"]["configuration"].update(separator=".")),
    ),
    "no-sharding": corruption(
        "ZAR-9", TAXON, _taxon("An array has no shards.", lambda x: x.update(codecs=[{"name": "crc32c"}]))
    ),
    "sharding-name": corruption(
        "ZAR-9", TAXON, _taxon("The sharding codec has another name.", lambda x: x["codecs"][0].update(name="sharding"))
    ),
    "sharding-settings": corruption(
        "ZAR-9",
        TAXON,
        _taxon("The settings of the sharding codec are a list.", lambda x: x["codecs"][0].update(configuration=[])),
    ),
    "sharding-lacks-a-setting": corruption(
        "ZAR-9",
        TAXON,
        _codec("The sharding codec does not say where its index lies.", lambda x: x.pop("index_location")),
    ),
    "two-codecs": corruption(
        "ZAR-9", TAXON, _taxon("A codec follows the sharding codec.", lambda x: x["codecs"].append({"name": "crc32c"}))
    ),
    "array-number-not-exact": corruption(
        "CNV-2", TAXON, _taxon("The shape in zarr.json is 2^53 + 1.", lambda x: x.update(shape=[2**53 + 1]))
    ),
    "codec-member": corruption(
        "ZAR-9", TAXON, _taxon("The sharding codec has one more member.", lambda x: x["codecs"][0].update(later=1))
    ),
    "codec": corruption(
        "ZAR-10",
        TAXON,
        _codec("Chunks are said to be zstd.", lambda x: x["codecs"][1]["configuration"].update(cname="zstd")),
    ),
    "no-crc": corruption("ZAR-10", TAXON, _codec("Chunks have no checksum.", lambda x: x["codecs"].pop())),
    "big-endian": corruption(
        "ZAR-10",
        TAXON,
        _codec("Chunks are big-endian.", lambda x: x["codecs"][0]["configuration"].update(endian="big")),
    ),
    "index-at-start": corruption(
        "ZAR-11", TAXON, _codec("The index is said to lie at the start.", lambda x: x.update(index_location="start"))
    ),
    "index-codec": corruption("ZAR-11", TAXON, _codec("The index has no checksum.", lambda x: x["index_codecs"].pop())),
}

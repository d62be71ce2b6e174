"""Level 2: every group and array has its ``zarr.json``, which says what the manifest says; every file is there."""

from __future__ import annotations

import hashlib
from itertools import islice
from typing import TYPE_CHECKING, Any

from scformat import layout
from scformat.errors import StorageError
from scformat.storage import array_spec
from scformat.structure.arrays import arrays_of, grid_places, n_files
from scformat.structure.sink import ROOT, several
from scformat.validation.document import NotJsonError, parse, same, same_number

if TYPE_CHECKING:
    from scformat.manifest import Array, Manifest
    from scformat.storage import Storage
    from scformat.validation.report import Findings

_SHOWN = 3


class Hierarchy:
    """What level 2 learned and level 3 needs.

    Attributes
    ----------
    digests
        SHA-256 of the ``zarr.json`` of each array that has one, by the array's path.
    missing
        Names of the files of array grids that are not there.
    hopeless
        Paths of arrays with far more files in their grid than the store has files.
    """

    def __init__(self) -> None:
        self.digests: dict[str, str] = {}
        self.missing: set[str] = set()
        self.hopeless: set[str] = set()


def check_hierarchy(storage: Storage, manifest: Manifest, findings: Findings) -> Hierarchy:
    """Check groups, array metadata and which files exist."""
    found = Hierarchy()
    _check_groups(storage, manifest, findings)
    keys = _listing(storage)
    for array in arrays_of(manifest):
        digest = _check_metadata(storage, array, findings)
        if digest is not None:
            found.digests[array.path] = digest
        _check_files(storage, array, keys, found, findings)
    return found


def _listing(storage: Storage) -> frozenset[str] | None:
    """Every key, or None where the place cannot list (HTTP)."""
    try:
        return frozenset(storage.keys())
    except StorageError:
        return None


def _read(storage: Storage, key: str, requirement: str, findings: Findings) -> bytes | None:
    try:
        return storage.read(key)
    except StorageError as error:
        findings.add(requirement, key, "cannot be read", found=error.found)
        return None


def _check_groups(storage: Storage, manifest: Manifest, findings: Findings) -> None:
    wanted = layout.groups_above(a.path for a in arrays_of(manifest))
    listed = manifest.groups
    for text, names in (("lacks groups", wanted - listed.keys()), ("lists what is no group", listed.keys() - wanted)):
        if names:
            first = min(names) + several(len(names))
            findings.add("ZAR-5", f"{ROOT}:scformat/groups", text, found=first)
    for path in sorted(wanted):
        key = f"{path}/zarr.json"
        data = _read(storage, key, "ZAR-5", findings)
        if data is None:
            findings.add("ZAR-5", key, "the group has no zarr.json")
            continue
        digest = hashlib.sha256(data).hexdigest()
        if digest != listed.get(path, digest):
            findings.add("INT-3", key, "not the digest of the manifest", expected=listed[path], found=digest)
        document = _document(data, key, "ZAR-5", findings)
        if document is not None and not same(document, layout.group_metadata()):
            findings.add("ZAR-5", key, "not a Zarr v3 group with empty attributes")


def _document(data: bytes, key: str, requirement: str, findings: Findings) -> Any:
    """Parse a ``zarr.json``; None where it is no object."""
    try:
        document, twice, inexact = parse(data)
    except NotJsonError as error:
        findings.add("CNV-1", key, "not a JSON document", found=error)
        return None
    for name in twice:
        findings.add("CNV-1", key, f"an object has the member {name} twice")
    for number in inexact:
        findings.add("CNV-2", key, "a number that is not exact as binary64", found=number)
    if not isinstance(document, dict):
        findings.add(requirement, key, "not a JSON object")
        return None
    return document


def _check_metadata(storage: Storage, array: Array, findings: Findings) -> str | None:
    """Check the ``zarr.json`` of an array; return its SHA-256, None where there is none."""
    key = f"{array.path}/zarr.json"
    data = _read(storage, key, "ZAR-9", findings)
    if data is None:
        findings.add("ZAR-9", key, "the array has no zarr.json")
        return None
    document = _document(data, key, "ZAR-9", findings)
    if document is not None:
        _compare(document, array, key, findings)
    return hashlib.sha256(data).hexdigest()


def _compare(document: dict[str, Any], array: Array, key: str, findings: Findings) -> None:
    expected = layout.array_metadata(array_spec(array))
    for name in sorted(document.keys() ^ expected.keys()):
        findings.add("ZAR-9", key, f"the member {name!r} is {'missing' if name in expected else 'not allowed'}")
    for name in expected.keys() & document.keys():
        found, wanted = document[name], expected[name]
        if name == "codecs":
            _compare_codecs(found, wanted, key, findings)
        elif not (same_number(found, wanted) if name == "fill_value" else same(found, wanted)):
            described = name in ("shape", "data_type", "fill_value", "chunk_grid")
            findings.add("ZAR-12" if described else "ZAR-9", key, f"wrong {name}", expected=wanted, found=found)


def _compare_codecs(found: Any, expected: list[dict[str, Any]], key: str, findings: Findings) -> None:
    if same(found, expected):
        return
    wanted = expected[0]["configuration"]
    first = found[0] if isinstance(found, list) and len(found) == 1 and isinstance(found[0], dict) else {}
    settings = first.get("configuration")
    if first.get("name") != "sharding_indexed" or not isinstance(settings, dict) or settings.keys() != wanted.keys():
        findings.add("ZAR-9", key, "not one codec sharding_indexed with the members required")
        return
    for name, requirement in (
        ("chunk_shape", "ZAR-12"),
        ("codecs", "ZAR-10"),
        ("index_codecs", "ZAR-11"),
        ("index_location", "ZAR-11"),
    ):
        if not same(settings[name], wanted[name]):
            findings.add(requirement, key, f"wrong {name}", expected=wanted[name], found=settings[name])
    if first.keys() != expected[0].keys():
        findings.add("ZAR-9", key, "the codec has members that are not allowed", found=", ".join(map(repr, first)))


def _check_files(
    storage: Storage, array: Array, keys: frozenset[str] | None, found: Hierarchy, findings: Findings
) -> None:
    n = n_files(array)
    if n == 0:
        return
    spec = array_spec(array)
    names = (spec.key(place) for place in grid_places(array))
    if keys is not None and n > 2 * len(keys):
        # No need to look for each: most of them cannot be there, and there may be 2^40.
        found.hopeless.add(array.path)
        missing = list(islice((name for name in names if name not in keys), _SHOWN))
        n_missing = n - len(keys)
    else:
        missing = [name for name in names if not _exists(storage, name, keys)]
        found.missing.update(missing)
        n_missing = len(missing)
    for name in missing[: _SHOWN - 1]:
        findings.add("ZAR-15", name, "the file is missing")
    if len(missing) >= _SHOWN:
        findings.add("ZAR-15", missing[_SHOWN - 1], f"the file is missing{several(n_missing - _SHOWN + 1)}")


def _exists(storage: Storage, name: str, keys: frozenset[str] | None) -> bool:
    if keys is not None:
        return name in keys
    try:
        return storage.read(name) is not None
    except StorageError:
        return False

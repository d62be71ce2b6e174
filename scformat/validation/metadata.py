"""Level 1, first half: the root document, its digest, and the manifest against its models."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scformat.errors import StorageError
from scformat.manifest import KNOWN_FEATURES, VERSION, Manifest
from scformat.root import root_digest
from scformat.structure.sink import ROOT
from scformat.validation.document import NotJsonError, parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

    from scformat.storage import Storage
    from scformat.validation.report import Findings

_LISTED = 20
_FEATURE = re.compile(r"[a-z0-9-]+")


def check_root(storage: Storage, findings: Findings) -> Manifest | None:
    """Read the root and check it; None where it says too little to go on.

    Raises
    ------
    StorageError
        ``no-store``: there is nothing at all.
    """
    data = storage.read(ROOT)
    if data is None:
        if not _anything(storage):
            raise StorageError("no-store", "there is no store", where=storage.url, hint="check the path")
        findings.add("ZAR-1", ROOT, "there is no root zarr.json")
        return None
    try:
        document, twice, inexact = parse(data)
    except NotJsonError as error:
        findings.add("CNV-1", ROOT, "not a JSON document", found=error)
        return None
    for name in twice:
        findings.add("CNV-1", ROOT, f"an object has the member {name} twice")
    for number in inexact:
        findings.add("CNV-2", ROOT, "a number that is not exact as binary64", found=number)
    found = _manifest_of(document, findings)
    if found is None:
        return None
    _check_digest(data, found, findings)
    if not _check_version(found, findings):
        return None
    for place in _nulls(found, "scformat"):
        findings.add("MAN-2", f"{ROOT}:{place}", "a member is null")
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        for one in errors[:_LISTED]:
            findings.add(_requirement_of(one), f"{ROOT}:{_place(one['loc'])}", one["msg"])
        if len(errors) > _LISTED:
            findings.add("MAN-1", ROOT, f"{len(errors) - _LISTED} more members break the schema")
        return None


def _anything(storage: Storage) -> bool:
    try:
        return bool(storage.keys())
    except StorageError:  # an HTTP server lists nothing
        return False


def _manifest_of(document: Any, findings: Findings) -> dict[str, Any] | None:
    if not isinstance(document, dict):
        findings.add("ZAR-1", ROOT, "not a JSON object")
        return None
    if "consolidated_metadata" in document:
        findings.add("ZAR-2", ROOT, "consolidated metadata")
    for member, value in (("zarr_format", 3), ("node_type", "group")):
        if document.get(member) != value:
            findings.add("ZAR-1", ROOT, f"wrong {member}", expected=repr(value), found=repr(document.get(member)))
    attributes = document.get("attributes")
    found = attributes.get("scformat") if isinstance(attributes, dict) else None
    if not isinstance(found, dict):
        findings.add("ZAR-1", ROOT, "no attribute scformat with a manifest")
        return None
    return found


def _check_digest(data: bytes, found: dict[str, Any], findings: Findings) -> None:
    stated = found.get("sha256")
    if not isinstance(stated, str) or not re.fullmatch(r"[0-9a-f]{64}", stated):
        return  # the schema says so
    times = data.count(stated.encode())
    if times != 1:
        findings.add("INT-4", ROOT, "the digest does not occur exactly once", found=f"{times} times")
        return
    actual = root_digest(data, found)
    if actual != stated:
        findings.add("INT-4", ROOT, "the manifest's digest does not fit the file", expected=stated, found=actual)


def _check_version(found: dict[str, Any], findings: Findings) -> bool:
    """Whether this release can go on with the version and the features."""
    version = found.get("version")
    if version != VERSION:
        text = "not a version" if not _is_version(version) else "a version that this validator does not know"
        findings.add("VER-1", f"{ROOT}:scformat/version", text, expected=VERSION, found=repr(version))
        return False
    known = True
    lists = {kind: _strings(found.get(f"{kind}_features")) for kind in ("required", "optional")}
    for kind, names in lists.items():
        where = f"{ROOT}:scformat/{kind}_features"
        for name in dict.fromkeys(names):
            if not _FEATURE.fullmatch(name):
                findings.add("VER-7", where, "not the name of a feature", found=repr(name))
            if names.count(name) > 1:
                findings.add("VER-7", where, "a feature is named twice", found=repr(name))
    for name in dict.fromkeys(n for n in lists["required"] if n in lists["optional"]):
        findings.add("VER-7", f"{ROOT}:scformat", "a feature is required and optional", found=repr(name))
    for name in dict.fromkeys(lists["required"]):
        if name not in KNOWN_FEATURES:
            text = "a required feature that this validator does not know"
            findings.add("VER-10", f"{ROOT}:scformat/required_features", text, found=repr(name))
            known = False
    if found.get("tables") and "tables" not in (found.get("optional_features") or ()):
        findings.add("TAB-13", f"{ROOT}:scformat/tables", "there are tables, but the feature is not named")
    return known


def _is_version(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[0-9]+\.[0-9]+", value) is not None


def _strings(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _nulls(value: Any, place: str) -> list[str]:
    found: list[str] = []
    todo = [(value, place)]
    while todo and len(found) < _LISTED:
        item, at = todo.pop()
        if item is None:
            found.append(at)
        elif isinstance(item, dict):
            todo += [(member, f"{at}/{_plain(name)}") for name, member in item.items()]
        elif isinstance(item, list):
            todo += [(member, f"{at}/{i}") for i, member in enumerate(item)]
    return sorted(found)


def _requirement_of(error: ErrorDetails) -> str:
    """Return the number of the statement that says what the models enforce."""
    last = error["loc"][-1] if error["loc"] else ""
    text = error["msg"]
    if last == "path" or (last == "[key]" and "groups" in error["loc"]):
        return "ZAR-4"
    if last == "dtype" and error["type"] == "literal_error":
        return "ZAR-8"
    for part, requirement in (
        ("differ in length", "MAN-5"),
        ("not whole chunks", "ZAR-13"),
        ("strings are uint8", "ZAR-22"),
    ):
        if part in text:
            return requirement
    return "MAN-1"


def _place(loc: Sequence[int | str]) -> str:
    return "/".join(["scformat", *(_plain(str(piece)) for piece in loc)])


def _plain(name: str) -> str:
    """Show a name that anybody may have given: nothing that a terminal would take for more than text."""
    return name if name.isascii() and name.isprintable() else repr(name)[1:-1]

"""The root ``zarr.json``: the manifest within it, and the digest that covers it."""

from __future__ import annotations

import gc
import hashlib
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from scformat.codec import encode_json
from scformat.errors import InvalidDataError, UnsupportedError
from scformat.manifest import KNOWN_FEATURES, VERSION, Array, Manifest, as_json, first_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NO_DIGEST = "0" * 64
_MEMBERS = set(Array.model_fields)


def encode_root(manifest: Manifest) -> bytes:
    """Serialise the root with its digest: SHA-256 of the file with the digest's own digits all 0."""
    document = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"scformat": as_json(manifest.model_copy(update={"sha256": NO_DIGEST}))},
    }
    blank = encode_json(document)
    digest = hashlib.sha256(blank).hexdigest()
    head, tail = blank.rsplit(f'"{NO_DIGEST}"'.encode(), 1)
    return head + f'"{digest}"'.encode() + tail


def root_digest(data: bytes, manifest: Mapping[str, Any]) -> str:
    """Digest that the root's bytes should have."""
    stated = f'"{manifest.get("sha256", "")}"'.encode(errors="replace")  # half a surrogate pair is in no file
    at, view = data.rfind(stated), memoryview(data)
    digest = hashlib.sha256(view[: max(at, 0)])
    digest.update(f'"{NO_DIGEST}"'.encode())
    digest.update(view[at + len(stated) if at >= 0 else 0 :])
    return digest.hexdigest()


def decode_root(data: bytes, *, where: str) -> Manifest:
    """Read the manifest of a root ``zarr.json``.

    Raises
    ------
    InvalidDataError
        ``not-a-store``: no Zarr group, or one without a manifest; ``bad-root-digest``: its bytes have changed;
        ``bad-manifest``: it breaks the schema.
    UnsupportedError
        ``unsupported-version``, ``unknown-feature``.
    """
    with uncollected():
        return _decode(data, where)


def _decode(data: bytes, where: str) -> Manifest:
    try:
        document = json.loads(data, object_hook=_Arrays())
    except (ValueError, RecursionError) as error:
        raise InvalidDataError("not-a-store", "its zarr.json is not JSON", where=where, found=error) from None
    attributes = document.get("attributes") if isinstance(document, dict) else None
    found = attributes.get("scformat") if isinstance(attributes, dict) else None
    if not isinstance(found, dict) or document.get("node_type") != "group" or document.get("zarr_format") != 3:
        raise InvalidDataError(
            "not-a-store",
            "not a cell store",
            where=where,
            expected="a Zarr v3 group with the attribute scformat",
            hint="make one with: scformat convert SRC... DST",
        )
    _check_version(found, where)
    stated, actual = found.get("sha256"), root_digest(data, found)
    if stated != actual:
        raise InvalidDataError(
            "bad-root-digest",
            "the root is not what was written",
            where=f"{where}/zarr.json",
            expected=actual,
            found=stated,
            hint="run scformat validate, or restore the file",
        )
    try:
        return Manifest.model_validate(found)
    except ValidationError as error:
        place, what = first_error(error)
        raise InvalidDataError("bad-manifest", what, where=f"{where}/zarr.json:{place}") from None


class _Arrays:
    """Makes a model of every array as soon as the parser has read it, for a manifest may name a hundred thousand.

    Their JSON values then never lie there all at once. Extents that many have alike they share.
    """

    def __init__(self) -> None:
        self._extents: dict[tuple[int, ...], list[int]] = {}

    def __call__(self, document: dict[str, Any]) -> Any:
        if document.keys() != _MEMBERS:
            return document
        try:
            array = Array.model_validate(document)
        except ValidationError:
            return document  # with the manifest it is validated again, which then says where it lies
        values = array.__dict__
        for name in ("shape", "chunk", "shard"):
            values[name] = self._extents.setdefault(tuple(values[name]), values[name])
        return array


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the cyclic collector off: among a million small objects that live on, its passes take most of the time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _check_version(found: Mapping[str, Any], where: str) -> None:
    version = found.get("version")
    known = VERSION.split(".")
    if not isinstance(version, str) or version.split(".")[0] != known[0] or (known[0] == "0" and version != VERSION):
        raise UnsupportedError(
            "unsupported-version",
            "a version of the format that this release does not know",
            where=where,
            expected=VERSION,
            found=version,
            hint="install a newer scformat",
        )
    required = found.get("required_features")
    names = required if isinstance(required, list) else []
    unknown = [name for name in names if isinstance(name, str) and name not in KNOWN_FEATURES]
    if unknown:
        raise UnsupportedError(
            "unknown-feature",
            "a feature that this release does not know and the store requires",
            where=where,
            found=", ".join(map(repr, unknown)),
            hint="install a newer scformat",
        )

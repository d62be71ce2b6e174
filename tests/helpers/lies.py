"""Roots of stores that lie: changed, with the digest that they should have."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from scformat.codec import encode_json

if TYPE_CHECKING:
    from collections.abc import Callable


def changed_root(root: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """Change the manifest of a root, and give it its right digest."""
    document = json.loads(root)
    manifest = document["attributes"]["scformat"]
    change(manifest)
    manifest["sha256"] = "0" * 64
    blank = encode_json(document)
    digest = hashlib.sha256(blank).hexdigest()
    head, tail = blank.rsplit(b'"' + b"0" * 64 + b'"', 1)
    return head + f'"{digest}"'.encode() + tail

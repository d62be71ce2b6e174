"""Sizes in bytes, as users write them."""

from __future__ import annotations

import re

from scformat.errors import UsageError


def parse_size(text: str | int) -> int:
    """Read a size in bytes: ``512MB``, ``1 GiB``, ``200000000``.

    Raises
    ------
    UsageError
        ``bad-size``.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", str(text).lower())
    size = 0 if match is None else int(float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " "))
    if size < 1 << 20:
        raise UsageError("bad-size", "not a size", expected="for example 512MB, at least 1MiB", found=repr(text))
    return size

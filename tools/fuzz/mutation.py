"""Changes of inputs, a few at a time, that keep enough of their form to get deep. All of them functions of a seed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

NUMBERS: tuple[Any, ...] = (
    0, 1, -1, 2, 3, 7, 255, 256, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53 - 1, 2**53, 2**62,
    2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320,
)  # fmt: skip
TEXTS = (
    "", "a", "..", "../x", "/etc/passwd", "a/../b", "a//b", "x" * 300, "\x00", "\ud800", "\u00e9", "\U0001f600", "nan",
    "uint8", "uint16", "int32", "int64", "float64", "V1000000000", "O", "object", "datetime64[ns]", "categorical",
    "string", "integer", "parts", "tables", "neighbours", "scformat", "0.1", "0.2", "1.0", "train", "CL:0000084",
)  # fmt: skip
WORDS = tuple(
    n.to_bytes(size, "little", signed=False)
    for size in (1, 2, 4, 8)
    for n in (
        0,
        1,
        2,
        255,
        256,
        65535,
        2**31 - 1,
        2**31,
        2**32 - 1,
        2**40,
        2**62,
        2**63 - 8,
        2**63,
        2**64 - 2,
        2**64 - 1,
    )
    if n < 1 << (8 * size)
)


def mutate_bytes(data: bytes, rng: Random, *, unit: int = 1) -> bytes:
    """Overwrite, flip, insert, remove or repeat; places are mostly multiples of `unit`."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        n = len(out)
        at = rng.randrange(n + 1)
        if rng.random() < 0.8:
            at -= at % unit
        kind = rng.randrange(6)
        if kind == 0 and n:
            out[min(at, n - 1)] ^= 1 << rng.randrange(8)
        elif kind <= 2:
            word = rng.choice(WORDS) if rng.random() < 0.7 else rng.randbytes(rng.choice((1, 2, 4, 8)))
            out[at : at + len(word)] = word
        elif kind == 3:
            del out[at : at + unit * rng.choice((1, 1, 2, 8, 64))]
        elif kind == 4:
            source = rng.randrange(n + 1)
            piece = out[source : source + unit * rng.choice((1, 1, 2, 8))]
            out[at:at] = piece * rng.choice((1, 1, 2, 16))
        else:
            source = rng.randrange(n + 1)
            piece = out[source : source + unit * rng.choice((1, 2, 8, 32))]
            out[at : at + len(piece)] = piece
    return bytes(out)


def mutate_values(data: bytes, rng: Random, *, unit: int) -> bytes:
    """Overwrite elements of `unit` bytes, of the same number: values change, sizes do not."""
    out = bytearray(data)
    n = len(out) // unit
    for _ in range(rng.choice((1, 1, 2, 3, 16)) if n else 0):
        at = rng.randrange(n) * unit
        kind = rng.randrange(5)
        if kind == 0:
            out[at + rng.randrange(unit)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            fitting = [word for word in WORDS if len(word) == unit]
            out[at : at + unit] = rng.choice(fitting)
        elif kind == 2:
            source = rng.randrange(n) * unit
            out[at : at + unit] = out[source : source + unit]
        elif kind == 3:
            value = int.from_bytes(out[at : at + unit], "little") + rng.choice((-1, 1, -2, 2, 256, -256, 65536))
            out[at : at + unit] = (value % (1 << (8 * unit))).to_bytes(unit, "little")
        else:
            stop = min(n, at // unit + rng.choice((2, 8, 1000)))
            out[at : stop * unit] = out[at : at + unit] * (stop - at // unit)
    return bytes(out)


def mutate_text(data: bytes, rng: Random, *, tokens: Sequence[str]) -> bytes:
    """Put tokens in, take pieces out, repeat them; sometimes break the UTF-8."""
    if rng.random() < 0.1:
        return mutate_bytes(data, rng)
    text = data.decode(errors="replace")
    if rng.random() < 0.6:
        words = re.split(r"(\W)", text)
        for _ in range(rng.choice((1, 1, 2, 4))):
            at, other = rng.randrange(len(words)), rng.randrange(len(words))
            words[at] = rng.choice((rng.choice(tokens), words[other], "", words[at] * 2))
        return "".join(words)[:20_000].encode(errors="replace")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, stop = sorted((rng.randrange(len(text) + 1), rng.randrange(len(text) + 1)))
        kind = rng.randrange(5)
        if kind <= 1:
            text = text[:at] + rng.choice(tokens) + text[at:]
        elif kind == 2:
            text = text[:at] + text[min(stop, at + 20) :]
        elif kind == 3:
            text = text[:at] + text[at:stop] * rng.choice((2, 2, 3, 30)) + text[stop:]
        else:
            text = text[:at] + rng.choice(tokens) + text[min(stop, at + 6) :]
    return text[:20_000].encode(errors="replace")


def mutate_json(data: bytes, rng: Random) -> bytes:
    """Change a few values of a JSON document; bytes, where it is none or at times."""
    if rng.random() < 0.05:
        return mutate_bytes(data, rng)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, rng)
    inner = document
    if rng.random() < 0.97 and isinstance(document, dict) and isinstance(document.get("attributes"), dict):
        inner = document["attributes"].get("scformat", document)  # there are only two members beside it
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change(inner, rng)
    try:
        return json.dumps(document, separators=(",", ":"), ensure_ascii=rng.random() < 0.5).encode(errors="replace")
    except (RecursionError, ValueError):
        return data


def _change(document: Any, rng: Random) -> None:
    """Change one value of a document in place, any depth alike."""
    node: Any = document
    parent: Any = None
    key: Any = None
    while isinstance(node, dict | list) and node and rng.random() < 0.85:
        parent, key = node, rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        node = parent[key]
    if parent is None:
        return
    kind = rng.randrange(8)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent.insert(rng.randrange(len(parent) + 1), parent[rng.randrange(len(parent))])
    elif kind == 1 and isinstance(parent, dict):
        parent[rng.choice(TEXTS)] = node
    elif kind == 2:
        other = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
        parent[key], parent[other] = parent[other], node
    elif isinstance(node, bool) or node is None or kind == 3:
        parent[key] = rng.choice((None, True, False, 0, "", [], {}, [[]], rng.choice(TEXTS), rng.choice(NUMBERS)))
    elif isinstance(node, int | float):
        near = node + rng.choice((-1, 1, 2, 1000)) if rng.random() < 0.5 else rng.choice(NUMBERS)
        parent[key] = near
    elif isinstance(node, str):
        parent[key] = rng.choice(TEXTS) if rng.random() < 0.7 else node[: rng.randrange(len(node) + 1)]
    elif isinstance(node, list):
        parent[key] = node * 2 if rng.random() < 0.5 else node[: rng.randrange(len(node) + 1)]
    else:
        parent[key] = rng.choice((None, [], {}, list(node.values())))

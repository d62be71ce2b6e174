"""From two versions of a store's files to a small patch that the runner applies."""

from __future__ import annotations

import base64
import difflib
from typing import TYPE_CHECKING, Any

from tools.conformance.plainly import sha256

if TYPE_CHECKING:
    from tools.conformance.writer import Files

_LINE_LIMIT = 4000


def patch_of(before: Files, after: Files) -> dict[str, Any]:
    """Return what turns one version into the other."""
    changed: dict[str, Any] = {}
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if new is None:
            changed[path] = None
        elif new != old:
            change = _whole(new) if old is None else _spliced(old, new)
            changed[path] = {**change, "sha256": sha256(new)}
    return {"files": changed}


def _whole(data: bytes) -> dict[str, Any]:
    return {"bytes": _encoded(data)}


def _spliced(old: bytes, new: bytes) -> dict[str, Any]:
    pieces = _by_lines(old, new) if _is_text(old) and _is_text(new) else _by_bytes(old, new)
    splice: list[tuple[int, int, str]] = [(start, stop - start, _encoded(data)) for start, stop, data in pieces]
    weight = sum(20 + len(text) for _, _, text in splice)
    return {"splice": splice} if weight < len(_encoded(new)) else _whole(new)


def _is_text(data: bytes) -> bool:
    return data.isascii() or b"\0" not in data


def _by_lines(old: bytes, new: bytes) -> list[tuple[int, int, bytes]]:
    """Lines that differ, trimmed to what differs within them."""
    a, b = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if max(len(a), len(b)) > _LINE_LIMIT or len(b) < 2:
        return _trimmed(old, new, 0)
    at = [0]
    for line in a:
        at.append(at[-1] + len(line))
    out = []
    for tag, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag != "equal":
            out += _trimmed(old[at[i] : at[j]], b"".join(b[k:m]), at[i])
    return out


def _by_bytes(old: bytes, new: bytes) -> list[tuple[int, int, bytes]]:
    """Runs of bytes that differ in files of one size; else what lies between equal ends."""
    if len(old) != len(new):
        return _trimmed(old, new, 0)
    out: list[tuple[int, int]] = []
    for i, (a, b) in enumerate(zip(old, new, strict=True)):
        if a != b:
            if out and i - out[-1][1] < 16:
                out[-1] = (out[-1][0], i + 1)
            else:
                out.append((i, i + 1))
    return [(start, stop, new[start:stop]) for start, stop in out]


def _trimmed(old: bytes, new: bytes, at: int) -> list[tuple[int, int, bytes]]:
    head = 0
    while head < min(len(old), len(new)) and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < min(len(old), len(new)) - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    return [(at + head, at + len(old) - tail, new[head : len(new) - tail])]


def _encoded(data: bytes) -> str:
    try:
        text = data.decode()
        if text.isprintable() or all(c.isprintable() or c in "\n\t" for c in text):
            return f"text:{text}"
    except UnicodeDecodeError:
        pass
    return f"base64:{base64.b64encode(data).decode()}"

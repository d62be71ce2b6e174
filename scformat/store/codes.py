"""Codes that were read are places in lists and arrays: what is no place is refused before anybody takes it for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scformat.errors import InvalidDataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.manifest import Manifest, Part


def check_codes(codes: NDArray[Any], allowed: range, *, where: str) -> None:
    """Refuse codes that are not in a range.

    Raises
    ------
    InvalidDataError
        ``bad-code``.
    """
    low, high = int(codes.min(initial=allowed.start)), int(codes.max(initial=allowed.start))
    if codes.size and (low < allowed.start or high >= allowed.stop):
        raise InvalidDataError(
            "bad-code",
            "a code that stands for nothing",
            where=where,
            expected=f"{allowed.start} to {allowed.stop - 1}",
            found=low if low < allowed.start else high,
            hint="run scformat validate",
        )


def label_codes(manifest: Manifest, name: str) -> range:
    """Return the codes that a cell can have for a label; -1 is none."""
    label = manifest.label(name)
    return range(-1, 0 if label is None else label.categories.n)


def source_numbers(part: Part) -> range:
    """Return the sources that a cell of a part can come from."""
    return range(part.sources.first, part.sources.first + part.sources.n)


def split_codes(manifest: Manifest) -> range:
    """Return the codes that a cell can have for its split; -1 is none."""
    return range(-1, 0 if manifest.splits is None else len(manifest.splits.names))

"""Regions of arrays as arithmetic: which files and chunks hold them, and what a chunk and a region share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scformat.layout import ArraySpec

Region = tuple[tuple[int, int], ...]
"""Start and stop along each axis."""


def spans_of(region: Any, shape: Sequence[int]) -> tuple[Region, tuple[int, ...]]:
    """Resolve a numpy index of integers and slices to spans, and the shape of what it selects."""
    index = region if isinstance(region, tuple) else (region,)
    if ... in index:
        at = index.index(...)
        index = (*index[:at], *[slice(None)] * (len(shape) - len(index) + 1), *index[at + 1 :])
    index = (*index, *[slice(None)] * (len(shape) - len(index)))
    spans, kept = [], []
    for item, n in zip(index, shape, strict=True):
        if isinstance(item, slice):
            start, stop, _ = item.indices(n)
            spans.append((start, max(start, stop)))
            kept.append(max(0, stop - start))
        else:
            spans.append((int(item), int(item) + 1))
    return tuple(spans), tuple(kept)


def files_of(region: Region, shard: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the files that a region touches, in C order; of any number of them, one after another."""
    ranges = [range(start // s, -(-stop // s)) for (start, stop), s in zip(region, shard, strict=True)]
    for flat in range(math.prod(map(len, ranges))):
        place, rest = [], flat
        for some in reversed(ranges):
            rest, at = divmod(rest, len(some))
            place.append(some[at])
        yield tuple(reversed(place))


def chunks_within(region: Region, shard: tuple[int, ...], spec: ArraySpec) -> Region:
    """Return first and last (excluded) chunk along each axis of what a file holds of a region."""
    return tuple(
        (max(start, i * s) // c, -(-min(stop, (i + 1) * s) // c))
        for (start, stop), i, s, c in zip(region, shard, spec.shard, spec.chunk, strict=True)
    )


def copy_shared(
    values: NDArray[Any], chunk: tuple[int, ...], spec: ArraySpec, out: NDArray[Any], region: Region
) -> None:
    """Copy what a chunk and a region share."""
    source, target = [], []
    for i, c, (start, stop) in zip(chunk, spec.chunk, region, strict=True):
        low, high = max(start, i * c), min(stop, (i + 1) * c)
        source.append(slice(low - i * c, high - i * c))
        target.append(slice(low - start, high - start))
    out[tuple(target)] = values[tuple(source)]

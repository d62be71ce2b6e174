"""Cells to strata: which strata there are, how many cells each has, and the rows of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.sampling.strata import MAX_RUNS, ResidentRows, Strata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from scformat.tables.population import Block

_WORD = 1 << 62


class Packing:
    """Tuples of codes as few int64 words, in whose order they sort as the tuples do.

    Never one product of all sizes: that of many labels passes any integer.

    Parameters
    ----------
    sizes
        Codes that each key can have.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._words: list[list[tuple[int, int]]] = [[]]
        self._n = len(sizes)
        product = 1
        for i, size in enumerate(sizes):
            if product * size > _WORD and self._words[-1]:
                self._words.append([])
                product = 1
            product *= max(size, 1)
            self._words[-1].append((i, max(size, 1)))

    def pack(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Codes, shape (n_keys, n), to words, shape (n_words, n)."""
        out = np.zeros((len(self._words), keys.shape[1]), np.int64)
        for w, members in enumerate(self._words):
            for i, size in members:
                out[w] = out[w] * size + keys[i]
        return out

    def unpack(self, words: NDArray[np.int64]) -> NDArray[np.int64]:
        """Words, shape (n_words, n), to codes, shape (n_keys, n)."""
        out = np.empty((self._n, words.shape[1]), np.int64)
        for word, members in zip(words, self._words, strict=True):
            rest = word
            for i, size in reversed(members):
                rest, out[i] = np.divmod(rest, size)
        return out


@dataclass(frozen=True, kw_only=True, eq=False)
class Count:
    """The strata of a population.

    Attributes
    ----------
    words : int64 array, shape (n_words, K)
        Packed codes of each stratum, sorted.
    counts : int64 array, shape (K,)
        Cells of each.
    n_runs
        Runs of rows that lie in one stratum.
    missing, left_out
        Cells of the population that are in none.
    """

    words: NDArray[np.int64]
    counts: NDArray[np.int64]
    n_runs: int
    missing: int
    left_out: int


def count_strata(blocks: Iterable[Block], packing: Packing) -> Count:
    """Count the cells of each stratum."""
    words, counts = packing.pack(np.empty((packing._n, 0), np.int64)), np.empty(0, np.int64)
    before: NDArray[np.int64] | None = None
    n_runs = missing = left_out = 0
    for block in blocks:
        packed = packing.pack(block.keys)
        opens = _opens(packed, block.drawn, before)
        n_runs += int(opens.sum())
        before = packed[:, -1] if block.drawn[-1] else None
        missing, left_out = missing + block.missing, left_out + block.left_out
        # Runs are as good as cells here, and there are fewer.
        starts = np.flatnonzero(opens)
        lengths = np.diff(np.append(np.cumsum(block.drawn)[starts] - 1, block.drawn.sum()))
        carried = int(block.drawn.sum() - lengths.sum())
        some = packed[:, starts]
        if carried:
            some = np.concatenate([packed[:, :1], some], axis=1)
            lengths = np.concatenate([[carried], lengths])
        words, counts = _merged(np.concatenate([words, some], axis=1), np.concatenate([counts, lengths]))
    return Count(words=words, counts=counts, n_runs=n_runs, missing=missing, left_out=left_out)


def collect_strata(blocks: Iterable[Block], packing: Packing, count: Count, *, n_rows: int) -> Strata:
    """Collect the rows of each stratum, ascending: as runs up to 2^20 of them, else written out."""
    find = _Finder(count.words)
    if count.n_runs <= MAX_RUNS:
        return _collect_runs(blocks, packing, count, find)
    offsets = _cumulative(count.counts)
    rows: NDArray[Any] = np.empty(offsets[-1], np.int32 if n_rows < 1 << 31 else np.int64)
    at = offsets[:-1].copy()
    for block in blocks:
        some = np.flatnonzero(block.drawn)
        stratum = find(packing.pack(block.keys[:, some]))
        order = np.argsort(stratum, kind="stable")
        sizes = np.bincount(stratum, minlength=len(at))
        firsts = np.cumsum(sizes) - sizes
        places = np.arange(len(some)) + np.repeat(at - firsts, sizes)
        rows[places] = block.start + some[order]
        at += sizes
    return Strata(offsets=offsets, rows=ResidentRows(rows))


def _collect_runs(blocks: Iterable[Block], packing: Packing, count: Count, find: _Finder) -> Strata:
    strata, starts, lengths = (np.empty(count.n_runs, np.int64) for _ in range(3))
    n = 0
    before: NDArray[np.int64] | None = None
    for block in blocks:
        packed = packing.pack(block.keys)
        opens = np.flatnonzero(_opens(packed, block.drawn, before))
        before = packed[:, -1] if block.drawn[-1] else None
        stops = np.flatnonzero(~block.drawn)
        # A run ends where the next opens or at the first cell that is not drawn, whichever comes first.
        ends = np.append(opens[1:], len(block.drawn))
        gaps = np.append(stops, len(block.drawn))
        ends = np.minimum(ends, gaps[np.searchsorted(stops, opens)])
        head = int(opens[0]) if len(opens) else len(block.drawn)
        head = min(head, int(gaps[0]))
        if head:  # the cells up to there go on the run before
            lengths[n - 1] += head
        strata[n : n + len(opens)] = find(packed[:, opens])
        starts[n : n + len(opens)] = block.start + opens
        lengths[n : n + len(opens)] = ends - opens
        n += len(opens)
    order = np.argsort(strata, kind="stable")
    return Strata(
        offsets=_cumulative(np.bincount(strata, minlength=len(count.counts)).astype(np.int64)),
        run_start=starts[order],
        run_length=lengths[order],
    )


def _opens(packed: NDArray[np.int64], drawn: NDArray[np.bool_], before: NDArray[np.int64] | None) -> NDArray[np.bool_]:
    """Where a run begins: a drawn cell after one that is not, or is of another stratum."""
    opens = drawn.copy()
    opens[1:] &= ~drawn[:-1] | (packed[:, 1:] != packed[:, :-1]).any(axis=0)
    if before is not None and (packed[:, 0] == before).all():
        opens[0] = False
    return opens


def _merged(words: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Sort tuples of words and add up the counts of equal ones."""
    if not words.shape[1]:
        return words, counts
    order = np.lexsort(words[::-1])
    words = words[:, order]
    opens = np.ones(words.shape[1], np.bool_)
    opens[1:] = (words[:, 1:] != words[:, :-1]).any(axis=0)
    starts = np.flatnonzero(opens)
    return words[:, starts], np.add.reduceat(counts[order], starts)


class _Finder:
    """The stratum of packed codes, all of which are there."""

    def __init__(self, words: NDArray[np.int64]) -> None:
        self._words = words
        several = len(words) > 1
        self._places = {tuple(column): i for i, column in enumerate(words.T.tolist())} if several else None

    def __call__(self, packed: NDArray[np.int64]) -> NDArray[np.int64]:
        if self._places is None:
            found: NDArray[np.int64] = np.searchsorted(self._words[0], packed[0]).astype(np.int64)
            return found
        places = self._places
        return np.array([places[tuple(column)] for column in packed.T.tolist()], np.int64)


def _cumulative(values: NDArray[np.int64]) -> NDArray[np.int64]:
    out = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=out[1:])
    return out

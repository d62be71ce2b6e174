"""Level 3, the splits: whether each cell is in the split that its group has."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from scformat.random import DOMAIN_SPLIT, words64
from scformat.splits import NO_SPLIT, group_key, number_groups
from scformat.structure.sink import several

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.manifest import Manifest, Part, Splits
    from scformat.validation.report import Findings


@dataclass(frozen=True, kw_only=True, eq=False)
class GroupColumn:
    """Codes and texts of a column that makes groups, of some cells."""

    codes: NDArray[np.int32]
    texts: Sequence[str]


class SplitCheck:
    """Computes splits anew and holds them against those of the cells.

    Parameters
    ----------
    splits
        With shares: without them a file gave the splits, and nothing can be computed.
    """

    def __init__(self, splits: Splits, findings: Findings) -> None:
        self._splits = splits
        self._findings = findings
        total, inner = Fraction(0), []
        for share in (splits.shares or [])[:-1]:
            total += Fraction(repr(float(share)))
            inner.append(math.floor(total * 2**64))
        self._inner = np.array([t for t in inner if t < 2**64], np.uint64)

    def add(
        self,
        part: Part,
        first: int,
        codes: NDArray[np.int32],
        *,
        content: NDArray[np.int64],
        n_genes: NDArray[np.int32],
        groups: Sequence[GroupColumn],
    ) -> None:
        """Check the cells from `first` of the part on; `groups` has the columns ``by`` in their order."""
        if groups:
            sizes = [len(g.texts) for g in groups]
            cell_group, some = number_groups([g.codes for g in groups], sizes)
            values = [[g.texts[c] if c >= 0 else None for c in g.codes[some].tolist()] for g in groups]
            keys = np.array([group_key(v) for v in zip(*values, strict=True)], np.uint64)
            expected = self._assign(keys)[cell_group]
            # A cell that repeats one of another split has none. Only cells with counts are such copies.
            right = (codes == expected) | ((codes == NO_SPLIT) & (n_genes != 0))
        else:
            expected = self._assign(content.view(np.uint64))
            right = codes == expected
        wrong = np.flatnonzero(~right)
        if len(wrong):
            at = int(wrong[0])
            place = part.split.array if part.split is not None and part.split.array is not None else part.index
            text = f"not the split of the cell's group{several(len(wrong))}"
            where = f"{place.path}, cell {part.start + first + at}"
            self._findings.add("SPL-10", where, text, expected=expected[at], found=codes[at])

    def _assign(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        words = words64(self._splits.seed, DOMAIN_SPLIT, keys)
        return np.searchsorted(self._inner, words, side="right").astype(np.int64)


def group_texts(
    manifest: Manifest, labels: Mapping[str, Sequence[str] | None], sources: Sequence[str]
) -> list[tuple[str, Sequence[str]]] | None:
    """Return the columns that make groups with their texts.

    Parameters
    ----------
    labels
        Categories of each label, None where they are damaged.
    sources
        Names of the sources of the part.

    Returns
    -------
    list or None
        None where a column is neither a label nor the source itself: its texts are not defined well enough to check.
    """
    out: list[tuple[str, Sequence[str]]] = []
    for name in manifest.splits.by if manifest.splits is not None else ():
        texts = labels.get(name)
        if texts is None and name == "source" and name not in labels and all(c.name != name for c in manifest.obs):
            texts = sources
        if texts is None:
            return None
        out.append((name, texts))
    return out

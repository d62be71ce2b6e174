"""Combinations of several labels as one dense code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scformat.labels.coded import count_codes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Combined:
    """Combinations that occur, and which one each cell has.

    Attributes
    ----------
    codes : int64 array, shape (n_cells,)
        Position in `combinations`, -1 where the cell is left out.
    combinations : int32 array, shape (n_combinations, n_labels)
        The codes of each combination that occurs, -1 for a missing one; rows ascending, the first label first.
    counts : int64 array, shape (n_combinations,)
        Cells of each.
    """

    codes: NDArray[np.int64]
    combinations: NDArray[np.int32]
    counts: NDArray[np.int64]


def combine_codes(
    codes: Sequence[NDArray[np.integer[Any]]], sizes: Sequence[int], *, missing: Literal["exclude", "own"]
) -> Combined:
    """Combine the codes of one or more labels into dense codes of the combinations that occur.

    Labels are taken one after another and the codes made dense after each, so no product of the sizes is formed
    and none can overflow: 70,000 x 65,536 categories, or ten labels of a thousand, are as safe as two of two.

    Parameters
    ----------
    codes
        Per label the codes, all of one length, -1 missing.
    sizes
        Categories of each label.
    missing
        What to do with a cell that lacks one of the labels. ``exclude``: it has code -1. ``own``: missing is a
        value like another, before the first category.

    Raises
    ------
    ValueError
        No label, or lengths that differ.
    InvalidDataError
        ``bad-code``: a code outside of its label's categories.
    """
    if not codes or len(codes) != len(sizes) or len({len(c) for c in codes}) != 1:
        raise ValueError((len(codes), len(sizes)))
    n_cells = len(codes[0])
    kept = np.ones(n_cells, bool)
    for label_codes, size in zip(codes, sizes, strict=True):
        count_codes(label_codes, size)
        if missing == "exclude":
            kept &= np.asarray(label_codes) >= 0
    rows: NDArray[np.int64] | slice = slice(None) if kept.all() else np.flatnonzero(kept)
    dense = np.zeros(n_cells if isinstance(rows, slice) else len(rows), np.int64)
    combinations = np.zeros((1 if len(dense) else 0, 0), np.int32)
    counts = np.full(len(combinations), len(dense), np.int64)
    for label_codes, size in zip(codes, sizes, strict=True):
        # Dense codes are below 2^31 cells' worth and sizes below 2^31, so this product stays below 2^63.
        key = dense * (size + 1) + (np.asarray(label_codes)[rows].astype(np.int64) + 1)
        distinct, dense, counts = _densify(key, len(combinations) * (size + 1))
        before, own = np.divmod(distinct, size + 1)
        combinations = np.column_stack([combinations[before], (own - 1).astype(np.int32)])
    if isinstance(rows, slice):
        return Combined(codes=dense, combinations=combinations, counts=counts)
    everywhere = np.full(n_cells, -1, np.int64)
    everywhere[rows] = dense
    return Combined(codes=everywhere, combinations=combinations, counts=counts)


def _densify(key: NDArray[np.int64], bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct keys ascending, the position of each key among them, and how many there are of each."""
    if bound > 4 * len(key) + (1 << 16):
        distinct, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
        return distinct, inverse.astype(np.int64), counts.astype(np.int64)
    per_key = np.bincount(key, minlength=bound)
    distinct = np.flatnonzero(per_key)
    position = np.zeros(bound, np.int64)
    position[distinct] = np.arange(len(distinct))
    return distinct.astype(np.int64), position[key], per_key[distinct].astype(np.int64)

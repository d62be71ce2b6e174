"""The physical order of cells: a pure function of labels, splits, seed and what a source is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.random import DOMAIN_ORDER, words64

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def order_keys(
    source_rows: NDArray[np.int64], sources: NDArray[np.int32], digests: Sequence[str], seed: int
) -> NDArray[np.uint64]:
    """Return the shuffling key of each cell.

    It is u64 of P(9, i, j) with i its row in its source and j the first four bytes, little-endian, of the source's
    SHA-256, and so depends on nothing but the seed, the source's content and the row.
    """
    heads = np.array([int.from_bytes(bytes.fromhex(d)[:4], "little") for d in digests], np.uint32)
    return words64(seed, DOMAIN_ORDER, source_rows.astype(np.uint64), heads[sources])


def shuffled(keys: NDArray[np.uint64], by: Sequence[NDArray[np.int32]]) -> NDArray[np.int64]:
    """Sort cells by codes, the first array first, then by key, then by where they stand.

    Parameters
    ----------
    keys : uint64 array, shape (n,)
        See :func:`order_keys`.
    by
        Code arrays of shape (n,): the labels to stratify by, then the split. Empty: an even shuffle.

    Returns
    -------
    int64 array, shape (n,)
        The cell at each place.
    """
    ranks: list[NDArray[Any]] = [keys, *reversed(by)]
    return np.lexsort(ranks)

"""Combinations: each category's mass is split by the next label, and so on."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np

from scformat.sampling.levels import Levels
from scformat.sampling.schemes import Axis, ByCount, Proportional, Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAST = float(np.finfo(np.float64).tiny)


def nested_weights(
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    schemes: Sequence[Scheme],
    axes: Sequence[Axis | Levels],
) -> NDArray[np.float64]:
    """Weights of strata.

    Going from the first label on, the categories within one stratum of the labels before share its weight as
    their masses: share = mass / S, S the nearest number to the exact sum of the masses; weight = weight of the
    stratum before x share, at least 2^-1022. Before the first label there is one stratum of weight 1.

    Parameters
    ----------
    keys : int64 array, shape (n_labels, K)
        Codes of each stratum, sorted by the first label, then the second and so on; no two alike.
    counts : int64 array, shape (K,)
        Cells of each, all above zero.
    schemes, axes
        Of each label; :class:`Levels` with :class:`Proportional`.

    Returns
    -------
    float64 array, shape (K,)
        They sum to 1, up to rounding.
    """
    n_strata = keys.shape[1]
    weights = np.ones(1)
    parents = np.zeros(1, np.int64)  # first stratum of each group so far
    opens = np.zeros(n_strata, np.bool_)
    opens[:1] = True
    for row, scheme, axis in zip(keys, schemes, axes, strict=True):
        opens[1:] |= row[1:] != row[:-1]
        starts = np.flatnonzero(opens)
        codes, sizes = row[starts], np.add.reduceat(counts, starts)
        bounds = np.append(np.searchsorted(starts, parents), len(starts))
        masses = _masses(scheme, axis, codes, sizes, bounds)
        totals = [math.fsum(masses[a:b].tolist()) for a, b in itertools.pairwise(bounds.tolist())]
        width = np.diff(bounds)
        weights = np.maximum(np.repeat(weights, width) * (masses / np.repeat(totals, width)), _LEAST)
        parents = starts
    return weights


def _masses(
    scheme: Scheme,
    axis: Axis | Levels,
    codes: NDArray[np.int64],
    sizes: NDArray[np.int64],
    bounds: NDArray[np.int64],
) -> NDArray[np.float64]:
    if isinstance(axis, Levels):
        assert isinstance(scheme, Proportional)  # the parser pairs them
        return sizes * scheme.level_weights(axis.middles)[codes]
    if isinstance(scheme, ByCount):
        return scheme.masses(axis, codes, sizes)
    return np.concatenate([scheme.masses(axis, codes[a:b], sizes[a:b]) for a, b in itertools.pairwise(bounds.tolist())])

"""What is done to the counts of a batch while it is made: small values that say it, no code of their own.

Every transform leaves a zero a zero. They are applied in the order given. What is random depends on the seed and
the position of the draw alone, so a run that is resumed repeats it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from scformat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

THIN_SHARE, THIN_TOTAL, SCALE_STORED, SCALE_SELECTED, LOG1P, BINS = range(1, 7)


@dataclass(frozen=True)
class NormalizeTotal:
    """Scale every cell to a total.

    Attributes
    ----------
    target
        What the counts of a cell sum to afterwards.
    by
        ``stored``: divide by ``total_counts``, the sum over all columns of the cell's source, whatever genes are
        asked for; a choice of genes then does not change the values, and their sum is at most `target`.
        ``selected``: divide by the sum over the genes of the batch, as scanpy does after a choice of genes.
    """

    target: float = 1e4
    by: Literal["stored", "selected"] = "stored"

    def __post_init__(self) -> None:
        _check(math.isfinite(self.target) and self.target > 0, "a target above 0", self)
        _check(self.by in ("stored", "selected"), "by='stored' or by='selected'", self)


@dataclass(frozen=True)
class Log1p:
    """log(1 + x)."""


@dataclass(frozen=True)
class QuantileBins:
    """Replace the non-zero values of a cell by bins 1 .. `bins` of about equal size; equal values share a bin.

    A value with r of the cell's n non-zero values (of the genes of the batch) below it gets 1 + floor(r bins / n).
    """

    bins: int = 50

    def __post_init__(self) -> None:
        _check(type(self.bins) is int and 0 < self.bins < 1 << 24, "at least one bin", self)


@dataclass(frozen=True)
class Downsample:
    """Binomial thinning: keep every molecule with a probability; comes before everything else.

    Exactly one of both. Molecules are taken over all genes of a cell, so a choice of genes does not change what is
    kept. ``batch.total_counts`` stays that of the whole cell.

    Attributes
    ----------
    share
        The probability.
    total
        It is `total` / ``total_counts``, at most 1.
    """

    share: float | None = None
    total: float | None = None

    def __post_init__(self) -> None:
        _check((self.share is None) != (self.total is None), "one of share and total", self)
        _check(self.share is None or 0 <= self.share <= 1, "a share of 0 to 1", self)
        _check(self.total is None or (math.isfinite(self.total) and self.total > 0), "a total above 0", self)


@dataclass(frozen=True, init=False)
class GeneSubset:
    """Keep these genes, in this order; the same as the option ``genes`` of a loader."""

    genes: tuple[str, ...]

    def __init__(self, genes: Iterable[str]) -> None:
        _check(not isinstance(genes, str), "a list of ids", genes)
        object.__setattr__(self, "genes", tuple(genes))


Transform = NormalizeTotal | Log1p | QuantileBins | Downsample | GeneSubset
TYPES: Final = (NormalizeTotal, Log1p, QuantileBins, Downsample, GeneSubset)


@dataclass(frozen=True, kw_only=True)
class TokenSpec:
    """Cells as sequences of genes.

    Attributes
    ----------
    max_len
        Length of every sequence; shorter ones are padded at the end.
    how
        ``top``: the genes with the largest values, largest first, equal ones in the order of the genes.
        ``random``: a random choice among the genes with a value, in the order of the genes.
        ``all``: all of them, in that order; a cell that has more than `max_len` is an error.
    add_zero_genes
        As many genes without a value, at random among those that the cell's source measured, follow with value 0
        where there is room.
    pad_id
        Gene id of padding; None: the number of genes, so that an embedding has one row more than there are genes.
    """

    max_len: int
    how: Literal["top", "random", "all"] = "top"
    add_zero_genes: int = 0
    pad_id: int | None = None

    def __post_init__(self) -> None:
        _check(type(self.max_len) is int and self.max_len > 0, "max_len of 1 or more", self)
        _check(self.how in ("top", "random", "all"), "how='top', 'random' or 'all'", self)
        _check(type(self.add_zero_genes) is int and self.add_zero_genes >= 0, "add_zero_genes of 0 or more", self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """Transforms as the kernels take them.

    Attributes
    ----------
    codes : int64 array, shape (n,)
    arguments : float64 array, shape (n,)
    """

    codes: NDArray[np.int64]
    arguments: NDArray[np.float64]


def recipe(transforms: Iterable[Transform]) -> Recipe:
    """Write transforms down for the kernels.

    Raises
    ------
    UsageError
        ``bad-transforms``: something else, :class:`GeneSubset` (which a loader takes out), or an order in which
        counts are asked for and there are none any more.
    """
    codes: list[int] = []
    arguments: list[float] = []
    for given in transforms:
        if isinstance(given, Downsample):
            if codes:
                raise UsageError("bad-transforms", "Downsample takes counts and comes first", found=repr(given))
            share = given.share
            codes.append(THIN_TOTAL if share is None else THIN_SHARE)
            arguments.append(float(given.total or 0.0) if share is None else float(share))
        elif isinstance(given, NormalizeTotal):
            thinned = bool(codes) and codes[0] in (THIN_SHARE, THIN_TOTAL)
            if thinned and given.by == "stored":
                raise UsageError(
                    "bad-transforms",
                    "the stored total is not that of a thinned cell",
                    found=repr(given),
                    hint="use NormalizeTotal(by='selected') after Downsample",
                )
            codes.append(SCALE_STORED if given.by == "stored" else SCALE_SELECTED)
            arguments.append(float(given.target))
        elif isinstance(given, Log1p):
            codes.append(LOG1P)
            arguments.append(0.0)
        elif isinstance(given, QuantileBins):
            codes.append(BINS)
            arguments.append(float(given.bins))
        else:
            names = ", ".join(t.__name__ for t in TYPES)
            raise UsageError("bad-transforms", "not a transform", expected=f"one of {names}", found=repr(given))
    return Recipe(codes=np.array(codes, np.int64), arguments=np.array(arguments, np.float64))


def _check(fits: bool, expected: str, given: object) -> None:  # noqa: FBT001
    if not fits:
        raise UsageError("bad-transforms", "a transform with an argument out of range", expected=expected, found=given)

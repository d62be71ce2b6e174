"""The cells of a study, block by block: their types, donors and tissues, and their counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.simulation import kernels
from scformat.simulation.profiles import DEPTH_SPREAD, Genes, Profiles, burst_rates
from scformat.simulation.terms import CELL_TYPES, PHASES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scformat.simulation.plan import Study

BLOCK = 2_048
"""Cells drawn together. Part of what a seed means: types are dealt to one block after another."""

_STUDY_SPREAD, _DONOR_SPREAD = 0.25, 0.15
_LARGEST_DONOR_EFFECT = 2.0  # in standard deviations; beyond it the effect stays there


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """What the obs columns of a block are made of; the numbers are rows of the plan's tables, shape (n,) each."""

    first: int
    types: NDArray[np.int16]
    donors: NDArray[np.int16]
    tissues: NDArray[np.int16]
    phases: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.types)


@dataclass(frozen=True, kw_only=True, eq=False)
class Counts:
    """The counts of a block: CSR with sorted columns.

    Attributes
    ----------
    ends : int64, shape (n,)
        End of every row.
    indices, data : int32 and float32, shape (ends[-1],)
    totals : int64, shape (n, 2)
        Sum of a cell's counts, and of its mitochondrial ones.
    """

    ends: NDArray[np.int64]
    indices: NDArray[np.int32]
    data: NDArray[np.float32]
    totals: NDArray[np.int64]


def label_blocks(study: Study, tissue_rows: NDArray[np.int16], seed: np.random.SeedSequence) -> Iterator[Labels]:
    """Deal types, donors, tissues and phases to the cells of a study, in random order.

    Parameters
    ----------
    study
        Its plan. The number of cells of every type comes out exactly.
    tissue_rows : int16, shape (n_types,)
        Row of each type's home among the study's tissues, -1 where it has none.
    seed
        Of this study's labels.
    """
    rng = np.random.Generator(np.random.Philox(seed))
    left = study.type_counts.copy()
    n_tissues = len(study.tissues)
    for first in range(0, study.n_cells, BLOCK):
        n = min(BLOCK, study.n_cells - first)
        # "count", the other method, takes memory in proportion to all cells.
        dealt = rng.multivariate_hypergeometric(left, n, method="marginals")
        left -= dealt
        types = rng.permutation(np.repeat(np.arange(len(left), dtype=np.int16), dealt))
        donors = rng.choice(len(study.donors), n, p=study.donor_share).astype(np.int16)
        tissues = np.empty(n, np.int16)
        for donor in range(len(study.donors)):
            own = donors == donor
            tissues[own] = rng.choice(n_tissues, int(own.sum()), p=study.donor_tissue[donor])
        tissues = np.where(tissue_rows[types] >= 0, tissue_rows[types], tissues)
        phases = rng.choice(len(PHASES) + 1, n, p=(0.68, 0.11, 0.13, 0.08)).astype(np.int8)
        phases[phases == len(PHASES)] = -1
        yield Labels(first=first, types=types, donors=donors, tissues=tissues, phases=phases)


class CountModel:
    """What the counts of one study are drawn from; calls from several threads are independent.

    Parameters
    ----------
    study, genes, profiles
        The plan, all genes and the profiles over all genes.
    seed
        Of this study's counts.
    """

    def __init__(self, study: Study, genes: Genes, profiles: Profiles, seed: np.random.SeedSequence) -> None:
        rng = np.random.Generator(np.random.Philox(seed))
        self._keys = rng.integers(0, 2**63, 2).astype(np.uint64)
        columns = study.columns
        n_types, n = len(CELL_TYPES), len(columns)
        effect = np.exp(rng.normal(0.0, _STUDY_SPREAD, n) - _STUDY_SPREAD**2 / 2)
        # Bursts are drawn for the largest effect a donor can have, then kept in part.
        normal = np.minimum(rng.standard_normal((len(study.donors), n)), _LARGEST_DONOR_EFFECT)
        kept = np.exp(_DONOR_SPREAD * (normal - _LARGEST_DONOR_EFFECT))
        surplus = np.exp(_DONOR_SPREAD * _LARGEST_DONOR_EFFECT - _DONOR_SPREAD**2 / 2)
        self._kept = np.minimum(kept * 2.0**32, 2.0**32 - 1).astype(np.uint32)
        self._tables = np.zeros((n_types, n, 2), np.uint32)
        self._burst_p = np.zeros((n_types, n), np.float32)
        self._bursts = np.ones(n_types)
        mixture = np.zeros(n)
        for kind in np.flatnonzero(study.type_counts):
            means = profiles.means[kind][columns] * effect
            rate, p = burst_rates(means, profiles.shape[columns])
            kernels.alias_table(rate, self._tables[kind])
            self._burst_p[kind] = p
            self._bursts[kind] = rate.sum() * surplus
            mixture += means * (study.type_counts[kind] / study.n_cells)
        self._ambient = np.zeros((n, 2), np.uint32)
        kernels.alias_table(mixture, self._ambient)
        self._ambient_mean = float(mixture.sum() * surplus)
        self._donor_depth = study.donor_depth
        self._marked = genes.mitochondrial[columns]

    def draw(self, labels: Labels) -> Counts:
        """Draw the counts of a block of cells."""
        n, width = len(labels), len(self._marked)
        sizes = np.empty((n, 2), np.int64)
        kernels.draw_sizes(
            self._keys[0],
            labels.first,
            labels.types,
            labels.donors,
            self._bursts,
            self._ambient_mean,
            self._donor_depth,
            DEPTH_SPREAD,
            sizes,
        )
        room = int(np.minimum(sizes.sum(axis=1), width).sum())
        ends, totals = np.empty(n, np.int64), np.empty((n, 2), np.int64)
        indices, data = np.empty(room, np.int32), np.empty(room, np.float32)
        kernels.draw_counts(
            self._keys[1],
            labels.first,
            labels.types,
            labels.donors,
            sizes,
            self._tables,
            self._burst_p,
            self._ambient,
            self._kept,
            self._marked,
            ends,
            indices,
            data,
            totals,
        )
        used = int(ends[-1])
        return Counts(ends=ends, indices=indices[:used], data=data[:used], totals=totals)


def barcodes(first: int, n: int, n_largest: int, number: int) -> list[str]:
    """Barcodes of cells `first` .. `first + n - 1` of a study, 16 bases and "-1".

    All studies draw from one list of twice the largest study's cells, so barcodes are unique within a study
    and many of them occur in several; the first cell's is the same in all.
    """
    bits = max(4, (2 * n_largest - 1).bit_length())
    # An odd factor permutes the numbers below a power of two, another one below 2^32 spreads them over all bases.
    factor = (2 * (number * 0x9E3779B1 + 12_345) + 1) & ((1 << bits) - 1)
    at = np.arange(first, first + n, dtype=np.uint64) * np.uint64(factor) & np.uint64((1 << bits) - 1)
    at = (at + np.uint64(0x5851F42D)) * np.uint64(0x2545F491) & np.uint64(0xFFFFFFFF)
    at = (at ^ (at >> np.uint64(15))) * np.uint64(0x85EBCA6B) & np.uint64(0xFFFFFFFF)
    at ^= at >> np.uint64(13)
    shifts = np.arange(30, -2, -2, dtype=np.uint64)
    letters = np.frombuffer(b"ACGT", np.uint8)[(at[:, None] >> shifts) & np.uint64(3)]
    return [row.tobytes().decode() + "-1" for row in letters]

"""What the cell types express: genes of the reference, mean counts of every type, their overdispersion.

Means of genes spread log-normally with a longer lower tail, above them some 160 genes that every real library
is full of (ribosomal proteins, mitochondrial genes, a few others). A type departs from that through its lineage,
itself, some hundred markers of its own, and the markers it is known by. The shape was set beside 10x libraries
of blood, heart and other tissues: share of ones, entropy of the counts, detection rates by rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.errors import UsageError
from scformat.genes import load
from scformat.simulation.terms import CELL_TYPES, HUMAN

if TYPE_CHECKING:
    from numpy.typing import NDArray

DENSITY = 1524 / 20_000
"""Mean share of genes with a count, up to `DENSE_GENES` genes; more genes add hardly any."""
DENSE_GENES = 20_000

DEPTH_SPREAD = 0.42
"""Standard deviation of the logarithm of a cell's depth, within a type and a donor."""

_ABUNDANT_NAMES = """
MALAT1 NEAT1 B2M TMSB4X TMSB10 EEF1A1 EEF1B2 EEF1D EEF2 FTH1 FTL ACTB ACTG1 GAPDH UBA52 UBC UBB FAU TPT1 NACA
PTMA H3-3A H3-3B HLA-A HLA-B HLA-C CFL1 PFN1 MYL6 MYL12A SRGN VIM S100A4 S100A6 LGALS1 TXN CD63 COX4I1 COX7C
ATP5F1E SERF2 OAZ1 HNRNPA1 HSPA8 JUNB FOS BTG1 YBX1 GNAS SLC25A6 NPM1 DDX5 CST3 PPIA CALM1 ENO1 ALDOA
"""
_ABUNDANT = frozenset(_ABUNDANT_NAMES.split())
# Weights with which genes are chosen and shifts of the logarithm of their mean count.
_CHOSEN = {"protein_coding": 1.0, "lncRNA": 0.15}
_CHOSEN_ABUNDANT, _CHOSEN_OTHER = 60.0, 0.01
_LEVEL = {"protein_coding": 0.0, "lncRNA": -1.7}
_LEVEL_OTHER = -3.0
_MARKERS_OF_TYPE = 220


@dataclass(frozen=True, kw_only=True, eq=False)
class Genes:
    """The simulated genes, n of them, by id.

    Attributes
    ----------
    ids, symbols, biotypes : object arrays of str, shape (n,)
    release
        Of the reference.
    abundant, mitochondrial : bool, shape (n,)
    """

    ids: NDArray[np.object_]
    symbols: NDArray[np.object_]
    biotypes: NDArray[np.object_]
    release: str
    abundant: NDArray[np.bool_]
    mitochondrial: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, kw_only=True, eq=False)
class Profiles:
    """Mean counts of every cell type at depth 1.

    Attributes
    ----------
    means : float64, shape (n_types, n_genes)
    shape : float64, shape (n_genes,)
        Of the negative binomial: the variance is ``mean + mean**2 / shape``.
    """

    means: NDArray[np.float64]
    shape: NDArray[np.float64]


def choose_genes(n: int, rng: np.random.Generator) -> Genes:
    """Choose `n` human genes of the shipped reference; those that real data count most are likeliest.

    Raises
    ------
    UsageError
        Code ``too-many-genes``: the reference has fewer.
    """
    reference = load(int(HUMAN.id.partition(":")[2]))
    # A copy on chromosome Y is never counted apart from the one on X.
    at = np.array([i for i, gene in enumerate(reference.ids) if gene not in reference.par_x])
    if not 1 <= n <= len(at):
        expected = f"1 to {len(at)} ({reference.name}, {reference.release})"
        raise UsageError("too-many-genes", "no so many genes", where="--genes", expected=expected, found=n)
    symbols = np.array(reference.symbols, object)[at]
    biotypes = np.array(reference.biotypes, object)[at]
    abundant = np.array([_is_abundant(symbol, biotype) for symbol, biotype in zip(symbols, biotypes, strict=True)])
    weight = np.array([_CHOSEN.get(biotype, _CHOSEN_OTHER) for biotype in biotypes])
    weight[abundant] = _CHOSEN_ABUNDANT
    # Without replacement, with these weights: the n first arrivals of exponential clocks.
    chosen = np.argsort(rng.exponential(size=len(at)) / weight, kind="stable")[:n]
    chosen = chosen[np.argsort(np.array(reference.ids)[at][chosen], kind="stable")]
    return Genes(
        ids=np.array(reference.ids, object)[at][chosen],
        symbols=symbols[chosen],
        biotypes=biotypes[chosen],
        release=reference.release,
        abundant=abundant[chosen],
        mitochondrial=np.array([str(s).startswith("MT-") for s in symbols[chosen]], bool),
    )


def _is_abundant(symbol: str, biotype: str) -> bool:
    if biotype == "protein_coding" and symbol.startswith(("RPL", "RPS", "MT-")):
        # Ribosomal proteins proper, neither the mitochondrial ribosome's nor kinases (RPS6KA1) nor copies (RPL10L).
        return symbol.startswith("MT-") or symbol[3:].rstrip("AX").isdigit()
    return symbol in _ABUNDANT


def make_profiles(genes: Genes, frequency: NDArray[np.float64], measured: float, rng: np.random.Generator) -> Profiles:
    """Draw the profiles of all cell types, scaled to the density of real libraries.

    Parameters
    ----------
    genes
        The genes.
    frequency : shape (n_types,)
        Share of the cells of each type: the density is the mean over cells.
    measured
        Part of the genes that a cell's study measured, the mean over cells.
    rng
        Source of randomness.
    """
    n = len(genes)
    level = np.array([_LEVEL.get(biotype, _LEVEL_OTHER) for biotype in genes.biotypes])
    normal = rng.standard_normal(n)
    log_mean = level + np.where(normal > 0, 1.38, 2.3) * normal
    log_mean[genes.abundant] = 5.3 + 0.9 * normal[genes.abundant]
    # Abundant genes vary less between types.
    freedom = np.where(genes.abundant, 0.45, 1.0)
    shift = {name: rng.standard_normal(n) for name in sorted({t.lineage for t in CELL_TYPES})}
    row_of = {symbol: row for row, symbol in enumerate(genes.symbols)}
    means = np.empty((len(CELL_TYPES), n))
    for row, cell_type in enumerate(CELL_TYPES):
        log = log_mean + freedom * (0.6 * shift[cell_type.lineage] + 0.4 * rng.standard_normal(n))
        raised = rng.integers(0, n, min(_MARKERS_OF_TYPE, max(1, n // 80)))
        log[raised] += rng.uniform(1.0, 3.5, len(raised))
        depth = 0.25 * rng.standard_normal()
        for symbol in cell_type.markers:
            strength = 4.6 + 0.6 * rng.standard_normal()
            if symbol in row_of:
                log[row_of[symbol]] = max(log[row_of[symbol]], strength)
        means[row] = np.exp(log + depth)
    shape = np.exp(rng.normal(0.9, 0.5, n))
    target = DENSITY * min(n, DENSE_GENES) / measured
    return Profiles(means=means * _scale(means, shape, frequency, target), shape=shape)


def burst_rates(means: NDArray[np.float64], shape: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rate of bursts and parameter of their logarithmic sizes, such that counts are negative binomial."""
    odds = means / shape
    return shape * np.log1p(odds), odds / (1.0 + odds)


def _scale(
    means: NDArray[np.float64], shape: NDArray[np.float64], frequency: NDArray[np.float64], target: float
) -> float:
    """Find the factor on all means at which a cell has `target` genes on average, by bisection."""
    common = np.argsort(-frequency, kind="stable")[:12]
    weight = frequency[common] / frequency[common].sum()
    depths = np.exp(DEPTH_SPREAD * np.array([-1.2247, 0.0, 1.2247]) * np.sqrt(2.0) - DEPTH_SPREAD**2 / 2)
    low, high = -12.0, 6.0
    for _ in range(22):
        middle = (low + high) / 2
        expected = 0.0
        for share, row in zip(weight, common, strict=True):
            rate, _ = burst_rates(means[row] * np.exp(middle), shape)
            for part, depth in zip((1 / 6, 2 / 3, 1 / 6), depths, strict=True):
                expected += share * part * -np.expm1(-rate * depth).sum()
        low, high = (middle, high) if expected < target else (low, middle)
    return float(np.exp((low + high) / 2))

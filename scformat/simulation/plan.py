"""The plan of a simulation: how many cells, which types, genes, donors and tissues each study has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scformat.simulation.terms import (
    ASSAYS,
    CELL_TYPES,
    DISEASES,
    ETHNICITIES,
    NORMAL,
    SEVERITIES,
    SEXES,
    STAGES,
    TISSUES,
    UNKNOWN,
    Term,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scformat.simulation.profiles import Genes

# Cell types follow a Zipf-Mandelbrot law: 36% for the first, about 1e-4 for the last. A type that only some studies
# have the tissue for gets less.
_ZIPF_SHIFT, _ZIPF_EXPONENT = 5.0, 3.8
_ALL_TYPES_FROM = 1_000
"""Cells of a study from which every type it has gets a cell at least."""


@dataclass(frozen=True, kw_only=True)
class Donor:
    """A person of a study; the numbering starts anew in every study."""

    name: str
    sex: Term
    stage: Term
    ethnicity: Term
    disease: Term
    severity: str
    assay: Term
    age: int | None
    is_primary_data: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Study:
    """One file.

    Attributes
    ----------
    number, name
        From 0, and the name of the file without its suffix.
    n_cells
        Its cells.
    type_counts : int64, shape (n_types,)
        Cells of every type of ``CELL_TYPES``.
    columns : int64, shape (n,)
        Genes it measured, in the order of its columns.
    donors, donor_share : shape (n_donors,)
        The donors and the part of the cells from each.
    donor_depth : float64, shape (n_donors,)
        Factor on the depth of a donor's cells.
    tissues
        Where types without a home occur; every type with a home occurs there.
    donor_tissue : float64, shape (n_donors, n_tissues)
        Part of a donor's cells from each tissue.
    has_phase, has_age
        Whether it has the columns ``phase`` and ``age_years``.
    """

    number: int
    name: str
    n_cells: int
    type_counts: NDArray[np.int64]
    columns: NDArray[np.int64]
    donors: tuple[Donor, ...]
    donor_share: NDArray[np.float64]
    donor_depth: NDArray[np.float64]
    tissues: tuple[Term, ...]
    donor_tissue: NDArray[np.float64]
    has_phase: bool
    has_age: bool


def type_frequency() -> NDArray[np.float64]:
    """Share of all cells that each cell type has, over all studies; shape (n_types,), sum 1."""
    share = (np.arange(1, len(CELL_TYPES) + 1) + _ZIPF_SHIFT) ** -_ZIPF_EXPONENT
    return np.asarray(share / share.sum(), np.float64)


def plan_studies(cells: int, studies: int, genes: Genes, rng: np.random.Generator) -> list[Study]:
    """Plan all studies; `cells` is at least `studies`."""
    sizes = 1 + apportion(cells - studies, 1 / np.arange(1, studies + 1) ** 0.6)
    gene_sets = _gene_sets(genes, studies, rng)
    plans = []
    for number in range(studies):
        tissues = _tissues(number, studies, rng)
        donors = _donors(number, studies, rng)
        n_donors = len(donors)
        plans.append(
            Study(
                number=number,
                name=f"study_{number + 1:0{max(2, len(str(studies)))}d}",
                n_cells=int(sizes[number]),
                type_counts=_type_counts(int(sizes[number]), tissues, rng),
                columns=_order(genes, gene_sets[number], number, rng),
                donors=donors,
                donor_share=rng.dirichlet(np.full(n_donors, 3.0)),
                donor_depth=np.exp(rng.normal(-0.01, 0.15, n_donors)),
                tissues=tissues,
                donor_tissue=rng.dirichlet(np.full(len(tissues), 0.7), n_donors),
                has_phase=number != 1,
                has_age=number == 0,
            )
        )
    return plans


def apportion(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Split `total` into whole numbers in proportion to `weights`, by largest remainders."""
    share = weights / weights.sum() * total
    whole: NDArray[np.int64] = np.floor(share).astype(np.int64)
    rest = np.argsort(-(share - whole), kind="stable")[: total - int(whole.sum())]
    whole[rest] += 1
    return whole


def _gene_sets(genes: Genes, studies: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which study measured which gene: each lacks 3 to 12%, none is lacking everywhere."""
    measured = np.ones((studies, len(genes)), bool)
    for number in range(studies):
        lacking = rng.random(len(genes)) < rng.uniform(0.03, 0.12)
        measured[number] = ~lacking | genes.abundant
    nowhere = np.flatnonzero(~measured.any(axis=0))
    measured[nowhere % studies, nowhere] = True
    if studies == 1:
        # It is all there is: it measured every gene.
        measured[:] = True
    # A study without any gene would have no matrix; this needs a handful of genes only.
    measured[~measured.any(axis=1), 0] = True
    return measured


def _order(genes: Genes, measured: NDArray[np.bool_], number: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Order of the columns: by id, as by place on the genome (none, then, to who knows ids), by symbol, and again."""
    own = np.flatnonzero(measured)
    kind = number % 3
    if kind == 0:
        return own
    if kind == 1:
        return rng.permutation(own)
    return own[np.argsort(genes.symbols[own].astype(str), kind="stable")]


def _tissues(number: int, studies: int, rng: np.random.Generator) -> tuple[Term, ...]:
    """Tissues of a study: all of them occur somewhere as soon as there are three studies."""
    each = max(3, -(-len(TISSUES) // studies))
    if number * each < len(TISSUES):
        chosen = [(number * each + k) % len(TISSUES) for k in range(each)]
    else:
        chosen = rng.permutation(len(TISSUES))[:each].tolist()
    return tuple(TISSUES[k] for k in sorted(chosen))


def _type_counts(n: int, tissues: tuple[Term, ...], rng: np.random.Generator) -> NDArray[np.int64]:
    names = {tissue.name for tissue in tissues}
    weight = type_frequency() * np.exp(rng.normal(0.0, 0.5, len(CELL_TYPES)))
    absent = rng.random(len(CELL_TYPES)) < 0.12
    for row, cell_type in enumerate(CELL_TYPES):
        if (cell_type.home and cell_type.home not in names) or (absent[row] and not cell_type.home and row > 12):
            weight[row] = 0.0
    present = (weight > 0).astype(np.int64)
    if n < _ALL_TYPES_FROM:
        return apportion(n, weight)
    return present + apportion(n - int(present.sum()), weight)


def _donors(number: int, studies: int, rng: np.random.Generator) -> tuple[Donor, ...]:
    """Draw 3 to 12 donors, some of them ill; the last study holds cells that another one published first."""
    n = int(rng.integers(3, 13))
    disease = DISEASES[int(rng.integers(len(DISEASES)))]
    assays = rng.permutation(len(ASSAYS))[:2]
    donors = []
    for k in range(n):
        stage, age = STAGES[int(rng.integers(len(STAGES)))]
        ill = bool(rng.random() < 0.45)
        ethnicity = (*ETHNICITIES, UNKNOWN, UNKNOWN)[int(rng.integers(len(ETHNICITIES) + 2))]
        donors.append(
            Donor(
                name=f"donor_{k + 1:02d}",
                sex=SEXES[int(rng.integers(2))],
                stage=stage,
                ethnicity=ethnicity,
                disease=disease if ill else NORMAL,
                severity=SEVERITIES[int(rng.integers(1, 4))] if ill else SEVERITIES[0],
                assay=ASSAYS[int(assays[int(rng.random() < 0.3)])],
                age=age if rng.random() < 0.8 else None,
                is_primary_data=not (studies > 1 and number == studies - 1 and k % 2 == 1),
            )
        )
    return tuple(donors)

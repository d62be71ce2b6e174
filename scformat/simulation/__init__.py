"""Simulated studies: h5ad files of any size that look like real ones, for tests, examples and benchmarks."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from scformat.errors import StorageError, UsageError
from scformat.random import check_seed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["simulate"]

# Barcodes have 16 bases, and twice the cells of the largest study to choose from.
_MOST_CELLS = 1 << 31


def simulate(
    directory: str | Path,
    *,
    cells: int = 10_000,
    studies: int = 3,
    genes: int = 20_000,
    seed: int = 0,
    compression: Literal["gzip"] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Path]:
    """Write simulated studies as h5ad files, one each.

    Genes are human ones of the shipped reference, labels have real terms of the Cell Ontology, UBERON, MONDO and
    EFO under CELLxGENE's column names. Studies differ in size, measured genes and their order, cell types, donors
    and columns; cell types are skewed (the rarest has 1e-4 of the cells or less); barcodes repeat across studies.
    Counts are negative binomial, about 1,524 genes a cell at 20,000 genes, in X as CSR (float32, int32).

    The same arguments write the same files, whatever the number of threads, with the same versions of numpy and
    h5py. Memory does not depend on the number of cells.

    Parameters
    ----------
    directory
        Created where it is missing; the files are ``study_01.h5ad`` and so on.
    cells
        Of all studies together, at least one each.
    studies
        Number of files.
    genes
        Of all studies together; each but a single one lacks some of them.
    seed
        0 .. 2^64 - 1.
    compression
        None or "gzip".
    progress
        Called with ("simulate", cells done, cells) from the calling thread.

    Returns
    -------
    list of Path
        The files, in order.

    Raises
    ------
    UsageError
        Codes ``bad-number``, ``too-many-genes``, ``bad-seed``, ``bad-compression``, ``destination-exists``: a
        file of such a name is there already.
    StorageError
        Code ``cannot-write``: the directory or a file cannot be written.
    """
    n_studies = _count("--studies", studies, 1)
    n_cells = _count("--cells", cells, n_studies)
    if n_cells > _MOST_CELLS:
        raise UsageError("bad-number", "too many cells", where="--cells", expected="at most 2^31", found=n_cells)
    n_genes = _count("--genes", genes, 1)
    if compression not in (None, "gzip"):
        raise UsageError(
            "bad-compression",
            "unknown compression",
            where="--compression",
            expected="gzip or none",
            found=repr(compression),
        )
    roots = np.random.SeedSequence(check_seed(seed)).spawn(2 + 2 * n_studies)

    from scformat.simulation.cells import CountModel
    from scformat.simulation.plan import plan_studies
    from scformat.simulation.profiles import choose_genes, make_profiles
    from scformat.simulation.study import write_study

    rng = np.random.Generator(np.random.Philox(roots[0]))
    chosen = choose_genes(n_genes, rng)
    plans = plan_studies(n_cells, n_studies, chosen, np.random.Generator(np.random.Philox(roots[1])))
    folder = Path(directory)
    paths = [folder / f"{study.name}.h5ad" for study in plans]
    for path in paths:
        if path.exists():
            raise UsageError("destination-exists", "the file is there", where=path, hint="give another directory")
    frequency = np.sum([study.type_counts for study in plans], axis=0) / n_cells
    measured = sum(len(study.columns) * study.n_cells for study in plans) / (n_cells * n_genes)
    profiles = make_profiles(chosen, frequency, measured, rng)
    done = 0

    def report(n: int) -> None:
        nonlocal done
        done += n
        if progress is not None:
            progress("simulate", done, n_cells)

    largest = max(study.n_cells for study in plans)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (study, path) in enumerate(zip(plans, paths, strict=True)):
            model_seed, label_seed = roots[2 + 2 * number : 4 + 2 * number]
            model = CountModel(study, chosen, profiles, model_seed)
            write_study(
                path,
                study,
                chosen,
                model,
                label_seed=label_seed,
                n_largest=largest,
                compression=compression,
                report=report,
            )
    except OSError as error:
        raise StorageError("cannot-write", f"cannot write simulated studies ({error})", where=folder) from error
    return paths


def _count(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, bool) or number < least:
        raise UsageError(
            "bad-number", "not such a number", where=name, expected=f"a whole number from {least} on", found=repr(value)
        )
    return number

"""scformat: a cell store format on Zarr v3, its converter and its reader.

>>> import scformat
>>> store = scformat.convert(["pbmc.h5ad", "heart.h5ad"], "atlas.cells")  # doctest: +SKIP
>>> store.read([5, 3, 5]).csr()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scformat.errors import ScformatError
from scformat.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from distributed import Client
    from numpy.typing import ArrayLike

    from scformat.conversion.report import ConversionPlan
    from scformat.splits import SplitSpec
    from scformat.staging import Staged
    from scformat.store import Store
    from scformat.vacuuming import Vacuumed
    from scformat.validation import Report

    Progress = Callable[[str, int, int], None]

__all__ = [
    "ScformatError",
    "__version__",
    "append",
    "convert",
    "describe",
    "export",
    "open",
    "plan_append",
    "plan_conversion",
    "simulate",
    "stage",
    "vacuum",
    "validate",
]


def convert(
    sources: Any,
    destination: str | os.PathLike[str],
    *,
    counts: str = "auto",
    genes: str | os.PathLike[str] = "union",
    gene_ids: str | None = None,
    organism: str | int | None = None,
    labels: Sequence[str] | None = None,
    where: str | None = None,
    order: str = "source",
    stratify_by: Sequence[str] | None = None,
    splits: str | Mapping[str, float] | SplitSpec | None = None,
    split_by: Sequence[str] | None = None,
    splits_file: str | os.PathLike[str] | None = None,
    ontology: bool = True,
    on_bad: str = "stop",
    seed: int = 0,
    jobs: int | None = None,
    memory: str | int = "1GB",
    overwrite: bool = False,
    resume: bool = False,
    weights: Sequence[str] | None = None,
    dask: str | Client | None = None,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Store:
    """Convert sources to one store.

    The store appears at its destination whole, at the end, or not at all. The same sources, options and seed give
    the same bytes, whatever `jobs`, `memory` and `dask` are.

    Parameters
    ----------
    sources
        Paths of h5ad files, 10x HDF5 files and AnnData-Zarr directories, glob patterns, AnnData objects; one or a
        list. Empty where `sources_table` is given.
    destination
        A path that does not exist yet, or an address of a bucket (``s3://``, ``gs://``) where nothing lies.
    counts
        Where counts lie: ``X``, ``raw``, ``layers/NAME``; ``auto`` takes the first of ``raw``, ``layers/counts``
        and ``X`` that holds whole numbers, none negative, some above zero.
    genes
        ``union`` keeps every gene; ``intersection`` those that all sources of an organism have; else a file with
        a list of genes, whose order is kept.
    gene_ids
        Var column with gene ids, or ``index``; found where None.
    organism
        Name or taxon; of genes whose ids say nothing of it.
    labels
        Exactly these obs columns become labels; None: all categorical ones that are no identifiers.
    where
        Expression over labels, obs columns, ``n_genes`` and ``total_counts``; cells where it is true are kept.
    order
        ``source``, ``shuffled`` or ``stratified``.
    stratify_by
        Labels that the stratified order sorts by; the cell type where None. Implies that order.
    splits
        Shares, for example ``"train=0.8,val=0.1,test=0.1"``.
    split_by
        Columns whose groups stay together; None: each cell for itself.
    splits_file
        A table that gives the splits instead.
    ontology
        Match the labels of ontologies to terms.
    on_bad
        ``stop``, or ``skip`` sources that cannot be converted and list them in the manifest.
    seed
        0 to 2^53 - 1.
    jobs
        Threads; None: one a processor. With `dask`: threads of each worker that is started here, one by default.
    memory
        Memory for buffers, for example ``1GB``; what imports and per-cell columns take comes on top. With `dask`: of
        each worker.
    weights
        Sampling tables to make, each ``NAME=BY:SCHEME[@SPLIT]``, for example ``ct=cell_type:balanced@train``.
    overwrite
        Replace a store at the destination, once the new one is whole; not in a bucket.
    resume
        Go on from what an interrupted or killed run of the same conversion finished: every shard and every pass
        over a source that is there and whole. Where there is nothing, start. The bytes are those of one run.
    dask
        Run the same tasks on a Dask cluster: the address of a scheduler, a ``distributed.Client``, or ``local`` or
        ``local:4`` for worker processes on this machine, which end with the conversion. Sources and the destination
        have to lie where all workers see them under the same path. Needs the extra ``dask``.
    sources_table
        TSV or CSV with a column ``path``, and any of ``name``, ``study``, ``organism``, ``counts``, ``gene_ids``,
        ``licence``, ``citation``, ``doi``; further columns become labels.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Store
        The new store, open.

    Raises
    ------
    ScformatError
        Of the data or the options: nothing is left behind. ``cannot-resume``: what was begun is another
        conversion. After any other failure, and an interrupt, what is finished is kept beside the destination, in
        ``.NAME.partial``, until a run resumes it or starts anew.
    """
    from scformat.conversion import convert_sources

    made = convert_sources(
        sources,
        destination,
        counts=counts,
        genes=genes,
        gene_ids=gene_ids,
        organism=organism,
        labels=labels,
        where=where,
        order=order,
        stratify_by=stratify_by,
        splits=splits,
        split_by=split_by,
        splits_file=splits_file,
        ontology=ontology,
        on_bad=on_bad,
        seed=seed,
        jobs=jobs,
        memory=memory,
        overwrite=overwrite,
        resume=resume,
        weights=weights,
        dask=dask,
        sources_table=sources_table,
        progress=progress,
    )
    return open(made)


def plan_conversion(sources: Any, **options: Any) -> ConversionPlan:
    """Read the sources and decide everything that :func:`convert` would write, but write nothing.

    Takes what :func:`convert` takes, without a destination.
    """
    from scformat.conversion import plan_sources
    from scformat.conversion.options import DEFAULTS

    return plan_sources(sources, **{**DEFAULTS, **options})


def append(
    store: Store | str | os.PathLike[str],
    sources: Any,
    *,
    counts: str | None = None,
    gene_ids: str | None = None,
    organism: str | int | None = None,
    where: str | None = None,
    order: str | None = None,
    stratify_by: Sequence[str] | None = None,
    splits_file: str | os.PathLike[str] | None = None,
    ontology: bool = True,
    on_bad: str | None = None,
    jobs: int | None = None,
    memory: str | int | None = None,
    sources_table: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> Store:
    """Append sources to a store.

    No cell, gene, source or category that is there changes its number, and no cell its split. What is new comes
    after it: a part with the cells, genes (unless the store's are fixed, by a list or as an intersection), categories
    with their terms, obs columns. Splits go by the store's own rule; cells that repeat one of another split are in
    none. Sampling tables are made anew over all cells; neighbour tables stay as they are, over the cells before.

    The new root takes the old one's place at the end, in one step. Who has the store open goes on with what it was.

    Parameters
    ----------
    store
        An open store, or where one lies.
    sources, counts, gene_ids, organism, where, on_bad, jobs, memory, sources_table, progress
        As for :func:`convert`.
    order, stratify_by
        Of the new part; None: as the store's last part.
    splits_file
        Puts groups that the store does not know into splits; for stores whose splits came from a file. Without it
        they are in none.
    ontology
        Match the labels of ontologies to terms.

    Returns
    -------
    Store
        The store with its new part, open.

    Raises
    ------
    StorageError
        ``store-changed``: another process changed the store meanwhile. Nothing is left behind.
    UsageError
        ``source-exists``: the store has a source of that name; ``cannot-add``: it can only be read.
    InvalidDataError
        ``group-moves``: the splits file moves a group; ``no-common-genes``: no gene of a source is in a fixed index.
    """
    from scformat.appending import append_sources
    from scformat.store import Store

    opened = store if isinstance(store, Store) else open(store)
    append_sources(
        opened,
        sources,
        counts=counts,
        gene_ids=gene_ids,
        organism=organism,
        where=where,
        order=order,
        stratify_by=stratify_by,
        splits_file=splits_file,
        ontology=ontology,
        on_bad=on_bad,
        jobs=jobs,
        memory=memory,
        sources_table=sources_table,
        progress=progress,
    )
    return open(opened.path)


def plan_append(store: Store | str | os.PathLike[str], sources: Any, **options: Any) -> ConversionPlan:
    """Read the sources and decide everything that :func:`append` would write, but write nothing.

    Takes what :func:`append` takes.
    """
    from scformat.appending import plan_appending
    from scformat.store import Store

    return plan_appending(store if isinstance(store, Store) else open(store), sources, **options)


def open(
    path: str | os.PathLike[str] | Store | Iterable[str | os.PathLike[str] | Store],
    *,
    cache: str | os.PathLike[str] | None = None,
    cache_size: str | int | None = None,
) -> Store:
    """Open a store, or several that are read as one. Of one, only the manifest is read.

    Parameters
    ----------
    path
        A path, ``s3://``, ``gs://`` or ``http(s)://``. A list of them, or of open stores, gives a
        :class:`scformat.collection.Collection`: a store over the genes, labels and splits of all, whose rows follow
        one another in the order of the list. It cannot be written to.
    cache
        A directory where what is read of the store is kept, so that it is asked for once; any number of stores and
        processes may share it. None: the environment's SCFORMAT_CACHE, and none at all for a store in a directory.
    cache_size
        What the cache may take on the disk, for example ``50GB``; what was used least recently goes first. None: the
        environment's SCFORMAT_CACHE_SIZE, or 10 GB.

    Warns
    -----
    UserWarning
        The splits of several stores were made by different rules, so that a donor may be in different ones.

    Raises
    ------
    StorageError
        ``no-store``.
    UsageError
        ``no-stores``: an empty list; ``same-store``: two of the stores have the same cells; ``bad-size``, ``no-cache``:
        of the cache.
    InvalidDataError
        ``not-a-store``, ``bad-manifest``.
    UnsupportedError
        A version or a required feature that this release does not know.
    """
    from scformat.collection import open_stores

    return open_stores(path, cache=cache, cache_size=cache_size)


def export(
    store: Store | str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    source: str | None = None,
    where: str | None = None,
    rows: ArrayLike | str | os.PathLike[str] | None = None,
) -> None:
    """Write cells of a store as h5ad.

    Parameters
    ----------
    store
        An open store, or where one lies.
    destination
        A file that does not exist yet.
    source
        Only the cells of this source, in its own order, with its own genes, names and types.
    where
        Only cells where this expression is true.
    rows
        Only these rows: numbers, or a file with one a line.
    """
    from scformat.exporting import export_store
    from scformat.store import Store

    opened = store if isinstance(store, Store) else open(store)
    export_store(opened, destination, source=source, where=where, rows=rows)


def validate(path: str | os.PathLike[str], *, level: int = 3, progress: Progress | None = None) -> Report:
    """Check a store against the numbered requirements of the specification.

    Parameters
    ----------
    path
        Where the store lies.
    level
        1 metadata, 2 hierarchy, 3 data (every byte).
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Report
        Its ``findings``, each with the requirement it breaks; ``ok`` where there are none.
    """
    from scformat.validation import validate_store

    return validate_store(path, level=level, progress=progress)


def vacuum(store: Store | str | os.PathLike[str], *, dry_run: bool = False) -> Vacuumed:
    """Remove the files below a store that its root does not name.

    They are what killed processes left, and tables, labels and gene indexes that a later root has replaced: a reader
    that has the store open since before loses these. What a conversion left beside the store that was killed once the
    store was in its place goes too; a conversion that can be resumed stays.

    Parameters
    ----------
    store
        An open store, or where one lies; in a bucket for `dry_run` only. The root that lies there now decides, not the
        open one.
    dry_run
        Only say what would be removed.

    Raises
    ------
    StorageError
        ``store-busy``: another process is adding to the store.
    UsageError
        ``cannot-add``: it can only be read; ``cannot-vacuum``: it lies in a bucket.
    """
    from scformat.store import Store
    from scformat.vacuuming import vacuum_store

    return vacuum_store(store if isinstance(store, Store) else open(store), dry_run=dry_run)


def stage(
    store: Store | str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    *,
    split: str | None = None,
    where: str | None = None,
    table: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Staged:
    """Bring all that reading some cells of a remote store needs to a cache, so that loaders ask the network no more.

    The counts of the cells that a loader with the same `split`, `where` and `table` may draw, genes, labels, splits and
    the table. What is staged stays until its directory is removed, and does not count towards the size of the cache.
    What lies there already is not asked for again: a run that was interrupted goes on with the same call. Opening the
    store, with this cache, still reads its root.

    Parameters
    ----------
    store
        An open store, or where one lies.
    cache
        The directory; None: that of the open store, or the environment's SCFORMAT_CACHE.
    split, where, table
        As for :class:`scformat.torch.CellLoader`; by default every cell.
    dry_run
        Only say how much it is. Reads records and indexes, which are staged.
    progress
        Called as ``progress(stage, done, total)``, in bytes.

    Raises
    ------
    StorageError
        ``no-room``: the disk has too little room, before anything else is read; ``cannot-write``.
    UsageError
        ``no-cache``: no directory; ``no-cells``.
    """
    from scformat.staging import stage_store

    return stage_store(store, cache, split=split, where=where, table=table, dry_run=dry_run, progress=progress)


def describe(store: Store) -> dict[str, Any]:
    """Return sizes, genes, sources, labels, splits, layout and digests of a store as plain JSON values."""
    from scformat.description import describe_store

    return describe_store(store)


def simulate(
    directory: str | Path,
    *,
    cells: int = 10_000,
    studies: int = 3,
    genes: int = 20_000,
    seed: int = 0,
    compression: Literal["gzip"] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write realistic h5ad files of several studies; see :func:`scformat.simulation.simulate`."""
    from scformat.simulation import simulate as run

    return run(
        directory, cells=cells, studies=studies, genes=genes, seed=seed, compression=compression, progress=progress
    )

"""``scformat convert``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scformat.cli.output import emit, emit_json, message
from scformat.cli.parameters import Debug, Json, Where, names
from scformat.cli.progress import progress
from scformat.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from collections.abc import Sequence

GENE_SETS = ("union", "intersection")
SOURCE_SUFFIXES = (".h5ad", ".h5")


def convert(
    *,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SRC",
            help="h5ad files, 10x .h5 files, AnnData-Zarr directories, or globs of them.",
            show_default=False,
        ),
    ] = None,
    destination: Annotated[str, typer.Argument(metavar="DST", help="The store to write.", show_default=False)],
    sources_table: Annotated[
        str | None,
        typer.Option(
            "--sources",
            metavar="FILE.tsv",
            help="A table of sources: path, name, study, organism, counts...; its further columns become labels.",
        ),
    ] = None,
    counts: Annotated[
        str,
        typer.Option(
            metavar="auto|X|raw|layers/NAME",
            help="Where the counts are; auto takes the first of raw, layers/counts and X that holds counts.",
        ),
    ] = "auto",
    genes: Annotated[str, typer.Option(metavar="union|intersection|FILE", help="Genes of the store.")] = "union",
    gene_ids: Annotated[
        str | None,
        typer.Option(metavar="index|COLUMN", help="Where var has the gene ids; found out by default."),
    ] = None,
    organism: Annotated[
        str | None, typer.Option(help="Organism of genes whose ids do not tell, for example human or NCBITaxon:9606.")
    ] = None,
    labels: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="obs columns that become labels; by default those that are categorical."),
    ] = None,
    where: Where = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="source|shuffled|stratified", help="Order of the cells; source unless --stratify-by is given."
        ),
    ] = None,
    stratify_by: Annotated[
        list[str] | None, typer.Option(metavar="A,B", help="Columns to stratify by; implies --order stratified.")
    ] = None,
    splits: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,...", help="Splits, for example train=0.8,val=0.1,test=0.1.")
    ] = None,
    split_by: Annotated[
        list[str] | None,
        typer.Option(metavar="A,B", help="Columns whose groups stay in one split, for example study,donor_id."),
    ] = None,
    splits_file: Annotated[str | None, typer.Option(metavar="FILE", help="A table that gives the splits.")] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=BY:SCHEME[@SPLIT]", help="A sampling table to make; may be repeated."),
    ] = None,
    no_ontology: Annotated[bool, typer.Option("--no-ontology", help="Take ontology columns as plain text.")] = False,
    on_bad: Annotated[
        str, typer.Option(metavar="stop|skip", help="What to do about a source that cannot be converted.")
    ] = "stop",
    seed: Annotated[int, typer.Option(help="Of the order and the splits.")] = 0,
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Threads; by default one a core.")] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory for buffers.")] = "1GB",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a store that is there.")] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from what an interrupted or killed run of this command finished.")
    ] = False,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS|local:N",
            help="A Dask cluster to run on; --memory is then of each worker, --jobs the threads of a local one.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the plan and write nothing: cells, genes, labels, what is not kept, size."
        ),
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Convert h5ad, 10x and AnnData-Zarr sources to one store."""
    import scformat

    if json and not dry_run:
        raise UsageError("missing-option", "--json without --dry-run", hint="only the plan is printed as JSON")
    check_paths(sources or [], destination, table=sources_table)
    if genes not in GENE_SETS and not Path(genes).suffix and not Path(genes).exists():
        raise unknown_name("gene set", genes, GENE_SETS, where="--genes")
    options: dict[str, Any] = {
        "counts": counts,
        "genes": genes,
        "gene_ids": gene_ids,
        "organism": organism,
        "labels": names(labels, "--labels"),
        "where": where,
        "order": order or ("stratified" if stratify_by else "source"),
        "stratify_by": names(stratify_by, "--stratify-by"),
        "splits": splits,
        "split_by": names(split_by, "--split-by"),
        "splits_file": splits_file,
        "ontology": not no_ontology,
        "on_bad": on_bad,
        "seed": seed,
        "jobs": jobs,
        "memory": memory,
        "overwrite": overwrite,
        "resume": resume,
        "weights": weights,
        "dask": dask,
        "sources_table": sources_table,
    }
    if options["order"] == "source" and stratify_by:
        raise UsageError(
            "conflicting-options",
            "--stratify-by needs the order stratified",
            found="--order source",
            hint="leave one of them out",
        )
    start = time.monotonic()
    with progress() as report:
        if dry_run:
            plan = scformat.plan_conversion(sources or [], progress=report, **options)
        else:
            store = scformat.convert(sources or [], destination, progress=report, **options)
    if not dry_run:
        n_sources = len(store.sources)
        for skipped in store.manifest.skipped:
            message(f"skipped {skipped.message}")
        message(
            f"wrote {destination}: {store.n_cells:,} cells, {store.n_genes:,} genes, "
            f"{n_sources:,} source{'' if n_sources == 1 else 's'}, {time.monotonic() - start:.1f} s"
        )
    elif json:
        emit_json(plan.as_dict())
    else:
        emit("\n".join(plan.lines()))


def check_paths(sources: Sequence[str], destination: str, *, table: str | None) -> None:
    """Refuse a command line that lacks its sources, or has one where the store belongs.

    Raises
    ------
    UsageError
        Codes ``missing-argument``, ``destination-is-a-source``.
    """
    if Path(destination).is_file() or destination.lower().endswith(SOURCE_SUFFIXES):
        raise UsageError(
            "destination-is-a-source",
            "the last argument is the store to write",
            where=destination,
            expected="a new directory",
            found="a file" if Path(destination).is_file() else "the name of a source",
        )
    if not sources and table is None:
        raise UsageError(
            "missing-argument",
            "there is no source",
            expected="SRC... DST, or --sources FILE.tsv DST",
            found=f"only {destination!r}",
        )

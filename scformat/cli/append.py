"""``scformat append`` and ``scformat vacuum``: a store that grows, and what is left of its past."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from scformat.cli.output import emit, emit_json, message
from scformat.cli.parameters import Debug, Json, StorePath, Where, names
from scformat.cli.progress import progress
from scformat.errors import UsageError


def append(
    *,
    store: StorePath,
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SRC",
            help="h5ad files, 10x .h5 files, AnnData-Zarr directories, or globs of them.",
            show_default=False,
        ),
    ] = None,
    sources_table: Annotated[
        str | None,
        typer.Option("--sources", metavar="FILE.tsv", help="A table of sources: path, name, study, counts..."),
    ] = None,
    counts: Annotated[
        str, typer.Option(metavar="auto|X|raw|layers/NAME", help="Where the counts are; see scformat convert.")
    ] = "auto",
    gene_ids: Annotated[
        str | None, typer.Option(metavar="index|COLUMN", help="Where var has the gene ids; found out by default.")
    ] = None,
    organism: Annotated[str | None, typer.Option(help="Organism of genes whose ids do not tell.")] = None,
    where: Where = None,
    order: Annotated[
        str | None,
        typer.Option(
            metavar="source|shuffled|stratified", help="Order of the new cells; by default that of the last part."
        ),
    ] = None,
    stratify_by: Annotated[list[str] | None, typer.Option(metavar="A,B", help="Labels to stratify by.")] = None,
    splits_file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Splits of groups that the store, split by a file, does not know."),
    ] = None,
    no_ontology: Annotated[bool, typer.Option("--no-ontology", help="Take ontology columns as plain text.")] = False,
    on_bad: Annotated[
        str, typer.Option(metavar="stop|skip", help="What to do about a source that cannot be converted.")
    ] = "stop",
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Threads; by default one a core.")] = None,
    memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory for buffers.")] = "1GB",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and write nothing.")] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Append sources to a store, as a part of their own; genes, labels and splits go on as they are."""
    import scformat

    if json and not dry_run:
        raise UsageError("missing-option", "--json without --dry-run", hint="only the plan is printed as JSON")
    if not sources and sources_table is None:
        raise UsageError("missing-argument", "there is no source", expected="STORE SRC..., or STORE --sources FILE.tsv")
    opened = scformat.open(store)
    options = {
        "counts": counts,
        "gene_ids": gene_ids,
        "organism": organism,
        "where": where,
        "order": order,
        "stratify_by": names(stratify_by, "--stratify-by"),
        "splits_file": splits_file,
        "ontology": not no_ontology,
        "on_bad": on_bad,
        "jobs": jobs,
        "memory": memory,
        "sources_table": sources_table,
    }
    start = time.monotonic()
    with progress() as report:
        if dry_run:
            plan = scformat.plan_append(opened, sources or [], progress=report, **options)
        else:
            grown = scformat.append(opened, sources or [], progress=report, **options)  # type: ignore[arg-type]
    if not dry_run:
        for skipped in grown.manifest.skipped[len(opened.manifest.skipped) :]:
            message(f"skipped {skipped.message}")
        for finding in grown.manifest.findings[len(opened.manifest.findings) :]:
            if finding.what.endswith("-not-extended"):
                message(f"{finding.what.removesuffix('-not-extended')} {finding.value}: {finding.note}")
        message(
            f"appended to {store}: {grown.n_cells - opened.n_cells:,} cells, {grown.n_genes - opened.n_genes:,} new "
            f"genes, now {grown.n_cells:,} cells, {grown.n_genes:,} genes, {len(grown.sources):,} sources, "
            f"{time.monotonic() - start:.1f} s"
        )
    elif json:
        emit_json(plan.as_dict())
    else:
        emit("\n".join(plan.lines()))


def vacuum(
    *,
    store: StorePath,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the files and remove none.")] = False,
    debug: Debug = False,
) -> None:
    """Remove files below a store that its root does not name; readers of older roots lose them."""
    import scformat

    found = scformat.vacuum(store, dry_run=dry_run)
    if dry_run and found.keys:
        emit("\n".join(found.keys))
    done = "would be removed" if dry_run else "removed"
    size = "" if found.bytes is None else f", {found.bytes:,} bytes"
    message(f"{store}: {len(found.keys):,} files{size} {done}")

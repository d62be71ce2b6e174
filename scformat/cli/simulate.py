"""``scformat simulate``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scformat.cli.output import emit
from scformat.cli.parameters import Debug
from scformat.cli.progress import progress


def simulate(
    *,
    directory: Annotated[
        str, typer.Argument(metavar="DIR", help="Where the files go; made if missing.", show_default=False)
    ],
    cells: Annotated[int, typer.Option(help="Cells of all studies together.")] = 10_000,
    studies: Annotated[int, typer.Option(help="Number of files.")] = 3,
    genes: Annotated[int, typer.Option(help="Genes of all studies together.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same seed writes the same files.")] = 0,
    compression: Annotated[str, typer.Option(metavar="none|gzip", help="Of the arrays in the files.")] = "none",
    debug: Debug = False,
) -> None:
    """Write simulated studies as h5ad files; print their paths."""
    from scformat.simulation import simulate as write_studies

    codec: Any = None if compression == "none" else compression
    with progress() as report:
        written = write_studies(
            directory, cells=cells, studies=studies, genes=genes, seed=seed, compression=codec, progress=report
        )
    emit("\n".join(str(path) for path in written))

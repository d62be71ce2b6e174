"""Writing one study: blocks are drawn by threads and written in order by the calling one."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from scformat.simulation.cells import CountModel, Counts, Labels, label_blocks
from scformat.simulation.h5ad import Compression, H5adWriter
from scformat.simulation.obs import ObsColumns
from scformat.simulation.terms import CELL_TYPES, HUMAN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scformat.simulation.plan import Study
    from scformat.simulation.profiles import Genes


def write_study(
    path: Path,
    study: Study,
    genes: Genes,
    model: CountModel,
    *,
    label_seed: np.random.SeedSequence,
    n_largest: int,
    compression: Compression,
    report: Callable[[int], None],
) -> None:
    """Write a study to `path`, which appears when it is complete.

    Parameters
    ----------
    path, study, genes, model
        The file, the plan, all genes and what counts are drawn from.
    label_seed
        Of the labels.
    n_largest
        Cells of the largest study.
    compression
        None or "gzip".
    report
        Called with the number of cells written since the last call.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with H5adWriter(partial, study.n_cells, len(study.columns), compression=compression) as writer:
            writer.write_uns(
                {
                    "title": f"Simulated study {study.number + 1}",
                    "organism": HUMAN.name,
                    "organism_ontology_term_id": HUMAN.id,
                    "gene_reference": genes.release,
                }
            )
            _write_var(writer, study, genes)
            obs = ObsColumns(writer, study, n_largest)
            for labels, counts in _drawn(study, model, label_seed):
                writer.append_rows(labels.first, counts.ends, counts.indices, counts.data)
                obs.write(labels, counts)
                report(len(labels))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_var(writer: H5adWriter, study: Study, genes: Genes) -> None:
    ids = [str(gene) for gene in genes.ids[study.columns]]
    symbols = [str(symbol) for symbol in genes.symbols[study.columns]]
    writer.write_var(
        ids,
        {
            "feature_name": [symbol or gene for symbol, gene in zip(symbols, ids, strict=True)],
            "feature_type": [str(biotype) for biotype in genes.biotypes[study.columns]],
            "feature_biotype": ["gene"] * len(ids),
            "feature_reference": [HUMAN.id] * len(ids),
        },
    )


def _drawn(study: Study, model: CountModel, label_seed: np.random.SeedSequence) -> Iterator[tuple[Labels, Counts]]:
    """Yield all blocks in order, with as many being drawn ahead as there are processors, four at most."""
    rows = {tissue.name: row for row, tissue in enumerate(study.tissues)}
    homes = np.array([rows.get(cell_type.home, -1) for cell_type in CELL_TYPES], np.int16)
    threads = min(4, os.cpu_count() or 1)
    waiting: deque[tuple[Labels, Future[Counts]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for labels in label_blocks(study, homes, label_seed):
            waiting.append((labels, pool.submit(model.draw, labels)))
            if len(waiting) > threads:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()

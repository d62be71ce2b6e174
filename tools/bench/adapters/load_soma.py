"""Load with TileDB-SOMA-ML's ``ExperimentDataset``, shuffled.

Runs in its environment. Settings: ``run``, its ``shuffle_chunk_size``; ``io``, its ``io_batch_size``; ``output``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Ingest the merged h5ad with its defaults."""
    import tiledbsoma.io

    tiledbsoma.io.from_h5ad(store, sources[0], measurement_name="RNA")


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open the experiment; other options are the library's defaults."""
    import tiledbsoma
    from tiledbsoma_ml import ExperimentDataset, experiment_dataloader

    experiment = tiledbsoma.Experiment.open(store)
    query = experiment.axis_query("RNA")

    def batches(number: int) -> Iterator[Any]:
        data = ExperimentDataset(
            query,
            layer_name="data",
            obs_column_names=list(request.labels),
            batch_size=request.batch,
            io_batch_size=settings["io"],
            shuffle_chunk_size=settings["run"],
            shuffle=True,
            seed=request.seed + number,
            return_sparse_X=settings["output"] == "csr",
        )
        return iter(experiment_dataloader(data))

    return harness.Stream(
        batches=harness.endless(batches),
        counts=lambda batch: batch[0],
        codes=lambda batch: {name: batch[1][name].to_numpy() for name in request.labels},
        period=settings["io"],
    )


if __name__ == "__main__":
    harness.main(prepare, open_stream)

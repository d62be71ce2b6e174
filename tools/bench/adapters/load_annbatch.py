"""Load with annbatch's ``Loader`` and samplers, as its documentation shows: a zarr collection, the zarrs codecs.

Runs in annbatch's environment. Settings: ``run``, the rows that are read as one (its ``chunk_size``), ``held``, those
that are held and shuffled at once; ``weighted``: its ``WeightedClassSampler`` over ``cell_type``, which needs a
collection made with ``groupby``; ``leave_out``: classes with a run shorter than ``run``, for which the sampler refuses,
get no weight, as its error proposes; ``output``. Made with: ``dataset_size``, ``groupby``. Only the label columns that
are asked for are read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Write the collection; everything not named here is annbatch's default."""
    import numpy as np
    import zarr
    from annbatch import DatasetCollection

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    options = {name: settings[name] for name in ("dataset_size", "groupby") if name in settings}
    DatasetCollection(store).add_adatas(sources, shuffle=True, rng=np.random.default_rng(0), **options)


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open a loader; a dense batch is its CSR tensor made dense, which is what its README says to do."""
    import anndata as ad
    import numpy as np
    import zarr
    from annbatch import DatasetCollection, Loader
    from annbatch.samplers import RandomSampler, WeightedClassSampler

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    collection = DatasetCollection(zarr.open_group(store, mode="r"))

    def load(group: Any) -> Any:
        return ad.AnnData(X=ad.io.sparse_dataset(group["X"]), obs=ad.io.read_elem(group["obs"])[list(request.labels)])

    held = settings["held"]
    shape = {"chunk_size": settings["run"], "preload_nchunks": held // settings["run"], "batch_size": request.batch}

    def batches(number: int) -> Iterator[Any]:
        rng = np.random.default_rng((request.seed, number))
        with ad.settings.override(remove_unused_categories=False):
            if settings.get("weighted"):
                classes = collection.obs(columns=["cell_type"])["cell_type"].astype("category").values
                weights = class_weights(classes, settings["run"]) if settings.get("leave_out") else None
                sampler = WeightedClassSampler(
                    **shape, classes=classes, class_weights=weights, num_samples=100 * held, rng=rng
                )
            else:
                sampler = RandomSampler(**shape, drop_last=True, rng=rng)
            loader = Loader(batch_sampler=sampler, to="torch").use_collection(collection, load_adata=load)
        return iter(loader)

    dense = settings["output"] == "dense"
    return harness.Stream(
        batches=harness.endless(batches),
        counts=lambda batch: batch["X"].to_dense() if dense else batch["X"],
        codes=lambda batch: {name: batch["obs"][name].to_numpy() for name in request.labels},
        period=held,
    )


def class_weights(classes: Any, run: int) -> Any:
    """Weigh classes alike, and not at all where one of their runs is shorter than `run`."""
    import numpy as np

    codes = classes.codes
    edges = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]])
    weights = np.ones(len(classes.categories))
    weights[codes[edges[:-1]][np.diff(edges) < run]] = 0
    return weights


if __name__ == "__main__":
    harness.main(prepare, open_stream)

"""Load with lamindb's ``MappedCollection``, cells weighted by class, through torch's DataLoader.

Runs in lamindb's environment, without an instance: the class is made of paths. Setting ``workers``. Its rows
are dense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Make nothing: the merged h5ad is read."""
    raise SystemExit("the merged h5ad is made by merge_h5ad.py")


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open the file as its documentation does: a weighted sampler over the weights that it gives."""
    import torch
    from lamindb.core import MappedCollection

    data = MappedCollection(
        [store], obs_keys=list(request.labels), encode_labels=True, parallel=settings["workers"] > 0
    )
    weights = data.get_label_weights("cell_type")
    generator = torch.Generator().manual_seed(request.seed)
    sampler = torch.utils.data.WeightedRandomSampler(weights, num_samples=len(data), generator=generator)
    extra: dict[str, Any] = {}
    if settings["workers"]:
        extra = {"num_workers": settings["workers"], "worker_init_fn": data.torch_worker_init_fn}
    loader = torch.utils.data.DataLoader(data, batch_size=request.batch, sampler=sampler, drop_last=True, **extra)

    def batches(number: int) -> Iterator[Any]:
        return iter(loader)

    return harness.Stream(
        batches=harness.endless(batches),
        counts=lambda batch: batch["X"],
        codes=lambda batch: {name: batch[name].numpy() for name in request.labels},
    )


if __name__ == "__main__":
    harness.main(prepare, open_stream)

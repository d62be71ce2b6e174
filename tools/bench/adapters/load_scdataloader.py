"""Load with the parts of scDataLoader that need no LaminDB instance: data set of paths, weighted sampler, collator.

Runs in its environment. Setting ``workers``. Its ``Dataset`` takes a LaminDB collection, so its ``MappedCollection`` is
given the path instead, and its collator a table of genes. Two shims: the collator's ``organism_ids``, which it does not
set when it is given genes, and an argument that its sampler gives to torch's, which takes none any more. It delivers
dense rows of all genes; its sampler never draws the last class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator

_ORGANISM = "NCBITaxon:9606"


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Make nothing: the merged h5ad is read."""
    raise SystemExit("the merged h5ad is made by merge_h5ad.py")


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open the file; a small `weight_scaler` draws classes alike."""
    import h5py
    import numpy as np
    import pandas as pd
    import torch
    from scdataloader import Collator
    from scdataloader.datamodule import LabelWeightedSampler
    from scdataloader.mapped import MappedCollection

    class Cells(MappedCollection):
        """A data set that names the organism of every cell."""

        def __getitem__(self, idx: int) -> dict[str, Any]:
            return {**super().__getitem__(idx), "organism": _ORGANISM}

    with h5py.File(store, "r") as file:
        genes = file["var/_index"].asstr()[:]
    labels = list(request.labels)
    data = Cells([store], obs_keys=labels, encode_labels=labels, parallel=settings["workers"] > 0)
    collator = Collator(
        organisms=[_ORGANISM],
        how="all",
        organism_name="organism",
        class_names=labels,
        genedf=pd.DataFrame({"organism": _ORGANISM}, index=genes),
    )
    collator.organism_ids = {_ORGANISM}
    torch.utils.data.Sampler.__init__ = lambda self, data_source=None: None
    torch.manual_seed(request.seed)
    np.random.seed(request.seed)
    classes = data.get_merged_labels("cell_type").codes
    sampler = LabelWeightedSampler(
        labels=np.array(classes), num_samples=len(data), weight_scaler=1e-3, n_workers=1, replacement=True
    )
    loader = torch.utils.data.DataLoader(
        data, batch_size=request.batch, sampler=sampler, collate_fn=collator, drop_last=True,
        num_workers=settings["workers"], worker_init_fn=data.torch_worker_init_fn if settings["workers"] else None,
    )  # fmt: skip

    def batches(number: int) -> Iterator[Any]:
        return iter(loader)

    return harness.Stream(
        batches=harness.endless(batches),
        counts=lambda batch: batch["x"],
        codes=lambda batch: {name: batch["class"][:, i].numpy() for i, name in enumerate(labels)},
    )


if __name__ == "__main__":
    harness.main(prepare, open_stream)

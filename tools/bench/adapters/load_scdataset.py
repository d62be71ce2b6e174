"""Load an h5ad with scDataset, class-balanced: ``ClassBalancedSampling`` over backed AnnData, rows fetched together.

Runs in scDataset's environment. Settings: ``block`` (its ``block_size``), ``fetch`` (its ``fetch_factor``), ``workers``
of torch's DataLoader, ``output``. Its own ``adata_to_mindex`` makes whole fetches dense; the callbacks here keep rows
sparse until a batch is cut, which is faster.
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
    """Open the file; every pass of it is one over as many draws as there are cells."""
    import anndata as ad
    import numpy as np
    from scdataset import ClassBalancedSampling, scDataset
    from torch.utils.data import DataLoader

    adata = ad.read_h5ad(store, backed="r")
    labels = {name: adata.obs[name].cat.codes.to_numpy() for name in request.labels}
    matrix = adata.X

    # The backed matrix is indexed itself: a view of the AnnData would take obs along, row by row.
    def fetch(collection: Any, rows: Any) -> Any:
        distinct, back = np.unique(rows, return_inverse=True)
        counts = collection[distinct][back]
        return counts, {name: codes[rows] for name, codes in labels.items()}

    def cut(fetched: Any, some: Any) -> Any:
        counts, codes = fetched
        part = counts[some]
        return (part.toarray() if settings["output"] == "dense" else part), {n: c[some] for n, c in codes.items()}

    class Rows:
        """The matrix with a length."""

        def __len__(self) -> int:
            return int(adata.n_obs)

        def __getitem__(self, rows: Any) -> Any:
            return matrix[rows]

    data = scDataset(
        Rows(),
        ClassBalancedSampling(labels["cell_type"], block_size=settings["block"], total_size=adata.n_obs),
        batch_size=request.batch,
        fetch_factor=settings["fetch"],
        drop_last=True,
        fetch_callback=fetch,
        batch_callback=cut,
        seed=request.seed,
    )
    loader = DataLoader(data, batch_size=None, num_workers=settings.get("workers", 0))

    def batches(number: int) -> Iterator[Any]:
        return iter(loader)

    return harness.Stream(
        batches=harness.endless(batches),
        counts=lambda batch: batch[0],
        codes=lambda batch: batch[1],
        period=request.batch * settings["fetch"],
    )


if __name__ == "__main__":
    harness.main(prepare, open_stream)

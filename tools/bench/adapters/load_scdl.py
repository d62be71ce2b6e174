"""Load with BioNeMo SCDL, a memory map of CSR arrays: random rows, uniform or weighted.

Runs in its environment. Settings: ``weighted``, ``output``; ``loader``: ``documented`` is torch's DataLoader with its
``collate_sparse_matrix_batch``, ``rows`` is its ``get_row`` for each row and one concatenation, which is much faster.
Counts are kept as uint16, the smallest of its types that holds them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Convert the merged h5ad; labels lie beside it, as codes."""
    import h5py
    import numpy as np
    from bionemo.scdl.io.single_cell_memmap_dataset import SingleCellMemMapDataset

    SingleCellMemMapDataset(store, sources[0], data_dtype="uint16", use_X_not_raw=True).save()
    with h5py.File(sources[0], "r") as file:
        np.savez(Path(store) / "bench.npz", **{name: file["obs"][name]["codes"][:] for name in harness.LABELS})


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open the memory map."""
    import numpy as np
    import torch
    from bionemo.scdl.io.single_cell_memmap_dataset import SingleCellMemMapDataset
    from bionemo.scdl.util.torch_dataloader_utils import collate_sparse_matrix_batch

    data = SingleCellMemMapDataset(store)
    with np.load(Path(store) / "bench.npz") as held:
        labels = {name: held[name] for name in request.labels}
    n, n_genes = data.number_of_rows(), data.number_of_variables()[0]
    classes = labels["cell_type"]
    weights = 1.0 / np.bincount(classes)[classes]
    edges = np.cumsum(weights / weights.sum())

    def order(number: int) -> Any:
        rng = np.random.default_rng((request.seed, number))
        if settings["weighted"]:
            return np.minimum(np.searchsorted(edges, rng.random(n), side="right"), n - 1)
        return rng.permutation(n)

    def of_rows(rows: Any) -> Any:
        values, columns = zip(*(data.get_row(int(row))[0] for row in rows), strict=True)
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum([len(each) for each in values], out=offsets[1:])
        return torch.sparse_csr_tensor(
            torch.from_numpy(offsets),
            torch.from_numpy(np.concatenate(columns).astype(np.int32)),
            torch.from_numpy(np.concatenate(values).astype(np.float32)),
            size=(len(rows), n_genes),
            check_invariants=False,
        )

    def batches(number: int) -> Iterator[Any]:
        drawn = order(number)
        cuts = [drawn[low : low + request.batch] for low in range(0, n - request.batch + 1, request.batch)]
        if settings["loader"] == "documented":
            loader = torch.utils.data.DataLoader(data, batch_sampler=cuts, collate_fn=collate_sparse_matrix_batch)
            made = iter(loader)
        else:
            made = map(of_rows, cuts)
        for rows, counts in zip(cuts, made, strict=True):
            out = counts.to_dense() if settings["output"] == "dense" else counts
            yield out, {name: codes[rows] for name, codes in labels.items()}

    return harness.Stream(batches=harness.endless(batches), counts=lambda batch: batch[0], codes=lambda batch: batch[1])


if __name__ == "__main__":
    harness.main(prepare, open_stream)

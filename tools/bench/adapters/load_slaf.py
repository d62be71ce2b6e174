"""Load with SLAF's ``SLAFDataLoader`` in raw mode: its mixture of scanners, by its documentation the most random.

Runs in SLAF's environment. Setting ``output``. A raw batch is a table of (cell, gene, value); CSR is made of it by a
count, and a sort where cells do not ascend. Labels are the merged h5ad's codes, which lie beside the data set.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.bench.adapters import harness

if TYPE_CHECKING:
    from collections.abc import Iterator

_EPOCHS = 1_000


def prepare(settings: dict[str, Any], store: str, sources: list[str]) -> None:
    """Convert the merged h5ad with SLAF's defaults."""
    import h5py
    import numpy as np
    from slaf.data import SLAFConverter

    SLAFConverter().convert(sources[0], store)
    with h5py.File(sources[0], "r") as file:
        labels = {name: file["obs"][name]["codes"][:] for name in harness.LABELS}
        np.savez(Path(store) / "bench.npz", n_genes=file["X"].attrs["shape"][1], **labels)


def open_stream(settings: dict[str, Any], store: str, request: harness.Request) -> harness.Stream:
    """Open the loader with its defaults but the mode and the size of a batch."""
    import numpy as np
    import torch
    from slaf import SLAFArray
    from slaf.ml import SLAFDataLoader

    with np.load(Path(store) / "bench.npz") as held:
        labels, n_genes = {name: held[name] for name in request.labels}, int(held["n_genes"])
    loader = SLAFDataLoader(
        SLAFArray(store), raw_mode=True, batch_size=request.batch, n_epochs=_EPOCHS, verbose=False,
        **settings.get("loader", {}),
    )  # fmt: skip

    def made(batch: Any) -> Any:
        table = batch["x"]
        cells, genes, values = (table[name].to_numpy() for name in ("cell_integer_id", "gene_integer_id", "value"))
        if (np.diff(cells.astype(np.int64)) < 0).any():
            order = np.argsort(cells, kind="stable")
            cells, genes, values = cells[order], genes[order], values[order]
        rows, lengths = np.unique(cells, return_counts=True)
        offsets = np.zeros(len(rows) + 1, np.int32)
        np.cumsum(lengths, out=offsets[1:])
        counts = torch.sparse_csr_tensor(
            torch.from_numpy(offsets),
            torch.from_numpy(genes.astype(np.int32)),
            torch.from_numpy(values.astype(np.float32)),
            size=(len(rows), n_genes),
            check_invariants=False,
        )
        return (counts.to_dense() if settings["output"] == "dense" else counts), rows

    def batches() -> Iterator[Any]:
        for batch in loader:
            counts, rows = made(batch)
            yield counts, {name: codes[rows.astype(np.int64)] for name, codes in labels.items()}

    return harness.Stream(batches=batches(), counts=lambda batch: batch[0], codes=lambda batch: batch[1])


if __name__ == "__main__":
    harness.main(prepare, open_stream)

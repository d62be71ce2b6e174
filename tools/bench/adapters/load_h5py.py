"""Read random rows of an h5ad with h5py alone, one after another on one thread: what a script without a loader does.

Setting: ``output``. The store is the merged h5ad.
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
    """Open the file; the offsets of rows and the labels are in memory."""
    import h5py
    import numpy as np
    from scipy import sparse

    file = h5py.File(store, "r")
    offsets, indices, data = file["X/indptr"][:], file["X/indices"], file["X/data"]
    n_genes = int(file["X"].attrs["shape"][1])
    labels = {name: file["obs"][name]["codes"][:] for name in request.labels}

    def batches(number: int) -> Iterator[Any]:
        order = np.random.default_rng((request.seed, number)).permutation(len(offsets) - 1)
        for low in range(0, len(order) - request.batch + 1, request.batch):
            rows = order[low : low + request.batch]
            lengths = offsets[rows + 1] - offsets[rows]
            ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
            columns, values = np.empty(ends[-1], np.int32), np.empty(ends[-1], np.float32)
            for i, row in enumerate(rows.tolist()):
                here = np.s_[int(offsets[row]) : int(offsets[row + 1])]
                there = np.s_[int(ends[i]) : int(ends[i + 1])]
                if lengths[i]:
                    indices.read_direct(columns, here, there)
                    data.read_direct(values, here, there)
            counts: Any = sparse.csr_matrix((values, columns, ends), shape=(len(rows), n_genes))
            if settings["output"] == "dense":
                counts = counts.toarray()
            yield counts, {name: codes[rows] for name, codes in labels.items()}

    return harness.Stream(batches=harness.endless(batches), counts=lambda batch: batch[0], codes=lambda batch: batch[1])


if __name__ == "__main__":
    harness.main(prepare, open_stream)

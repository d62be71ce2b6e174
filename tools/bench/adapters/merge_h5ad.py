"""Merge h5ad files to one with all genes, contiguous and uncompressed, which is the fastest form of h5ad.

``merge_h5ad.py prepare SETTINGS DESTINATION SOURCE...``. Peers that take one file, or files of equal genes, get it.
"""

from __future__ import annotations

import sys
from typing import Any

from tools.bench.adapters.harness import LABELS

_STEP = 1 << 24


def prepare(destination: str, sources: list[str]) -> None:
    """Write X as CSR, float32 and int32, and as obs the columns of :data:`LABELS` alone."""
    import h5py
    import numpy as np

    files = [h5py.File(path, "r") for path in sources]
    names = [_strings(file["var"][file["var"].attrs["_index"]]) for file in files]
    genes: dict[str, int] = {}
    for each in names:
        for name in each:
            genes.setdefault(name, len(genes))
    offsets, before = [np.zeros(1, np.int64)], 0
    for file in files:
        offsets.append(file["X/indptr"][1:].astype(np.int64) + before)
        before = int(offsets[-1][-1])
    indptr = np.concatenate(offsets)
    with h5py.File(destination, "w") as out:
        out.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        x = out.create_group("X")
        shape = np.array([len(indptr) - 1, len(genes)])
        x.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
        x["indptr"] = indptr
        data = x.create_dataset("data", (before,), np.float32)
        indices = x.create_dataset("indices", (before,), np.int32)
        at = 0
        for file, each in zip(files, names, strict=True):
            column = np.array([genes[name] for name in each], np.int32)
            starts = file["X/indptr"][:].astype(np.int64)
            # Whole rows at a time: within a row, columns have to ascend in the merged order of genes too.
            bounds = np.unique(
                np.concatenate([np.searchsorted(starts, np.arange(0, starts[-1], _STEP)), [len(starts) - 1]])
            )
            for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                low, high = int(starts[a]), int(starts[b])
                here, values = column[file["X/indices"][low:high]], file["X/data"][low:high]
                row = np.repeat(np.arange(b - a), np.diff(starts[a : b + 1]))
                order = np.argsort(row * len(genes) + here)
                indices[at : at + high - low], data[at : at + high - low] = here[order], values[order]
                at += high - low
        _frame(out, "obs", [f"cell{i}" for i in range(len(indptr) - 1)])
        _frame(out, "var", list(genes))
        for label in LABELS:
            _categorical(out["obs"], label, [file["obs"][label] for file in files])
        for group in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            out.create_group(group).attrs.update({"encoding-type": "dict", "encoding-version": "0.1.0"})


def _strings(dataset: Any) -> list[str]:
    return [str(text) for text in dataset.asstr()[:]]


def _frame(out: Any, name: str, index: list[str]) -> None:
    import h5py

    group = out.create_group(name)
    columns = list(LABELS) if name == "obs" else []
    group.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.2.0", "_index": "_index"})
    group.attrs.create("column-order", columns, dtype=h5py.string_dtype())
    group.create_dataset("_index", data=index, dtype=h5py.string_dtype())
    group["_index"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


def _categorical(obs: Any, name: str, columns: list[Any]) -> None:
    import h5py
    import numpy as np

    texts = [_strings(column["categories"]) for column in columns]
    categories = sorted(set().union(*texts))
    place = {text: i for i, text in enumerate(categories)}
    codes = [
        np.array([place[t] for t in text], np.int32)[column["codes"][:]]
        for text, column in zip(texts, columns, strict=True)
    ]
    group = obs.create_group(name)
    group.attrs.update({"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False})
    group["codes"] = np.concatenate(codes)
    group.create_dataset("categories", data=categories, dtype=h5py.string_dtype())
    group["codes"].attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    group["categories"].attrs.update({"encoding-type": "string-array", "encoding-version": "0.2.0"})


if __name__ == "__main__":
    prepare(sys.argv[3], sys.argv[4:])

"""Convert with this package's command line: ``scformat_store.py convert|count SETTINGS DESTINATION SOURCE...``.

Setting ``arguments``: further arguments of ``scformat convert``.
"""

from __future__ import annotations

import json
import runpy
import sys

_CELLS = 16_384


def count(destination: str) -> dict[str, float]:
    """Cells, non-zeros and their sum in the store."""
    import numpy as np

    import scformat

    store = scformat.open(destination)
    nonzeros, total = 0, 0.0
    for start in range(0, store.n_cells, _CELLS):
        counts = store.read(np.arange(start, min(start + _CELLS, store.n_cells))).csr()
        nonzeros += counts.nnz
        total += float(counts.data.sum(dtype="float64"))
    return {"cells": store.n_cells, "nonzeros": nonzeros, "sum": total}


def main() -> None:
    """Take the action from the command line."""
    action, settings, destination, *sources = sys.argv[1:]
    if action == "convert":
        sys.argv[1:] = ["convert", *sources, destination, *json.loads(settings)["arguments"]]
        runpy.run_module("scformat", run_name="__main__", alter_sys=True)
    else:
        print(json.dumps(count(destination)))


if __name__ == "__main__":
    main()

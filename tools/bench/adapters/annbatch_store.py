"""Convert with annbatch, as its documentation shows: ``add_adatas`` into a zarr collection, with the zarrs codecs.

Runs in annbatch's environment: ``annbatch_store.py convert|count SETTINGS DESTINATION SOURCE...``. Settings:
``dataset_size``, what is shuffled in memory at once (annbatch's own default is 20 GB), and ``seed``.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def convert(settings: dict[str, Any], destination: str, sources: list[str]) -> None:
    """Write the collection; everything not named here is annbatch's default."""
    import numpy as np
    import zarr
    from annbatch import DatasetCollection

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    options = {name: settings[name] for name in ("dataset_size",) if name in settings}
    DatasetCollection(destination).add_adatas(
        sources, shuffle=True, rng=np.random.default_rng(settings.get("seed", 0)), **options
    )


def count(destination: str) -> dict[str, float]:
    """Cells, non-zeros and their sum in the collection."""
    import zarr
    from annbatch import DatasetCollection

    cells = nonzeros = 0
    total = 0.0
    for group in DatasetCollection(zarr.open_group(destination, mode="r")):
        data = group["X"]["data"]
        cells += group["X"]["indptr"].shape[0] - 1
        nonzeros += data.shape[0]
        step = max(data.chunks[0], 1 << 24)
        for start in range(0, data.shape[0], step):
            total += float(data[start : start + step].sum(dtype="float64"))
    return {"cells": cells, "nonzeros": nonzeros, "sum": total}


def main() -> None:
    """Take the action from the command line."""
    action, settings, destination, *sources = sys.argv[1:]
    if action == "convert":
        convert(json.loads(settings), destination, sources)
    else:
        print(json.dumps(count(destination)))


if __name__ == "__main__":
    main()

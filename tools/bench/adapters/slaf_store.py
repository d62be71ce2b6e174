"""Convert with SLAF, as its documentation shows.

Runs in SLAF's environment: ``slaf_store.py convert|count SETTINGS DESTINATION SOURCE...``. SLAF refuses sources
whose genes or obs columns differ and its documentation says to merge them first with ``anndata``'s
``concat_on_disk``; that is part of the conversion here, unless the setting ``merge`` is false: then each source
becomes a data set of its own. Setting ``chunk_size``: cells a chunk, SLAF's own default is 5,000.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def convert(settings: dict[str, Any], destination: str, sources: list[str]) -> None:
    """Write one data set, or one a source; everything not named here is SLAF's default."""
    from slaf.data import SLAFConverter

    options = {name: settings[name] for name in ("chunk_size",) if name in settings}
    if settings.get("merge", True) and len(sources) > 1:
        from anndata.experimental import concat_on_disk

        merged = f"{destination}.merged.h5ad"
        start = time.perf_counter()
        concat_on_disk(sources, merged, join="outer", index_unique="-")
        print(json.dumps({"merge_s": time.perf_counter() - start}), flush=True)
        SLAFConverter(**options).convert(merged, destination)
        Path(merged).unlink()
        return
    Path(destination).mkdir()
    for source in sources:
        SLAFConverter(**options).convert(source, str(Path(destination) / f"{Path(source).stem}.slaf"))


def count(destination: str) -> dict[str, float]:
    """Cells, non-zeros and their sum in the data sets."""
    import lance

    cells = nonzeros = 0
    total = 0.0
    for path in [p.parent for p in Path(destination).rglob("expression.lance")]:
        expression = lance.dataset(str(path / "expression.lance"))
        cells += lance.dataset(str(path / "cells.lance")).count_rows()
        nonzeros += expression.count_rows()
        for batch in expression.to_batches(columns=["value"]):
            total += float(batch.column(0).to_numpy(zero_copy_only=False).sum(dtype="float64"))
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

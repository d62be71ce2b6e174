"""What loading from an object store is held against: the same batches as from a directory, requests, rounds, rates."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scformat
from scformat.loading.window import costs, read_window
from scformat.torch import CellLoader
from tools.remote.proxy import Faults

if TYPE_CHECKING:
    from scformat.store import Store
    from scformat.torch import Batch
    from tools.remote.proxy import Proxy, Request

TABLE = "cell_type:balanced"
BATCH = 128
BLOCK = 64


def compare(local: str, remote: str, between: Proxy, faults: Faults, *, plan: str, batches: int) -> dict[str, Any]:
    """Hold batches of a remote store against those of the local one, and count what they took.

    Raises
    ------
    ValueError
        A batch differs.
    """
    loaders = [_loader(scformat.open(place), plan, batches) for place in (local, remote)]
    between.forget()
    between.faults = faults
    begun = time.perf_counter()
    n = 0
    for number, (one, other) in enumerate(zip(*loaders, strict=True)):
        if not same(one, other):
            raise ValueError(f"batch {number} of plan {plan} differs")
        n += 1
    seconds = time.perf_counter() - begun
    between.faults = Faults()
    made = between.requests
    return {
        "plan": plan,
        "batches": n,
        "equal": n,
        "cells": n * BATCH,
        "seconds": round(seconds, 1),
        "requests": len(made),
        "of_counts": len(_counts(made)),
        "failed": sum(r.fault == "error" for r in made),
        "truncated": sum(r.fault == "truncated" for r in made),
        "bytes": sum(r.bytes for r in made),
        "most_at_once": between.most,
    }


def _loader(store: Store, plan: str, batches: int) -> CellLoader:
    return CellLoader(
        store, table=TABLE, plan=plan, batch_size=BATCH, block=BLOCK, steps_per_epoch=batches, output="csr",
        labels=["cell_type"], seed=7,
    )  # fmt: skip


def same(one: Batch, other: Batch) -> bool:
    """Tell whether two batches hold the same."""
    if one.x is None or other.x is None:
        return False
    pairs = [
        (one.rows, other.rows),
        (one.source, other.source),
        (one.total_counts, other.total_counts),
        (one.labels["cell_type"], other.labels["cell_type"]),
        (one.x.crow_indices(), other.x.crow_indices()),
        (one.x.col_indices(), other.x.col_indices()),
        (one.x.values(), other.x.values()),
    ]
    return all(torch.equal(a, b) for a, b in pairs)


def rounds(remote: str, between: Proxy, *, draws: int, windows: int) -> list[dict[str, int]]:
    """Count the rounds of windows of independent draws, the first of them by a reader that knows nothing yet.

    As many requests as there are may be under way together, so that none waits but for the answer of another.
    """
    os.environ["SCFORMAT_REQUESTS"] = "4096"
    store = scformat.open(remote)
    drawn = np.random.default_rng(0)
    found = []
    for _ in range(windows):
        between.forget()
        between.faults = Faults(hold=0.5)
        read_window(store, drawn.integers(0, store.n_cells, draws), labels=["cell_type"])
        between.faults = Faults()
        found.append(
            {"draws": draws, "rounds": len({r.round for r in between.requests}), "requests": len(between.requests)}
        )
    del os.environ["SCFORMAT_REQUESTS"]
    return found


def epochs(remote: str, between: Proxy, cache: str, *, batches: int) -> list[dict[str, Any]]:
    """Count the requests of two epochs over the same cells, by readers of their own that share a cache."""
    found = []
    for _ in range(2):
        between.forget()
        begun = time.perf_counter()
        loader = _loader(scformat.open(remote, cache=cache), "independent", batches)
        cells = sum(len(batch.rows) for batch in loader)
        seconds = time.perf_counter() - begun
        made = between.requests
        roots = sum(r.path.endswith("/atlas.cells/zarr.json") for r in made)
        found.append(
            {"cells": cells, "seconds": round(seconds, 1), "requests": len(made), "of_the_root": roots,
             "bytes": sum(r.bytes for r in made)}
        )  # fmt: skip
    return found


def runs(remote: str, between: Proxy, *, number: int) -> dict[str, int]:
    """Count requests of counts for runs of cells that lie far apart."""
    store = scformat.open(remote)
    starts = np.linspace(0, store.n_cells - BLOCK, number).astype(np.int64)
    rows = (starts[:, None] + np.arange(BLOCK)).ravel()
    planned = costs(store, rows).requests
    between.forget()
    read_window(store, rows)
    return {
        "runs": number,
        "cells": len(rows),
        "requests_of_counts": len(_counts(between.requests)),
        "planned": planned,
    }


def rates(remote: str, between: Proxy, *, at_once: list[int], latency: float, draws: int) -> list[dict[str, Any]]:
    """Measure independent draws a second against the requests that may be under way together."""
    found = []
    for limit in at_once:
        os.environ["SCFORMAT_REQUESTS"] = str(limit)
        store = scformat.open(remote)
        drawn = np.random.default_rng(1)
        read_window(store, drawn.integers(0, store.n_cells, draws))  # the files' own indexes
        between.forget()
        between.faults = Faults(latency=latency)
        begun = time.perf_counter()
        read_window(store, drawn.integers(0, store.n_cells, draws))
        seconds = time.perf_counter() - begun
        between.faults = Faults()
        found.append(
            {
                "at_once": limit,
                "seconds": round(seconds, 3),
                "cells_a_second": round(draws / seconds, 1),
                "requests": len(between.requests),
                "requests_a_second": round(len(between.requests) / seconds, 1),
                "most_at_once": between.most,
            }
        )
    del os.environ["SCFORMAT_REQUESTS"]
    return found


def _counts(made: list[Request]) -> list[Request]:
    return [r for r in made if "/entries/" in r.path and not r.fault]

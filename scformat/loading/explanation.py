"""What a window costs, how fast batches come, and what would make them cheaper."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scformat.loading.batches import Arrays
    from scformat.loading.schedule import Step
    from scformat.loading.window import Costs
    from scformat.sampling.plans import Plan
    from scformat.store import Store

MANY_CHUNKS = 1.5
"""Chunks a cell, of cells that fill less than one: most of what is decoded is then thrown away."""


def measure_rate(stream: Iterator[tuple[Step, Arrays, Any]]) -> float:
    """Return cells a second of batches as they are delivered, the wait for the first one included."""
    begun = time.perf_counter()
    cells = sum(len(step.rows) for step, *_ in stream)
    return cells / (time.perf_counter() - begun)


def advice(store: Store, plan: Plan, found: Costs, *, cut: bool) -> str | None:
    """Say what to do where a run of draws takes many chunks a cell; None where it does not.

    Parameters
    ----------
    found
        Costs of the run.
    cut
        The run is a part of a window, of which no more fits in memory.
    """
    manifest = store.manifest
    chunk = manifest.parts[0].entries.chunk[1] if manifest.parts else 1
    filled = manifest.n_entries / max(manifest.n_cells, 1) / chunk
    each = found.chunks / max(found.cells, 1)
    if each <= MANY_CHUNKS * max(1.0, filled):
        return None
    text = f"{each:.2f} chunks are decoded for every cell"
    if plan.name == "independent":
        return f"{text}: independent draws lie apart; in a store of stratified order plan='stratified' reads runs"
    if cut:
        return f"{text}: the window is cut to what fits in memory; give more memory"
    shape = plan.shape
    larger = f" or block={64}" if shape.block < 64 else ""
    return (
        f"{text}: in a window of {shape.window:,} draws few cells of a stratum lie together; scale the window, "
        f"for example window={4 * shape.window}{larger}"
    )

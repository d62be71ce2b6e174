"""One case of the sweep, in a process of its own: a store of another layout made, or loads or codecs measured.

``sweep_case.py REQUEST.json RESULT.json``. The layout is set before anything that takes it over is imported: no option
of the package does it, since a store of other sizes is one that nobody has tested.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

_STEPS = 1 << 33
_BATCH = 128
_BATCHES = 64
"""Whose entropy is measured."""
_CHUNKS = 1024
"""That each codec compresses."""


def main() -> None:
    """Do what the request says."""
    request = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    if "layout" in request:
        _convert(request)
    result: dict[str, Any] = {"loads": [_load(request, load) for load in request.get("loads", ())]}
    if request.get("codecs"):
        result["codecs"] = _codecs(request)
    files = [path for path in Path(request["store"]).rglob("*") if path.is_file()]
    result |= {"bytes": sum(path.stat().st_size for path in files), "files": len(files)}
    Path(sys.argv[2]).write_text(json.dumps(result), "utf-8")


def _convert(request: dict[str, Any]) -> None:
    from scformat import layout

    chunk, shard = request["layout"]
    layout.ENTRY_CHUNK, layout.ENTRY_SHARD = chunk, shard
    layout.cut_shards.__kwdefaults__["capacity"] = shard
    import scformat

    scformat.convert(request["sources"], request["store"], stratify_by=["cell_type"], overwrite=True)


def _load(request: dict[str, Any], load: dict[str, Any]) -> dict[str, Any]:
    """Measure a rate, what a run of draws takes, and how mixed its batches are."""
    from scformat.benchmark import _next_run, measure_loader
    from scformat.loading.window import costs
    from scformat.torch import CellLoader

    loader = CellLoader(
        request["store"], batch_size=_BATCH, output="csr", labels=["donor_id"], seed=request["seed"],
        steps_per_epoch=_STEPS, **load,
    )  # fmt: skip
    rate, processor = measure_loader(loader, seconds=request["seconds"])
    found = costs(loader.store, _next_run(loader))
    batches = iter(loader)
    entropy = float(np.mean([_entropy(next(batches).labels["donor_id"].numpy()) for _ in range(_BATCHES)]))
    return {
        **load,
        "cells_per_second": rate,
        "cpu_us": 1e6 * processor,
        "chunks_a_cell": found.chunks / found.draws,
        "requests_a_cell": found.requests / found.draws,
        "bytes_a_cell": found.bytes / found.draws,
        "donor_entropy": entropy,
    }


def _entropy(codes: np.ndarray[Any, Any]) -> float:
    shares = np.unique(codes, return_counts=True)[1] / len(codes)
    return float(-(shares * np.log2(shares)).sum())


def _codecs(request: dict[str, Any]) -> list[dict[str, Any]]:
    """Compress chunks of a store with several codecs; c-blosc decompresses all, and the package's kernel its own."""
    from numcodecs import blosc

    import scformat
    from scformat.codec import encode_chunk
    from scformat.native import decode_chunks

    blosc.use_threads = False
    store = scformat.open(request["store"])
    entries = store.manifest.parts[0].entries
    there = min(store.manifest.n_entries, entries.shard[1] // 2) // entries.chunk[1]  # a shard need not be full
    plain = store._storage.read_chunks(entries, np.arange(min(_CHUNKS, there)))
    n = plain[:, 0].size
    out = np.empty_like(plain)
    rows = []
    for name, level, shuffle in request["codecs"]:
        code = {"bit": blosc.BITSHUFFLE, "byte": blosc.SHUFFLE, "none": blosc.NOSHUFFLE}[shuffle]
        packed = [blosc.compress(chunk, name.encode(), level, code, 0) for chunk in plain]

        def decompress(packed: list[bytes] = packed) -> None:
            for piece, chunk in zip(packed, out, strict=True):
                blosc.decompress(piece, chunk)

        size = sum(map(len, packed)) / n
        rows.append(
            {"codec": f"{name} {level}, {shuffle}", "bytes_an_entry": size, "ns_an_entry": _least(decompress, n)}
        )
    own = [encode_chunk(chunk) for chunk in plain]
    lengths = np.array([len(piece) for piece in own])
    data = np.frombuffer(b"".join(own), np.uint8)
    offsets = np.cumsum(lengths) - lengths
    rows.append(
        {
            "codec": "lz4 5, bit: this package",
            "bytes_an_entry": len(data) / n,
            "ns_an_entry": _least(lambda: decode_chunks(data, offsets, lengths, out), n),
        }
    )
    return rows


def _least(do: Any, n: int) -> float:
    """Return the least nanoseconds of processor time for each of n entries, of five times."""
    taken = []
    for _ in range(6):
        begun = time.thread_time_ns()
        do()
        taken.append(time.thread_time_ns() - begun)
    return min(taken[1:]) / n


if __name__ == "__main__":
    main()

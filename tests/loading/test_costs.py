"""What loading costs, counted: nothing here looks at a clock, and each limit is what a slower way would pass.

The limits leave a fifth or more beyond what was counted when they were set.
"""

from __future__ import annotations

import platform
import re
import tracemalloc
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is an extra")

from calls import calls_of, watched

import scformat
from scformat import native
from scformat.loading import kernels
from scformat.loading.schedule import runs
from scformat.loading.window import _Reader, costs
from scformat.torch import CellLoader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from scformat.store import Store

N, BATCH, WINDOW = 3000, 128, 4096
BATCHES = WINDOW // BATCH
CALLS_A_BATCH = {"csr": 104, "dense": 92}
"""Python functions and those of C that the interpreter calls for a batch, its share of reading included."""
FRESH = 0.1
"""Memory that is new for a batch, as a share of the batch; where a window begins there is more, for its records."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("costs")
    files = scformat.simulate(folder / "h5", cells=N, studies=2, genes=4000, seed=3)
    return scformat.convert(files, folder / "a.cells", stratify_by=["cell_type"], jobs=1)


def loader(store: Store, output: Any = "csr") -> CellLoader:
    return CellLoader(
        store, batch_size=BATCH, table="cell_type:balanced", plan="stratified", labels=["cell_type"], output=output,
        window=WINDOW, block=16, threads=0, steps_per_epoch=8 * BATCHES,
    )  # fmt: skip


def take(batches: Iterator[Any], n: int = BATCHES) -> None:
    for _ in range(n):
        next(batches)


@pytest.mark.parametrize("output", ["csr", "dense"])
def test_a_batch_takes_few_calls(store: Store, output: str) -> None:
    batches = iter(loader(store, output))
    take(batches)  # compiles, and fills what is kept
    calls = calls_of(lambda: take(batches))
    assert calls.total() / BATCHES < CALLS_A_BATCH[output], calls.most_common(20)


def test_a_window_decodes_and_asks_for_what_it_needs_once(store: Store) -> None:
    made = loader(store)
    begin, stop = made._share.pass_of(made.plan, 0)
    coming = runs(made.plan, made._share, begin, stop, most=made._most)
    second = next(run for run in coming if run[0].positions[0] >= WINDOW)  # the first one is read in pieces
    rows = np.concatenate([step.rows for step in second])
    assert len(rows) == WINDOW
    needed = costs(store, rows)
    batches = iter(made)
    take(batches)
    chunk = store.manifest.parts[0].entries.chunk
    of_counts = of_records = ranges = 0

    def told(frame: FrameType, event: str, what: Any) -> None:
        nonlocal of_counts, of_records, ranges
        if event == "return" and frame.f_code is _Reader._decode.__code__:
            places = frame.f_locals
            of_counts += places["last"] - places["first"] + 1  # each in its turn, as rows ascend
        elif event == "call" and frame.f_code is native.decode_chunks.__code__:
            out = frame.f_locals["out"]
            of_records += len(out) if list(out.shape[1:]) != list(chunk) else 0
        elif event == "call" and frame.f_code is native.read_ranges.__code__:
            ranges += len(frame.f_locals["starts"])

    watched(lambda: take(batches), told)
    # A chunk that two pieces share is decoded for both.
    assert needed.chunks <= of_counts <= 1.05 * needed.chunks + 2
    assert ranges <= needed.requests + of_records
    assert needed.requests < needed.chunks


@pytest.mark.parametrize("output", ["csr", "dense"])
def test_batches_are_made_in_memory_that_was_used_before(store: Store, output: str) -> None:
    batches = iter(loader(store, output))
    for _ in range(2):
        take(batches)
    x = next(batches).x
    size = 8 * x.values().numel() if output == "csr" else 4 * x.numel()
    del x
    take(batches, BATCHES - 1)
    tracemalloc.start()
    try:
        fresh = []
        for _ in range(BATCHES):
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            next(batches)
            fresh.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert (sum(fresh) - max(fresh)) / BATCHES < FRESH * size


PACKED = {
    # sums of 16-bit gaps; gaps and counts made wider; lines fetched before they are written to; bits chosen
    "x86_64": [
        ("pack_rows", r"v?p(or|ternlog)\w*\s"),
        ("expand_row", r"v?(pmovzxwd|punpck[lh]wd)\s"),
        ("expand_row", r"prefetch(w|t0)\s"),
        ("_unshuffle", r"[xyz]mm"),
    ],
    "aarch64": [
        ("pack_rows", r"\.8h"),
        ("expand_row", r"\.4s"),
        ("expand_row", r"prfm\s+pst"),
        ("_unshuffle", r"\.16b"),
    ],
}
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())


@pytest.mark.skipif(MACHINE not in PACKED, reason=f"what vectors look like on {MACHINE} is not known here")
@pytest.mark.parametrize(("name", "instruction"), PACKED.get(MACHINE, []))
def test_kernels_are_made_of_vectors(name: str, instruction: str) -> None:
    of = numba.types
    words, places = of.uint16[::1], of.int64[::1]
    signatures = {
        "pack_rows": (
            of.uint16[:, :, ::1],
            of.none,
            places,
            places,
            of.int64,
            of.int64,
            words,
            places,
            places,
            places,
            of.int32[::1],
        ),
        "expand_row": (words, of.int64, of.int64, of.int64, of.int32[::1], of.float32[::1], of.int64),
        "_unshuffle": (of.uint8[::1], of.uint8[::1]),
    }
    function = getattr(native if name == "_unshuffle" else kernels, name).py_func
    compiled = numba.njit(nogil=True)(function)  # anew: one from the cache has no assembly
    compiled.compile(signatures[name])
    (asm,) = compiled.inspect_asm().values()
    found = len(re.findall(instruction, asm))
    assert found >= 3, f"{found} vector instructions"

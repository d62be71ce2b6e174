"""Options of a loader, checked once: sizes, numbers of things, ranks, the shape of a stream and its temperatures."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Real
from typing import TYPE_CHECKING, Any

from scformat.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.store import Store

WINDOW, LANES, BLOCK = 65_536, 8, 64
BLOCK_OF_SETS = 16
"""A set of 64 cells is then from four places, for a twentieth more chunks than from one."""
PACKED_BYTES = 2.2
"""Of an entry of counts that is held, on average."""
RECORD_BYTES = 64
"""Of a held cell besides."""


def check_number(what: str, code: str, given: object, *, least: int = 1) -> int:
    """Return a whole number of at least `least`, or refuse what is none with the code `code`."""
    if type(given) is not int or given < least:
        raise UsageError(code, f"not a {what}", expected=f"{least} or more", found=repr(given))
    return given


def cells_held(store: Store, memory: int) -> int:
    """Cells of which two runs, one in use and one being read, fit in `memory` bytes."""
    a_cell = PACKED_BYTES * store.manifest.n_entries / max(store.n_cells, 1) + RECORD_BYTES
    return max(1, int(memory / 2 / a_cell))


def number_of_threads(threads: int | None) -> int:
    """Return a number of threads; None: one a processor that this process may use."""
    if threads is None:
        return len(os.sched_getaffinity(0))
    return check_number("number of threads", "bad-threads", threads, least=0)


def check_rank(rank: int | None, world_size: int | None) -> tuple[int, int] | None:
    """Return a rank and the number of ranks, None where neither is given.

    Raises
    ------
    UsageError
        ``bad-rank``.
    """
    if rank is None and world_size is None:
        return None
    if rank is None or world_size is None:
        raise UsageError("bad-rank", "rank and world_size belong together", found=f"{rank} and {world_size}")
    if world_size < 1 or not 0 <= rank < world_size:
        raise UsageError("bad-rank", "no such rank", expected=f"0 to {world_size - 1}", found=rank)
    return rank, world_size


def default_plan(store: Store, *, weighted: bool) -> str:
    """Return the plan that the order of a store serves."""
    if not weighted:
        return "epoch"
    return "stratified" if all(p.order.kind == "stratified" for p in store.manifest.parts) else "independent"


def stream_shape(
    plan: str, *, window: int | None, lanes: int | None, block: int | None, world_size: int, size: int | None = None
) -> dict[str, Any]:
    """Window, lanes and block of a stream, with `size` one of sets of so many cells.

    Independent draws know no blocks, so theirs are always the same.
    """
    if plan == "independent":
        unit = 1 if size is None else LANES * size
        return {"window": -(-WINDOW // unit) * unit if window is None else window}
    lanes = max(LANES, world_size) if lanes is None else lanes
    block = (BLOCK if size is None else BLOCK_OF_SETS) if block is None else block
    sound = all(type(x) is int and x > 0 for x in (lanes, block))
    unit = lanes * (block if size is None else size) if sound else 1
    return {"window": -(-WINDOW // unit) * unit if window is None else window, "lanes": lanes, "block": block}


def schedule_of(
    temperature: float | Sequence[tuple[int, float]], *, stride: int, window: int
) -> tuple[tuple[int, float], ...]:
    """Return the first position and the temperature of each piece of a stream.

    Parameters
    ----------
    temperature
        One; or pairs of a step, ascending from 0, and the temperature from there on.
    stride
        Positions a step, over all ranks.
    window
        Positions a window. A piece begins with the first window that begins at its step or after it.

    Raises
    ------
    UsageError
        ``bad-schedule``.
    """
    if isinstance(temperature, Real):
        return ((0, float(temperature)),)
    pieces: list[Any] = list(temperature) if isinstance(temperature, Iterable) else []
    sound = all(isinstance(p, list | tuple) and len(p) == 2 for p in pieces)
    sound = sound and all(isinstance(step, int) and isinstance(of, Real) for step, of in pieces)
    steps = [step for step, _ in pieces] if sound else []
    if not steps or steps[0] != 0 or steps != sorted(set(steps)):
        raise UsageError(
            "bad-schedule",
            "not a schedule of temperatures",
            expected="pairs of a step, ascending from 0, and a temperature: [(0, 1.0), (10000, 3.0)]",
            found=repr(temperature),
        )
    starts = [-(-step * stride // window) * window for step in steps]
    for step, start, after in zip(steps, starts, starts[1:], strict=False):
        if start == after:
            raise UsageError(
                "bad-schedule",
                "two temperatures begin with the same window",
                expected=f"steps {-(-window // stride)} apart, in windows of {window} draws",
                found=f"step {step} and the next",
                hint="use a smaller window, or fewer steps",
            )
    return tuple((start, float(of)) for start, (_, of) in zip(starts, pieces, strict=True))

"""Sets from their written description alone: Python integers, one cell at a time, nothing of the package.

Run as a program it writes ``set_vectors.json`` beside itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import slow_reference as slow


def place(seed: int, domain: int, order: int, c: int, o: int, n: int, block: int) -> int:
    """The cell at a place of an order of a stratum [SAM-51]."""
    full = n // block
    g = o // block
    if g < full:
        g = slow.permutation(full, seed, domain, order, c, only=g)[0]
    rho = slow.u64(slow.p(seed, domain, order, (1 << 31) + c)) * n >> 64
    return (block * g + o % block + rho) % n


def cells(seed: int, domain: int, order: int, c: int, first: int, n: int, size: int, block: int) -> list[int]:
    return [place(seed, domain, order, c, (first + i) % n, n, block) for i in range(size)]


def stratum_at(seed: int, s: int, plan: str, q: list[int], counts: list[int], size: int, shape: list[int]) -> Any:
    """Stratum, order and first place of a set."""
    window, lanes, _ = shape
    if plan == "independent":
        return slow.draw(seed, s, q, counts)[0], s, 0
    if plan == "stratified":
        n = window // size
        w, u = divmod(s, n)
        first, last = slow.quotas(seed, w * n, q), slow.quotas(seed, (w + 1) * n, q)
        slots = [(c, a) for c in range(len(q)) for a in range(first[c], last[c])]
        c, a = slots[slow.order(seed, w, n, lanes, 1)[u]]
        an_order = max(1, counts[c] // size)
        return c, a // an_order, a % an_order * size
    slots = [(c, a) for c in range(len(q)) if q[c] for a in range(-(-counts[c] // size))]
    epoch, u = divmod(s, len(slots))
    c, a = slots[slow.permutation(len(slots), seed, 6, epoch, 0, only=u)[0]]
    return c, epoch, a * size


def one(seed: int, s: int, plan: str, q: list[int], case: dict[str, Any]) -> list[Any]:
    """Number, stratum, cells, the places of those that fill up, and control cells of a set."""
    counts, size = case["counts"], case["size"]
    c, order, first = stratum_at(seed, s, plan, q, counts, size, case["shape"])
    block = 1 if plan == "independent" else case["shape"][2]
    found = cells(seed, 13, order, c, first, counts[c], size, block)
    extra = [i for i in range(size) if plan == "epoch" and first + i >= counts[c]]
    g = case["group"][c]
    return [s, c, found, extra, g, cells(seed, 14, s, g, 0, case["control_counts"][g], size, block)]


CASES: list[dict[str, Any]] = [
    {"weights": [1.0], "counts": [7], "size": 3, "shape": [24, 2, 2], "group": [0], "control_counts": [2]},
    {
        "weights": [1.0, 0.0, 2.0, 1.0],
        "counts": [300, 5, 1, 17],
        "size": 8,
        "shape": [128, 4, 4],
        "group": [1, 0, 0, 1],
        "control_counts": [1000, 3],
    },
    {
        "weights": [1 / (c + 1) for c in range(23)],
        "counts": [(c * c * 97) % 900 + 1 for c in range(23)],
        "size": 16,
        "shape": [512, 8, 16],
        "group": [c % 3 for c in range(23)],
        "control_counts": [70, 16, 1 << 31],
    },
    {"weights": [1.0, 1.0], "counts": [1 << 31, 700], "size": 64, "shape": [128, 1, 1], "group": [0, 0],
     "control_counts": [65]},
]  # fmt: skip
SEEDS = [0, 7, (1 << 64) - 1, 1234]
NUMBERS = [0, 1, 2, 5, 31, 32, 77, 1000, (1 << 32) + 3, (1 << 50) + 1]


def vectors() -> list[dict[str, Any]]:
    out = []
    for case, seed in zip(CASES, SEEDS, strict=True):
        q = slow.masses(case["weights"])
        plans = {"independent": NUMBERS, "stratified": NUMBERS}
        if max(case["counts"]) < 1 << 20:
            plans["epoch"] = NUMBERS
        made = {plan: [one(seed, s, plan, q, case) for s in numbers] for plan, numbers in plans.items()}
        out.append({**case, "seed": seed, "sets": made})
    return out


if __name__ == "__main__":
    Path(__file__).with_name("set_vectors.json").write_text(json.dumps(vectors(), separators=(",", ":")) + "\n")

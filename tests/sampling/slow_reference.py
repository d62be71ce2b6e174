"""The drawing of cells from its written description alone: Python integers, one at a time, nothing of the package.

Run as a program it writes ``vectors.json`` beside itself.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

MASK = (1 << 32) - 1


def philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> tuple[int, int, int, int]:
    a, b, c, d = counter
    k, q = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (p1 >> 32) ^ b ^ k, p1 & MASK, (p0 >> 32) ^ d ^ q, p0 & MASK
        k, q = (k + 0x9E3779B9) & MASK, (q + 0xBB67AE85) & MASK
    return a, b, c, d


def p(seed: int, domain: int, i: int, j: int) -> tuple[int, int, int, int]:
    return philox((i & MASK, i >> 32, j, domain), (seed & MASK, seed >> 32))


def u64(words: tuple[int, ...]) -> int:
    return words[0] + (words[1] << 32)


def s(seed: int, domain: int, i: int, j: int, m: int) -> int:
    return p(seed, domain + 256 * (m // 4), i, j)[m % 4]


def fmix32(h: int) -> int:
    h ^= h >> 16
    h = h * 0x85EBCA6B & MASK
    h ^= h >> 13
    h = h * 0xC2B2AE35 & MASK
    return h ^ (h >> 16)


def permutation(n: int, seed: int, domain: int, i: int, j: int, only: int | None = None) -> list[int]:
    """All images, or, as a list of one, that of `only`."""
    if n <= 256:
        out = list(range(n))
        for m, x in enumerate(range(n - 1, 0, -1)):
            y = s(seed, domain, i, j, m) * (x + 1) >> 32
            out[x], out[y] = out[y], out[x]
        return out if only is None else [out[only]]
    keys = [s(seed, domain, i, j, r) for r in range(8)]
    return [feistel(k, n, keys) for k in (range(n) if only is None else [only])]


def feistel(k: int, n: int, keys: list[int]) -> int:
    bits = (n - 1).bit_length()
    right_bits = (bits + 1) // 2
    left_bits = bits - right_bits
    while True:
        left, right = k >> right_bits, k & ((1 << right_bits) - 1)
        for r in range(8):
            if r % 2 == 0:
                left ^= fmix32(right ^ keys[r]) & ((1 << left_bits) - 1)
            else:
                right ^= fmix32(left ^ keys[r]) & ((1 << right_bits) - 1)
        k = left << right_bits | right
        if k < n:
            return k


def ceil_log2(n: int) -> int:
    b = 0
    while 1 << b < n:
        b += 1
    return b


def nearest(x: Fraction) -> float:
    """Binary64 nearest to a rational: Python's own division of integers is correctly rounded."""
    return x.numerator / x.denominator


def masses(weights: list[float]) -> list[int]:
    bits = 32 + ceil_log2(len(weights))
    top, e = max(weights), 0
    while top >= 1:
        top, e = top / 2, e + 1
    while top < 0.5:
        top, e = top * 2, e - 1
    scaled = [nearest(Fraction(w) / Fraction(2) ** e) for w in weights]
    total = nearest(sum((Fraction(v) for v in scaled), Fraction(0)))
    out = []
    for w, v in zip(weights, scaled, strict=True):
        share = nearest(Fraction(v) / Fraction(total))
        q = int(Fraction(share) * (1 << bits))
        out.append(max(q, 1) if w > 0 else q)
    out[out.index(max(out))] += (1 << bits) - sum(out)
    return out


def alias(q: list[int]) -> tuple[list[int], list[int]]:
    n = 1 << ceil_log2(len(q))
    full = 1 << 32
    rest = q + [0] * (n - len(q))
    threshold, other = [full] * n, list(range(n))
    small: list[int] = []
    large: list[int] = []
    for j in reversed(range(n)):
        if rest[j] < full:
            small.append(j)
        elif rest[j] > full:
            large.append(j)
    while small:
        low, high = small.pop(), large.pop()
        threshold[low], other[low] = rest[low], high
        rest[high] -= full - rest[low]
        if rest[high] < full:
            small.append(high)
        elif rest[high] > full:
            large.append(high)
    return threshold, other


def draw(seed: int, t: int, q: list[int], counts: list[int]) -> tuple[int, int]:
    bits = 32 + ceil_log2(len(q))
    threshold, other = alias(q)
    w = p(seed, 1, t, 0)
    j = 0 if len(q) == 1 else w[0] >> (64 - bits)
    c = j if w[1] < threshold[j] else other[j]
    return c, (w[2] + (w[3] << 32)) * counts[c] >> 64


def quotas(seed: int, t: int, q: list[int]) -> list[int]:
    bits = 32 + ceil_log2(len(q))
    phi = [u64(p(seed, 2, 0, c)) >> (64 - bits) for c in range(len(q))]

    def a(c: int, x: int) -> int:
        return (x * q[c] + phi[c]) >> bits

    def total(x: int) -> int:
        return sum(a(c, x) for c in range(len(q)))

    x = max(0, t - len(q))
    while total(x + 1) <= t:
        x += 1
    out = [a(c, x) for c in range(len(q))]
    rest = t - sum(out)
    for c in range(len(q)):
        if rest and a(c, x + 1) > out[c]:
            out[c] += 1
            rest -= 1
    return out


def cell(seed: int, c: int, number: int, n: int, block: int) -> int:
    e, o = divmod(number, n)
    m = n // block
    place = o // block
    if place < m:
        place = permutation(m, seed, 3, e, c, only=place)[0]
    rho = u64(p(seed, 5, e, c)) * n >> 64
    return (block * place + o % block + rho) % n


def order(seed: int, number: int, n: int, lanes: int, block: int) -> list[int]:
    whole = n - n % (lanes * block)
    pis = [permutation(whole // lanes, seed, 6, number, lane) for lane in range(lanes)]
    last = permutation(n - whole, seed, 6, number, lanes)
    out = []
    for u in range(n):
        if u < whole:
            lane = u % lanes
            i = pis[lane][u // lanes]
            out.append(i // block * block * lanes + block * lane + i % block)
        else:
            out.append(whole + last[u - whole])
    return out


def stratified_window(
    seed: int, number: int, q: list[int], counts: list[int], window: int, lanes: int, block: int
) -> list[tuple[int, int]]:
    first, last = quotas(seed, number * window, q), quotas(seed, (number + 1) * window, q)
    slots = [
        (c, k)
        for c in range(len(q))
        for k in sorted(cell(seed, c, number_in, counts[c], block) for number_in in range(first[c], last[c]))
    ]
    return [slots[slot] for slot in order(seed, number, window, lanes, block)]


def epoch_window(seed: int, number: int, n: int, window: int, lanes: int, block: int) -> list[int]:
    epoch, w = divmod(number, -(-n // window))
    low, high = w * window, min((w + 1) * window, n)
    slots = sorted(cell(seed, 0, epoch * n + u, n, block) for u in range(low, high))
    return [slots[slot] for slot in order(seed, number, high - low, lanes, block)]


TABLES: list[dict[str, Any]] = [
    {"weights": [1.0], "counts": [7]},
    {"weights": [1.0, 1.0], "counts": [300, 2]},
    {"weights": [0.3, 0.0, 0.7], "counts": [10, 4, 100_000]},
    {"weights": [1.0] * 4, "counts": [1, 2, 3, 20_000]},
    {"weights": [5e-324, 1.0, 1e300], "counts": [1, 1, 1 << 31]},
    {"weights": [1 / (c + 1) for c in range(37)], "counts": [(c * c * 97) % 5000 + 1 for c in range(37)]},
    {"weights": [float(c % 7) for c in range(100)], "counts": [64 * (c % 11) + 1 for c in range(100)]},
]
SEEDS = [0, 7, (1 << 64) - 1]
POSITIONS = [0, 1, 2, 63, 1000, (1 << 32) - 1, 1 << 32, (1 << 53) + 5]


def vectors() -> dict[str, Any]:
    tables = []
    for number, table in enumerate(TABLES):
        seed = SEEDS[number % len(SEEDS)]
        q, counts = masses(table["weights"]), table["counts"]
        threshold, other = alias(q)
        shape = (512, 4, 8) if number % 2 else (256, 2, 64)
        tables.append(
            {
                **table,
                "seed": seed,
                "masses": q,
                "threshold": threshold,
                "alias": other,
                "draws": [[t, *draw(seed, t, q, counts)] for t in POSITIONS],
                "quotas": [[t, quotas(seed, t, q)] for t in POSITIONS],
                "window": list(shape),
                "stratified": [[w, stratified_window(seed, w, q, counts, *shape)] for w in (0, 3, 1 << 20)],
            }
        )
    cells = [
        [seed, c, n, block, number, cell(seed, c, number, n, block)]
        for seed, c, n, block in [(0, 0, 1, 64), (1, 3, 63, 64), (2, 9, 16_383, 64), (3, 1, 16_449, 64), (4, 5, 700, 1)]
        for number in (0, 1, n - 1, n, 5 * n + n // 2, (1 << 40) + 17)
    ]
    epochs = [
        [seed, n, list(shape), [[w, epoch_window(seed, w, n, *shape)] for w in windows]]
        for seed, n, shape, windows in [
            (5, 1, (128, 2, 64), (0, 1)),
            (6, 1000, (256, 2, 64), (0, 3, 4, 7)),
            (7, 700, (512, 8, 1), (0, 1, 3)),
        ]
    ]
    return {"tables": tables, "cells": cells, "epochs": epochs}


if __name__ == "__main__":
    Path(__file__).with_name("vectors.json").write_text(json.dumps(vectors(), separators=(",", ":")) + "\n")

"""Philox words, streams and permutations against published vectors and a second implementation in plain integers."""

from __future__ import annotations

import math
import subprocess
import sys

import numba
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scformat import random
from scformat.errors import UsageError

MASK = 0xFFFFFFFF
# Random123, kat_vectors, philox4x32 with 10 rounds: counter, key, result.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]

word = st.integers(0, MASK)
long_word = st.integers(0, 2**64 - 1)
domains = st.sampled_from([1, 2, 3, 5, 6, 9, 10, 11, 12, 64, 255])


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 2**32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def plain_words(seed: int, domain: int, i: int, j: int) -> list[int]:
    return plain_philox([i % 2**32, i // 2**32, j, domain], [seed % 2**32, seed // 2**32])


def plain_stream(seed: int, domain: int, i: int, j: int, m: int) -> int:
    return plain_words(seed, domain + 256 * (m // 4), i, j)[m % 4]


def plain_fmix(h: int) -> int:
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def plain_permutation(n: int, place: tuple[int, int, int, int]) -> list[int]:
    if n > 256:
        return [plain_feistel(k, n, place) for k in range(n)]
    order = list(range(n))
    for m, x in enumerate(range(n - 1, 0, -1)):
        y = plain_stream(*place, m) * (x + 1) >> 32
        order[x], order[y] = order[y], order[x]
    return order


def plain_feistel(k: int, n: int, place: tuple[int, int, int, int]) -> int:
    bits = (n - 1).bit_length()
    low_bits = math.ceil(bits / 2)
    x = k
    while True:
        left, right = x >> low_bits, x & ((1 << low_bits) - 1)
        for r in range(8):
            key = plain_stream(*place, r)
            if r % 2 == 0:
                left ^= plain_fmix(right ^ key) & ((1 << bits - low_bits) - 1)
            else:
                right ^= plain_fmix(left ^ key) & ((1 << low_bits) - 1)
        x = left << low_bits | right
        if x < n:
            return x


def uniformity(counts: NDArray[np.int64]) -> float:
    """Chi-square of equal expectations, as standard deviations of the normal it is close to."""
    expected = counts.sum() / len(counts)
    chi2 = float(((counts - expected) ** 2).sum() / expected)
    free = len(counts) - 1
    return float((chi2 - free) / math.sqrt(2.0 * free))


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers(counter: str, key: str, result: str) -> None:
    c, k, expected = ([int(x, 16) for x in text.split()] for text in (counter, key, result))
    assert random.philox4x32(c, k).tolist() == [expected]
    assert [int(x) for x in random.philox(*(np.uint64(x) for x in c + k))] == expected
    assert plain_philox(c, k) == expected
    seed, i = k[0] + 2**32 * k[1], c[0] + 2**32 * c[1]
    assert random.words(seed, c[3], i, c[2]).tolist() == [expected]


def test_vectorised_over_counters_and_keys() -> None:
    rng = np.random.default_rng(0)
    counter = rng.integers(0, 2**32, (50, 4), dtype=np.uint32)
    key = rng.integers(0, 2**32, (50, 2), dtype=np.uint32)
    both = random.philox4x32(counter, key)
    assert both.dtype == np.uint32
    assert both.tolist() == [plain_philox(c, k) for c, k in zip(counter.tolist(), key.tolist(), strict=True)]
    assert random.philox4x32(counter[0], key).tolist() == [plain_philox(counter[0].tolist(), k) for k in key.tolist()]
    assert random.philox4x32(counter, key[0])[7].tolist() == plain_philox(counter[7].tolist(), key[0].tolist())


@settings(deadline=None)
@given(long_word, domains, long_word, word)
def test_words_equal_plain_integers(seed: int, domain: int, i: int, j: int) -> None:
    expected = plain_words(seed, domain, i, j)
    found = random.words(seed, domain, np.array([i, 0], np.uint64), np.array([j, 0], np.uint32))
    assert found.shape == (2, 4)
    assert found[0].tolist() == expected
    assert found[1].tolist() == plain_words(seed, domain, 0, 0)
    wide = expected[0] + 2**32 * expected[1]
    assert random.u64(found)[0] == wide
    assert random.words64(seed, domain, np.array([i], np.uint64), j).tolist() == [wide]
    place = (np.uint64(seed), np.uint64(domain), np.uint64(i), np.uint64(j))
    assert random.u64_at(*place) == wide
    assert [int(x) for x in random.words_at(*place)] == expected


@settings(deadline=None)
@given(long_word, domains, long_word, word, st.integers(0, 40))
def test_stream_equals_plain_integers(seed: int, domain: int, i: int, j: int, n: int) -> None:
    expected = [plain_stream(seed, domain, i, j, m) for m in range(n)]
    assert random.stream(seed, domain, i, j, n).tolist() == expected
    place = (np.uint64(seed), np.uint64(domain), np.uint64(i), np.uint64(j))
    assert [int(random.stream_at(*place, np.uint64(m))) for m in range(n)] == expected


def test_streams_of_two_domains_share_no_word() -> None:
    words = np.concatenate([random.stream(7, domain, 3, 4, 4000) for domain in range(1, 13)])
    # 48,000 words of 2^32: 0.27 equal pairs are expected by chance, thousands if two streams overlapped.
    assert len(words) - len(np.unique(words)) <= 4


def test_stream_ends_where_its_domains_would_repeat() -> None:
    last = random.MAX_STREAM - 1
    assert random.DOMAIN_USER_LAST + 256 * (last // 4) == 2**32 - 1
    place = [np.uint64(x) for x in (1, 255, 2, 3, last)]
    assert int(random.stream_at(*place)) == plain_stream(1, 255, 2, 3, last)
    with pytest.raises(UsageError) as caught:
        random.stream(1, 1, 0, 0, random.MAX_STREAM + 1)
    assert caught.value.code == "stream-too-long"


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, "7", None, True, np.True_])
def test_bad_seeds(seed: object) -> None:
    for call in (
        lambda: random.words(seed, 1, 0),  # type: ignore[arg-type]
        lambda: random.words64(seed, 1, 0),  # type: ignore[arg-type]
        lambda: random.stream(seed, 1, 0, 0, 1),  # type: ignore[arg-type]
        lambda: random.permutation(5, seed, 1, 0, 0),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "bad-seed"


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1, np.uint64(2**64 - 1), np.int8(3)])
def test_good_seeds(seed: int) -> None:
    assert random.check_seed(seed) == int(seed)
    assert random.words(seed, 1, 9)[0].tolist() == plain_words(int(seed), 1, 9, 0)


@settings(deadline=None)
@given(long_word, long_word)
@example(2**64 - 1, 2**64 - 1)
@example(2**32 - 1, 2**64 - 2**32)
def test_scaled_is_exact(u: int, n: int) -> None:
    assert int(random.scaled(np.uint64(u), np.uint64(n))) == u * n >> 64


def test_words_are_uniform() -> None:
    words = random.words(11, random.DOMAIN_DRAW, np.arange(500_000))
    for column in range(4):
        for shift in (0, 12, 22):
            counts = np.bincount((words[:, column] >> np.uint32(shift)) & np.uint32(1023), minlength=1024)
            assert abs(uniformity(counts)) < 5
    pairs = (words[:-1, 0] >> np.uint32(27)).astype(np.int64) * 32 + (words[1:, 0] >> np.uint32(27))
    assert abs(uniformity(np.bincount(pairs, minlength=1024))) < 5
    bits = np.unpackbits(words.reshape(-1).view(np.uint8)).reshape(-1, 32).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 5 * 0.5 / math.sqrt(words.size)


@pytest.mark.parametrize("n", [*range(1, 601), 1023, 1024, 1025, 65_535, 65_536, 65_537, 1_000_003])
def test_permutation_is_a_bijection(n: int) -> None:
    found = random.permutation(n, 5, random.DOMAIN_BLOCKS, 1, 2)
    assert found.dtype == np.int64
    assert np.array_equal(np.sort(found), np.arange(n))
    some = np.unique(np.linspace(0, n - 1, 40).astype(np.int64))
    assert np.array_equal(random.permutation(n, 5, random.DOMAIN_BLOCKS, 1, 2, at=some), found[some])
    place = [np.uint64(x) for x in (5, random.DOMAIN_BLOCKS, 1, 2)]
    assert [int(random.permute(np.uint64(k), np.uint64(n), *place)) for k in some] == found[some].tolist()


@settings(deadline=None)
@given(st.integers(1, 700), long_word, domains, long_word, word)
def test_permutation_equals_plain_integers(n: int, seed: int, domain: int, i: int, j: int) -> None:
    assert random.permutation(n, seed, domain, i, j).tolist() == plain_permutation(n, (seed, domain, i, j))


@settings(deadline=None)
@given(st.integers(257, 2**63), st.data())
@example(2**63, None)
@example(2**62 + 1, None)
@example(2**32, None)
def test_images_in_a_large_permutation(n: int, data: st.DataObject | None) -> None:
    ks = [0, n - 1] if data is None else data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=4))
    at = np.array(ks, np.uint64)
    expected = [plain_feistel(k, n, (1, 6, 2, 3)) for k in ks]
    assert random.permutation(n, 1, 6, 2, 3, at=at).tolist() == expected
    keys = random.feistel_keys(*(np.uint64(x) for x in (1, 6, 2, 3)))
    assert [int(random.feistel(np.uint64(k), np.uint64(n), keys)) for k in ks] == expected


@pytest.mark.parametrize(("n", "at"), [(0, None), (-1, None), (5, [5]), (5, [-1]), (2**63 + 1, [0]), (0, [])])
def test_numbers_outside_of_a_permutation(n: int, at: list[int] | None) -> None:
    with pytest.raises(UsageError) as caught:
        random.permutation(n, 1, 3, 0, 0, at=None if at is None else np.array(at, np.int64))
    assert caught.value.code == "not-in-permutation"


def test_no_images_of_no_numbers() -> None:
    assert random.permutation(1000, 1, 3, 0, 0, at=np.zeros(0, np.int64)).shape == (0,)


@pytest.mark.parametrize("n", [2, 3, 5, 16, 255, 256, 257, 300, 513, 1025])
def test_permutations_are_uniform(n: int) -> None:
    """Every number lands in every place alike: the Feistel network alone fails this below 257."""
    repeats = 40_000 if n < 20 else 8_000
    bins = min(n, 16)
    first, middle = np.zeros(bins, np.int64), np.zeros(bins, np.int64)
    at = np.array([0, n // 2])
    edges = -(-np.arange(bins + 1) * n // bins)
    for i in range(repeats):
        a, b = random.permutation(n, 3, random.DOMAIN_BLOCKS, i, 0, at=at).tolist()
        first[np.searchsorted(edges, a, side="right") - 1] += 1
        middle[np.searchsorted(edges, b, side="right") - 1] += 1
    share = np.diff(edges) / n
    for counts in (first, middle):
        chi2 = float(((counts - repeats * share) ** 2 / (repeats * share)).sum())
        assert abs(chi2 - (bins - 1)) < 5 * math.sqrt(2 * (bins - 1)) + 2


def test_all_orders_of_four_are_equally_likely() -> None:
    orders: dict[tuple[int, ...], int] = {}
    for i in range(24_000):
        order = tuple(random.permutation(4, 9, random.DOMAIN_WINDOW, i, 0).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 24
    assert abs(uniformity(np.array(list(orders.values())))) < 5


def test_permutations_of_neighbouring_places_are_unrelated() -> None:
    n = 10_000
    first = random.permutation(n, 1, random.DOMAIN_WINDOW, 0, 0)
    for place in [(1, 6, 1, 0), (1, 6, 0, 1), (2, 6, 0, 0), (1, 3, 0, 0)]:
        other = random.permutation(n, *place)
        assert abs(np.corrcoef(first, other)[0, 1]) < 5 / math.sqrt(n)
        assert np.count_nonzero(first == other) < 12


def test_usable_from_other_kernels() -> None:
    @numba.njit
    def draws(seed: np.uint64, n: int) -> NDArray[np.uint64]:
        out = np.empty(n, np.uint64)
        for t in range(n):
            _, _, w2, w3 = random.words_at(seed, np.uint64(1), np.uint64(t), np.uint64(0))
            out[t] = random.scaled(np.uint64(w2) | (np.uint64(w3) << np.uint64(32)), np.uint64(1000))
        return out

    expected = []
    for t in range(20):
        w = plain_words(8, 1, t, 0)
        expected.append((w[2] + 2**32 * w[3]) * 1000 >> 64)
    assert draws(np.uint64(8), 20).tolist() == expected


def test_compiles_where_nothing_can_be_kept() -> None:
    """A read-only installation without a home directory: numba finds no place for its cache."""
    code = (
        "import numba.core.caching as c\n"
        "c.FunctionCache._impl_class._locator_classes = []\n"
        "from scformat import random\n"
        "print(random.stream(0, 0, 0, 0, 4).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([int(x, 16) for x in KNOWN_ANSWERS[0][2].split()])

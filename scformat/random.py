"""Random words as a function of their position: Philox-4x32-10 with a domain for every use.

Nothing here keeps a state. A word is named by (seed, domain, i, j, m), so any part of any order can be
computed without what came before it, on any machine and in any language.

The functions with numpy arrays are for whole arrays. The kernels (see :mod:`scformat.jit`) release
the GIL and are called from other kernels as well as from Python; their integers are ``numpy.uint64``.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scformat.errors import UsageError
from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

# Domains: the last word of the counter. No two uses share one, so none sees another's words.
DOMAIN_DRAW: Final = 1
DOMAIN_PHASE: Final = 2
DOMAIN_BLOCKS: Final = 3
DOMAIN_ROTATION: Final = 5
DOMAIN_WINDOW: Final = 6
DOMAIN_ORDER: Final = 9
DOMAIN_SPLIT: Final = 10
DOMAIN_TRANSFORM: Final = 11
DOMAIN_TOKENS: Final = 12
DOMAIN_SETS: Final = 13
DOMAIN_CONTROLS: Final = 14
DOMAIN_USER_FIRST: Final = 64
DOMAIN_USER_LAST: Final = 255

MAX_STREAM: Final = 1 << 26
"""Words in one stream: word m lies in domain d + 256 (m div 4), which is 32 bits wide."""

SMALL: Final = 256
"""Up to here a permutation is a Fisher-Yates shuffle; a Feistel network this small is badly uneven."""

# numba turns uint64 with a signed operand into float64, so every constant of a kernel is unsigned.
_LOW = np.uint64(0xFFFFFFFF)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_F0, _F1 = np.uint64(0x85EBCA6B), np.uint64(0xC2B2AE35)
_U0, _U1, _U2, _U3, _U8 = (np.uint64(x) for x in (0, 1, 2, 3, 8))
_U13, _U16, _U32 = (np.uint64(x) for x in (13, 16, 32))
_SMALL = np.uint64(SMALL)


def check_seed(seed: int) -> int:
    """Return `seed` as a Python int.

    Raises
    ------
    UsageError
        ``bad-seed``: not an integer of 0 .. 2^64 - 1.
    """
    try:
        value = operator.index(seed)
    except TypeError:
        value = -1
    if isinstance(seed, (bool, np.bool_)) or not 0 <= value < 1 << 64:
        raise UsageError("bad-seed", "not a seed", expected="an integer of 0 .. 2^64 - 1", found=repr(seed))
    return value


@kernel
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """Philox-4x32-10 of one counter (c0 .. c3) and key (k0, k1), each below 2^32: four 32-bit words."""
    a, b, c, d = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k, q = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        p0, p1 = _M0 * a, _M1 * c
        a, b, c, d = (p1 >> _U32) ^ b ^ k, p1 & _LOW, (p0 >> _U32) ^ d ^ q, p0 & _LOW
        k, q = (k + _W0) & _LOW, (q + _W1) & _LOW
    return np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)


@kernel
def words_at(
    seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64
) -> tuple[np.uint32, np.uint32, np.uint32, np.uint32]:
    """P(domain, i, j): four words, for `domain` and `j` below 2^32."""
    s, d, a, b = np.uint64(seed), np.uint64(domain), np.uint64(i), np.uint64(j)
    return philox(a & _LOW, a >> _U32, b, d, s & _LOW, s >> _U32)


@kernel
def u64_at(seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> np.uint64:
    """u64(P(domain, i, j)): w0 + 2^32 w1."""
    w0, w1, _, _ = words_at(seed, domain, i, j)
    return np.uint64(w0) | (np.uint64(w1) << _U32)


@kernel
def stream_at(seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64, m: np.uint64) -> np.uint32:
    """S(domain, i, j)[m], for m below 2^26."""
    at = np.uint64(m)
    w0, w1, w2, w3 = words_at(seed, np.uint64(domain) + ((at >> _U2) << _U8), i, j)
    lane = at & _U3
    if lane == _U0:
        return w0
    if lane == _U1:
        return w1
    return w2 if lane == _U2 else w3


@kernel
def scaled(u: np.uint64, n: np.uint64) -> np.uint64:
    """floor(u n / 2^64): a 64-bit word to a number below `n`."""
    a, b = np.uint64(u), np.uint64(n)
    a0, a1, b0, b1 = a & _LOW, a >> _U32, b & _LOW, b >> _U32
    middle = a1 * b0 + ((a0 * b0) >> _U32)
    other = a0 * b1 + (middle & _LOW)
    return np.uint64(a1 * b1 + (middle >> _U32) + (other >> _U32))


@kernel
def _fmix32(h: np.uint64) -> np.uint64:
    """Mix as murmur3 does at its end: a bijection of 32-bit words in which every bit moves every other."""
    h = ((h ^ (h >> _U16)) * _F0) & _LOW
    h = ((h ^ (h >> _U13)) * _F1) & _LOW
    return np.uint64(h ^ (h >> _U16))


@kernel
def feistel_keys(seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> tuple[np.uint32, ...]:
    """Keys of the eight rounds, S(domain, i, j)[0 .. 7]: once for all of a permutation's :func:`feistel`."""
    d = np.uint64(domain)
    return words_at(seed, d, i, j) + words_at(seed, d + (_U1 << _U8), i, j)


@kernel
def feistel(k: np.uint64, n: np.uint64, keys: tuple[np.uint32, ...]) -> np.uint64:
    """Image of k under the permutation of n > 256, 0 <= k < n <= 2^63, with the keys of :func:`feistel_keys`."""
    size = np.uint64(n)
    bits, rest = _U0, size - _U1
    while rest > _U0:
        bits, rest = bits + _U1, rest >> _U1
    low_bits = (bits + _U1) >> _U1
    low_mask = (_U1 << low_bits) - _U1
    high_mask = (_U1 << (bits - low_bits)) - _U1
    x = np.uint64(k)
    while True:
        low, high = x & low_mask, x >> low_bits
        for pair in range(4):
            high ^= _fmix32(low ^ np.uint64(keys[2 * pair])) & high_mask
            low ^= _fmix32(high ^ np.uint64(keys[2 * pair + 1])) & low_mask
        x = (high << low_bits) | low
        if x < size:
            return np.uint64(x)


@kernel
def permute(k: np.uint64, n: np.uint64, seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> np.uint64:
    """Image of k under the permutation of n that (seed, domain, i, j) names, 0 <= k < n <= 2^63.

    n <= 256: element k of 0 .. n-1 after a Fisher-Yates shuffle, x from n-1 down to 1 changing places with
    y = (S[m] (x+1)) >> 32, m from 0. Larger: an alternating Feistel network of eight rounds over
    bitlen(n-1) bits, walked until the result is below n. O(n) a call up to 256: there, a caller that wants
    many images takes :func:`shuffle`.
    """
    size = np.uint64(n)
    if size > _SMALL:
        return feistel(k, size, feistel_keys(seed, domain, i, j))
    # The exchanges undone from the last one: where did the element come from that ended at k?
    at = np.uint64(k)
    x = max(at, _U1)
    while x < size:
        y = (np.uint64(stream_at(seed, domain, i, j, size - _U1 - x)) * (x + _U1)) >> _U32
        if at == x:
            at = y
        elif at == y:
            at = x
        x += _U1
    return at


@kernel
def shuffle(n: np.uint64, seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64) -> NDArray[np.uint64]:
    """All images 0 .. n-1 of the permutation of n that :func:`permute` computes one by one; uint64, shape (n,)."""
    size = np.uint64(n)
    out = np.empty(size, np.uint64)
    if size > _SMALL:
        keys = feistel_keys(seed, domain, i, j)
        for k in range(size):
            out[k] = feistel(np.uint64(k), size, keys)
        return out
    for k in range(size):
        out[k] = k
    for m in range(max(int(size) - 1, 0)):
        x = size - _U1 - np.uint64(m)
        y = (np.uint64(stream_at(seed, domain, i, j, np.uint64(m))) * (x + _U1)) >> _U32
        out[x], out[y] = out[y], out[x]
    return out


@kernel
def _philox_all(counter: NDArray[np.uint32], key: NDArray[np.uint32], out: NDArray[np.uint32]) -> None:
    for n in range(len(counter)):
        c, k = counter[n], key[n]
        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = philox(
            np.uint64(c[0]), np.uint64(c[1]), np.uint64(c[2]), np.uint64(c[3]), np.uint64(k[0]), np.uint64(k[1])
        )


@kernel
def _words_all(
    seed: np.uint64, domain: np.uint64, i: NDArray[np.uint64], j: NDArray[np.uint32], out: NDArray[np.uint32]
) -> None:
    for n in range(len(i)):
        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = words_at(seed, domain, i[n], np.uint64(j[n]))


@kernel
def _u64_all(
    seed: np.uint64, domain: np.uint64, i: NDArray[np.uint64], j: NDArray[np.uint32], out: NDArray[np.uint64]
) -> None:
    for n in range(len(i)):
        out[n] = u64_at(seed, domain, i[n], np.uint64(j[n]))


@kernel
def _stream_all(seed: np.uint64, domain: np.uint64, i: np.uint64, j: np.uint64, out: NDArray[np.uint32]) -> None:
    for block in range(len(out)):
        d = domain + (np.uint64(block) << _U8)
        out[block, 0], out[block, 1], out[block, 2], out[block, 3] = words_at(seed, d, i, j)


@kernel
def _permute_all(k: NDArray[np.uint64], n: np.uint64, keys: tuple[np.uint32, ...], out: NDArray[np.uint64]) -> None:
    for at in range(len(k)):
        out[at] = feistel(k[at], n, keys)


def philox4x32(counter: ArrayLike, key: ArrayLike) -> NDArray[np.uint32]:
    """Philox-4x32-10 of many counters.

    Parameters
    ----------
    counter : uint32 array, shape (n, 4) or (4,)
    key : uint32 array, shape (n, 2) or (2,)
        Either may be one for all of the other.

    Returns
    -------
    uint32 array, shape (n, 4)
    """
    c, k = np.atleast_2d(np.asarray(counter, np.uint32)), np.atleast_2d(np.asarray(key, np.uint32))
    n = np.broadcast_shapes(c.shape[:1], k.shape[:1])[0]
    out = np.empty((n, 4), np.uint32)
    _philox_all(np.broadcast_to(c, (n, 4)), np.broadcast_to(k, (n, 2)), out)
    return out


def words(seed: int, domain: int, i: ArrayLike, j: ArrayLike = 0) -> NDArray[np.uint32]:
    """P(domain, i, j) at many positions.

    The key is (seed mod 2^32, seed div 2^32), the counter (i mod 2^32, i div 2^32, j, domain).

    Parameters
    ----------
    seed
        0 .. 2^64 - 1.
    domain
        0 .. 2^32 - 1, one of the ``DOMAIN_`` constants.
    i : uint64 array, shape (n,)
    j : uint32 array, shape (n,)
        Either may be one number for all of the other.

    Returns
    -------
    uint32 array, shape (n, 4)

    Raises
    ------
    UsageError
        ``bad-seed``.
    """
    at, lane = _positions(i, j)
    out = np.empty((len(at), 4), np.uint32)
    _words_all(np.uint64(check_seed(seed)), np.uint64(domain), at, lane, out)
    return out


def words64(seed: int, domain: int, i: ArrayLike, j: ArrayLike = 0) -> NDArray[np.uint64]:
    """u64(P(domain, i, j)) at many positions, parameters as in :func:`words`; uint64, shape (n,)."""
    at, lane = _positions(i, j)
    out = np.empty(len(at), np.uint64)
    _u64_all(np.uint64(check_seed(seed)), np.uint64(domain), at, lane, out)
    return out


def u64(pairs: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """w0 + 2^32 w1 of the first two words along the last axis; shape ``pairs.shape[:-1]``."""
    wide = pairs[..., :2].astype(np.uint64)
    return np.asarray(wide[..., 0] | (wide[..., 1] << _U32))


def stream(seed: int, domain: int, i: int, j: int, n: int) -> NDArray[np.uint32]:
    """S(domain, i, j)[0 .. n-1]: word m is word m mod 4 of P(domain + 256 (m div 4), i, j).

    Returns
    -------
    uint32 array, shape (n,)

    Raises
    ------
    UsageError
        ``bad-seed``; ``stream-too-long`` above 2^26 words.
    """
    if not 0 <= n <= MAX_STREAM:
        raise UsageError("stream-too-long", "one stream has no so many words", expected="0 .. 2^26", found=n)
    out = np.empty((-(-n // 4), 4), np.uint32)
    _stream_all(np.uint64(check_seed(seed)), np.uint64(domain), np.uint64(i), np.uint64(j), out)
    return out.reshape(-1)[:n]


def permutation(
    n: int, seed: int, domain: int, i: int, j: int, *, at: NDArray[np.integer[Any]] | None = None
) -> NDArray[np.int64]:
    """Images under the permutation of n that (seed, domain, i, j) names, as :func:`permute` computes them.

    Parameters
    ----------
    n
        1 .. 2^63.
    at : integer array, shape (m,), each of 0 .. n-1
        Whose images; by default all of 0 .. n-1. Time and memory are those of `at`, not of `n`.

    Returns
    -------
    int64 array, shape (m,)

    Raises
    ------
    UsageError
        ``bad-seed``; ``not-in-permutation``: `n` or a number of `at` out of range.
    """
    if not 0 < n <= 1 << 63 or (at is not None and len(at) and not 0 <= int(at.min()) <= int(at.max()) < n):
        raise UsageError("not-in-permutation", f"numbers outside of the permutation of {n}")
    size, place = np.uint64(n), (np.uint64(check_seed(seed)), np.uint64(domain), np.uint64(i), np.uint64(j))
    if at is None:
        return shuffle(size, *place).view(np.int64)
    if n <= SMALL:
        return np.take(shuffle(size, *place).view(np.int64), at)
    out = np.empty(len(at), np.uint64)
    _permute_all(at.astype(np.uint64), size, feistel_keys(*place), out)
    return out.view(np.int64)


def _positions(i: ArrayLike, j: ArrayLike) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    at, lane = np.atleast_1d(np.asarray(i, np.uint64)), np.atleast_1d(np.asarray(j, np.uint32))
    shape = np.broadcast_shapes(at.shape, lane.shape)
    return np.broadcast_to(at, shape), np.broadcast_to(lane, shape)

"""Weights to integer masses, which are the distribution from there on.

The masses of K strata sum to 2^B with B = 32 + ceil(log2 K). For weights w_0 .. w_(K-1), binary64, finite, none
negative, at least one above zero:

1. e is the exponent of the largest weight, so that it lies in [2^(e-1), 2^e); v_c = w_c 2^-e.
2. S is the binary64 number nearest to the exact sum of all v_c, whatever their order.
3. q_c = floor(v_c / S * 2^B), the quotient rounded to binary64, its product with 2^B exact; at least 1 where w_c > 0.
4. What lacks to 2^B, or is too much, is added to the largest q_c, the lowest index among equal ones.

Steps 1 to 4 use correctly rounded operations alone, so another language finds the same integers from the same
weights. The weights themselves can come from powers and logarithms that libraries round differently: what a table
stores counts.
"""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, Decimal, localcontext
from typing import TYPE_CHECKING, Final

import numpy as np

from scformat.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

COLUMN_BITS: Final = 32
"""A column of an alias table holds 2^32: what one random word tells apart."""

MAX_STRATA: Final = 1 << 30
"""Masses of more strata would sum beyond 2^62."""


def mass_bits(n_strata: int) -> int:
    """B: masses of `n_strata` strata sum to 2^B.

    Raises
    ------
    UsageError
        ``bad-number-of-strata``: none, or more than 2^30.
    """
    if not 0 < n_strata <= MAX_STRATA:
        raise UsageError(
            "bad-number-of-strata", "no table has so many strata", expected=f"1 to {MAX_STRATA:,}", found=n_strata
        )
    return COLUMN_BITS + (n_strata - 1).bit_length()


def check_weights(weights: ArrayLike, *, where: object = None) -> NDArray[np.float64]:
    """Return weights as float64, refusing what is none.

    Raises
    ------
    UsageError
        ``bad-weights``: NaN, infinite, negative; not one above zero.
    """
    w = np.asarray(weights, np.float64)
    if w.ndim != 1:
        raise UsageError("bad-weights", "weights have one dimension", where=where, found=f"shape {w.shape}")
    bad = np.flatnonzero(~(np.isfinite(w) & (w >= 0)))
    if len(bad):
        raise UsageError(
            "bad-weights",
            "a weight that is none",
            where=where,
            expected="finite numbers of 0 or more",
            found=f"{w[bad[0]]} at {bad[0]}",
        )
    if not (w > 0).any():
        raise UsageError("bad-weights", "no weight is above zero", where=where, found=f"{len(w)} weights")
    return w


def integer_masses(weights: ArrayLike) -> NDArray[np.int64]:
    """Return the masses of strata with these weights.

    Parameters
    ----------
    weights : float64 array, shape (K,)
        In any unit.

    Returns
    -------
    int64 array, shape (K,)
        Sum exactly 2^B; 0 where the weight is.

    Raises
    ------
    UsageError
        ``bad-weights``, ``bad-number-of-strata``.
    """
    w = check_weights(weights)
    bits = mass_bits(len(w))
    values = np.ldexp(w, -int(np.frexp(w.max())[1]))
    share = values / math.fsum(values.tolist())
    masses = np.ldexp(share, bits).astype(np.int64)  # conversion cuts off what is after the point
    np.maximum(masses, 1, out=masses, where=w > 0)
    masses[int(np.argmax(masses))] += (1 << bits) - int(masses.sum())
    return masses


def check_masses(masses: NDArray[np.int64], *, where: object = None) -> int:
    """Return B of masses.

    Raises
    ------
    UsageError
        ``bad-masses``: a negative one, or another sum than 2^B.
    """
    bits = mass_bits(len(masses))
    inside = bool((masses >= 0).all()) and bool((masses <= 1 << bits).all())
    total = int(masses.sum()) if inside else -1
    # An int64 sum can wrap around to the right one; a float's cannot.
    if total != 1 << bits or float(masses.sum(dtype=np.float64)) > 2.0 * (1 << bits):
        raise UsageError(
            "bad-masses", "masses of strata are not whole numbers that sum to 2^B", where=where, expected=1 << bits,
            found=total if inside else "a negative or too large one",
        )  # fmt: skip
    return bits


def tempered(masses: NDArray[np.int64], temperature: float) -> NDArray[np.int64]:
    """Masses of the same strata at a temperature: their shares to the power 1/T, made into masses anew.

    T = 1 gives back the very same masses; T above 1 goes towards all strata alike, below 1 towards the largest.

    Raises
    ------
    UsageError
        ``bad-temperature``: not a finite number above zero, or one at which every share but one vanishes in
        binary64.
    """
    check_temperature(temperature)
    if temperature == 1:
        return masses
    # Relative to the largest, so that the largest is 1 whatever the temperature.
    shares = masses / float(masses.max())
    distinct, inverse = np.unique(shares, return_inverse=True)
    powers = _powers(distinct, 1.0 / temperature)
    return integer_masses(np.where(masses > 0, np.maximum(powers[inverse], np.finfo(np.float64).tiny), 0.0))


def _powers(values: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Powers of numbers of 0 .. 1, the exact ones rounded to the nearest binary64.

    The pow of C libraries differs in the last bit, and the masses of a schedule are stored nowhere. A type with more
    digits decides nearly all of them; where it is too close to call, or does not have more, decimal numbers do.
    """
    wide = np.power(values.astype(np.longdouble), np.longdouble(exponent))
    slack = wide * np.longdouble(2.0**-61)
    out: NDArray[np.float64] = wide.astype(np.float64)
    more = np.finfo(np.longdouble).nmant >= 63
    unsure = (wide - slack).astype(np.float64) != (wide + slack).astype(np.float64)
    unsure |= (wide != 0) & (wide < np.finfo(np.float64).tiny)
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 30, MIN_EMIN, MAX_EMAX
        for i in np.flatnonzero((values > 0) & (unsure | (not more))).tolist():
            out[i] = float(Decimal(float(values[i])) ** Decimal(exponent))
    return out


def check_temperature(temperature: float) -> None:
    """Refuse what is no temperature (``bad-temperature``)."""
    if isinstance(temperature, bool) or not (math.isfinite(temperature) and temperature > 0):
        raise UsageError(
            "bad-temperature", "not a temperature", expected="a finite number above 0", found=repr(temperature)
        )

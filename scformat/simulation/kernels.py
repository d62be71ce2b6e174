"""Compiled loops that draw the counts of cells, in time proportional to their molecules, not to the genes.

A cell's counts are negative binomial, drawn as the compound they are: the number of bursts of a gene is Poisson
and the molecules of a burst follow a logarithmic series. So one draw from a table of burst rates (an alias table)
stands for several molecules, and a gene that is not drawn costs nothing. Every cell has a random stream of its
own, keyed by its number: the outcome depends neither on threads nor on how cells are grouped.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scformat.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_LOW = np.uint64(0xFFFFFFFF)
_S27, _S30, _S31, _S32 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(32)
_ONE, _ZERO = np.uint64(1), np.uint64(0)
_UNIT = 1.0 / 4294967296.0
# Position of the single set bit of x: _BIT[(x * _DE_BRUIJN) >> 58].
_DE_BRUIJN = np.uint64(0x03F79D71B4CB0A89)
_S58 = np.uint64(58)
_BIT = np.zeros(64, np.int64)
for _i in range(64):
    _BIT[(0x03F79D71B4CB0A89 * (1 << _i) & 0xFFFFFFFFFFFFFFFF) >> 58] = _i


@kernel
def _mixed(state: Any) -> Any:
    """Finish a SplitMix64 state: the state after k steps is key + k * golden."""
    z = state
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def _poisson(mean: float, state: Any) -> Any:
    """Draw from a Poisson distribution; a rounded normal from a mean of 64 on."""
    if mean >= 64.0:
        state += _GOLDEN
        bits = _mixed(state)
        u = (np.float64(bits >> _S32) + 0.5) * _UNIT
        v = np.float64(bits & _LOW) * _UNIT
        normal = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
        return max(0, math.floor(mean + math.sqrt(mean) * normal + 0.5)), state
    limit, product, k = math.exp(-mean), 1.0, -1
    while product > limit:
        k += 1
        state += _GOLDEN
        product *= (np.float64(_mixed(state) >> _S32) + 0.5) * _UNIT
    return max(k, 0), state


@kernel
def _burst(p: float, v: float, state: Any) -> Any:
    """Size of a burst, logarithmic with parameter `p`, from the uniform `v`: Kemp's second method, as numpy has it."""
    if v >= p:
        return 1, state
    state += _GOLDEN
    u = (np.float64(_mixed(state) >> _S32) + 0.5) * _UNIT
    q = 1.0 - math.exp(math.log1p(-p) * u)
    if v <= q * q:
        return math.floor(1.0 + math.log(v + 1e-12) / math.log(q)), state
    return (2 if v < q else 1), state


@kernel
def _collect(
    touched: NDArray[np.uint64],
    counter: NDArray[np.int32],
    end: int,
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
) -> int:
    """Append a cell's counts in the order of the columns, leave bits and counters at zero, return the new end."""
    for word in range(len(touched)):
        rest = touched[word]
        touched[word] = _ZERO
        while rest != _ZERO:
            lowest = rest & (~rest + _ONE)
            rest ^= lowest
            gene = word * 64 + _BIT[(lowest * _DE_BRUIJN) >> _S58]
            indices[end] = gene
            data[end] = counter[gene]
            counter[gene] = 0
            end += 1
    return end


@kernel
def alias_table(rates: NDArray[np.float64], table: NDArray[np.uint32]) -> None:
    """Build Vose's alias table of `rates`.

    Parameters
    ----------
    rates : shape (n,)
        Not negative, not all zero.
    table : uint32, shape (n, 2), written
        Threshold of each column out of 2^32 and its alias. A column of rate zero is never drawn: its threshold is 0.
    """
    n = len(rates)
    scaled = rates * (n / rates.sum())
    small, large = np.empty(n, np.int64), np.empty(n, np.int64)
    n_small, n_large = 0, 0
    for i in range(n):
        if scaled[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        i, j = small[n_small], large[n_large - 1]
        table[i, 0] = np.uint32(scaled[i] * 4294967295.0)
        table[i, 1] = j
        scaled[j] -= 1.0 - scaled[i]
        if scaled[j] < 1.0:
            n_large -= 1
            small[n_small] = j
            n_small += 1
    # Rounding leaves columns without a partner; the largest rate of all is a valid one for each.
    top = np.argmax(rates)
    for k in range(n_small):
        table[small[k], 0] = 0 if rates[small[k]] == 0.0 else 0xFFFFFFFF
        table[small[k], 1] = top
    for k in range(n_large):
        table[large[k], 0] = 0xFFFFFFFF
        table[large[k], 1] = top


@kernel
def draw_sizes(
    key: np.uint64,
    first: int,
    types: NDArray[np.integer[Any]],
    donors: NDArray[np.integer[Any]],
    bursts_of_type: NDArray[np.float64],
    ambient_mean: float,
    donor_depth: NDArray[np.float64],
    depth_spread: float,
    sizes: NDArray[np.int64],
) -> None:
    """Draw how many bursts each cell has, its own and the ambient ones.

    Parameters
    ----------
    key
        Of the study's stream.
    first
        Number of the first cell within its study.
    types, donors : integers, shape (n,)
        Row of `bursts_of_type` and of `donor_depth`.
    bursts_of_type : shape (n_types,)
        Mean number of bursts at depth 1.
    ambient_mean
        Mean number of ambient molecules at depth 1, if all molecules were ambient.
    donor_depth : shape (n_donors,)
        Factor on the depth.
    depth_spread
        Standard deviation of the logarithm of a cell's depth.
    sizes : int64, shape (n, 2), written
        Bursts and ambient molecules.
    """
    for i in range(len(types)):
        state = _mixed(key + np.uint64(first + i) * _MIX_1)
        state += _GOLDEN
        bits = _mixed(state)
        u = (np.float64(bits >> _S32) + 0.5) * _UNIT
        v = np.float64(bits & _LOW) * _UNIT
        normal = math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)
        depth = donor_depth[donors[i]] * math.exp(depth_spread * normal - 0.5 * depth_spread * depth_spread)
        state += _GOLDEN
        w = (np.float64(_mixed(state) >> _S32) + 0.5) * _UNIT
        ambient = min(0.5, -0.04 * math.log(w))
        sizes[i, 0], state = _poisson(bursts_of_type[types[i]] * depth * (1.0 - ambient), state)
        sizes[i, 1], state = _poisson(ambient_mean * depth * ambient, state)


@kernel
def draw_counts(
    key: np.uint64,
    first: int,
    types: NDArray[np.integer[Any]],
    donors: NDArray[np.integer[Any]],
    sizes: NDArray[np.int64],
    tables: NDArray[np.uint32],
    burst_p: NDArray[np.float32],
    ambient: NDArray[np.uint32],
    kept: NDArray[np.uint32],
    marked: NDArray[np.bool_],
    ends: NDArray[np.int64],
    indices: NDArray[np.int32],
    data: NDArray[np.float32],
    totals: NDArray[np.int64],
) -> None:
    """Draw the counts of cells, as CSR with sorted columns.

    Parameters
    ----------
    key, first, types, donors, sizes
        As in :func:`draw_sizes`, with what it wrote; `key` of another stream.
    tables : uint32, shape (n_types, n_genes, 2)
        Alias tables of burst rates.
    burst_p : float32, shape (n_types, n_genes)
        Parameter of the logarithmic series; 0 makes every burst one molecule.
    ambient : uint32, shape (n_genes, 2)
        Alias table of the ambient molecules.
    kept : uint32, shape (n_donors, n_genes)
        Probability, out of 2^32, that a burst of a donor's cell is kept.
    marked : bool, shape (n_genes,)
        Genes to sum apart (the mitochondrial ones).
    ends : int64, shape (n,), written
        End of every row.
    indices, data : int32 and float32, written
        At least ``sum(min(sizes.sum(1), n_genes))`` long.
    totals : int64, shape (n, 2), written
        Sum of all counts and of the marked ones.
    """
    n_genes = tables.shape[1]
    width = np.uint64(n_genes)
    counter = np.zeros(n_genes, np.int32)
    touched = np.zeros((n_genes + 63) // 64, np.uint64)
    end = 0
    for i in range(len(types)):
        kind, donor = types[i], donors[i]
        state = _mixed(key + np.uint64(first + i) * _MIX_1)
        own = sizes[i, 0]
        for draw in range(own + sizes[i, 1]):
            state += _GOLDEN
            bits = _mixed(state)
            gene = np.int64(((bits >> _S32) * width) >> _S32)
            part = np.uint32(bits & _LOW)
            if draw < own:
                if part >= tables[kind, gene, 0]:
                    gene = np.int64(tables[kind, gene, 1])
            elif part >= ambient[gene, 0]:
                gene = np.int64(ambient[gene, 1])
            state += _GOLDEN
            bits = _mixed(state)
            if np.uint32(bits & _LOW) >= kept[donor, gene]:
                continue
            molecules = 1
            if draw < own:
                molecules, state = _burst(np.float64(burst_p[kind, gene]), np.float64(bits >> _S32) * _UNIT, state)
            counter[gene] += molecules
            touched[gene >> 6] |= _ONE << np.uint64(gene & 63)
        start, end = end, _collect(touched, counter, end, indices, data)
        totals[i, 0], totals[i, 1] = 0, 0
        for k in range(start, end):
            count = np.int64(data[k])
            totals[i, 0] += count
            if marked[indices[k]]:
                totals[i, 1] += count
        ends[i] = end

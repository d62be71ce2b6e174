"""Arrays that kernels lend to kernels."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.runtime import _nrt_python, rtsys
from numba.extending import intrinsic

from scformat.jit import borrowed, returned

if TYPE_CHECKING:
    from numpy.typing import NDArray


def _counter(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, value=args[0])
        return builder.ptrtoint(found.meminfo, ir.IntType(64))

    return types.uint64(array), generate


counter_of: Any = intrinsic(_counter)
"""Address of the count of who refers to an array, 0 where none is kept."""


@numba.njit
def twice(values: NDArray[np.int64]) -> int:
    values *= 2
    return int(values.sum())


@numba.njit
def lent(values: NDArray[np.int64]) -> tuple[bool, bool, int]:
    other = borrowed(values)
    return counter_of(values) != 0, counter_of(other) != 0, twice(other)


@numba.njit
def lent_from_within(n: int) -> int:
    own = np.ones(n, np.int64)
    other = borrowed(own)
    for _ in range(8):  # were it let go already, one of these would lie where it lay
        np.full(n, 99)
    found = twice(other)
    returned(own)
    return found


def test_what_is_borrowed_is_the_array_itself_and_not_counted() -> None:
    values = np.arange(5)
    before = sys.getrefcount(values)
    assert lent(values) == (True, False, 20)
    assert values.tolist() == [0, 2, 4, 6, 8]
    assert sys.getrefcount(values) == before


def test_what_a_kernel_made_lives_until_it_is_returned() -> None:
    _nrt_python.memsys_enable_stats()
    before = rtsys.get_allocation_stats()
    assert [lent_from_within(n) for n in (3, 100, 5000)] == [6, 200, 10_000]
    after = rtsys.get_allocation_stats()
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free >= 3

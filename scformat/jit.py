"""How kernels are compiled: on first use, without the GIL, kept on disk where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

F = TypeVar("F", bound="Callable[..., Any]")


def kernel(function: F) -> F:
    """Compile `function` with numba on its first call."""
    try:
        return cast("F", numba.njit(nogil=True, cache=True)(function))
    except RuntimeError:  # no directory to keep it in: a read-only installation without a home
        return cast("F", numba.njit(nogil=True)(function))


def _as_pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.uintp), generate


pointer: Any = intrinsic(_as_pointer)
"""``pointer(address)``, in a kernel: what functions of C and numba's ``carray`` take."""


def _fetch_add(typing_context: Any, address: Any, n: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        counter = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", counter, args[1], "monotonic")

    return types.int64(types.uint64, types.int64), generate


_added: Any = intrinsic(_fetch_add)


@kernel
def taken(counter: NDArray[np.int64], n: int) -> int:
    """Add to a counter that threads share, an int64 array of one item; return what it was."""
    return int(_added(np.uint64(counter.ctypes.data), n))


def _without_count(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (kind,) = signature.args
        found = context.make_array(kind)(context, builder, value=args[0])
        found.meminfo = ir.Constant(found.meminfo.type, None)
        return found._getvalue()

    return array(array), generate


def _use(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.get_dummy_value()

    return types.void(array), generate


borrowed: Any = intrinsic(_without_count)
"""``borrowed(array)``, in a kernel: the same array without the count of who refers to it. Kernels that are given arrays
count up and down, with instructions that all others wait for: for every row that takes longer than some rows do. What
the kernel was given itself lives long enough; what it made, it gives back with :data:`returned` at its end."""

returned: Any = intrinsic(_use)
"""``returned(array)``, in a kernel: up to here an array lives of which something is borrowed."""

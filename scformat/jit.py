"""How kernels are compiled: on first use, without the GIL, kept on disk where that is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

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

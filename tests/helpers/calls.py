"""Calls that the interpreter makes, counted: what work takes, without a clock. Compiled kernels make none."""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def watched(do: Callable[[], object], told: Callable[[FrameType, str, Any], None]) -> None:
    """Let every call and return during `do` be told, as :func:`sys.setprofile` tells them."""
    before = sys.getprofile()
    sys.setprofile(told)
    try:
        do()
    finally:
        sys.setprofile(before)


def calls_of(do: Callable[[], object]) -> Counter[str]:
    """Count the functions that are called during `do`, those of Python and those of C."""
    calls: Counter[str] = Counter()

    def told(frame: FrameType, event: str, what: Any) -> None:
        if event in ("call", "c_call"):
            calls[frame.f_code.co_qualname if event == "call" else getattr(what, "__qualname__", "")] += 1

    watched(do, told)
    return calls

"""What a surface of fuzzing is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random


@dataclass(frozen=True, kw_only=True)
class Surface:
    """Something that reads bytes of strangers.

    Attributes
    ----------
    about
        What is read, in a line.
    prepare
        Given an empty directory, make what is needed there; return inputs to start from, and the function that reads
        one input. It may raise an error of the interface, and nothing else.
    mutate
        Makes another input of one.
    guided
        Coverage says more than it costs: what is read decides which Python of this package runs, and no kernel.
    """

    about: str
    prepare: Callable[[Path], tuple[list[bytes], Callable[[bytes], None]]]
    mutate: Callable[[bytes, Random], bytes]
    guided: bool = True

"""Small blocks, so that small sources have many."""

from __future__ import annotations

from small_blocks import many_blocks

__all__ = ["many_blocks"]

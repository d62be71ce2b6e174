"""What conformance needs of an implementation: plain answers about a store, and the kit that asks for them."""

from scformat.conformance.answers import describe, draw, read
from scformat.conformance.kit import find_vectors, run_kit

__all__ = ["describe", "draw", "find_vectors", "read", "run_kit"]

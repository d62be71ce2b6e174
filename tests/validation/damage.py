"""Tools that damage a store: those of the conformance kit, ``tools/conformance``."""

from tools.conformance.damage import ABSENT, NO_DIGEST, Damage

__all__ = ["ABSENT", "NO_DIGEST", "Damage"]

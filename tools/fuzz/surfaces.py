"""All surfaces by name, the quick ones first."""

from __future__ import annotations

from tools.fuzz import parsers, stores

SURFACES = {**parsers.SURFACES, **stores.SURFACES}

"""All surfaces by name, the quick ones first."""

from __future__ import annotations

from tools.fuzz import parsers, sources, stores

SURFACES = {**parsers.SURFACES, **sources.SURFACES, **stores.SURFACES}

"""Invalid cases: corruptions of the store with everything, and of others where a statement needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.conformance.case import DATA, HIERARCHY, METADATA, SAMPLING, Invalid
from tools.conformance.corruptions.cells import CELLS
from tools.conformance.corruptions.container import BITS, CONTAINER
from tools.conformance.corruptions.document import HIERARCHY as DOCUMENTS
from tools.conformance.corruptions.document import ROOT
from tools.conformance.corruptions.manifest import MANIFEST
from tools.conformance.corruptions.neighbours import NEIGHBOURS_1, NEIGHBOURS_3
from tools.conformance.corruptions.others import (
    GROUPED,
    MERGED,
    NO_SPLITS,
    PARTS_1,
    PARTS_3,
    SHARDS_2,
    SHARDS_3,
    SHUFFLED,
    SOURCE_ORDER,
    TIED,
)
from tools.conformance.corruptions.shared import GENES, LABELS, SOURCES
from tools.conformance.corruptions.tables import TABLES_1, TABLES_4
from tools.conformance.damage import Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tools.conformance.corruptions import Corruption

EVERYTHING = "valid/everything"
DRAWN = "valid/everything-drawn"
NEAR = "valid/everything-near"
READABLE = {"not-canonical": [8, 9], "not-canonical-large": [8, 9]}
"""Corruptions that change nothing for a reader, and rows to read."""


def cases() -> Iterator[Invalid]:
    """Yield the cases."""
    for kind, level, found in (
        ("metadata", METADATA, ROOT),
        ("metadata", METADATA, MANIFEST),
        ("hierarchy", HIERARCHY, DOCUMENTS),
        ("data", DATA, BITS),
        ("data", DATA, CONTAINER),
        ("data", DATA, CELLS),
        ("data", DATA, GENES),
        ("data", DATA, LABELS),
        ("data", DATA, SOURCES),
    ):
        yield from of(kind, level, found, EVERYTHING)
    yield from of("metadata", METADATA, TABLES_1, DRAWN)
    yield from of("sampling", SAMPLING, TABLES_4, DRAWN)
    yield from of("metadata", METADATA, NEIGHBOURS_1, NEAR, "neighbours-")
    yield from of("data", DATA, NEIGHBOURS_3, NEAR, "neighbours-")
    yield from of("data", DATA, MERGED, "valid/merged-and-left-out")
    yield from of("data", DATA, SOURCE_ORDER, "valid/small")
    yield from of("data", DATA, SHUFFLED, "valid/order-shuffled")
    yield from of("data", DATA, TIED, "valid/order-of-ties")
    yield from of("data", DATA, GROUPED, "valid/splits-by-group")
    yield from of("metadata", METADATA, PARTS_1, "valid/several-parts")
    yield from of("data", DATA, PARTS_3, "valid/several-parts")
    yield from of("hierarchy", HIERARCHY, SHARDS_2, "valid/shard-bounds")
    yield from of("data", DATA, SHARDS_3, "valid/shard-bounds")
    yield from of("sampling", SAMPLING, NO_SPLITS, "valid/schemes")


READERS = {
    "VER-1": ["VER-2"],
    "VER-10": ["VER-4"],
    "INT-4": ["INT-5"],
    "ZAR-10": ["ZAR-21"],
    "ZAR-11": ["ZAR-21"],
    "CNT-13": ["ZAR-21"],
    "ZAR-15": ["ZAR-20"],
    "ZAR-16": ["ZAR-20"],
    "ZAR-18": ["ZAR-20", "CNT-6"],
    "TAB-9": ["TAB-14"],
}
"""What binds readers that meet a store which breaks a statement."""


def of(kind: str, level: int, corruptions: Mapping[str, Corruption], base: str, prefix: str = "") -> Iterator[Invalid]:
    """Cases of some corruptions of a store."""
    for name, found in corruptions.items():
        also = [*READERS.get(found.requirement, []), "CNF-5"] if found.refuse else []
        if found.requirement == "MAN-1" and kind == "metadata":
            also.append("CNF-7")
        if name == "missing":
            also.append("INT-13")
        yield Invalid(
            id=f"{kind}/{prefix}{name}",
            also=also,
            base=base,
            made=found.made,
            level=level,
            requirements=[found.requirement],
            damage=_act(found),
            refuse=found.refuse,
            read=READABLE.get(name, []),
        )


def _act(corruption: Corruption) -> Callable[[Path], None]:
    return lambda path: corruption.apply(Damage(path))

"""What the specification defines, computed from plain values one at a time: hashes, statistics, digests, orders.

Nothing here comes from the package: what a case expects must not come from what is to be tested.
"""

from __future__ import annotations

import hashlib
import importlib.util
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

    from tools.conformance.plain import Cell, Gene, Source, Splits, Store, Table

SUM_LIMIT = 2**53


def _slow() -> ModuleType:
    """The drawing of cells in plain integers, which also makes the vectors of ``tests/sampling``."""
    path = Path(__file__).resolve().parents[2] / "tests" / "sampling" / "slow_reference.py"
    found = importlib.util.spec_from_file_location("slow_reference", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


slow: Any = _slow()


def sha256(data: bytes) -> str:
    """Digest as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def entries_of(values: dict[int, int]) -> list[tuple[int, int]]:
    """Canonical entries of a cell: CNT-2."""
    out: list[tuple[int, int]] = []
    before = 0
    for gene, value in sorted(values.items()):
        gap, before = gene - before, gene
        out += [(65535, 0)] * (gap // 65535)
        delta, rest = gap % 65535, value
        while rest > 65535:
            out.append((delta, 65535))
            delta, rest = 0, rest - 65535
        out.append((delta, rest))
    return out


def content_hash(cell: Cell, source: Source) -> int:
    """Content of a cell: CEL-9, CEL-10."""
    h = 0
    for column, count in cell.counts.items():
        var = source.var[column]
        key = int.from_bytes(hashlib.sha256(f"{var.taxon}\t{var.id}".encode()).digest()[:8], "little")
        h += count * key
    h %= 2**64
    h ^= h >> 32
    return h * 0xD6E8FEB86659FD93 % 2**64 >> 1


def record_number(n: int) -> int:
    """A number in a record: CEL-7."""
    return n if n < 2**31 else -3


def statistics(values: list[int]) -> list[int]:
    """SRC-8: cells, sum, sum of squares, lower median of the values above 0."""
    held = sorted(v for v in values if v > 0)
    squares = sum(v * v for v in held)
    return [
        len(held),
        sum(held),
        squares if squares <= SUM_LIMIT else -3,
        held[(len(held) - 1) // 2] if held else 0,
    ]


def index_digest(genes: list[Gene]) -> str:
    """GEN-12."""
    return sha256("".join(f"{g.taxon}\t{g.id}\n" for g in genes).encode())


def set_digest(genes: list[Gene]) -> str:
    """GEN-13."""
    return sha256(b"".join(sorted(f"{g.taxon}\t{g.id}\n".encode() for g in genes)))


def order_key(seed: int, cell: Cell, source: Source) -> int:
    """ORD-2."""
    j = int.from_bytes(bytes.fromhex(source.sha256)[:4], "little")
    return int(slow.u64(slow.p(seed, 9, cell.source_row, j)))


def split_of(splits: Splits, values: list[str | None] | None, content: int) -> str:
    """SPL-7 to SPL-10; `values` of the columns ``by``, None where each cell is a group."""
    if values is None:
        key = content
    else:
        data = b""
        for value in values:
            raw = b"" if value is None else value.encode()
            data += b"\0" if value is None else b"\1" + len(raw).to_bytes(8, "little") + raw
        key = int.from_bytes(hashlib.sha256(data).digest()[:8], "little")
    u = slow.u64(slow.p(splits.seed, 10, key, 0))
    total = Fraction(0)
    for name, share in zip(splits.names[:-1], (splits.shares or [])[:-1], strict=True):
        total += Fraction(repr(share))
        if u < total * 2**64:
            return name
    return splits.names[-1]


def masses_of(table: Table) -> list[int]:
    """Masses of a table: TAB-2 where none are given."""
    if table.masses is not None:
        return table.masses
    found: list[int] = slow.masses([s.weight for s in table.strata])
    return found


def runs_of(rows: list[int]) -> list[tuple[int, int]]:
    """Maximal runs (first, length) of ascending rows."""
    out: list[tuple[int, int]] = []
    for row in rows:
        if out and sum(out[-1]) == row:
            out[-1] = (out[-1][0], out[-1][1] + 1)
        else:
            out.append((row, 1))
    return out


def table_digest(cells: str, arrays: dict[str, list[int]]) -> str:
    """TAB-10."""
    digest = hashlib.sha256(f"scformat table 1\ncells {cells}\n".encode())
    for name in ("counts", "masses", "threshold", "alias", "offsets", "run_start", "run_length", "rows"):
        if name in arrays:
            values = arrays[name]
            digest.update(f"{name} {len(values)}\n".encode())
            digest.update(b"".join(v.to_bytes(8, "little", signed=True) for v in values))
    return digest.hexdigest()


def tempered(q: list[int], temperature: float) -> list[int]:
    """TAB-5."""
    if temperature == 1:
        return q
    top = max(q)
    weights = [0.0 if x == 0 else max(power(x / top, 1 / temperature), 2.0**-1022) for x in q]
    found: list[int] = slow.masses(weights)
    return found


def power(base: float, exponent: float) -> float:
    """The exact power of a number of 0 .. 1, rounded to the nearest binary64."""
    if exponent == int(exponent):
        exact = Fraction(base) ** int(exponent)
        return exact.numerator / exact.denominator
    with localcontext() as context:
        context.prec = 80
        return float((Decimal(base).ln() * Decimal(exponent)).exp())


def strata_masses(weights: list[float]) -> list[int]:
    """TAB-2."""
    found: list[int] = slow.masses(weights)
    return found


def category_counts(store: Store, name: str) -> list[int]:
    """Cells of each category of a label."""
    label = store.label(name)
    held = [cell.labels.get(name) for cell in store.cells]
    return [held.count(category) for category in label.categories]


def term_counts(store: Store, name: str) -> list[int]:
    """LAB-15: cells at or below each term."""
    label, graph = store.label(name), store.label(name).graph
    assert graph is not None
    counts = dict(zip(label.categories, category_counts(store, name), strict=True))
    return [
        sum(n for category, n in counts.items() if term in graph.reached(graph.of_category.get(category, "")))
        for term, _ in graph.terms
    ]

"""Valid cases of sampling: tables of every scheme, and draws of every plan."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tools.conformance.case import Draw, Valid
from tools.conformance.plain import Label, Part, Splits, Store, Stratum, Table
from tools.conformance.valid_cells import GRAPH, ontology_store
from tools.conformance.valid_counts import genes, plain_cells, small, source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tools.conformance.plain import Cell


def rows_by(
    store: Store, names: Sequence[str], keep: Callable[[Cell], bool] = lambda _: True
) -> dict[tuple[int, ...], list[int]]:
    """Rows of each tuple of codes that some cell has, sorted: WGT-2. Cells that lack a label are in none."""
    out: dict[tuple[int, ...], list[int]] = {}
    for row, cell in enumerate(store.cells):
        values = [cell.labels.get(name) for name in names]
        if keep(cell) and None not in values:
            codes = tuple(store.label(n).categories.index(str(v)) for n, v in zip(names, values, strict=True))
            out.setdefault(codes, []).append(row)
    return dict(sorted(out.items()))


def table_of(
    store: Store, name: str, by: str, weights: Callable[[tuple[int, ...], int], float], *names: str, **more: Any
) -> Table:
    """A table over labels; `weights` of a stratum's codes and number of cells."""
    held = rows_by(store, names, more.pop("keep", lambda _: True))
    strata = [Stratum(codes=codes, rows=rows, weight=weights(codes, len(rows))) for codes, rows in held.items()]
    keys = [{"name": n, "kind": "label"} for n in names]
    n_missing = sum(any(cell.labels.get(n) is None for n in names) for cell in store.cells)
    return Table(name=name, by=by, keys=keys, strata=strata, n_missing=more.pop("n_missing", n_missing), **more)


def ontology_masses(store: Store) -> dict[int, float]:
    """WGT-5 for the label ``cell_type``: share of each category, by its code."""
    categories = store.label("cell_type").categories
    held = {codes[0]: len(rows) for codes, rows in rows_by(store, ["cell_type"]).items()}
    sets = set()
    for term, _ in GRAPH.terms:
        below = frozenset(c for c in held if term in GRAPH.reached(GRAPH.of_category.get(categories[c], "")))
        sets.add(below)
    sets |= {frozenset([c]) for c in held if categories[c] not in GRAPH.of_category}
    sets.discard(frozenset())
    out = {}
    for c, n in held.items():
        terms = [Fraction(n / sum(held[x] for x in e)) for e in sets if c in e]
        total = sum(terms, Fraction(0))
        out[c] = total.numerator / total.denominator
    return out


def cases() -> Iterator[Valid]:
    """Yield the cases."""
    yield _schemes()
    yield _nested()
    yield _shapes()
    yield _plans()
    yield _epochs()
    yield _older_table()


def _schemes() -> Valid:
    store = ontology_store(200)
    shares = ontology_masses(store)
    total = float(sum((Fraction(m) for m in shares.values()), Fraction(0)))
    schemes: list[tuple[str, str, Callable[[tuple[int, ...], int], float]]] = [
        ("natural", "natural", lambda _, n: float(n)),
        ("balanced", "balanced", lambda _, n: 1.0),
        ("power", "power(0.5)", lambda _, n: n**0.5),
        ("scaled", "scaled(50)", lambda _, n: n * 50.0 / (n + 50.0)),
        ("effective", "effective_number(0.99)", lambda _, n: n * (1 - 0.99) / -math.expm1(n * math.log(0.99))),
        ("nodes", "ontology_nodes", lambda codes, _: shares[codes[0]] / total),
    ]
    store.tables = [
        table_of(store, name, f"cell_type:{scheme}", weights, "cell_type") for name, scheme, weights in schemes
    ]
    draws = [Draw(table=name, plan="independent", seed=i, count=100) for i, (name, _, _) in enumerate(schemes)]
    draws += [
        Draw(table=name, plan="stratified", seed=i, count=64, window=64, lanes=2, block=8, start=64 * i)
        for i, (name, _, _) in enumerate(schemes)
    ]
    return Valid(
        id="valid/schemes",
        store=store,
        made="A table of each scheme over the cell types of an ontology; masses from the formulas, in plain fractions.",
        requirements=[
            "TAB-1",
            "TAB-2",
            "TAB-3",
            "TAB-4",
            "TAB-6",
            "TAB-10",
            "TAB-13",
            "WGT-2",
            "WGT-4",
            "WGT-5",
            "SAM-10",
        ],
        reads=[[0, 199]],
        draws=draws,
    )


def _nested() -> Valid:
    store = small(120)
    store.labels = [Label(name="kind", categories=["a", "b", "c"]), Label(name="site", categories=["x", "y"])]
    store.splits = Splits(names=["train", "test"])
    for i, cell in enumerate(store.cells):
        kind = "aaaabbc"[i % 7]
        cell.labels = {"kind": kind, "site": None if i % 10 == 9 else ("x" if i % 3 or kind == "c" else "y")}
        cell.split = ("train", "train", "test", None)[i % 4]
    both = rows_by(store, ["kind", "site"])

    def nested(codes: tuple[int, ...], n: int) -> float:
        present = {x[0] for x in both}
        within = {x[1]: len(rows) for x, rows in both.items() if x[0] == codes[0]}
        share = {t: m * 50.0 / (m + 50.0) for t, m in within.items()}
        total = float(sum((Fraction(s) for s in share.values()), Fraction(0)))
        return (1.0 / len(present)) * (share[codes[1]] / total)

    train = table_of(
        store,
        "train",
        "kind:balanced",
        lambda _, n: 1.0,
        "kind",
        split="train",
        keep=lambda cell: cell.split == "train",
        n_missing=0,
    )
    named = rows_by(store, ["site"])
    named[(-1,)] = [row for row, cell in enumerate(store.cells) if cell.labels["site"] is None]
    missing = Table(
        name="missing",
        by="site:balanced(missing=none)",
        keys=[{"name": "site", "kind": "label", "missing": "none"}],
        strata=[Stratum(codes=codes, rows=rows, weight=1.0) for codes, rows in named.items()],
    )
    store.tables = [table_of(store, "nested", "kind:balanced,site:scaled(50)", nested, "kind", "site"), train, missing]
    return Valid(
        id="valid/nested-labels",
        store=store,
        made="A table over two labels, one of a split, and one with a category for the cells without a label.",
        requirements=["WGT-1", "WGT-2", "WGT-3", "TAB-7", "TAB-8", "TAB-15"],
        reads=[[0, 9, 119]],
        draws=[
            Draw(table=name, plan=plan, seed=11, count=96, window=32, lanes=4, block=8)
            for name in ("nested", "train", "missing")
            for plan in ("independent", "stratified", "epoch")
        ],
    )


def _shapes() -> Valid:
    """Tables whose alias tables, masses and rows are of every shape."""
    store = small(80)
    store.labels = [
        Label(name="one", categories=["all"]),
        Label(name="kind", categories=[f"k{i:02}" for i in range(20)]),
    ]
    for i, cell in enumerate(store.cells):
        cell.labels = {"one": "all", "kind": f"k{int(math.sqrt(i * 5)):02}"}
    kinds = rows_by(store, ["kind"])
    keys = [{"name": "kind", "kind": "label"}]

    def made(name: str, weights: Sequence[float], n: int | None = None, **more: Any) -> Table:
        strata = [
            Stratum(codes=codes, rows=rows, weight=w)
            for (codes, rows), w in zip(list(kinds.items())[:n], weights, strict=True)
        ]
        return Table(name=name, by="kind:custom(weights.tsv)", keys=keys, strata=strata, **more)

    n = len(kinds)
    eight = [0, 1 << 31, 1 << 33, 1 << 34, 3, 5 << 30]
    store.tables = [
        table_of(store, "single", "one:natural", lambda _, n: float(n), "one"),
        made("two", [1.0, 3.0], 2),
        made("four-full", [1.0] * 4, 4),
        made("no-mass", [0.0, 1.0, 0.0, 2.0, 0.0], 5),
        made("far-apart", [5e-324, 1.0, 1e300], 3),
        made("many", [1 / (c + 1) for c in range(n)]),
        made("as-rows", [float(c % 3 + 1) for c in range(n)], as_rows=True),
        made("given", [1.0] * 7, 7, masses=[*eight, (1 << 35) - sum(eight)]),
    ]
    return Valid(
        id="valid/tables",
        store=store,
        made="Tables of one, two and many strata, with masses of 0, alike and far apart, with runs and with rows.",
        requirements=["TAB-1", "TAB-2", "TAB-4", "TAB-6", "TAB-7", "TAB-10", "SAM-10", "SAM-21"],
        reads=[[0, 79]],
        draws=[
            Draw(table=table.name, plan=plan, seed=seed, count=64, window=64, lanes=2, block=4)
            for seed, table in enumerate(store.tables)
            for plan in ("independent", "stratified")
        ]
        + [
            Draw(table="many", plan="independent", seed=2**53 - 1, start=2**32 - 3, count=8),
            Draw(table="many", plan="independent", seed=2**64 - 1, start=2**53 - 4, count=8),
            Draw(table="many", plan="independent", seed=1, count=12, start=5, rank=1, world_size=3),
            Draw(table="far-apart", plan="independent", seed=9, count=300),
        ],
    )


def _plans() -> Valid:
    """Strata of very unequal size, so that windows hold parts of epochs of some and many epochs of others."""
    store = large_store(700, [1, 2, 63, 64, 65, 300, 205])
    table = [table_of(store, "kind", "kind:balanced", lambda _, n: 1.0, "kind")]
    store.tables = [*table, table_of(store, "natural", "kind:natural", lambda _, n: float(n), "kind")]
    common: dict[str, Any] = {"table": "kind", "plan": "stratified", "seed": 3}
    return Valid(
        id="valid/stratified-plan",
        store=store,
        made="Strata of 1 to 300 cells: windows of several sizes, lanes and blocks, ranks, schedules, far positions.",
        requirements=[
            "SAM-1",
            "SAM-2",
            "SAM-3",
            "SAM-4",
            "SAM-5",
            "SAM-20",
            "SAM-21",
            "SAM-22",
            "SAM-23",
            "SAM-24",
            "SAM-26",
            "SAM-40",
            "TAB-5",
        ],
        reads=[[0, 699]],
        draws=[
            Draw(**common, count=512, window=512, lanes=2, block=64),
            Draw(**common, count=512, window=512, lanes=8, block=8, start=512),
            Draw(**common, count=100, window=256, lanes=1, block=1, start=200),
            Draw(**common, count=64, window=4096, lanes=8, block=64, start=4090),
            Draw(**common, count=60, window=512, lanes=2, block=64, start=500, rank=2, world_size=7),
            Draw(**common, count=40, window=64, lanes=1, block=16, start=64 * ((1 << 20) + 3) - 20),
            Draw(table="natural", plan="stratified", seed=12345678901, count=300, window=128, lanes=4, block=4),
            Draw(**common, count=192, window=64, lanes=2, block=8, schedule=((0, 1.0), (64, 2.0), (128, 0.5))),
            Draw(
                **common,
                count=192,
                window=64,
                lanes=2,
                block=8,
                schedule=((0, 1.7), (64, 0.3), (128, 1000.0)),
            ),
            Draw(
                table="natural",
                plan="independent",
                seed=5,
                count=96,
                window=32,
                lanes=1,
                block=1,
                schedule=((0, 0.5), (32, 2.0), (64, 1.0)),
            ),
        ],
    )


def large_store(n: int, sizes: Sequence[int]) -> Store:
    """Cells of few counts, in strata of some sizes that take turns in the order of rows."""
    index = genes(3)
    cells = plain_cells(n, 3)
    left = list(sizes)
    at = 0
    for cell in cells:
        while not left[at % len(left)]:
            at += 1
        left[at % len(left)] -= 1
        cell.labels = {"kind": f"k{at % len(left)}"}
        at += 1 + cell.source_row % 2
    return Store(
        genes=index,
        parts=[Part(cells=cells, sources=[source_of(index, "many", n)])],
        labels=[Label(name="kind", categories=[f"k{i}" for i in range(len(sizes))])],
    )


def _epochs() -> Valid:
    store = large_store(1000, [1000])
    return Valid(
        id="valid/epoch-plan",
        store=store,
        made="1,000 cells in windows that do and do not divide them, over the end of epochs, by ranks.",
        requirements=["SAM-25", "SAM-26", "SAM-30", "SAM-20"],
        reads=[[0, 999]],
        draws=[
            Draw(plan="epoch", seed=6, count=1000, window=256, lanes=2, block=64),
            Draw(plan="epoch", seed=6, count=300, start=900, window=256, lanes=2, block=64),
            Draw(plan="epoch", seed=7, count=200, start=1900, window=512, lanes=8, block=1),
            Draw(plan="epoch", seed=8, count=1000),
            Draw(
                plan="epoch", seed=0, count=120, start=3 * 1000 - 60, window=100, lanes=5, block=4, rank=1, world_size=4
            ),
            Draw(plan="epoch", seed=9, count=40, start=10**12 - 20, window=1000, lanes=1, block=8),
        ],
    )


def _older_table() -> Valid:
    """A table made before a part was appended."""
    index = genes(5)
    store = Store(
        genes=index,
        parts=[
            Part(cells=plain_cells(12, 5), sources=[source_of(index, "one", 12)]),
            Part(cells=plain_cells(7, 5, source=1, prefix="later"), sources=[source_of(index, "two", 7)]),
        ],
        labels=[Label(name="kind", categories=["a", "b"])],
    )
    for i, cell in enumerate(store.cells):
        cell.labels = {"kind": "ab"[i % 2]}
    new = table_of(store, "new", "kind:natural", lambda _, n: float(n), "kind")
    old = table_of(store, "old", "kind:balanced", lambda _, n: 1.0, "kind", n_rows=12, keep=lambda c: c.source == 0)
    store.tables = [old, new]
    return Valid(
        id="valid/table-of-the-first-part",
        store=store,
        made="A table made before the second part was appended, and one made after it.",
        requirements=["TAB-9", "TAB-14", "SAM-30"],
        draws=[
            Draw(table="old", plan="independent", count=32),
            Draw(table="new", plan="stratified", count=32, window=16, lanes=1, block=4),
            Draw(plan="epoch", count=38, window=16, lanes=2, block=2),
        ],
    )

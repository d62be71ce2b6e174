"""Valid cases of what cells carry: text, labels, obs columns, splits, orders, parts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tools.conformance import plainly
from tools.conformance.case import Valid
from tools.conformance.plain import Cell, Column, Extents, Gene, Graph, Label, Part, Splits, Store
from tools.conformance.valid_counts import HUMAN, genes, pattern, plain_cells, small, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUSE = 10090
TRAPS = [
    "",
    " ",
    " padded ",
    "tab\tand\nline",
    "nul\0inside",
    "é",
    "é",  # the same to a reader's eye, in two code points
    "Straße",
    "中文",
    "\uff5e",  # sorts before the next in UTF-8, after it in UTF-16
    "😀",
    "𐍈",
    "\ufeffmark",
    "\u2028",
    "\u202eright to left",
    "nan",
    "None",
    "NA",
    "-1",
    '"quoted", \\ and /',
    "../escape",
    "e\u0301",
    "\x7f",
    "\uffff",
]
"""Texts that implementations have changed, cut, sorted in another order or taken for missing."""


def by_bytes(texts: list[str]) -> list[str]:
    """Distinct texts sorted by their UTF-8 bytes."""
    return sorted(set(texts), key=lambda text: text.encode())


def cases() -> Iterator[Valid]:
    """Yield the cases."""
    yield _strings()
    yield from _labels()
    yield from _obs()
    yield from _splits()
    yield from _orders()
    yield _organisms()
    yield _several_parts()
    yield _optional_feature()


def _strings() -> Valid:
    texts = by_bytes(TRAPS)
    index = [
        Gene(id=text or "plain", symbol=f"s{i}") for i, text in enumerate(["plain", "é", "😀", "\uff5e", "a b", "A"])
    ]
    sources = [source_of(index, name, len(texts)) for name in ("", "../source/😀")]
    cells = [
        Cell(
            source=s,
            source_row=i,
            barcode=texts[(i + s) % len(texts)],
            counts={(i + s) % 6: i + 1},
            labels={"": text, "label/😀": texts[-1 - i] if s else None},
            obs={"text": text, "text é": text if i % 2 else None, "kinds\n": text},
        )
        for s in (0, 1)
        for i, text in enumerate(texts)
    ]
    for s, source in enumerate(sources):
        source.columns = [
            {"name": name, "kind": kind, "dtype": "string"}
            for name, kind in (("text", "string"), ("text é", "string"), ("kinds\n", "categorical"))
        ]
        source.record = {"study": texts[s], "metadata": {"key é": texts[-1]}}
    return Valid(
        id="valid/strings",
        store=Store(
            genes=index,
            parts=[Part(cells=cells, sources=sources)],
            labels=[Label(name="", categories=texts), Label(name="label/😀", categories=texts)],
            obs=[
                Column(name="text", kind="string", dtype="string"),
                Column(name="text é", kind="string", dtype="string", masked=True),
                Column(name="kinds\n", kind="categorical", dtype="string", categories=texts),
            ],
            extents=Extents(bytes=(16, 64)),
        ),
        made="Empty, non-ASCII, four-byte and other troublesome texts as barcodes, categories, values, names and ids.",
        requirements=["CNV-3", "ZAR-4", "ZAR-7", "ZAR-22", "ZAR-23", "LAB-2", "MAN-6", "CEL-12", "CEL-17", "GEN-7"],
        reads=[range(len(cells)), [len(cells) - 1, 3, 3, 24]],
    )


def _labels() -> Iterator[Valid]:
    store = small(18)
    store.labels = [
        Label(name="kind", categories=["a", "b", "never"]),
        Label(name="nothing", categories=["x"]),
        Label(name="no categories", categories=[]),
    ]
    for i, cell in enumerate(store.cells):
        cell.labels = {"kind": None if i % 4 == 1 else "ab"[i % 2]}
    yield Valid(
        id="valid/missing-labels",
        store=store,
        made="A label that some cells lack, one that all lack, one without categories, and a category without cells.",
        requirements=["LAB-4", "LAB-6", "LAB-7", "LAB-8"],
    )
    many = small(12)
    many.labels = [Label(name=f"l{i}", categories=[f"c{j:02}" for j in range(i + 1)]) for i in range(12)]
    for n, cell in enumerate(many.cells):
        cell.labels = {f"l{i}": f"c{n % (i + 1):02}" if (n + i) % 5 else None for i in range(12)}
    many.parts[0].in_record = ["l7", "l2", "l11", "l3"]
    many.splits = Splits(names=["train", "val"], shares=None)
    for n, cell in enumerate(many.cells):
        cell.split = (None, "train", "val")[n % 3]
    many.parts[0].split_in_record = False
    yield Valid(
        id="valid/many-labels",
        store=many,
        made="Twelve labels: four in the record in an order of their own, eight in arrays, as the splits of a file.",
        requirements=["CEL-3", "LAB-5", "LAB-9", "SPL-1", "SPL-3", "SPL-5"],
    )
    yield Valid(
        id="valid/ontology",
        store=ontology_store(),
        made="The worked example of the chapter on labels, and a category that is no term.",
        requirements=["LAB-10", "LAB-11", "LAB-12", "LAB-13", "LAB-14", "LAB-15", "LAB-16", "LAB-17"],
    )


GRAPH = Graph(
    terms=[
        ("CL:0000084", "T cell"),
        ("CL:0000236", "B cell"),
        ("CL:0000542", "lymphocyte"),
        ("CL:0000623", "natural killer cell"),
        ("CL:0000814", "mature NK T cell"),
        ("CL:9999999", "CL:9999999"),
    ],
    edges=[
        ("CL:0000084", "CL:0000542"),
        ("CL:0000236", "CL:0000542"),
        ("CL:0000623", "CL:0000542"),
        ("CL:0000814", "CL:0000084"),
        ("CL:0000814", "CL:0000623"),
    ],
    of_category={
        "B cell": "CL:0000236",
        "mature NK T cell": "CL:0000814",
        "natural killer cell (CL:0000623)": "CL:0000623",
    },
    releases={"CL": "2025-07-30"},
)


def ontology_store(n: int = 22) -> Store:
    """A store whose cell types are terms."""
    store = small(n)
    categories = ["B cell", "mature NK T cell", "natural killer cell (CL:0000623)", "something else"]
    store.labels = [Label(name="cell_type", categories=categories, graph=GRAPH)]
    for i, cell in enumerate(store.cells):
        cell.labels = {"cell_type": None if i % 9 == 8 else categories[(i * i) % 4 if i % 5 else 3 - i % 3]}
    return store


def _obs() -> Iterator[Valid]:
    store = small(11)
    kinds: list[tuple[Column, list[Any]]] = [
        (Column(name="int8", kind="integer", dtype="int8", stored="int32"), [-128, 127, 0]),
        (Column(name="int32", kind="integer", dtype="int32"), [-(2**31) + 3, 2**31 - 1, -1]),
        (Column(name="int64", kind="integer", dtype="int64"), [-(2**63) + 4096, 2**63 - 1, 2**53 + 1, 2**53, 0]),
        (Column(name="uint32", kind="integer", dtype="uint32"), [1, 2**32 - 1]),
        (Column(name="uint64", kind="integer", dtype="uint64"), [4096, 2**64 - 1, 2**53 + 1, 7]),
        (Column(name="lowest", kind="integer", dtype="int64"), [-(2**63), -(2**63) + 4096, 5]),
        (Column(name="masked", kind="integer", dtype="int64", stored="int32", masked=True), [5, None, -7]),
        (Column(name="float32", kind="float", dtype="float32"), [0.1, -0.0, 16777217.0, 1e-45, 3.4e38]),
        (Column(name="float64", kind="float", dtype="float64"), [0.1, 5e-324, 1.7976931348623157e308, -1e300]),
        (Column(name="not finite", kind="float", dtype="float64"), [math.inf, -math.inf, None, 1.5]),
        (Column(name="lowest float", kind="float", dtype="float32"), [-3.4028234663852886e38, 1.0]),
        (Column(name="masked float", kind="float", dtype="float64", masked=True), [None, 2.5, math.nan]),
        (Column(name="flag", kind="boolean", dtype="bool"), [True, False, False]),
        (Column(name="masked flag", kind="boolean", dtype="bool", masked=True), [None, True, False]),
        (Column(name="text", kind="string", dtype="string"), ["", "a", "ä" * 40]),
        (Column(name="masked text", kind="string", dtype="string", masked=True), [None, "", "x"]),
        (
            Column(name="category", kind="categorical", dtype="string", categories=["z", "a", "", "never"]),
            ["a", "", None, "z"],
        ),
        (
            Column(name="numbers", kind="categorical", dtype="float64", categories=["0.1", "1e+20", "nan"]),
            ["nan", "0.1"],
        ),
        (Column(name="of a label", kind="categorical", dtype="string", label="kind"), []),
        (Column(name="total_counts", kind="integer", dtype="int32"), [-5, 6]),
    ]
    store.obs = [column for column, _ in kinds]
    store.labels = [Label(name="kind", categories=["p", "q"])]
    for i, cell in enumerate(store.cells):
        cell.obs = {column.name: values[i % len(values)] for column, values in kinds if values}
        cell.labels = {"kind": ("p", "q", None)[i % 3]}
    store.sources[0].columns = [
        {"name": c.name, "kind": c.kind, "dtype": c.dtype, "nullable": c.masked, "ordered": False} for c in store.obs
    ]
    yield Valid(
        id="valid/obs-types",
        store=store,
        made="An obs column of every kind and type, missing values, extremes, and a column named like a field.",
        requirements=["CEL-14", "CEL-15", "CEL-16", "CEL-17", "CEL-18", "CEL-19", "CEL-20", "ZAR-8", "ZAR-19", "CNV-2"],
    )


def _splits() -> Iterator[Valid]:
    by_content = small(40)
    by_content.splits = Splits(names=["train", "val", "test"], shares=[0.7, 0.2, 0.1], seed=7)
    for cell in by_content.cells:
        content = plainly.content_hash(cell, by_content.sources[0])
        cell.split = plainly.split_of(by_content.splits, None, content)
    yield Valid(
        id="valid/splits-by-content",
        store=by_content,
        made="Each cell by itself; cells without counts are one group.",
        requirements=["SPL-4", "SPL-7", "SPL-9", "SPL-10", "SPL-6"],
        reads=[range(0, 40, 3)],
    )
    grouped = small(40)
    grouped.splits = Splits(names=["a", "b"], shares=[0.5, 0.5], by=["study", "donor"], seed=3)
    grouped.labels = [
        Label(name="donor", categories=["", "d1", "d2", "ä"]),
        Label(name="study", categories=["s 1", "s 2"]),
    ]
    for i, cell in enumerate(grouped.cells):
        donor = ("", "d1", None, "ä", "d2")[i % 5]
        cell.labels = {"study": ("s 1", None, "s 2")[i // 14], "donor": donor}
        cell.split = plainly.split_of(grouped.splits, [cell.labels["study"], cell.labels["donor"]], 0)
    # A copy of a cell of another split has none.
    first = grouped.cells[0]
    other = next(cell for cell in grouped.cells if cell.split != first.split and cell.source_row % 11 != 5)
    other.counts, other.split = dict(first.counts), None
    grouped.splits.duplicates_left_out = 1
    yield Valid(
        id="valid/splits-by-group",
        store=grouped,
        made="Groups of two labels with missing and empty values; a copy of another split's cell is in none.",
        requirements=["SPL-4", "SPL-5", "SPL-7", "SPL-8", "SPL-10", "SPL-11"],
        reads=[range(0, 40, 3)],
    )


def _orders() -> Iterator[Valid]:
    index = genes(8)

    def made(order: str) -> Store:
        sources = [source_of(index, name, 9) for name in ("first", "second")]
        cells = [
            Cell(
                source=s,
                source_row=row,
                counts=pattern(row + s, 8),
                barcode=f"{s}-{row}",
                labels={"kind": (None, "a", "b")[(row + s) % 3], "site": ("x", "y")[row % 2]},
                split=(None, "train", "test")[(row // 2) % 3],
            )
            for s in (0, 1)
            for row in range(9)
        ]
        return Store(
            genes=index,
            parts=[Part(cells=cells, sources=sources, order=order)],
            labels=[Label(name="kind", categories=["a", "b"]), Label(name="site", categories=["x", "y"])],
            splits=Splits(names=["train", "test"]),
            seed=5,
        )

    shuffled = made("shuffled")
    shuffled.parts[0].cells.sort(key=lambda c: plainly.order_key(5, c, shuffled.sources[c.source]))
    yield Valid(
        id="valid/order-shuffled",
        store=shuffled,
        made="The cells of two sources in the shuffled order.",
        requirements=["ORD-2", "ORD-3", "ORD-5"],
    )
    twins = [source_of(index, name, 6) for name in ("twin b", "twin a")]
    for twin in twins:
        twin.content = "the same file"
    cells = [
        Cell(source=s, source_row=row, counts=pattern(row, 8), barcode=f"{s}-{row}") for row in range(6) for s in (0, 1)
    ]
    cells.sort(key=lambda c: plainly.order_key(0, c, twins[c.source]))
    yield Valid(
        id="valid/order-of-ties",
        store=Store(genes=index, parts=[Part(cells=cells, sources=twins, order="shuffled")]),
        made="One file as two sources, shuffled: their keys are alike, and the number of the source decides.",
        requirements=["ORD-2", "ORD-3", "ORD-5", "SRC-2"],
    )
    stratified = made("stratified")
    stratified.parts[0].order_by = ["site", "kind"]

    def place(cell: Cell) -> tuple[int, ...]:
        codes = [
            -1 if cell.labels[n] is None else stratified.label(n).categories.index(cell.labels[n] or "")
            for n in ("site", "kind")
        ]
        split = -1 if cell.split is None else ["train", "test"].index(cell.split)
        return (*codes, split, plainly.order_key(5, cell, stratified.sources[cell.source]))

    stratified.parts[0].cells.sort(key=place)
    yield Valid(
        id="valid/order-stratified",
        store=stratified,
        made="The cells of two sources sorted by two labels, one of them missing in some, then by split.",
        requirements=["ORD-2", "ORD-4", "ORD-6"],
    )


def _organisms() -> Valid:
    index = [
        *genes(5),
        *genes(4, taxon=MOUSE, prefix="ENSMUSG9"),
        Gene(id="ENSG90000000001", taxon=0),
        Gene(id="ERCC-1", taxon=32630),
    ]
    human = source_of(index, "human", 6, chosen=[0, 1, 2, 3, 4, 9, 10])
    mouse = source_of(index, "mouse", 5, chosen=[8, 7, 6, 5])
    cells = plain_cells(6, 7, prefix="h") + plain_cells(5, 4, source=1, prefix="m")
    names = {
        0: ("unknown", None),
        HUMAN: ("Homo sapiens", "GENCODE 48"),
        MOUSE: ("Mus musculus", "GENCODE M37"),
        32630: ("spike-ins", None),
    }
    return Valid(
        id="valid/two-organisms",
        store=Store(genes=index, parts=[Part(cells=cells, sources=[human, mouse])], organisms=names),
        made="A human and a mouse source, an id that is a gene of two taxa, and a spike-in.",
        requirements=["GEN-2", "GEN-4", "GEN-7", "GEN-8", "GEN-12", "GEN-13", "SRC-5", "SRC-6", "CEL-9"],
    )


def _several_parts() -> Valid:
    index = genes(9)
    first = Part(
        cells=plain_cells(10, 6),
        sources=[source_of(index, "one", 10, chosen=range(6))],
        n_genes=6,
        labels=["kind"],
        obs=["score"],
    )
    second = Part(
        cells=plain_cells(4, 8, source=1, prefix="b") + plain_cells(5, 9, source=2, prefix="c"),
        sources=[source_of(index, "two", 4, chosen=range(8)), source_of(index, "three", 7, chosen=range(8, -1, -1))],
        n_genes=9,
        in_record=["site"],
        obs=["note", "score"],
    )
    third = Part(cells=[], sources=[], labels=[], obs=[])
    last = Part(
        cells=plain_cells(3, 9, source=3, prefix="d"), sources=[source_of(index, "four", 3)], labels=[], obs=["flag"]
    )
    store = Store(
        genes=index,
        parts=[first, second, third, last],
        labels=[Label(name="kind", categories=["a", "b", "A"]), Label(name="site", categories=["x"])],
        obs=[
            Column(name="score", kind="float", dtype="float32"),
            Column(name="note", kind="string", dtype="string"),
            Column(name="flag", kind="boolean", dtype="bool"),
            Column(name="nowhere", kind="categorical", dtype="string", categories=["q"]),
        ],
    )
    for i, cell in enumerate(store.cells):
        cell.labels = {"kind": "abA"[i % 3] if i < 19 and (i < 10 or i > 12) else None}
        if 10 <= i < 19:
            cell.labels["site"] = "x" if i % 2 else None
        cell.obs = {"score": i / 4, "note": f"n{i}", "flag": i % 2 == 0}
    for cell in first.cells:
        cell.labels["kind"] = "ab"[cell.source_row % 2]
    return Valid(
        id="valid/several-parts",
        store=store,
        made="Four parts, one of them without cells; genes, categories, labels and columns that only later parts have.",
        requirements=["PRT-1", "PRT-2", "PRT-3", "PRT-4", "PRT-5", "PRT-7", "PRT-9", "LAB-6", "CEL-14", "SRC-6"],
        reads=[range(22), [21, 0, 10, 9, 19, 18, 10]],
    )


def _optional_feature() -> Valid:
    store = small(6)
    store.optional_features = ["x-unheard-of", "layers-2"]
    store.extra = {"x-member": {"null": [1, 2, {"a": "b"}]}, "later": "ä"}
    store.sources[0].record = {"later": {"member": 1}}
    store.findings = [{"what": "something", "later": 3}]
    return Valid(
        id="valid/optional-feature",
        store=store,
        made="Optional features and members of the manifest and of a record that no version has.",
        requirements=["VER-5", "MAN-3", "MAN-4", "VER-7"],
    )

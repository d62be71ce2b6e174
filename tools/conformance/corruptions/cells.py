"""Values of counts, records, barcodes and obs that break the format while all checksums and digests hold (level 3)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.conformance.corruptions import Corruption, corruption, told
from tools.conformance.corruptions.manifest import column

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage

    Rows = list[list[tuple[int, int]]]


def value(text: str, locate: Callable[[Damage], dict[str, Any]], at: Any, new: Any) -> Change:
    """Set some values of an array."""
    return told(text, lambda d: d.change(locate(d), at, new))


def field(name: str, cell: int, new: int) -> Change:
    """Set a field of a cell's record."""
    return told(
        f"The field {name} of cell {cell} is {new}.", lambda d: d.change(d.part["index"], (d.field(name), cell), new)
    )


def label_field(name: str, cell: int, new: int) -> Change:
    """Set the code of a label of a cell, in its record."""

    def act(d: Damage) -> None:
        d.change(d.part["index"], (d.part["labels"][name]["field"], cell), new)

    return told(f"The code of {name} of cell {cell} is {new}.", act)


def entries(change: Callable[[Rows], Any]) -> Change:
    """Change the entries of cells, and put ends and digests right."""

    def act(d: Damage) -> None:
        rows = d.rows()
        change(rows)
        d.put_rows(rows)

    return told((change.__doc__ or "").strip(), act)


def _find(rows: Rows, accept: Callable[[tuple[int, int]], bool]) -> tuple[int, int]:
    return next((i, p) for i, row in enumerate(rows) for p, pair in enumerate(row) if accept(pair))


def _split_a_count(rows: Rows) -> None:
    """A count is in two entries, which readers accept."""
    i, p = _find(rows, lambda pair: 5 <= pair[1] < 60_000)
    delta, count = rows[i][p]
    rows[i][p : p + 1] = [(delta, count - 2), (0, 2)]


def _early_rest(rows: Rows) -> None:
    """A count above 65,535 begins with the smaller entry."""
    i, p = next(
        (i, p)
        for i, row in enumerate(rows)
        for p, (a, b) in enumerate(itertools.pairwise(row))
        if a[1] == 65_535 and b[0] == 0 and b[1] != 65_535
    )
    (delta, _), (_, rest) = rows[i][p : p + 2]
    rows[i][p : p + 2] = [(delta, rest), (0, 65_535)]


def _trailing_gap(rows: Rows) -> None:
    """A cell ends with a gap of 65,535, beyond the genes."""
    rows[8].append((65_535, 0))


def _zero(rows: Rows) -> None:
    """An entry has the count 0 and a small delta."""
    rows[8][1] = (rows[8][1][0], 0)


def _delta_and_count(rows: Rows) -> None:
    """An entry has the delta 65,535 and a count."""
    rows[8][1] = (65_535, 3)


def _fill_pair(rows: Rows) -> None:
    """An entry is the fill value."""
    rows[8][1] = (65_535, 65_535)


def _beyond_the_index(rows: Rows) -> None:
    """The last gene of a cell is none of the index."""
    rows[8][-1] = (500, 1)


def _just_beyond_the_index(d: Damage) -> None:
    """The last gene of a cell is the first that the index does not have."""
    rows = d.rows()
    rows[8].append((d.part["sources"]["n_genes"] - sum(delta for delta, _ in rows[8]), 1))
    d.put_rows(rows)


def _another_count(rows: Rows) -> None:
    """A count is one less."""
    i, p = _find(rows, lambda pair: pair[1] > 1)
    rows[i][p] = (rows[i][p][0], rows[i][p][1] - 1)


def _extend(d: Damage) -> None:
    """The last cell ends beyond its shard, and n_entries is what the ends say."""
    d.change(d.part["index"], (0, -1), 5 << 20)
    d.part["n_entries"] = d.manifest["n_entries"] = 5 << 20


def _ends_fall(d: Damage) -> None:
    """A cell ends before the one before it."""
    values = d.values(d.part["index"])
    values[0, 20] = values[0, 19] - 1
    d.put(d.part["index"], values)


def _end_negative(d: Damage) -> None:
    """The first cell ends before the shard begins."""
    d.change(d.part["index"], (0, 0), -1)


def _end_far_below(d: Damage) -> None:
    """The last cell ends at -2^31, so far below the one before it that 32 bits do not hold the difference."""
    d.change(d.part["index"], (0, -1), -(2**31))


def _n_entries(d: Damage) -> None:
    """n_entries is 4, in the part and in the manifest."""
    d.part["n_entries"] = d.manifest["n_entries"] = 4


def _swap(d: Damage, cell: int, other: int) -> None:
    """Two cells change places in all that is kept of the record, the content and the entries."""
    index = d.values(d.part["index"])
    rows = d.rows()
    rows[cell], rows[other] = rows[other], rows[cell]
    index[1:, [cell, other]] = index[1:, [other, cell]]
    content = d.values(d.part["content"])
    content[[cell, other]] = content[[other, cell]]
    d.put(d.part["content"], content)
    d.put(d.part["index"], index)
    d.put_rows(rows)


def _swap_neighbours(d: Damage) -> None:
    """Two neighbours of one stratum and split change places: their keys are not in order."""
    index = d.values(d.part["index"])
    by = d.part["labels"]["cell_type"]["field"]
    cell = int(np.flatnonzero((index[by, 1:] == index[by, :-1]) & (index[5, 1:] == index[5, :-1]))[2])
    _swap(d, cell, cell + 1)


def _swap_strata(d: Damage) -> None:
    """The first cell and the last, of other strata, change places."""
    _swap(d, 0, d.manifest["n_cells"] - 1)


def swap_first(d: Damage) -> None:
    """The first two cells change places."""
    _swap(d, 0, 1)


def _move_to_split(d: Damage) -> None:
    """A cell is in another split than its content gives."""
    index = d.values(d.part["index"])
    cell = int(np.flatnonzero((index[5] == 0) & (index[4] > 0))[2])
    index[5, cell] = 1
    d.put(d.part["index"], index)
    d.manifest["splits"]["counts"][0] -= 1
    d.manifest["splits"]["counts"][1] += 1


def _split_of_empty_cell(d: Damage) -> None:
    """A cell without counts is in no split."""
    index = d.values(d.part["index"])
    cell = int(np.flatnonzero(index[4] == 0)[0])
    d.manifest["splits"]["counts"][int(index[5, cell])] -= 1
    index[5, cell] = -1
    d.put(d.part["index"], index)


def _split_counts(d: Damage) -> None:
    """All cells are said to be in the first split."""
    d.manifest["splits"]["counts"] = [d.manifest["n_cells"], 0, 0]


def _same_source_row(d: Damage) -> None:
    """Two cells of one source have one source_row."""
    index = d.values(d.part["index"])
    cells = np.flatnonzero(index[1] == 0)
    index[2, cells[4]] = index[2, cells[3]]
    d.put(d.part["index"], index)


def _content_of_empty(d: Damage) -> None:
    """The content of a cell without counts is not 0."""
    index = d.values(d.part["index"])
    d.change(d.part["content"], int(np.flatnonzero(index[4] == 0)[0]), 1)


def _shard_rows_not_increasing(d: Damage) -> None:
    """A shard of counts has no cell: the last number of shard_rows is 0."""
    d.change(d.part["shard_rows"], 1, 0)


def _shard_digest(d: Damage) -> None:
    """The digest of a shard of counts is another."""
    d.put(d.part["shard_digests"], np.full((1, 64), ord("4"), np.uint8))


def _offsets_end(d: Damage) -> None:
    """The offsets of barcodes end before the bytes do."""
    offsets = d.part["barcode"]["offsets"]
    d.change(offsets, -1, int(d.values(offsets)[-1]) - 1)


def _offsets_beyond(d: Damage) -> None:
    """The offsets of barcodes end behind the bytes."""
    offsets = d.part["barcode"]["offsets"]
    d.change(offsets, -1, int(d.values(offsets)[-1]) + 1)


def _cut_letter(d: Damage) -> None:
    """The bytes of two barcodes are UTF-8 only together: the first ends within a letter."""
    texts = d.texts(d.part["barcode"])
    texts[3:5] = [b"x\xc3", b"\xa4"]
    d.put_texts(d.part["barcode"], texts)


def _surrogate(d: Damage) -> None:
    """A barcode holds a surrogate, which UTF-8 does not have."""
    texts = d.texts(d.part["barcode"])
    texts[3] = b"\xed\xa0\x80"
    d.put_texts(d.part["barcode"], texts)


def _overlong(d: Damage) -> None:
    """A barcode holds a letter in more bytes than UTF-8 gives it."""
    texts = d.texts(d.part["barcode"])
    texts[3] = b"\xc1\x81"
    d.put_texts(d.part["barcode"], texts)


def missing(name: str, new: int) -> Change:
    """Set a flag of the mask of a column."""
    return told(f"A flag of {name} is {new}.", lambda d: d.change(d.obs(name)["missing"], 11, new))


def _missing_not_zero(d: Damage) -> None:
    """A value that is missing is not 0."""
    at = int(np.flatnonzero(d.values(d.obs("masked")["missing"]) == 1)[2])
    d.change(d.obs("masked")["values"], at, 4)


def _missing_text(d: Damage) -> None:
    """A text that is missing is not empty."""
    texts = d.texts(d.obs("note")["strings"])
    at = next(i for i, text in enumerate(texts) if text)
    d.change(d.obs("note")["missing"], at, 1)


def _column_categories(d: Damage) -> None:
    """Two categories of an obs column are one text."""
    strings = column(d, "identifier")["categories"]
    texts = d.texts(strings)
    texts[5] = texts[6]
    d.put_texts(strings, texts)


def _fill_in_data(d: Damage) -> None:
    """A value of an obs column is its fill value."""
    d.change(d.obs("depth")["values"], 12, d.obs("depth")["values"]["fill"])


def _fill_in_floats(d: Damage) -> None:
    """A value of an obs column of float32 is its fill value."""
    d.change(d.obs("fraction")["values"], 12, np.float32(d.obs("fraction")["values"]["fill"]))


def _code_beyond(d: Damage) -> None:
    """A code of an obs column is the number of its categories."""
    d.change(d.obs("identifier")["codes"], 11, d.manifest["n_cells"])


def _other_label_array(d: Damage) -> dict[str, Any]:
    found: dict[str, Any] = next(p["array"] for p in d.part["labels"].values() if "array" in p)
    return found


ENTRIES, INDEX, CONTENT = "parts/1/counts/entries", "parts/1/cells/index", "parts/1/cells/content"
READ = (("read", "--rows", "8"),)
CELLS: dict[str, Corruption] = {
    "row-end-falls": corruption("CNT-11", f"{INDEX}, cell 20", _ends_fall, refuse=[("read", "--rows", "20")]),
    "row-end-beyond": corruption("CNT-11", f"{INDEX}, cell {{last}}", _extend),
    "row-end-negative": corruption("CNT-11", f"{INDEX}, cell 0", _end_negative, refuse=[("read", "--rows", "0")]),
    "row-end-far-below": corruption("CNT-11", f"{INDEX}, cell {{last}}", _end_far_below),
    "n-entries-of-part": corruption("CNT-11", INDEX, _n_entries),
    "shard-rows-begin": corruption(
        "CNT-9", "shard_rows", value("shard_rows begins with 1.", lambda d: d.part["shard_rows"], 0, 1)
    ),
    "shard-rows-end": corruption(
        "CNT-9", "shard_rows", value("shard_rows ends with 9.", lambda d: d.part["shard_rows"], 1, 9)
    ),
    "shard-rows-increase": corruption("CNT-9", "shard_rows", _shard_rows_not_increasing),
    "shard-digest": corruption("CNT-13", "shard_digests, shard 0", _shard_digest),
    "zero-count": corruption("CNT-4", f"{ENTRIES}, shard 0, cell 8", entries(_zero)),
    "delta-with-count": corruption("CNT-4", f"{ENTRIES}, shard 0, cell 8", entries(_delta_and_count)),
    "fill-pair": corruption("ZAR-18", f"{ENTRIES}, shard 0, cell 8", entries(_fill_pair), refuse=READ),
    "gene-beyond": corruption("CNT-5", f"{ENTRIES}, shard 0, cell 8", entries(_beyond_the_index), refuse=READ),
    "gene-just-beyond": corruption("CNT-5", f"{ENTRIES}, shard 0, cell 8", _just_beyond_the_index, refuse=READ),
    "gap-at-the-end": corruption("CNT-5", f"{ENTRIES}, shard 0, cell 8", entries(_trailing_gap), refuse=READ),
    "not-canonical": corruption("CNT-3", f"{ENTRIES}, shard 0", entries(_split_a_count)),
    "not-canonical-large": corruption("CNT-3", f"{ENTRIES}, shard 0", entries(_early_rest)),
    "another-count": corruption("CEL-7", INDEX, entries(_another_count)),
    "another-count-hash": corruption("CEL-10", CONTENT, entries(_another_count)),
    "another-count-stats": corruption("SRC-8", "parts/1/sources", entries(_another_count)),
    "total-counts": corruption("CEL-7", f"{INDEX}, cell 30", field("total_counts", 30, 7)),
    "total-counts-negative": corruption("CEL-7", f"{INDEX}, cell 30", field("total_counts", 30, -1)),
    "total-counts-not-large": corruption("CEL-7", f"{INDEX}, cell 30", field("total_counts", 30, -3)),
    "n-genes-of-cell": corruption("CEL-7", f"{INDEX}, cell 30", field("n_genes", 30, 7)),
    "n-genes-negative": corruption("CEL-7", f"{INDEX}, cell 30", field("n_genes", 30, -1)),
    "content": corruption(
        "CEL-10",
        f"{CONTENT}, cell 30",
        value("The content of a cell is another.", lambda d: d.part["content"], 30, 12345),
    ),
    "content-negative": corruption(
        "CEL-10",
        f"{CONTENT}, cell 30",
        value("The content of a cell is negative.", lambda d: d.part["content"], 30, -12345),
    ),
    "content-of-an-empty-cell": corruption("CEL-10", f"{CONTENT}, cell", _content_of_empty),
    "source-beyond": corruption("CEL-5", f"{INDEX}, cell 30", field("source", 30, 3)),
    "source-negative": corruption("CEL-5", f"{INDEX}, cell 30", field("source", 30, -1)),
    "source-row-beyond": corruption("CEL-5", f"{INDEX}, cell 30", field("source_row", 30, 150)),
    "source-row-negative": corruption("CEL-5", f"{INDEX}, cell 30", field("source_row", 30, -1)),
    "source-row-twice": corruption("CEL-6", f"{INDEX}, cell", _same_source_row),
    "split-code": corruption("SPL-3", f"{INDEX}, cell 30", field("split", 30, 3)),
    "split-code-negative": corruption("SPL-3", f"{INDEX}, cell 30", field("split", 30, -3)),
    "split-cells": corruption("SPL-4", "splits/counts", _split_counts),
    "split-of-another-group": corruption("SPL-10", INDEX, _move_to_split),
    "split-of-an-empty-cell": corruption("SPL-10", INDEX, _split_of_empty_cell),
    "order": corruption("ORD-4", INDEX, _swap_neighbours),
    "order-of-strata": corruption("ORD-4", INDEX, _swap_strata),
    "label-code": corruption(
        "LAB-7", f"{INDEX}, cell 30", label_field("cell_type", 30, 4), refuse=[("read", "--rows", "30")]
    ),
    "label-code-negative": corruption("LAB-7", f"{INDEX}, cell 30", label_field("cell_type", 30, -3)),
    "label-code-of-array": corruption(
        "LAB-7",
        "parts/1/cells/label-",
        value("A code in an array is beyond the categories.", _other_label_array, 30, 99),
    ),
    "offsets-fall": corruption(
        "ZAR-23",
        "barcode/offsets, element 7",
        value("An offset of barcodes is below the one before it.", lambda d: d.part["barcode"]["offsets"], 7, 3),
    ),
    "offsets-begin": corruption(
        "ZAR-23",
        "barcode/offsets",
        value("The offsets of barcodes begin with 1.", lambda d: d.part["barcode"]["offsets"], 0, 1),
    ),
    "offsets-end": corruption("ZAR-23", "barcode/offsets", _offsets_end),
    "offsets-beyond": corruption("ZAR-23", "barcode/offsets", _offsets_beyond),
    "not-utf8-barcode": corruption(
        "ZAR-23",
        "barcode/bytes, string",
        value("A byte of the barcodes is no UTF-8.", lambda d: d.part["barcode"]["bytes"], 9, 0xC3),
        refuse=[("read", "--rows", "0,1,2,3")],
    ),
    "letter-cut": corruption("ZAR-23", "barcode/bytes, string 3", _cut_letter),
    "surrogate": corruption("ZAR-23", "barcode/bytes, string 3", _surrogate),
    "overlong": corruption("ZAR-23", "barcode/bytes, string 3", _overlong),
    "missing-flag": corruption("CEL-16", "missing, cell 11", missing("masked", 7)),
    "missing-flag-of-text": corruption("CEL-16", "missing, cell 11", missing("note", 7)),
    "missing-value": corruption("CEL-16", "values, cell", _missing_not_zero),
    "missing-text": corruption("CEL-16", "text/offsets, cell", _missing_text),
    "boolean": corruption(
        "CEL-18", "values, cell 11", value("A boolean value is 2.", lambda d: d.obs("good")["values"], 11, 2)
    ),
    "obs-code": corruption("CEL-19", "codes, cell 11", _code_beyond),
    "obs-code-negative": corruption(
        "CEL-19",
        "codes, cell 11",
        value("A code of an obs column is -3.", lambda d: d.obs("identifier")["codes"], 11, -3),
    ),
    "obs-categories": corruption("CEL-19", "labels/1/obs-", _column_categories),
    "fill-in-data": corruption(
        "ZAR-18", "values, shard 0, element 12", _fill_in_data, refuse=[("read", "--rows", "12")]
    ),
    "fill-in-floats": corruption("ZAR-18", "values, shard 0, element 12", _fill_in_floats),
    "fill-in-codes": corruption(
        "ZAR-18",
        "codes, shard 0, element 11",
        value("A code is the fill value.", lambda d: d.obs("identifier")["codes"], 11, -2),
    ),
    "fill-in-records": corruption("ZAR-18", INDEX, field("source", 30, -2), refuse=[("read", "--rows", "30")]),
}

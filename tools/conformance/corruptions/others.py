"""Damage that other stores than the one with everything show: left-out columns, orders, parts, splits, extents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.conformance.corruptions import Corruption, corruption, told
from tools.conformance.corruptions.cells import swap_first

if TYPE_CHECKING:
    from tools.conformance.damage import Damage

INDEX = "parts/1/cells/index"


def _field(text: str, number: int, cell: int, new: int) -> Any:
    return told(text, lambda d: d.change(d.part["index"], (number, cell), new))


def _organisms(d: Damage) -> None:
    """The organisms of a record are none that its genes have; a column is left out."""
    d.record(0, lambda r: r.update(organisms=[10090]))


MERGED: dict[str, Corruption] = {
    "negative-total": corruption("CEL-7", f"{INDEX}, cell 0", _field("A total is -1; a column is left out.", 3, 0, -1)),
    "negative-number-of-genes": corruption(
        "CEL-7", f"{INDEX}, cell 0", _field("n_genes is -1; columns are one gene.", 4, 0, -1)
    ),
    "total-below-the-values": corruption(
        "CEL-7", f"{INDEX}, cell 3", _field("A total is below the sum of what was not left out.", 3, 3, 139_999)
    ),
    "number-of-genes-below-the-values": corruption(
        "CEL-7", f"{INDEX}, cell 3", _field("n_genes is below the number of genes with a value.", 4, 3, 1)
    ),
    "content-beyond-63-bits": corruption(
        "CEL-10",
        "parts/1/cells/content, cell 1",
        told("The content of a cell is negative; a column is left out.", lambda d: d.change(d.part["content"], 1, -5)),
    ),
    "organisms-of-left-out": corruption("SRC-11", "parts/1/sources/records/bytes, source 0", _organisms),
}


def _ties(d: Damage) -> None:
    """Two cells with one key, of two sources of the same bytes, are not in the order of the sources."""
    swap_first(d)


def _swap_all(d: Damage) -> None:
    """The first two cells change places; their source_rows are out of order."""
    swap_first(d)


SOURCE_ORDER: dict[str, Corruption] = {"order-of-sources": corruption("ORD-1", f"{INDEX}, cell 1", _swap_all)}
SHUFFLED: dict[str, Corruption] = {
    "order-of-keys": corruption(
        "ORD-3", INDEX, told("The first two cells change places; their keys are out of order.", swap_first)
    )
}
TIED: dict[str, Corruption] = {"order-of-ties": corruption("ORD-5", f"{INDEX}, cell 1", _ties)}


def _move(d: Damage) -> None:
    """A cell is in another split than its group."""
    values = d.values(d.part["index"])
    cell = int(np.flatnonzero(values[5] == 0)[3])
    values[5, cell] = 1
    d.put(d.part["index"], values)
    counts = d.manifest["splits"]["counts"]
    counts[0], counts[1] = counts[0] - 1, counts[1] + 1


GROUPED: dict[str, Corruption] = {"split-of-another-donor": corruption("SPL-10", INDEX, _move)}


def _third_start(d: Damage) -> None:
    """The third part begins with the row of the second."""
    d.manifest["parts"][2]["start"] = d.manifest["parts"][1]["start"]


def _no_feature(d: Damage) -> None:
    """There are several parts, and the feature is not named."""
    d.manifest["required_features"] = []


def _first_source(d: Damage) -> None:
    """The sources of the last part are numbered from 0."""
    d.manifest["parts"][3]["sources"]["first"] = 0


def _categories(d: Damage) -> None:
    """The categories of a label are more sorted runs than there are parts."""
    strings = d.label("kind")["categories"]
    d.put_texts(strings, [b"e", b"d", b"c", b"b", b"a"])
    counts = d.values(d.label("kind")["counts"])
    array = d.label("kind")["counts"]
    array["chunk"] = array["shard"] = [5]
    d.put(array, np.concatenate([counts, [0, 0]]))


def _source_of_another_part(d: Damage) -> None:
    """A cell of the second part is of a source of the first."""
    d.change(d.manifest["parts"][1]["index"], (1, 0), 0)


PARTS_1: dict[str, Corruption] = {
    "start-of-a-later-part": corruption("PRT-1", "parts/2", _third_start),
    "several-parts-not-named": corruption("PRT-4", "required_features", _no_feature, refuse=()),
    "first-source-of-a-later-part": corruption("PRT-5", "parts/3/sources", _first_source),
}
PARTS_3: dict[str, Corruption] = {
    "categories-in-more-runs-than-parts": corruption("LAB-2", "categories", _categories),
    "source-of-another-part": corruption("CEL-5", "parts/2/cells/index, cell 10", _source_of_another_part),
}


def _lost_shard(d: Damage) -> None:
    """The second shard of counts is lost."""
    (d.path / "parts/1/counts/entries/c/0/1").unlink()


def _swapped_shards(d: Damage) -> None:
    """Two shards of counts have changed places; their digests too."""
    folder = d.path / "parts/1/counts/entries/c/0"
    first, second = (folder / "0").read_bytes(), (folder / "1").read_bytes()
    (folder / "0").write_bytes(second)
    (folder / "1").write_bytes(first)
    digests = d.values(d.part["shard_digests"])
    digests[[0, 1]] = digests[[1, 0]]
    d.put(d.part["shard_digests"], digests)
    d.digest(d.part["entries"])


def _swapped_shards_alone(d: Damage) -> None:
    """Two shards of counts have changed places."""
    folder = d.path / "parts/1/counts/entries/c/0"
    first, second = (folder / "0").read_bytes(), (folder / "1").read_bytes()
    (folder / "0").write_bytes(second)
    (folder / "1").write_bytes(first)


def _shard_rows(d: Damage) -> None:
    """Two shards begin with one cell."""
    values = d.values(d.part["shard_rows"])
    d.change(d.part["shard_rows"], 1, int(values[2]))


def _records_lost(d: Damage) -> None:
    """The second file of the records is lost."""
    (d.path / "parts/1/cells/index/c/0/1").unlink()


READ_6 = (("read", "--rows", "12"),)
SHARDS_2: dict[str, Corruption] = {
    "second-shard-missing": corruption("ZAR-15", "parts/1/counts/entries/c/0/1", _lost_shard, sealed=False),
    "second-file-of-records-missing": corruption(
        "ZAR-15", "parts/1/cells/index/c/0/1", _records_lost, sealed=False, refuse=READ_6
    ),
}
SHARDS_3: dict[str, Corruption] = {
    "swapped-shards": corruption("CNT-13", "shard_digests", _swapped_shards_alone, sealed=False),
    "swapped-shards-and-digests": corruption("CEL-7", INDEX, _swapped_shards),
    "shard-without-cells": corruption("CNT-9", "shard_rows", _shard_rows),
}


def _split_of_no_splits(d: Damage) -> None:
    """A table is of a split, and the store has none."""
    d.manifest["tables"][0]["split"] = "train"


NO_SPLITS: dict[str, Corruption] = {"split-without-splits": corruption("TAB-15", "tables", _split_of_no_splits)}

"""Numbers that say where rows, strings and chunks lie: whatever they are, nothing else is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scformat.errors import InvalidDataError
from scformat.loading.window import read_window
from scformat.validation import validate_store

if TYPE_CHECKING:
    from conftest import Liar


def refused(code: str) -> pytest.RaisesExc[InvalidDataError]:
    return pytest.raises(InvalidDataError, match=rf"\[{code}\]$")


@pytest.mark.parametrize("ends", [[40_000, 10, 20, 20], [500, 100, 300, 300]])
def test_row_ends_that_go_down_at_a_cell_that_is_not_read(liar: Liar, ends: list[int]) -> None:
    """The kernels lay the chunks of many rows end to end: rows that overlap would reach beyond them."""
    index = liar.part.index
    values = liar.values(index)
    values[0] = ends[-1]
    values[0, : len(ends)] = ends
    liar.write(index, values)
    with refused("bad-row-end"):
        read_window(liar.open(), np.array([0, 2]))
    with refused("bad-row-end"):
        liar.open().read([0, 2])
    assert "CNT-11" in {finding.requirement for finding in validate_store(liar.path).findings}


def test_rows_that_all_claim_the_same_entries(liar: Liar) -> None:
    """Half of the cells would have as many values each as the shard has."""
    index = liar.part.index
    values = liar.values(index)
    values[0, 0::2], values[0, 1::2] = int(values[0].max()), 0
    liar.write(index, values)
    with refused("bad-row-end"):
        liar.open().read(np.arange(0, 1200, 2))
    with refused("bad-row-end"):
        read_window(liar.open(), np.arange(0, 1200, 2))


@pytest.mark.parametrize("offset", [2**40, 0, -7])
@pytest.mark.parametrize("rows", [[3], range(1200)], ids=["one", "all"])
def test_offsets_of_strings(liar: Liar, offset: int, rows: range) -> None:
    liar.change(liar.part.barcode.offsets, 4, offset)
    with refused("bad-offsets"):
        liar.open().barcodes(list(rows))
    assert "ZAR-23" in {finding.requirement for finding in validate_store(liar.path).findings}


def test_strings_that_all_claim_the_same_bytes(liar: Liar) -> None:
    values = liar.values(liar.part.barcode.offsets)
    values[0::2], values[1::2] = 0, int(values[-1])
    liar.write(liar.part.barcode.offsets, values)
    with refused("bad-offsets"):
        liar.open().barcodes(list(range(0, 200, 2)))


@pytest.mark.parametrize("rows", [[3], range(1200)], ids=["one", "all"])
def test_bytes_that_are_no_text(liar: Liar, rows: range) -> None:
    liar.change(liar.part.barcode.bytes, slice(0, 60), 200)
    with refused("bad-utf8"):
        liar.open().barcodes(list(rows))


@pytest.mark.parametrize("rows", [[0], range(1200)], ids=["one", "all"])
def test_letters_that_two_strings_share(liar: Liar, rows: range) -> None:
    """All bytes together are text, but a string ends within a letter."""
    end = int(liar.values(liar.part.barcode.offsets)[1])
    liar.change(liar.part.barcode.bytes, slice(end - 1, end + 1), list("é".encode()))
    with refused("bad-utf8"):
        liar.open().barcodes(list(rows))


@pytest.mark.parametrize("offset", [2**63 - 8, 2**63 + 8, 2**64 - 2, 2**50])
@pytest.mark.parametrize("member", ["entries", "shard_rows", "index"])
def test_chunks_beyond_their_file(liar: Liar, offset: int, member: str) -> None:
    liar.place_chunk(getattr(liar.part, member), offset, 100)
    with refused("damaged-(chunk|object)"):
        liar.open().read([5, 3])
    assert "ZAR-24" in {finding.requirement for finding in validate_store(liar.path).findings}


def test_chunks_that_all_lie_at_one_place(liar: Liar) -> None:
    """A file of a few bytes would be read as an array of any size."""
    from scformat.codec import decode_index, index_size, with_crc
    from scformat.storage import array_spec

    array = liar.part.index
    spec, path = array_spec(array), liar.file_of(array)
    data, size = path.read_bytes(), index_size(spec)
    index = decode_index(data[-size:], spec).copy().reshape(-1, 2)
    index[1] = index[0]
    path.write_bytes(data[:-size] + with_crc(index.tobytes()))
    with refused("damaged-chunk"):
        liar.open().read([5, 1100])


def test_codes_beyond_the_categories(liar: Liar) -> None:
    part = liar.part
    liar.change(part.index, (part.labels["lab"].field, 3), 3)
    store = liar.open()
    with refused("bad-code"):
        store.labels["lab"].codes([3])
    with refused("bad-code"):
        read_window(store, np.array([3]), labels=["lab"])
    assert store.labels["lab"].codes([4])[0] >= -1
    assert "LAB-7" in {finding.requirement for finding in validate_store(liar.path).findings}


@pytest.mark.parametrize("value", [10**6, -(2**31), -3])
def test_sources_and_splits_that_are_not_there(liar: Liar, value: int) -> None:
    part = liar.part
    assert part.split is not None
    liar.change(part.index, ([1, part.split.field], 3), value)
    store = liar.open()
    for name in ("source", "split"):
        with refused("bad-code"):
            store.field(name, np.array([3]))
    with refused("bad-code"):
        read_window(store, np.array([3]))
    assert store.field("source", np.array([4]))[0] == 0


def test_codes_of_obs_beyond_their_categories(liar: Liar) -> None:
    name, values = next((name, values) for name, values in liar.part.obs.items() if values.codes is not None)
    assert values.codes is not None
    liar.change(values.codes, 3, 10**6)
    with refused("bad-code"):
        liar.open().obs([name])

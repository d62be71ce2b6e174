"""Files that give splits to cells or groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scformat.errors import InvalidDataError, ScformatError, StorageError
from scformat.splits import read_split_file
from scformat.strings import Strings


def written(tmp_path: Path, text: str, name: str = "splits.tsv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", "source\tbarcode\tsplit\ns1\tAAA\ttrain\ns1\tCCC\ttest\ns2\tAAA\ttest\n"),
        ("a.csv", "source,barcode,split\ns1,AAA,train\ns1,CCC,test\ns2,AAA,test\n"),
        ("a.txt", "\ufeffbarcode\tsplit\tsource\r\nAAA\ttrain\ts1\r\n\r\nCCC\ttest\ts1\r\nAAA\ttest\ts2"),
        ("a.CSV", 'source,barcode,split\n"s1",AAA, train \ns1,"CCC",test\ns2,AAA,test\n'),
    ],
)
def test_cells(tmp_path: Path, name: str, text: str) -> None:
    file = read_split_file(written(tmp_path, text, name))
    assert file.by_cell
    assert file.columns == ("source", "barcode")
    assert file.names == ("train", "test")
    sources = [
        ("s1", Strings.of(["CCC", "GGG", "AAA", "CCC"])),
        ("s3", Strings.of(["AAA"])),
        ("s2", Strings.of(["AAA"])),
    ]
    assert [codes.tolist() for codes in file.assign_barcodes(sources)] == [[1, -1, 0, 1], [-1], [1]]


def test_groups(tmp_path: Path) -> None:
    file = read_split_file(
        written(tmp_path, "study,donor_id,split\ns1,d1,train\ns1,,test\ns2,d1,\ns2,d2,val\n", "a.csv")
    )
    assert not file.by_cell
    assert file.columns == ("study", "donor_id")
    assert file.names == ("train", "test", "val")
    study = np.array([0, 0, 1, 1, 0, 1], np.int32)
    donor = np.array([1, -1, 1, 0, 0, -1], np.int8)
    found = file.assign_cells([study, donor], [("s1", "s2"), ("d2", "d1")])
    assert found.dtype == np.int32
    assert found.tolist() == [0, 1, -1, 2, -1, -1]


def test_rows_that_name_nothing(tmp_path: Path) -> None:
    rows = "".join(f"s1\tX{k}\ttrain\n" for k in range(7))
    file = read_split_file(written(tmp_path, "source\tbarcode\tsplit\ns1\tAAA\ttest\n" + rows))
    with pytest.raises(InvalidDataError) as caught:
        file.assign_barcodes([("s1", Strings.of(["AAA"])), ("s2", Strings.of(["X1"]))])
    assert caught.value.code == "unknown-split-rows"
    assert "7 of 8 rows" in str(caught.value)
    assert "('s1', 'X0')" in str(caught.value)
    assert "('s1', 'X6')" not in str(caught.value)
    groups = read_split_file(written(tmp_path, "study\tsplit\ns1\ttrain\ns9\ttest\n"))
    with pytest.raises(InvalidDataError) as caught:
        groups.assign_cells([np.zeros(2, np.int32)], [("s1", "s9")])  # s9 is a category that no cell has
    assert "('s9',)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not the header"),
        ("source\tbarcode\n", "expected source, barcode, split"),
        ("split\ntrain\n", "not the header"),
        ("study\tstudy\tsplit\n", "not the header"),
        ("study\t\tsplit\n", "not the header"),
        ("barcode\tsplit\nA\ttrain\n", "together with its source"),
        ("source\tstudy\tbarcode\tsplit\n", "together with its source"),
        ("study\tsplit\ns1\n", "line 2: a row of another length; expected 2; found 1"),
        ("study\tsplit\ns1\ttrain\textra\n", "line 2: a row of another length"),
        ("study\tsplit\ns1\ttrain\ns1\ttest\n", "line 3: a second split for one row"),
        ("study\tsplit\ns1\ta@b\n", "line 2: not the name of a split"),
        ('study\tsplit\n"s1\ttrain\n', "not a table"),
        ("study,split\ns1,train\n", "not the header"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidDataError) as caught:
        read_split_file(written(tmp_path, text))
    assert caught.value.code == "bad-split-file"
    assert says in str(caught.value)
    assert "splits.tsv" in str(caught.value)


def test_the_same_row_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert read_split_file(written(tmp_path, "study\tsplit\ns1\ttrain\ns1\ttrain\n")).rows == {("s1",): 0}


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"study\tsplit\n\xff\xfe\ttrain\n")
    with pytest.raises(InvalidDataError) as caught:
        read_split_file(path)
    assert "UTF-8" in str(caught.value)


@pytest.mark.parametrize("name", ["absent.tsv", "."])
def test_unreadable(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError) as caught:
        read_split_file(tmp_path / name)
    assert caught.value.code == "split-file-unreadable"
    assert caught.value.exit_code == 3


def test_long_field(tmp_path: Path) -> None:
    with pytest.raises(ScformatError) as caught:
        read_split_file(written(tmp_path, "study\tsplit\n" + "x" * 200_000 + "\ttrain\n"))
    assert len(str(caught.value)) < 500

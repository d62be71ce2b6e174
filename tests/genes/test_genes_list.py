from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from scformat.errors import InvalidDataError, StorageError
from scformat.genes import gene_list, read_gene_list

from .genes_small import REFERENCES, h, m

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text",
    [
        f"{h(8)}\nCD8A\n{h(1)}.2\n",
        f"# a panel\n\n  {h(8)}  \nCD8A\n\n{h(1)}\n",
        f"id\n{h(8)}\n{h(2)}\n{h(1)}\n",
        f"symbol\nMALAT1\nCD8A\n{h(1)}\n",
        f"symbol,gene_id,rank\nx,{h(8)},1\nCD8A,,2\ny,{h(1)},3\n",
        f"gene_id\tsymbol\n{h(8)}\tx\n{h(2)}\n{h(1)}\ty\n",
        f"\ufeffgene_name\r\nMALAT1\r\nCD8A\r\n{h(1)}\r\n",
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_forms(tmp_path: Path, text: str, *, packed: bool) -> None:
    path = tmp_path / "panel.txt"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    wanted = read_gene_list(path, references=REFERENCES, organism=9606)
    assert wanted.genes.ids == (h(8), h(2), h(1))
    assert wanted.genes.resolved.all()
    assert wanted.name == str(path)


def test_unresolved_entries_are_kept_with_their_symbol(tmp_path: Path) -> None:
    path = tmp_path / "panel.csv"
    path.write_text(f"id,symbol\n{h(77)},OLD\n,nobody\nMATR3,\n")
    genes = read_gene_list(path, references=REFERENCES, organism=9606).genes
    assert genes.ids == (h(77), "nobody", "MATR3")
    assert genes.symbols == ("OLD", "nobody", "MATR3")
    assert genes.n_resolved == 0
    assert genes.ambiguous == ("MATR3",)


def test_organism_of_symbols() -> None:
    assert gene_list(["Cd4", "Cd8a"], references=REFERENCES).genes.ids == (m(1), m(2))
    with pytest.raises(InvalidDataError, match=r"panel: .*\[organism-mismatch\]"):
        gene_list([m(1), m(2)], references=REFERENCES, organism=9606, name="panel")


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "panel.csv"
    for text in ("", "id,symbol\n", "# nothing\n", "\n \n"):
        path.write_text(text)
        with pytest.raises(InvalidDataError, match=r"panel\.csv.*\[empty-gene-list\]"):
            read_gene_list(path, references=REFERENCES)
    with pytest.raises(StorageError, match=r"none\.csv.*\[gene-list-unreadable\]"):
        read_gene_list(tmp_path / "none.csv", references=REFERENCES)

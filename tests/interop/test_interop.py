"""TensorStore, zarr-python, zarrs and zarrita.js read every array of a store alike, and refuse the same damage."""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scformat
from scformat import layout, manifest
from scformat.errors import InvalidDataError
from scformat.genes import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    import anndata
    import pandas as pd
    from numpy.typing import NDArray

    Reading = dict[str, Any]
    Read = Callable[[Path], dict[str, list[Reading]]]

FILES = (
    "anndataR_example.h5ad",
    "cxg_example_with_labels.h5ad",
    "heart_1k_mouse.h5ad",
    "mixology_sc_celseq2.h5ad",
    "pbmc_facs.h5ad",
    "scanpy_10x_v3.10x.h5",
    "scp_test.h5ad",
    "scvi_pbmc_10k_protein_v3.h5ad",
)
LARGE = [2**53 + 1, -(2**53) - 1, 2**63 - 1, 0]
LOWEST = [*LARGE, -(2**63)]
"""Holds what is otherwise the fill value of an int64 column."""
UNSIGNED = [2**64 - 1, 2**53 + 1, 0]
SINGLE = [np.nan, -0.0, np.inf, np.finfo(np.float32).min, 0.1]
DOUBLE = [np.nan, -0.0, -np.inf, np.finfo(np.float64).min, 0.1]
WORDS = {"tensorstore": "shard", "zarr": "checksum", "zarrs": "", "zarrita": "crc32c"}
"""What each says of damage; TensorStore, that decompresses before it checks, does not always name the checksum, and
zarrs says what its codecs say."""


def cycled(values: list[Any], n: int, dtype: str) -> NDArray[Any]:
    return np.resize(np.array(values, dtype), n)


def categorical(codes: NDArray[Any], categories: list[str]) -> pd.Categorical[str]:
    import pandas as pd

    return pd.Categorical.from_codes(codes, pd.Index(categories))


def source(name: str, matrix: Any, genes: list[str]) -> anndata.AnnData:
    """AnnData with every kind of obs column, ten of them labels."""
    import anndata
    import pandas as pd

    n = matrix.shape[0]
    number = np.arange(n)
    obs: dict[str, Any] = {
        "tiny": cycled([-128, 127, 0], n, "int8"),
        "small": number - n // 2,
        "large": cycled(LARGE, n, "int64"),
        "lowest": cycled(LOWEST, n, "int64"),
        "wide": cycled([2**32 - 1, 0], n, "uint32"),
        "unsigned": cycled(UNSIGNED, n, "uint64"),
        "single": cycled(SINGLE, n, "float32"),
        "double": cycled(DOUBLE, n, "float64"),
        "finite": number / 7,
        "flag": number % 3 == 0,
        "maybe_number": pd.array(number, dtype="Int64"),
        "maybe_flag": pd.array(number % 2 == 0, dtype="boolean"),
        "text": pd.array([f"\u00e9-{i}-\U0001f9ec" for i in number], dtype="string"),
        "identifier": pd.Categorical([f"{name}-{i // 2}" for i in number]),
        "cell_type": categorical(number % 3, ["T cell", "B cell", "monocyte"]),
        "cell_type_ontology_term_id": categorical(number % 3, ["CL:0000084", "CL:0000236", "CL:0000576"]),
        **{f"label_{i}": categorical(number % (i + 2) - 1, [f"v{k}" for k in range(i + 1)]) for i in range(9)},
    }
    frame = pd.DataFrame(obs, index=[f"{name}-cell-{i:06d}" for i in number])
    frame.loc[frame.index[::5], ["maybe_number", "maybe_flag", "text"]] = pd.NA
    made = anndata.AnnData(X=matrix, obs=frame, var=pd.DataFrame(index=pd.Index(genes)))
    made.uns["title"] = name
    return made


def counts(rng: np.random.Generator, n_cells: int, n_genes: int) -> NDArray[np.int64]:
    """Sparse counts: an empty row, and a count that takes three entries."""
    dense = rng.poisson(0.05, (n_cells, n_genes)).astype(np.int64)
    dense[1] = 0
    dense[2, 5] = 150_000
    return dense


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources, every kind of array, several chunks of cells, one shard of counts."""
    pytest.importorskip("cellxgene_ontology_guide")
    from scipy import sparse

    rng = np.random.default_rng(0)
    genes = list(load(9606).ids[:500])
    first = source("first", sparse.csr_matrix(counts(rng, 2_500, 400), dtype=np.float32), genes[:400])
    second = source("second", sparse.csc_matrix(counts(rng, 2_000, 300)), genes[200:])
    store = tmp_path_factory.mktemp("small") / "small.cells"
    scformat.convert([first, second], store, splits="train=0.8,test=0.2")
    return store


@pytest.fixture(scope="module")
def two_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One dense source with more entries than a shard of the counts holds."""
    rng = np.random.default_rng(1)
    dense = rng.poisson(1.0, (2_200, 2_000)).astype(np.float32) + 1
    store = tmp_path_factory.mktemp("two") / "two.cells"
    scformat.convert(source("dense", dense, list(load(9606).ids[:2_000])), store, ontology=False)
    return store


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real files: two organisms, ids and symbols, CSR, CSC and dense, 10x."""
    pytest.importorskip("cellxgene_ontology_guide")
    absent = [name for name in FILES if not (shared_data / name).is_file()]
    if absent:
        pytest.skip(f"not among the real files: {', '.join(absent)}")
    store = tmp_path_factory.mktemp("real") / "real.cells"
    scformat.convert([shared_data / name for name in FILES], store)
    return store


def manifest_of(store: Path) -> Any:
    return json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]["scformat"]


def arrays(store: Path) -> list[dict[str, Any]]:
    """Arrays as the manifest describes them, found here through the models of the package."""
    found: list[dict[str, Any]] = []

    def walk(value: Any) -> None:
        if isinstance(value, manifest.Array):
            found.append(value.model_dump())
        elif isinstance(value, manifest.Model):
            for name in type(value).model_fields:
                walk(getattr(value, name))
        elif isinstance(value, dict | list):
            for member in value.values() if isinstance(value, dict) else value:
                walk(member)

    walk(scformat.open(store).manifest)
    return found


def agreed(readings: dict[str, list[Reading]]) -> dict[str, Reading]:
    """What all four said, by path."""
    for library in ("zarr", "zarrs", "zarrita"):
        assert readings[library] == readings["tensorstore"]
    return {reading["path"]: reading for reading in readings["tensorstore"]}


def digest(values: NDArray[Any]) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


@pytest.mark.parametrize("which", ["small", "two_shards", "real"])
def test_four_libraries_read_every_array_alike(which: str, read: Read, request: pytest.FixtureRequest) -> None:
    store: Path = request.getfixturevalue(which)
    found = agreed(read(store))
    nodes = {path.parent: json.loads(path.read_bytes())["node_type"] for path in store.rglob("zarr.json")}
    assert set(found) == {path.relative_to(store).as_posix() for path, kind in nodes.items() if kind == "array"}
    for array in arrays(store):
        reading = found[array["path"]]
        assert "error" not in reading, reading
        for member in ("dtype", "shape", "chunk"):
            assert reading[member] == array[member], array["path"]
        assert reading["fill"] == np.array(array["fill"], array["dtype"]).tobytes().hex()


def test_stores_have_every_kind_of_array(small: Path, two_shards: Path) -> None:
    part = manifest_of(small)["parts"][0]
    kinds = {name: next(iter(values), None) for name, values in part["obs"].items()}
    assert kinds["identifier"] == "codes"
    assert kinds["text"] == "strings"
    assert "missing" in part["obs"]["maybe_number"]
    assert "split" in part["fields"]
    assert sum("array" in place for place in part["labels"].values()) >= 2
    assert [label["name"] for label in manifest_of(small)["labels"] if "ontology" in label] == ["cell_type"]
    types = {array["dtype"] for array in arrays(small)}
    assert types == {"uint8", "uint16", "uint32", "int32", "int64", "uint64", "float32", "float64"}
    dense = manifest_of(two_shards)["parts"][0]
    assert dense["entries"]["shape"] == [2, 2 * layout.ENTRY_SHARD]
    assert dense["n_entries"] + layout.ENTRY_CHUNK < 2 * layout.ENTRY_SHARD  # chunks that no row reaches are absent


def test_values_are_those_of_the_sources(small: Path, read: Read) -> None:
    found = agreed(read(small))
    n = [2_500, 2_000]
    columns = {
        "tiny": [cycled([-128, 127, 0], k, "int32") for k in n],
        "small": [np.arange(k, dtype=np.int32) - k // 2 for k in n],
        "large": [cycled(LARGE, k, "int64") for k in n],
        "lowest": [cycled(LOWEST, k, "int64") for k in n],
        "wide": [cycled([2**32 - 1, 0], k, "uint32") for k in n],
        "unsigned": [cycled(UNSIGNED, k, "uint64") for k in n],
        "single": [cycled(SINGLE, k, "float32") for k in n],
        "double": [cycled(DOUBLE, k, "float64") for k in n],
        "finite": [np.arange(k) / 7 for k in n],
        "flag": [(np.arange(k) % 3 == 0).astype(np.uint8) for k in n],
    }
    obs = manifest_of(small)["parts"][0]["obs"]
    for name, values in columns.items():
        assert found[obs[name]["values"]["path"]]["sha256"] == digest(np.concatenate(values)), name
    text = [f"\u00e9-{i}-\U0001f9ec" if i % 5 else "" for k in n for i in range(k)]
    utf8 = np.frombuffer("".join(text).encode(), np.uint8)
    assert found[obs["text"]["strings"]["bytes"]["path"]]["sha256"] == digest(utf8)


def test_fill_values_that_numbers_of_other_languages_may_not_hold(small: Path, read: Read) -> None:
    """The lowest of a type, or the next after it that a column does not hold and that binary64 numbers can be."""
    found = agreed(read(small))
    obs = manifest_of(small)["parts"][0]["obs"]
    double, single = np.finfo(np.float64).min, np.finfo(np.float32).min
    fills = {
        "large": np.int64(-(2**63)),
        "lowest": np.int64(-(2**63) + 4096),
        "unsigned": np.uint64(4096),
        "wide": np.uint32(1),
        "single": np.nextafter(single, np.float32(0)),
        "double": np.nextafter(double, 0),
        "finite": double,
        "flag": np.uint8(255),
    }
    for name, fill in fills.items():
        assert found[obs[name]["values"]["path"]]["fill"] == fill.tobytes().hex(), name


def test_lost_arrays_read_as_their_fill_value(small: Path, read: Read, interop: ModuleType, tmp_path: Path) -> None:
    """In all four, without an error: why a fill value is none that valid data holds."""
    store = tmp_path / "lost.cells"
    shutil.copytree(small, store, ignore=shutil.ignore_patterns("c"))
    found = agreed(read(store))
    for array in arrays(store):
        expected = hashlib.sha256()
        for region in interop.regions_of(array["shape"], array["shard"]):
            expected.update(np.full([s.stop - s.start for s in region], array["fill"], array["dtype"]).tobytes())
        assert found[array["path"]]["sha256"] == expected.hexdigest(), array["path"]


def test_a_lost_shard_reads_as_fill_values_that_this_reader_refuses(
    two_shards: Path, read: Read, interop: ModuleType, tmp_path: Path
) -> None:
    store = tmp_path / "lost.cells"
    shutil.copytree(two_shards, store)
    entries = manifest_of(store)["parts"][0]["entries"]["path"]
    (store / entries / "c" / "0" / "1").unlink()
    kept = interop.open_tensorstore(two_shards, entries).read(np.s_[:, : layout.ENTRY_SHARD])
    expected = hashlib.sha256(kept.tobytes() + b"\xff" * kept.nbytes).hexdigest()
    assert agreed(read(store))[entries]["sha256"] == expected
    opened = scformat.open(store)
    assert opened.read([0]).csr().nnz == 2_000
    with pytest.raises(InvalidDataError) as refused:
        opened.read([opened.n_cells - 1])
    assert refused.value.code == "lost-chunk"


@pytest.mark.parametrize("place", ["chunk", "checksum", "index", "index checksum", "cut short"])
def test_every_damaged_array_is_refused(place: str, small: Path, read: Read, tmp_path: Path) -> None:
    store = tmp_path / "damaged.cells"
    shutil.copytree(small, store)
    damaged, whole = set(), set()
    for array in arrays(store):
        file = next((p for p in sorted((store / array["path"] / "c").rglob("*")) if p.is_file()), None)
        if file is not None:
            damage(file, array, place)
            damaged.add(array["path"])
            if array["shape"] == array["shard"]:
                whole.add(array["path"])
    assert len(damaged) > len(whole) > 10
    for library, readings in read(store).items():
        refused = {r["path"] for r in readings if "error" in r}
        # Of a part of a shard, zarrs checks the index alone: tools/interop/README.md.
        wanted = whole if library == "zarrs" and place in ("chunk", "checksum") else damaged
        assert wanted <= refused <= damaged, library
        assert library == "zarrs" or refused == damaged, library
        assert all(WORDS[library] in r["error"] for r in readings if "error" in r), library


def damage(file: Path, array: dict[str, Any], place: str) -> None:
    """Flip one bit of a shard, in its last chunk, that chunk's checksum, the index or its checksum; or halve it."""
    data = bytearray(file.read_bytes())
    if place == "cut short":
        file.write_bytes(data[: len(data) // 2])
        return
    n_chunks = int(np.prod([s // c for s, c in zip(array["shard"], array["chunk"], strict=True)]))
    index = np.frombuffer(bytes(data[-16 * n_chunks - 4 : -4]), "<u8").reshape(-1, 2)
    last = int(np.flatnonzero(index[:, 1] != 2**64 - 1)[-1])
    offset, length = map(int, index[last])
    at = {
        "chunk": offset + (length - 4) // 2,
        "checksum": offset + length - 2,
        "index": len(data) - 4 - 16 * (n_chunks - last),
        "index checksum": len(data) - 2,
    }
    data[at[place]] ^= 0x10
    file.write_bytes(data)

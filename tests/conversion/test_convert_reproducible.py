"""The same bytes whatever the number of jobs, the memory, the directory, the hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from samples import counts_matrix, files_of, gene_ids, rich_obs, sample

import scformat
from scformat.conversion import counts

if TYPE_CHECKING:
    import anndata

REPOSITORY = Path(__file__).resolve().parents[2]


def made(n: int = 400, m: int = 120) -> list[anndata.AnnData]:
    out = []
    for i, layout in enumerate(["csr", "csc", "dense"]):
        values = counts_matrix(n - 90 * i, m, seed=40 + i, mean=1.5)
        values[5, 7] = 70_000
        data = sample(values, layout=layout, genes=gene_ids(m, first=1 + 20 * i), prefix=f"s{i}")
        data.obs = rich_obs(n - 90 * i, seed=i).set_axis(data.obs_names)
        out.append(data)
    return out


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("sources")
    for i, data in enumerate(made()):
        data.write_h5ad(directory / f"s{i}.h5ad")
    return directory


OPTIONS: dict[str, dict[str, Any]] = {
    "source": {"splits": "train=0.8,test=0.2"},
    "shuffled": {"order": "shuffled", "seed": 7},
    "stratified": {"stratify_by": ["kind", "stage"], "splits": "train=0.8,test=0.2", "split_by": ["cluster"]},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_jobs_and_memory_change_nothing(name: str, sources: Path, tmp_path: Path, many_blocks: None) -> None:
    paths = sorted(sources.glob("*.h5ad"))
    seen: dict[str, list[int]] = {}
    trees = {}
    for jobs, memory in ((1, "2GB"), (2, "100MB"), (3, "300MB")):
        store = scformat.convert(paths, tmp_path / f"{jobs}.cells", jobs=jobs, memory=memory, **OPTIONS[name])
        trees[jobs] = files_of(tmp_path / f"{jobs}.cells")
        seen[memory] = [store.manifest.parts[0].n_shards]
    assert trees[1] == trees[2] == trees[3]
    assert seen["2GB"][0] > 8, "many shards, or the test says nothing"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.cells", "2.cells", "3.cells"]


@pytest.mark.parametrize("name", OPTIONS)
def test_many_blocks_and_buckets_hold_the_same_cells(
    name: str, sources: Path, tmp_path: Path, many_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    buckets: list[tuple[int, ...]] = []
    write_bucket = counts.write_bucket

    def watched(job: Any, shards: tuple[int, ...]) -> Any:
        buckets.append(shards)
        return write_bucket(job, shards)

    monkeypatch.setattr(counts, "write_bucket", watched)
    store = scformat.convert(
        sorted(sources.glob("*.h5ad")), tmp_path / "a.cells", jobs=2, memory="100MB", **OPTIONS[name]
    )
    if name != "source":
        assert len(buckets) > 2
    part = store.manifest.parts[0]
    assert part.n_shards > 8
    assert part.entries.shard[1] == 4096
    cells = store.obs(["source", "source_row"])
    dense = pd.DataFrame(store.read(np.arange(store.n_cells)).dense(np.int64), columns=store.genes.index)
    for i, data in enumerate(made()):
        mine = (cells["source"] == f"s{i}").to_numpy()
        rows = cells["source_row"].to_numpy()[mine]
        assert sorted(rows.tolist()) == list(range(data.n_obs))
        expected = data.to_df().to_numpy().astype(np.int64)[rows]
        np.testing.assert_array_equal(dense.loc[mine, list(data.var_names)].to_numpy(), expected)
        other = dense.loc[mine].drop(columns=list(data.var_names))
        assert not other.to_numpy().any()
    scattered = np.random.default_rng(0).permutation(store.n_cells)[:50]
    np.testing.assert_array_equal(store.read(scattered).dense(np.int64), dense.to_numpy()[scattered])


def test_statistics_do_not_depend_on_blocks(sources: Path, tmp_path: Path, many_blocks: None) -> None:
    store = scformat.convert(
        sorted(sources.glob("*.h5ad")), tmp_path / "a.cells", jobs=2, memory="100MB", order="shuffled"
    )
    for i, data in enumerate(made()):
        table = store.sources_view.statistics(i).set_index(store.genes.index)
        for gene, values in data.to_df().astype(np.int64).items():
            held = np.sort(values[values > 0].to_numpy())
            median = held[(len(held) - 1) // 2] if len(held) else 0
            assert table.loc[gene].tolist() == [len(held), held.sum(), (held**2).sum(), median]


CONVERT = """
import sys, warnings
import scformat
scformat.convert(sorted(sys.argv[2:]), sys.argv[1], stratify_by=["kind"], splits="train=0.8,test=0.2", on_bad="skip")
"""


def converted_elsewhere(destination: Path, paths: list[str], cwd: Path, **environment: str) -> dict[str, str]:
    code = subprocess.run(
        [sys.executable, "-W", "error", "-c", CONVERT, str(destination), *paths],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (code.returncode, code.stderr) == (0, "")
    return files_of(destination)


def test_directory_hash_seed_and_time_change_nothing(sources: Path, tmp_path: Path) -> None:
    moved = tmp_path / "a" / "much" / "longer" / "path"
    moved.mkdir(parents=True)
    for path in sources.glob("*.h5ad"):
        (moved / path.name).write_bytes(path.read_bytes())
    for directory in (sources, moved):  # one that is skipped: what is said of it goes into the manifest
        (directory / "truncated.h5ad").write_bytes((sources / "s0.h5ad").read_bytes()[:3000])
    try:
        absolute = sorted(map(str, sources.glob("*.h5ad")))
        first = converted_elsewhere(tmp_path / "1.cells", absolute, tmp_path, PYTHONHASHSEED="1", TZ="UTC")
        relative = sorted(p.name for p in moved.glob("*.h5ad"))
        second = converted_elsewhere(
            tmp_path / "2.cells", relative, moved, PYTHONHASHSEED="2", TZ="Asia/Tokyo", NUMBA_NUM_THREADS="1"
        )
        assert first == second
        root = (tmp_path / "1.cells" / "zarr.json").read_text()
        assert "truncated.h5ad" in root
        assert str(tmp_path) not in root
        assert str(sources) not in root
    finally:
        (sources / "truncated.h5ad").unlink()


def test_a_change_of_a_source_changes_digests(tmp_path: Path) -> None:
    trees = []
    for i in range(2):
        data = made()[0]
        data.X.data[40] = 500 + i
        scformat.convert(data, tmp_path / f"{i}.cells", jobs=1)
        trees.append(files_of(tmp_path / f"{i}.cells"))
    changed = {name for name in trees[0] if trees[0][name] != trees[1][name]}
    assert {"zarr.json", "parts/1/counts/entries/c/0/0", "parts/1/cells/content/c/0"} <= changed
    assert "parts/1/cells/barcode/bytes/c/0" not in changed


def test_digests_in_the_manifest_are_those_of_the_files(sources: Path, tmp_path: Path, many_blocks: None) -> None:
    import hashlib

    from scformat.manifest import every_array

    store = scformat.convert(sorted(sources.glob("*.h5ad")), tmp_path / "a.cells", jobs=2, order="shuffled")
    files = files_of(tmp_path / "a.cells")
    part = store.manifest.parts[0]
    paths = [array.path for array in every_array(store.manifest)]
    assert len(paths) == len(set(paths))
    covered = {"zarr.json", *(f"{group}/zarr.json" for group in store.manifest.groups)}
    for group, digest in store.manifest.groups.items():
        assert files[f"{group}/zarr.json"] == digest
    for path in paths:
        covered |= {name for name in files if name.startswith(f"{path}/")}
    assert covered == set(files), "every file is an array's, a group's or the root"
    lines = [f"{files[f'{part.entries.path}/zarr.json']}  zarr.json\n"]
    lines += [f"{files[f'{part.entries.path}/c/0/{k}']}  c/0/{k}\n" for k in range(part.n_shards)]
    assert part.entries.sha256 == hashlib.sha256("".join(lines).encode()).hexdigest()
    digests = store._storage.read_array(part.shard_digests)
    assert [bytes(row).decode() for row in digests] == [
        files[f"{part.entries.path}/c/0/{k}"] for k in range(part.n_shards)
    ]

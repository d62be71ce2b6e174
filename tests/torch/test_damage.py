"""A damaged chunk costs the batches that need it, not those before them, and its error says what is concerned."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import counts_matrix, gene_ids, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.codec import decode_index, index_size  # noqa: E402
from scformat.errors import InvalidDataError, ScformatError  # noqa: E402
from scformat.loading.records import read_records  # noqa: E402
from scformat.storage import array_spec  # noqa: E402
from scformat.torch import CellDataset, CellLoader  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store

N, BATCH, CHUNK = 1200, 20, 2048


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Store:
    target = tmp_path_factory.mktemp("stores") / "good.cells"
    values = counts_matrix(N, 200, seed=4, mean=2.0)
    return scformat.convert([sample(values, genes=gene_ids(200))], target, jobs=1)


def damage(good: Store, target: Path, number: int, kind: str) -> Store:
    """Copy a store and damage one chunk of its counts."""
    shutil.copytree(good.path, target)
    entries = good.manifest.parts[0].entries
    spec = array_spec(entries)
    file = target / entries.path / "c" / "0" / "0"
    data = bytearray(file.read_bytes())
    index = decode_index(bytes(data[-index_size(spec) :]), spec).reshape(-1, 2)
    offset, length = (int(x) for x in index[number])
    if kind == "flipped":
        data[offset + length // 2] ^= 0x10
    else:
        data[offset : offset + length] = bytes(length)
    file.write_bytes(data)
    return scformat.open(target)


def chunks_of(store: Store) -> list[set[int]]:
    """Chunks of the counts of every cell."""
    part = store.manifest.parts[0]
    found = read_records(store._storage, part, store._shard_rows(part), np.arange(N), ())
    return [
        set(range(a // CHUNK, -(-b // CHUNK))) if b > a else set()
        for a, b in zip(found.starts.tolist(), found.stops.tolist(), strict=True)
    ]


def drain(made: CellLoader) -> tuple[list[list[int]], ScformatError | None]:
    got: list[list[int]] = []
    try:
        for batch in made:
            got.append(batch.rows.tolist())
    except ScformatError as error:
        return got, error
    return got, None


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("kind", ["flipped", "zeroed"])
@pytest.mark.parametrize(
    "options",
    [
        {"window": 256, "lanes": 1, "block": 4},  # damage lies in one window out of five
        {"window": 2048, "lanes": 1, "block": 1},  # the first window holds everything
        {"plan": "independent", "steps_per_epoch": 60},
    ],
)
def test_batches_before_the_damage_are_delivered(
    good: Store, tmp_path: Path, threads: int, kind: str, options: dict[str, Any]
) -> None:
    needed = chunks_of(good)
    made = {"batch_size": BATCH, "threads": threads, "seed": 6, **options}
    whole, none = drain(CellLoader(good, **made))
    assert none is None
    # The chunk that is needed last, so that there are batches before.
    first_need: dict[int, int] = {}
    for k, rows in enumerate(whole):
        for chunk in set().union(*(needed[row] for row in rows)):
            first_need.setdefault(chunk, k)
    bad_chunk, first = max(first_need.items(), key=lambda item: item[1])
    bad_cells = {row for row, chunks in enumerate(needed) if bad_chunk in chunks}
    assert 0 < first < len(whole)

    broken = CellLoader(damage(good, tmp_path / "bad.cells", bad_chunk, kind), **made)
    got, error = drain(broken)
    assert got == whole[:first]
    assert isinstance(error, InvalidDataError)
    assert error.code == "damaged-chunk"
    entries = good.manifest.parts[0].entries.path
    assert f"/{entries}/c/0/0" in str(error.where)
    assert f"chunk {bad_chunk}:" in str(error)
    told = re.search(r"for cell ([\d, ]+\d)", str(error))
    assert told is not None
    assert {int(row) for row in told[1].split(", ")} == bad_cells & set(whole[first])
    assert "\n" not in str(error)

    # The stream stands before the batch that failed, and what does not need the chunk can still be read.
    assert broken.position == first * BATCH
    again = CellLoader(good, **made)
    again.load_state_dict(broken.state_dict())
    assert drain(again) == (whole[first:], None)


@pytest.mark.parametrize("threads", [0, 2])
def test_many_damaged_cells_are_counted(good: Store, tmp_path: Path, threads: int) -> None:
    needed = chunks_of(good)
    bad_chunk = max(range(3, 9), key=lambda chunk: sum(chunk in chunks for chunks in needed))
    n_bad = sum(bad_chunk in chunks for chunks in needed)
    store = damage(good, tmp_path / "bad.cells", bad_chunk, "flipped")
    got, error = drain(CellLoader(store, N, threads=threads))
    assert got == []
    assert n_bad > 5
    assert f" and {n_bad - 5} more" in str(error)


def test_a_data_set_names_the_cells_too(good: Store, tmp_path: Path) -> None:
    needed = chunks_of(good)
    store = damage(good, tmp_path / "bad.cells", 3, "flipped")
    bad = [row for row, chunks in enumerate(needed) if 3 in chunks]
    fine = [row for row, chunks in enumerate(needed) if 3 not in chunks]
    made = CellDataset(store)
    assert np.array_equal(made.__getitems__(fine[:50]).x.numpy(), good.read(fine[:50]).dense())
    with pytest.raises(InvalidDataError, match=rf"chunk 3: .* for cell {bad[1]}") as caught:
        made.__getitems__([fine[0], bad[1], fine[1]])
    assert caught.value.code == "damaged-chunk"


@pytest.mark.parametrize("threads", [0, 2])
def test_damaged_records_are_told_with_their_array(good: Store, tmp_path: Path, threads: int) -> None:
    copy = tmp_path / "bad.cells"
    shutil.copytree(good.path, copy)
    index = good.manifest.parts[0].index
    file = next((copy / index.path / "c").rglob("0"))
    while file.is_dir():
        file = next(file.iterdir())
    data = bytearray(file.read_bytes())
    data[60] ^= 1  # in the first of two chunks
    file.write_bytes(data)
    made = {"batch_size": BATCH, "threads": threads, "block": 64, "window": 512, "lanes": 1, "seed": 1}
    whole, _ = drain(CellLoader(good, **made))  # type: ignore[arg-type]
    # A row is found by its own record and that of the row before it.
    first = next(k for k, rows in enumerate(whole) if min(rows) <= 1024)
    got, error = drain(CellLoader(copy, **made))  # type: ignore[arg-type]
    assert got == whole[:first]
    assert isinstance(error, InvalidDataError)
    assert index.path in str(error.where)
    assert "for cell" in str(error)

"""A damaged chunk costs the batches that need it, not those before them, and its error says what is concerned."""

from __future__ import annotations

import re
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is an extra")

from samples import counts_matrix, gene_ids, sample  # noqa: E402

import scformat  # noqa: E402
from scformat.codec import decode_index, index_size  # noqa: E402
from scformat.errors import InvalidDataError, ScformatError, UsageError  # noqa: E402
from scformat.loading.records import read_records  # noqa: E402
from scformat.neighbours import add_neighbours  # noqa: E402
from scformat.storage import array_spec  # noqa: E402
from scformat.torch import CellDataset, CellLoader, Neighbours, Sets, TokenSpec  # noqa: E402

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
    found = read_records(store.segments[0], np.arange(N), ())
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


def sets_of(loader: CellLoader) -> list[dict[str, Any]]:
    got = []
    for batch in loader:
        got.append({"rows": batch.rows.numpy(), "x": batch.x.numpy(), "valid": batch.valid.numpy(), "batch": batch})
    return got


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("chunks", [[4], list(range(0, 40, 2))])  # the second are more than a run is read again for
@pytest.mark.parametrize("plan", ["epoch", "independent"])
def test_skipped_cells_keep_their_places(
    good: Store, tmp_path: Path, threads: int, chunks: list[int], plan: Any
) -> None:
    needed = chunks_of(good)
    chunks = [chunk for chunk in chunks if any(chunk in each for each in needed)]
    shutil.copytree(good.path, tmp_path / "bad.cells")
    spec = array_spec(good.manifest.parts[0].entries)
    file = tmp_path / "bad.cells" / spec.key((0, 0))
    data = bytearray(file.read_bytes())
    index = decode_index(bytes(data[-index_size(spec) :]), spec).reshape(-1, 2)
    for chunk in chunks:
        data[int(index[chunk][0]) + 30] ^= 1
    file.write_bytes(data)
    bad = {row for row, each in enumerate(needed) if each & set(chunks)}
    assert bad
    made = {"batch_size": BATCH, "threads": threads, "seed": 3, "plan": plan, "steps_per_epoch": 40}
    whole = sets_of(CellLoader(good, **made))
    loader = CellLoader(scformat.open(tmp_path / "bad.cells"), on_damage="skip", **made)
    assert loader.damaged == {}
    with pytest.warns(UserWarning, match=r"cells that cannot be read are skipped.*damaged-chunk") as told:
        got = sets_of(loader)
    assert len(told) == 1
    times: dict[int, int] = {}
    for before, after in zip(whole, got, strict=True):
        lost = np.isin(before["rows"], list(bad))
        assert np.array_equal(before["rows"], after["rows"])
        assert np.array_equal(before["valid"] & ~lost, after["valid"])
        assert np.array_equal(np.where(lost[:, None], 0, before["x"]), after["x"])
        batch = after["batch"]
        assert (batch.source.numpy()[lost] == -1).all()
        assert (batch.source.numpy()[~lost] >= 0).all()
        assert not batch.measured().numpy()[lost].any()
        for row in before["rows"][lost].tolist():
            times[row] = times.get(row, 0) + 1
    assert loader.damaged == times
    assert sum(times.values()) > 0

    # The state is that of a sound store's loader, and resumes there.
    again = CellLoader(good, **made)
    first = next(iter(again)).rows.tolist()
    state = again.state_dict()
    resumed = CellLoader(scformat.open(tmp_path / "bad.cells"), on_damage="skip", **made)
    resumed.load_state_dict(state)
    assert first == whole[0]["rows"].tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        rest = sets_of(resumed)
    assert [g["rows"].tolist() for g in rest] == [w["rows"].tolist() for w in whole[1:]]


def test_damage_is_raised_unless_told_otherwise(good: Store, tmp_path: Path) -> None:
    store = damage(good, tmp_path / "bad.cells", 3, "flipped")
    for made in (CellLoader(store, BATCH), CellLoader(store, BATCH, on_damage="raise")):
        assert drain(made)[1] is not None
        assert made.damaged == {}
    with pytest.raises(UsageError, match=r"unknown way to meet damage 'ignore'.*'raise'"):
        CellLoader(store, on_damage="ignore")  # type: ignore[arg-type]


def test_what_is_not_of_cells_is_never_skipped(good: Store, tmp_path: Path) -> None:
    shutil.copytree(good.path, tmp_path / "bad.cells")
    part = good.manifest.parts[0]
    file = next(p for p in (tmp_path / "bad.cells" / part.shard_rows.path / "c").rglob("*") if p.is_file())
    data = bytearray(file.read_bytes())
    data[20] ^= 1
    file.write_bytes(data)
    got, error = drain(CellLoader(scformat.open(tmp_path / "bad.cells"), BATCH, on_damage="skip"))
    assert got == []
    assert isinstance(error, InvalidDataError)
    assert part.shard_rows.path in str(error)


def test_a_set_and_its_controls_are_skipped_cell_by_cell(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    obs = {"drug": rng.choice(["none", "x", "y"], N), "line": rng.choice(["p", "q"], N)}
    made = sample(counts_matrix(N, 200, seed=4, mean=2.0), genes=gene_ids(200), obs=obs)
    sound = scformat.convert([made], tmp_path / "sets.cells", jobs=1, labels=["drug", "line"])
    needed = chunks_of(sound)
    store = damage(sound, tmp_path / "bad.cells", 5, "flipped")
    bad = [row for row, chunks in enumerate(needed) if 5 in chunks]
    options: dict[str, Any] = {
        "batch_size": 32,
        "sets": Sets(size=16, by=["drug"], control="drug == 'none'", match=["line"]),
        "labels": ["drug"],
        "steps_per_epoch": 60,
    }
    loader = CellLoader(store, on_damage="skip", **options)
    with pytest.warns(UserWarning, match="skipped") as told:
        got = list(loader)
    assert len(told) == 1
    lost = [0, 0]
    for before, after in zip(CellLoader(sound, **options), got, strict=True):
        for k, (one, other) in enumerate([(before, after), (before.control, after.control)]):
            gone = np.isin(one.rows.numpy(), bad)
            lost[k] += int(gone.sum())
            assert np.array_equal(one.rows, other.rows)
            assert np.array_equal(one.valid.numpy() & ~gone, other.valid)
            assert np.array_equal(np.where(gone[:, None], 0, one.x), other.x)
            assert np.array_equal(np.where(gone, -1, one.labels["drug"]), other.labels["drug"])
        assert np.array_equal(before.sets, after.sets)
        assert np.array_equal(before.combination, after.combination)
    assert min(lost) > 0
    assert sum(loader.damaged.values()) == sum(lost)


@pytest.mark.parametrize("metacells", [False, True])
@pytest.mark.parametrize("broken", ["counts", "lists"])
def test_a_cell_is_skipped_with_its_neighbours(good: Store, tmp_path: Path, *, metacells: bool, broken: str) -> None:
    shutil.copytree(good.path, tmp_path / "near.cells")
    rows = (np.arange(N)[:, None] + np.array([1, 2])) % N
    add_neighbours(scformat.open(tmp_path / "near.cells"), "near", (rows, None))
    sound = scformat.open(tmp_path / "near.cells")
    needed = chunks_of(sound)
    if broken == "counts":
        store = damage(sound, tmp_path / "bad.cells", 5, "flipped")
        damaged = {row for row, chunks in enumerate(needed) if 5 in chunks}
        bad = sorted({row for row in range(N) if {row, *rows[row].tolist()} & damaged})
        assert len(bad) > len(damaged)
    else:
        shutil.copytree(sound.path, tmp_path / "bad.cells")
        array = sound.manifest.neighbours[0].rows  # type: ignore[index]
        file = tmp_path / "bad.cells" / array_spec(array).key((0, 0))
        data = bytearray(file.read_bytes())
        data[40] ^= 1
        file.write_bytes(data)
        store, bad = scformat.open(tmp_path / "bad.cells"), list(range(min(N, array.chunk[-1])))
    options: dict[str, Any] = {
        "batch_size": BATCH, "neighbours": Neighbours("near", metacells=metacells), "output": "dense", "seed": 2,
    }  # fmt: skip
    loader = CellLoader(store, on_damage="skip", **options)
    with pytest.warns(UserWarning, match="skipped") as told:
        got = list(loader)
    assert len(told) == 1
    for before, after in zip(CellLoader(sound, **options), got, strict=True):
        gone = np.isin(before.rows.numpy(), bad)
        assert np.array_equal(before.rows, after.rows)
        assert np.array_equal(before.valid.numpy() & ~gone, after.valid)
        assert np.array_equal(np.where(gone[:, None], 0, before.x), after.x)
        assert (after.neighbours.rows.numpy()[gone] == -1).all()
        assert np.array_equal(after.neighbours.rows.numpy()[~gone], before.neighbours.rows.numpy()[~gone])
        if not metacells:
            assert np.array_equal(after.neighbours.x.numpy()[~gone], before.neighbours.x.numpy()[~gone])
    assert sorted(loader.damaged) == bad


def test_tokens_of_a_skipped_cell_are_padding(good: Store, tmp_path: Path) -> None:
    needed = chunks_of(good)
    store = damage(good, tmp_path / "bad.cells", 3, "flipped")
    bad = [row for row, chunks in enumerate(needed) if 3 in chunks]
    tokens = TokenSpec(max_len=40, how="random", add_zero_genes=5)
    with pytest.warns(UserWarning, match="skipped"):
        got = list(CellLoader(store, BATCH, output=tokens, on_damage="skip"))
    seen = 0
    for before, after in zip(CellLoader(good, BATCH, output=tokens), got, strict=True):
        gone = np.isin(before.rows.numpy(), bad)
        seen += int(gone.sum())
        assert after.padding_mask.numpy()[gone].all()
        assert not after.values.numpy()[gone].any()
        for name in ("gene_ids", "values", "padding_mask"):
            assert np.array_equal(getattr(before, name).numpy()[~gone], getattr(after, name).numpy()[~gone])
    assert seen == len(bad)

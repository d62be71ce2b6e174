"""Held cells are what the store reads: any counts and gaps, repeated rows, labels, several shards; damage is told."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import counts_matrix, gene_ids, sample

import scformat
from scformat.entries import BAD_DELTA, BAD_GENE, BAD_VALUE, BAD_ZERO, LOST
from scformat.errors import InvalidDataError, ScformatError
from scformat.loading.batches import Assembly, make_batch
from scformat.loading.kernels import MORE_A_ROW, WORDS_AN_ENTRY, expand_row, pack_rows, sum_row
from scformat.loading.transforms import recipe
from scformat.loading.window import costs, read_window
from scformat.native import FAULTS, available
from scformat.pool import SMALLEST, Pool

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.loading.window import Held, Work
    from scformat.store import Store

N, M = 900, 300
WALL = 0xA5A5
needs_kernel = pytest.mark.skipif(not available(), reason="this machine or numcodecs lacks what the kernel calls")


def entries_of(row: dict[int, int]) -> list[tuple[int, int]]:
    """Encode one row as the format says."""
    out, at = [], 0
    for gene, value in sorted(row.items()):
        gap = gene - at
        at = gene
        out += [(65535, 0)] * (gap // 65535)
        pieces = [65535] * ((value - 1) // 65535)
        for piece in [*pieces, value - 65535 * len(pieces)]:
            out.append((gap % 65535, piece))
            gap = 0
    return out


def packed(
    rows: list[list[tuple[int, int]]], n_genes: int, size: int = 4, first: int = 0
) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Pack rows of entries; return the fault, the words, where each row begins and ends in them, and its genes."""
    flat = [pair for row in rows for pair in row]
    chunks = np.full((-(-len(flat) // size) + 1, 2, size), 65535, np.uint16)
    for i, pair in enumerate(flat):
        chunks[i // size, :, i % size] = pair
    ends = np.cumsum([len(r) for r in rows]).astype(np.int64)
    starts = ends - [len(r) for r in rows]
    room = WORDS_AN_ENTRY * len(flat) + MORE_A_ROW * len(rows)
    out = Pool().empty(room + SMALLEST, np.uint16)
    out.fill(WALL)
    used, places, n = np.zeros(1, np.int64), np.zeros((2, len(rows)), np.int64), np.zeros(len(rows), np.int32)
    found = pack_rows(chunks, None, starts, ends, n_genes, first, out, used, *places, n)
    assert used[0] <= room
    assert (out[used[0] :] == WALL).all()
    return found, out[: used[0]], places, n


gaps = st.one_of(st.integers(0, 300), st.integers(0, 199_999), st.sampled_from([0, 65535, 65536, 131070, 196605]))
counts = st.one_of(st.integers(1, 3), st.integers(250, 260), st.integers(65530, 65540), st.integers(1, 300_000))


@st.composite
def rows_of_counts(draw: st.DrawFn) -> list[dict[int, int]]:
    """Rows of which some have long runs of small gaps and counts, with a few odd ones among them."""
    rows = [draw(st.dictionaries(gaps, counts, max_size=12)) for _ in range(draw(st.integers(1, 4)))]
    for _ in range(draw(st.integers(0, 3))):
        rng = np.random.default_rng(draw(st.integers(0, 2**32)))
        n = draw(st.integers(1, 150))
        genes = np.cumsum(rng.integers(1, 40, n)) - rng.integers(0, 2)
        row = dict(zip(genes.tolist(), rng.integers(1, 5, n).tolist(), strict=True))
        row |= {draw(st.sampled_from(genes.tolist())): draw(counts) for _ in range(draw(st.integers(0, 3)))}
        row |= draw(st.dictionaries(gaps, counts, max_size=3))
        rows.append(dict(sorted(row.items())))
    return rows


@settings(max_examples=300, deadline=None)
@given(
    rows_of_counts(),
    st.sampled_from([4, 64, 100]),
    st.sampled_from([np.int32, np.int64]),
    st.sampled_from([0, 0, 1, 200, 255, 65535, 65536, 10**6]),
)
def test_packing_keeps_every_count(rows: list[dict[int, int]], size: int, index: type, first: int) -> None:
    (fault, _), words, (starts, stops), n = packed([entries_of(row) for row in rows], 200_000, size, first)
    assert fault == 0
    rows = [{first + gene: count for gene, count in row.items()} for row in rows]
    room = 2 + sum(map(len, rows))
    # Places behind a row may be written to, but none behind the arrays.
    all_genes, all_values = np.full(room + 32, -1, index), np.full(room + 32, -1, np.float32)
    genes, values = all_genes[:room], all_values[:room]
    at = 1
    for i, row in enumerate(rows):
        held = expand_row(words, starts[i], stops[i], starts[0], genes, values, at)
        assert held == n[i] == len(row)
        found = genes[at : at + held].tolist()
        assert dict(zip(found, values[at : at + held].tolist(), strict=True)) == row
        assert found == sorted(row)
        assert sum_row(words, starts[i], stops[i]) == sum(row.values())
        at += held
    assert genes[0] == values[0] == -1
    assert set(all_genes[room:].tolist()) == set(all_values[room:].tolist()) == {-1}


def test_counts_beyond_a_word_are_packed() -> None:
    value = 2**40 + 3
    pieces = [65535] * ((value - 1) // 65535 % 100)  # a hundred pieces are enough to pass 16 bits
    row = [(70, 65535), *[(0, 65535) for _ in pieces], (0, 9)]
    (fault, _), words, (starts, stops), n = packed([row], 100)
    assert (fault, n[0]) == (0, 1)
    assert sum_row(words, starts[0], stops[0]) == 65535 * (len(pieces) + 1) + 9


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ([(3, 0)], BAD_ZERO),
        ([(65535, 1)], BAD_DELTA),
        ([(65535, 65535)], LOST),
        ([(99, 1), (1, 1)], BAD_GENE),
        ([(99, 1), (65535, 0)], BAD_GENE),
    ],
)
def test_broken_entries_are_told_with_their_row(row: list[tuple[int, int]], fault: int) -> None:
    found, *_ = packed([[(0, 1)], [], row], 100)
    assert found == (fault, 2)
    assert BAD_VALUE not in found[:1]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("stores") / "a.cells"
    values = counts_matrix(N, M, seed=1, mean=1.5)
    values[5:9, 3] = 70_000
    values[700] = 0
    rng = np.random.default_rng(0)
    many = {f"label{i}": pd.Categorical.from_codes(rng.integers(-1, 3, N), ["a", "b", "c"]) for i in range(10)}
    first = sample(values[:600], genes=gene_ids(M), prefix="a", obs={k: v[:600] for k, v in many.items()})
    second = sample(values[600:], genes=gene_ids(M), prefix="b", obs={k: v[600:] for k, v in many.items()})
    scformat.convert([first, second], target, order="shuffled", jobs=1)
    return target


@pytest.fixture(scope="module")
def store(path: Path) -> Store:
    return scformat.open(path)


def assembly(store: Store) -> Assembly:
    return Assembly(
        output="dense",
        n_genes=store.n_genes,
        n_columns=store.n_genes,
        column_of_gene=None,
        recipe=recipe([]),
        seed=0,
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=60))
def test_held_cells_are_what_the_store_reads(store: Store, rows: list[int]) -> None:
    wanted = np.array(rows)
    names = tuple(store.labels)
    held = read_window(store, wanted, labels=names)
    assert held.rows.tolist() == sorted(set(rows))
    cells = store.read(wanted)
    batch = make_batch(held, wanted, np.arange(len(rows), dtype=np.uint64), assembly(store))
    assert batch.dense is not None
    assert np.array_equal(batch.dense, cells.dense())
    assert np.array_equal(batch.source, cells.source)
    assert np.array_equal(held.n_values[held.places(wanted)], np.diff(cells.csr().indptr))
    for i, name in enumerate(names):
        assert np.array_equal(batch.labels[i], store.labels[name].codes(wanted))


def test_labels_beyond_the_record_are_read_too(store: Store) -> None:
    part = store.manifest.parts[0]
    assert any(place.array is not None for place in part.labels.values())
    assert any(place.field is not None for place in part.labels.values())


def test_pieces_cover_every_row(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scformat.loading.window.PIECE_ENTRIES", 500)
    n_pieces = 0

    def run(work: Work) -> None:
        nonlocal n_pieces
        pieces = list(work)
        n_pieces = len(pieces)
        for piece in reversed(pieces):
            piece()

    wanted = np.arange(N)
    held = read_window(store, wanted, run=run)
    assert n_pieces > 20
    batch = make_batch(held, wanted, np.arange(N, dtype=np.uint64), assembly(store))
    assert batch.dense is not None
    assert np.array_equal(batch.dense, store.read(wanted).dense())


@needs_kernel
def test_chunks_decoded_with_their_rows_are_what_they_are_beforehand(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = np.arange(1, N, 2)
    found = read_window(store, wanted)
    monkeypatch.setattr("scformat.loading.window.available", lambda: False)
    known = read_window(store, wanted)
    assert np.array_equal(found.n_values, known.n_values)
    for here, there in zip(rows_of(found), rows_of(known), strict=True):
        assert np.array_equal(here, there)


def rows_of(held: Held) -> list[NDArray[np.uint16]]:
    return [held.words[start:stop] for start, stop in zip(held.starts, held.stops, strict=True)]


@needs_kernel
@pytest.mark.parametrize("bad", [0, 1, 5])
def test_a_damaged_chunk_among_others_is_told(store: Store, bad: int) -> None:
    part = store.manifest.parts[0]
    size = part.entries.chunk[1]
    fetched = next(store.segments[0].storage.fetch_chunks(part.entries, np.arange(6)))
    data = fetched.data.copy()
    data[fetched.offsets[bad] + 40] ^= 1
    starts = np.arange(5) * size + 7  # a row lies in two chunks each
    words = Pool().empty(WORDS_AN_ENTRY * 6 * size + MORE_A_ROW * 5 + SMALLEST, np.uint16)
    rest = np.zeros(1, np.int64), *np.zeros((2, 5), np.int64), np.zeros(5, np.int32)
    room = np.empty((1, *part.entries.chunk), np.uint16)
    fault, place = pack_rows(
        room, (data, fetched.offsets, fetched.lengths), starts, starts + size, 1 << 30, 0, words, *rest
    )
    assert (FAULTS[-fault], place) == ("a wrong checksum", bad)


def test_costs_are_those_of_the_chunks(store: Store) -> None:
    found = costs(store, np.array([3, 3, 4]))
    assert (found.draws, found.cells) == (3, 2)
    assert 1 <= found.chunks <= 3
    assert 1 <= found.requests <= found.chunks
    assert 0 < found.bytes < store.size_on_disk()  # type: ignore[operator]


@pytest.mark.parametrize("damage", ["gone", "flipped", "short"])
def test_damage_is_one_clear_error(path: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "b.cells"
    shutil.copytree(path, copy)
    store = scformat.open(copy)
    file = copy / store.manifest.parts[0].entries.path / "c" / "0" / "0"
    assert file.is_file()
    if damage == "gone":
        file.unlink()
    elif damage == "short":
        file.write_bytes(file.read_bytes()[:100])
    else:
        data = bytearray(file.read_bytes())
        data[40] ^= 1
        file.write_bytes(data)
    with pytest.raises(ScformatError) as caught:
        read_window(store, np.arange(N))
    assert isinstance(caught.value, InvalidDataError)
    assert caught.value.code in ("lost-chunk", "damaged-chunk")
    assert "entries" in str(caught.value)

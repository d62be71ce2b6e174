"""The row encoding: kernels against a plain reading of the specification."""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat import entries
from scformat.entries import decode_rows, encode_rows, gather_rows, max_gap_entries, scan_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

N_GENES = 200_000
N_COLUMNS = 40
Row = list[tuple[int, int]]

# Entries (column, count) of a row as a file may have them: any order, columns repeated, zeros stored.
values = st.one_of(
    st.integers(0, 20), st.integers(0, 70_000), st.sampled_from([65_534, 65_535, 65_536, 131_070, 131_071, 10**7])
)
rows_of_counts = st.lists(st.lists(st.tuples(st.integers(0, N_COLUMNS - 1), values), max_size=12), max_size=6)
genes_of_columns = st.lists(
    st.one_of(
        st.integers(-1, N_GENES - 1), st.sampled_from([0, 65_534, 65_535, 65_536, 131_070, 131_071, N_GENES - 1])
    ),
    min_size=N_COLUMNS,
    max_size=N_COLUMNS,
)


def csr(rows: Sequence[Row], dtype: Any = np.int64) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[Any]]:
    offsets = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    flat = [pair for row in rows for pair in row]
    return offsets, np.array([c for c, _ in flat], np.int32), np.array([v for _, v in flat], dtype)


def canonical(row: Row, gene_of_column: Sequence[int]) -> list[tuple[int, int]]:
    """CNT-2 of the specification, word by word."""
    sums: dict[int, int] = defaultdict(int)
    for column, count in row:
        if gene_of_column[column] >= 0:
            sums[gene_of_column[column]] += count
    out, at = [], 0
    for gene in sorted(g for g, v in sums.items() if v > 0):
        gap, value = gene - at, sums[gene]
        at = gene
        out += [(65_535, 0)] * (gap // 65_535)
        gap %= 65_535
        while value > 65_535:
            out.append((gap, 65_535))
            gap, value = 0, value - 65_535
        out.append((gap, value))
    return out


class Encoded:
    """Rows put through `encode_rows` with everything that it writes to."""

    def __init__(
        self,
        rows: Sequence[Row],
        gene_of_column: Sequence[int],
        *,
        n_genes: int = N_GENES,
        start: int = 0,
        dtype: Any = np.int64,
        chosen: Sequence[int] | None = None,
    ) -> None:
        offsets, indices, data = csr(rows, dtype)
        picked = np.arange(len(rows), dtype=np.int64) if chosen is None else np.array(chosen, np.int64)
        room = start + sum(len(canonical(rows[k], gene_of_column)) for k in picked)
        self.out = np.full((2, room + 3), 7, np.uint16)
        self.dense, self.bits = np.zeros(n_genes, np.int64), np.zeros((n_genes + 63) // 64, np.uint64)
        self.near = np.zeros((n_genes, entries.NEAR_BINS), np.uint32)
        self.far = np.zeros((n_genes, entries.FAR_BINS), np.uint32)
        self.large = np.empty((2, len(data)), np.int64)
        self.row_end = np.empty(len(picked), np.int32)
        self.end, self.n_large = encode_rows(
            picked, offsets, indices, data, np.array(gene_of_column, np.int32), self.dense, self.bits, self.near,
            self.far, self.large, self.out, start, self.row_end,
        )  # fmt: skip

    def rows(self, start: int = 0) -> list[list[tuple[int, int]]]:
        bounds = [start, *self.row_end.tolist()]
        return [
            list(zip(*self.out[:, low:high].tolist(), strict=True)) if low < high else []
            for low, high in itertools.pairwise(bounds)
        ]


def decode(
    pairs: NDArray[np.uint16], starts: Sequence[int], ends: Sequence[int], n_genes: int = N_GENES, chunk: int = 5
) -> tuple[int, int, list[dict[int, int]]]:
    """Decode rows of (2, n) entries, which are put in chunks first; chunks that no row begins or ends at too."""
    padded = np.full((2, max(1, -(-pairs.shape[1] // chunk)) * chunk), 65_535, np.uint16)
    padded[:, : pairs.shape[1]] = pairs
    chunks = np.ascontiguousarray(padded.reshape(2, -1, chunk).swapaxes(0, 1))
    room = sum(e - s for s, e in zip(starts, ends, strict=True))
    offsets, indices, data = np.empty(len(starts) + 1, np.int64), np.empty(room, np.int32), np.empty(room, np.int64)
    fault, row = decode_rows(
        chunks, np.array(starts, np.int64), np.array(ends, np.int64), n_genes, offsets, indices, data
    )
    if fault:
        return fault, row, []
    cells = []
    for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        genes = indices[low:high].tolist()
        assert genes == sorted(set(genes)), "ascending, each once"
        cells.append(dict(zip(genes, data[low:high].tolist(), strict=True)))
    return fault, row, cells


def summed(row: Row, gene_of_column: Sequence[int]) -> dict[int, int]:
    sums: dict[int, int] = defaultdict(int)
    for column, count in row:
        if gene_of_column[column] >= 0 and count:
            sums[gene_of_column[column]] += count
    return dict(sums)


@settings(deadline=None, max_examples=200)
@given(rows=rows_of_counts, genes=genes_of_columns)
def test_encoding_is_canonical_and_decodes_to_the_same_counts(rows: list[Row], genes: list[int]) -> None:
    made = Encoded(rows, genes)
    assert made.rows() == [canonical(row, genes) for row in rows]
    assert made.end == (made.row_end[-1] if rows else 0)
    assert (made.out[:, made.end :] == 7).all(), "nothing beyond the last row is touched"
    assert not made.dense.any()
    assert not made.bits.any(), "the scratch arrays are clean for the next block"
    starts = [0, *made.row_end.tolist()][: len(rows)]
    fault, _, cells = decode(made.out, starts, made.row_end.tolist())
    assert fault == 0
    assert cells == [summed(row, genes) for row in rows]


@settings(deadline=None, max_examples=60)
@given(rows=rows_of_counts.filter(bool), genes=genes_of_columns, data=st.data())
def test_rows_in_any_order_with_repeats(rows: list[Row], genes: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    made = Encoded(rows, genes, chosen=sorted(set(chosen)), start=5)
    assert made.rows(start=5) == [canonical(rows[k], genes) for k in sorted(set(chosen))]
    assert (made.out[:, :5] == 7).all()
    whole = Encoded(rows, genes)
    starts, ends = np.array([0, *whole.row_end[:-1].tolist()]), whole.row_end
    fault, _, cells = decode(whole.out, starts[chosen].tolist(), ends[chosen].tolist())
    assert (fault, cells) == (0, [summed(rows[k], genes) for k in chosen])
    gathered = np.zeros((2, int((ends - starts)[chosen].sum())), np.uint16)
    row_end = np.zeros(len(chosen), np.int32)
    end = gather_rows(whole.out, starts[chosen], (ends - starts)[chosen], gathered, row_end)
    assert end == gathered.shape[1]
    assert decode(gathered, [0, *row_end.tolist()][: len(chosen)], row_end.tolist())[2] == cells


@settings(deadline=None, max_examples=25)
@given(rows=rows_of_counts, genes=genes_of_columns)
def test_histograms_and_large_values(rows: list[Row], genes: list[int]) -> None:
    made = Encoded(rows, genes)
    seen: dict[tuple[int, int], int] = defaultdict(int)
    for row in rows:
        for gene, value in summed(row, genes).items():
            seen[gene, value] += 1
    near = {(int(g), int(v)): int(made.near[g, v]) for g, v in np.argwhere(made.near)}
    far = {(int(g), int(v)): int(made.far[g, v]) for g, v in np.argwhere(made.far)}
    assert near == {k: n for k, n in seen.items() if k[1] < entries.NEAR_BINS}
    assert far == {k: n for k, n in seen.items() if entries.NEAR_BINS <= k[1] < entries.FAR_BINS}
    large = sorted(map(tuple, made.large[:, : made.n_large].T.tolist()))
    assert large == sorted(k for k, n in seen.items() for _ in range(n) if k[1] >= entries.FAR_BINS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
def test_types_of_values(dtype: Any) -> None:
    rows = [[(1, 3), (0, 70_000)], [], [(2, 1)]]
    assert Encoded(rows, [5, 0, 131_080], dtype=dtype, n_genes=140_000).rows() == [
        [(0, 3), (5, 65_535), (0, 4_465)],
        [],
        [(65_535, 0), (65_535, 0), (10, 1)],
    ]


def test_the_worked_example_of_the_specification() -> None:
    rows = [[(0, 2), (1, 70_000)], [], [(2, 1), (3, 5), (4, 300), (5, 2)]]
    made = Encoded(rows, [3, 65_543, 0, 1, 7, 131_080])
    assert made.row_end.tolist() == [4, 4, 10]
    assert made.out[0, :10].tobytes().hex(" ") == "03 00 ff ff 05 00 00 00 00 00 01 00 06 00 ff ff ff ff 03 00"
    assert made.out[1, :10].tobytes().hex(" ") == "02 00 00 00 ff ff 71 11 01 00 05 00 2c 01 00 00 00 00 02 00"


def test_a_count_of_many_entries() -> None:
    count = 2**53 - 1
    # 2^53 - 1 itself takes 1.4e11 entries; the sum is checked on a row as long as fits a shard.
    assert count // 65_535 > 10**11
    n = 3_000_000
    long = np.zeros((2, n), np.uint16)
    long[0, 0], long[1] = 4, 65_535
    long[1, -1] = 9
    assert decode(long, [0], [n], chunk=2048)[2] == [{4: 65_535 * (n - 1) + 9}]
    made = Encoded([[(0, 65_535 * (n - 1) + 9)]], [4])
    np.testing.assert_array_equal(made.out[:, :n], long)
    assert made.end == n


def test_any_split_of_a_count_is_summed() -> None:
    # A reader accepts what is not canonical (CNT-7).
    pairs = np.array([[2, 0, 0, 3], [1, 2, 65_535, 1]], np.uint16)
    assert decode(pairs, [0], [4], 10)[2] == [{2: 65_538, 5: 1}]


@pytest.mark.parametrize(
    ("pairs", "fault"),
    [
        ([(3, 1), (65_535, 65_535)], entries.LOST),
        ([(65_535, 65_535)], entries.LOST),
        ([(65_535, 1)], entries.BAD_DELTA),
        ([(3, 0)], entries.BAD_ZERO),
        ([(0, 0)], entries.BAD_ZERO),
        ([(99, 1), (1, 1)], entries.BAD_GENE),
        ([(100, 1)], entries.BAD_GENE),
        ([(65_535, 0)], entries.BAD_GENE),
        ([(99, 1), (65_535, 0)], entries.BAD_GENE),
    ],
)
def test_what_no_writer_writes_is_refused(pairs: Row, fault: int) -> None:
    table = np.array([(1, 1), *pairs], np.uint16).T.copy()
    assert decode(table, [0, 1], [1, len(pairs) + 1], 100)[:2] == (fault, 1)
    assert set(entries.DECODE_FAULTS) == {1, 2, 3, 4, 5}


def test_a_delta_of_fill_beside_a_count_of_65535_is_data() -> None:
    table = np.array([(65_534, 65_535), (65_535, 0), (1, 65_535)], np.uint16).T.copy()
    assert decode(table, [0], [3])[2] == [{65_534: 65_535, 131_070: 65_535}]


def test_gaps_never_pass_their_bound() -> None:
    for n_genes in (1, 65_535, 65_536, 65_537, 131_071, 131_072, N_GENES):
        made = Encoded([[(0, 1)], [(1, 1)], [(0, 1), (1, 1)]], [0, n_genes - 1], n_genes=n_genes)
        assert all(len(row) - n <= max_gap_entries(n_genes) for row, n in zip(made.rows(), (1, 1, 2), strict=True))
    assert max_gap_entries(0) == 0


def scanned(rows: Sequence[Row], dtype: Any = np.int64, n_columns: int = N_COLUMNS) -> tuple[Any, ...]:
    offsets, indices, data = csr(rows, dtype)
    keys = np.arange(1, n_columns + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    detection, seen = np.zeros(n_columns, np.int64), np.full(n_columns, -1, np.int64)
    figures = np.zeros((4, len(rows)), np.int64)
    result = scan_rows(offsets, indices, data, keys, detection, seen, 100, *figures)
    return result, figures, detection, keys


@settings(deadline=None, max_examples=100)
@given(rows=rows_of_counts)
def test_scan_measures_each_row(rows: list[Row]) -> None:
    (fault, _, _), figures, detection, keys = scanned(rows)
    assert fault == entries.OK
    detected = np.zeros(N_COLUMNS, np.int64)
    for i, row in enumerate(rows):
        columns = {c for c, v in row if v}
        detected[list(columns)] += 1
        needed, total, n_genes, content = figures[:, i].tolist()
        assert total == sum(v for _, v in row)
        assert n_genes == len(columns)
        assert needed >= len(canonical(row, range(N_COLUMNS)))
        h = sum(v * int(keys[c]) for c, v in row) % 2**64
        h = ((h ^ (h >> 32)) * 0xD6E8FEB86659FD93) % 2**64
        assert content == h >> 1
    np.testing.assert_array_equal(detection, detected)


@settings(deadline=None, max_examples=50)
@given(row=st.lists(st.tuples(st.integers(0, N_COLUMNS - 1), st.integers(1, 5)), max_size=10), data=st.data())
def test_content_does_not_depend_on_the_order_of_entries(row: Row, data: st.DataObject) -> None:
    other = data.draw(st.permutations(row))
    split = [(c, 1) for c, v in row for _ in range(v)] + [(0, 0)]
    contents = scanned([row, other, split])[1][3]
    assert len(set(contents.tolist())) == 1


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (0.5, entries.NOT_WHOLE),
        (-1.0, entries.NEGATIVE),
        (-0.5, entries.NEGATIVE),
        (float("nan"), entries.NOT_A_NUMBER),
        (float("inf"), entries.TOO_LARGE),
        (2.0**53, entries.TOO_LARGE),
        (float("-inf"), entries.NEGATIVE),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scan_refuses_what_is_no_count(value: float, fault: int, dtype: Any) -> None:
    rows: Any = [[(0, 1.0)], [(3, 2.0), (2, value), (1, -5.0)]]
    (found, row, p), _, _, _ = scanned(rows, dtype)
    assert (found, row, p) == (fault, 1, 2)
    assert fault in entries.FAULTS


@pytest.mark.parametrize("column", [-1, N_COLUMNS, 2**31 - 1])
def test_scan_refuses_columns_outside_of_the_matrix(column: int) -> None:
    assert scanned([[(0, 1)], [(column, 1)]])[0] == (entries.BAD_COLUMN, 1, 1)


def test_largest_count_passes_the_scan() -> None:
    (fault, _, _), figures, _, _ = scanned([[(0, 2**53 - 1)]])
    assert fault == entries.OK
    assert figures[0, 0] == -(-(2**53 - 1) // 65_535)
    assert figures[1, 0] == 2**53 - 1

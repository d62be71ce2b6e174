"""Lists of neighbours from graphs and from arrays are those of a plain computation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import InvalidDataError, ScformatError, UsageError
from scformat.neighbours import graph as graph_module
from scformat.neighbours import lists as lists_module
from scformat.neighbours.graph import longest_list, read_ties
from scformat.neighbours.lists import empty_lists, fill_nearest, lists_of_arrays
from scformat.sources.matrices import ArrayRows, DenseMatrix, SparseMatrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scformat.neighbours import NeighbourLists

Tie = tuple[int, int, float]
MEANINGS = ("distance", "connectivity")


def no_var() -> Any:
    raise AssertionError("nobody asks for a var table")


def sparse_matrix(ties: Sequence[Tie], n: int, *, layout: Any = "csr", dtype: Any = np.float64) -> SparseMatrix:
    """A matrix whose elements lie in the order given: unsorted, some of them twice."""
    major = 0 if layout == "csr" else 1
    order = sorted(range(len(ties)), key=lambda i: ties[i][major])
    offsets = np.searchsorted([ties[i][major] for i in order], np.arange(n + 1))
    return SparseMatrix(
        location="obsp/x",
        where="here",
        layout=layout,
        shape=(n, n),
        offsets=offsets,
        indices=ArrayRows(np.array([ties[i][1 - major] for i in order], np.int32)),
        data=ArrayRows(np.array([ties[i][2] for i in order], dtype)),
        var=no_var,
    )


def lists_of(matrix: Any, k: int, weight: str) -> NeighbourLists:
    lists = empty_lists(matrix.shape[0], k, weight=weight, source="x")
    for cells, neighbours, weights in read_ties(matrix):
        fill_nearest(lists, cells, neighbours, weights, where="here")
    return lists


def nearest(ties: Sequence[Tie], n: int, k: int, weight: str) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The same, as one would write it down."""
    found: dict[tuple[int, int], float] = {}
    for i, j, w in ties:
        found[i, j] = found.get((i, j), 0.0) + w
    rows, weights = np.full((n, k), -1), np.zeros((n, k), np.float32)
    for i in range(n):
        own = [(np.float32(w), j) for (a, j), w in found.items() if a == i and j != i]
        own = [(w, j) for w, j in own if weight == "distance" or w != 0]
        own.sort(key=lambda pair: (pair[0] if weight == "distance" else -pair[0], pair[1]))
        for slot, (w, j) in enumerate(own[:k]):
            rows[i, slot], weights[i, slot] = j, w
    return rows, weights


def agree(lists: NeighbourLists, expected: tuple[NDArray[Any], NDArray[Any]]) -> None:
    assert lists.rows.tolist() == expected[0].tolist()
    assert lists.weights is not None
    assert lists.weights.dtype == np.float32
    assert lists.weights.tolist() == expected[1].tolist()


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[Tie]]:
    n = draw(st.integers(1, 12))
    row = st.integers(0, n - 1)
    weight = st.one_of(st.sampled_from([0.0, 1.0, 2.0, -1.0, 1e-50]), st.floats(-1e30, 1e30))
    return n, draw(st.lists(st.tuples(row, row, weight), max_size=40))


@settings(max_examples=150, deadline=None)
@given(graphs(), st.integers(1, 6), st.sampled_from(MEANINGS), st.sampled_from(["csr", "csc"]), st.integers(1, 50))
def test_the_nearest_of_a_sparse_graph(
    graph: tuple[int, list[Tie]], k: int, weight: str, layout: str, block: int
) -> None:
    n, ties = graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_module, "BLOCK_TIES", block)
        matrix = sparse_matrix(ties, n, layout=layout)
        before = matrix._indices.read(0, len(ties)).copy(), matrix._data.read(0, len(ties)).copy()
        agree(lists_of(matrix, k, weight), nearest(ties, n, k, weight))
        # What a user handed over stays as it was.
        assert np.array_equal(matrix._indices.read(0, len(ties)), before[0])
        assert np.array_equal(matrix._data.read(0, len(ties)), before[1])


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(1, 6), st.sampled_from(MEANINGS), st.integers(1, 50))
def test_the_nearest_of_a_dense_graph(graph: tuple[int, list[Tie]], k: int, weight: str, block: int) -> None:
    n, ties = graph
    once = {(i, j): w for i, j, w in ties if w != 0}
    dense = np.zeros((n, n))
    for place, w in once.items():
        dense[place] = w
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_module, "BLOCK_TIES", block)
        matrix = DenseMatrix(location="obsp/x", where="here", rows=ArrayRows(dense), var=no_var)
        agree(lists_of(matrix, k, weight), nearest([(*place, w) for place, w in once.items()], n, k, weight))


def test_a_stored_zero_is_a_distance_but_no_similarity() -> None:
    ties = [(0, 1, 0.0), (0, 2, 1.0)]
    assert lists_of(sparse_matrix(ties, 3), 2, "distance").rows[0].tolist() == [1, 2]
    assert lists_of(sparse_matrix(ties, 3), 2, "connectivity").rows[0].tolist() == [2, -1]


@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.bool_])
def test_other_types_of_elements(dtype: Any) -> None:
    ties = [(0, 1, 1), (0, 2, 1), (2, 0, 1)]
    lists = lists_of(sparse_matrix(ties, 3, dtype=dtype), 2, "connectivity")
    assert lists.rows.tolist() == [[1, 2], [-1, -1], [0, -1]]


@pytest.mark.parametrize("weight", MEANINGS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e39, float(np.finfo(np.float32).min)])
def test_weights_that_are_no_numbers_are_refused(weight: str, value: float) -> None:
    with pytest.raises(InvalidDataError, match=r"here, row 2: .*bad-neighbour-weight"):
        lists_of(sparse_matrix([(0, 1, 1.0), (2, 1, value)], 3), 2, weight)
    # That of a cell to itself is none of our business.
    lists_of(sparse_matrix([(0, 1, 1.0), (2, 2, value)], 3), 2, weight)


@pytest.mark.parametrize("layout", ["csr", "csc"])
@pytest.mark.parametrize("tie", [(0, 3, 1.0), (3, 0, 1.0), (0, -1, 1.0)])
def test_indices_beyond_the_cells_are_refused(layout: str, tie: Tie) -> None:
    ties = [tie] if tie[0 if layout == "csr" else 1] in range(3) else [(tie[1], tie[0], 1.0)]
    with pytest.raises(InvalidDataError, match="index-out-of-range"):
        lists_of(sparse_matrix(ties, 3, layout=layout), 2, "distance")


def test_the_longest_list() -> None:
    assert longest_list(sparse_matrix([(0, 1, 1.0), (0, 2, 1.0), (1, 2, 1.0)], 3)) == 2
    assert longest_list(sparse_matrix([], 3)) == 1
    with pytest.raises(UsageError, match="bad-k"):
        longest_list(sparse_matrix([(0, j, 1.0) for j in range(1025)], 1025))


# Arrays


@st.composite
def arrays(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    n, m = draw(st.integers(1, 8)), draw(st.integers(1, 5))
    rows = [draw(st.lists(st.integers(-2, n - 1), min_size=m, max_size=m)) for _ in range(n)]
    for own in rows:  # each at most once
        seen: set[int] = set()
        for slot, row in enumerate(own):
            own[slot] = -1 if row in seen else row
            seen.add(row)
    weights = [[draw(st.sampled_from([0.0, 0.5, 0.5, 1.0, -2.0])) for _ in range(m)] for _ in range(n)]
    return np.array(rows), np.array(weights)


@settings(max_examples=150, deadline=None)
@given(arrays(), st.sampled_from([None, *MEANINGS]), st.integers(0, 1), st.integers(1, 5))
def test_lists_of_arrays(
    given_arrays: tuple[NDArray[np.int64], NDArray[np.float64]], weight: str | None, fewer: int, block: int
) -> None:
    rows, weights = given_arrays
    n, m = rows.shape
    k = max(1, m - fewer)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists_module, "BLOCK", block)
        lists = lists_of_arrays(
            n, rows, None if weight is None else weights, k=k if fewer else None, weight=weight, source="x"
        )
    for i in range(n):
        own = [(w, j) for j, w in zip(rows[i].tolist(), weights[i].tolist(), strict=True) if j >= 0 and j != i]
        if weight is not None:
            own.sort(key=lambda pair: pair[0] if weight == "distance" else -pair[0])  # stable
        filled = own[:k] + [(0.0, -1)] * (k - len(own))
        assert lists.rows[i].tolist() == [j for _, j in filled]
        if lists.weights is not None:
            assert lists.weights[i].tolist() == [w for w, _ in filled]
    assert (lists.weights is None) == (weight is None)


def test_a_weight_of_nothing_can_be_anything() -> None:
    rows, weights = [[1, -1], [-1, 0]], [[1.0, math.nan], [math.inf, 2.0]]
    lists = lists_of_arrays(2, rows, weights, k=None, weight="distance", source="x")
    assert lists.rows.tolist() == [[1, -1], [0, -1]]
    assert lists.weights is not None
    assert lists.weights.tolist() == [[1.0, 0.0], [2.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "weights", "options", "code"),
    [
        ([[1], [0]], None, {"n_cells": 3}, "bad-neighbours"),
        ([1, 0, 1], None, {}, "bad-neighbours"),
        ([[1.0], [0.0], [1.0]], None, {}, "bad-neighbours"),
        (np.empty((3, 0), int), None, {}, "bad-neighbours"),
        ([[3], [0], [1]], None, {}, "bad-neighbours"),
        ([[1, 1], [0, 2], [0, 1]], None, {}, "bad-neighbours"),
        ([[1], [0], [1]], [[1.0], [1.0]], {"weight": "distance"}, "bad-neighbours"),
        ([[1], [0], [1]], [["a"], ["b"], ["c"]], {"weight": "distance"}, "bad-neighbours"),
        ([[1], [0], [1]], [[1.0], [1.0], [1.0]], {}, "no-weight-meaning"),
        ([[1], [0], [1]], None, {"weight": "distance"}, "no-weight-meaning"),
        ([[1], [0], [1]], [[1.0], [math.nan], [1.0]], {"weight": "distance"}, "bad-neighbour-weight"),
        ([[1], [0], [1]], None, {"k": 2}, "bad-k"),
        ([[1], [0], [1]], None, {"k": 0}, "bad-k"),
        ([[1], [0], [1]], None, {"k": True}, "bad-k"),
        (np.full((3, 1025), -1), None, {}, "bad-k"),
    ],
)
def test_arrays_that_are_no_lists(rows: Any, weights: Any, options: dict[str, Any], code: str) -> None:
    made = {"n_cells": 3, "k": None, "weight": None, "source": "x", **options}
    with pytest.raises(ScformatError) as caught:
        lists_of_arrays(rows=rows, weights=weights, **made)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_long_lists_lie_in_a_file_without_a_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists_module, "IN_MEMORY", 10)
    lists = empty_lists(5, 3, weight="distance", source="x", directory=tmp_path)
    assert isinstance(lists.rows, np.memmap)
    assert list(tmp_path.iterdir()) == []
    fill_nearest(lists, np.array([0, 0, 4]), np.array([1, 2, 0]), np.array([2.0, 1.0, 3.0]), where="here")
    assert lists.rows.tolist() == [[2, 1, -1], *[[-1] * 3] * 3, [0, -1, -1]]

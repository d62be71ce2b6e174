"""The graph of terms: closure, counts, diamonds, cycles, slim lists."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import InvalidDataError, UnknownNameError
from scformat.ontology import Term, TermGraph, Vocabulary, build_graph, descendant_counts, restrict


def vocabulary(parents: dict[str, list[str]], prefix: str = "X") -> Vocabulary:
    return Vocabulary.of(prefix, "r1", [Term(i, f"name of {i}", tuple(up)) for i, up in parents.items()])


def closure_of(graph: TermGraph) -> dict[str, set[str]]:
    return {i: {graph.ids[a] for a in graph.ancestors_of(node)} for node, i in enumerate(graph.ids)}


def edges_of(graph: TermGraph) -> list[tuple[str, str]]:
    return [(graph.ids[child], graph.ids[parent]) for child, parent in graph.edges.tolist()]


DIAMOND = {"X:1": [], "X:2": ["X:1"], "X:3": ["X:1"], "X:4": ["X:2", "X:3"], "X:5": ["X:4"], "X:9": []}


def test_only_present_terms_and_their_ancestors() -> None:
    graph = build_graph([vocabulary(DIAMOND)], ["X:4", "X:2", "X:4"])
    assert graph.ids == ("X:1", "X:2", "X:3", "X:4")
    assert graph.names == tuple(f"name of {i}" for i in graph.ids)
    assert graph.releases == {"X": "r1"}
    assert edges_of(graph) == [("X:2", "X:1"), ("X:3", "X:1"), ("X:4", "X:2"), ("X:4", "X:3")]
    assert closure_of(graph)["X:4"] == {"X:1", "X:2", "X:3", "X:4"}
    assert graph.descendants_of(0).tolist() == [0, 1, 2, 3]
    assert [a.dtype.name for a in (graph.edges, graph.ancestor_offsets, graph.ancestors)] == ["int32", "int64", "int32"]


def test_a_cell_below_a_diamond_is_counted_once() -> None:
    graph = build_graph([vocabulary(DIAMOND)], ["X:5", "X:2"])
    own = np.zeros(len(graph), np.int64)
    own[graph.nodes["X:5"]], own[graph.nodes["X:2"]] = 7, 2
    total = dict(zip(graph.ids, descendant_counts(graph, own).tolist(), strict=True))
    assert total == {"X:1": 9, "X:2": 9, "X:3": 7, "X:4": 7, "X:5": 7}


def test_forty_stacked_diamonds() -> None:
    """2^40 paths lead from the last term to the first: only work by nodes and edges ends."""
    parents: dict[str, list[str]] = {"X:000t": []}
    for i in range(40):
        top, below = f"X:{i:03}t", f"X:{i + 1:03}t"
        parents |= {f"X:{i:03}a": [top], f"X:{i:03}b": [top], below: [f"X:{i:03}a", f"X:{i:03}b"]}
    graph = build_graph([vocabulary(parents)], ["X:040t"])
    slim = restrict(graph, {"X:000t", "X:020t", "X:040t"})
    assert len(graph) == 121
    assert closure_of(graph)["X:040t"] == set(parents)
    own = np.zeros(121, np.int64)
    own[graph.nodes["X:040t"]] = 3
    assert (descendant_counts(graph, own) == 3).all()
    assert edges_of(slim) == [("X:020t", "X:000t"), ("X:040t", "X:020t")]


@pytest.mark.parametrize(
    "parents",
    [
        {"X:1": ["X:1"]},
        {"X:1": ["X:2"], "X:2": ["X:3"], "X:3": ["X:1"]},
        {"X:0": [], "X:1": ["X:0", "X:2"], "X:2": ["X:1"]},
    ],
)
def test_a_cycle_is_an_error_that_shows_it(parents: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidDataError) as caught:
        build_graph([vocabulary(parents)], ["X:1"])
    assert caught.value.code == "ontology-cycle"
    assert "X:1" in str(caught.value.found)


def test_a_parent_that_no_vocabulary_holds_is_left_out() -> None:
    graph = build_graph([vocabulary({"X:1": ["Y:1"]})], ["X:1"])
    assert (graph.ids, graph.edges.shape) == (("X:1",), (0, 2))


def test_an_unknown_present_term_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="X:4"):
        build_graph([vocabulary(DIAMOND)], ["X:44"])


def test_no_terms() -> None:
    graph = build_graph([vocabulary(DIAMOND)], [])
    assert (len(graph), graph.edges.shape, graph.ancestor_offsets.tolist()) == (0, (0, 2), [0])
    assert descendant_counts(graph, np.zeros(0, np.int64)).shape == (0,)


def test_several_vocabularies() -> None:
    graph = build_graph([vocabulary({"A:1": []}, "A"), vocabulary({"B:1": [], "B:2": ["B:1"]}, "B")], ["B:2", "A:1"])
    assert graph.ids == ("A:1", "B:1", "B:2")
    assert graph.releases == {"A": "r1", "B": "r1"}


def test_slim_keeps_the_present_terms_and_reaches_through_what_it_removes() -> None:
    graph = build_graph([vocabulary(DIAMOND)], ["X:5", "X:2"], slim={"X:1", "X:not-there"})
    assert graph.ids == ("X:1", "X:2", "X:5")
    assert edges_of(graph) == [("X:2", "X:1"), ("X:5", "X:1"), ("X:5", "X:2")]
    assert closure_of(graph)["X:5"] == {"X:1", "X:2", "X:5"}


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    n = draw(st.integers(1, 12))
    order = draw(st.permutations([f"X:{i:02}" for i in range(n)]))
    return {term: [up for up in order[:i] if draw(st.booleans())] for i, term in enumerate(order)}


def reachable(parents: dict[str, list[str]], start: str) -> set[str]:
    found, todo = {start}, [start]
    while todo:
        new = set(parents[todo.pop()]) - found
        found |= new
        todo += new
    return found


@given(dags(), st.data())
@settings(max_examples=150, deadline=None)
def test_closure_and_counts_against_a_search(parents: dict[str, list[str]], data: st.DataObject) -> None:
    present = data.draw(st.lists(st.sampled_from(sorted(parents)), unique=True))
    keep = set(data.draw(st.lists(st.sampled_from(sorted(parents)), unique=True)))
    graph = build_graph([vocabulary(parents)], present)
    truth = {term: reachable(parents, term) for term in set(itertools.chain(*(reachable(parents, p) for p in present)))}
    assert closure_of(graph) == truth

    counts = np.arange(1, len(graph) + 1)
    own = dict(zip(graph.ids, counts.tolist(), strict=True))
    expected = [sum(own[t] for t in graph.ids if node in truth[t]) for node in graph.ids]
    assert descendant_counts(graph, counts).tolist() == expected

    slim = restrict(graph, keep)
    assert closure_of(slim) == {term: up & keep for term, up in truth.items() if term in keep}


def test_the_same_graph_whatever_the_hash_seed() -> None:
    code = (
        "from scformat.ontology import *\n"
        "v = [load('CL'), load('UBERON')]\n"
        "g = build_graph(v, {'CL:0000084', 'CL:0000236', 'UBERON:0002048', 'CL:0000057', 'UBERON:0000955'})\n"
        "import hashlib\n"
        "parts = [repr((g.ids, g.names, g.releases)).encode(), *(a.tobytes() for a in (g.edges, g.ancestor_offsets, "
        "g.ancestors))]\n"
        "print(hashlib.sha256(b'|'.join(parts)).hexdigest())\n"
    )
    pytest.importorskip("cellxgene_ontology_guide")
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(outputs) == 1

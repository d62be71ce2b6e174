"""Schemes: formulas, the worked example, texts, refusals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from calls import calls_of
from hypothesis import given
from hypothesis import strategies as st

from scformat.errors import ScformatError, UnknownNameError, UsageError
from scformat.ontology import TermGraph
from scformat.ontology.graph import assemble
from scformat.sampling.levels import Levels
from scformat.sampling.nesting import nested_weights
from scformat.sampling.parsing import parse_schemes, scheme_text
from scformat.sampling.schemes import (
    Axis,
    Balanced,
    Custom,
    EffectiveNumber,
    Level,
    Natural,
    OntologyNodes,
    Power,
    Proportional,
    Scaled,
    Scheme,
)

PLAIN = Axis(name="kind", categories=("a", "b", "c"))
PARENTS = {"L": (), "T": ("L",), "NK": ("L",), "B": ("L",), "CD4": ("T",), "NKT": ("T", "NK")}
CELLS = {"L": 0, "T": 60, "NK": 20, "B": 80, "CD4": 30, "NKT": 10}


def graph_of(parents: dict[str, tuple[str, ...]]) -> TermGraph:
    return assemble(parents, {term: f"{term} cell" for term in parents}, {"X": "1"})


def axis_of(parents: dict[str, tuple[str, ...]], categories: list[str]) -> Axis:
    graph = graph_of(parents)
    terms = np.array([graph.nodes.get(name, -1) for name in categories], np.int32)
    return Axis(name="cell_type", categories=tuple(categories), graph=graph, terms=terms)


def shares(scheme: Scheme, counts: list[int], axis: Axis = PLAIN) -> list[float]:
    masses = scheme.masses(axis, np.arange(len(counts)), np.array(counts, np.int64))
    return (masses / masses.sum()).tolist()


@pytest.mark.parametrize(
    ("scheme", "mass"),
    [
        (Natural(), lambda n: n),
        (Balanced(), lambda n: 1),
        (Power(0.5), lambda n: n**0.5),
        (Power(2), lambda n: 1 / n),
        (Scaled(50), lambda n: n * 50 / (n + 50)),
        (EffectiveNumber(0.99), lambda n: n * (1 - 0.99) / (1 - 0.99**n)),
        (EffectiveNumber(0), lambda n: n),
    ],
    ids=lambda value: "" if callable(value) else str(value),
)
def test_formulas(scheme: Scheme, mass: object) -> None:
    counts = [1, 40, 25_000]
    assert scheme.masses(PLAIN, np.arange(3), np.array(counts)) == pytest.approx([mass(n) for n in counts])  # type: ignore[operator]


def test_small_s_is_balanced_and_large_s_natural() -> None:
    assert shares(Scaled(1e-6), [1, 40, 959]) == pytest.approx([1 / 3] * 3, abs=1e-5)
    assert shares(Scaled(1e9), [1, 40, 959]) == pytest.approx([0.001, 0.04, 0.959], abs=1e-5)


def test_the_effective_number_keeps_its_digits_near_one() -> None:
    b = 1 - 2**-40
    masses = EffectiveNumber(b).masses(PLAIN, np.arange(2), np.array([1, 10**6]))
    assert masses == pytest.approx([1, 1 + 10**6 * 2**-41], rel=1e-9)


def test_the_worked_example() -> None:
    axis = axis_of(PARENTS, sorted(CELLS))
    present = [code for code, name in enumerate(axis.categories) if CELLS[name]]
    counts = np.array([CELLS[axis.categories[code]] for code in present])
    masses = OntologyNodes().masses(axis, np.array(present), counts)
    found = {axis.categories[code]: mass for code, mass in zip(present, masses.tolist(), strict=True)}
    # |E| = 6, so these are 6 P.
    assert found == pytest.approx(
        {"T": 0.9, "NK": 20 / 200 + 20 / 30, "CD4": 1.45, "NKT": 10 / 200 + 10 / 100 + 10 / 30 + 1, "B": 1.4}
    )
    assert round(found["NK"], 4) == 0.7667
    assert round(found["NKT"], 4) == 1.4833
    assert sum(found.values()) == pytest.approx(6)


def test_nodes_with_equal_sets_count_once() -> None:
    chain = {"top": (), "mid": ("top",), "low": ("mid",), "leaf": ("low",), "other": ("top",)}
    axis = axis_of(chain, ["leaf", "other"])
    # Sets: {leaf, other} of top, {leaf} of mid, low and leaf together, {other}.
    assert OntologyNodes().masses(axis, np.arange(2), np.array([30, 10])) == pytest.approx([1.75, 1.25])


def test_a_category_that_is_no_term_is_a_node_of_its_own() -> None:
    axis = axis_of({"top": (), "a": ("top",)}, ["a", "raw text"])
    assert OntologyNodes().masses(axis, np.arange(2), np.array([5, 7])) == pytest.approx([1, 1])


def brute_force(axis: Axis, counts: np.ndarray) -> list[float]:
    assert axis.graph is not None
    assert axis.terms is not None
    sets = set()
    for node in range(len(axis.graph)):
        below = set(axis.graph.descendants_of(node).tolist())
        members = frozenset(t for t, term in enumerate(axis.terms.tolist()) if term in below)
        if members:
            sets.add(members)
    return [math.fsum(counts[t] / sum(int(counts[m]) for m in e) for e in sets if t in e) for t in range(len(counts))]


@given(st.data())
def test_any_graph(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 9))
    parents = {
        f"n{i}": tuple(f"n{p}" for p in sorted(data.draw(st.sets(st.integers(0, i - 1), max_size=3)) if i else []))
        for i in range(n)
    }
    present = sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1)))
    axis = axis_of(parents, [f"n{i}" for i in present])
    counts = np.array(data.draw(st.lists(st.integers(1, 1000), min_size=len(present), max_size=len(present))))
    assert OntologyNodes().masses(axis, np.arange(len(present)), counts).tolist() == brute_force(axis, counts)


def test_diamonds_take_polynomial_time() -> None:
    # Forty diamonds in a row: 2^40 paths.
    parents: dict[str, tuple[str, ...]] = {"n0": ()}
    for i in range(40):
        parents |= {f"l{i}": (f"n{i}",), f"r{i}": (f"n{i}",), f"n{i + 1}": (f"l{i}", f"r{i}")}
    axis = axis_of(parents, sorted(parents))
    masses = OntologyNodes().masses(axis, np.arange(len(parents)), np.full(len(parents), 3))
    assert masses.sum() == pytest.approx(len(parents))


def test_two_thousand_terms_take_few_calls() -> None:
    rng = np.random.default_rng(0)
    parents = {"t0": ()} | {
        f"t{i}": tuple(f"t{p}" for p in sorted(set(rng.integers(max(0, i // 3), i, 3).tolist())))
        for i in range(1, 2000)
    }
    axis = axis_of(parents, sorted(parents))
    assert axis.graph is not None
    assert len(axis.graph.ancestors) > 50_000
    counts = rng.integers(1, 10**6, 2000)
    calls = calls_of(lambda: OntologyNodes().masses(axis, np.arange(2000), counts))
    assert calls.total() < 20 * 2000, calls.most_common(20)
    masses = OntologyNodes().masses(axis, np.arange(2000), counts)
    assert (masses > 0).all()
    assert masses.sum() == pytest.approx(len({tuple(axis.graph.descendants_of(n).tolist()) for n in range(2000)}))


def test_levels_of_an_ontology() -> None:
    axis = axis_of(PARENTS, sorted(CELLS))
    codes = np.array([c for c, name in enumerate(axis.categories) if CELLS[name]])
    counts = np.array([CELLS[axis.categories[c]] for c in codes])
    scheme = Level(("T cell", "NK"))
    assert scheme.placed(axis).tolist() == [name in ("T", "NK", "CD4", "NKT") for name in axis.categories]
    kept = np.isin(codes, np.flatnonzero(scheme.placed(axis)))
    masses = scheme.masses(axis, codes[kept], counts[kept])
    found = dict(zip([axis.categories[c] for c in codes[kept]], masses.tolist(), strict=True))
    assert found == pytest.approx({"T": 0.6, "CD4": 0.3, "NKT": 0.1 + 1 / 3, "NK": 2 / 3})
    rest = Level(("T", "NK"), rest=True)
    assert rest.placed(axis).all()
    with_rest = dict(zip([axis.categories[c] for c in codes], rest.masses(axis, codes, counts).tolist(), strict=True))
    assert with_rest == pytest.approx(found | {"B": 1.0})
    with pytest.raises(UnknownNameError, match="'T cell'"):
        Level(("T sell",)).placed(axis)
    with pytest.raises(UsageError, match="names one term twice"):
        Level(("T", "T cell")).placed(axis)
    with pytest.raises(UsageError, match="no-ontology"):
        Level(("T",)).placed(PLAIN)
    with pytest.raises(UsageError, match="no-ontology"):
        OntologyNodes().placed(PLAIN)


def test_custom_weights() -> None:
    per_class = Custom("w.tsv", values={"a": 1.0, "b": 3.0, "c": 0.0})
    assert per_class.placed(PLAIN).tolist() == [True, True, False]
    assert per_class.masses(PLAIN, np.array([0, 1]), np.array([10, 10])).tolist() == [1, 3]
    per_cell = Custom("w.tsv", values={"a": 1.0, "b": 3.0}, per_cell=True)
    assert per_cell.masses(PLAIN, np.array([0, 1]), np.array([10, 20])).tolist() == [10, 60]
    with pytest.raises(ScformatError, match=r"'c'.*missing-weights"):
        per_cell.masses(PLAIN, np.arange(3), np.ones(3, np.int64))
    with pytest.raises(UnknownNameError, match="did you mean one of 'a'"):
        Custom("w.tsv", values={"aa": 1.0}).placed(PLAIN)
    for bad in ({"a": math.nan}, {"a": -1.0, "b": 1.0}, {"a": 0.0}, {"a": math.inf}):
        with pytest.raises(UsageError, match="bad-weights"):
            Custom("w.tsv", values=bad).placed(PLAIN)


def test_masses_no_number_can_hold() -> None:
    with pytest.raises(UsageError, match="bad-weights"):
        Power(-200).masses(PLAIN, np.arange(1), np.array([10**6]))
    with pytest.raises(UsageError, match="bad-weights"):
        Power(200).masses(PLAIN, np.arange(1), np.array([10**6]))


def test_combinations_split_each_category() -> None:
    keys = np.array([[0, 0, 1, 1, 1], [0, 1, 0, 1, 2]])
    counts = np.array([10, 30, 1, 1, 2])
    axes = [PLAIN, PLAIN]
    found = nested_weights(keys, counts, [Balanced(), Natural()], axes)
    assert found == pytest.approx([1 / 8, 3 / 8, 1 / 8, 1 / 8, 1 / 4])
    found = nested_weights(keys, counts, [Natural(), Balanced()], axes)
    assert found == pytest.approx([10 / 22, 10 / 22, 1 / 33, 1 / 33, 1 / 33])
    found = nested_weights(keys, counts, [Natural(), Natural()], axes)
    assert found == pytest.approx(counts / 44)


def test_levels_of_a_figure_leave_the_shares_of_classes() -> None:
    levels = Levels.over(200, 8000)
    keys = np.array([[0, 0, 1, 1], [0, 3, 0, 3]])
    counts = np.array([10, 30, 5, 1])
    found = nested_weights(keys, counts, [Balanced(), Proportional()], [PLAIN, levels])
    low, high = levels.middles[[0, 3]]
    assert found[:2].sum() == pytest.approx(0.5)
    assert found[0] / found[1] == pytest.approx(10 * low / (30 * high))
    assert found[2] / found[3] == pytest.approx(5 * low / high)


@given(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300), st.floats(0, 1))
def test_levels_are_at_most_sixteen_and_hold_their_figures(a: float, b: float, at: float) -> None:
    low, high = sorted((a, b))
    levels = Levels.over(low, high)
    assert 1 <= levels.n <= 16
    x = min(max(low, low + at * (high - low)), high)
    level = int(levels.of(np.array([x]))[0])
    assert levels.bounds[level] <= x
    assert x < levels.bounds[level + 1] or levels.bounds[level + 1] == np.finfo(np.float64).max
    assert levels.of(np.array([low, high])).tolist() == [0, levels.n - 1]
    assert levels.bounds[level] <= levels.middles[level] <= levels.bounds[level + 1]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("cell_type:ontology_nodes,tissue:scaled(50)", "cell_type:ontology_nodes,tissue:scaled(50)"),
        (" a : power( 0.5 ) ", "a:power(0.5)"),
        ("a:scaled(50, missing=unknown)", "a:scaled(50, missing='unknown')"),
        ("a:balanced(missing='it''s')", "a:balanced(missing='it''s')"),
        ("a:level(CL:0000084, 'B cell, naive')", "a:level('CL:0000084', 'B cell, naive')"),
        ("a:level(T cell,rest=yes)", "a:level('T cell', rest=yes)"),
        ("`odd, name`:natural", "`odd, name`:natural"),
        ("n_genes:proportional", "n_genes:proportional"),
        ("n_genes:proportional(-0.5),a:balanced()", "n_genes:proportional(-0.5),a:balanced"),
        ('a:custom("C:/my (own) file.tsv")', "a:custom('C:/my (own) file.tsv')"),
        ("a:effective_number(0.999)", "a:effective_number(0.999)"),
    ],
)
def test_texts(text: str, canonical: str) -> None:
    items = parse_schemes(text)
    assert scheme_text(items) == canonical
    assert parse_schemes(canonical) == items


def test_the_default_scheme() -> None:
    assert scheme_text(parse_schemes("a,b:natural", default="scaled(5)")) == "a:scaled(5),b:natural"
    with pytest.raises(UsageError, match="no-scheme"):
        parse_schemes("a,b:natural")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "scheme-syntax"),
        (",", "scheme-syntax"),
        ("a:", "scheme-syntax"),
        (":balanced", "scheme-syntax"),
        ("a:balanced,", "scheme-syntax"),
        ("a:balanced b:natural", "unknown-weighting-scheme"),
        ("a:scaled(5", "scheme-syntax"),
        ("a:scaled(5))", "scheme-syntax"),
        ("a:level('T cell)", "scheme-syntax"),
        ("a:scaled(5 6)", "bad-scheme"),
        ("a:balancd", "unknown-weighting-scheme"),
        ("a:scaled", "bad-scheme"),
        ("a:scaled(0)", "bad-scheme"),
        ("a:scaled(-1)", "bad-scheme"),
        ("a:scaled(nan)", "bad-scheme"),
        ("a:power(inf)", "bad-scheme"),
        ("a:effective_number(1)", "bad-scheme"),
        ("a:natural(3)", "bad-scheme"),
        ("a:balanced(mising=x)", "bad-scheme"),
        ("a:level()", "bad-scheme"),
        ("a:custom()", "bad-scheme"),
        ("a:balanced,a:natural", "repeated-label"),
        ("n_genes:proportional(missing=x)", "bad-scheme"),
        ("a" * 100_000, "scheme-syntax"),
    ],
)
def test_texts_that_are_none(text: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_schemes(text)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_near_names_of_schemes() -> None:
    with pytest.raises(UnknownNameError, match="'balanced'"):
        parse_schemes("a:balancd")


@given(st.text(max_size=40))
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        items = parse_schemes(text)
    except UsageError:
        return
    assert parse_schemes(scheme_text(items)) == items


def test_schemes_agree_on_one_class() -> None:
    schemes = [Natural(), Balanced(), Power(0.3), Scaled(2), EffectiveNumber(0.9)]
    for one, other in itertools.pairwise(schemes):
        assert shares(one, [17]) == shares(other, [17]) == [1.0]

"""Evaluation: types are checked first, missing values are unknown, every kind equals a cell-by-cell oracle."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Set
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.columns import Column
from scformat.errors import UnknownNameError, UsageError, unknown_name
from scformat.expression import ColumnType, Expression, parse
from scformat.expression.tree import And, Compare, In, Missing, Node, Not, Or, Truth, Under
from scformat.strings import Strings

NAN = float("nan")


def integers(values: list[int | None], dtype: str = "int64") -> Column:
    mask = np.array([v is None for v in values], bool)
    return Column(
        kind="integer", dtype=dtype, values=np.array([v or 0 for v in values], dtype), mask=mask if mask.any() else None
    )


def floats(values: list[float | None], dtype: str = "float64") -> Column:
    mask = np.array([v is None for v in values], bool)
    return Column(
        kind="float", dtype=dtype, values=np.array([v or 0 for v in values], dtype), mask=mask if mask.any() else None
    )


def booleans(values: list[bool | None]) -> Column:
    mask = np.array([v is None for v in values], bool)
    return Column(
        kind="boolean", dtype="bool", values=np.array([bool(v) for v in values], bool), mask=mask, nullable=True
    )


def strings(values: list[str | None]) -> Column:
    mask = np.array([v is None for v in values], bool)
    return Column(kind="string", dtype="string", values=Strings.of([v or "" for v in values]), mask=mask)


def categorical(values: list[str | None], categories: list[str], dtype: str = "string", **more: Any) -> Column:
    codes = np.array([-1 if v is None else categories.index(v) for v in values], np.int32)
    return Column(kind="categorical", dtype=dtype, values=codes, categories=tuple(categories), **more)


BELOW: dict[str, set[str]] = {
    "T cell": {"T cell", "CD4"},
    "CL:0000084": {"T cell", "CD4"},
    "cell": {"T cell", "CD4", "B"},
    "neuron": set(),
}


class OntologyLookup:
    """Columns with one label whose terms form a small tree."""

    def __init__(self, columns: dict[str, Column]) -> None:
        self.columns = columns
        self.asked: list[str] = []

    def column(self, name: str) -> Column:
        self.asked.append(name)
        return self.columns[name]

    def under(self, name: str, term: str) -> Set[int]:
        if term not in BELOW:
            raise unknown_name("term", term, BELOW)
        categories = self.columns[name].categories or ()
        return {i for i, c in enumerate(categories) if c in BELOW[term]}


CELLS = {
    "n": integers([1, 200, None, 500, -3]),
    "u": integers([0, 1, 2**64 - 1, 2**63, 7], "uint64"),
    "x": floats([0.1, NAN, 2.5, None, float("inf")]),
    "f": floats([0.1, NAN, 16777216.0, 1e30, -0.0], "float32"),
    "b": booleans([True, False, None, True, False]),
    "s": strings(["blood", None, "", "lung", "größe"]),
    "c": categorical(["T cell", "B", None, "CD4", "B"], ["T cell", "B", "CD4", "unused"]),
    "i": categorical(["3", "10", None, "-1", "3"], ["3", "10", "-1"], "int64"),
    "d": categorical(["0.1", "10.0", None, "-1.5", "0.1"], ["10.0", "0.1", "-1.5"], "float64"),
    "t": categorical(["True", "False", None, "True", "True"], ["False", "True"], "bool"),
    "y": categorical(["TRUE", "false", None, "TRUE", "false"], ["TRUE", "false"]),
    "o": categorical(["low", "high", None, "low", "low"], ["low", "high"], ordered=True),
    "e": categorical([None] * 5, []),
}


def selected(text: str) -> str:
    answer = parse(text).evaluate(OntologyLookup(CELLS))
    assert answer.dtype == bool
    return "".join("x" if a else "." for a in answer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n >= 200", ".x.x."), ("n == 200", ".x..."), ("n != 200", "x..xx"), ("not n == 200", "x..xx"),
        ("n < 200.5", "xx..x"), ("n <= 199.5", "x...x"), ("n > 199.5", ".x.x."), ("n >= 500.5", "....."),
        ("n == 200.0", ".x..."), ("n == 200.5", "....."), ("n in (1, 500.0, 2.5)", "x..x."),
        ("n not in (1, 500)", ".x..x"), ("n is missing", "..x.."), ("n is not missing", "xx.xx"),
        ("n < 18446744073709551615", "xx.xx"), ("n > -18446744073709551615", "xx.xx"), ("n > 1e300", "....."),
        ("n > -1e300", "xx.xx"), ("n == 1e300", "....."), ("n in (1,2,3,4,5,6,7,8,9,500,-3)", "x..xx"),
        ("u == 18446744073709551615", "..x.."), ("u > 9223372036854775808", "..x.."), ("u >= -1", "xxxxx"),
        ("u == -1", "....."), ("u < 1.5", "xx..."), ("u >= 9223372036854775808.0", "..xx."),
        ("u in (0, 9223372036854775808, -5)", "x..x."),
        ("x == 0.1", "x...."), ("x != 0.1", "..x.x"), ("x > 1", "..x.x"), ("x > 1e308", "....x"),
        ("x is missing", ".x.x."), ("x in (0.1, 2.5)", "x.x.."), ("x <= 2.5", "x.x.."),
        ("f == 0.1", "x...."), ("f == 16777217", "..x.."), ("f < 1e300", "x.xxx"), ("f == 1e300", "....."),
        ("f == 0", "....x"), ("f in (0.1,1,2,3,4,5,6,7,8,9,10,0)", "x...x"), ("f >= -1e300", "x.xxx"),
        ("b", "x..x."), ("not b", ".x..x"), ("b == true", "x..x."), ("b == 'True'", "x..x."), ("b != true", ".x..x"),
        ("b in (true, false)", "xx.xx"), ("b in ('false')", ".x..x"), ("b is missing", "..x.."),
        ("s == 'blood'", "x...."), ("s != 'blood'", "..xxx"), ("s == ''", "..x.."), ("s is missing", ".x..."),
        ("s in ('lung', 'größe')", "...xx"), ("s < 'c'", "x.x.."), ("s >= 'größe'", "...xx"),
        ("s in ('1','2','3','4','5','6','7','8','','lung')", "..xx."),
        ("s == 'bloo'", "....."), ("s == 'bloodx'", "....."),
        ("c == 'B'", ".x..x"), ("c != 'B'", "x..x."), ("c == 'absent'", "....."), ("c != 'absent'", "xx.xx"),
        ("c is missing", "..x.."), ("c is not missing", "xx.xx"), ("c in ('B', 'CD4')", ".x.xx"),
        ("c not in ('B', 'CD4')", "x...."), ("c < 'C'", ".x..x"), ("c >= 'CD4'", "x..x."),
        ("c under 'T cell'", "x..x."), ("c under 'CL:0000084'", "x..x."), ("c not under 'T cell'", ".x..x"),
        ("c under 'neuron'", "....."), ("c not under 'neuron'", "xx.xx"),
        ("i == 3", "x...x"), ("i == '3'", "x...x"), ("i < 10", "x..xx"), ("i in (3, '10')", "xx..x"),
        ("i == 3.0", "x...x"),
        ("i == '3.0'", "....."), ("d < 1", "x..xx"), ("d == 10", ".x..."), ("d == '10.0'", ".x..."),
        ("d == '10'", "....."),
        ("t", "x..xx"), ("not t", ".x..."), ("t == 'true'", "x..xx"), ("t != true", ".x..."),
        ("y", "x..x."), ("y == true", "x..x."), ("y == 'true'", "....."), ("y == 'TRUE'", "x..x."),
        ("y in (true, 'false')", "xx.xx"), ("not y", ".x..x"),
        ("o == 'low'", "x..xx"), ("e", "....."), ("e == 'x'", "....."), ("e is missing", "xxxxx"), ("not e", "....."),
        ("b and n >= 200", "...x."), ("b or n >= 200", "xx.x."), ("b or b is missing", "x.xx."),
        ("n == 1 or n != 1", "xx.xx"), ("not (b and n == 1)", ".x.xx"), ("not (n is missing)", "xx.xx"),
        ("n > 0 and (s == 'blood' or c under 'T cell')", "x..x."),
    ],
)  # fmt: skip
def test_selection(text: str, expected: str) -> None:
    assert selected(text) == expected


def test_three_valued_logic() -> None:
    """The truth tables of SQL, over all pairs of true, false and unknown."""
    states = (True, False, None)
    pairs = list(itertools.product(states, states))
    columns = {"p": booleans([p for p, _ in pairs]), "q": booleans([q for _, q in pairs])}
    for text, rule in (("p and q", _and), ("p or q", _or)):
        truth = parse(text).evaluate(columns)
        untruth = parse(f"not ({text})").evaluate(columns)
        for (p, q), is_true, is_false in zip(pairs, truth, untruth, strict=True):
            assert (is_true, is_false) == (rule([p, q]) is True, rule([p, q]) is False)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("s == 5", "column 's' is text; expected text; found the number 5; write it in quotes: '5'"),
        ("c == 5", "column 'c' is categorical (text); expected text"),
        ("c in ('B', 2.5)", "found the number 2.5"),
        ("s == true", "found true; write it in quotes: 'true'"),
        ("c == true", "found true"),
        ("y < true", "found true"),
        ("n == '5'", "column 'n' is integer; expected a number; found the text '5'; write it without quotes"),
        ("x == 'a'", "column 'x' is float"),
        ("n == true", "found true"),
        ("i < '5'", "column 'i' is categorical (integer)"),
        ("b == 1", "column 'b' is boolean; expected true or false; found the number 1"),
        ("b == 'yes'", "expected true or false"),
        ("b < true", "expected == or !="),
        ("t >= true", "expected == or !="),
        ("n", "column 'n' is integer; expected true or false"),
        ("c and b", "column 'c' is categorical (text); expected true or false"),
        ("s", "column 's' is text; expected true or false"),
        ("o < 'high'", "an order of their own"),
        ("n under 'T cell'", "a label with an ontology"),
        ("s under 'T cell'", "a label with an ontology"),
        ("i under 'T cell'", "a label with an ontology"),
    ],
)
def test_type_errors_before_any_value_is_read(text: str, says: str) -> None:
    types = {name: ColumnType.of(column) for name, column in CELLS.items()}
    with pytest.raises(UsageError) as caught:
        parse(text).check(types)
    assert caught.value.code == "expression-type"
    assert says in str(caught.value)
    with pytest.raises(UsageError):
        selected(text)


def test_types_that_pass() -> None:
    types = {name: ColumnType.of(column) for name, column in CELLS.items()}
    parse("b and n >= 200 and c under 'T cell' and s == 'x' and i in (1, '2')").check(types)


def test_unknown_columns_name_near_ones() -> None:
    types = {"n_genes": ColumnType(kind="integer", dtype="int32"), "tissue": ColumnType(kind="string", dtype="string")}
    with pytest.raises(UnknownNameError) as caught:
        parse("tissue == 'x' and n_gene > 5").check(types)
    assert caught.value.code == "unknown-column"
    assert "'n_gene'" in str(caught.value)
    assert "'n_genes'" in str(caught.value)
    with pytest.raises(UnknownNameError):
        parse("tisue == 'x'").evaluate(CELLS)


def test_unknown_terms_and_no_ontology() -> None:
    with pytest.raises(UnknownNameError):
        selected("c under 'T cel'")
    with pytest.raises(UsageError) as caught:
        parse("c under 'T cell'").evaluate(CELLS)
    assert caught.value.code == "no-ontology"


def test_each_column_is_asked_for_once() -> None:
    lookup = OntologyLookup(CELLS)
    parse("n > 1 and (n < 5 or c == 'B') and not n == 3").evaluate(lookup)
    assert lookup.asked == ["n", "c"]


def test_columns_are_not_changed() -> None:
    column = booleans([True, False, None])
    before = np.asarray(column.values).copy()
    parse("b and not b or b is missing").evaluate({"b": column})
    assert np.array_equal(np.asarray(column.values), before)


def test_no_cells() -> None:
    empty = {"n": integers([]), "s": strings([]), "c": categorical([], ["a"]), "x": floats([])}
    for text in ("n > 1", "s == 'a'", "s < 'a'", "c == 'a'", "x is missing", "n > 1 and not c == 'a'"):
        assert parse(text).evaluate(empty).shape == (0,)


# Every tree on every kind of column against an oracle that knows one cell at a time.

State = bool | None
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def _and(states: list[State]) -> State:
    return False if False in states else None if None in states else True


def _or(states: list[State]) -> State:
    return True if True in states else None if None in states else False


def oracle(node: Node, cell: dict[str, Any]) -> State:  # noqa: PLR0911 - one a kind of node
    match node:
        case Not(operand):
            state = oracle(operand, cell)
            return None if state is None else not state
        case And(operands):
            return _and([oracle(o, cell) for o in operands])
        case Or(operands):
            return _or([oracle(o, cell) for o in operands])
        case Missing(name):
            return cell[name] is None
        case _ if cell[node.name] is None:
            return None
        case Truth(name):
            return bool(cell[name])
        case Compare(name, op, value):
            return ORDERS[op](cell[name], value)
        case In(name, values):
            return any(cell[name] == v for v in values)
        case Under(name, term):
            return cell[name] in BELOW[term]


small = st.integers(-3, 3)
halves = st.integers(-6, 6).map(lambda v: v / 2)
words = st.sampled_from(["", "a", "ab", "b", "é", "T cell", "CD4", "B"])
ops = st.sampled_from(list(ORDERS))


def _conditions(
    name: str, values: st.SearchStrategy[Any], operators: st.SearchStrategy[Any] = ops
) -> st.SearchStrategy[Node]:
    several = st.lists(values, min_size=1, max_size=12).map(tuple)
    return st.one_of(
        st.builds(Compare, st.just(name), operators, values),
        st.builds(In, st.just(name), several),
        st.builds(Missing, st.just(name)),
    )


equalities = st.sampled_from(["==", "!="])
leaves = st.one_of(
    _conditions("n", small | halves),
    _conditions("x", small | halves),
    _conditions("s", words),
    _conditions("c", words),
    _conditions("k", small | halves),
    _conditions("b", st.booleans(), equalities),
    _conditions("t", st.booleans(), equalities),
    st.sampled_from([Truth("b"), Truth("t")]),
    st.builds(Under, st.just("c"), st.sampled_from(sorted(BELOW))),
)


def _larger(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, children), st.builds(And, several), st.builds(Or, several))


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


cells = st.lists(
    st.fixed_dictionaries(
        {
            "n": _maybe(small), "x": _maybe(halves), "s": _maybe(words), "c": _maybe(words), "k": _maybe(small),
            "b": _maybe(st.booleans()), "t": _maybe(st.booleans()),
        }
    ),
    max_size=8,
)  # fmt: skip


@settings(deadline=None)
@given(st.recursive(leaves, _larger, max_leaves=8), cells, st.booleans())
def test_evaluation_equals_the_oracle(tree: Node, rows: list[dict[str, Any]], nan: bool) -> None:  # noqa: FBT001
    def of(name: str) -> list[Any]:
        return [row[name] for row in rows]

    def written(name: str) -> list[str | None]:
        return [None if v is None else str(v) for v in of(name)]

    columns = {
        "n": integers(of("n"), "int8"),
        "x": floats([NAN if v is None and nan else v for v in of("x")], "float32"),
        "s": strings(of("s")),
        "c": categorical(of("c"), ["b", "unused", "", "T cell", "CD4", "a", "ab", "é", "B"]),
        "k": categorical(written("k"), ["3", "-3", "0", "2", "1", "-1", "-2"], "int64"),
        "b": booleans(of("b")),
        "t": categorical(written("t"), ["True", "False"], "bool"),
    }
    expression = Expression(tree)
    expected = [oracle(tree, row) is True for row in rows]
    assert expression.evaluate(OntologyLookup(columns)).tolist() == expected
    assert parse(str(expression)).evaluate(OntologyLookup(columns)).tolist() == expected


def test_a_million_cells_are_quick() -> None:
    """Categoricals are evaluated on their categories: no text is touched a cell at a time."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    categories = tuple(f"type {k}" for k in range(500))
    columns = {
        "c": Column(
            kind="categorical", dtype="string", values=rng.integers(-1, 500, n).astype(np.int32), categories=categories
        ),
        "n": Column(kind="integer", dtype="int32", values=rng.integers(0, 5000, n).astype(np.int32)),
    }
    found = parse("c in ('type 1', 'type 7') and n >= 200 or c is missing").evaluate(columns)
    codes, counts = columns["c"].codes, np.asarray(columns["n"].values)
    assert np.array_equal(found, (((codes == 1) | (codes == 7)) & (counts >= 200)) | (codes == -1))

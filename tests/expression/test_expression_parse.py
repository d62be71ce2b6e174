"""Parsing: precedence, quoting, canonical text, messages, hostile input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scformat.errors import UsageError
from scformat.expression import MAX_DEPTH, MAX_LENGTH, parse
from scformat.expression.tree import And, Compare, In, Missing, Node, Not, Or, Truth, Under, to_text

PIECES = ["a", "b", "(", ")", "and", "or", "not", "in", "is", "missing", "under", "==", "<", "1", "'x'", "`", ","]
A, B, C = Truth("a"), Truth("b"), Truth("c")

texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["T cell", "it's", "a`b", '"', "and", "missing", "x.y", "_z1", ""])
)
values = st.one_of(
    texts, st.booleans(), st.integers(1 - 2**64, 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)
leaves = st.one_of(
    st.builds(Truth, texts),
    st.builds(Compare, texts, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), values),
    st.builds(In, texts, st.lists(values, min_size=1, max_size=4).map(tuple)),
    st.builds(Missing, texts),
    st.builds(Under, texts, texts),
)


def _larger(children: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(children, min_size=2, max_size=4).map(tuple)
    return st.one_of(st.builds(Not, children), st.builds(And, several), st.builds(Or, several))


trees = st.recursive(leaves, _larger, max_leaves=12)


@settings(deadline=None)
@given(trees)
def test_canonical_text_parses_to_the_same_tree(tree: Node) -> None:
    text = to_text(tree)
    again = parse(text)
    assert repr(again.tree) == repr(tree)  # repr, since 1 == 1.0 == True
    assert str(again) == text
    assert again == parse(str(again))


@settings(deadline=None)
@given(st.text(max_size=40) | st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
def test_any_text_is_an_expression_or_one_line(text: str) -> None:
    try:
        expression = parse(text)
    except UsageError as error:
        assert error.code == "expression-syntax"
        assert error.exit_code == 2
        assert "\n" not in str(error)
        assert "at " in str(error)
    else:
        assert parse(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a", A),
        ("a or b and c", Or((A, And((B, C))))),
        ("a and b or c", Or((And((A, B)), C))),
        ("(a or b) and c", And((Or((A, B)), C))),
        ("a and (b and c)", And((A, And((B, C))))),
        ("not a and b", And((Not(A), B))),
        ("not (a and b)", Not(And((A, B)))),
        ("not not a", Not(Not(A))),
        ("not a == 1", Not(Compare("a", "==", 1))),
        ("((a))", A),
        ("n_genes>=200", Compare("n_genes", ">=", 200)),
        ("200 <= n_genes", Compare("n_genes", ">=", 200)),
        ("200 > n_genes", Compare("n_genes", "<", 200)),
        ("'blood' != tissue", Compare("tissue", "!=", "blood")),
        ("true == a", Compare("a", "==", value=True)),
        ("a == True", Compare("a", "==", value=True)),
        ("a != false", Compare("a", "!=", value=False)),
        ("x == -1.5e-3", Compare("x", "==", -0.0015)),
        ("x == .5", Compare("x", "==", 0.5)),
        ("x == 5.", Compare("x", "==", 5.0)),
        ("x == +7", Compare("x", "==", 7)),
        ("x>-7", Compare("x", ">", -7)),
        ("x == 0007", Compare("x", "==", 7)),
        ("t in ('a', \"b\")", In("t", ("a", "b"))),
        ("t in(1,2.5,true)", In("t", (1, 2.5, True))),
        ("t not in ('a')", Not(In("t", ("a",)))),
        ("not t in ('a')", Not(In("t", ("a",)))),
        ("t is missing", Missing("t")),
        ("t is not missing", Not(Missing("t"))),
        ("cell_type under 'T cell'", Under("cell_type", "T cell")),
        ('cell_type not under "CL:0000084"', Not(Under("cell_type", "CL:0000084"))),
        ("t == 'it''s'", Compare("t", "==", "it's")),
        ('t == "it\'s"', Compare("t", "==", "it's")),
        ('t == "say ""a"""', Compare("t", "==", 'say "a"')),
        ("t == ''", Compare("t", "==", "")),
        ("t == 'a\\'", Compare("t", "==", "a\\")),
        ("`cell type` == 'x'", Compare("cell type", "==", "x")),
        ("`a``b`", Truth("a`b")),
        ("`and` and `not`", And((Truth("and"), Truth("not")))),
        ("nCount.RNA > 1", Compare("nCount.RNA", ">", 1)),
        ("größe > 1", Compare("größe", ">", 1)),
        ("android or notable and inside", Or((Truth("android"), And((Truth("notable"), Truth("inside")))))),
        ("  a\n\tand\nb ", And((A, B))),
    ],
)
def test_tree(text: str, tree: Node) -> None:
    assert repr(parse(text).tree) == repr(tree)


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 1, "expected a condition; found the end"),
        ("   ", 4, "found the end"),
        ("tissue == blood", 11, "text is written in quotes: 'blood'"),
        ("tissue = 'blood'", 8, "write =="),
        ("tissue <> 'blood'", 8, "write !="),
        ("a & b", 3, "write and"),
        ("a | b", 3, "write or"),
        ("!a", 1, "write not"),
        ("a and", 6, "found the end"),
        ("and a", 1, "written in backticks"),
        ("a b", 3, "expected and, or, or the end; found the name b"),
        ("(a", 3, "closing parenthesis"),
        ("a)", 2, "found the mark )"),
        ("a in ()", 7, "expected a value"),
        ("a in ('x',)", 11, "expected a value"),
        ("a in 'x'", 6, "in parentheses"),
        ("a in ('x' 'y')", 11, "comma"),
        ("a is 5", 6, "expected missing"),
        ("a not 5", 7, "in or under"),
        ("a under T", 9, "in quotes"),
        ("a == 'x", 6, "never closed"),
        ("`a", 1, "never closed"),
        ("'x'", 4, "a value alone is no condition"),
        ("5 and a", 3, "a value alone is no condition"),
        ("1 == 2", 6, "the name of a column"),
        ("1 < a < 5", 7, "join two comparisons with and"),
        ("a == 5x", 6, "found the character 5"),
        ("a == 99999999999999999999999", 6, "64 bits"),
        ("a == 1e999", 6, "64 bits"),
        ("a == " + "9" * 10_000, 6, "64 bits"),
        ("a + b", 3, "found the character +"),
        ("__import__('os')", 11, "found the mark ("),
    ],
)
def test_messages(text: str, at: int, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.code == "expression-syntax"
    assert f": at {at}: " in str(caught.value)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


def test_names() -> None:
    expression = parse("(a == 1 or not `b c` in (2)) and d under 'x' and a is missing and f")
    assert expression.names == {"a", "b c", "d", "f"}
    assert expression.under_names == {"d"}


def test_equal_expressions() -> None:
    assert parse("a  ==  1") == parse("(1 == a)")
    assert hash(parse("a == 1")) == hash(parse("(a==1)"))
    assert parse("a == 1") != parse("a == true")
    assert parse("a == 1") != parse("a == 1.0")


@pytest.mark.parametrize("opening", ["(", "not ", "not(", "a and ("])
def test_too_deep(opening: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(opening * 100_000)
    assert caught.value.code == "expression-too-deep"


def test_deepest() -> None:
    text = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert parse(text).tree == A
    nested = "a or b and (" * MAX_DEPTH + "a or b" + ")" * MAX_DEPTH
    assert parse(str(parse(nested))) == parse(nested)
    with pytest.raises(UsageError):
        parse(f"({text})")
    # Depth is what lies inside one another, not what was opened before.
    assert parse(" or ".join(["(a and not b)"] * 1000)).names == {"a", "b"}


@pytest.mark.parametrize(
    "text",
    [
        "a == '" + "x''" * 300_000,
        "a == " + "'" * 1_000_001,
        "`" * 1_000_001,
        "a in (" + "'x'," * 250_000,
        "a in (" + ",".join(["'barcode'"] * 100_000) + ")",
        " or ".join(["a == 1"] * 100_000),
        "a == " + "1" * 1_000_000 + "x",
        "a == 1." + "1" * 1_000_000 + "ee",
        " " * 1_000_000,
        "a" * 1_000_000,
        "a." * 500_000 + "==",
        "(a)" * 300_000,
    ],
)
def test_long_texts_take_linear_time(text: str) -> None:
    """Quadratic time would be hours here."""
    try:
        str(parse(text))
    except UsageError as error:
        assert error.code == "expression-syntax"
        assert len(str(error)) < 400


def test_too_long() -> None:
    assert parse("a" * MAX_LENGTH).names == {"a" * MAX_LENGTH}
    with pytest.raises(UsageError) as caught:
        parse("a" * (MAX_LENGTH + 1))
    assert caught.value.code == "expression-too-long"


@pytest.mark.parametrize("text", ["note == '\udcf5'", "`\ud800` is missing", "\udfff"])
def test_half_a_surrogate_pair_is_no_text(text: str) -> None:
    """As a byte of the command line that is no UTF-8 reaches Python."""
    with pytest.raises(UsageError, match=r"\[expression-syntax\]$"):
        parse(text)

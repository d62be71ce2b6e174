"""Text of an expression to its tree: a tokenizer and one function a rule of the grammar, in linear time."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn, cast

from scformat.errors import UsageError
from scformat.expression.tree import BARE_NAME, KEYWORDS, And, Compare, In, Missing, Not, Or, Truth, Under

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scformat.expression.tree import Node, Op, Value

MAX_LENGTH: Final = 1 << 20
"""Characters in one expression: room for a list of some 50,000 barcodes."""

MAX_DEPTH: Final = 64
"""Parentheses and ``not`` inside one another."""

_MAX_INTEGER: Final = 1 << 64
_MIRRORED: Final = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRITTEN: Final = {
    "=": "write ==", "&": "write and", "|": "write or", "!": "write not", "~": "write not", "<>": "write !=",
    "'": "the quote is never closed; a quote inside is written twice",
    '"': "the quote is never closed; a quote inside is written twice",
    "`": "the quote is never closed; a quote inside is written twice",
}  # fmt: skip

# Every alternative takes what it can without going back, so a hostile text costs no more than its length.
_TOKEN: Final = re.compile(
    rf"""(?P<space>\s++)
    | (?P<name>{BARE_NAME})
    | (?P<column>`(?:[^`]++|``)*+`)
    | (?P<text>'(?:[^']++|'')*+'|"(?:[^"]++|"")*+")
    | (?P<number>[-+]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][-+]?[0-9]++)?)(?![\w.])
    | (?P<operator>==|!=|<=|>=|<(?!>)|>)
    | (?P<mark>[(),])
    """,
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_tree(text: str) -> Node:
    """Parse `text`; errors as in :func:`scformat.expression.parse`."""
    if len(text) > MAX_LENGTH:
        raise UsageError(
            "expression-too-long",
            "expression is too long",
            expected=f"{MAX_LENGTH:,} characters",
            found=f"{len(text):,}",
        )
    halves = re.search("[\ud800-\udfff]", text)
    if halves is not None:
        raise UsageError(
            "expression-syntax", f"at {halves.start() + 1}: no text", found="half of a surrogate pair, or a stray byte"
        )
    return _Parser(text).whole()


class _Parser:
    """Recursive descent with one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._tokenize()
        self._depth = 0
        self._next = next(self._tokens)

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind == "operator":
            self._fail("and, or, or the end", "join two comparisons with and: 200 <= n_genes and n_genes < 500")
        if self._next.kind != "end":
            self._fail("and, or, or the end")
        return node

    # The grammar

    def _expression(self) -> Node:
        operands = self._joined("or", self._conjunction)
        return operands[0] if len(operands) == 1 else Or(operands)

    def _conjunction(self) -> Node:
        operands = self._joined("and", self._negation)
        return operands[0] if len(operands) == 1 else And(operands)

    def _joined(self, keyword: str, operand: Callable[[], Node]) -> tuple[Node, ...]:
        operands = [operand()]
        while self._take(keyword):
            operands.append(operand())
        return tuple(operands)

    def _negation(self) -> Node:
        at = self._next.at
        if self._take("not"):
            self._deeper(at)
            node: Node = Not(self._negation())
        elif self._take("("):
            self._deeper(at)
            node = self._expression()
            self._expect(")", "a closing parenthesis")
        else:
            return self._condition()
        self._depth -= 1
        return node

    def _condition(self) -> Node:
        if self._next.kind in ("text", "number") or self._next.text in ("true", "false", "True", "False"):
            return self._turned()
        name = self._column("a condition")
        if self._next.kind == "operator":
            op = self._advance().text
            return Compare(name, cast("Op", op), self._value())
        if self._take("is"):
            negated = self._take("not")
            self._expect("missing", "missing")
            return Not(Missing(name)) if negated else Missing(name)
        negated = self._take("not")
        if self._take("in"):
            found: Node = In(name, self._list())
        elif self._take("under"):
            found = Under(name, self._term())
        elif negated:
            self._fail("in or under after not")
        else:
            return Truth(name)
        return Not(found) if negated else found

    def _turned(self) -> Node:
        value = self._value()
        if self._next.kind != "operator":
            self._fail("a comparison: a value alone is no condition")
        op = _MIRRORED[self._advance().text]
        return Compare(self._column("the name of a column"), cast("Op", op), value)

    def _list(self) -> tuple[Value, ...]:
        self._expect("(", "a list of values in parentheses")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        self._expect(")", "a comma or a closing parenthesis")
        return tuple(values)

    def _term(self) -> str:
        if self._next.kind != "text":
            self._fail("the name or id of a term in quotes")
        return _unquoted(self._advance().text)

    def _column(self, expected: str) -> str:
        if self._next.kind == "column":
            return _unquoted(self._advance().text)
        if self._next.kind != "name" or self._next.text in KEYWORDS:
            keyword = self._next.text in KEYWORDS and self._next.kind == "name"
            self._fail(expected, "a column of that name is written in backticks" if keyword else None)
        return self._advance().text

    def _value(self) -> Value:
        token = self._next
        if token.kind == "text":
            return _unquoted(self._advance().text)
        if token.kind == "number":
            number = _number(token.text)
            if number is None:
                self._fail("a number that fits 64 bits")
            self._advance()
            return number
        if token.kind == "name" and token.text in ("true", "false", "True", "False"):
            return self._advance().text in ("true", "True")
        hint = f"text is written in quotes: '{token.text}'" if token.kind == "name" and len(token.text) < 80 else None
        self._fail("a value", hint)

    # Tokens

    def _tokenize(self) -> Iterator[_Token]:
        at = 0
        while at < len(self._text):
            found = _TOKEN.match(self._text, at)
            if found is None:
                bad = self._text[at]
                bad = "<>" if self._text.startswith("<>", at) else bad
                self._next = _Token("character", bad, at)
                self._fail("a column, a value or an operator", _WRITTEN.get(bad))
            if found.lastgroup != "space":
                yield _Token(str(found.lastgroup), found.group(), at)
            at = found.end()
        yield _Token("end", "", at)

    def _advance(self) -> _Token:
        token = self._next
        self._next = next(self._tokens)
        return token

    def _take(self, text: str) -> bool:
        """Step over the keyword or mark `text` if it comes next."""
        if self._next.text != text or self._next.kind not in ("name", "mark"):
            return False
        self._advance()
        return True

    def _expect(self, text: str, described: str) -> None:
        if not self._take(text):
            self._fail(described)

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UsageError(
                "expression-too-deep",
                f"at {at + 1}: parentheses and not go deeper than {MAX_DEPTH}",
                where=self._excerpt(at),
            )

    def _fail(self, expected: str, hint: str | None = None) -> NoReturn:
        token = self._next
        found = token.text if len(token.text) <= 40 else token.text[:37] + "..."
        raise UsageError(
            "expression-syntax",
            f"at {token.at + 1}: not understood",
            where=self._excerpt(token.at),
            expected=expected,
            found="the end" if token.kind == "end" else f"the {token.kind} {found}",
            hint=hint,
        )

    def _excerpt(self, at: int) -> str:
        start, stop = max(0, at - 40), at + 40
        before, after = "..." if start else "", "..." if stop < len(self._text) else ""
        return f"expression {before + self._text[start:stop] + after!r}"


def _unquoted(quoted: str) -> str:
    quote = quoted[0]
    return quoted[1:-1].replace(quote * 2, quote)


def _number(text: str) -> int | float | None:
    if re.fullmatch(r"[-+]?[0-9]+", text):
        # Checked by length first: Python refuses to convert thousands of digits.
        digits = text.lstrip("+-").lstrip("0")
        whole = int(text[0].strip("0123456789") + (digits or "0")) if len(digits) <= 20 else _MAX_INTEGER
        return whole if abs(whole) < _MAX_INTEGER else None
    number = float(text)
    return number if math.isfinite(number) else None

"""Texts of schemes: ``cell_type:ontology_nodes,tissue:scaled(50)``.

::

    by       := item {"," item}
    item     := name [":" scheme]
    scheme   := word [ "(" argument {"," argument} ")" ]
    argument := [word "="] value
    name     := characters but , : ( ) ' " `  or  `any characters`     a backtick inside is written twice
    value    := characters but , ( ) ' " ` =  or  '...'  or  "..."     a quote inside is written twice

Spaces around each piece do not count. Every scheme takes ``missing=NAME``: cells without the label form a category
of that name, or join the one that has it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from scformat.errors import UsageError, unknown_name
from scformat.sampling.schemes import (
    SCHEMES,
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
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT: Final = 1 << 16
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<quoted>'(?:[^']++|'')*+'|"(?:[^"]++|"")*+"|`(?:[^`]++|``)*+`)|(?P<mark>[,:()=])|(?P<word>[^,:()='"`]++))"""
)
_NUMBERS: Final[dict[str, type[Power | Scaled | EffectiveNumber]]] = {
    cls.name: cls for cls in (Power, Scaled, EffectiveNumber)
}  # fmt: skip
_PLAIN: Final[dict[str, type[Scheme]]] = {cls.name: cls for cls in (Natural, Balanced, OntologyNodes)}
_EXAMPLE: Final = "for example cell_type:balanced or cell_type:ontology_nodes,tissue:scaled(50)"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One label, or figure, and its scheme.

    Attributes
    ----------
    name
        Of the label, or of the figure where the scheme is :class:`Proportional`.
    scheme
        How its categories share the mass.
    missing
        Category of the cells without the label; None: they are left out.
    """

    name: str
    scheme: Scheme
    missing: str | None = None

    def __str__(self) -> str:
        plain = re.fullmatch(r"[^\s,:()'\"`=]+", self.name)
        name = self.name if plain else "`" + self.name.replace("`", "``") + "`"
        scheme = str(self.scheme)
        if self.missing is None:
            return f"{name}:{scheme}"
        head = f"{scheme[:-1]}, " if scheme.endswith(")") else f"{scheme}("
        return f"{name}:{head}missing={quoted(self.missing)})"


def scheme_text(items: tuple[Item, ...]) -> str:
    """Canonical text, of which :func:`parse_schemes` makes the same items."""
    return ",".join(map(str, items))


def parse_schemes(text: str, *, default: str | None = None) -> tuple[Item, ...]:
    """Parse labels and their schemes.

    Parameters
    ----------
    text
        See the module.
    default
        Scheme of the labels that come without one, such as ``scaled(50)``.

    Raises
    ------
    UsageError
        ``scheme-syntax``; ``no-scheme``; ``bad-scheme``: a parameter out of range; ``repeated-label``.
    UnknownNameError
        ``unknown-weighting-scheme``.
    """
    if len(text) > MAX_TEXT:
        raise UsageError("scheme-syntax", "a text that long says no scheme", expected=f"{MAX_TEXT:,} characters")
    items = tuple(_Parser(text).items(default))
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise UsageError("repeated-label", f"{name!r} comes twice", where=repr(text))
    return items


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._tokenize())
        self._at = 0

    def items(self, default: str | None) -> Iterator[Item]:
        while True:
            name = self._piece("the name of a label")
            if self._take(":"):
                yield self._scheme(name)
            elif default is not None:
                yield _Parser(default).only(name)
            else:
                known = ", ".join(cls.name for cls in SCHEMES)
                raise UsageError("no-scheme", f"{name!r} has no scheme", where=repr(self._text), expected=known)
            if self._end():
                return
            if not self._take(","):
                self._fail("a comma or the end")

    def only(self, name: str) -> Item:
        item = self._scheme(name)
        if not self._end():
            self._fail("the end")
        return item

    def _scheme(self, label: str) -> Item:
        name = self._piece("the name of a scheme")
        values: list[str] = []
        options: dict[str, str] = {}
        if self._take("("):
            while not self._take(")"):
                if (values or options) and not self._take(","):
                    self._fail("a comma or a closing parenthesis")
                value = self._value()
                if self._take("="):
                    if value in options:
                        self._fail(f"{value} once")
                    options[value] = self._value()
                else:
                    values.append(value)
        missing = options.pop("missing", None)
        scheme = _make(name, values, options)
        if isinstance(scheme, Proportional) and missing is not None:
            raise UsageError("bad-scheme", "a missing figure is in no level", found=f"missing={missing}")
        return Item(name=label, scheme=scheme, missing=missing)

    def _value(self) -> str:
        """Read a value; term ids have colons in them."""
        value = self._piece("a value")
        while self._take(":"):
            value += ":" + self._piece("the rest of a term id")
        return value

    def _piece(self, expected: str) -> str:
        if self._end() or self._tokens[self._at][0] == "mark":
            self._fail(expected)
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _take(self, mark: str) -> bool:
        if self._end() or self._tokens[self._at] != ("mark", mark):
            return False
        self._at += 1
        return True

    def _end(self) -> bool:
        return self._at == len(self._tokens)

    def _tokenize(self) -> Iterator[tuple[str, str]]:
        text, at = self._text.strip(), 0
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise UsageError("scheme-syntax", "a quote is never closed", where=repr(self._text))
            at = found.end()
            kind, value = str(found.lastgroup), found.group(str(found.lastgroup)).strip()
            if kind == "quoted":
                value = value[1:-1].replace(value[0] * 2, value[0])
            if value or kind == "quoted":
                yield ("mark" if kind == "mark" else "piece"), value

    def _fail(self, expected: str) -> NoReturn:
        found = "the end" if self._end() else repr(self._tokens[self._at][1])
        raise UsageError(
            "scheme-syntax", "not understood", where=repr(self._text), expected=expected, found=found, hint=_EXAMPLE
        )


def _make(name: str, values: list[str], options: dict[str, str]) -> Scheme:
    """Make a scheme of its name and arguments."""
    if name == Level.name:
        rest = options.pop("rest", "no")
        _refuse(name, [], options)
        if rest not in ("yes", "no"):
            raise UsageError("bad-scheme", "level: rest is yes or no", found=rest)
        return Level(tuple(values), rest=rest == "yes")
    if name in _PLAIN:
        _refuse(name, values, options)
        return _PLAIN[name]()
    if name in _NUMBERS or (name == Proportional.name and values):
        _refuse(name, values[1:], options)
        cls = _NUMBERS.get(name, Proportional)
        if not values:
            raise UsageError("bad-scheme", f"{name} needs a number", expected=f"for example {name}(0.5)")
        try:
            number = float(values[0])
        except ValueError:
            raise UsageError("bad-scheme", f"{name}: not a number", found=repr(values[0])) from None
        return cls(number)
    if name == Proportional.name:
        _refuse(name, values, options)
        return Proportional()
    if name == Custom.name:
        _refuse(name, values[1:], options)
        if not values or not values[0]:
            raise UsageError("bad-scheme", "custom needs a file", expected="for example custom(weights.tsv)")
        return Custom(values[0])
    raise unknown_name("weighting scheme", name, [cls.name for cls in SCHEMES])


def _refuse(name: str, values: list[str], options: dict[str, str]) -> None:
    extra = [*values, *(f"{key}={value}" for key, value in options.items())]
    if extra:
        raise UsageError("bad-scheme", f"{name}: an argument too many", found=", ".join(extra))

"""From a text in a file to a term: ids in their several spellings, names, synonyms, withdrawn terms.

A text that cannot be resolved is an answer like any other: nothing here raises for a bad value, and no bad value
changes what becomes of the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scformat.ontology.vocabulary import Term, Vocabulary

Status = Literal["exact-id", "name", "synonym", "replaced", "deprecated", "unknown", "malformed"]

PREFIXES = (
    "AfPO", "CHEBI", "CL", "CVCL", "EFO", "FBbt", "FBdv", "HANCESTRO", "HsapDv", "MmusDv", "MONDO", "NCBITaxon",
    "PATO", "UBERON", "WBbt", "WBls", "ZFA", "ZFS",
)  # fmt: skip
"""Prefixes of the ids that are recognised as such."""

PLACEHOLDERS = frozenset({"unknown", "na"})
"""What the CELLxGENE schema writes where there is no term: known to be unknown, not a fault."""

_SPELLING = {prefix.casefold(): prefix for prefix in PREFIXES}
# Digits enough that a cluster called "CL_01" is none; only taxa and chemicals have short numbers.
_LOCAL = {"CVCL": "[A-Z0-9]{4}", "NCBITaxon": "[0-9]+", "CHEBI": "[0-9]+"}
_CORE = "|".join(f"{prefix}[:_]{_LOCAL.get(prefix, '[0-9]{4,}')}" for prefix in PREFIXES)
_ID = rf"(?:https?://\S+/)?(?:obo\.)?({_CORE})"
_ONE_ID = re.compile(_ID, re.IGNORECASE | re.ASCII)
_LEADING_ID = re.compile(rf"{_ID}(?![A-Za-z0-9_:])", re.IGNORECASE | re.ASCII)
_COMPOSITE = re.compile(rf"{_ID}(?:\s*(?:\|\|?|[,;/+])\s*{_ID})+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a text was found to name.

    Attributes
    ----------
    term_id
        The term; None where there is none.
    status
        ``exact-id``: the id of a live term. ``name``: the name of exactly one. ``synonym``: an exact synonym of
        exactly one. ``replaced``: a withdrawn term with one replacement, which `term_id` is. ``deprecated``: a
        withdrawn term without, which `term_id` is. ``unknown``: none of these. ``malformed``: an id with
        something around it, or several ids.
    note
        What a person needs to know about it; empty where there is nothing to say.
    """

    term_id: str | None
    status: Status
    note: str = ""

    @property
    def fault(self) -> bool:
        """Whether a person should hear of it: anything but an id, a name, or a placeholder."""
        return self.status not in ("exact-id", "name") and bool(self.note)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which terms a text may name.

    Attributes
    ----------
    names
        Prefixes of the vocabularies whose names and synonyms are searched, alike in rank.
    ids
        Prefixes of the ids that are accepted.
    only
        For some prefixes, the only ids that a name may lead to.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)


class Library:
    """Vocabularies by prefix, each loaded when it is first needed.

    Parameters
    ----------
    given
        Vocabularies that are there already.
    load
        Loads one by its prefix, or returns None where there is none; by default nothing but `given` is there.
    """

    def __init__(
        self, given: Mapping[str, Vocabulary] | None = None, load: Callable[[str], Vocabulary | None] | None = None
    ) -> None:
        self._held: dict[str, Vocabulary | None] = dict(given or {})
        self._load = load

    def __getitem__(self, prefix: str) -> Vocabulary | None:
        if prefix not in self._held:
            self._held[prefix] = None if self._load is None else self._load(prefix)
        return self._held[prefix]

    def put(self, prefix: str, vocabulary: Vocabulary) -> None:
        """Hold a vocabulary under a prefix."""
        self._held[prefix] = vocabulary

    def term(self, term_id: str) -> Term | None:
        """Look up a term by its id, loading its vocabulary; None where there is no such term."""
        vocabulary = self[_prefix_of(term_id)]
        return None if vocabulary is None or term_id not in vocabulary else vocabulary[term_id]

    def held(self) -> tuple[Vocabulary, ...]:
        """List the vocabularies that were loaded so far, each once, by prefix."""
        found = {id(v): v for _, v in sorted(self._held.items()) if v is not None}
        return tuple(found.values())


def parse_term_id(text: str) -> str | None:
    """Return the term id that `text` is, in the ontology's own spelling, or None.

    ``CL:0000084``, ``CL_0000084`` and ``http://purl.obolibrary.org/obo/CL_0000084`` are the same id.
    """
    match = _ONE_ID.fullmatch(text.strip())
    return None if match is None else _spell(match)


def leading_term_id(text: str) -> str | None:
    """Return the term id that `text` begins with, whatever follows, or None."""
    match = _LEADING_ID.match(text.strip())
    return None if match is None else _spell(match)


def resolve(text: str, library: Library, scope: Scope) -> Resolution:
    """Find the term that a text names.

    An id is looked up as such. Any other text is compared to the names of live terms exactly, then without
    regard to case, then to exact synonyms, then to the names of withdrawn terms; at each of these it has to lead
    to exactly one term of all the vocabularies of `scope`, and a text that leads to several resolves to none.
    """
    text = text.strip()
    if text.casefold() in PLACEHOLDERS:
        return Resolution(term_id=None, status="unknown")
    term_id = parse_term_id(text)
    if term_id is not None:
        return _by_id(term_id, library, scope)
    lead = leading_term_id(text)
    if lead is not None:
        if _COMPOSITE.fullmatch(text):
            return Resolution(term_id=None, status="malformed", note="several terms in one value: kept as text")
        term = library.term(lead) if _prefix_of(lead) in scope.ids else None
        called = "" if term is None else f" ({term.name})"
        note = f"begins with {lead}{called}, but is not an id: kept as text"
        return Resolution(term_id=None, status="malformed", note=note)
    if "||" in text:
        return Resolution(term_id=None, status="malformed", note="several values in one: kept as text")
    return _by_name(text, library, scope)


def _by_id(term_id: str, library: Library, scope: Scope) -> Resolution:
    if _prefix_of(term_id) not in scope.ids:
        note = f"not of {' or '.join(scope.ids)}: kept as text"
        return Resolution(term_id=None, status="unknown", note=note)
    term = library.term(term_id)
    if term is None:
        vocabulary = library[_prefix_of(term_id)]
        release = "" if vocabulary is None else f" {vocabulary.release}"
        note = f"no such term in {_prefix_of(term_id)}{release}: kept as text"
        return Resolution(term_id=None, status="unknown", note=note)
    return _in_use(term, library, scope)


def _in_use(term: Term, library: Library, scope: Scope) -> Resolution:
    """Follow the replacements of a withdrawn term to the live one."""
    current, passed = term, {term.id}
    while current.deprecated and current.replaced_by is not None:
        next_id = parse_term_id(current.replaced_by)
        following = None if next_id is None or _prefix_of(next_id) not in scope.ids else library.term(next_id)
        if following is None or following.id in passed:
            break
        passed.add(following.id)
        current = following
    if not term.deprecated:
        return Resolution(term_id=term.id, status="exact-id")
    if not current.deprecated:
        note = f"withdrawn term, replaced by {current.id} ({current.name})"
        return Resolution(term_id=current.id, status="replaced", note=note)
    options = [option for option in (current.replaced_by, *current.consider) if option]
    advice = f"; consider {', '.join(options)}" if options else ""
    return Resolution(term_id=term.id, status="deprecated", note=f"withdrawn term without a replacement here{advice}")


def _by_name(text: str, library: Library, scope: Scope) -> Resolution:
    vocabularies = [v for v in (library[prefix] for prefix in scope.names) if v is not None]

    def hits(index: Callable[[Vocabulary], dict[str, tuple[str, ...]]], key: str) -> list[str]:
        found: list[str] = []
        for vocabulary in vocabularies:
            allowed = scope.only.get(vocabulary.prefix)
            found += [i for i in index(vocabulary).get(key, ()) if allowed is None or i in allowed]
        return found

    for index, key, status in (
        (lambda v: v.by_name, text, "name"),
        (lambda v: v.by_folded_name, text.casefold(), "name"),
        (lambda v: v.by_synonym, text, "synonym"),
        (lambda v: v.by_old_name, text, "old-name"),
    ):
        found = hits(index, key)
        if len(found) > 1:
            return Resolution(term_id=None, status="unknown", note=f"may be {' or '.join(found[:4])}: kept as text")
        if not found:
            continue
        term = library.term(found[0])
        assert term is not None  # found in the library's own index
        if status == "name":
            return Resolution(term_id=term.id, status="name")
        if status == "synonym":
            return Resolution(term_id=term.id, status="synonym", note=f"synonym of {term.id} ({term.name})")
        return _in_use(term, library, scope)
    searched = " or ".join(scope.names)
    return Resolution(term_id=None, status="unknown", note=f"no name or synonym of {searched}: kept as text")


def _prefix_of(term_id: str) -> str:
    return re.split("[:_]", term_id, maxsplit=1)[0]


def _spell(match: re.Match[str]) -> str:
    prefix, local = re.split("[:_]", match[1], maxsplit=1)
    prefix = _SPELLING[prefix.casefold()]
    # Cellosaurus alone writes its ids with an underscore, and has letters in them.
    return f"{prefix}_{local.upper()}" if prefix == "CVCL" else f"{prefix}:{local}"

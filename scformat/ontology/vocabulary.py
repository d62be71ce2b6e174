"""One release of one ontology: its terms, and the indexes by which a text finds them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from scformat.ontology.resolve import Resolution


class Term(NamedTuple):
    """One term.

    Attributes
    ----------
    id
        As the ontology writes it (``CL:0000084``).
    name
        The canonical name; the id where the ontology gives none.
    parents
        Ids of the terms directly above, in the same vocabulary, sorted.
    synonyms
        Exact synonyms.
    deprecated
        The ontology has withdrawn the term.
    replaced_by
        The one term to use instead of a deprecated one, in whatever ontology; None where there is none.
    consider
        Terms that a person may choose from instead of a deprecated one.
    """

    id: str
    name: str
    parents: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()
    deprecated: bool = False
    replaced_by: str | None = None
    consider: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Vocabulary:
    """The terms of one ontology, by id.

    Attributes
    ----------
    prefix
        Prefix of its ids (``CL``); a few ontologies import terms of another prefix.
    release
        The release the terms come from (``v2026-03-26``).
    terms
        Every term by its id, deprecated ones too.
    """

    prefix: str
    release: str
    terms: Mapping[str, Term]

    @classmethod
    def of(cls, prefix: str, release: str, terms: Iterable[Term]) -> Vocabulary:
        """Build from terms."""
        return cls(prefix=prefix, release=release, terms={term.id: term for term in terms})

    def __contains__(self, term_id: object) -> bool:
        return term_id in self.terms

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, term_id: str) -> Term:
        return self.terms[term_id]

    def resolve(self, text: str) -> Resolution:
        """Find the term that `text` names, in this vocabulary alone; see :func:`scformat.ontology.resolve`."""
        from scformat.ontology.resolve import Library, Scope, resolve

        scope = Scope(names=(self.prefix,), ids=(self.prefix,))
        return resolve(text, Library({self.prefix: self}), scope)

    @cached_property
    def by_name(self) -> dict[str, tuple[str, ...]]:
        """Ids of the live terms of each exact name."""
        return self._index(lambda term: () if term.deprecated else (term.name,))

    @cached_property
    def by_folded_name(self) -> dict[str, tuple[str, ...]]:
        """Ids of the live terms of each name, whatever its case."""
        return self._index(lambda term: () if term.deprecated else (term.name.casefold(),))

    @cached_property
    def by_synonym(self) -> dict[str, tuple[str, ...]]:
        """Ids of the live terms of each exact synonym."""
        return self._index(lambda term: () if term.deprecated else term.synonyms)

    @cached_property
    def by_old_name(self) -> dict[str, tuple[str, ...]]:
        """Ids of the deprecated terms of each exact name."""
        return self._index(lambda term: (term.name,) if term.deprecated else ())

    def _index(self, keys: Callable[[Term], Iterable[str]]) -> dict[str, tuple[str, ...]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for term in self.terms.values():
            for key in dict.fromkeys(keys(term)):
                found[key].append(term.id)
        return {key: tuple(sorted(ids)) for key, ids in found.items()}

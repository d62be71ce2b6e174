"""Read the ontologies that the package cellxgene-ontology-guide carries, offline.

Its files give every term all its ancestors with their distances. The distances are those of the full ontology
with its imports: where a path leads through a term of another ontology, that term is left out and its ancestors
stay, at a distance above 1 (the Experimental Factor Ontology: most of its assays). So the terms directly above are not
only those at distance 1.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from importlib import import_module, resources
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from scformat.errors import UsageError, missing_extra, unknown_name
from scformat.ontology.resolve import Library, Scope, parse_term_id, resolve
from scformat.ontology.vocabulary import Term, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from importlib.resources.abc import Traversable

_PACKAGE = "cellxgene_ontology_guide"
_PIECE = 1 << 24
_LONGEST_RECORD = 1 << 18
_TAXON_ID = re.compile(r"NCBITaxon:\d+")
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]{2,}")


class _Schema(Protocol):
    """What is used of the guide's CXGSchema."""

    supported_ontologies: Mapping[str, Mapping[str, Any]]
    imported_ontologies: Mapping[str, str]


@lru_cache(maxsize=1)
def releases() -> Mapping[str, str]:
    """Release of each ontology, by prefix, in the guide's current schema version."""
    return {prefix: str(entry["version"]) for prefix, entry in _schema().supported_ontologies.items()}


@lru_cache(maxsize=32)
def load(prefix: str) -> Vocabulary:
    """Load one ontology.

    Parameters
    ----------
    prefix
        Prefix of its ids (``CL``), or one that it imports (``AfPO``: the ancestry ontology that holds those).

    Raises
    ------
    MissingExtraError
        cellxgene-ontology-guide is not installed.
    UnknownNameError
        It carries no such ontology.
    UsageError
        ``ontology-too-large`` for NCBITaxon, of which :func:`load_taxa` reads a part.
    """
    home = _schema().imported_ontologies.get(prefix, prefix)
    if home not in releases():
        raise unknown_name("ontology", prefix, releases())
    if home != prefix:
        return load(home)
    if prefix == "NCBITaxon":
        raise UsageError("ontology-too-large", "NCBITaxon is read by its taxa, not as a whole", hint="use load_taxa")
    with _open(prefix) as stream:
        raw = json.loads(stream.read())
    return Vocabulary(prefix=prefix, release=releases()[prefix], terms=dict(_terms(raw)))


def load_taxa(texts: Iterable[str]) -> Vocabulary:
    """Load the part of NCBITaxon that some texts need: the organisms they name, and all above them.

    The organisms of most data sets come from a table of this package, made from one release. Where that is not
    the guide's release, or an organism is not in it, the guide's file is searched for ids and exact names: that
    takes about ten seconds and little memory.

    Parameters
    ----------
    texts
        Ids or names of organisms. What is found nowhere is left out.

    Raises
    ------
    MissingExtraError
        cellxgene-ontology-guide is not installed.
    """
    release, table = releases()["NCBITaxon"], organism_table()
    library, scope = Library({"NCBITaxon": table}), Scope(names=("NCBITaxon",), ids=("NCBITaxon",))
    answers = {text.strip(): resolve(text, library, scope).term_id for text in texts}
    unanswered = {text for text, term_id in answers.items() if term_id is None}
    # Only what has the form of an id or of a species' name is worth a search.
    wanted = {
        parse_term_id(t) or t for t in unanswered if _TAXON_ID.fullmatch(parse_term_id(t) or "") or _SPECIES.match(t)
    }
    held = dict(table.terms)
    if table.release != release:
        held = {}
        wanted |= {term_id for term_id in answers.values() if term_id is not None}
    found = dict(_scan(wanted)) if wanted else {}
    rest = {i for entry in found.values() for i in entry["ancestors"]} - found.keys() - held.keys()
    known = found | (dict(_scan(rest)) if rest else {})
    # The file's top is cut off: lineages name taxa above the animals that have no entry of their own.
    inside = known.keys() | held.keys()
    whole = {i: {**e, "ancestors": {a: d for a, d in e["ancestors"].items() if a in inside}} for i, e in known.items()}
    return Vocabulary(prefix="NCBITaxon", release=release, terms=held | dict(_terms(whole)))


@lru_cache(maxsize=1)
def organism_table() -> Vocabulary:
    """Read the organisms of most data sets with their lineages, from a table of this package."""
    text = resources.files("scformat.ontology").joinpath("organisms.tsv").read_text("utf-8")
    release, *lines = text.splitlines()
    terms = []
    for line in lines:
        term_id, name, parent, synonyms = line.split("\t")
        parents = (parent,) if parent else ()
        terms.append(Term(term_id, name, parents, tuple(synonyms.split("|")) if synonyms else ()))
    return Vocabulary.of("NCBITaxon", release.removeprefix("# NCBITaxon "), terms)


@lru_cache(maxsize=1)
def _schema() -> _Schema:
    """Read the guide's description of its current schema version."""
    try:
        module = import_module(f"{_PACKAGE}.supported_versions")
    except ImportError as error:
        raise missing_extra("ontology", needed_for="matching labels to ontology terms") from error
    return cast("_Schema", module.CXGSchema())


def _open(prefix: str) -> BinaryIO:
    """Open the uncompressed text of an ontology's file."""
    import zstandard

    path: Traversable = resources.files(_PACKAGE) / "data" / f"{prefix}-ontology-{releases()[prefix]}.json.zst"
    return cast("BinaryIO", zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True))


def _terms(raw: Mapping[str, Any]) -> Iterator[tuple[str, Term]]:
    above = {term_id: frozenset(entry["ancestors"]) for term_id, entry in raw.items()}
    nothing: frozenset[str] = frozenset()
    for term_id, entry in raw.items():
        parents = {i for i, distance in entry["ancestors"].items() if distance == 1}
        reached = parents.union(*(above.get(parent, nothing) for parent in parents))
        left = above[term_id] - reached
        if left:
            parents |= left - nothing.union(*(above.get(i, nothing) for i in left))
        yield term_id, _term(term_id, entry, parents)


def _term(term_id: str, entry: Mapping[str, Any], parents: Iterable[str]) -> Term:
    return Term(
        id=term_id,
        name=entry["label"] or term_id,
        parents=tuple(sorted(parents)),
        synonyms=tuple(entry.get("synonyms") or ()),
        deprecated=bool(entry["deprecated"]),
        replaced_by=entry.get("replaced_by") or None,
        consider=tuple(parse_term_id(option) or option for option in entry.get("consider") or ()),
    )


def _scan(wanted: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the records whose id or name is wanted, without the 850 MB of the file in memory at once."""
    keys = {w.encode() for w in wanted}
    texts = [text for text in wanted if not _TAXON_ID.fullmatch(text)]
    names = {b'"label":' + json.dumps(text, ensure_ascii=escape).encode() for text in texts for escape in (True, False)}
    mark, decoder = b'":{"ancestors":', json.JSONDecoder()
    with _open("NCBITaxon") as stream:
        held, last = b"", False
        while not last:
            piece = stream.read(_PIECE)
            last = not piece
            held += piece
            # Records that begin in the last stretch are left for the next round, when they are whole.
            limit = len(held) if last else max(len(held) - _LONGEST_RECORD, 0)
            starts = set()
            at = held.find(mark, 0, limit)
            end = 0
            while at >= 0:
                begin = held.rfind(b'"', 0, at)
                if held[begin + 1 : at] in keys:
                    starts.add(begin)
                end = begin
                at = held.find(mark, at + len(mark), limit)
            for name in names:
                at = held.find(name, 0, limit)
                while at >= 0:
                    starts.add(held.rfind(b'"', 0, held.rfind(mark, 0, at)))
                    at = held.find(name, at + 1, limit)
            for begin in sorted(starts):
                text = held[begin : begin + _LONGEST_RECORD].decode(errors="ignore")
                term_id, after = decoder.raw_decode(text)
                yield term_id, decoder.raw_decode(text, after + 1)[0]
            held = held[end if not last else len(held) :]

"""One base label over all sources, unified by term."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scformat.labels.coded import Coded, no_values, sorted_categories
from scformat.labels.combine import combine_codes
from scformat.labels.model import Finding, Label, LabelOntology
from scformat.ontology import build_graph, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.labels.bases import Base, Evidence
    from scformat.labels.model import SourceObs
    from scformat.ontology import Library, Resolution


class _Pair(NamedTuple):
    """What a cell's id column and name column hold; empty where they hold nothing."""

    id: str
    name: str


@dataclass(frozen=True, kw_only=True)
class _Meaning:
    """What a pair was taken to mean: a term or a text, and what to report of it."""

    term_id: str | None
    text: str
    reports: tuple[tuple[str, str, str], ...] = ()  # value, status, note


def unify(
    base: Base, sources: Sequence[SourceObs], evidence: Sequence[Evidence], *, library: Library | None
) -> Label | None:
    """Build a base label; None where no cell has a value.

    Parameters
    ----------
    library
        The vocabularies; None for a plain label of the texts: names, else ids.
    """
    per_source = [_pairs(found, source.n_cells) for source, found in zip(sources, evidence, strict=True)]
    used = [pairs.used() for pairs in per_source]
    present = sorted({pair for cells in used for pair in cells})
    if not present:
        return None
    meanings = {pair: _plain(pair) if library is None else _meaning(pair, base, library) for pair in present}
    category_of = _category_texts(base, meanings, library)
    counts: Counter[str] = Counter()
    for cells in used:
        for pair, n in cells.items():
            counts[category_of[pair]] += n
    categories = sorted_categories([counts])
    code_of = {text: code for code, text in enumerate(categories)}
    position = {pair: code_of[text] for pair, text in category_of.items()}
    return Label(
        name=base.name,
        categories=categories,
        codes=tuple(pairs.translated(position) for pairs in per_source),
        counts=np.array([counts[text] for text in categories], np.int64),
        ontology=None if library is None else _ontology(meanings, position, len(categories), library),
        columns=tuple((*found.columns, *(f"={name}" for name in found.constants)) for found in evidence),
        findings=_findings(base, sources, evidence, used, meanings),
    )


def _pairs(evidence: Evidence, n_cells: int) -> Coded[_Pair]:
    """Code the pairs of id and name that occur; the constant where a cell has neither."""
    ids, names = evidence.ids, evidence.names
    if ids is not None and names is not None:
        crossed = _cross(ids, names)
    elif ids is not None:
        crossed = Coded(values=tuple(_Pair(t.strip(), "") for t in ids.values), codes=ids.codes, cells=ids.cells)
    elif names is not None:
        crossed = Coded(values=tuple(_Pair("", t.strip()) for t in names.values), codes=names.codes, cells=names.cells)
    else:
        crossed = no_values(n_cells)
    constant = _Pair(evidence.constant_ids.strip(), evidence.constant_names.strip())
    values, cells = crossed.values, crossed.cells
    if any(constant):
        values = tuple(pair if any(pair) else constant for pair in values)
        return Coded(values=values, codes=crossed.codes, cells=cells).filled(constant)
    if not all(any(pair) for pair in values):
        # Empty texts are no values: no category stands for them, so their cells come out as missing.
        cells = np.where([any(pair) for pair in values], cells, 0)
    return Coded(values=values, codes=crossed.codes, cells=cells)


def _cross(ids: Coded[str], names: Coded[str]) -> Coded[_Pair]:
    """Combine two columns of one source into codes of the pairs that occur."""
    combined = combine_codes([ids.codes, names.codes], [len(ids.values), len(names.values)], missing="own")
    id_texts, name_texts = (*ids.values, ""), (*names.values, "")
    # Position -1, a missing value, takes the empty text at the end.
    values = tuple(_Pair(id_texts[i].strip(), name_texts[j].strip()) for i, j in combined.combinations.tolist())
    return Coded(values=values, codes=combined.codes, cells=combined.counts)


def _plain(pair: _Pair) -> _Meaning:
    return _Meaning(term_id=None, text=pair.name or pair.id)


def _meaning(pair: _Pair, base: Base, library: Library) -> _Meaning:
    """Decide what an id and a name mean: the id counts, the name where the id leads nowhere."""
    if not pair.id:
        answer = resolve(pair.name, library, base.scope)
        return _taken(answer, pair.name, pair.name, library)
    answer = resolve(pair.id, library, base.scope)
    if answer.term_id is None and pair.name:
        by_name = resolve(pair.name, library, base.scope)
        if by_name.term_id is not None:
            used = f"the name {pair.name!r} gives {by_name.term_id}"
            note = f"{answer.note.removesuffix(': kept as text')}: {used}" if answer.note else used
            meaning = _taken(by_name, pair.name, pair.name, library)
            return _Meaning(
                term_id=meaning.term_id,
                text=meaning.text,
                reports=((pair.id, answer.status, note), *meaning.reports),
            )
    meaning = _taken(answer, pair.id, pair.name or pair.id, library)
    if answer.status != "exact-id" or not pair.name or _same_name(pair.name, meaning, library):
        return meaning
    differs = (pair.id, "name-differs", f"named {pair.name!r} here, {meaning.text!r} in the ontology: the id counts")
    return _Meaning(term_id=meaning.term_id, text=meaning.text, reports=(*meaning.reports, differs))


def _taken(answer: Resolution, value: str, text: str, library: Library) -> _Meaning:
    reports = ((value, answer.status, answer.note),) if answer.fault else ()
    term = None if answer.term_id is None else library.term(answer.term_id)
    return _Meaning(term_id=answer.term_id, text=text if term is None else term.name, reports=reports)


def _same_name(name: str, meaning: _Meaning, library: Library) -> bool:
    term = None if meaning.term_id is None else library.term(meaning.term_id)
    known = () if term is None else (term.name, *term.synonyms)
    return name.casefold() in {text.casefold() for text in known}


def _category_texts(base: Base, meanings: Mapping[_Pair, _Meaning], library: Library | None) -> dict[_Pair, str]:
    """Name each pair's category; terms whose name is not theirs alone get their id after it."""
    claims: defaultdict[str, set[str | None]] = defaultdict(set)
    for meaning in meanings.values():
        claims[meaning.text].add(meaning.term_id)
    out = {}
    for pair, meaning in meanings.items():
        shared = len(claims[meaning.text]) > 1
        if meaning.term_id is not None and library is not None:
            shared = shared or _has_namesake(base, meaning, library)
            out[pair] = f"{meaning.text} ({meaning.term_id})" if shared else meaning.text
        else:
            out[pair] = meaning.text
    return out


def _has_namesake(base: Base, meaning: _Meaning, library: Library) -> bool:
    """Whether a related vocabulary has the name too, even if no cell here: a later source may bring it."""
    vocabularies = [v for v in (library[prefix] for prefix in base.shared_names) if v is not None]
    return any(set(v.by_name.get(meaning.text, ())) - {meaning.term_id} for v in vocabularies)


def _ontology(
    meanings: Mapping[_Pair, _Meaning], position: Mapping[_Pair, int], n_categories: int, library: Library
) -> LabelOntology | None:
    term_of = {position[pair]: m.term_id for pair, m in meanings.items() if m.term_id is not None}
    if not term_of:
        return None
    graph = build_graph(library.held(), term_of.values())
    terms = np.full(n_categories, -1, np.int32)
    for category, term_id in term_of.items():
        terms[category] = graph.nodes[term_id]
    return LabelOntology(graph=graph, terms=terms)


def _findings(
    base: Base,
    sources: Sequence[SourceObs],
    evidence: Sequence[Evidence],
    used: Sequence[Mapping[_Pair, int]],
    meanings: Mapping[_Pair, _Meaning],
) -> tuple[Finding, ...]:
    cells: Counter[tuple[str, str, str, str]] = Counter()
    for source, found, pairs in zip(sources, evidence, used, strict=True):
        unlike = 0
        constant = _Pair(found.constant_ids.strip(), found.constant_names.strip())
        for pair, n in pairs.items():
            for value, status, note in meanings[pair].reports:
                cells[source.name, value, status, note] += n
            if any(constant) and pair != constant and not _agree(meanings[pair], meanings.get(constant), constant):
                unlike += n
        if unlike:
            note = "cells have values of their own that differ: those count"
            cells[source.name, constant.name or constant.id, "constant-unused", note] += unlike
    return tuple(
        sorted(
            Finding(label=base.name, source=source, value=value, status=status, cells=n, note=note)
            for (source, value, status, note), n in cells.items()
        )
    )


def _agree(own: _Meaning, given: _Meaning | None, constant: _Pair) -> bool:
    if given is not None:
        return (own.term_id, own.text) == (given.term_id, given.text)
    return own.text in constant or own.term_id in constant

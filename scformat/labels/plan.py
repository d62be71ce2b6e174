"""Decide which labels a set of sources has, and give every cell its code in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.errors import MissingExtraError, UsageError, unknown_name
from scformat.labels.bases import BASES, TERM_ID, Coder, find_evidence
from scformat.labels.coded import no_values, sorted_categories
from scformat.labels.model import Finding, Label, LabelPlan
from scformat.labels.unify import unify
from scformat.ontology import Library, load, load_taxa, releases

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scformat.labels.bases import Evidence
    from scformat.labels.coded import Coded
    from scformat.labels.model import SourceObs

_AFTER_BASES = ("donor_id",)
_ALWAYS_FEW = 64


def constants_of(uns_text: Mapping[str, str]) -> dict[str, str]:
    """Pick from a source's scalar uns texts those that label all its cells (``organism_ontology_term_id``)."""
    names = {name + ending for base in BASES for name in (base.name, *base.aliases) for ending in ("", TERM_ID)}
    return {name: text for name, text in uns_text.items() if name in names}


def plan_labels(sources: Sequence[SourceObs], *, explicit: Sequence[str] | None, ontology: bool) -> LabelPlan:
    """Plan the labels of some sources.

    Parameters
    ----------
    sources
        In the order of the store.
    explicit
        Exactly these labels, in this order; None for all: the labels of ontologies, then every categorical column
        that does not look like an identifier (more distinct values than 64 and than a quarter of the cells that
        have one), and every constant.
    ontology
        Match the labels of ontologies to terms. Without, they are of the texts in the files.

    Raises
    ------
    UnknownNameError
        ``unknown-label``: a name of `explicit` that no source has.
    UsageError
        ``duplicate-label``, ``label-not-categorical``, ``label-without-values``: a name of `explicit` that is there
        twice, that is a column of floats, that no cell has a value of.
    MissingExtraError
        `ontology`, a source has ids of terms, and cellxgene-ontology-guide is not installed.
    InvalidDataError
        ``bad-code``: a categorical column is damaged.
    """
    coder = Coder(sources=sources)
    bases = {base.name: base for base in BASES}
    if explicit is not None:
        _check_explicit(explicit, sources)
        bases = {name: base for name, base in bases.items() if name in explicit}
    evidence = {name: find_evidence(base, coder) for name, base in bases.items()}
    evidence = {name: found for name, found in evidence.items() if any(found)}

    skipped: dict[str, str] = {}
    library, notes = open_library(evidence) if ontology else (None, ())
    labels: dict[str, Label] = {}
    for name, found in evidence.items():
        label = unify(bases[name], sources, found, library=library)
        if label is None:
            skipped[name] = "no cell has a value"
        elif explicit is None and label.ontology is None and _like_identifier(label):
            skipped[name] = _identifier_note(label)
        else:
            labels[name] = label

    for name in _plain_names(sources, evidence) if explicit is None else explicit:
        if name in labels or (name in evidence and name in skipped):
            continue
        plain = plain_label(name, sources, coder)
        if plain is None:
            skipped[name] = "no cell has a value"
        elif explicit is None and _like_identifier(plain):
            skipped[name] = _identifier_note(plain)
        else:
            labels[name] = plain
    return LabelPlan(
        labels=tuple(labels[name] for name in _order(explicit, labels, skipped)),
        skipped=dict(sorted(skipped.items())),
        notes=notes,
    )


def _order(explicit: Sequence[str] | None, labels: Mapping[str, Label], skipped: Mapping[str, str]) -> list[str]:
    for name in explicit or ():
        if name in skipped:
            raise UsageError("label-without-values", f"the label {name!r} is empty", found=skipped[name])
    if explicit is not None:
        return list(explicit)
    first = (*(base.name for base in BASES), *_AFTER_BASES)
    return [*(name for name in first if name in labels), *sorted(labels.keys() - set(first), key=str.encode)]


def _check_explicit(explicit: Sequence[str], sources: Sequence[SourceObs]) -> None:
    known = {name for source in sources for name in (*source.obs, *(n for n, text in source.constants.items() if text))}
    coder = Coder(sources=sources)
    for base in BASES:
        if base.name not in known and base.name in explicit and any(find_evidence(base, coder)):
            known.add(base.name)
    for i, name in enumerate(explicit):
        if name not in known:
            raise unknown_name("label", name, sorted(known))
        if name in explicit[:i]:
            raise UsageError("duplicate-label", f"the label {name!r} is given twice")


def open_library(evidence: Mapping[str, Sequence[Evidence]]) -> tuple[Library | None, tuple[str, ...]]:
    """Open the ontologies; none where they are not installed and only names are there, which need no ontology."""
    if not evidence:
        return None, ()
    library = Library(load=load)
    try:
        releases()
    except MissingExtraError as error:
        for name, per_source in evidence.items():
            if any(found.has_id_column or found.looks_like_ids() for found in per_source):
                raise MissingExtraError(
                    error.code, error.what, where=name, hint=f"{error.hint}, or convert with --no-ontology"
                ) from error
        names = ", ".join(evidence)
        return None, (f"the extra 'ontology' is not installed: {names} are labels of plain text, without terms",)
    if "organism" in evidence:
        library.put("NCBITaxon", load_taxa(text for found in evidence["organism"] for text in found.texts()))
    return library, ()


def _plain_names(sources: Sequence[SourceObs], evidence: Mapping[str, Sequence[Evidence]]) -> list[str]:
    """Columns and constants that some source has as a label and that no base label took there."""
    names: set[str] = set()
    for i, source in enumerate(sources):
        taken = {name for found in evidence.values() for name in (*found[i].columns, *found[i].constants)}
        names |= {name for name, column in source.obs.items() if column.kind == "categorical"} - taken
        names |= {name for name, text in source.constants.items() if text} - taken
    return sorted(names, key=str.encode)


def plain_label(name: str, sources: Sequence[SourceObs], coder: Coder) -> Label | None:
    """Merge the columns of one name by their texts; None where no cell has a value."""
    kinds = [source.obs[name].kind if name in source.obs else None for source in sources]
    given = [source.constants.get(name, "") for source in sources]
    categorical = any(kind == "categorical" for kind in kinds)
    if not categorical and not any(given) and "float" in kinds:
        raise UsageError(
            "label-not-categorical",
            f"the column {name!r} holds floating-point numbers",
            where=sources[kinds.index("float")].name,
            expected="categories, text, integers or booleans",
        )
    coded: list[Coded[str]] = []
    findings: list[Finding] = []
    for i, (source, kind, constant) in enumerate(zip(sources, kinds, given, strict=True)):
        own = None if kind is None else coder(i, name)
        if own is not None and kind != "categorical" and categorical:
            n = int(own.cells.sum())
            note = "a categorical in another source: merged by text"
            findings.append(
                Finding(label=name, source=source.name, value=str(kind), status="mixed-types", cells=n, note=note)
            )
        if own is not None and constant:
            n = sum(cells for text, cells in own.used().items() if text != constant)
            note = "cells have values of their own that differ: those count"
            if n:
                findings.append(
                    Finding(
                        label=name, source=source.name, value=constant, status="constant-unused", cells=n, note=note
                    )
                )
        own = no_values(source.n_cells) if own is None else own
        coded.append(own.filled(constant) if constant else own)
    used = [values.used() for values in coded]
    categories = sorted_categories(used)
    if not categories:
        return None
    position = {text: i for i, text in enumerate(categories)}
    return Label(
        name=name,
        categories=categories,
        codes=tuple(values.translated(position) for values in coded),
        counts=np.array([sum(cells[text] for cells in used) for text in categories], np.int64),
        ontology=None,
        columns=tuple(
            (*((name,) if kind is not None else ()), *((f"={name}",) if constant else ()))
            for kind, constant in zip(kinds, given, strict=True)
        ),
        findings=tuple(sorted(findings)),
    )


def _like_identifier(label: Label) -> bool:
    return len(label.categories) > max(_ALWAYS_FEW, int(label.counts.sum()) / 4)


def _identifier_note(label: Label) -> str:
    return f"{len(label.categories)} values in {int(label.counts.sum())} cells look like identifiers"

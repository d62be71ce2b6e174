"""``scformat info``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scformat.cli.output import emit, emit_json
from scformat.cli.parameters import Debug, Json, StorePath
from scformat.cli.tables import format_pairs, format_table, format_value, title

Described = Mapping[str, Any]

SOURCE_COLUMNS = ("name", "study", "format", "counts", "n_cells", "n_vars", "n_resolved", "n_nonzero", "total")
MOST = 20
"""Findings that are shown; --json has all of them."""


def info(*, store: StorePath, json: Json = False, debug: Debug = False) -> None:
    """Describe a store: sizes, genes, sources, labels, digests."""
    import scformat

    description = scformat.describe(scformat.open(store))
    if json:
        emit_json(description)
    else:
        emit(render(description))


def render(description: Described) -> str:
    """Write what :func:`scformat.describe` returned for people.

    Single values come first, then a section for each mapping and list; what is empty is left out, and what
    only programs want is left to ``--json``.
    """
    single = {}
    sections = []
    for key, value in description.items():
        if value is None or value in ([], {}, ""):
            continue
        if key in _SECTIONS:
            sections.append((key, _SECTIONS[key](value)))
        elif isinstance(value, Mapping):
            sections.append((key, format_pairs(value)))
        elif isinstance(value, list) and isinstance(value[0], Mapping):
            sections.append((key, "\n\n".join(format_pairs(record) for record in value)))
        else:
            single[key] = value
    parts = [format_pairs(single)]
    for key, text in sections:
        parts += ["", title(key), *(f"  {line}".rstrip() for line in text.splitlines())]
    return "\n".join(parts)


def _sources(records: Sequence[Described]) -> str:
    columns = [name for name in SOURCE_COLUMNS if any(record.get(name) is not None for record in records)]
    return format_table(
        [title(name) for name in columns], [[record.get(name) for name in columns] for record in records]
    )


def _labels(records: Sequence[Described]) -> str:
    rows = []
    for record in records:
        by_frequency = sorted(record["counts"].items(), key=lambda item: -item[1])
        cells = [f"{category} ({n:,})" for category, n in by_frequency]
        vocabularies = " ".join((record["ontology"] or {}).get("releases", ()))
        rows.append([record["name"], record["n_categories"], record["n_missing"], vocabularies, cells])
    return format_table(["name", "categories", "missing", "ontology", "cells"], rows)


def _splits(splits: Described) -> str:
    shares = splits.get("shares") or [None] * len(splits["names"])
    rows = list(zip(splits["names"], shares, splits["counts"], strict=True))
    others = {key: splits[key] for key in splits if key not in ("names", "shares", "counts")}
    return f"{format_table(['name', 'share', 'cells'], rows)}\n\n{format_pairs(others)}"


def _obs(records: Sequence[Described]) -> str:
    kinds: dict[str, list[str]] = {}
    for record in records:
        kinds.setdefault(record["kind"], []).append(record["name"])
    return "\n".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items())


def _findings(records: Sequence[Described]) -> str:
    lines = [", ".join(format_value(record[key]) for key in record) for record in records[:MOST]]
    if len(records) > MOST:
        lines.append(f"and {len(records) - MOST:,} more; --json has all of them")
    return "\n".join(lines)


_SECTIONS: dict[str, Callable[[Any], str]] = {
    "sources": _sources,
    "labels": _labels,
    "obs": _obs,
    "splits": _splits,
    "findings": _findings,
    "skipped": _findings,
}

"""``scformat info``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scformat.cli.output import emit, emit_json
from scformat.cli.parameters import Debug, Json, StorePath
from scformat.cli.tables import format_pairs, format_table, title


def info(*, store: StorePath, json: Json = False, debug: Debug = False) -> None:
    """Describe a store: sizes, genes, sources, labels, digests."""
    import scformat

    description = scformat.describe(scformat.open(store))
    if json:
        emit_json(description)
    else:
        emit(render(store, description))


def render(name: str, description: Mapping[str, Any]) -> str:
    """Write a description for people: single values first, then a section for each mapping and list.

    Parameters
    ----------
    name
        How the store was given.
    description
        What :func:`scformat.describe` returned.
    """
    sections = []
    single = {}
    for key, value in description.items():
        if isinstance(value, Mapping) and value:
            sections.append((key, format_pairs(value)))
        elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
            sections.append((key, _records(value)))
        else:
            single[key] = value
    parts = [name, _indent(format_pairs(single))]
    for key, text in sections:
        parts += ["", title(key), _indent(text)]
    return "\n".join(parts)


def _records(records: list[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for record in records for key in record))
    # Digests are long and say little side by side; --json has them.
    shown = [column for column in columns if "sha256" not in column and "digest" not in column]
    return format_table(shown, [[record.get(column) for column in shown] for record in records])


def _indent(text: str) -> str:
    return "\n".join(f"  {line}".rstrip() for line in text.splitlines())

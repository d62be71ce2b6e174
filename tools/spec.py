"""Generate what follows from the specification's chapters and from the code's models.

``python tools/spec.py`` writes spec/requirements.json and spec/schema/*.json; with ``--check`` it writes nothing,
and its exit status is 1 where a file differs.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from scformat.manifest import VERSION, Manifest, SourceRecord
from scformat.tables.model import TableEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

SPEC = Path(__file__).resolve().parents[1] / "spec"

CHAPTERS = {
    "conventions": "CNV",
    "container": "ZAR",
    "manifest": "MAN",
    "parts": "PRT",
    "counts": "CNT",
    "cells": "CEL",
    "genes": "GEN",
    "sources": "SRC",
    "labels": "LAB",
    "splits": "SPL",
    "order": "ORD",
    "tables": "TAB",
    "weights": "WGT",
    "sampling": "SAM",
    "neighbours": "NBR",
    "integrity": "INT",
    "versioning": "VER",
    "conformance": "CNF",
}
"""Chapters with numbered statements, in reading order, and the letters of their numbers."""

BINDS = {"S": "store", "W": "writer", "R": "reader"}

_STATEMENT = re.compile(
    r"^- \*\*\[(?P<id>[^\]]*)\]\*\* \((?P<tag>[^)]*)\) (?P<text>.+?)(?=\n\n|\n- |\Z)", re.DOTALL | re.MULTILINE
)
_ID = re.compile(r"[A-Z]{3}-[1-9][0-9]*")
_TAG = re.compile(r"S[1234]|W|R")


class SpecError(Exception):
    """The chapters break a rule of their own."""


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A numbered statement.

    Attributes
    ----------
    id
        Its number (``CNT-7``).
    chapter
        Stem of the file it stands in.
    binds
        ``store``, ``writer`` or ``reader``.
    level
        Conformance level at which a store is checked for it; None where it binds no store.
    text
        The statement in Markdown, on one line.
    """

    id: str
    chapter: str
    binds: str
    level: int | None
    text: str


def statements(chapter: str, text: str) -> list[Requirement]:
    """Return the numbered statements of a chapter's text, in their order.

    Raises
    ------
    SpecError
        A number or a tag that is none.
    """
    found = []
    for match in _STATEMENT.finditer(text):
        number, tag = match["id"], match["tag"]
        if _ID.fullmatch(number) is None or not number.startswith(f"{CHAPTERS[chapter]}-"):
            raise SpecError(f"{chapter}: [{number}] is not a number of this chapter")
        if _TAG.fullmatch(tag) is None:
            raise SpecError(f"{chapter}: [{number}] has the tag ({tag}), expected S1 to S4, W or R")
        found.append(
            Requirement(
                id=number,
                chapter=chapter,
                binds=BINDS[tag[0]],
                level=int(tag[1]) if tag[0] == "S" else None,
                text=" ".join(match["text"].split()),
            )
        )
    return found


def requirements(spec: Path = SPEC) -> list[Requirement]:
    """Return the numbered statements of all chapters.

    Raises
    ------
    SpecError
        A number is given twice, or a line that looks like a statement is none.
    """
    found: list[Requirement] = []
    for chapter in CHAPTERS:
        text = (spec / f"{chapter}.md").read_text(encoding="utf-8")
        own = statements(chapter, text)
        if len(own) != len(re.findall(r"^\s*[-*]?\s*\*\*\[", text, re.MULTILINE)):
            raise SpecError(f"{chapter}: a statement is not of the form '- **[ID]** (tag) text'")
        found += own
    numbers = [requirement.id for requirement in found]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise SpecError(f"numbers given twice: {', '.join(twice)}")
    return found


def schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    """Return the JSON Schema of a model."""
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **model.model_json_schema(),
        "title": f"{title}, format {VERSION}",
    }


def generated(spec: Path = SPEC) -> dict[str, str]:
    """Return the text of every generated file, by its path relative to the specification."""
    documents = {
        "requirements.json": [asdict(requirement) for requirement in requirements(spec)],
        "schema/manifest.schema.json": schema(Manifest, "Manifest of a cell store"),
        "schema/source.schema.json": schema(SourceRecord, "Record of a source in a cell store"),
        "schema/table.schema.json": schema(TableEntry, "A sampling table in the manifest of a cell store"),
    }
    return {name: json.dumps(document, indent=2, ensure_ascii=False) + "\n" for name, document in documents.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the generated files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description="Generate the specification's requirements.json and JSON Schemas.")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a file differs")
    parser.add_argument("--spec", type=Path, default=SPEC, help="directory of the specification")
    options = parser.parse_args(arguments)
    try:
        texts = generated(options.spec)
    except SpecError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    status = 0
    for name, text in texts.items():
        path: Path = options.spec / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        if options.check:
            sys.stderr.write(f"{path}: out of date; run tools/spec.py\n")
            status = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stderr.write(f"{path}: written\n")
    return status


if __name__ == "__main__":
    sys.exit(main())

"""Prose, schemas, numbered statements and models say the same."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING, Any, get_args

import jsonschema
import pytest

from scformat import layout, manifest
from scformat.manifest import DataType, Manifest, SourceRecord

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

NOT_NORMATIVE = {"README", "rationale", "changelog"}
KEY_WORD = re.compile(r"\b(MUST|SHALL|SHOULD|REQUIRED|RECOMMENDED|MAY|OPTIONAL)\b")
TYPES = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


def _schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas of all models, by name."""
    out: dict[str, dict[str, Any]] = {}
    for model in (Manifest, SourceRecord):
        root = model.model_json_schema()
        out |= root.pop("$defs")
        out[model.__name__] = root
    return out


def _patterns() -> dict[str, str]:
    properties = manifest.Array.model_json_schema()["properties"]
    version = Manifest.model_json_schema()["properties"]["version"]
    return {
        properties["path"]["pattern"]: "path",
        properties["sha256"]["pattern"]: "digest",
        version["pattern"]: "version",
    }


def _one_of(values: list[str]) -> str:
    quoted = [f"`{value}`" for value in values]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _plain(schema: dict[str, Any]) -> str:
    """Name a type as the chapters do."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return "data type" if tuple(values) == get_args(DataType) else _one_of(values)
    if "anyOf" in schema:
        kinds = [_plain(one) for one in schema["anyOf"] if one != {"type": "null"}]
        return "number" if kinds == ["integer", "number"] else " or ".join(kinds)
    if schema["type"] in ("array", "object"):
        return _container(schema)
    if "pattern" in schema:
        return _patterns()[schema["pattern"]]
    is_count = schema["type"] == "integer" and (schema.get("minimum"), schema.get("maximum")) == (0, 2**53 - 1)
    return "count" if is_count else TYPES[schema["type"]]


def _container(schema: dict[str, Any]) -> str:
    if schema["type"] == "array":
        return f"list of {_plain(schema['items'])}"
    if "patternProperties" not in schema:
        return f"map of {_plain(schema['additionalProperties'])}"
    ((pattern, values),) = schema["patternProperties"].items()
    return f"map of {_patterns()[pattern]} to {_plain(values)}"


def _type(schema: dict[str, Any], *, required: bool) -> str:
    nullable = {"type": "null"} in schema.get("anyOf", ())
    if not required:
        return f"{_plain(schema)}, optional"
    return f"{_plain(schema)} or null" if nullable else _plain(schema)


def _tables(text: str) -> dict[str, dict[str, str]]:
    """Read the field tables: the type of each member, by heading."""
    out: dict[str, dict[str, str]] = {}
    for heading, body in re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE):
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \|$", body, re.MULTILINE)
        assert len(rows) == len(dict(rows)), f"{heading}: a member twice"
        out[heading] = dict(rows)
    return out


def _examples(chapters: dict[str, str]) -> list[tuple[str, str, str]]:
    """List every JSON example: chapter, what it is, text."""
    return [
        (chapter, kind.strip(), body)
        for chapter, text in chapters.items()
        for kind, body in re.findall(r"^```json([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    ]


def test_generated_files_are_up_to_date(tool: ModuleType, spec: Path) -> None:
    for name, text in tool.generated(spec).items():
        assert (spec / name).read_text(encoding="utf-8") == text, f"spec/{name}: run tools/spec.py"
    assert tool.main(["--check"]) == 0


def test_check_fails_on_drift(tool: ModuleType, spec: Path, tmp_path: Path) -> None:
    copy = tmp_path / "spec"
    shutil.copytree(spec, copy)
    assert tool.main(["--check", "--spec", str(copy)]) == 0
    chapter = copy / "counts.md"
    chapter.write_text(
        chapter.read_text(encoding="utf-8").replace("- **[CNT-3]** (S3) The", "- **[CNT-3]** (S3) All"),
        encoding="utf-8",
    )
    assert tool.main(["--check", "--spec", str(copy)]) == 1
    assert tool.main(["--spec", str(copy)]) == 0
    assert tool.main(["--check", "--spec", str(copy)]) == 0
    schema = copy / "schema" / "manifest.schema.json"
    schema.write_text(schema.read_text(encoding="utf-8").replace("n_cells", "n_cell"), encoding="utf-8")
    assert tool.main(["--check", "--spec", str(copy)]) == 1


@pytest.mark.parametrize(
    "change",
    [
        ("**[CNT-3]**", "**[CNT-2]**", "twice"),
        ("**[CNT-2]** (W)", "**[CNT-2]** (X)", "tag"),
        ("**[CNT-3]**", "**[CEL-99]**", "not a number of this chapter"),
        ("**[CNT-2]** (W)", "**[CNT-2]**", "not of the form"),
    ],
)
def test_tool_refuses_bad_statements(
    tool: ModuleType, spec: Path, tmp_path: Path, change: tuple[str, str, str]
) -> None:
    old, new, message = change
    copy = tmp_path / "spec"
    shutil.copytree(spec, copy)
    chapter = copy / "counts.md"
    text = chapter.read_text(encoding="utf-8")
    assert text.count(old) == 1
    chapter.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(tool.SpecError, match=message):
        tool.requirements(copy)


def test_numbers_are_unique_and_listed(tool: ModuleType, spec: Path, chapters: dict[str, str]) -> None:
    listed = [entry["id"] for entry in json.loads((spec / "requirements.json").read_text(encoding="utf-8"))]
    assert len(listed) == len(set(listed))
    numbered = [
        number
        for chapter in tool.CHAPTERS
        for number in re.findall(r"^- \*\*\[([A-Z]{3}-\d+)\]\*\*", chapters[chapter], re.MULTILINE)
    ]
    assert numbered == listed


def test_every_number_that_is_cited_exists(tool: ModuleType, chapters: dict[str, str]) -> None:
    known = {requirement.id for requirement in tool.requirements()}
    cited = {number for text in chapters.values() for number in re.findall(r"\[([A-Z]{3}-\d+)\]", text)}
    assert cited <= known, sorted(cited - known)


def test_key_words_stand_in_numbered_statements_only(tool: ModuleType, chapters: dict[str, str]) -> None:
    for chapter in tool.CHAPTERS:
        text = chapters[chapter]
        if chapter == "conventions":
            text = text[text.index("## Text and numbers") :]
        rest = tool._STATEMENT.sub("", text)
        assert KEY_WORD.findall(rest) == [], chapter
    for chapter in NOT_NORMATIVE:
        assert KEY_WORD.findall(chapters[chapter]) == [], chapter


def test_every_chapter_is_known_and_in_the_overview(tool: ModuleType, chapters: dict[str, str]) -> None:
    assert set(chapters) == set(tool.CHAPTERS) | NOT_NORMATIVE
    rows = re.findall(r"^\| \[\w+\]\((\w+)\.md\) \|.*\| (\w*) ?\|$", chapters["README"], re.MULTILINE)
    assert [row for row in rows if row[1]] == list(tool.CHAPTERS.items())
    assert {name for name, _ in rows} == set(chapters) - {"README"}


def test_links_lead_somewhere(spec: Path, chapters: dict[str, str]) -> None:
    for chapter, text in chapters.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert (spec / target).is_file(), f"{chapter}: {target}"


def test_field_tables_are_those_of_the_models(chapters: dict[str, str]) -> None:
    written = _tables(chapters["manifest"]) | _tables(chapters["sources"])
    expected = {
        name: {
            member: _type(schema, required=member in model.get("required", ()))
            for member, schema in model["properties"].items()
        }
        for name, model in _schemas().items()
    }
    assert set(written) == set(expected)
    for name, members in expected.items():
        assert written[name] == members, name


def test_field_tables_notice_every_difference() -> None:
    text = "### Order\n\n| member | type | meaning |\n|---|---|---|\n| `kind` | string | x |\n"
    assert _tables(text) == {"Order": {"kind": "string"}}
    assert _type({"anyOf": [{"type": "string"}, {"type": "null"}]}, required=True) == "string or null"
    assert _type({"type": "integer", "minimum": 0}, required=False) == "integer, optional"


def test_json_examples_parse_and_are_valid(spec: Path, chapters: dict[str, str]) -> None:
    examples = _examples(chapters)
    assert len(examples) > 5
    schemas = {
        name: json.loads((spec / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
        for name in ("manifest", "source")
    }
    for document in schemas.values():
        jsonschema.Draft202012Validator.check_schema(document)
    for chapter, kind, text in examples:
        value = json.loads(text)
        if kind in ("", "zarr"):
            continue
        model = getattr(manifest, kind)
        home = schemas["source"] if kind.startswith("Source") else schemas["manifest"]
        schema = home if kind in ("Manifest", "SourceRecord") else {"$defs": home["$defs"], "$ref": f"#/$defs/{kind}"}
        jsonschema.Draft202012Validator(schema).validate(value)
        read = model.model_validate_json(text)
        assert set(value) <= set(model.model_fields), f"{chapter}: a member that {kind} does not have"
        assert json.loads(read.model_dump_json(exclude_unset=True)) == value


def test_array_metadata_is_the_example(chapters: dict[str, str]) -> None:
    ((_, _, text),) = [example for example in _examples(chapters) if example[1] == "zarr"]
    assert json.loads(text) == layout.array_metadata(layout.entries("parts/0/counts/entries", 3))


def test_data_types_are_those_of_the_models(chapters: dict[str, str]) -> None:
    match = re.search(r"\*\*\[ZAR-8\]\*\*(.*?);", chapters["container"], re.DOTALL)
    assert match is not None
    assert set(re.findall(r"`(\w+)`", match[1])) == set(get_args(DataType))


def test_grids_are_those_of_the_layout(chapters: dict[str, str]) -> None:
    rows = re.findall(r"^\| ([\w ,]+) \| \[[^|]*\] \| (\[.*?\]) \| (\[.*?\]) \|$", chapters["container"], re.MULTILINE)
    written = {name: (chunk.replace("F", "7"), shard.replace("F", "7")) for name, chunk, shard in rows}
    specs = {
        "counts": layout.entries("a", 2),
        "records": layout.records("a", 7, 10),
        "one value a cell, string offsets": layout.per_cell("a", "int32", 10),
        "bytes of strings": layout.flat_bytes("a", 10),
    }
    assert written == {name: (str(list(s.chunk)), str(list(s.shard))) for name, s in specs.items()}
    assert f"min(n, {layout.TABLE_CHUNK}) along the last" in chapters["container"]


def test_schema_refuses_what_the_models_refuse() -> None:
    schema = jsonschema.Draft202012Validator(manifest.Array.model_json_schema())
    good = {
        "path": "a/b", "dtype": "int32", "shape": [3], "chunk": [1], "shard": [1], "fill": -2, "sha256": "0" * 64
    }  # fmt: skip
    assert schema.is_valid(good)
    for member, bad in [("path", "../a"), ("path", "/a"), ("dtype", "string"), ("shape", [-1]), ("sha256", "A" * 64)]:
        assert not schema.is_valid({**good, member: bad}), (member, bad)


def test_features_and_version_are_those_of_the_code(chapters: dict[str, str]) -> None:
    text = chapters["versioning"]
    assert set(re.findall(r"^\| `([\w-]+)` \| required \|", text, re.MULTILINE)) == manifest.KNOWN_FEATURES
    assert f"This is version {manifest.VERSION}." in text
    assert chapters["README"].startswith(f"# The cell store format, version {manifest.VERSION}\n")
    assert f"## {manifest.VERSION}\n" in chapters["changelog"]

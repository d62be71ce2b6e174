"""Chance damage: every flipped bit is found, and no damage, however odd, is more than findings."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scformat
from scformat.structure.arrays import arrays_of

if TYPE_CHECKING:
    from .damage import Damage

ODD: tuple[Any, ...] = (
    None,
    -1,
    0,
    1,
    3,
    2**31,
    2**53,
    2**63,
    2.5,
    1e308,
    "",
    "x",
    "../x",
    True,
    [],
    {},
    [0],
    [1, 1, 1],
)

FREE = {"releases", "reference", "name", "fill", "shares", "duplicates_left_out", "fields", "dtype"}
"""Members that may have other values, or be left out, in a store that conforms as well."""


def test_any_bit_of_any_file_is_noticed(damage: Damage) -> None:
    files = sorted(p for p in damage.path.rglob("*") if p.is_file())
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
    rng = np.random.default_rng(20)
    missed = []
    for number in rng.integers(0, len(files), 200).tolist():
        file = files[number]
        good = file.read_bytes()
        at, bit = int(rng.integers(0, len(good))), int(rng.integers(0, 8))
        bad = bytearray(good)
        bad[at] ^= 1 << bit
        file.write_bytes(bad)
        if scformat.validate(damage.path).ok:
            missed.append((file, at, bit))
        file.write_bytes(good)
    assert not missed
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in files} == before
    assert scformat.validate(damage.path).ok


def _members(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all values of a document."""
    places = [above] if above else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, member in items:
        places += _members(member, (*above, name))
    return places


@pytest.mark.parametrize("seed", range(6))
def test_odd_manifests(damage: Damage, seed: int) -> None:
    """One member of a sealed manifest is anything at all, or missing."""
    rng = np.random.default_rng(seed)
    good = json.dumps(damage.document)
    places = [p for p in _members(damage.manifest) if p[0] not in ("sha256", "findings", "generator", "skipped")]
    places = [
        p for p in places if p[2:3] != ("obs",) or len(p) > 4
    ]  # a column with a label need not be named in a part
    for place in [places[i] for i in rng.integers(0, len(places), 40)]:
        damage.document = json.loads(good)
        item: Any = damage.manifest
        for name in place[:-1]:
            item = item[name]
        odd = ODD[rng.integers(0, len(ODD))]
        if rng.random() < 0.1 and isinstance(item, dict):
            del item[place[-1]]
        else:
            same = json.dumps(item[place[-1]]) == json.dumps(odd)
            item[place[-1]] = "same" if same else odd
        damage.seal()
        report = scformat.validate(damage.path)
        seen = {f.requirement for f in report.findings}
        assert "INT-4" not in seen
        assert seen or set(place) & FREE, place


@pytest.mark.parametrize("seed", range(6))
def test_odd_values(damage: Damage, seed: int) -> None:
    """Values of a sealed array are anything that its type can hold."""
    rng = np.random.default_rng(seed)
    from scformat.manifest import Manifest

    model = Manifest.model_validate(damage.manifest)
    paths = [a.path for a in arrays_of(model) if a.path != model.parts[0].entries.path]
    good = json.dumps(damage.document)
    for path in [paths[i] for i in rng.integers(0, len(paths), 25)]:
        damage.document = json.loads(good)
        array = next(a for a in _arrays(damage.manifest) if a["path"] == path)
        before = damage.values(array)
        values = before.copy()
        limits = np.iinfo(values.dtype) if values.dtype.kind in "iu" else np.finfo(values.dtype)
        odd = [limits.min, limits.max, 0, 1, 2] + ([-1, -2, -3] if values.dtype.kind == "i" else [])
        if not values.size:
            continue
        for at in rng.integers(0, values.size, 1 + rng.integers(0, 3)).tolist():
            values.flat[at] = odd[rng.integers(0, len(odd))]
        damage.put(array, values)
        damage.seal()
        report = scformat.validate(damage.path)
        assert "INT-2" not in {f.requirement for f in report.findings}
        if path.startswith(("genes/", "parts/1/sources/", "parts/1/cells/", "parts/1/counts/")) and "bytes" not in path:
            assert report.ok == bool((values == before).all()), path
        damage.document = json.loads(good)
        damage.put(array, before)


@pytest.mark.parametrize("seed", range(3))
def test_odd_entries(damage: Damage, seed: int) -> None:
    """Entries of sealed counts are anything; ends stay as they are."""
    rng = np.random.default_rng(seed)
    end = int(damage.values(damage.part["index"])[0, -1])
    before = damage.values(damage.part["entries"])[:, :end]
    for _ in range(15):
        entries = before.copy()
        for _ in range(1 + rng.integers(0, 3)):
            place = (rng.integers(0, 2), rng.integers(0, end))
            entries[place] = rng.choice([0, 1, 2, 90, 65_534, 65_535])
        damage.put_entries(entries)
        damage.seal()
        report = scformat.validate(damage.path)
        assert report.ok == bool((entries == before).all())


def _arrays(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if "chunk" in value:
            return [value]
        return [a for member in value.values() for a in _arrays(member)]
    return [a for member in value for a in _arrays(member)] if isinstance(value, list) else []

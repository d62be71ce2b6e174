"""Level 4: tables whose bytes and digests hold, but which are not what they say."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scformat
from scformat.tables import add_table, build_table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .damage import Damage

TABLES = {
    "types": ("cell_type:balanced", None),
    "nested": ("cell_type:ontology_nodes(missing=unknown),tissue:scaled(50)", None),
    "known": ("cell_type:balanced(missing=B cell)", None),
    "figure": ("cell_type:natural,n_genes:proportional(1)", "train"),
}


@pytest.fixture(scope="module")
def tabled(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good store with tables of all kinds."""
    target = tmp_path_factory.mktemp("tables") / "tabled.cells"
    shutil.copytree(good, target)
    for name, (by, split) in TABLES.items():
        store = scformat.open(target)
        add_table(store, name, build_table(store, by, split=split))
    return target


@pytest.fixture
def tables(tabled: Path, tmp_path: Path) -> Damage:
    from .damage import Damage

    target = tmp_path / "bad.cells"
    shutil.copytree(tabled, target)
    return Damage(target)


def test_good_tables_are_valid_at_level_4(tabled: Path) -> None:
    report = scformat.validate(tabled, level=4)
    assert report.ok, report.findings
    assert report.level == 4


def _entry(d: Damage, name: str = "types") -> dict[str, Any]:
    found: dict[str, Any] = next(t for t in d.manifest["tables"] if t["name"] == name)
    return found


def _swap(member: str, at: int, by: int) -> Callable[[Damage], None]:
    def act(d: Damage) -> None:
        array = _entry(d)[member]
        d.change(array, at, d.values(array)[at] + by)

    return act


def _masses(d: Damage) -> None:
    array = _entry(d)["masses"]
    values = d.values(array)
    values[[0, 1]] = values[0] + 1, values[1] - 1
    d.put(array, values)


def _negative_mass(d: Damage) -> None:
    array = _entry(d)["masses"]
    values = d.values(array)
    values[[0, 1]] = -5, values[1] + values[0] + 5
    d.put(array, values)


def _no_cell(d: Damage) -> None:
    entry = _entry(d)
    counts = d.values(entry["counts"])
    counts[0] = 0
    d.put(entry["counts"], counts)


def _other_cells(d: Damage) -> None:
    _entry(d)["cells"] = "0" * 64


def _other_digest(d: Damage) -> None:
    _entry(d)["sha256"] = "1" * 64


def _twice(d: Damage) -> None:
    """The first run of a stratum begins a row earlier, in the run of another."""
    entry = _entry(d)
    start, length = d.values(entry["run_start"]), d.values(entry["run_length"])
    at = int(np.flatnonzero(np.isin(start, start + length))[0])
    for member, by in (("run_start", -1), ("run_length", 1)):
        d.change(entry[member], at, d.values(entry[member])[at] + by)
    stratum = int(np.searchsorted(d.values(entry["offsets"]), at, side="right")) - 1
    d.change(entry["counts"], stratum, d.values(entry["counts"])[stratum] + 1)
    entry["n_cells"] += 1
    entry["n_missing"] = 0


def _beyond(d: Damage) -> None:
    entry = _entry(d)
    d.change(entry["run_start"], 0, entry["n_rows"])


def _n_cells(d: Damage) -> None:
    _entry(d)["n_cells"] += 1


def _left_out(d: Damage) -> None:
    _entry(d)["n_left_out"] += 10_000


def _codes(d: Damage) -> None:
    array = _entry(d)["codes"]
    values = d.values(array)
    d.put(array, values[:, ::-1].copy())


def _unknown_label(d: Damage) -> None:
    _entry(d)["keys"][0]["name"] = "cell_kind"


def _other_split(d: Damage) -> None:
    _entry(d, "figure")["split"] = "test"


def _unknown_split(d: Damage) -> None:
    _entry(d, "figure")["split"] = "holdout"


BROKEN: dict[str, tuple[str, Callable[[Damage], None]]] = {
    "masses moved": ("TAB-4", _masses),
    "sum of masses": ("TAB-1", _swap("masses", 0, 1)),
    "negative mass": ("TAB-1", _negative_mass),
    "stratum without a cell": ("TAB-1", _no_cell),
    "threshold": ("TAB-4", _swap("threshold", 0, 1)),
    "alias": ("TAB-4", _swap("alias", 0, 1)),
    "counts": ("TAB-7", _swap("counts", 1, 1)),
    "offsets": ("TAB-7", _swap("offsets", -1, 1)),
    "runs that touch": ("TAB-7", _swap("run_length", 0, 1)),
    "a row twice": ("TAB-8", _twice),
    "a row beyond": ("TAB-8", _beyond),
    "other cells": ("TAB-9", _other_cells),
    "digest": ("TAB-10", _other_digest),
    "n_cells": ("TAB-16", _n_cells),
    "n_left_out": ("TAB-16", _left_out),
    "codes": ("TAB-15", _codes),
    "unknown label": ("TAB-15", _unknown_label),
    "other split": ("TAB-15", _other_split),
    "unknown split": ("TAB-15", _unknown_split),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_table_is_found_at_level_4(case: str, tables: Damage) -> None:
    requirement, act = BROKEN[case]
    act(tables)
    tables.seal()
    below = scformat.validate(tables.path, level=3)
    assert below.ok, below.findings
    report = scformat.validate(tables.path, level=4)
    assert requirement in {f.requirement for f in report.findings}, report.findings


def test_damage_below_level_4_is_reported_once_and_not_raised(tables: Damage) -> None:
    array = _entry(tables)["masses"]
    file = tables.file(array)
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(bytes(data))
    report = scformat.validate(tables.path, level=4)
    assert report.findings
    assert all(f.where.startswith(array["path"]) for f in report.findings), report.findings

"""Damage of sampling tables: what the manifest shows (level 1), and what only their values show (level 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tools.conformance.corruptions import Corruption, corruption, told

if TYPE_CHECKING:
    from tools.conformance.corruptions import Change
    from tools.conformance.damage import Damage


def entry(d: Damage, name: str = "types") -> dict[str, Any]:
    """A table of the manifest."""
    found: dict[str, Any] = next(t for t in d.manifest["tables"] if t["name"] == name)
    return found


def _member(name: str, value: Any, table: str = "types") -> Change:
    return told(f"The member {name} of a table is {value!r}.", lambda d: entry(d, table).__setitem__(name, value))


def _without(name: str, table: str = "types") -> Change:
    return told(f"A table has no member {name}.", lambda d: entry(d, table).pop(name))


def _moved(text: str, member: str, at: int, by: int, table: str = "types") -> Change:
    def act(d: Damage) -> None:
        array = entry(d, table)[member]
        d.change(array, at, d.values(array)[at] + by)

    return told(text, act)


def _not_named(d: Damage) -> None:
    """There are tables, but the feature is not named."""
    d.manifest["optional_features"].remove("tables")


def _name_twice(d: Damage) -> None:
    """Two tables have one name."""
    d.manifest["tables"][1]["name"] = d.manifest["tables"][0]["name"]


def _runs_and_rows(d: Damage) -> None:
    """A table has both runs and rows."""
    entry(d)["rows"] = entry(d, "listed")["rows"]


def _lengths_differ(d: Damage) -> None:
    """run_start and run_length are not of one length."""
    entry(d)["run_length"]["shape"] = [1]


def _array(member: str, name: str, value: Any) -> Change:
    def act(d: Damage) -> None:
        entry(d)[member][name] = value

    return told(f"{name} of the array {member} of a table is {value!r}.", act)


TABLES_1: dict[str, Corruption] = {
    "tables-not-named": corruption("TAB-13", "tables", _not_named),
    "tables-without-optional-features": corruption(
        "MAN-1",
        "optional_features",
        told(
            "There are tables, and the manifest has no optional_features.",
            lambda d: d.manifest.pop("optional_features"),
        ),
    ),
    "table-name-twice": corruption("TAB-6", "scformat", _name_twice),
    "table-member": corruption("TAB-6", "scformat/tables", _without("masses")),
    "table-bits": corruption("TAB-6", "scformat/tables", _member("bits", 40)),
    "table-strata": corruption("TAB-6", "scformat/tables", _member("n_strata", 3)),
    "table-no-keys": corruption("TAB-6", "scformat/tables", _member("keys", [])),
    "table-codes-dtype": corruption("TAB-6", "scformat/tables", _array("codes", "dtype", "int64")),
    "table-fill": corruption("ZAR-19", "tables/", _array("counts", "fill", -3)),
    "table-runs-and-rows": corruption("TAB-6", "scformat/tables", _runs_and_rows),
    "table-neither-runs-nor-rows": corruption("TAB-6", "scformat/tables", _without("run_length")),
    "table-runs-of-two-lengths": corruption("TAB-6", "scformat/tables", _lengths_differ),
}


def _masses_moved(d: Damage) -> None:
    """One unit of mass is another stratum's, and the alias table is as before."""
    array = entry(d)["masses"]
    values = d.values(array)
    values[[0, 1]] = values[0] + 1, values[1] - 1
    d.put(array, values)


def _negative_mass(d: Damage) -> None:
    """A mass is negative, and their sum is as before."""
    array = entry(d)["masses"]
    values = d.values(array)
    values[[0, 1]] = -5, values[1] + values[0] + 5
    d.put(array, values)


def _no_cell(d: Damage) -> None:
    """A stratum that has a mass has no cell."""
    counts = d.values(entry(d)["counts"])
    counts[0] = 0
    d.put(entry(d)["counts"], counts)


def _twice(d: Damage) -> None:
    """The first run of a stratum begins a row earlier, in the run of another."""
    found = entry(d)
    start, length = d.values(found["run_start"]), d.values(found["run_length"])
    at = int(np.flatnonzero(np.isin(start, start + length))[0])
    for member, by in (("run_start", -1), ("run_length", 1)):
        d.change(found[member], at, d.values(found[member])[at] + by)
    stratum = int(np.searchsorted(d.values(found["offsets"]), at, side="right")) - 1
    d.change(found["counts"], stratum, d.values(found["counts"])[stratum] + 1)
    found["n_cells"] += 1
    found["n_missing"] = 0


def _beyond(d: Damage) -> None:
    """A run begins behind the last row."""
    d.change(entry(d)["run_start"], 0, entry(d)["n_rows"])


def _run_past_int64(d: Damage) -> None:
    """The last row of a run is beyond 2^63, which 64 bits make a negative number."""
    found = entry(d)
    d.change(found["run_length"], int(np.argmax(d.values(found["run_start"]))), 2**63 - 1)


def _row_beyond(d: Damage) -> None:
    """A listed row is none of the store."""
    d.change(entry(d, "listed")["rows"], -1, entry(d, "listed")["n_rows"])


def _row_negative(d: Damage) -> None:
    """A listed row is -1."""
    d.change(entry(d, "listed")["rows"], 0, -1)


def _row_twice(d: Damage) -> None:
    """A row is in two strata."""
    rows = entry(d, "listed")["rows"]
    offsets = d.values(entry(d, "listed")["offsets"])
    values = d.values(rows)
    values[offsets[1]] = values[0]
    d.put(rows, values)


def _rows_descend(d: Damage) -> None:
    """Two listed rows of a stratum have changed places."""
    rows = entry(d, "listed")["rows"]
    values = d.values(rows)
    values[[0, 1]] = values[[1, 0]]
    d.put(rows, values)


def _n_cells(d: Damage) -> None:
    """n_cells is one less than the sum of counts."""
    entry(d)["n_cells"] -= 1


def _refitted(d: Damage) -> None:
    """Put counts and n_cells right after a change of the offsets of runs."""
    found = entry(d)
    ends = np.concatenate([[0], np.cumsum(d.values(found["run_length"]))])[d.values(found["offsets"])]
    d.put(found["counts"], np.diff(ends))
    found["n_cells"], found["n_missing"] = int(np.diff(ends).sum()), 0


def _offsets_begin(d: Damage) -> None:
    """The first run is no stratum's: offsets begin with 1, and counts are what they say."""
    d.change(entry(d)["offsets"], 0, 1)
    _refitted(d)


def _offsets_fall(d: Damage) -> None:
    """The offsets fall, and counts are what they say."""
    values = d.values(entry(d, "types")["offsets"])
    values[[1, 2]] = values[[2, 1]]
    d.put(entry(d)["offsets"], values)
    _refitted(d)


def _negative_count(d: Damage) -> None:
    """A stratum has -1 cells."""
    counts = d.values(entry(d)["counts"])
    counts[0] = -1
    d.put(entry(d)["counts"], counts)


def _codes(d: Damage) -> None:
    """The codes of the strata are in the reverse order."""
    array = entry(d)["codes"]
    d.put(array, d.values(array)[:, ::-1].copy())


def _unknown_label(d: Damage) -> None:
    """A key is a label that the store does not have."""
    entry(d)["keys"][0]["name"] = "cell_kind"


def _second_key(d: Damage) -> None:
    """The codes of the second key of a table are in the reverse order."""
    array = entry(d, "nested")["codes"]
    values = d.values(array)
    values[1] = values[1][::-1]
    d.put(array, values)


def _alias_itself(d: Damage) -> None:
    """The alias of a column is another, where the column is not full."""
    found = entry(d, "nested")
    threshold, alias = d.values(found["threshold"]), d.values(found["alias"])
    at = int(np.flatnonzero(threshold < 1 << 32)[0])
    d.change(found["alias"], at, (int(alias[at]) + 1) % found["n_strata"])


def _alias_of_full(d: Damage) -> None:
    """A full column has another alias than itself."""
    found = entry(d, "natural")
    threshold = d.values(found["threshold"])
    at = int(np.flatnonzero(threshold == 1 << 32)[0])
    d.change(found["alias"], at, (at + 1) % found["n_strata"])


AT = "tables/"
DRAW = ("draw", "--table", "types", "--plan", "independent", "--seed", "0", "--start", "0", "--count", "4")
TABLES_4: dict[str, Corruption] = {
    "masses-moved": corruption("TAB-4", AT, _masses_moved),
    "sum-of-masses": corruption("TAB-1", AT, _moved("A mass is one more.", "masses", 0, 1)),
    "negative-mass": corruption("TAB-1", AT, _negative_mass),
    "stratum-without-a-cell": corruption("TAB-1", AT, _no_cell),
    "threshold": corruption("TAB-4", AT, _moved("A threshold is one more.", "threshold", 0, 1)),
    "threshold-beyond": corruption("TAB-4", AT, _moved("A threshold is above 2^32.", "threshold", 0, 1 << 33)),
    "alias": corruption("TAB-4", AT, _alias_itself),
    "alias-of-a-full-column": corruption("TAB-4", AT, _alias_of_full),
    "counts-of-strata": corruption("TAB-7", AT, _moved("A stratum is said to have one more cell.", "counts", 1, 1)),
    "offsets-of-runs": corruption("TAB-7", AT, _moved("The offsets end behind the runs.", "offsets", -1, 1)),
    "offsets-of-runs-begin": corruption("TAB-7", AT, _offsets_begin),
    "offsets-of-runs-fall": corruption("TAB-7", AT, _offsets_fall),
    "negative-number-of-cells": corruption("TAB-1", AT, _negative_count),
    "runs-that-touch": corruption("TAB-7", AT, _moved("A run goes on to the next.", "run_length", 0, 1, "touching")),
    "rows-descend": corruption("TAB-7", AT, _rows_descend),
    "run-twice": corruption("TAB-8", AT, _twice),
    "run-beyond": corruption("TAB-8", AT, _beyond),
    "run-past-int64": corruption("TAB-8", AT, _run_past_int64),
    "run-empty": corruption("TAB-7", AT, _moved("A run has no rows.", "run_length", 0, -1, "touching")),
    "row-twice": corruption("TAB-8", AT, _row_twice),
    "row-beyond": corruption("TAB-8", AT, _row_beyond),
    "row-negative": corruption("TAB-8", AT, _row_negative),
    "other-cells": corruption(
        "TAB-9",
        "tables",
        _member("cells", "0" * 64),
        refuse=[DRAW],
    ),
    "n-rows-beyond": corruption(
        "TAB-9",
        "tables",
        told("n_rows of a table is beyond the store.", lambda d: entry(d).__setitem__("n_rows", 1000)),
    ),
    "n-rows-within-a-part": corruption(
        "TAB-9",
        "tables",
        told("n_rows of a table is no end of a part.", lambda d: entry(d, "few").__setitem__("n_rows", 40)),
    ),
    "table-digest": corruption("TAB-10", "tables", _member("sha256", "1" * 64)),
    "table-n-cells": corruption("TAB-16", "tables", _n_cells),
    "table-n-left-out": corruption("TAB-16", "tables", _member("n_left_out", 10_000)),
    "codes-of-strata": corruption("TAB-15", AT, _codes),
    "codes-of-the-second-key": corruption("TAB-15", AT, _second_key),
    "unknown-label": corruption("TAB-15", "tables", _unknown_label),
    "other-split": corruption("TAB-15", "tables", _member("split", "test", "train")),
    "unknown-split": corruption("TAB-15", "tables", _member("split", "holdout", "train")),
}

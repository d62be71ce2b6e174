"""A few of the flips of ``tools/fuzz/flips.py``; the long run's result lies beside it."""

from __future__ import annotations

import json
from pathlib import Path

from tools.fuzz.flips import campaign, kind_of

RESULT = Path(__file__).resolve().parents[2] / "tools" / "fuzz" / "results" / "flips.json"


def test_flipped_bits_are_found_and_never_read_as_other_data(tmp_path: Path) -> None:
    found = campaign(tmp_path, flips=30, seed=17)
    assert len({kind_of(one.flip.file) for one in found}) > 15
    assert [(one.flip, one.faults) for one in found if one.faults] == []
    assert sum(bool(one.refused) for one in found) >= 10


def test_the_long_run_hit_every_kind_of_file_and_found_no_fault() -> None:
    found = json.loads(RESULT.read_text())
    assert len(found["flips"]) >= 1000
    assert not any(flip["faults"] for flip in found["flips"])
    assert all(flip["requirements"] for flip in found["flips"])
    assert {kind for kind in found["summary"] if kind.endswith("c/*/*")} >= {
        f"parts/*/{array}/c/*/*" for array in ("cells/index", "counts/entries", "sources/measured")
    }


def test_kinds_of_files_have_no_numbers() -> None:
    assert kind_of("parts/2/obs/16/codes/c/0") == "parts/*/obs/*/codes/c/*"
    assert kind_of("tables/ct-0e40713b/run_start/zarr.json") == "tables/*/run_start/zarr.json"
    assert kind_of("labels/1/obs-10/bytes/c/0") == kind_of("labels/2/obs-5/bytes/c/0")
    assert kind_of("zarr.json") == "zarr.json"

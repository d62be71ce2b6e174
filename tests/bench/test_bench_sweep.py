"""The sweep marks the defaults that stores and loaders really have, and changes one thing at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scformat import layout
from scformat.sampling.state import State
from tools.bench import sweep

if TYPE_CHECKING:
    from pathlib import Path


def test_defaults_are_those_of_the_package() -> None:
    assert (sweep.CHUNK, sweep.SHARD) == (layout.ENTRY_CHUNK, layout.ENTRY_SHARD)
    fields = State.__dataclass_fields__
    assert (fields["window"].default, fields["block"].default) == (sweep.WINDOW, sweep.BLOCK)


def test_every_default_is_among_what_is_tried() -> None:
    assert sweep.CHUNK in sweep.CHUNKS
    assert sweep.SHARD in sweep.SHARDS
    assert sweep.WINDOW in sweep.WINDOWS
    assert sweep.BLOCK in sweep.BLOCKS
    assert sweep.CODEC in {f"{name} {level}, {shuffle}" for name, level, shuffle in sweep.CODECS}


def test_a_table_has_a_row_a_plan_and_marks_the_default() -> None:
    load = {
        "plan": "stratified", "cells_per_second": 1.0, "cpu_us": 2.0, "chunks_a_cell": 1.0, "bytes_a_cell": 9.0,
        "donor_entropy": 3.0,
    }  # fmt: skip
    rows = [
        {"value": n, "default": n == sweep.CHUNK, "bytes": 1, "files": 2, "loads": [load, load]} for n in (512, 2048)
    ]
    lines = sweep.as_table({"cells": 10, "rows": {"chunk": rows}}).splitlines()
    assert sum("stratified" in line for line in lines) == 4
    assert sum("**2,048**" in line for line in lines) == 2


def test_stores_are_made_once(tmp_path: Path) -> None:
    asked = ["--cells", "300", "--genes", "200", "--studies", "1", "--work", str(tmp_path), "--parts", "window,codec"]
    assert sweep.main([*asked, "--prepare"]) == 0
    (root,) = tmp_path.glob("sweep-*/*/zarr.json")
    made = root.stat().st_mtime_ns
    assert sweep.main([*asked, "--prepare"]) == 0
    assert root.stat().st_mtime_ns == made


def test_a_part_is_put_beside_those_of_an_earlier_run(tmp_path: Path) -> None:
    run = {"bench": "sweep", "machine": {"cores": 2}, "versions": {}, "cells": 10, "settings": {"seed": 0}}
    path = tmp_path / "sweep.json"
    assert sweep.joined({**run, "rows": {"block": [1]}}, path) == {"block": [1]}
    path.write_text(json.dumps({**run, "rows": {"block": [1], "window": [2]}}), "utf-8")
    assert sweep.joined({**run, "rows": {"window": [4], "chunk": [3]}}, path) == {
        "chunk": [3], "window": [4], "block": [1],
    }  # fmt: skip
    assert sweep.joined({**run, "cells": 11, "rows": {"window": [4]}}, path) == {"window": [4]}


def test_of_several_turns_the_best_is_kept() -> None:
    turns = [
        {"bytes": 7, "loads": [{"plan": "epoch", "cells_per_second": r, "cpu_us": c}]} for r, c in ((9, 3), (8, 2))
    ]
    assert sweep.best(turns) == {"bytes": 7, "loads": [{"plan": "epoch", "cells_per_second": 9, "cpu_us": 2}]}

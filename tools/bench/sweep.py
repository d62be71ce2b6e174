"""The sweep bench: what chunk, shard, codec, window and block do to size and rates; the defaults are chosen by it.

One thing is changed at a time, all else is default. Every case runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tools.bench import machine
from tools.bench.common import draw_result, given_environment, names_of, remove, say, simulated
from tools.bench.run import measure

CHUNKS = (512, 1024, 2048, 4096, 8192, 16384)
SHARDS = (1 << 18, 1 << 20, 1 << 22, 1 << 24)
WINDOWS = (4096, 16384, 65536, 262144)
BLOCKS = (1, 8, 64, 256)
CODECS = (
    ("lz4", 1, "bit"), ("lz4", 5, "bit"), ("lz4", 9, "bit"), ("lz4", 5, "byte"), ("lz4hc", 9, "bit"),
    ("zstd", 1, "bit"), ("zstd", 5, "bit"), ("zstd", 5, "byte"), ("zstd", 5, "none"),
)  # fmt: skip
CHUNK, SHARD, WINDOW, BLOCK, CODEC = 2048, 1 << 22, 65536, 64, "lz4 5, bit"
"""The defaults, which the tests compare with those of the package."""
RANDOM = {"plan": "independent"}
STRATIFIED = {"plan": "stratified", "table": "cell_type:balanced"}
RANDOM_BALANCED = {"plan": "independent", "table": "cell_type:balanced"}
"""Beside windows and blocks: what they are to come close to."""
PARTS = ("chunk", "shard", "codec", "window", "block")
_CASE = Path(__file__).parent / "adapters" / "sweep_case.py"
_FIGURES = (
    ("cells_per_second", "cells/s", "{:,.0f}"), ("cpu_us", "processor, us a cell", "{:.2f}"),
    ("chunks_a_cell", "chunks a cell", "{:.2f}"), ("bytes_a_cell", "bytes read a cell", "{:,.0f}"),
    ("donor_entropy", "donor entropy, bits", "{:.2f}"),
)  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the sweep and write ``sweep.json``, ``sweep.md`` and ``sweep.svg``."""
    options = _parser().parse_args(arguments)
    parts = names_of(options.parts, dict.fromkeys(PARTS))
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    sources = simulated(options, options.work)
    base = _case(options, "default", layout=(CHUNK, SHARD), sources=sources, loads=[RANDOM, STRATIFIED])
    rows: dict[str, list[dict[str, Any]]] = {part: [] for part in parts}
    for part, sizes in (("chunk", CHUNKS), ("shard", SHARDS)):
        for size in sizes if part in parts else ():
            default = size == (CHUNK if part == "chunk" else SHARD)
            layout = (size, SHARD) if part == "chunk" else (CHUNK, size)
            found = base if default else _case(options, "other", layout=layout, sources=sources, loads=base["asked"])
            rows[part].append({"value": size, "default": default, **found})
    store = options.work / "default.cells"
    for part, values in (("window", WINDOWS), ("block", BLOCKS)):
        if part in parts:
            loads = [{**STRATIFIED, part: value} for value in values]
            found = _case(options, part, store=store, loads=[*loads, RANDOM_BALANCED])
            default = WINDOW if part == "window" else BLOCK
            for value, load in zip([*values, "independent"], found["loads"], strict=True):
                rows[part].append({"value": value, "default": value == default, "loads": [load]})
    if "codec" in parts:
        for row in _case(options, "codec", store=store, codecs=CODECS)["codecs"]:
            rows["codec"].append({"value": row["codec"], "default": row["codec"].startswith(CODEC), **row})
    result = {
        "bench": "sweep",
        "machine": machine.describe(),
        "cells": options.cells,
        "settings": {"seconds": options.seconds, "seed": options.seed, "studies": options.studies},
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / "sweep.json"
    written.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    table = as_table(result)
    (options.out / "sweep.md").write_text(table, "utf-8")
    draw_result(written.resolve(), (options.out / "sweep.svg").resolve(), options.envs.resolve())
    sys.stdout.write(table)
    if not options.keep:
        for name in ("default", "other"):
            remove(options.work / f"{name}.cells")
    return 0


def _case(options: argparse.Namespace, name: str, **request: Any) -> dict[str, Any]:
    """Run one case; ``loads`` comes back as it was asked for in ``asked``."""
    say(f"{name}: {request.get('layout') or ''}")
    path = request.pop("store", options.work / f"{name}.cells")
    given, answer = options.work / "request.json", options.work / "result.json"
    asked = {
        **request, "store": str(path), "sources": [str(source) for source in request.get("sources", ())],
        "seconds": options.seconds, "seed": options.seed,
    }  # fmt: skip
    given.write_text(json.dumps(asked), "utf-8")
    run = measure(
        [sys.executable, str(_CASE), str(given), str(answer)],
        directory=options.work, environment=given_environment(),
    )  # fmt: skip
    if run.exit_code:
        raise SystemExit(f"{name}: {run.output[-2000:]}")
    found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return {**found, "asked": request.get("loads", [])}


def as_table(result: dict[str, Any]) -> str:
    """Write the result as Markdown, a table a part; the default is bold."""
    lines = [f"# Sweep over {result['cells']:,} cells", ""]
    for part, rows in result["rows"].items():
        lines += [f"## {part}", ""]
        if part == "codec":
            lines += ["| codec | bytes an entry | ns an entry |", "|---|---|---|"]
            lines += [f"| {_name(row)} | {row['bytes_an_entry']:.3f} | {row['ns_an_entry']:.2f} |" for row in rows]
        else:
            titles = [title for _, title, _ in _FIGURES]
            lines += [f"| {part} | plan | {' | '.join(titles)} | MB | files |", "|---" * (len(titles) + 4) + "|"]
            for row in rows:
                for load in row["loads"]:
                    figures = [shown.format(load[key]) for key, _, shown in _FIGURES]
                    size = f"{row['bytes'] / 1e6:,.1f} | {row['files']}" if "bytes" in row else " | "
                    lines.append(f"| {_name(row)} | {load['plan']} | {' | '.join(figures)} | {size} |")
        lines.append("")
    return "\n".join(lines)


def _name(row: dict[str, Any]) -> str:
    name = f"{row['value']:,}" if isinstance(row["value"], int) else str(row["value"])
    return f"**{name}**" if row["default"] else name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench sweep", description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--studies", type=int, default=3)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each rate, after the warm-up")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"))
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--keep", action="store_true", help="leave the stores in --work")
    return parser

"""The sweep bench: what chunk, shard, codec, window and block do to size and rates; the defaults are chosen by it.

One thing is changed at a time, all else is default. Every case runs in a process of its own. A run of some parts puts
them beside those that an earlier one measured, so that each can be measured while the machine does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scformat.benchmark import versions
from tools.bench import machine
from tools.bench.common import draw_result, given_environment, names_of, remove, say, simulated
from tools.bench.run import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

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
LOADS = [RANDOM, STRATIFIED]
PARTS = ("chunk", "shard", "codec", "window", "block")
LAYOUTS = {
    "chunk": {chunk: (chunk, SHARD) for chunk in CHUNKS},
    "shard": {shard: (CHUNK, shard) for shard in SHARDS},
}
"""Entries a chunk and a shard of the stores of these parts."""
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
    stores = _make(options, parts)
    if options.prepare:
        return 0
    base = stores[CHUNK, SHARD]
    rows: dict[str, list[dict[str, Any]]] = {}
    for part in parts:
        if part in LAYOUTS:
            turns = [
                [_case(options, stores[layout], loads=LOADS) for layout in LAYOUTS[part].values()]
                for _ in range(options.repeat)
            ]
            rows[part] = [
                {"value": value, "default": layout == (CHUNK, SHARD), **best(runs)}
                for (value, layout), runs in zip(LAYOUTS[part].items(), zip(*turns, strict=True), strict=True)
            ]
        elif part == "codec":
            found = _case(options, base, codecs=CODECS)["codecs"]
            rows[part] = [{"value": x["codec"], "default": x["codec"].startswith(CODEC), **x} for x in found]
        else:
            values, default = (WINDOWS, WINDOW) if part == "window" else (BLOCKS, BLOCK)
            loads = [*({**STRATIFIED, part: value} for value in values), RANDOM_BALANCED]
            found = best([_case(options, base, loads=loads) for _ in range(options.repeat)])["loads"]
            rows[part] = [
                {"value": value, "default": value == default, "loads": [load]}
                for value, load in zip([*values, "independent"], found, strict=True)
            ]
    result = {
        "bench": "sweep",
        "machine": machine.describe(),
        "versions": versions(),
        "cells": options.cells,
        "settings": {name: getattr(options, name) for name in ("seconds", "repeat", "seed", "studies")},
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    written = options.out / "sweep.json"
    result["rows"] = joined(result, written)
    written.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    table = as_table(result)
    (options.out / "sweep.md").write_text(table, "utf-8")
    draw_result(written.resolve(), (options.out / "sweep.svg").resolve(), options.envs.resolve())
    sys.stdout.write(table)
    if not options.keep:
        remove(options.work / _folder(options))
    return 0


def best(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the runs of a case found, of rates the most and of processor times the least: noise only adds."""
    loads = [
        {
            **found[0],
            "cells_per_second": max(load["cells_per_second"] for load in found),
            "cpu_us": min(load["cpu_us"] for load in found),
        }
        for found in zip(*(run["loads"] for run in runs), strict=True)
    ]
    return {**runs[0], "loads": loads}


def _make(options: argparse.Namespace, parts: list[str]) -> dict[tuple[int, int], Path]:
    """Convert to every layout that the parts need, and that is not there from an earlier run."""
    layouts = {(CHUNK, SHARD), *(layout for part in parts for layout in LAYOUTS.get(part, {}).values())}
    folder = options.work / _folder(options)
    stores = {layout: folder / "-".join(["layout", *map(str, layout)]) for layout in sorted(layouts)}
    missing = {layout: path for layout, path in stores.items() if not (path / "zarr.json").is_file()}
    sources = [str(path) for path in simulated(options, options.work)] if missing else []
    folder.mkdir(exist_ok=True)
    for layout, path in missing.items():
        say(f"making chunks of {layout[0]:,} in shards of {layout[1]:,}")
        _case(options, path, layout=layout, sources=sources)
    return stores


def _folder(options: argparse.Namespace) -> str:
    return "-".join(map(str, ["sweep", options.cells, options.studies, options.genes, options.seed]))


def joined(result: dict[str, Any], path: Path) -> dict[str, list[dict[str, Any]]]:
    """Put the parts of this run beside those of an earlier one of the same stores and settings."""
    earlier = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    same = all(earlier.get(name) == result[name] for name in ("bench", "machine", "versions", "cells", "settings"))
    rows = {**(earlier["rows"] if same else {}), **result["rows"]}
    return {part: rows[part] for part in PARTS if part in rows}


def _case(options: argparse.Namespace, store: Path, **request: Any) -> dict[str, Any]:
    """Do what is asked for in a process of its own."""
    say(f"{store.name}: {', '.join(request)}")
    given, answer = options.work / "request.json", options.work / "result.json"
    asked = {**request, "store": str(store), "seconds": options.seconds, "seed": options.seed}
    given.write_text(json.dumps(asked), "utf-8")
    run = measure(
        [sys.executable, str(_CASE), str(given), str(answer)],
        directory=options.work, environment=given_environment(),
    )  # fmt: skip
    if run.exit_code:
        raise SystemExit(f"{store.name}: {run.output[-2000:]}")
    found: dict[str, Any] = json.loads(answer.read_text("utf-8"))
    return found


def as_table(result: dict[str, Any]) -> str:
    """Write the result as Markdown, a table a part; the default is bold."""
    lines = [f"# Sweep over {result['cells']:,} cells", ""]
    if "machine" in result:
        of, settings = result["machine"], result["settings"]
        lines += [
            f"{of['processor']}, {of['cores']} cores, page cache warm, best of {settings['repeat']} turns of "
            f"{settings['seconds']} s a rate; defaults bold.",
            "",
        ]
    for part, rows in result["rows"].items():
        lines += [f"## {part}", ""]
        if part == "codec":
            lines += ["| codec | bytes an entry | ns an entry |", "|---|---|---|"]
            lines += [f"| {_name(row)} | {row['bytes_an_entry']:.3f} | {row['ns_an_entry']:.2f} |" for row in rows]
        else:
            titles = [title for _, title, _ in _FIGURES] + (["MB", "files"] if "bytes" in rows[0] else [])
            lines += [f"| {part} | plan | {' | '.join(titles)} |", "|---" * (len(titles) + 2) + "|"]
            for row in rows:
                for load in row["loads"]:
                    figures = [shown.format(load[key]) for key, _, shown in _FIGURES]
                    figures += [f"{row['bytes'] / 1e6:,.1f}", f"{row['files']}"] if "bytes" in row else []
                    lines.append(f"| {_name(row)} | {load['plan']} | {' | '.join(figures)} |")
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
    parser.add_argument("--repeat", type=int, default=2, help="turns; the best of each case is kept")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--work", type=Path, default=Path("bench-work"))
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"))
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    parser.add_argument("--keep", action="store_true", help="leave the stores in --work")
    parser.add_argument("--prepare", action="store_true", help="make the stores and stop; a later run takes them")
    return parser

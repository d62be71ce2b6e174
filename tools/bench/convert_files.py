"""The conversion bench over given files, each by itself: what each system makes of files as they are found.

A system that refuses a file, or writes something else than its counts, is reported so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.bench import machine
from tools.bench.common import ROOT, SHOWN, given_environment, names_of, remove, say, source
from tools.bench.peers import ORDERS, PEERS, Row, UnavailableError, environment, own_rows, versions
from tools.bench.run import Measured, measure

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIGURES = ("wall_s", "cpu_s", "peak_rss")


def main(arguments: list[str] | None = None) -> int:
    """Run the bench and write ``convert-files.json`` and ``.md``; 1 where this package wrote something else."""
    options = _parser().parse_args(arguments)
    work, out = options.work.resolve(), options.out.resolve()
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    rows = own_rows(names_of(options.orders, ORDERS), jobs=options.jobs, memory=options.memory)
    rows += [PEERS[name] for name in names_of(options.peers, PEERS)]
    ready: list[tuple[Row, Path]] = []
    missing: dict[str, str] = {}
    for row in rows:
        try:
            ready.append((row, environment(row, options.envs.resolve())))
        except UnavailableError as error:
            say(f"{row.name}: {error}")
            missing[row.name] = str(error)
    files = []
    for path in sorted(path.resolve() for path in options.files):
        counts = counts_of(path)
        found = {}
        # Another one goes first each time, so that none always follows the same one.
        shift = len(files) % max(len(ready), 1)
        for row, python in ready[shift:] + ready[:shift]:
            say(f"{path.name}: {row.name}")
            found[row.name] = _convert(row, python, path, counts, work, options)
        described = {"name": path.name, "bytes": path.stat().st_size, "counts": counts}
        files.append({**described, "results": {row.name: found[row.name] for row, _ in ready}})
    result = {
        "bench": "convert-files",
        "machine": machine.describe(),
        "file_system": machine.file_system(work),
        "settings": {name: getattr(options, name) for name in ("repeat", "jobs", "memory")},
        "rows": [{"name": r.name, "what": r.what, "versions": versions(r, python)} for r, python in ready],
        "missing": missing,
        "files": files,
    }
    (out / "convert-files.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    text = markdown(result)
    (out / "convert-files.md").write_text(text, "utf-8")
    sys.stdout.write(text)
    own = [name for name in (row.name for row, _ in ready) if name.startswith("scformat")]
    return int(any(file["results"][name].get("content") == "differs" for file in files for name in own))


def counts_of(path: Path) -> dict[str, Any] | None:
    """Find the counts of a file with anndata or h5py: their place, cells, genes, non-zeros and sum; None without.

    The first of raw, the layer ``counts`` and X that holds whole numbers from 0 up, some above it.
    """
    for place, matrix in _matrices(path):
        values = matrix.data if hasattr(matrix, "tocsr") else np.asarray(matrix)
        if values.size and (values >= 0).all() and (values == np.floor(values)).all() and values.any():
            nonzeros, total = int(np.count_nonzero(values)), float(values.sum(dtype="float64"))
            return {
                "place": place, "cells": matrix.shape[0], "genes": matrix.shape[1], "nonzeros": nonzeros, "sum": total,
            }  # fmt: skip
    return None


def _matrices(path: Path) -> Iterator[tuple[str, Any]]:
    import anndata
    import h5py
    from scipy import sparse

    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            group = next(iter(file.values()))
            n_genes, n_cells = group["shape"][:]
            parts = (group["data"][:], group["indices"][:], group["indptr"][:])
            yield "10x", sparse.csr_matrix(parts, shape=(n_cells, n_genes))
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old files are the point
        data = anndata.read_h5ad(path)
    candidates = [("raw", data.raw and data.raw.X), ("layers/counts", data.layers.get("counts")), ("X", data.X)]
    yield from ((place, matrix) for place, matrix in candidates if matrix is not None)


def _convert(
    row: Row, python: Path, path: Path, counts: dict[str, Any] | None, work: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Convert one file with one system, several times, and count what it wrote."""
    destination = work / f"file{row.suffix}"
    runs: list[Measured] = []
    for _ in range(options.repeat):
        remove(destination)
        machine.warm([path])
        command = row.command(python, "convert", destination, [path])
        run = measure(command, directory=work, environment=given_environment(), timeout_s=options.timeout)
        if run.exit_code:
            remove(destination)
            return {"refused": _last(run.output, path.parent, work)}
        runs.append(run)
    found: dict[str, Any] = {name: statistics.median(getattr(run, name) for run in runs) for name in _FIGURES}
    found["bytes"], found["files"] = machine.size_on_disk(destination)
    counted = measure(
        row.command(python, "count", destination, [path]), directory=ROOT, environment=given_environment()
    )
    remove(destination)
    if counted.exit_code:
        return {**found, "content": "not counted", "why": _last(counted.output, path.parent, work)}
    content = json.loads(counted.output.strip().splitlines()[-1])
    same = counts is not None and all(content[name] == counts[name] for name in ("cells", "nonzeros", "sum"))
    return {**found, "content": "equal" if same else "differs", "found": content}


def _last(output: str, *folders: Path) -> str:
    """Return the last line of an output, without places of this machine."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    text = " ".join((lines[-1] if lines else "no output").split())
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text[:SHOWN]


def markdown(result: dict[str, Any]) -> str:
    """Write the table: a line a file, a column a system, and below it why one refused or what differed."""
    computer, settings = result["machine"], result["settings"]
    names = [row["name"] for row in result["rows"]]
    lines = [
        "# Conversion of real files, each by itself",
        "",
        f"{computer['processor']}, {computer['cores']} cores, {computer['memory_bytes'] / 1e9:.1f} GB, "
        f"{result['file_system']}, files in the page cache, medians of {settings['repeat']}: processor seconds "
        "of the whole process, peak memory, bytes a non-zero. Counts were read with anndata and h5py, compared with "
        "what was written.",
        "",
        f"| file | counts in | cells x genes | non-zeros | {' | '.join(names)} |",
        "|---" * (4 + len(names)) + "|",
    ]
    notes: dict[str, list[str]] = {}
    for file in result["files"]:
        counts = file["counts"]
        what = ["none", "", ""]
        if counts is not None:
            what = [counts["place"], f"{counts['cells']:,} x {counts['genes']:,}", f"{counts['nonzeros']:,}"]
        cells = []
        for name in names:
            found = file["results"][name]
            cells.append(_cell(found, counts))
            if "refused" in found or "why" in found:
                notes.setdefault(f"{name}: {found.get('refused', found.get('why'))}", []).append(file["name"])
        lines.append(f"| {file['name']} | {' | '.join(what)} | {' | '.join(cells)} |")
    lines += ["", *(f"- {text} ({', '.join(files)})" for text, files in notes.items())]
    lines += [f"- {name}: {why}" for name, why in result["missing"].items()]
    known = [f"{row['name']}: {', '.join(f'{n} {v}' for n, v in row['versions'].items())}" for row in result["rows"]]
    return "\n".join([*lines, "", *(f"- {text}" for text in known), ""])


def _cell(found: dict[str, Any], counts: dict[str, Any] | None) -> str:
    if "refused" in found:
        return "refused"
    text = f"{found['cpu_s']:.1f} s, {found['peak_rss'] / 1e9:.2f} GB"
    if counts is None:
        return f"{text}: not counts"
    if found["content"] == "differs":
        others = [name for name in ("cells", "nonzeros", "sum") if found["found"][name] != counts[name]]
        return f"{text}: other {', '.join(others)}"
    sized = f"{text}, {found['bytes'] / counts['nonzeros']:.2f} B"
    return sized if found["content"] == "equal" else f"{sized}, {found['content']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench convert-files", description=__doc__)
    parser.add_argument("files", type=source, nargs="+", help="h5ad files and 10x .h5 files")
    parser.add_argument("--orders", default="source,shuffled", help="rows of this package; empty for none")
    parser.add_argument("--peers", default="annbatch,slaf", help=f"of {', '.join(PEERS)}; empty for none")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2, help="of scformat")
    parser.add_argument("--memory", default="1GB", help="of scformat")
    parser.add_argument("--timeout", type=float, default=600.0, help="seconds for one conversion")
    parser.add_argument("--envs", type=Path, default=Path("bench-envs"), help="environments of the peers")
    parser.add_argument("--work", type=Path, default=Path("bench-work"), help="stores")
    parser.add_argument("--out", type=Path, default=Path("bench-results"))
    return parser


if __name__ == "__main__":
    raise SystemExit(main())

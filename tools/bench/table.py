"""A result as a Markdown table."""

from __future__ import annotations

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    """Write the table of a conversion result, with what is needed to read it above and below."""
    sources, computer = result["sources"], result["machine"]
    simulated = sources["simulated"]
    origin = f"simulated with seed {simulated['seed']}" if simulated else "given files"
    loads = [run["load"] for row in result["rows"] for run in row.get("runs", [])] or [0.0]
    lines = [
        f"# Conversion of {sources['cells']:,} cells",
        "",
        f"{sources['files']} files ({origin}), {sources['nonzeros']:,} non-zeros, {_gb(sources['bytes'])} GB. "
        f"{computer['processor']}, {computer['cores']} cores, {_gb(computer['memory_bytes'])} GB, "
        f"{result['file_system']}, sources {'in' if result['cache'] == 'warm' else 'out of'} the page cache, "
        f"{result['repeat']} interleaved runs: median (least - most). "
        f"Load average before a run: {min(loads):.1f} - {max(loads):.1f}.",
        "",
        "| | what is written | time, s | cells/s | processor, s | flush, s | peak memory, GB | anonymous, GB "
        "| size, GB | bytes a non-zero | content |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for row in result["rows"]:
        if "unavailable" in row:
            lines.append(f"| {row['name']} | {row['what']} | {row['unavailable']} |" + " |" * 8)
            continue
        known = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        notes.append(f"- {row['name']}: {known}; settings {row['settings'] or 'defaults'}")
        if row["failed"] or not row["figures"]:
            lines.append(f"| {row['name']} | {row['what']} | failed |" + " |" * 8)
            notes.append(f"  failed: `{' '.join((row['failed'] or 'no run').split())[-300:]}`")
            continue
        figures, written = row["figures"], row["written"]
        cells = [
            row["name"],
            row["what"],
            _spread(figures["wall_s"], 1.0),
            f"{sources['cells'] / figures['wall_s']['median']:,.0f}",
            _spread(figures["cpu_s"], 1.0),
            f"{figures['flush_s']['median']:.1f}",
            _spread(figures["peak_rss"], 1e9, digits=2),
            f"{figures['peak_anonymous']['median'] / 1e9:.2f}",
            f"{written['bytes'] / 1e9:.3f}",
            f"{written['bytes'] / max(sources['nonzeros'], 1):.3f}",
            _content(written.get("content"), sources),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *notes, ""])


def _content(content: dict[str, float] | None, sources: dict[str, Any]) -> str:
    if content is None:
        return "not counted"
    wrong = [name for name in ("cells", "nonzeros", "sum") if content[name] != sources[name]]
    return f"differs: {', '.join(wrong)}" if wrong else "equal"


def _spread(figure: dict[str, float], unit: float, *, digits: int = 1) -> str:
    median, least, most = (figure[name] / unit for name in ("median", "least", "most"))
    return f"{median:.{digits}f} ({least:.{digits}f} - {most:.{digits}f})"


def _gb(n: float) -> str:
    return f"{n / 1e9:.1f}"

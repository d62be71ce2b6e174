"""A loading result as Markdown tables: rates and their limits, then the randomness of batches."""

from __future__ import annotations

from typing import Any

_LABELS = (("cell_type", "class"), ("donor_id", "donor"), ("study", "source"))


def markdown(result: dict[str, Any]) -> str:
    """Write the tables, with what is needed to read them above and below."""
    return "\n".join([*_head(result), *_rates(result), *_randomness(result), *_limits(result), *_notes(result), ""])


def _head(result: dict[str, Any]) -> list[str]:
    sources, computer, settings = result["sources"], result["machine"], result["settings"]
    origin = f"simulated with seed {sources['simulated']['seed']}" if sources["simulated"] else "given files"
    loads = [run["load"] for row in result["rows"] for run in row.get("runs", [])] or [0.0]
    return [
        f"# Loading batches of {result['cells']:,} cells",
        "",
        f"{sources['files']} files ({origin}), {sources['nonzeros']:,} non-zeros, "
        f"{sources['nonzeros'] / max(result['cells'], 1):,.0f} a cell. "
        f"{computer['processor']}, {computer['cores']} cores, {computer['memory_bytes'] / 1e9:.1f} GB, "
        f"{result['file_system']}. Batches of {settings['batch']}; "
        f"{settings['repeat']} interleaved runs of at least {settings['seconds']:g} s after a warm-up: "
        "median (least - most). "
        f"Load average before a run: {min(loads):.1f} - {max(loads):.1f}.",
        "",
    ]


def _rates(result: dict[str, Any]) -> list[str]:
    lines = [
        "| | how | cells/s | of its limit | processor, us a cell | first batch, s | peak memory, GB | anonymous, GB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in result["rows"]:
        start = f"| {row['name']} | {row['what']} |"
        if "unavailable" in row:
            lines.append(f"{start} {row['unavailable']} |" + " |" * 5)
            continue
        figures = row["figures"]
        if row["failed"] or not figures:
            lines.append(f"{start} failed: {(row['failed'] or 'no run')[:160]} |" + " |" * 5)
            continue
        rate, limit = figures["cells_per_second"], row["limit"]
        share = f"{rate['median'] / limit['limit']['median']:.0%}" if limit and row["cache"] == "warm" else ""
        cells = [
            f"{_count(rate['median'])} ({_count(rate['least'])} - {_count(rate['most'])})",
            share,
            f"{figures['cpu_s_per_cell']['median'] * 1e6:.1f}",
            f"{figures['first_s']['median']:.1f}",
            f"{figures['peak_rss']['median'] / 1e9:.2f}",
            f"{figures['peak_anonymous']['median'] / 1e9:.2f}",
        ]
        lines.append(f"{start} " + " | ".join(cells) + " |")
    return [*lines, ""]


def _randomness(result: dict[str, Any]) -> list[str]:
    names = " | ".join(f"{name}, bits | of independent" for _, name in _LABELS)
    lines = [
        "## Randomness",
        "",
        f"Mean entropy of {result['settings']['batches']} batches, and as a share of what as many independent draws "
        "from the same distribution have (exact): cells alike, or classes alike for weighted and balanced rows.",
        "",
        f"| | {names} |",
        "|---|" + "---|" * (2 * len(_LABELS)),
    ]
    for row in result["rows"]:
        if row.get("randomness"):
            found = [row["randomness"][key] for key, _ in _LABELS]
            cells = [f"{each['entropy']:.3f} | {each['ratio']:.1%}" for each in found]
            lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _limits(result: dict[str, Any]) -> list[str]:
    rows = [row for row in result["rows"] if row.get("limit") and row["cache"] == "warm"]
    if not rows:
        return []
    lines = [
        "## Limits",
        "",
        "Processor time a cell of each stage alone, on all threads at once, ns; the limit is "
        f"{result['settings']['threads']} threads divided by the sum of the first three. Making batches of cells that "
        "are held is what a loader does in the place of writing.",
        "",
        "| | reading | decoding | writing | limit, cells/s | making | writing, of making |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        limit = {name: figure["median"] for name, figure in row["limit"].items()}
        stages = " | ".join(f"{limit[name] * 1e9:,.0f}" for name in ("read", "decode", "write"))
        made = f"{limit['make'] * 1e9:,.0f} | {limit['write'] / limit['make']:.0%}"
        lines.append(f"| {row['name']} | {stages} | {_count(limit['limit'])} | {made} |")
    return [*lines, ""]


def _notes(result: dict[str, Any]) -> list[str]:
    lines = ["## Stores and versions", ""]
    for name, store in result["stores"].items():
        if "bytes" in store:
            each = store["bytes"] / max(result["sources"]["nonzeros"], 1)
            size = f"{store['bytes'] / 1e9:.3f} GB, {each:.2f} bytes a non-zero"
            made = (
                f"; made in {store['wall_s']:.0f} s with {store['peak_rss'] / 1e9:.1f} GB" if "wall_s" in store else ""
            )
            lines.append(f"- store {name}: {size}{made}")
        else:
            lines.append(f"- store {name}: {store.get('failed', 'unknown')}")
    seen: dict[str, str] = {}
    for row in result["rows"]:
        if "versions" in row:
            seen.setdefault(row["group"], ", ".join(f"{name} {version}" for name, version in row["versions"].items()))
    lines += [f"- {group}: {versions}" for group, versions in seen.items()]
    for row in result["rows"]:
        if row.get("failed"):
            lines.append(f"- {row['name']} failed: `{' '.join(row['failed'].split())}`")
    return lines


def _count(number: float) -> str:
    """Three digits, with thousands set apart."""
    digits = max(0, len(str(int(number))) - 3)
    return f"{round(number, -digits):,.0f}"

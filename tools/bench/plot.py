"""A result of the benches of conversion, loading or scale as a picture: ``plot.py RESULT.json PICTURE.svg``.

It needs matplotlib and nothing of this repository, so the bench runs it in an environment of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_PANELS = (
    ("wall_s", 1.0, "time, s"),
    ("peak_rss", 1e9, "peak memory, GB"),
    ("size", 1.0, "bytes a non-zero"),
)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw a result to `path`, whose suffix says in which format."""
    {"convert": draw_conversion, "load": draw_loading, "scale": draw_scale, "sweep": draw_sweep}[result["bench"]](
        result, path
    )


def draw_conversion(result: dict[str, Any], path: Path) -> None:
    """Draw time, memory and size side by side."""
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if row.get("figures") and not row["failed"]]
    figure = Figure(figsize=(11, 1.3 + 0.42 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)[0]
    names = [row["name"] for row in rows]
    colours = ["tab:blue" if name.startswith("scformat") else "tab:gray" for name in names]
    for axis, (figure_name, unit, title) in zip(axes, _PANELS, strict=True):
        spreads = [_figure(row, figure_name, result) for row in rows]
        middle = [spread["median"] / unit for spread in spreads]
        below = [(spread["median"] - spread["least"]) / unit for spread in spreads]
        above = [(spread["most"] - spread["median"]) / unit for spread in spreads]
        bars = axis.barh(names, middle, xerr=(below, above), color=colours, height=0.6, ecolor="black", capsize=2)
        axis.bar_label(bars, fmt="{:.2f}", padding=4, fontsize=8)
        axis.set_title(title, fontsize=10)
        axis.margins(x=0.18)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()
    figure.suptitle(f"Conversion of {result['sources']['cells']:,} cells", fontsize=11)
    figure.savefig(path)


def draw_loading(result: dict[str, Any], path: Path) -> None:
    """Draw rates with the limits of this package's rows, and how random the batches are."""
    from matplotlib.figure import Figure

    rows = [row for row in result["rows"] if row.get("figures") and not row["failed"]]
    figure = Figure(figsize=(11, 1.3 + 0.3 * len(rows)), layout="constrained")
    rates, classes, donors = figure.subplots(1, 3, sharey=True, width_ratios=(3, 1, 1))
    names = [row["name"] for row in rows]
    colours = ["tab:blue" if row["group"] == "scformat" else "tab:gray" for row in rows]
    spreads = [row["figures"]["cells_per_second"] for row in rows]
    middle = [spread["median"] / 1e3 for spread in spreads]
    below = [(spread["median"] - spread["least"]) / 1e3 for spread in spreads]
    above = [(spread["most"] - spread["median"]) / 1e3 for spread in spreads]
    bars = rates.barh(names, middle, xerr=(below, above), color=colours, height=0.6, ecolor="black", capsize=2)
    rates.bar_label(bars, fmt="{:,.1f}", padding=4, fontsize=8)
    limits = [(i, row["limit"]["limit"]["median"] / 1e3) for i, row in enumerate(rows) if row.get("limit")]
    rates.plot([x for _, x in limits], [i for i, _ in limits], "|", color="tab:red", markersize=12, label="limit")
    rates.set_title("1,000 cells/s", fontsize=10)
    rates.margins(x=0.1)
    rates.invert_yaxis()
    if limits:
        rates.legend(loc="lower right", frameon=False, fontsize=8)
    for axis, label, title in ((classes, "cell_type", "class entropy"), (donors, "donor_id", "donor entropy")):
        shares = [100 * row["randomness"][label]["ratio"] if row.get("randomness") else 0.0 for row in rows]
        axis.barh(names, shares, color=colours, height=0.6)
        axis.axvline(100, color="black", linewidth=0.8)
        axis.set_title(f"{title}, % of independent", fontsize=10)
        axis.set_xlim(80, 102)
    for axis in (rates, classes, donors):
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.suptitle(f"Batches of {result['settings']['batch']} of {result['cells']:,} cells", fontsize=11)
    figure.savefig(path)


def draw_scale(result: dict[str, Any], path: Path) -> None:
    """Draw opening, the first batch and a batch over the number of cells."""
    from matplotlib.figure import Figure

    rows = result["rows"]
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    panels = (
        ("open, s", {"": "open_s"}),
        ("first batch, s", {"independent": "independent_first_s", "stratified": "stratified_first_s"}),
        ("a batch, ms", {"independent": "independent_ms", "stratified": "stratified_ms"}),
    )
    for axis, (title, lines) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name, key in lines.items():
            axis.plot([row["cells"] for row in rows], [row[key]["median"] for row in rows], "o-", label=name or None)
            least, most = ([row[key][end] for row in rows] for end in ("least", "most"))
            axis.fill_between([row["cells"] for row in rows], least, most, alpha=0.2)
        axis.set(xscale="log", yscale="log", xlabel="cells")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
        if len(lines) > 1:
            axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(path)


def draw_sweep(result: dict[str, Any], path: Path) -> None:
    """Draw processor time over what was varied, size beside chunks and codecs; a line marks each default."""
    from matplotlib.figure import Figure

    parts = {part: rows for part, rows in result["rows"].items() if rows}
    figure = Figure(figsize=(3.4 * len(parts), 3.4), layout="constrained")
    for axis, (part, rows) in zip(figure.subplots(1, len(parts), squeeze=False)[0], parts.items(), strict=True):
        axis.set_title(part, fontsize=10)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        if part == "codec":
            for row in rows:
                place = (row["bytes_an_entry"], row["ns_an_entry"])
                axis.plot(*place, "o", color="tab:red" if row["default"] else "tab:gray")
                axis.annotate(row["codec"], place, fontsize=6, xytext=(3, 3), textcoords="offset points")
            axis.set(xlabel="bytes an entry", ylabel="ns an entry to decode")
            continue
        numbers = [row for row in rows if isinstance(row["value"], int)]
        for k, load in enumerate(numbers[0]["loads"]):
            figures = [row["loads"][k]["cpu_us"] for row in numbers]
            axis.plot([row["value"] for row in numbers], figures, "o-", label=load["plan"])
        axis.set(xscale="log", ylim=(0, None), xlabel=part, ylabel="processor, us a cell")
        axis.axvline(next(row["value"] for row in numbers if row["default"]), color="tab:red", linewidth=0.8)
        beside = "bytes" if "bytes" in numbers[0] else "donor_entropy"
        other = axis.twinx()
        figures = [row["bytes"] / 1e6 if beside == "bytes" else row["loads"][0][beside] for row in numbers]
        other.plot([row["value"] for row in numbers], figures, "x:", color="black", markersize=5)
        other.set_ylabel("store, MB (dotted)" if beside == "bytes" else "donor entropy, bits (dotted)", fontsize=8)
        other.tick_params(labelsize=8)
        axis.legend(frameon=False, fontsize=8)
    figure.suptitle(f"Defaults (red) of stores and loaders, {result['cells']:,} cells", fontsize=11)
    figure.savefig(path)


def _figure(row: dict[str, Any], name: str, result: dict[str, Any]) -> dict[str, float]:
    if name != "size":
        found: dict[str, float] = row["figures"][name]
        return found
    size = row["written"]["bytes"] / max(result["sources"]["nonzeros"], 1)
    return {"median": size, "least": size, "most": size}


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))

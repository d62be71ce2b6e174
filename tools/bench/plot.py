"""A result as a picture, time, memory and size side by side: ``plot.py RESULT.json PICTURE.svg``.

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
    """Draw a conversion result to `path`, whose suffix says in which format."""
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


def _figure(row: dict[str, Any], name: str, result: dict[str, Any]) -> dict[str, float]:
    if name != "size":
        found: dict[str, float] = row["figures"][name]
        return found
    size = row["written"]["bytes"] / max(result["sources"]["nonzeros"], 1)
    return {"median": size, "least": size, "most": size}


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))

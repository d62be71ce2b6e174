"""Draws a result of the measurement: python -m tools.remote.plot FILE.json, which needs matplotlib and nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def draw(result: dict[str, Any], path: Path) -> None:
    """Plot rates against requests under way."""
    from matplotlib.figure import Figure

    found = result["rates"]
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.subplots()
    at_once = [row["at_once"] for row in found]
    axes.plot(at_once, [row["requests_a_second"] for row in found], "o-", label="measured")
    ideal = [n / result["faults"]["latency"] for n in at_once]
    axes.plot(at_once, ideal, ":", color="0.5", label="a request every 20 ms, each")
    axes.set_xscale("log", base=2)
    axes.set_xticks(at_once, [str(n) for n in at_once])
    axes.set_yscale("log")
    axes.set_ylim(top=3 * max(row["requests_a_second"] for row in found))
    axes.set_xlabel("requests under way at most (SCFORMAT_REQUESTS)")
    axes.set_ylabel("requests a second")
    other = axes.secondary_yaxis("right", functions=_scaled(found))
    other.set_ylabel("independent draws a second")
    axes.set_title("Windows of 1,024 independent draws, 20 ms a request")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def _scaled(found: list[dict[str, Any]]) -> tuple[Any, Any]:
    draws = found[0]["cells_a_second"] / found[0]["requests_a_second"]
    return lambda y: y * draws, lambda y: y / draws


if __name__ == "__main__":
    file = Path(sys.argv[1])
    draw(json.loads(file.read_text()), file.with_suffix(".png"))

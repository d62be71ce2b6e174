"""Plots as SVG. Colours are classes of the style sheet, so that a plot follows the page into the dark."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scformat.report.markup import Child, Markup, element, joined, shortened
from scformat.report.numbers import count, number, percent, power_percent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scformat.report.tally import Tally

WIDTH, HEIGHT = 520, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 22, 30
STRIP, STRIP_HEIGHT, INSET = 200, 18, 8
"""Size of the small plots in tables, and their margin."""
ROW, NAMES, CELLS, NUMBERS = 16, 170, 560, 70
"""Of the plot of measured genes: height of a row, widths of its three columns."""
LEVELS = 8
"""Shades of a share."""


def histogram(tally: Tally, *, what: str, log: bool) -> Markup:
    """Draw how often values occur, with their median and the half of them around it.

    Parameters
    ----------
    tally
        The values.
    what
        What one is, in the plural: ``genes``.
    log
        A logarithmic axis; zeros are then left out.
    """
    quarter, median, three_quarters = tally.quantiles([0.25, 0.5, 0.75])
    bins = edges(tally, log=log)
    first, last = float(bins[0]), float(bins[-1])
    if log:
        scale = _scale(math.log10(first), math.log10(last), LEFT, WIDTH - RIGHT)
        ticks = [10.0**k for k in range(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)]
    else:
        scale = _scale(first, last, LEFT, WIDTH - RIGHT)
        ticks = [t for t in _ticks(last, 6) if t <= last]

    def x(value: float) -> float:
        return scale(math.log10(max(value, first)) if log else value)

    counts = tally.between(bins)
    y = _scale(0, _ticks(float(counts.max()), 4)[-1], HEIGHT - BOTTOM, TOP)
    parts: list[Child] = [
        _rect("band", x(quarter), TOP, x(three_quarters) - x(quarter), HEIGHT - BOTTOM - TOP),
        *(_line("grid", LEFT, y(t), WIDTH - RIGHT, y(t)) for t in _ticks(float(counts.max()), 4)),
        *(_text("tick end", LEFT - 6, y(t) + 3.5, count(t)) for t in _ticks(float(counts.max()), 4)),
    ]
    for n, left, right in zip(counts.tolist(), bins[:-1].tolist(), bins[1:].tolist(), strict=True):
        if n:
            said = f"{count(math.ceil(left))} to {count(math.ceil(right) - 1)} {what}: {count(n)} cells"
            wide = max(x(right) - x(left) - 0.6, 0.4)
            parts.append(_rect("bar", x(left), y(n), wide, y(0) - y(n), said))
    parts += [
        _line("axis", LEFT, y(0), WIDTH - RIGHT, y(0)),
        *(_line("axis", x(t), y(0), x(t), y(0) + 4) for t in ticks),
        *(_text("tick middle", x(t), y(0) + 16, count(t)) for t in ticks),
        _line("median", x(median), TOP - 4, x(median), y(0)),
        _text("note middle", min(max(x(median), LEFT + 50), WIDTH - 60), TOP - 9, f"median {count(median)}"),
    ]
    return _svg(WIDTH, HEIGHT, f"Histogram of {what} a cell", parts)


def edges(tally: Tally, *, log: bool) -> NDArray[np.float64]:
    """Choose the bins of a histogram; even ones end soon after all but a thousandth where few values lie far out."""
    most, high = tally.quantiles([0.999, 1])
    if log:
        return _log_edges(tally.least_above_zero(), max(high, 1))
    return _even_edges(high if high <= 2 * most else round(1.2 * most))


def rank_curves(series: Sequence[NDArray[np.float64]]) -> Markup:
    """Draw the shares of the categories of a label, largest first, for each distribution."""
    curves = [np.sort(s[s > 0])[::-1] for s in series]
    longest = max(len(c) for c in curves)
    floor = _decade(min((float(c[-1]) for c in curves if len(c)), default=0.1))
    x = _scale(0, math.log10(max(longest, 2)), LEFT, WIDTH - RIGHT)
    y = _scale(floor, 0, HEIGHT - BOTTOM, TOP)
    ranks = [10**k for k in range(int(math.log10(max(longest, 1))) + 1)]
    parts: list[Child] = []
    for exponent in range(floor, 1):
        parts += [
            _line("grid", LEFT, y(exponent), WIDTH - RIGHT, y(exponent)),
            _text("tick end", LEFT - 6, y(exponent) + 3.5, power_percent(exponent)),
        ]
    parts += [_text("tick middle", x(math.log10(r)), HEIGHT - BOTTOM + 16, count(r)) for r in ranks]
    parts.append(_text("tick end", WIDTH - RIGHT, HEIGHT - 2, "categories, each curve\u2019s most frequent first"))
    for i, curve in enumerate(curves):
        some = np.unique(np.geomspace(1, max(len(curve), 1), 200).round().astype(int))[: len(curve)]
        points = [
            f"{number(x(math.log10(r)))},{number(y(max(math.log10(curve[r - 1]), floor)))}" for r in some.tolist()
        ]
        parts.append(element("polyline", {"class": f"curve s{i}", "points": " ".join(points)}))
    return _svg(WIDTH, HEIGHT, "Shares by rank", parts, kind="plot half")


def share_axis(floor: int) -> Markup:
    """Draw the axis of :func:`share_strip`, from 10^`floor` to 1."""
    x = _strip_scale(floor, 0)
    parts: list[Child] = []
    step = 1 if floor > -4 else 2
    for exponent in range(0, floor - 1, -step):
        parts.append(_line("axis", x(exponent), 14, x(exponent), STRIP_HEIGHT))
        anchor = "end" if exponent == 0 else "start" if exponent == floor else "middle"
        at = x(exponent) + (INSET - 1 if exponent == 0 else 1 - INSET if exponent == floor else 0)
        parts.append(_text(f"tick {anchor}", at, 10, power_percent(exponent)))
    return _svg(STRIP, STRIP_HEIGHT, "Logarithmic axis of shares", parts, small=True)


def share_strip(shares: Sequence[float], names: Sequence[str], floor: int) -> Markup:
    """Draw the shares of one category: natural as a ring, a dot a table."""
    x = _strip_scale(floor, 0)
    middle = STRIP_HEIGHT / 2

    def place(share: float) -> float:
        return x(max(math.log10(share), floor)) if share > 0 else INSET / 2

    parts: list[Child] = [_line("grid", x(e), 0, x(e), STRIP_HEIGHT) for e in range(floor, 1)]
    places = [place(s) for s in shares]
    if len(places) > 1:
        parts.append(_line("link", min(places), middle, max(places), middle))
    for i in reversed(range(len(places))):
        shape = {"class": f"{'dot' if shares[i] > 0 else 'none'} s{i}", "cx": number(places[i]), "cy": number(middle)}
        parts.append(element("circle", {**shape, "r": "4" if i else "4.5"}))
    said = ", ".join(f"{name} {percent(share)}" for name, share in zip(names, shares, strict=True))
    return _svg(STRIP, STRIP_HEIGHT, said, parts, small=True)


def box_axis(low: float, high: float) -> Markup:
    """Draw the logarithmic axis of :func:`box_strip`."""
    x = _strip_scale(math.log10(low), math.log10(high))
    parts: list[Child] = []
    for exponent in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        parts.append(_line("axis", x(exponent), 14, x(exponent), STRIP_HEIGHT))
        parts.append(_text("tick middle", min(max(x(exponent), 14), STRIP - 20), 10, count(10.0**exponent)))
    return _svg(STRIP, STRIP_HEIGHT, "Logarithmic axis", parts, small=True)


def box_strip(quantiles: Sequence[int], low: float, high: float) -> Markup:
    """Draw the quantiles 5%, 25%, 50%, 75% and 95% on a logarithmic axis."""
    scale = _strip_scale(math.log10(low), math.log10(high))
    a, b, c, d, e = (scale(math.log10(min(max(q, low), high))) for q in quantiles)
    middle = STRIP_HEIGHT / 2
    names = ("5%", "25%", "median", "75%", "95%")
    said = ", ".join(f"{name} {count(q)}" for name, q in zip(names, quantiles, strict=True))
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    parts: list[Child] = [
        *(_line("grid", scale(k), 0, scale(k), STRIP_HEIGHT) for k in range(first, last + 1)),
        _line("whisker", a, middle, e, middle),
        _rect("box", b, middle - 4, max(d - b, 1), 8),
        _line("median", c, middle - 5, c, middle + 5),
    ]
    return _svg(STRIP, STRIP_HEIGHT, said, parts, small=True)


def measured_map(names: Sequence[str], n_genes: Sequence[int], shares: NDArray[np.float64], total: int) -> Markup:
    """Draw which genes the sources measured, a row a source, the darker the more of them."""
    x = _scale(0, max(total, 1), NAMES, NAMES + CELLS)
    n_columns = max(shares.shape[1], 1)
    wide = CELLS / n_columns
    parts: list[Child] = []
    for i, (name, n) in enumerate(zip(names, n_genes, strict=True)):
        y = i * ROW
        levels = np.ceil(shares[i] * LEVELS).astype(int)
        cuts = np.flatnonzero(np.diff(levels)) + 1
        parts.append(_text("name end", NAMES - 8, y + 11.5, shortened(name, 26), name))
        parts.append(_rect("track", NAMES, y + 1.5, CELLS, ROW - 3))
        for first, last in zip([0, *cuts.tolist()], [*cuts.tolist(), len(levels)], strict=True):
            if last > first and levels[first]:
                parts.append(
                    _rect(f"level l{levels[first]}", NAMES + first * wide, y + 1.5, (last - first) * wide, ROW - 3)
                )
        parts.append(_text("tick", NAMES + CELLS + 8, y + 11.5, count(n), f"{count(n)} genes measured"))
    bottom = len(names) * ROW
    for tick in _ticks(float(total), 6):
        if tick <= total:
            parts.append(_line("axis", x(tick), bottom, x(tick), bottom + 4))
            parts.append(_text("tick middle", x(tick), bottom + 16, count(tick)))
    parts.append(_line("axis", NAMES, bottom, NAMES + CELLS, bottom))
    return _broad(bottom + 22, "Genes that each source measured", parts)


def split_bar(names: Sequence[str], shares: Sequence[float]) -> Markup:
    """Draw the splits as parts of one bar."""
    wide, high = NAMES + CELLS + NUMBERS, 30
    parts: list[Child] = []
    left = 0.0
    for i, (name, share) in enumerate(zip(names, shares, strict=True)):
        width = share * wide
        parts.append(_rect(f"part p{i % 6}", left, 0, max(width - 1.5, 0.5), high, f"{name}: {percent(share)}"))
        if width > 40:
            parts.append(_text("inside", left + 8, 19.5, shortened(f"{name} {percent(share)}", int(width / 6.4))))
        left += width
    return _broad(high, "Splits", parts)


def share_floor(series: Sequence[Sequence[float]]) -> int:
    """Return the exponent of 10 that axes of shares begin at: below all that are not zero, -1 to -7."""
    least = min((s for shares in series for s in shares if s > 0), default=0.1)
    return _decade(least)


def _decade(share: float) -> int:
    return max(-7, min(-1, math.floor(math.log10(share) + 1e-9)))


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    factor = (stop - start) / ((high - low) or 1)
    return lambda value: start + (value - low) * factor


def _strip_scale(low: float, high: float) -> Callable[[float], float]:
    return _scale(low, high, INSET, STRIP - INSET)


def _step(span: float, most: int) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides a span into at most so many pieces."""
    rough = max(span / most, 1e-12)
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def _ticks(high: float, most: int) -> list[float]:
    """Return round numbers from 0 to the first that is not below `high`."""
    step = max(_step(max(high, 1), most), 1)
    return [k * step for k in range(math.ceil(max(high, 1) / step) + 1)]


def _even_edges(high: float) -> NDArray[np.float64]:
    step = max(_step(high + 1, 80), 1)
    bounds: NDArray[np.float64] = (np.arange(math.ceil((high + 1) / step) + 1) * step).astype(np.float64)
    return bounds


def _log_edges(low: float, high: float) -> NDArray[np.float64]:
    decades = math.log10(high / low)
    a_decade = 20 if decades < 4 else 10 if decades < 7 else 5
    first = math.floor(math.log10(low) * a_decade + 1e-9)
    last = max(math.floor(math.log10(high) * a_decade + 1e-9) + 1, first + 2)
    bounds: NDArray[np.float64] = np.power(10.0, np.arange(first, last + 1) / a_decade)
    return bounds


def _rect(kind: str, x: float, y: float, width: float, height: float, said: str | None = None) -> Markup:
    place = {"x": number(x), "y": number(y), "width": number(width), "height": number(height)}
    return element("rect", {"class": kind, **place}, *_title(said))


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return element("line", {"class": kind, "x1": number(x1), "y1": number(y1), "x2": number(x2), "y2": number(y2)})


def _text(kind: str, x: float, y: float, text: str, said: str | None = None) -> Markup:
    return element("text", {"class": kind, "x": number(x), "y": number(y)}, text, *_title(said))


def _title(said: str | None) -> list[Markup]:
    return [] if said is None else [element("title", None, said)]


def _broad(height: float, said: str, parts: Sequence[Child]) -> Markup:
    """Make a plot as wide as the page, which is not squeezed where that is narrow."""
    return element("div", {"class": "wide"}, _svg(NAMES + CELLS + NUMBERS, height, said, parts, kind="plot broad"))


def _svg(
    width: float, height: float, said: str, parts: Sequence[Child], *, kind: str = "plot", small: bool = False
) -> Markup:
    attributes = {
        "class": "strip" if small else kind,
        "viewBox": f"0 0 {number(width)} {number(height)}",
        "width": number(width) if small else None,
        "height": number(height) if small else None,
        "role": "img",
    }
    return element("svg", attributes, *_title(said), joined(parts))

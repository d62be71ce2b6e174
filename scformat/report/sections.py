"""Sections of a report: sizes, cells, sources, splits, storage."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

from scformat.report import plots
from scformat.report.blocks import FOLDED, Cell, Column, card, listed, note, pairs, section, table, unfolding
from scformat.report.markup import Markup, element, joined
from scformat.report.numbers import count, file_size, large, percent

if TYPE_CHECKING:
    from scformat.report.facts import Facts, Figure

PARTS = 100
"""Parts that are listed."""
QUANTILES = (("5%", 0.05), ("25%", 0.25), ("median", 0.5), ("75%", 0.75), ("95%", 0.95))


def title_of(facts: Facts) -> str:
    """Return the last part of the place of the store."""
    return PurePath(facts.store.path.rstrip("/")).name or facts.store.path


def overview(facts: Facts) -> Markup:
    """Write the sizes of the store as tiles."""
    m = facts.store.manifest
    size = facts.store.size_on_disk()
    resolved = int(facts.store.genes["resolved"].sum()) / max(m.genes.n, 1)
    organisms = ", ".join(o.name for o in m.genes.organisms if o.n_genes)
    studies = {record.study for record in facts.store.sources_view.records if record.study}
    of_studies = f"of {count(len(studies))} studies; " if studies else ""
    largest = max(facts.cells_by_source, default=0) / max(m.n_cells, 1)
    density = m.n_entries / max(m.n_cells * m.genes.n, 1)
    ontologies = sum(label.ontology is not None for label in m.labels)
    of_ontologies = f"{ontologies} with an ontology; " if ontologies else ""
    most = max((label.categories.n for label in m.labels), default=0)
    tiles = [
        (large(m.n_cells), "cells", f"{count(m.n_entries / max(m.n_cells, 1))} genes in each, on average"),
        (count(m.genes.n), "genes", f"{percent(resolved)} known to the reference; {organisms}"),
        (count(len(facts.cells_by_source)), "sources", f"{of_studies}the largest has {percent(largest)} of the cells"),
        (large(m.n_entries), "counts above zero", f"{percent(density)} of all cells \u00d7 genes"),
        (count(len(m.labels)), "labels", f"{of_ontologies}up to {count(most)} categories"),
    ]
    if size is not None:
        tiles.insert(4, (file_size(size), "on disk", f"{size / max(m.n_entries, 1):.2f} bytes a count above zero"))
    boxes = [
        element("div", {"class": "tile"}, element("b", None, n), element("span", None, what), element("small", None, s))
        for n, what, s in tiles
    ]
    return element("div", {"class": "tiles"}, *boxes)


def cells(facts: Facts) -> Markup:
    """Draw genes per cell and depth."""
    said = (
        "Over all columns of each cell\u2019s source, before genes were left out or merged. "
        "The shade has the middle half of the cells."
    )
    both = [
        _histogram(facts.genes, "Genes per cell", "genes", log=False),
        _histogram(facts.depth, "Depth: counts per cell", "counts", log=True),
    ]
    return section("cells", "Cells", said, element("div", {"class": "pair"}, *both))


def _histogram(figure: Figure, title: str, what: str, *, log: bool) -> Markup:
    tally = figure.all
    if not tally.n():
        return card(note("There are no cells."), title=title)
    numbers = tally.quantiles([0, *(share for _, share in QUANTILES), 1])
    names = ["least", *(name for name, _ in QUANTILES), "most"]
    shown = [(name, count(n)) for name, n in zip(names, numbers, strict=True)]
    notes = []
    if tally.zeros():
        notes.append(note(f"{count(tally.zeros())} cells have none{', and are not drawn' if log else ''}."))
    drawn = int(tally.between(plots.edges(tally, log=log)).sum())
    hidden = tally.n() - drawn - (tally.zeros() if log else 0)
    if hidden:
        notes.append(note(f"{count(hidden)} cells with more are not drawn."))
    plot = plots.histogram(tally, what=what, log=log)
    return card(plot, pairs(shown, "quantiles"), *notes, title=title, sub=f"mean {count(tally.mean())}")


def sources(facts: Facts) -> Markup:
    """List the sources, and draw what their cells and their genes are like."""
    records = facts.store.sources_view.records
    figures = (facts.genes, facts.depth)
    others = len(records) - len(facts.shown)
    ranges = [_range(figure, len(facts.shown) + (others > 0)) for figure in figures]
    columns = [
        Column(title="source"),
        Column(title="cells", kind="number", sorted=True),
        Column(title="genes measured", kind="number"),
        Column(title="median genes", kind="number"),
        Column(title=joined(["genes per cell", plots.box_axis(*ranges[0])]), kind="plot"),
        Column(title="median counts", kind="number"),
        Column(title=joined(["counts per cell", plots.box_axis(*ranges[1])]), kind="plot"),
    ]

    def row(group: int, name: Cell, n_cells: int, measured: Cell) -> list[Cell]:
        out = [name, Cell(count(n_cells), n_cells), measured]
        for figure, (low, high) in zip(figures, ranges, strict=True):
            if figure.by_source.n(group):
                some = figure.by_source.quantiles([share for _, share in QUANTILES], group)
                out += [Cell(count(some[2]), some[2]), Cell(plots.box_strip(some, low, high))]
            else:
                out += [Cell("\u2013", -1), Cell("")]
        return out

    rows = []
    m = facts.measured
    for group, at in enumerate(facts.shown.tolist()):
        record, n_genes = records[at], int(m.n_genes[at])
        named = joined([record.name, element("span", {"class": "id"}, record.study)] if record.study else [record.name])
        rows.append(row(group, Cell(named, record.name), record.n_cells, Cell(count(n_genes), n_genes)))
    n_others = sum(facts.cells_by_source) - sum(facts.cells_by_source[at] for at in facts.shown.tolist())
    last = [row(len(rows), Cell(f"{count(others)} others"), n_others, Cell(""))] if others else []
    plot = plots.measured_map(
        [records[at].name for at in facts.shown.tolist()],
        [int(m.n_genes[at]) for at in facts.shown.tolist()],
        m.shares,
        facts.store.n_genes,
    )
    said = "Genes from left to right, those of most sources first. A gene that a source did not measure is not a zero."
    left = f" {count(others)} smaller sources are not drawn." if others else ""
    sub = f"{count(m.by_all)} of {count(facts.store.n_genes)} genes are measured by every source"
    sub += f", {count(m.by_one)} by one only" if len(records) > 1 else ""
    return section(
        "sources",
        "Sources",
        "A line spans from 5% to 95% of the cells of a source, the box has half of them, its tick is the median.",
        card(table(columns, rows, last)),
        card(plot, note(said + left), title="Sources \u00d7 genes measured", sub=sub),
    )


def _range(figure: Figure, groups: int) -> tuple[float, float]:
    """Return the powers of ten around the quantiles of all sources."""
    some = [figure.by_source.quantiles([0.05, 0.95], g) for g in range(groups) if figure.by_source.n(g)]
    low = max(min((q[0] for q in some), default=1), 1)
    high = max(max((q[1] for q in some), default=10), low)
    floor = math.floor(math.log10(low))
    return 10.0**floor, 10.0 ** max(math.ceil(math.log10(high)), floor + 1)


def splits(facts: Facts) -> Markup:
    """Draw the splits; nothing where there are none."""
    m = facts.store.manifest
    s = m.splits
    if s is None:
        return Markup()
    shares = [n / max(m.n_cells, 1) for n in s.counts]
    rows = [
        [Cell(name, name), Cell(count(n), n), Cell(percent(share), share)]
        for name, n, share in zip(s.names, s.counts, shares, strict=True)
    ]
    rest = m.n_cells - sum(s.counts)
    last = [[Cell("in no split"), Cell(count(rest), rest), Cell(percent(rest / m.n_cells))]] if rest else []
    columns = [Column(title="split"), Column(title="cells", kind="number"), Column(title="share", kind="number")]
    how = f"Cells that agree in {', '.join(s.by)} stay together" if s.by else "Each cell for itself"
    twice = f"; {count(s.duplicates_left_out)} repeated cells left out" if s.duplicates_left_out else ""
    box = card(plots.split_bar(s.names, shares), table(columns, rows, last))
    return section("splits", "Splits", f"{how}{twice}; seed {s.seed}.", box)


def storage(facts: Facts) -> Markup:
    """List the parts of the store, and what its conversion remarked."""
    m = facts.store.manifest
    columns = [
        Column(title="part"),
        Column(title="order"),
        Column(title="cells", kind="number"),
        Column(title="counts above zero", kind="number"),
        Column(title="shards", kind="number"),
    ]
    rows = [
        [
            Cell(part.entries.path.rsplit("/", 2)[0], f"{at:06d}"),
            Cell(f"{part.order.kind} by {', '.join(part.order.by)}" if part.order.by else part.order.kind),
            Cell(count(part.n_cells), part.n_cells),
            Cell(count(part.n_entries), part.n_entries),
            Cell(count(part.n_shards), part.n_shards),
        ]
        for at, part in enumerate(m.parts[:PARTS])
    ]
    parts = [table(columns, rows)]
    if len(m.parts) > PARTS:
        parts.append(note(f"{count(len(m.parts) - PARTS)} more parts are not listed."))
    if m.findings:
        lines = []
        for f in m.findings[:FOLDED]:
            pieces = [f"{f.source}:" if f.source else "", f.what, repr(f.value) if f.value else "", f.note]
            lines.append(" ".join(piece for piece in pieces if piece))
        if len(m.findings) > FOLDED:
            lines.append(f"and {count(len(m.findings) - FOLDED)} more, which scformat info --json lists")
        parts.append(unfolding(f"{count(len(m.findings))} remarks of the conversion", *lines))
    if m.skipped:
        parts.append(note(f"Sources that were left out: {listed([s.path for s in m.skipped])}"))
    said = f"Format {m.version}, written by {m.generator}, seed {m.seed}."
    return section("storage", "Storage", said, card(*parts))

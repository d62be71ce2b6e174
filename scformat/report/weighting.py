"""Sections of a report: sampling tables, and labels and ontologies before and after weighting."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.report import plots
from scformat.report.blocks import FOLDED, Cell, Column, card, listed, note, section, table, unfolding
from scformat.report.markup import Child, Markup, element, joined, shortened
from scformat.report.numbers import count, percent
from scformat.report.shares import MISSING, effective, effective_cells
from scformat.report.terms import term_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.report.facts import Facts
    from scformat.report.shares import LabelShares

CATEGORIES, TERMS = 20, 30
"""Categories and terms that are plotted of a label."""
SUMMARISED = 100
"""Labels that are listed besides."""
DEEPEST = 8
"""Steps of the tree that are set off."""


def sampling(facts: Facts, others: Sequence[str]) -> Markup:
    """List the sampling tables that are plotted, and name the others."""
    if not facts.tables:
        said = "The store has none; report --table cell_type:balanced, for example, shows one without storing it."
        return section("tables", "Sampling tables", said)
    columns = [
        Column(title="table"),
        Column(title="by"),
        Column(title="of"),
        Column(title="strata", kind="number"),
        Column(title="cells", kind="number"),
        Column(title="effective cells", kind="number"),
        Column(title="heaviest : lightest cell", kind="number"),
    ]
    rows = []
    for i, made in enumerate(facts.tables):
        info = made.info
        restrictions = [f"split {info.split}" if info.split else None, info.where]
        drawn = made.probability > 0
        weights = made.probability[drawn] / made.counts[drawn]
        spread = float(weights.max() / weights.min())
        held = effective_cells(made)
        rows.append(
            [
                Cell(_dotted(i + 1, made.name), made.name),
                Cell(info.by if info.temperature == 1 else f"{info.by}, temperature {info.temperature:g}"),
                Cell(", ".join(r for r in restrictions if r) or "all cells"),
                Cell(count(len(made.counts)), len(made.counts)),
                Cell(count(made.n_cells), made.n_cells),
                Cell(f"{count(held)} ({percent(held / made.n_cells)})", held),
                Cell(f"{spread:.3g}" if spread < 1000 else count(spread), spread),
            ]
        )
    more = [note(f"Not plotted: {listed(others)}. report --table NAME shows them.")] if others else []
    said = (
        "How cells are drawn for training. Effective cells: as many, drawn alike, would repeat as often as the draws "
        "of the table do."
    )
    return section("tables", "Sampling tables", said, card(table(columns, rows), *more))


def labels(facts: Facts) -> Markup:
    """Draw the labels before and after weighting."""
    said = "Share of the cells of each category" + (", and of the draws of each table" if facts.tables else "")
    said += (
        ", on a logarithmic axis; a dashed ring stands for none at all. Effectively so many categories: as many, of "
        "equal shares, would be as mixed."
    )
    cards = [_label(facts, shares) for shares in facts.labels]
    return section("labels", "Labels", said, _legend(facts), *cards, _other_labels(facts))


def _label(facts: Facts, shares: LabelShares) -> Markup:
    label, series = shares.label, shares.all_shares
    n = len(label.categories)
    order = np.argsort(-shares.counts[:n], kind="stable")
    shown, folded = order[:CATEGORIES].tolist(), order[CATEGORIES:].tolist()
    rows = [(label.categories[i], int(shares.counts[i]), [float(s[i]) for s in series]) for i in shown]
    last = []
    if folded:
        sums = [float(s[folded].sum()) for s in series]
        last.append((f"{count(len(folded))} others", int(shares.counts[folded].sum()), sums))
    if any(s[n] > 0 for s in series):
        last.append((MISSING, int(shares.counts[n]), [float(s[n]) for s in series]))
    floor = plots.share_floor([line for *_, line in (*rows, *last)])
    parts: list[Child] = [
        table(
            _share_columns(facts, "category", floor, ordered=True),
            [_share_row(facts, Cell(name, name), n_cells, line, floor) for name, n_cells, line in rows],
            [_share_row(facts, Cell(name), n_cells, line, floor) for name, n_cells, line in last],
        )
    ]
    if folded:
        names = [f"{label.categories[i]} ({count(int(shares.counts[i]))})" for i in folded[: FOLDED + 1]]
        names += [""] * (len(folded) - len(names))
        parts.append(unfolding(f"The {count(len(folded))} others", listed(names)))
        parts.append(plots.rank_curves([s[:n] for s in series]))
    mixed = [f"{effective(s[:n]):,.1f}".removesuffix(".0") for s in series]
    coloured = [element("span", {"class": f"s{i}"}, text) for i, text in enumerate(mixed)]
    arrow = [" \u2192 "] if len(series) > 1 else []
    releases = "" if label.ontology is None else f"; {', '.join(label.ontology.releases)}"
    sub = joined(
        [f"{count(n)} categories, effectively ", coloured[0], *arrow, Markup(", ".join(coloured[1:])), releases]
    )
    return card(*parts, title=label.name, sub=sub)


def _other_labels(facts: Facts) -> Markup:
    plotted = {shares.label.name for shares in facts.labels}
    others = [label for label in facts.store.labels.values() if label.name not in plotted]
    if not others:
        return Markup()
    columns = [
        Column(title="label"),
        Column(title="categories", kind="number"),
        Column(title="cells with it", kind="number"),
        Column(title="most frequent"),
    ]
    rows = []
    for label in others[:SUMMARISED]:
        held = label.counts.to_numpy()
        first = [f"{label.categories[i]} ({count(held[i])})" for i in np.argsort(-held, kind="stable")[:3].tolist()]
        rows.append(
            [
                Cell(label.name, label.name),
                Cell(count(len(held)), len(held)),
                Cell(count(held.sum()), int(held.sum())),
                Cell(", ".join(first)),
            ]
        )
    left = len(others) - len(rows)
    more = [note(f"{count(left)} more labels are not listed.")] if left else []
    return card(
        table(columns, rows), *more, title="Other labels", sub="of one category, or beyond those that are plotted"
    )


def ontology(facts: Facts) -> Markup:
    """Draw the ontologies of the labels before and after weighting; nothing where none has a tree."""
    cards = []
    for shares in facts.labels:
        terms, left = term_tree(shares, most=TERMS)
        if len(terms) < 3 or not any(term.depth for term in terms):
            continue
        floor = plots.share_floor([term.shares for term in terms])
        rows = []
        for at, term in enumerate(terms):
            named = joined([term.name, element("span", {"class": "id"}, term.id)])
            # Sorted by its first column, the tree is a tree again.
            name = Cell(named, f"{at:06d}", f"d{min(term.depth, DEEPEST)}" if term.depth else None)
            rows.append(_share_row(facts, name, term.cells, term.shares, floor))
        columns = _share_columns(facts, "term, with all below it", floor)
        more = f"{count(left)} smaller terms are not drawn" if left else None
        cards.append(card(table(columns, rows), title=shares.label.name, sub=more))
    if not cards:
        return Markup()
    said = (
        "Shares of each term together with everything below it, as a tree. Of terms that stand for the same categories "
        "one is shown, and a term of several parents stands below the one with the fewest categories."
    )
    return section("ontology", "Ontology", said, _legend(facts), *cards)


def _share_columns(facts: Facts, what: str, floor: int, *, ordered: bool = False) -> list[Column]:
    shares = [
        Column(title=element("span", {"class": f"s{i}"}, shortened(name, 24)), kind="number")
        for i, name in enumerate(_series(facts))
    ]
    return [
        Column(title=what),
        Column(title="cells", kind="number", sorted=ordered),
        *shares,
        Column(title=plots.share_axis(floor), kind="plot"),
    ]


def _share_row(facts: Facts, name: Cell, n_cells: int, shares: Sequence[float], floor: int) -> list[Cell]:
    return [
        name,
        Cell(count(n_cells), n_cells),
        *(Cell(percent(s), s) for s in shares),
        Cell(plots.share_strip(shares, _series(facts), floor)),
    ]


def _series(facts: Facts) -> list[str]:
    return ["natural", *(made.name for made in facts.tables)]


def _legend(facts: Facts) -> Markup:
    if not facts.tables:
        return Markup()
    return element("div", {"class": "legend"}, *(_dotted(i, name) for i, name in enumerate(_series(facts))))


def _dotted(i: int, name: str) -> Markup:
    return element("span", {"class": "key"}, element("i", {"class": f"s{i}"}), name)

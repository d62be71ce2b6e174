"""The page says what the store and its tables say, is sound HTML, and asks for nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from report_pages import HOSTILE, Node, card, heads_of, parse, rows_of

import scformat
from scformat.errors import StorageError, UnknownNameError, UsageError
from scformat.report import render_report, write_report
from scformat.report.markup import plain

if TYPE_CHECKING:
    from pathlib import Path

    from scformat.store import Store


@pytest.fixture(scope="module")
def text(store: Store) -> str:
    return render_report(store)


@pytest.fixture(scope="module")
def page(text: str) -> Node:
    return parse(text)


def shares_by_cell(store: Store, table: str) -> np.ndarray:
    """Probability of every cell of a store under a table, stratum by stratum."""
    found = store.tables[table]
    out = np.zeros(store.n_cells)
    for c in range(len(found.counts)):
        if found.counts[c]:
            out[found.table.strata.rows_of(c)] = found.probability[c] / found.counts[c]
    assert out.sum() == pytest.approx(1)
    return out


@pytest.mark.parametrize("label", ["cell_type", "tissue", "sex", "donor_id", "severity"])
def test_shares_of_labels_are_those_of_the_store_and_its_tables(store: Store, page: Node, label: str) -> None:
    table = card(page, "labels", label).one("table")
    assert heads_of(table)[:5] == ["category", "cells", "natural", "ct", "nested"]
    categories, counts, codes = store.labels[label].categories, store.labels[label].counts, store.labels[label].codes()
    cells = {name: shares_by_cell(store, name) for name in ("ct", "nested", "deep")}
    seen = 0.0
    totals = np.zeros(4)
    for name, n_cells, *shares in (row[:6] for row in rows_of(table)):
        if name in categories:
            drawn = codes == categories.index(name)
            assert n_cells == counts[name]
        elif name == "(missing)":
            drawn = codes < 0
        else:
            assert re.fullmatch(r"\d+ others", name)
            shown = [row[0] for row in rows_of(table)]
            drawn = np.isin(codes, [i for i, c in enumerate(categories) if c not in shown])
        assert n_cells == drawn.sum()
        expected = [drawn.mean(), *(weights[drawn].sum() for weights in cells.values())]
        assert shares == pytest.approx(expected, abs=1e-12)
        seen += n_cells
        totals += shares
    assert seen == store.n_cells
    assert totals == pytest.approx(1)


def test_shares_of_a_table_by_the_label_are_its_probabilities(store: Store, page: Node) -> None:
    strata = store.tables["ct"].strata.set_index("cell_type")["probability"]
    rows = [row for row in rows_of(card(page, "labels", "cell_type").one("table")) if row[0] in strata.index]
    assert len(rows) > 10
    assert [row[3] for row in rows] == [strata[row[0]] for row in rows]


def test_terms_have_all_that_lies_below_them(store: Store, page: Node) -> None:
    label = store.labels["cell_type"]
    assert label.ontology is not None
    table = card(page, "ontology", "cell_type").one("table")
    codes = label.codes()
    weights = shares_by_cell(store, "ct")
    path: list[str] = []
    rows = list(zip(table.all("tr")[1:], rows_of(table), strict=True))
    assert len(rows) > 10
    for node, row in rows:
        cell = node.all("td")[0]
        term = cell.one("span", kind="id").text
        below = np.isin(codes, label.ontology.categories_under(term))
        assert row[1] == below.sum() == label.ontology.counts[term]
        assert row[2:4] == pytest.approx([below.mean(), weights[below].sum()], abs=1e-12)
        depth = int((re.search(r"\bd(\d)", cell.attributes["class"]) or [0, 0])[1])
        assert depth <= len(path)
        path = [*path[:depth], term]
        assert set(path[:-1]) <= set(label.ontology.ancestors(term))


def test_figures_and_sources_are_those_of_the_cells(store: Store, page: Node) -> None:
    obs = store.obs(["n_genes", "total_counts", "source"])
    for at, column in enumerate(("n_genes", "total_counts")):
        box = page.one("section", id="cells").all("div", kind="card")[at]
        shown = [int(cell.text.replace(",", "")) for cell in box.one("table", kind="quantiles").all("td")]
        levels = [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]
        assert shown == np.quantile(obs[column], levels, method="inverted_cdf").tolist()
        drawn = [re.search(r": ([\d,]+) cells", title.text) for title in box.one("svg").all("title")]
        assert sum(int(m[1].replace(",", "")) for m in drawn if m) == store.n_cells
    table = page.one("section", id="sources").all("table")[0]
    records = store.sources_view.records
    for name, n_cells, n_genes, genes, _, depth, _ in rows_of(table):
        some = obs[obs["source"] == name]
        at = [r.name for r in records].index(name)
        assert (n_cells, n_genes) == (len(some), store.sources_view.measured(np.array([at])).sum())
        assert genes == np.quantile(some["n_genes"], 0.5, method="inverted_cdf")
        assert depth == np.quantile(some["total_counts"], 0.5, method="inverted_cdf")
    measured = store.sources_view.measured(np.arange(len(records)))
    said = card(page, "sources", "Sources \u00d7 genes measured").one("span", kind="sub").text
    expected = (measured.all(axis=0).sum(), store.n_genes, (measured.sum(axis=0) == 1).sum())
    assert [int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", said)] == list(expected)


def test_splits_and_tables_are_those_of_the_store(store: Store, page: Node) -> None:
    splits = store.manifest.splits
    assert splits is not None
    shown = rows_of(page.one("section", id="splits").one("table"))
    assert [row[:2] for row in shown] == [list(pair) for pair in zip(splits.names, splits.counts, strict=True)]
    for row in rows_of(page.one("section", id="tables").one("table")):
        table = store.tables[row[0]]
        assert row[1:3] == [table.info.by, f"split {table.info.split}" if table.info.split else "all cells"]
        assert row[3:5] == [len(table.counts), table.n_cells]
        weights = shares_by_cell(store, row[0])
        assert row[5] == pytest.approx(1 / (weights**2).sum())
        assert row[6] == pytest.approx(weights.max() / weights[weights > 0].min())


def test_tables_that_are_asked_for_take_the_place_of_the_stored_ones(store: Store) -> None:
    page = parse(render_report(store, tables=["cell_type:balanced", "ct"]))
    table = card(page, "labels", "cell_type").one("table")
    assert heads_of(table)[2:5] == ["natural", "cell_type:balanced", "ct"]
    many = [f"cell_type:scaled({s})" for s in range(1, 8)]
    page = parse(render_report(store, tables=many))
    assert len(rows_of(page.one("section", id="tables").one("table"))) == 4
    assert "cell_type:scaled(7)" in page.one("section", id="tables").one("p", kind="note").text


def test_the_page_asks_for_nothing_and_runs_only_its_own_script(text: str, hostile: Store, bare: Store) -> None:
    for given in (text, render_report(hostile), render_report(bare)):
        page = parse(given)
        nodes = page.all
        policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
        assert policy.startswith("default-src 'none'; ")
        for name, source in (("style", "style-src"), ("script", "script-src")):
            digest = base64.b64encode(hashlib.sha256(page.one(name).text.encode()).digest()).decode()
            assert f"{source} 'sha256-{digest}'" in policy
        style = page.one("style").text
        assert "url(" not in style
        assert "@import" not in style
        for name in ("img", "link", "iframe", "object", "embed", "image", "use", "form", "base"):
            assert nodes(name) == []
        for node in every(page):
            assert not any(key.startswith("on") or key in ("src", "style", "xlink:href") for key in node.attributes)
            assert node.attributes.get("href", "#").startswith("#")
        ids = [node.attributes["id"] for node in every(page) if "id" in node.attributes]
        assert len(ids) == len(set(ids))
        assert {a.attributes["href"][1:] for a in nodes("a")} <= set(ids)


def every(node: Node) -> list[Node]:
    return [n for child in node.children if isinstance(child, Node) for n in (child, *every(child))]


def test_hostile_names_are_text(hostile: Store) -> None:
    text = render_report(hostile)
    page = parse(text)
    assert text.count("<script>") == 1
    assert "\x00" not in text
    assert "\u202e" not in text
    assert page.one("h1").text == "<i>a.cells"
    shown = [row[0] for row in rows_of(card(page, "labels", "<b>kind&").one("table"))]
    assert set(shown) == {"(missing)", *(plain(name) for name in hostile.labels["<b>kind&"].categories)}
    assert len(set(shown) & {plain(name) for name in HOSTILE}) > 4
    names = [row[0] for row in rows_of(page.one("section", id="sources").all("table")[0])]
    assert sorted(names) == ["<u>one<", "two&amp;"]


def test_what_is_beyond_a_plot_is_counted_and_named(hostile: Store) -> None:
    box = card(parse(render_report(hostile)), "labels", "clone")
    label = hostile.labels["clone"]
    rows = rows_of(box.one("table"))
    n = len(label.categories)
    assert n > 80
    assert len(rows) == 21
    assert rows[-1][0] == f"{n - 20} others"
    assert rows[-1][1] == label.counts.sort_values(ascending=False).iloc[20:].sum()
    assert rows[-1][3] == pytest.approx((n - 20) / n, abs=1e-6)
    named = box.one("details").one("p").text
    assert named.count("clone") == 60
    assert named.endswith(f", and {n - 80} more")
    shown = [row[0] for row in rows[:-1]]
    assert not any(f"{name} (" in named for name in shown)
    counts = [row[1] for row in rows[:-1]]
    assert counts == sorted(counts, reverse=True)


def test_a_store_with_next_to_nothing(bare: Store) -> None:
    page = parse(render_report(bare))
    sections = [s.attributes["id"] for s in page.all("section")]
    assert sections == ["cells", "sources", "tables", "labels", "storage"]
    assert "1 cells have none, and are not drawn" in page.one("section", id="cells").text
    assert "70,001" in page.one("section", id="cells").text


def test_the_same_store_gives_the_same_page(store: Store, text: str) -> None:
    assert render_report(scformat.open(store.path)) == text


def test_real_counts_of_cell_types(shared_data: Path, tmp_path: Path) -> None:
    store = scformat.convert(shared_data / "pbmc_facs.h5ad", tmp_path / "pbmc.cells", jobs=2)
    page = parse(render_report(store, tables=["cell_type:balanced"]))
    rows = rows_of(card(page, "labels", "cell_type").one("table"))
    assert sum(row[1] for row in rows) == 3774
    assert [row[3] for row in rows] == pytest.approx([0.1] * 10, abs=1e-6)
    assert page.one("header").text.startswith("pbmc.cells3,774 cells \u00d7 16,791 genes of 1 source")


def test_a_file_is_written_whole_or_not_at_all(store: Store, tmp_path: Path, text: str) -> None:
    target = tmp_path / "report.html"
    seen: list[tuple[str, int, int]] = []
    assert write_report(store, target, progress=lambda *step: seen.append(step)) == target
    assert target.read_text("utf-8") == text
    assert {stage for stage, *_ in seen} == {"reading cells", "weighting cells"}
    assert all(0 < done <= total == store.n_cells for _, done, total in seen)
    with pytest.raises(UsageError) as caught:
        write_report(store, target)
    assert caught.value.code == "destination-exists"
    target.write_text("old")
    with pytest.raises(UnknownNameError):
        write_report(store, target, tables=["cell_typ:balanced"], overwrite=True)
    assert target.read_text() == "old"
    write_report(store, target, overwrite=True)
    assert target.read_text("utf-8") == text
    with pytest.raises(StorageError) as lost:
        write_report(store, tmp_path / "no" / "report.html")
    assert lost.value.code == "no-directory"
    with pytest.raises(UsageError) as directory:
        write_report(store, tmp_path, overwrite=True)
    assert directory.value.code == "destination-exists"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]

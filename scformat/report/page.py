"""The page: one file that asks for nothing, in light and dark."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from scformat.report import sections, weighting
from scformat.report.markup import Markup, element, joined
from scformat.report.numbers import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scformat.report.facts import Facts

PARTS = (
    ("cells", "Cells"),
    ("sources", "Sources"),
    ("splits", "Splits"),
    ("tables", "Sampling tables"),
    ("labels", "Labels"),
    ("ontology", "Ontology"),
    ("storage", "Storage"),
)


def page(facts: Facts, *, others: Sequence[str] = ()) -> str:
    """Write the page.

    Parameters
    ----------
    facts
        What it shows.
    others
        Names of tables that it does not plot.
    """
    style, script = (_resource(name) for name in ("page.css", "page.js"))
    # Names of a store are strangers' text. They are escaped; a browser is told besides to run and fetch nothing else.
    policy = f"default-src 'none'; style-src '{_sha256(style)}'; script-src '{_sha256(script)}'; base-uri 'none'"
    m = facts.store.manifest
    title = sections.title_of(facts)
    made = {
        "cells": sections.cells(facts),
        "sources": sections.sources(facts),
        "splits": sections.splits(facts),
        "tables": weighting.sampling(facts, others),
        "labels": weighting.labels(facts),
        "ontology": weighting.ontology(facts),
        "storage": sections.storage(facts),
    }
    links = [element("a", {"href": f"#{name}"}, text) for name, text in PARTS if made[name]]
    n_sources = len(facts.cells_by_source)
    lead = (
        f"{count(m.n_cells)} cells \u00d7 {count(m.genes.n)} genes of {count(n_sources)} source{'s' * (n_sources != 1)}"
    )
    head = [
        element("meta", {"charset": "utf-8"}),
        element("meta", {"http-equiv": "Content-Security-Policy", "content": policy}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("title", None, f"{title} \u2013 cell store"),
        element("style", None, Markup(style)),
    ]
    body = [
        element(
            "header",
            None,
            element(
                "div",
                None,
                element("h1", None, title),
                element("p", {"class": "lead"}, lead),
                element("nav", None, *links),
            ),
        ),
        element("main", None, sections.overview(facts), joined(made.values())),
        element("footer", None, f"scformat report. Digest of the store\u2019s manifest: {m.sha256}"),
        element("script", None, Markup(script)),
    ]
    whole = element("html", {"lang": "en"}, element("head", None, *head), element("body", None, *body))
    return f"<!DOCTYPE html>\n{whole}\n"


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

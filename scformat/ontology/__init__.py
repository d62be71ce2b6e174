"""Controlled vocabularies: terms, the texts that name them, and the graph of their ancestors."""

from scformat.ontology.graph import TermGraph, build_graph, descendant_counts, restrict
from scformat.ontology.guide import load, load_taxa, releases
from scformat.ontology.resolve import Library, Resolution, Scope, leading_term_id, parse_term_id, resolve
from scformat.ontology.vocabulary import Term, Vocabulary

__all__ = [
    "Library",
    "Resolution",
    "Scope",
    "Term",
    "TermGraph",
    "Vocabulary",
    "build_graph",
    "descendant_counts",
    "leading_term_id",
    "load",
    "load_taxa",
    "parse_term_id",
    "releases",
    "resolve",
    "restrict",
]

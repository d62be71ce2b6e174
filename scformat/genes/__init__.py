"""Genes: references per organism, what each column of a source is, and the one index of a store."""

from scformat.genes.genelist import GeneList, gene_list, read_gene_list
from scformat.genes.index import GeneIndex, LeftOut, extend, unify
from scformat.genes.organisms import ORGANISMS, Organism, organism_name, organism_taxon, parse_gene_id
from scformat.genes.reference import Reference, from_file, load, load_all
from scformat.genes.resolve import GeneMap, MergedColumns, resolve
from scformat.genes.table import GeneTable, gene_key

__all__ = [
    "ORGANISMS",
    "GeneIndex",
    "GeneList",
    "GeneMap",
    "GeneTable",
    "LeftOut",
    "MergedColumns",
    "Organism",
    "Reference",
    "extend",
    "from_file",
    "gene_key",
    "gene_list",
    "load",
    "load_all",
    "organism_name",
    "organism_taxon",
    "parse_gene_id",
    "read_gene_list",
    "resolve",
    "unify",
]

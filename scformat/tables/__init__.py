"""Sampling tables: built from the labels of a store, kept in it or beside it."""

from scformat.tables.build import build_table, cells_digest, resolve_table
from scformat.tables.collection import Tables
from scformat.tables.files import open_entry, write_table_arrays
from scformat.tables.model import FEATURE, TableEntry, TableFile, TableKey
from scformat.tables.publish import add_table, open_table_file, read_entry, with_table, write_table_file
from scformat.tables.view import SamplingTable, TableInfo

__all__ = [
    "FEATURE",
    "SamplingTable",
    "TableEntry",
    "TableFile",
    "TableInfo",
    "TableKey",
    "Tables",
    "add_table",
    "build_table",
    "cells_digest",
    "open_entry",
    "open_table_file",
    "read_entry",
    "resolve_table",
    "with_table",
    "write_table_arrays",
    "write_table_file",
]

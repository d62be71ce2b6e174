"""The text of a var table: which columns hold any, and which of them name ids, symbols, biotypes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from scformat.genes.organisms import parse_gene_id
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scformat.columns import Column

INDEX = "index"
"""Name of the var names where the name of a var column could stand."""

SYMBOL_COLUMNS = (
    *("feature_name", "gene_name", "gene_names", "gene_symbols", "gene_symbol", "gene_short_name"),
    *("symbol", "symbols", "Symbol", "SYMBOL", "hgnc_symbol", "mgi_symbol", "name", "gene", "Gene"),
)
"""Var columns that name symbols, the first there is."""

BIOTYPE_COLUMNS = ("gene_biotype", "gene_type", "biotype", "feature_type", "feature_biotype")
"""Var columns that name biotypes, the first there is."""

FEATURE_TYPE_COLUMNS = ("feature_types", "feature_type")
"""Var columns in which 10x software tells genes from other features, the first there is."""

# Values of biotype columns that tell genes from other features, and are no biotype.
_NO_BIOTYPE = frozenset({"gene", "Gene Expression"})
# What 10x software counts beside genes: "Antibody Capture", "CRISPR Guide Capture", "Custom", "Peaks".
_OTHER_FEATURE = re.compile(r".* Capture|Custom|Peaks")
# How writers spell a missing value in a column of text.
_MISSING = frozenset({"nan", "NaN", "None", "NA", "<NA>", "null"})

ParsedId = tuple[str, int]
"""An id without its version, and its organism's taxon."""


class VarText:
    """The text columns of one source's var, decoded once each.

    Parameters
    ----------
    index
        Var names, length n.
    columns
        Columns of var, each of length n.
    """

    def __init__(self, index: Strings, columns: Mapping[str, Column]) -> None:
        self._index = index
        self._columns = {name: column for name, column in columns.items() if column.kind in ("string", "categorical")}
        self._text: dict[str, list[str]] = {}
        self._parsed: dict[str, list[ParsedId | None]] = {}

    @property
    def names(self) -> list[str]:
        """The index, then the columns that hold text, in the order of var."""
        return [INDEX, *(name for name in self._columns if name != INDEX)]

    def text(self, name: str) -> list[str]:
        """Values of a column, length n; empty where missing."""
        if name not in self._text:
            self._text[name] = list(self._index) if name == INDEX else _column_text(self._columns[name])
        return self._text[name]

    def ids(self, name: str) -> list[ParsedId | None]:
        """Values of a column read as gene ids, length n; None for what is none."""
        if name not in self._parsed:
            text = self.text(name)
            known = {value: parse_gene_id(value) for value in set(text)}
            self._parsed[name] = [known[value] for value in text]
        return self._parsed[name]

    def id_share(self, name: str, rows: Sequence[int]) -> float:
        """Share of `rows` at which a column looks like a gene id; 0 for no rows."""
        ids = self.ids(name)
        return sum(ids[i] is not None for i in rows) / len(rows) if rows else 0.0

    def symbols(self) -> list[str] | None:
        """Values of the first column that names symbols, or None."""
        return self._first(SYMBOL_COLUMNS)

    def biotypes(self) -> list[str] | None:
        """Values of the first column that names biotypes, or None; empty where it says no more than "gene"."""
        text = self._first(BIOTYPE_COLUMNS)
        return None if text is None else ["" if value in _NO_BIOTYPE else value for value in text]

    def other_features(self) -> list[str]:
        """10x type of each feature that is no gene, length n; empty for genes."""
        text = self._first(FEATURE_TYPE_COLUMNS)
        if text is None:
            return [""] * len(self._index)
        other = {value for value in set(text) if _OTHER_FEATURE.fullmatch(value)}
        return [value if value in other else "" for value in text]

    def _first(self, names: Iterable[str]) -> list[str] | None:
        return next((self.text(name) for name in names if name in self._columns), None)


def _column_text(column: Column) -> list[str]:
    if column.categories is not None:
        categories = ["" if c in _MISSING else c for c in column.categories]
        return [categories[code] if code >= 0 else "" for code in column.codes.tolist()]
    values = column.values
    if not isinstance(values, Strings):
        raise TypeError(column.kind)
    text = ["" if value in _MISSING else value for value in values]
    if column.mask is not None:
        text = ["" if missing else value for value, missing in zip(text, column.mask.tolist(), strict=True)]
    return text

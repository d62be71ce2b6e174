"""The labels that ontologies describe, and the columns in which files bring them.

Two ways of naming the columns are in use. CELLxGENE: ids in ``<name>_ontology_term_id``, names in ``<name>``. The
Single Cell Portal: ids in ``<name>``, names in ``<name>__ontology_label``. Other files have names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from scformat.labels.coded import Coded, code_column
from scformat.ontology.resolve import Scope, leading_term_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from scformat.labels.model import SourceObs

TERM_ID = "_ontology_term_id"
TERM_NAME = "__ontology_label"
_TEXT = ("categorical", "string")
_NUMBERS = ("integer", "boolean")


@dataclass(frozen=True, kw_only=True)
class Base:
    """One label of an ontology.

    Attributes
    ----------
    name
        The label.
    scope
        Whose terms its values are.
    aliases
        Other names of its column, tried in this order where `name` is not there.
    shared_names
        Prefixes of vocabularies that give different terms the same name, so that the name alone does not tell them
        apart.
    """

    name: str
    scope: Scope
    aliases: tuple[str, ...] = ()
    shared_names: tuple[str, ...] = ()


def _scope(*names: str, ids: tuple[str, ...] = (), only: Mapping[str, frozenset[str]] | None = None) -> Scope:
    return Scope(names=names, ids=(*names, *ids), only=only or {})


# Anatomies of other animals: their ids are known, their names are not searched, for "cell" is a term of each.
_ANIMALS = ("FBbt", "ZFA", "WBbt")

BASES = (
    Base(name="cell_type", scope=_scope("CL", ids=_ANIMALS), aliases=("celltype", "cell_types", "CellType")),
    Base(name="tissue", scope=_scope("UBERON", "CL", ids=(*_ANIMALS, "CVCL")), aliases=("organ",)),
    # Of the qualities only "normal" is a state of health; "monosomy" is a name in both ontologies.
    Base(name="disease", scope=_scope("MONDO", "PATO", only={"PATO": frozenset({"PATO:0000461"})})),
    Base(name="assay", scope=_scope("EFO"), aliases=("library_preparation_protocol",)),
    Base(name="self_reported_ethnicity", scope=_scope("HANCESTRO", ids=("AfPO",)), aliases=("ethnicity",)),
    Base(
        name="development_stage",
        scope=_scope("HsapDv", "MmusDv", "UBERON", ids=("FBdv", "ZFS", "WBls")),
        shared_names=("HsapDv", "MmusDv"),
    ),
    Base(name="sex", scope=_scope("PATO")),
    Base(name="organism", scope=_scope("NCBITaxon"), aliases=("species",)),
)
"""In the order in which their labels come."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What one source says about a base label.

    Attributes
    ----------
    ids, names
        Its columns, where it has them. `ids` is a column that is meant to hold ids, whatever it does hold.
    columns
        Names of the columns taken.
    constant_ids, constant_names
        For all cells without a value in either column.
    constants
        Names of the constants taken.
    """

    ids: Coded[str] | None = None
    names: Coded[str] | None = None
    columns: tuple[str, ...] = ()
    constant_ids: str = ""
    constant_names: str = ""
    constants: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.columns or self.constants)

    @property
    def has_id_column(self) -> bool:
        """Whether a column or constant was named as one of an ontology."""
        return any(name.endswith((TERM_ID, TERM_NAME)) for name in (*self.columns, *self.constants))

    def texts(self) -> Iterator[str]:
        """Every text that a cell has, and the constants."""
        for coded in (self.ids, self.names):
            if coded is not None:
                yield from coded.used()
        yield from filter(None, (self.constant_ids, self.constant_names))

    def looks_like_ids(self) -> bool:
        """Whether some text begins with a term id."""
        return any(leading_term_id(text) is not None for text in self.texts())


@dataclass(frozen=True, kw_only=True)
class _Columns:
    ids: str | None = None
    names: str | None = None

    def taken(self) -> tuple[str, ...]:
        return tuple(name for name in (self.ids, self.names) if name is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coder:
    """Code columns once each, however often they are asked for."""

    sources: Sequence[SourceObs]
    _held: dict[tuple[int, str], Coded[str]] = field(default_factory=dict)

    def __call__(self, source: int, name: str) -> Coded[str]:
        """Code the column `name` of the source at position `source`."""
        key = (source, name)
        if key not in self._held:
            self._held[key] = code_column(self.sources[source].obs[name])
        return self._held[key]


def find_evidence(base: Base, coder: Coder) -> list[Evidence]:
    """Find what each source says about a base label.

    Numbers and booleans count only where another source has text: they may stand for anything.
    """
    given = [{name: text for name, text in source.constants.items() if text} for source in coder.sources]
    text_columns = [_find(base, _of_kind(source, _TEXT)) for source in coder.sources]
    constants = [_find(base, texts) for texts in given]
    somewhere_text = any(found.taken() for found in (*text_columns, *constants))
    evidence = []
    for i, (source, in_text, fixed) in enumerate(zip(coder.sources, text_columns, constants, strict=True)):
        in_numbers = somewhere_text and not in_text.taken()
        columns = _find(base, _of_kind(source, _NUMBERS)) if in_numbers else in_text
        evidence.append(
            Evidence(
                ids=None if columns.ids is None else coder(i, columns.ids),
                names=None if columns.names is None else coder(i, columns.names),
                columns=columns.taken(),
                constant_ids="" if fixed.ids is None else given[i][fixed.ids],
                constant_names="" if fixed.names is None else given[i][fixed.names],
                constants=fixed.taken(),
            )
        )
    return evidence


def _of_kind(source: SourceObs, kinds: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name, column in source.obs.items() if column.kind in kinds)


def _find(base: Base, there: frozenset[str] | Mapping[str, str]) -> _Columns:
    for name in (base.name, *base.aliases):
        ids, label = name + TERM_ID, name + TERM_NAME
        if ids in there:
            names = next((n for n in (name, label) if n in there), None)
            return _Columns(ids=ids, names=names)
        if label in there:
            return _Columns(ids=name if name in there else None, names=label)
        if name in there:
            return _Columns(names=name)
    return _Columns()

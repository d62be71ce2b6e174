"""The manifest: what a store says of itself, as pydantic models. No I/O.

The JSON Schema in ``spec/schema/`` is generated from these models. Unknown members are ignored, so that a
later minor version may add some; what a reader must understand is named in ``required_features``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from scformat.columns import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "0.1"
"""Version of the format that this release writes."""

KNOWN_FEATURES = frozenset({"parts"})
"""Required features that this release understands: ``parts`` is more than one part."""
OPTIONAL_FEATURES = frozenset({"tables", "neighbours"})
"""Optional features that this release keeps the promises of when it adds to a store."""

_SEGMENT = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"
Path = Annotated[str, StringConstraints(pattern=rf"^{_SEGMENT}(/{_SEGMENT})*$")]
"""Relative path within a store: plain segments, none of them ``.`` or ``..``."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 as 64 lower-case hexadecimal digits."""

DataType = Literal["uint8", "uint16", "int8", "int16", "int32", "int64", "uint32", "uint64", "float32", "float64"]
_LARGEST = 2**53 - 1
"""Safe in every JSON reader, those with binary64 numbers among them."""
Count = Annotated[int, Field(ge=0, le=_LARGEST)]
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_FLOATS = frozenset({"float16", "float32", "float64"})
DTYPES_OF_KIND: dict[Kind, frozenset[str]] = {
    "integer": _INTEGERS,
    "float": _FLOATS,
    "boolean": frozenset({"bool"}),
    "string": frozenset({"string"}),
    "categorical": _INTEGERS | _FLOATS | {"bool", "string"},
}
"""Types that the values of a column can have had, by numpy's names; of a categorical its categories."""
Seed = Annotated[int, Field(ge=0, le=_LARGEST)]


class Model(BaseModel):
    """Base of all models: immutable, strict about types, tolerant of members added later."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    def model_post_init(self, _: Any) -> None:
        """Share the names of the members that were given: a set for each of 100,000 models is much of their memory."""
        names = _shared(frozenset(self.__pydantic_fields_set__))
        object.__setattr__(self, "__pydantic_fields_set__", names)


@lru_cache(maxsize=1024)
def _shared(names: frozenset[str]) -> set[str]:
    return set(names)


class Array(Model):
    """A Zarr array of the store."""

    path: Path
    dtype: DataType
    shape: list[Count] = Field(min_length=1, max_length=3)
    chunk: list[Annotated[int, Field(ge=1)]]
    shard: list[Annotated[int, Field(ge=1)]]
    fill: int | float
    sha256: Digest

    def model_post_init(self, context: Any) -> None:
        """Refuse a grid that does not fit; unlike a validator not again where the model is a member of another."""
        super().model_post_init(context)
        chunk, shard = self.chunk, self.shard
        if not len(self.shape) == len(chunk) == len(shard):
            raise ValueError(f"{self.path}: shape, chunk and shard differ in length")
        for c, s in zip(chunk, shard, strict=True):
            if c > _LARGEST or s > _LARGEST:
                raise ValueError(f"{self.path}: an extent beyond 2^53 - 1")
            if s % c:
                raise ValueError(f"{self.path}: a shard is not whole chunks")


class StringArray(Model):
    """Many strings: UTF-8 bytes and the offsets of each string in them."""

    bytes: Array
    offsets: Array

    @model_validator(mode="after")
    def _shapes_fit(self) -> StringArray:
        if self.offsets.dtype != "int64" or self.bytes.dtype != "uint8" or self.offsets.shape[0] < 1:
            raise ValueError(f"{self.bytes.path}: strings are uint8 bytes and at least one int64 offset")
        return self

    @property
    def n(self) -> int:
        """Number of strings."""
        return self.offsets.shape[0] - 1


class Organism(Model):
    """An organism of the gene index."""

    taxon: Annotated[int, Field(ge=0)]
    name: str
    n_genes: Count
    reference: str | None = None


class Genes(Model):
    """The unified gene index."""

    n: Count
    mode: Literal["union", "intersection", "list"]
    id: StringArray
    symbol: StringArray
    biotype: StringArray
    taxon: Array
    resolved: Array
    by_id: Array
    organisms: list[Organism]
    index_digest: Digest
    set_digest: Digest


class Ontology(Model):
    """The term graph that a label's categories point into."""

    releases: dict[str, str]
    n_terms: Count
    id: StringArray
    name: StringArray
    edges: Array
    closure: Array
    closure_offsets: Array
    counts: Array
    category_terms: Array


class Finding(Model):
    """A remark of the conversion on a value: unknown, malformed, deprecated, replaced, ambiguous, merged..."""

    source: str | None = None
    what: str
    value: str | None = None
    cells: Count | None = None
    note: str = ""


class Label(Model):
    """A label: categories for all parts; the codes of the cells lie in the parts."""

    name: str
    categories: StringArray
    counts: Array
    ontology: Ontology | None = None


class ObsColumn(Model):
    """A column of obs over all parts: the type that holds every source's values."""

    name: str
    kind: Kind
    dtype: str
    categories: StringArray | None = None
    label: str | None = None
    """A categorical whose codes and categories are those of the label of this name."""


class Splits(Model):
    """How cells were assigned to splits."""

    names: list[str] = Field(min_length=1)
    shares: list[float] | None = None
    by: list[str]
    seed: Seed
    counts: list[Count]
    duplicates_left_out: Count = 0


class Order(Model):
    """The physical order of the cells of a part."""

    kind: Literal["source", "shuffled", "stratified"]
    by: list[str] = []


class Place(Model):
    """Where per-cell codes lie in a part: a field of the record, or an array of their own."""

    field: Annotated[int, Field(ge=5)] | None = None
    array: Array | None = None

    @model_validator(mode="after")
    def _one(self) -> Place:
        if (self.field is None) == (self.array is None):
            raise ValueError("codes lie either in a field of the record or in an array")
        return self


class ObsValues(Model):
    """Values of an obs column in a part; exactly one of `values`, `strings` and `codes`."""

    values: Array | None = None
    strings: StringArray | None = None
    codes: Array | None = None
    missing: Array | None = None


class PartSources(Model):
    """The sources of a part and what each measured."""

    first: Count
    n: Count
    n_genes: Count
    records: StringArray
    measured: Array
    stats: Array
    var_names: StringArray
    var_offsets: Array
    var_gene: Array


class Part(Model):
    """An immutable run of cells, with everything that belongs to them alone."""

    start: Count
    n_cells: Count
    n_entries: Count
    order: Order
    fields: list[str] = Field(min_length=5)
    entries: Array
    shard_rows: Array
    shard_digests: Array
    index: Array
    content: Array
    barcode: StringArray
    labels: dict[str, Place]
    split: Place | None = None
    obs: dict[str, ObsValues]
    sources: PartSources

    @property
    def n_shards(self) -> int:
        """Number of shards of the counts."""
        return self.shard_digests.shape[0]


class Skipped(Model):
    """A source that was left out under ``--on-bad skip``."""

    path: str
    code: str
    message: str


class Table(Model):
    """A sampling table; its content is defined by the feature that adds it."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    name: str

    @property
    def document(self) -> dict[str, Any]:
        """All members, those that are not known here too."""
        return {"name": self.name, **(self.model_extra or {})}


class NeighboursEntry(Model):
    """A neighbour table: for each cell the rows of its nearest ones, nearest first."""

    name: str
    k: Annotated[int, Field(ge=1, le=1024)]
    n_rows: Count
    cells: Digest
    n_neighbours: Count
    weight: str | None = None
    source: str
    rows: Array
    weights: Array | None = None
    sha256: Digest


class Manifest(Model):
    """The attribute ``scformat`` of the root group."""

    format: Literal["scformat"]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
    required_features: list[str]
    optional_features: list[str]
    generator: str
    seed: Seed
    n_cells: Count
    n_entries: Count
    genes: Genes
    labels: list[Label]
    obs: list[ObsColumn]
    splits: Splits | None = None
    parts: list[Part] = Field(min_length=1)
    tables: list[Table]
    neighbours: list[NeighboursEntry] | None = None
    findings: list[Finding]
    skipped: list[Skipped]
    groups: dict[Path, Digest]
    sha256: Digest

    def label(self, name: str) -> Label | None:
        """Return the label of a name, or None."""
        return next((x for x in self.labels if x.name == name), None)


class SourceColumn(Model):
    """An obs column as one source had it; what an export needs to restore it."""

    name: str
    kind: Kind
    dtype: str
    nullable: bool = False
    ordered: bool = False
    categories: list[str] | None = None

    @model_validator(mode="after")
    def _type_fits(self) -> SourceColumn:
        if self.dtype not in DTYPES_OF_KIND[self.kind]:
            raise ValueError(f"{self.name!r}: no type of a column of kind {self.kind}")
        return self


class SourceRecord(Model):
    """What a store keeps of one source; a JSON string of ``sources/records``."""

    name: str
    path: str | None = None
    sha256: Digest
    format: Literal["h5ad", "10x-v2", "10x-v3", "anndata-zarr", "anndata"]
    counts: str
    layout: Literal["csr", "csc", "dense"]
    dtype: str
    n_rows: Count
    n_cells: Count
    n_vars: Count
    n_nonzero: Count
    total: Count
    organisms: list[int]
    gene_ids: str
    gene_id_kind: Literal["id", "symbol"]
    n_resolved: Count
    n_merged: Count
    n_left_out: Count
    index_name: str | None = None
    columns: list[SourceColumn]
    not_kept: list[str]
    var_index_name: str | None = None
    study: str | None = None
    licence: str | None = None
    citation: str | None = None
    doi: str | None = None
    metadata: dict[str, str] = {}


def first_error(error: ValidationError) -> tuple[str, str]:
    """Return where in a document the first thing that is wrong lies, and what it is."""
    first = error.errors(include_url=False)[0]
    return "/".join(map(str, first["loc"])), first["msg"]


def every_array(model: BaseModel) -> Iterator[Array]:
    """Yield every array that a manifest or a piece of it names, those of features it only carries along included."""
    pending = [as_json(model)]
    while pending:
        value = pending.pop()
        if isinstance(value, dict) and "sha256" in value and "chunk" in value:
            yield Array.model_validate(value)
        elif isinstance(value, dict | list):
            pending.extend(value.values() if isinstance(value, dict) else value)


def as_json(model: BaseModel) -> Any:
    """Return a model as plain JSON values, members that are None left out."""
    return model.model_dump(mode="json", exclude_none=True)

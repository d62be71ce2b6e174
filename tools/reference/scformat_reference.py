"""A second implementation of the cell store format, version 0.1: a reader, a validator and a sampler.

It was written from the chapters in ``spec/`` alone and shares no code with the package. It uses zarr-python, numpy and
the standard library, and is meant to be read beside the specification: the sections follow its chapters, and numbers in
square brackets are those of its statements. Speed is not an aim.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import zarr
from zarr.storage import LocalStore, StorePath

Json = Any
"""A parsed JSON document or a member of one."""
Values = npt.NDArray[Any]
Box = tuple[tuple[int, int], ...]
"""A start and an end, the end excluded, along each axis."""

VERSION = "0.1"
FEATURES = {"parts"}
"""Required features that this program knows; the optional ones are `tables` and `neighbours`."""
MISSING, TOO_LARGE, ABSENT = -1, -3, 2**64 - 1
BLOCK = 2**22
"""Entries that are decoded at a time."""


class RefusedError(Exception):
    """What was asked for cannot be had, since a statement does not hold."""

    def __init__(self, statement: str, where: str, message: str) -> None:
        super().__init__(f"{where}: {message} [{statement}]")
        self.finding = (statement, where, message)


class UnreadError(Exception):
    """A check lacks an array that could not be read; that has been reported."""


class Report:
    """Takes violations. That of a reader ends at the first one: it returns nothing it cannot rely on [CNF-5]."""

    def __call__(self, statement: str, where: str, message: str) -> None:
        """Take the number of a statement, where it does not hold, and what is wrong."""
        raise RefusedError(statement, where, message)

    def must(self, holds: object, statement: str, where: str, message: str) -> bool:
        """Report what does not hold."""
        if not holds:
            self(statement, where, message)
        return bool(holds)


class Findings(Report):
    """The report of a validator notes a violation and goes on [CNF-1]."""

    def __init__(self) -> None:
        self.listed: list[dict[str, str]] = []

    def __call__(self, statement: str, where: str, message: str) -> None:
        """Note a violation, once."""
        finding = {"requirement": statement, "where": where, "message": message[:300]}
        if finding not in self.listed:
            self.listed.append(finding)


REFUSE = Report()


def refuse(statement: str, where: str, message: str) -> NoReturn:
    """End a check, or an answer, that cannot go on."""
    raise RefusedError(statement, where, message)


# ---------------------------------------------------------------------------------------------------------------------
# Conventions: JSON, digests, Philox
# ---------------------------------------------------------------------------------------------------------------------


def parse_json(raw: bytes, where: str, report: Report) -> Json:
    """Parse a document by RFC 8259 [CNV-1] whose integers are exact as binary64, and other numbers finite [CNV-2]."""

    def members(pairs: list[tuple[str, Json]]) -> Json:
        report.must(len({name for name, _ in pairs}) == len(pairs), "CNV-1", where, "an object has a name twice")
        return dict(pairs)

    def integer(text: str) -> int:
        value = int(text[:310])
        exact = len(text) < 300 and int(float(value)) == value
        report.must(exact, "CNV-2", where, f"the number {text[:40]} is not exact as binary64")
        return value

    def real(text: str) -> float:
        value = float(text)
        report.must(math.isfinite(value), "CNV-2", where, f"the number {text[:40]} is too large for binary64")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value

    def constant(text: str) -> NoReturn:
        raise ValueError(f"{text} is no JSON")

    numbers: Any = {"parse_int": integer, "parse_float": real, "parse_constant": constant}
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=members, **numbers)
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # a lone surrogate has no UTF-8
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise RefusedError("CNV-1", where, f"not JSON in UTF-8: {first_line(error)}") from None
    return document


def first_line(error: Exception) -> str:
    """Shorten what an error says."""
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def same_json(a: Json, b: Json) -> bool:
    """Whether two documents are the same; true is not 1, but 2.0 is 2."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_json(a[name], b[name]) for name in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_json, a, b))
    return bool(a == b)


def every(holds: Values) -> bool:
    """Whether something holds everywhere."""
    return bool(np.all(holds))


def sha256(*pieces: bytes) -> str:
    """SHA-256 of bytes one after another, as 64 digits."""
    return hashlib.sha256(b"".join(pieces)).hexdigest()


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of bytes."""
    crc = 2**32 - 1
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ (2**32 - 1)


def crc_of_byte(value: int) -> int:
    """Divide a byte by the polynomial, for the table of crc32c."""
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value


CRC_TABLE = [crc_of_byte(value) for value in range(256)]


def philox(seed: int, domain: int, i: Values | int, j: Values | int) -> list[Values]:
    """P(d, i, j) of the conventions: the four words of Philox-4x32-10, as uint64 arrays."""
    low, high = np.uint64(0xFFFFFFFF), np.uint64(32)
    first, second = np.broadcast_arrays(np.atleast_1d(np.asarray(i, np.uint64)), np.asarray(j, np.uint64))
    c = [first & low, first >> high, second & low, np.full(first.shape, domain, np.uint64)]
    key = [seed % 2**32, seed // 2**32]
    for _ in range(10):
        x, y = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(y >> high) ^ c[1] ^ np.uint64(key[0]), y & low, (x >> high) ^ c[3] ^ np.uint64(key[1]), x & low]
        key = [(key[0] + 0x9E3779B9) % 2**32, (key[1] + 0xBB67AE85) % 2**32]
    return c


def u64(words: list[Values]) -> Values:
    """w0 + 2^32 w1."""
    return np.asarray(words[0] | (words[1] << np.uint64(32)))


# ---------------------------------------------------------------------------------------------------------------------
# Manifest: its members and their types [MAN-1] [CNF-7], and those of source records [SRC-1] and tables [TAB-6]
# ---------------------------------------------------------------------------------------------------------------------

DTYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
PATH = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(/[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)*")
DIGEST = re.compile(r"[0-9a-f]{64}")
PATTERNS = {
    "text": re.compile(r"(?s).*"),
    "digest": DIGEST,
    "path": PATH,
    "name": re.compile(r"(?=.{1,64}$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*"),
    "version": re.compile(r"[0-9]+\.[0-9]+"),
}
RANGES = {
    **{"integer": (-math.inf, math.inf), "count": (0, 2**53 - 1), "extent": (1, math.inf), "field": (5, math.inf)},
    **{"taxon": (0, math.inf), "strata": (1, 2**30), "bits": (32, 62), "neighbours": (1, 1024)},
}
KINDS = "integer|float|boolean|string|categorical"
STATEMENT_OF_KIND = {"path": "ZAR-4", "dtype": "ZAR-8", "version": "VER-1"}

OBJECTS = {
    "Manifest": "format:scformat| version:version required_features:[text] optional_features:[text] generator:text"
    " seed:count n_cells:count n_entries:count genes:Genes labels:[Label] obs:[ObsColumn] splits?:Splits parts:[Part]1"
    " tables:[Table] neighbours?:[Neighbours] findings:[Finding] skipped:[Skipped] groups:{digest} sha256:digest",
    "Array": "path:path dtype:dtype shape:[count]1 chunk:[extent] shard:[extent] fill:number sha256:digest",
    "Strings": "bytes:Array offsets:Array",
    "Genes": "n:count mode:union|intersection|list id:Strings symbol:Strings biotype:Strings taxon:Array resolved:Array"
    " by_id:Array organisms:[Organism] index_digest:digest set_digest:digest",
    "Organism": "taxon:taxon name:text n_genes:count reference?:text",
    "Label": "name:text categories:Strings counts:Array ontology?:Ontology",
    "Ontology": "releases:{text} n_terms:count id:Strings name:Strings edges:Array closure:Array closure_offsets:Array"
    " counts:Array category_terms:Array",
    "ObsColumn": f"name:text kind:{KINDS} dtype:text categories?:Strings label?:text",
    "Splits": "names:[text]1 shares?:[number] by:[text] seed:count counts:[count] duplicates_left_out?:count",
    "Part": "start:count n_cells:count n_entries:count order:Order fields:[text]5 entries:Array shard_rows:Array"
    " shard_digests:Array index:Array content:Array barcode:Strings labels:{Place} split?:Place obs:{ObsValues}"
    " sources:Sources",
    "Place": "field?:field array?:Array",
    "ObsValues": "values?:Array strings?:Strings codes?:Array missing?:Array",
    "Order": "kind:source|shuffled|stratified by?:[text]",
    "Sources": "first:count n:count n_genes:count records:Strings measured:Array stats:Array var_names:Strings"
    " var_offsets:Array var_gene:Array",
    "Neighbours": "name:text k:neighbours n_rows:count cells:digest n_neighbours:count weight?:text source:text"
    " rows:Array weights?:Array sha256:digest",
    "Finding": "source?:text what:text value?:text cells?:count note?:text",
    "Skipped": "path:text code:text message:text",
    "Table": "name:text",
    "WholeTable": "name:name by:text keys:[TableKey]1 split?:text where?:text temperature?:temperature"
    " files?:[WeightsFile] n_strata:strata bits:bits n_cells:count n_missing:count n_left_out:count n_rows:count"
    " cells:digest codes:Array counts:Array masses:Array threshold:Array alias:Array offsets:Array run_start?:Array"
    " run_length?:Array rows?:Array sha256:digest",
    "TableKey": "name:text kind:label|figure missing?:text levels?:[number]",
    "WeightsFile": "name:text sha256:digest",
    "SourceRecord": "name:text path?:text sha256:digest format:h5ad|10x-v2|10x-v3|anndata-zarr|anndata counts:text"
    " layout:csr|csc|dense dtype:text n_rows:count n_cells:count n_vars:count n_nonzero:count total:count"
    " organisms:[integer] gene_ids:text gene_id_kind:id|symbol n_resolved:count n_merged:count n_left_out:count"
    " index_name?:text columns:[SourceColumn] not_kept:[text] var_index_name?:text study?:text licence?:text"
    " citation?:text doi?:text metadata?:{text}",
    "SourceColumn": f"name:text kind:{KINDS} dtype:text nullable?:flag ordered?:flag categories?:[text]",
}
"""Members of objects and their kinds: ``?`` optional, ``[X]2`` a list of at least 2, ``{X}`` a map, ``a|b`` choices."""


def is_scalar(kind: str, value: Json) -> bool:
    """Whether a JSON value is of a kind that is no object, list or map."""
    number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if kind in RANGES:
        return number and isinstance(value, int) and RANGES[kind][0] <= value <= RANGES[kind][1]
    if kind in PATTERNS:
        return isinstance(value, str) and PATTERNS[kind].fullmatch(value) is not None
    if kind in ("number", "temperature"):
        return number and (kind == "number" or value > 0)
    if kind == "flag":
        return isinstance(value, bool)
    return isinstance(value, str) and value in (DTYPES if kind == "dtype" else kind.rstrip("|").split("|"))


def check_kind(kind: str, value: Json, where: str, report: Report, statement: str = "MAN-1") -> None:
    """Check the members of a value and their types; unknown members are left alone [VER-5]."""
    if kind in OBJECTS or kind[0] == "{":
        if not report.must(isinstance(value, dict), statement, where, "expected an object"):
            return
        if kind[0] == "{":
            for name, item in value.items():
                check_kind(kind[1:-1], item, f"{where}[{name!r}]", report, statement)
            return
        for member in OBJECTS[kind].split():
            name, inner = member.split(":", 1)
            optional, name, there = name.endswith("?"), name.rstrip("?"), f"{where}.{name.rstrip('?')}"
            if name not in value:
                report.must(optional, statement, there, "is missing")
            elif value[name] is None and statement != "SRC-1":
                report("MAN-2", there, "is null")
            elif value[name] is not None or not optional:
                check_kind(inner, value[name], there, report, statement)
    elif kind[0] == "[":
        inner, least = kind[1:].split("]")
        right = isinstance(value, list) and len(value) >= int(least or 0)
        if report.must(right, statement, where, f"expected a list of at least {least or 0}"):
            for i, item in enumerate(value):
                check_kind(inner, item, f"{where}[{i}]", report, statement)
    elif not is_scalar(kind, value):
        report(STATEMENT_OF_KIND.get(kind, statement), where, f"expected {kind.strip('|')}, found {str(value)[:80]!r}")


# ---------------------------------------------------------------------------------------------------------------------
# Container: what the arrays of a store are, their metadata, their files
# ---------------------------------------------------------------------------------------------------------------------

WEIGHT_FILL = -float(2**24 - 1) * 2.0**104
NUMPY_NAMES = {
    "integer": ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    "float": ("float16", "float32", "float64"),
    "boolean": ("bool",),
    "string": ("string",),
}
"""Names of the types that can hold the values of a column; of a categorical it is any of them."""
VALUE_DTYPES = {
    "integer": ("int32", "int64", "uint32", "uint64"),
    "float": ("float32", "float64"),
    "boolean": ("uint8",),
}


@dataclass(frozen=True)
class Slot:
    """What the chapters say of an array that the manifest names."""

    where: str
    array: Json
    statement: str
    """The one that gives its shape and, with two exceptions, its type."""
    dtypes: tuple[str, ...]
    shape: tuple[int | None, ...]
    """None is any extent."""
    of_obs: bool = False
    """Obs values, whose fill value is free [ZAR-19]."""

    @property
    def fill(self) -> float | None:
        """The fill value [ZAR-19], or None where it is free."""
        fills = {"uint8": 255, "uint16": 65535, "float32": WEIGHT_FILL}
        return None if self.of_obs and self.dtypes != ("uint8",) else fills.get(self.dtypes[0], -2)


def n_strings(strings: Json) -> int:
    """How many strings there are [ZAR-22]."""
    return int(strings["offsets"]["shape"][0]) - 1


def string_slots(where: str, strings: Json, statement: str, n: int | None) -> Iterator[Slot]:
    """Bytes and offsets of strings [ZAR-22]."""
    yield Slot(f"{where}.bytes", strings["bytes"], "ZAR-22", ("uint8",), (None,))
    yield Slot(f"{where}.offsets", strings["offsets"], statement, ("int64",), (None if n is None else n + 1,))


def slots(manifest: Json) -> Iterator[Slot]:
    """Give every array of the store [ZAR-3]."""
    genes, n = manifest["genes"], manifest["genes"]["n"]
    for name in ("id", "symbol", "biotype"):
        yield from string_slots(f"genes.{name}", genes[name], "GEN-1", n)
    for name, dtype in (("taxon", "int32"), ("by_id", "int32"), ("resolved", "uint8")):
        yield Slot(f"genes.{name}", genes[name], "GEN-1", (dtype,), (n,))
    for k, label in enumerate(manifest["labels"]):
        where, n = f"labels[{k}]", n_strings(label["categories"])
        yield from string_slots(f"{where}.categories", label["categories"], "ZAR-22", None)
        yield Slot(f"{where}.counts", label["counts"], "LAB-3", ("int64",), (n,))
        if "ontology" in label:
            graph, where, t = label["ontology"], f"{where}.ontology", label["ontology"]["n_terms"]
            yield from string_slots(f"{where}.id", graph["id"], "LAB-10", t)
            yield from string_slots(f"{where}.name", graph["name"], "LAB-10", t)
            of_int32 = {"edges": (2, None), "closure": (None,), "category_terms": (n,)}
            of_int64 = {"closure_offsets": (t + 1,), "counts": (t,)}
            for name, shape in {**of_int32, **of_int64}.items():
                dtype = "int32" if name in of_int32 else "int64"
                yield Slot(f"{where}.{name}", graph[name], "LAB-10", (dtype,), shape)
    for k, column in enumerate(manifest["obs"]):
        if "categories" in column:
            yield from string_slots(f"obs[{k}].categories", column["categories"], "ZAR-22", None)
    for k, part in enumerate(manifest["parts"]):
        yield from part_slots(f"parts[{k}]", part, {column["name"]: column["kind"] for column in manifest["obs"]})
    for k, table in enumerate(manifest["tables"]):
        yield from table_slots(f"tables[{k}]", table)
    for k, table in enumerate(manifest.get("neighbours", [])):
        shape, where = (table["k"], table["n_rows"]), f"neighbours[{k}]"
        dtype = "int32" if table["n_rows"] < 2**31 else "int64"
        yield Slot(f"{where}.rows", table["rows"], "NBR-2", (dtype,), shape)
        if "weights" in table:
            yield Slot(f"{where}.weights", table["weights"], "NBR-2", ("float32",), shape)


def part_slots(where: str, part: Json, kinds: dict[str, str]) -> Iterator[Slot]:
    """Arrays of a part [PRT-8] [CEL-15]."""
    n, sources, entries = part["n_cells"], part["sources"], part["entries"]
    s = entries["shape"][-1] // entries["shard"][-1] if entries["shard"] else 0
    yield Slot(f"{where}.entries", entries, "PRT-8", ("uint16",), (2, None))
    yield Slot(f"{where}.shard_rows", part["shard_rows"], "PRT-8", ("int64",), (s + 1,))
    yield Slot(f"{where}.shard_digests", part["shard_digests"], "PRT-8", ("uint8",), (s, 64))
    yield Slot(f"{where}.index", part["index"], "PRT-8", ("int32",), (len(part["fields"]), n))
    yield Slot(f"{where}.content", part["content"], "PRT-8", ("int64",), (n,))
    yield from string_slots(f"{where}.barcode", part["barcode"], "PRT-8", n)
    for name, place in [*part["labels"].items(), ("split", part.get("split", {}))]:
        if "array" in place:
            yield Slot(f"{where}: {name}", place["array"], "PRT-8", ("int32",), (n,))
    for name, held in part["obs"].items():
        there, dtypes = f"{where}.obs[{name!r}]", VALUE_DTYPES.get(kinds.get(name, ""), DTYPES)
        if "strings" in held:
            yield from string_slots(f"{there}.strings", held["strings"], "PRT-8", n)
        for member, allowed in (("values", dtypes), ("codes", ("int32",)), ("missing", ("uint8",))):
            if member in held:
                yield Slot(f"{there}.{member}", held[member], "PRT-8", allowed, (n,), of_obs=member == "values")
    where, n, g = f"{where}.sources", sources["n"], sources["n_genes"]
    yield from string_slots(f"{where}.records", sources["records"], "PRT-8", n)
    yield Slot(f"{where}.measured", sources["measured"], "PRT-8", ("uint8",), (n, g))
    yield Slot(f"{where}.stats", sources["stats"], "PRT-8", ("int64",), (4, n, g))
    yield from string_slots(f"{where}.var_names", sources["var_names"], "PRT-8", None)
    yield Slot(f"{where}.var_offsets", sources["var_offsets"], "PRT-8", ("int64",), (n + 1,))
    yield Slot(f"{where}.var_gene", sources["var_gene"], "PRT-8", ("int32",), (n_strings(sources["var_names"]),))


TABLE_ARRAYS = ("counts", "masses", "threshold", "alias", "offsets", "run_start", "run_length", "rows")


def table_slots(where: str, table: Json) -> Iterator[Slot]:
    """Arrays of a sampling table [TAB-6]."""
    k, m = table["n_strata"], 2 ** (table["bits"] - 32)
    yield Slot(f"{where}.codes", table["codes"], "TAB-6", ("int32",), (len(table["keys"]), k))
    extents = {"counts": k, "masses": k, "threshold": m, "alias": m, "offsets": k + 1}
    if "run_start" in table:
        extents["run_length"] = table["run_start"]["shape"][0]
    for name in TABLE_ARRAYS:
        if name in table:
            dtypes = {"alias": ("int32",), "rows": ("int32", "int64")}.get(name, ("int64",))
            yield Slot(f"{where}.{name}", table[name], "TAB-6", dtypes, (extents.get(name),))


def array_document(array: Json) -> Json:
    """Make the `zarr.json` that an array has to have [ZAR-9] [ZAR-10] [ZAR-11] [ZAR-12]."""
    size = np.dtype(array["dtype"]).itemsize
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": size, "blocksize": 0}
    as_bytes = {"name": "bytes"} if size == 1 else little
    sharding = {
        "chunk_shape": array["chunk"],
        "codecs": [as_bytes, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}],
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": array["shape"],
        "data_type": array["dtype"],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": array["shard"]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": array["fill"],
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }


MEMBERS_OF_DOCUMENT: list[tuple[str, tuple[str | int, ...]]] = [
    *[("ZAR-12", (name,)) for name in ("shape", "data_type", "fill_value")],
    ("ZAR-12", ("chunk_grid", "configuration", "chunk_shape")),
    ("ZAR-12", ("codecs", 0, "configuration", "chunk_shape")),
    ("ZAR-10", ("codecs", 0, "configuration", "codecs")),
    ("ZAR-11", ("codecs", 0, "configuration", "index_codecs")),
    ("ZAR-11", ("codecs", 0, "configuration", "index_location")),
]


def check_document(found: Json, wanted: Json, where: str, report: Report) -> None:
    """Compare the `zarr.json` of an array with the one it has to have."""
    for statement, (*path, last) in MEMBERS_OF_DOCUMENT:
        a, b = found, wanted
        try:
            for name in path:
                a, b = a[name], b[name]
            right = same_json(a[last], b[last])
            report.must(right, statement, where, f"{last}: expected {str(b[last])[:120]}, found {str(a[last])[:120]}")
            a[last] = b[last]
        except (KeyError, IndexError, TypeError):
            report("ZAR-9", where, f"has no member {'/'.join(map(str, [*path, last]))}")
            return
    report.must(same_json(found, wanted), "ZAR-9", where, "has other members than it has to")


def ceil_div(a: int, b: int) -> int:
    """Divide and round up."""
    return -(-a // b)


def whole(array: Json) -> Box:
    """Everything within an array."""
    return tuple((0, n) for n in array["shape"])


def in_order(extents: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Give the places of a grid in C order, one by one: a grid can be too large to list."""
    for number in range(math.prod(extents)):
        place, rest = [], number
        for extent in reversed(extents):
            rest, at = divmod(rest, extent)
            place.append(at)
        yield tuple(reversed(place))


def shards(array: Json) -> Iterator[tuple[int, ...]]:
    """Give the place of each file of an array; there are none without elements [ZAR-15]."""
    extents = zip(array["shape"], array["shard"], strict=True)
    yield from in_order([ceil_div(n, s) for n, s in extents] if 0 not in array["shape"] else [0])


def shard_name(place: Sequence[int]) -> str:
    """Name of a file, relative to its array."""
    return "/".join(["c", *map(str, place)])


class Store:
    """The files of a store and how they are read: by zarr-python, after checks that it does not make."""

    def __init__(self, root: Path, manifest: Json) -> None:
        self.root = root
        self.manifest = manifest
        self._opened: dict[str, zarr.Array[Any]] = {}
        self._indexes: dict[tuple[str, tuple[int, ...]], Values] = {}

    def opened(self, array: Json) -> zarr.Array[Any]:
        """Open an array whose `zarr.json` is the one that it has to have.

        Its shape is rounded up to whole chunks, so that elements beyond the array can be looked at [ZAR-17].
        """
        path = array["path"]
        if path not in self._opened:
            wanted = array_document(array)
            check_document(self.document(path, "ZAR-9", REFUSE)[1], wanted, path, REFUSE)
            shape = [ceil_div(n, c) * c for n, c in zip(array["shape"], array["chunk"], strict=True)]
            metadata: Any = {**wanted, "shape": shape}
            place = StorePath(LocalStore(self.root, read_only=True), path)
            try:
                self._opened[path] = zarr.Array(zarr.AsyncArray(metadata, place))
            except Exception as error:
                raise RefusedError("ZAR-9", path, f"zarr-python does not open it: {first_line(error)}") from None
        return self._opened[path]

    def document(self, path: str, statement: str, report: Report) -> tuple[bytes, Json]:
        """Bytes and content of the `zarr.json` of a group or an array."""
        try:
            raw = (self.root / path / "zarr.json").read_bytes()
        except OSError:
            raise RefusedError(statement, path, "there is no zarr.json") from None
        return raw, parse_json(raw, f"{path}/zarr.json", report)

    def index(self, array: Json, place: tuple[int, ...], report: Report = REFUSE) -> Values:
        """Offset and length of each chunk of a shard, uint64[chunks along each axis, 2], checked [ZAR-11] [ZAR-24]."""
        key = (array["path"], place)
        if key in self._indexes:
            return self._indexes[key]
        where = f"{array['path']}/{shard_name(place)}"
        file, grid = self.root / where, [s // c for s, c in zip(array["shard"], array["chunk"], strict=True)]
        if not file.is_file():
            refuse("ZAR-15", where, "there is no such file")
        end = file.stat().st_size - 16 * math.prod(grid) - 4
        if end < 0:
            refuse("ZAR-11", where, f"{file.stat().st_size} bytes are too few for an index of {math.prod(grid)} chunks")
        data = np.memmap(file, np.uint8, "r")
        if crc32c(data[end:-4].tobytes()) != int.from_bytes(data[-4:].tobytes(), "little"):
            refuse("ZAR-11", where, "the CRC-32C of the index does not fit")
        index = np.frombuffer(data[end:-4].tobytes(), "<u8").reshape(*grid, 2)
        first, length = index[~(index == ABSENT).all(-1)].T
        if np.any(length > end) or np.any(first > np.uint64(end) - np.minimum(length, end)):
            refuse("ZAR-24", where, "a chunk does not lie in the file before the index")
        order = np.argsort(first, kind="stable")
        apart = report.must(every((first + length)[order][:-1] <= first[order][1:]), "ZAR-24", where, "chunks overlap")
        coded = self._are_blosc(array, data, first, length)
        report.must(coded, "ZAR-10", where, "a chunk is not a whole one coded by blosc, lz4 and bitshuffle")
        if apart and coded:
            self._indexes[key] = index
        return index

    def _are_blosc(self, array: Json, data: Values, first: Values, length: Values) -> bool:
        """Whether chunks have the length and the header of blosc with lz4 and bitshuffle of a whole chunk [ZAR-10].

        A chunk that lies about its size must not be decoded.
        """
        size = np.dtype(array["dtype"]).itemsize
        if np.any(length < 20):
            return False
        header = np.asarray(data[first[:, None].astype(np.int64) + np.arange(16)])
        raw, coded = (header[:, k : k + 4].copy().view("<u4")[:, 0].astype(np.uint64) for k in (4, 12))
        right = every(raw == math.prod(array["chunk"]) * size) and every(coded + np.uint64(4) == length)
        coded_so = (header[:, 0] == 2) & (header[:, 2] & 0b11100101 == 0b00100100) & (header[:, 3] == size)
        return right and every(coded_so)

    def shards_of(self, array: Json, box: Box) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Give each shard that a box overlaps, and which of the shard's chunks it overlaps."""
        extents = list(zip(box, array["shard"], array["chunk"], strict=True))
        for step in in_order([ceil_div(b, s) - a // s for (a, b), s, _ in extents]):
            place = tuple(a // s + k for ((a, _), s, _), k in zip(extents, step, strict=True))
            chunks = []
            for ((a, b), s, c), at in zip(extents, place, strict=True):
                chunks.append(slice(max(a - at * s, 0) // c, ceil_div(min(b - at * s, s), c)))
            yield place, tuple(chunks)

    def raw(self, array: Json, box: Box) -> Values:
        """Elements of a box as zarr-python gives them, which checks the CRC-32C of chunks [ZAR-10] [ZAR-21]."""
        opened = self.opened(array)
        try:
            return np.asarray(opened[tuple(slice(a, b) for a, b in box)])
        except Exception as error:
            raise RefusedError("ZAR-10", array["path"], f"cannot be decoded: {first_line(error)}") from None

    def read(self, array: Json, box: Box | None = None, report: Report = REFUSE, *, pairs: bool = False) -> Values:
        """Elements of a box within the array, none of them lost [ZAR-20]; `pairs` for entries [CNT-6]."""
        box = box or whole(array)
        if any(a >= b for a, b in box):
            return np.empty([max(b - a, 0) for a, b in box], array["dtype"])
        self.opened(array)
        for place, chunks in self.shards_of(array, box):
            if np.any(self.index(array, place)[chunks] == ABSENT):
                refuse("ZAR-16", f"{array['path']}/{shard_name(place)}", "a chunk is lost")
        data = self.raw(array, box)
        lost = data == np.array(array["fill"], array["dtype"])
        right = not np.any(lost.all(0) if pairs else lost)
        report.must(right, "ZAR-18", array["path"], "has the fill value among its elements")
        return data

    def check_rest(self, array: Json, report: Report) -> None:
        """Check what lies beyond the array's shape, in its chunks [ZAR-17] and its shards [ZAR-16]."""
        for place, chunks in self.shards_of(array, whole(array)) if 0 not in array["shape"] else ():
            present = (self.index(array, place, report) != ABSENT).any(-1)
            beyond = np.count_nonzero(present) - np.count_nonzero(present[chunks])
            name = f"{array['path']}/{shard_name(place)}"
            report.must(not beyond, "ZAR-16", name, "a chunk wholly beyond the array is there")
        fill, shape = np.array(array["fill"], array["dtype"]), self.opened(array).shape
        for axis, (n, end) in enumerate(zip(array["shape"], shape, strict=True)):
            if n < end and 0 not in array["shape"]:
                box = tuple((n, end) if k == axis else (0, extent) for k, extent in enumerate(shape))
                right = every(self.raw(array, box) == fill)
                report.must(right, "ZAR-17", array["path"], "elements beyond the array are not the fill value")

    def text(self, strings: Json, i: int) -> str:
        """One string of many [ZAR-22] [ZAR-23]."""
        begin, end = self.read(strings["offsets"], ((i, i + 2),)).tolist()
        if not 0 <= begin <= end <= strings["bytes"]["shape"][0]:
            refuse("ZAR-23", strings["offsets"]["path"], f"string {i} is from {begin} to {end}")
        return decode_text(self.read(strings["bytes"], ((begin, end),)).tobytes(), strings["bytes"]["path"], i)

    def texts(self, strings: Json) -> list[str]:
        """All strings of many."""
        return split_texts(self.read(strings["offsets"]), self.read(strings["bytes"]), strings["bytes"]["path"])


def decode_text(raw: bytes, where: str, i: int) -> str:
    """Decode a string [ZAR-23]."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedError("ZAR-23", where, f"string {i} is not UTF-8") from None


def cut(offsets: Values, size: int) -> bool:
    """Whether offsets cut `size` elements into pieces that follow one another."""
    return bool(offsets.size and offsets[0] == 0 and offsets[-1] == size and every(np.diff(offsets) >= 0))


def split_texts(offsets: Values, data: Values, where: str) -> list[str]:
    """Cut strings apart [ZAR-22] [ZAR-23]."""
    if not cut(offsets, data.size):
        refuse("ZAR-23", where, f"offsets do not go from 0 to {data.size} without a step back")
    raw, ends = data.tobytes(), offsets.tolist()
    return [decode_text(raw[a:b], where, i) for i, (a, b) in enumerate(pairwise(ends))]


# ---------------------------------------------------------------------------------------------------------------------
# Level 1: the root zarr.json alone
# ---------------------------------------------------------------------------------------------------------------------


def check_root(root: Path, report: Report) -> Json:
    """Check all that the root `zarr.json` shows; return the manifest, or None where no more can be checked."""
    try:
        raw = (root / "zarr.json").read_bytes()
    except OSError:
        raise RefusedError("INT-13", str(root), "there is no zarr.json, and so no store") from None
    document = parse_json(raw, "zarr.json", report)
    attributes = document.get("attributes") if isinstance(document, dict) else None
    manifest = attributes.get("scformat") if isinstance(attributes, dict) else None
    if not isinstance(manifest, dict):
        refuse("ZAR-1", "zarr.json", "is no group with an attribute scformat that is an object")
    is_group = same_json([document.get("zarr_format"), document.get("node_type")], [3, "group"])
    report.must(is_group, "ZAR-1", "zarr.json", "is no Zarr v3 group")
    report.must("consolidated_metadata" not in document, "ZAR-2", "zarr.json", "has consolidated_metadata")
    if not check_features(manifest, report):
        return None
    digits = str(manifest.get("sha256")).encode()
    if DIGEST.fullmatch(digits.decode()):
        right = raw.count(digits) == 1 and sha256(raw.replace(digits, b"0" * 64)).encode() == digits
        report.must(right, "INT-4", "sha256", "is not the digest of the file, or is not once in it")
    wrong = Findings()
    check_kind("Manifest", manifest, "manifest", wrong)
    if not wrong.listed:
        check_table_entries(manifest["tables"], wrong)
    for finding in wrong.listed:
        report(finding["requirement"], finding["where"], finding["message"])
    if wrong.listed:
        return None
    for path in manifest["groups"]:
        report.must(PATH.fullmatch(path), "ZAR-4", "groups", f"{path[:200]!r} is no path")
    if check_arrays(manifest, report):
        check_extents(manifest, report)
    for check in (check_sums, check_columns, check_places, check_shares, check_neighbour_entries):
        check(manifest, report)
    return manifest


def check_features(manifest: Json, report: Report) -> bool:
    """Check version and features before anything else [VER-1] [VER-2] [VER-4]; say whether to go on."""
    version, required, optional = (manifest.get(n) for n in ("version", "required_features", "optional_features"))
    known = version == VERSION
    report.must(known, "VER-1", "version", f"expected {VERSION}, found {str(version)[:40]!r}")
    if not known or not all(isinstance(n, list) and all(isinstance(x, str) for x in n) for n in (required, optional)):
        return bool(known)  # types are those of [MAN-1]
    names = [*required, *optional]
    right = len(set(names)) == len(names) and all(re.fullmatch(r"[a-z0-9-]+", name) for name in names)
    report.must(right, "VER-7", "features", f"are twice there, or not of lower-case letters, digits and -: {names}")
    for name in set(required) - FEATURES:
        report("VER-10", "required_features", f"this program does not know {name[:80]!r}")
    for name, statement in (("tables", "TAB-13"), ("neighbours", "NBR-9")):
        listed = not manifest.get(name) or name in optional
        report.must(listed, statement, "optional_features", f"there are {name}, but {name} is not listed")
    report.must(manifest.get("neighbours") != [], "NBR-9", "neighbours", "is empty; then it is left out")
    return True


def check_arrays(manifest: Json, report: Report) -> bool:
    """Check the arrays of the manifest; say whether types and shapes are such that one can go on."""
    paths: list[str] = []
    sound = True
    for slot in slots(manifest):
        array, where = slot.array, slot.where
        paths.append(array["path"])
        report.must(len(array["shape"]) <= 3, "MAN-1", f"{where}.shape", "has more than 3 axes")
        one_length = len(array["shape"]) == len(array["chunk"]) == len(array["shard"])
        if not report.must(one_length, "MAN-5", where, "shape, chunk and shard have different lengths"):
            sound = False
            continue
        fits = not any(s % c for s, c in zip(array["shard"], array["chunk"], strict=True))
        sound &= report.must(fits, "ZAR-13", where, f"a shard {array['shard']} is no whole number of {array['chunk']}")
        sound &= check_type(slot, report)
        check_fill(slot, report)
    for a, b in pairwise(sorted(paths)):
        report.must(a != b, "ZAR-3", a, "two arrays have this path")
    for path in parents(paths) & set(paths):
        report("ZAR-3", path, "is the beginning of another array's path")
    return sound


def parents(paths: Sequence[str]) -> set[str]:
    """All groups above arrays."""
    return {"/".join(path.split("/")[:k]) for path in paths for k in range(1, path.count("/") + 1)}


def check_type(slot: Slot, report: Report) -> bool:
    """Check data type and shape of an array against the chapters."""
    found, where = slot.array["shape"], slot.where
    statement = "ZAR-22" if where.endswith((".bytes", ".offsets")) else "CEL-15" if ".obs[" in where else slot.statement
    right = slot.array["dtype"] in slot.dtypes
    right &= report.must(right, statement, where, f"expected {' or '.join(slot.dtypes)}, found {slot.array['dtype']}")
    fits = len(found) == len(slot.shape) and all(w in (None, f) for w, f in zip(slot.shape, found, strict=True))
    fits = fits and not (where.endswith(".offsets") and found == [0])
    wanted = ["n" if extent is None else extent for extent in slot.shape]
    fits = report.must(fits, slot.statement, where, f"expected the shape {wanted}, found {found}")
    return right and fits


def check_fill(slot: Slot, report: Report) -> None:
    """Check a fill value [ZAR-19]."""
    fill, dtype, where = slot.array["fill"], np.dtype(slot.array["dtype"]), slot.where
    if slot.fill is not None:
        statement = "NBR-3" if slot.fill == WEIGHT_FILL else "ZAR-19"
        report.must(fill == slot.fill, statement, where, f"expected the fill value {slot.fill}, found {fill}")
        return
    if dtype.kind == "f":
        fits = abs(fill) <= float(np.finfo(dtype).max) and float(dtype.type(fill)) == fill
    else:
        fits = isinstance(fill, int) and int(np.iinfo(dtype).min) <= fill <= int(np.iinfo(dtype).max)
        fits = fits and (dtype.itemsize < 8 or fill % 4096 == 0)
    report.must(fits, "ZAR-19", where, f"the fill value {fill} is no {dtype}, or of 64 bits and no multiple of 4096")


def check_sums(manifest: Json, report: Report) -> None:
    """Check rows and sources over all parts, and the genes' organisms."""
    parts, genes = manifest["parts"], manifest["genes"]
    rows = sources = 0
    for k, part in enumerate(parts):
        where, fields, first = f"parts[{k}]", part["fields"], part["sources"]["first"]
        report.must(part["start"] == rows, "PRT-1", f"{where}.start", f"expected {rows}, found {part['start']}")
        report.must(first == sources, "PRT-5", f"{where}.sources.first", f"expected {sources}, found {first}")
        right = part["sources"]["n_genes"] <= genes["n"]
        report.must(right, "PRT-9", f"{where}.sources.n_genes", f"expected at most {genes['n']}")
        rows, sources = rows + part["n_cells"], sources + part["sources"]["n"]
        right = fields[:5] == ["row_end", "source", "source_row", "total_counts", "n_genes"]
        right = right and len(set(fields)) == len(fields) == part["index"]["shape"][0]
        report.must(right, "CEL-1", f"{where}.fields", f"are not those of {part['index']['shape'][0]} rows: {fields}")
    for name, total in (("n_cells", rows), ("n_entries", sum(part["n_entries"] for part in parts))):
        report.must(manifest[name] == total, "PRT-3", name, f"expected {total}, found {manifest[name]}")
    right = (len(parts) > 1) == ("parts" in manifest["required_features"])
    report.must(right, "PRT-4", "required_features", f"the feature parts does not fit {len(parts)} parts")
    report.must(genes["n"] < 2**31, "GEN-1", "genes.n", "is 2^31 or more")
    taxa = [organism["taxon"] for organism in genes["organisms"]]
    right = sum(organism["n_genes"] for organism in genes["organisms"]) == genes["n"] and taxa == sorted(set(taxa))
    report.must(right, "GEN-8", "genes.organisms", f"taxa do not ascend, or n_genes do not sum to {genes['n']}")
    for k, skipped in enumerate(manifest["skipped"]):
        right = not re.search(r"[/\\]", skipped["path"])
        report.must(right, "MAN-7", f"skipped[{k}].path", "is more than the last segment of a path")


def check_extents(manifest: Json, report: Report) -> None:
    """Check chunks and shards of counts, records and neighbours."""
    for k, part in enumerate(manifest["parts"]):
        where, entries, index, n = f"parts[{k}]", part["entries"], part["index"], len(part["fields"])
        e = entries["shard"][1]
        right = entries["shape"][1] % e == 0 and entries["chunk"][0] == entries["shard"][0] == 2 and e < 2**31
        report.must(right, "CNT-12", f"{where}.entries", "has a shape, chunks or shards that counts must not have")
        right = index["chunk"][0] == index["shard"][0] == n
        report.must(right, "CEL-2", f"{where}.index", f"chunks and shards do not have the extent {n}")
    for k, table in enumerate(manifest.get("neighbours", [])):
        weights = table.get("weights", table["rows"])
        extents = {a[extent][0] for a in (table["rows"], weights) for extent in ("chunk", "shard")}
        right = extents == {table["k"]}
        report.must(right, "NBR-2", f"neighbours[{k}]", f"chunks or shards do not have the extent {table['k']}")


def check_neighbour_entries(manifest: Json, report: Report) -> None:
    """Check what the manifest says of neighbour tables."""
    tables, ends = manifest.get("neighbours", []), {part["start"] + part["n_cells"] for part in manifest["parts"]}
    names = [table["name"] for table in tables]
    right = len(set(names)) == len(names) and all(is_scalar("name", name) for name in names)
    report.must(right, "NBR-1", "neighbours", f"names are twice there, or not of the form of names: {names}")
    for k, table in enumerate(tables):
        where = f"neighbours[{k}]"
        report.must(table["n_rows"] in ends, "NBR-1", f"{where}.n_rows", f"no part ends at {table['n_rows']}")
        report.must(("weights" in table) == ("weight" in table), "NBR-2", where, "weight and weights are not together")
        right = table["cells"] == cells_digest(manifest, table["n_rows"])
        report.must(right, "NBR-6", f"{where}.cells", "is not the digest of the store's cells")


def check_columns(manifest: Json, report: Report) -> None:
    """Check which members obs columns and their values have."""
    labels = [label["name"] for label in manifest["labels"]]
    columns = {column["name"]: column for column in manifest["obs"]}
    report.must(len(set(labels)) == len(labels), "LAB-1", "labels", "two labels have one name")
    report.must(len(columns) == len(manifest["obs"]), "CEL-13", "obs", "two columns have one name")
    for name, column in columns.items():
        given = [member for member in ("categories", "label") if member in column]
        right = len(given) == (column["kind"] == "categorical") and column.get("label") in [None, *labels]
        report.must(right, "CEL-20", f"obs[{name!r}]", f"a {column['kind']} column with {given}, or no such label")
        right = column["dtype"] in NUMPY_NAMES.get(column["kind"], sum(NUMPY_NAMES.values(), ()))
        report.must(right, "MAN-1", f"obs[{name!r}].dtype", f"{column['dtype'][:40]!r} holds no {column['kind']}s")
    member = {"string": {"strings"}, "categorical": {"codes"}}
    for k, part in enumerate(manifest["parts"]):
        for name, held in part["obs"].items():
            where = f"parts[{k}].obs[{name!r}]"
            if not report.must(name in columns, "CEL-13", where, "the manifest does not list this column"):
                continue
            wanted = set() if "label" in columns[name] else member.get(columns[name]["kind"], {"values"})
            right = set(held) & {"values", "strings", "codes"} == wanted
            right = right and ("missing" not in held or not wanted <= {"codes"})
            report.must(right, "CEL-15", where, f"expected {sorted(wanted)}, found {sorted(held)}")


def check_places(manifest: Json, report: Report) -> None:
    """Check where labels and splits of each part lie, and what it is ordered by."""
    labels = {label["name"] for label in manifest["labels"]}
    for k, part in enumerate(manifest["parts"]):
        where, by = f"parts[{k}]", part["order"].get("by", [])
        right = set(part["labels"]) <= labels
        report.must(right, "LAB-5", f"{where}.labels", "names a label that the manifest does not list")
        right = ("split" in part) == ("splits" in manifest)
        report.must(right, "SPL-1", f"{where}.split", "splits of the manifest and of the part do not fit")
        places = [*part["labels"].values(), *([part["split"]] if "split" in part else [])]
        right = all(("field" in place) != ("array" in place) for place in places)
        report.must(right, "MAN-1", f"{where}.labels", "a place has not exactly one of field and array")
        used = [place["field"] for place in places if "field" in place]
        right = len(set(used)) == len(used) and all(number < len(part["fields"]) for number in used)
        report.must(right, "CEL-4", f"{where}.labels", f"fields {used} are used twice, or beyond the record")
        right = (not by or part["order"]["kind"] == "stratified") and set(by) <= set(part["labels"])
        report.must(right, "ORD-6", f"{where}.order", f"{by} are not labels of a stratified part")


def exact(share: float) -> Fraction:
    """Give the shortest decimal number that is the same binary64 [SPL-7]."""
    return Fraction(repr(share))


def check_shares(manifest: Json, report: Report) -> None:
    """Check names and shares of splits."""
    splits = manifest.get("splits", {"names": ["none"], "counts": [0]})
    names, shares = splits["names"], splits.get("shares")
    right = len(set(names)) == len(names) == len(splits["counts"]) and "" not in names
    report.must(right, "SPL-2", "splits", "names are empty or twice there, or there are not as many counts")
    if shares is not None and report.must(len(shares) == len(names), "SPL-2", "splits.shares", "are not one a name"):
        right = min(shares) > 0 and abs(sum(map(exact, shares), Fraction(-1))) <= Fraction(1, 10**9)
        report.must(right, "SPL-6", "splits.shares", f"{shares} are not above 0, or do not sum to 1")


def cells_digest(manifest: Json, n_rows: int) -> str:
    """`cells` of a table of the first rows [TAB-9]."""
    parts = [part for part in manifest["parts"] if part["start"] < n_rows]
    return sha256(*[f"{part['index']['sha256']}\t{part['content']['sha256']}\n".encode() for part in parts])


def check_table_entries(tables: list[Json], report: Report) -> None:
    """Check members of sampling tables [TAB-6]."""
    for k, table in enumerate(tables):
        check_kind("WholeTable", table, f"tables[{k}]", report, "TAB-6")
        right = {"run_start", "run_length", "rows"} & set(table) in ({"run_start", "run_length"}, {"rows"})
        report.must(right, "TAB-6", f"tables[{k}]", "expected run_start and run_length, or rows")
    right = len({table["name"] for table in tables}) == len(tables)
    report.must(right, "TAB-6", "tables", "two tables have one name")


# ---------------------------------------------------------------------------------------------------------------------
# Level 2: every zarr.json, names and sizes of files
# ---------------------------------------------------------------------------------------------------------------------


def attempt(report: Report, check: Callable[..., None], *arguments: Any) -> None:
    """Make a check, as far as it goes."""
    try:
        check(*arguments)
    except RefusedError as error:
        report(*error.finding)
    except UnreadError:
        pass


def check_hierarchy(store: Store, report: Report) -> None:
    """Check groups, metadata of arrays, and which files there are."""
    arrays, groups = [slot.array for slot in slots(store.manifest)], store.manifest["groups"]
    wanted = parents([array["path"] for array in arrays])
    for path in sorted(wanted ^ set(groups)):
        report("ZAR-5", "groups", f"{path[:200]} is no group above an array, or is not listed")
    for path in sorted(wanted & set(groups)):
        attempt(report, check_group, store, path, report)
    for array in arrays:
        attempt(report, check_metadata, store, array, report)
        attempt(report, check_files, store, array, report)


def check_group(store: Store, path: str, report: Report) -> None:
    """Check the `zarr.json` of a group [ZAR-5] [INT-3]."""
    raw, document = store.document(path, "ZAR-5", report)
    right = same_json(document, {"zarr_format": 3, "node_type": "group", "attributes": {}})
    report.must(right, "ZAR-5", path, "is no Zarr v3 group with empty attributes")
    report.must(sha256(raw) == store.manifest["groups"][path], "INT-3", path, "its zarr.json has another digest")


def check_metadata(store: Store, array: Json, report: Report) -> None:
    """Check the `zarr.json` of an array [ZAR-9] to [ZAR-12]."""
    path = array["path"]
    check_document(store.document(path, "ZAR-9", report)[1], array_document(array), path, report)


def check_files(store: Store, array: Json, report: Report) -> None:
    """Check that the files of an array are there [ZAR-15]."""
    for place in shards(array):
        name = f"{array['path']}/{shard_name(place)}"
        if not (store.root / name).is_file():  # one is enough: the grid can be far larger than the store
            refuse("ZAR-15", name, "there is no such file")
    empty = 0 in array["shape"] and (store.root / array["path"] / "c").exists()
    report.must(not empty, "ZAR-15", array["path"], "has no elements, but files")


# ---------------------------------------------------------------------------------------------------------------------
# Level 3: every byte. First the arrays by themselves, then chapter by chapter what they say
# ---------------------------------------------------------------------------------------------------------------------


class Data:
    """The arrays of a store, whole. What cannot be read is reported once; a check that needs it is left out."""

    def __init__(self, store: Store, report: Report) -> None:
        self.store, self.manifest, self.report = store, store.manifest, report
        self.digests: dict[str, list[str]] = {}
        """SHA-256 of the files of an array's grid, in C order."""
        self.keys = np.empty(0, np.uint64)
        """key(t, id) of each gene [CEL-9]."""
        self._arrays: dict[str, Values] = {}
        self._texts: dict[str, list[str]] = {}
        for slot in slots(store.manifest):
            attempt(report, self._check_digest, slot.array)
            attempt(report, self._read, slot)

    def array(self, array: Json) -> Values:
        """All elements of an array."""
        if array["path"] not in self._arrays:
            raise UnreadError
        return self._arrays[array["path"]]

    def texts(self, strings: Json) -> list[str]:
        """All strings of many; those that are wrong are reported once [ZAR-23]."""
        path = strings["bytes"]["path"]
        if path not in self._texts:
            self._texts[path] = split_texts(self.array(strings["offsets"]), self.array(strings["bytes"]), path)
        return self._texts[path]

    def _read(self, slot: Slot) -> None:
        if slot.dtypes != ("uint16",):  # counts are read shard by shard
            self.store.check_rest(slot.array, self.report)
            self._arrays[slot.array["path"]] = self.store.read(slot.array, report=self.report)

    def _check_digest(self, array: Json) -> None:
        """Check the digest over the files of an array [INT-1] [INT-2]."""
        lines: list[str] = []
        for name in chain(["zarr.json"], map(shard_name, shards(array))):
            try:
                with (self.store.root / array["path"] / name).open("rb") as file:
                    lines.append(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n")
            except OSError:
                raise UnreadError from None  # level 2 reports a lost file
        right = sha256("".join(lines).encode()) == array["sha256"]
        self.report.must(right, "INT-2", array["path"], "its files do not have the digest of the manifest")
        self.digests[array["path"]] = [line[:64] for line in lines[1:]]


def check_data(store: Store, report: Report) -> list[PartView]:
    """Check all statements of level 3."""
    data, manifest = Data(store, report), store.manifest
    attempt(report, check_genes, data)
    parts = [PartView(f"parts[{k}]", part, data) for k, part in enumerate(manifest["parts"])]
    for part in parts:
        attempt(report, part.read_sources)
    names = [record["name"] for part in parts for record in part.records]
    report.must(len(set(names)) == len(names), "SRC-2", "sources", "two sources have one name")
    for part in parts:
        for check in (check_records, check_obs, check_counts, check_order):
            attempt(report, check, part)
    for k, label in enumerate(manifest["labels"]):
        attempt(report, check_label, f"labels[{k}]", label, parts, data)
    for column in manifest["obs"]:
        if "categories" in column:
            attempt(report, check_categories, "CEL-19", f"obs[{column['name']!r}]", column["categories"], data)
    if "splits" in manifest:
        attempt(report, check_splits, manifest["splits"], parts, data)
    for k, table in enumerate(manifest.get("neighbours", [])):
        attempt(report, check_neighbours, f"neighbours[{k}]", table, data)
    return parts


def check_categories(statement: str, where: str, strings: Json, data: Data) -> None:
    """Check that categories are distinct [LAB-2] [CEL-19]."""
    texts = data.texts(strings)
    data.report.must(len(set(texts)) == len(texts), statement, f"{where}.categories", "are not distinct")


# Genes


def check_genes(data: Data) -> None:
    """Check the gene index."""
    report, genes = data.report, data.manifest["genes"]
    ids, taxa, resolved = data.texts(genes["id"]), data.array(genes["taxon"]).tolist(), data.array(genes["resolved"])
    lines = [f"{taxon}\t{name}".encode() for taxon, name in zip(taxa, ids, strict=True)]
    data.keys = np.array([int.from_bytes(hashlib.sha256(line).digest()[:8], "little") for line in lines], np.uint64)
    right = len(set(lines)) == len(lines) and not any(re.search(r"^$|[\x00-\x1f\x7f]", name) for name in ids)
    report.must(right, "GEN-2", "genes.id", "two genes have one taxon and id, or an id is empty or has control bytes")
    report.must(min(taxa, default=0) >= 0, "GEN-4", "genes.taxon", "a taxon is negative")
    versions = [name for name in ids if re.fullmatch(r"ENS[A-Z]*G[0-9]{11}\.[0-9]+", name)]
    right = bool(every(resolved <= 1)) and not any(resolved[ids.index(name)] for name in versions)
    report.must(right, "GEN-5", "genes.resolved", "a flag is not 0 or 1, or an id of Ensembl has a version")
    report.must("" not in data.texts(genes["symbol"]), "GEN-6", "genes.symbol", "a symbol is empty")
    data.texts(genes["biotype"])
    right = data.array(genes["by_id"]).tolist() == sorted(range(len(ids)), key=lambda g: (taxa[g], ids[g]))
    report.must(right, "GEN-7", "genes.by_id", "does not sort the genes by taxon and id")
    found, counts = np.unique(taxa, return_counts=True)
    organisms = {organism["taxon"]: organism["n_genes"] for organism in genes["organisms"]}
    right = organisms == dict(zip(found.tolist(), counts.tolist(), strict=True))
    report.must(right, "GEN-8", "genes.organisms", "are not the taxa of the genes, with how many genes each has")
    for statement, name, ordered in (("GEN-12", "index_digest", lines), ("GEN-13", "set_digest", sorted(lines))):
        right = sha256(*(line + b"\n" for line in ordered)) == genes[name]
        report.must(right, statement, f"genes.{name}", "is not the digest of the genes")


# Sources


class PartView:
    """A part as checks see it: its source records, and its cells' records and codes."""

    def __init__(self, where: str, part: Json, data: Data) -> None:
        self.where, self.part, self.data = where, part, data
        self.n: int = part["n_cells"]
        self.sources: Json = part["sources"]
        self.records: list[Json] = []
        self.source: Values | None = None
        """Source of each cell, numbered in the part; None where one is wrong."""

    def codes(self, place: Json | None) -> Values:
        """Codes of the cells, wherever they lie [LAB-5]; all missing where they lie nowhere [LAB-6]."""
        if place is None:
            return np.full(self.n, MISSING)
        if "array" in place:
            return self.data.array(place["array"])
        return np.asarray(self.data.array(self.part["index"])[place["field"]])

    def field(self, name: str) -> Values:
        """One of the first five fields of the records, as int64."""
        return np.asarray(self.data.array(self.part["index"])[self.part["fields"].index(name)].astype(np.int64))

    def whole(self) -> tuple[Values, list[Json]]:
        """Give the cells' sources and the source records, where both are right."""
        if self.source is None or len(self.records) != self.sources["n"]:
            raise UnreadError
        return self.source, self.records

    def read_sources(self) -> None:
        """Check records [SRC-1], columns [SRC-9] [SRC-10] and what was measured [SRC-5]."""
        sources, report, data = self.sources, self.data.report, self.data
        for k, text in enumerate(data.texts(sources["records"])):
            attempt(report, self._read_record, f"{self.where}.sources.records[{k}]", text)
        where, g, n = f"{self.where}.sources", sources["n_genes"], sources["n"]
        offsets, gene = data.array(sources["var_offsets"]), data.array(sources["var_gene"])
        data.texts(sources["var_names"])
        if not cut(offsets, gene.size):
            refuse("SRC-9", f"{where}.var_offsets", f"do not go from 0 to {gene.size} without a step back")
        if np.any((gene < MISSING) | (gene >= g)):
            refuse("SRC-10", f"{where}.var_gene", f"a gene is not from -1 to {g - 1}")
        measured, owner = np.zeros((n, g), np.uint8), np.repeat(np.arange(n), np.diff(offsets))
        measured[owner[gene >= 0], gene[gene >= 0]] = 1
        right = np.array_equal(measured, data.array(sources["measured"]))
        report.must(right, "SRC-5", f"{where}.measured", "is not what the columns say")
        if len(self.records) == n:
            for k, record in enumerate(self.records):
                self._check_record(f"{where}.records[{k}]", record, gene[offsets[k] : offsets[k + 1]])

    def _read_record(self, where: str, text: str) -> None:
        """Read a source record [SRC-1] [CNV-1]."""
        wrong = Findings()
        try:
            record = parse_json(text.encode(), where, self.data.report)
            check_kind("SourceRecord", record, where, wrong, "SRC-1")
        except RefusedError as error:
            wrong("SRC-1", where, error.finding[2])
        for finding in wrong.listed:
            self.data.report("SRC-1", finding["where"], finding["message"])
        if not wrong.listed:
            self.records.append(record)

    def _check_record(self, where: str, record: Json, gene: Values) -> None:
        """Check the figures of a source record that its columns show [SRC-11], and names [SRC-4] [MAN-7]."""
        report, genes, kept = self.data.report, self.data.manifest["genes"], gene[gene >= 0]
        left_out, distinct = gene.size - kept.size, np.unique(kept).size
        known = int(self.data.array(genes["resolved"])[kept].sum())
        report.must(record["n_vars"] == gene.size, "SRC-9", f"{where}.n_vars", f"expected {gene.size}")
        bounds = {  # a column that was left out can be of a known gene, and of one gene with another left out
            "n_left_out": (left_out, left_out),
            "n_resolved": (known, known + left_out),
            "n_merged": (kept.size - distinct, gene.size - distinct - (left_out > 0)),
            "n_cells": (0, record["n_rows"]),
        }
        for name, (least, most) in bounds.items():
            right = least <= record[name] <= most
            report.must(right, "SRC-11", f"{where}.{name}", f"expected {least} to {most}, found {record[name]}")
        found, organisms = set(self.data.array(genes["taxon"])[kept].tolist()), record["organisms"]
        right = found == set(organisms) or (left_out > 0 and found < set(organisms))
        right = right and organisms == sorted(set(organisms))
        report.must(right, "SRC-11", f"{where}.organisms", f"expected {sorted(found)}, found {organisms}")
        right = not re.search(r"[/\\]", record.get("path") or "")
        report.must(right, "MAN-7", f"{where}.path", "is more than the last segment of a path")
        names = [column["name"] for column in record["columns"]]
        right = set(names) <= {column["name"] for column in self.data.manifest["obs"]} and len(set(names)) == len(names)
        report.must(right, "SRC-4", f"{where}.columns", "names a column twice, or one that the store does not have")
        listed = [column.get("categories") or [] for column in record["columns"]]
        right = all(len(set(categories)) == len(categories) for categories in listed)
        report.must(right, "SRC-4", f"{where}.columns", "has a category twice")


# Cells


def check_records(part: PartView) -> None:
    """Check the cells' sources and rows [CEL-5] [CEL-6], their number [SRC-11], and barcodes [CEL-12]."""
    report, where, row = part.data.report, f"{part.where}.index", part.field("source_row")
    local, n = part.field("source") - part.sources["first"], part.sources["n"]
    part.data.texts(part.part["barcode"])
    if np.any((local < 0) | (local >= n)):
        refuse("CEL-5", where, "a cell's source is not one of the part's")
    part.source = local
    report.must(every(row >= 0), "CEL-5", where, "a source_row is negative")
    right = np.unique(local * 2**32 + row).size == part.n
    report.must(right, "CEL-6", where, "two cells have one source and source_row")
    numbers = np.bincount(local, minlength=n).tolist()
    for k, record in enumerate(part.whole()[1]):
        right = every(row[local == k] < record["n_rows"])
        report.must(right, "CEL-5", where, f"a source_row of source {k} is not below {record['n_rows']}")
        there, right = f"{part.where}.sources.records[{k}].n_cells", record["n_cells"] == numbers[k]
        report.must(right, "SRC-11", there, f"expected {numbers[k]}, found {record['n_cells']}")


def check_obs(part: PartView) -> None:
    """Check values of obs columns."""
    columns = {column["name"]: column for column in part.data.manifest["obs"]}
    for name, held in part.part["obs"].items():
        attempt(part.data.report, check_obs_values, f"{part.where}.obs[{name!r}]", columns[name], held, part.data)


def check_obs_values(where: str, column: Json, held: Json, data: Data) -> None:
    """Check values of a column in a part [CEL-16] [CEL-18] [CEL-19]."""
    if "codes" in held:
        codes, n = data.array(held["codes"]), n_strings(column["categories"])
        right = every((codes >= MISSING) & (codes < n))
        data.report.must(right, "CEL-19", f"{where}.codes", f"a code is not from -1 to {n - 1}")
    if column["kind"] == "boolean":
        right = every(data.array(held["values"]) <= 1)
        data.report.must(right, "CEL-18", f"{where}.values", "a value is neither 0 nor 1")
    if "strings" in held:
        data.texts(held["strings"])
    if "missing" in held:
        missing = data.array(held["missing"])
        data.report.must(every(missing <= 1), "CEL-16", f"{where}.missing", "a flag is neither 0 nor 1")
        size = data.array(held["values"]) if "values" in held else np.diff(data.array(held["strings"]["offsets"]))
        right = every(size[missing == 1] == 0)
        data.report.must(right, "CEL-16", where, "a missing value is not stored as 0 or an empty string")


# Counts


def begins_of(*keys: Values) -> Values:
    """Where, in sorted arrays of one length, an element differs from the one before."""
    changes = np.any([np.diff(key) != 0 for key in keys], axis=0)
    return np.flatnonzero(np.concatenate([np.ones(min(keys[0].size, 1), bool), changes]))


def decode_cells(entries: Values, lengths: Values) -> tuple[Values, Values, Values]:
    """Decode cells whose entries follow one another [CNT-1]: the cell, gene and value of each value above 0."""
    delta, count = entries.astype(np.int64)
    cell = np.repeat(np.arange(lengths.size), lengths)
    reach = np.concatenate([[0], np.cumsum(delta)])
    gene = reach[1:] - reach[np.cumsum(lengths) - lengths][cell]
    cell, gene, count = cell[count > 0], gene[count > 0], count[count > 0]
    begins = begins_of(cell, gene)
    return cell[begins], gene[begins], np.add.reduceat(count, begins) if count.size else count


def check_entries(where: str, entries: Values, lengths: Values, n_genes: int, report: Report) -> bool:
    """Check entries of cells that follow one another [CNT-4] [CNT-5]; say whether they can be decoded."""
    delta, count = entries.astype(np.int64)
    right = every((delta == 65535) == (count == 0))
    right = report.must(right, "CNT-4", where, "an entry has the count 0 or the delta 65535, and not both")
    reach, ends = np.concatenate([[0], np.cumsum(delta)]), np.cumsum(lengths)
    below = every((reach[ends] - reach[ends - lengths])[lengths > 0] < n_genes)
    return report.must(below, "CNT-5", where, f"a gene is not below {n_genes}") and right


def is_canonical(entries: Values, lengths: Values) -> bool:
    """Whether entries that keep [CNT-4] are the canonical form [CNT-2] [CNT-3].

    They are not in two cases only: a gap without a gene at the end of a cell, and a value that goes on in a further
    entry although the one before is not full.
    """
    delta, count = entries
    ends = np.cumsum(lengths)[lengths > 0]
    first = np.zeros(delta.size, bool)
    first[ends - lengths[lengths > 0]] = True
    goes_on = ~first[1:] & (delta[1:] == 0) & (count[:-1] > 0)
    return not np.any(count[ends - 1] == 0) and not np.any(goes_on & (count[:-1] != 65535))


class Tally:
    """What a part's entries sum to: figures of each cell, and how often each value of a source and a gene occurs."""

    def __init__(self, n: int) -> None:
        self.total, self.n_genes, self.hash = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.uint64)
        self.pair = self.value = self.times = np.empty(0, np.int64)
        """Source times genes plus gene, value and how often; sorted by the first two."""

    def add(self, pair: Values, value: Values) -> None:
        """Count values."""
        pair, value = np.concatenate([self.pair, pair]), np.concatenate([self.value, value])
        times = np.concatenate([self.times, np.ones(pair.size - self.times.size, np.int64)])
        order = np.lexsort((value, pair))
        pair, value, times = pair[order], value[order], times[order]
        begins = begins_of(pair, value)
        self.pair, self.value = pair[begins], value[begins]
        self.times = np.add.reduceat(times, begins) if pair.size else times


def check_counts(part: PartView) -> None:
    """Check the counts of a part, shard by shard, and what other arrays say of them."""
    data, report, entries = part.data, part.data.report, part.part["entries"]
    rows, ends, e = data.array(part.part["shard_rows"]), part.field("row_end"), entries["shard"][1]
    if rows[0] != 0 or rows[-1] != part.n or np.any(np.diff(rows) <= 0):
        refuse("CNT-9", f"{part.where}.shard_rows", f"do not increase from 0 to {part.n}")
    stored, digests = data.array(part.part["shard_digests"]).tobytes(), data.digests.get(entries["path"])
    right = digests is None or stored == "".join(digests).encode()
    report.must(right, "CNT-13", f"{part.where}.shard_digests", "are not the digests of the files")
    begins = np.concatenate([ends[:0], [0] * (part.n > 0), ends[:-1]]).astype(np.int64)
    begins[rows[:-1]] = 0
    if np.any(ends < begins) or np.any(ends > e):
        refuse("CNT-11", f"{part.where}.index", f"row_end decreases within a shard, or is beyond {e}")
    total, found = int(ends[rows[1:] - 1].sum()), part.part["n_entries"]
    report.must(found == total, "CNT-11", f"{part.where}.n_entries", f"expected {total}, found {found}")
    tally, decoded = Tally(part.n), True
    for shard, (first, last) in enumerate(pairwise(rows.tolist())):
        attempt(report, check_tail, part, shard, int(ends[last - 1]))
        at = first
        while at < last:  # about BLOCK entries at a time
            to = max(at + 1, first + int(np.searchsorted(ends[first:last], begins[at] + BLOCK, "right")))
            cells = slice(at, to)
            try:
                box = ((0, 2), (shard * e + int(begins[at]), shard * e + int(ends[to - 1])))
                block = data.store.read(entries, box, pairs=True)
                decoded &= check_block(part, block, cells, (ends - begins)[cells], tally)
            except RefusedError as error:
                report(*error.finding)
                decoded = False
            at = to
    if decoded:
        attempt(report, check_figures, part, tally)
        attempt(report, check_statistics, part, tally)


def check_tail(part: PartView, shard: int, used: int) -> None:
    """Check what lies in a shard of counts beyond its last cell [CNT-8]."""
    entries, store, report = part.part["entries"], part.data.store, part.data.report
    where, chunk, e = f"{entries['path']}/{shard_name((0, shard))}", entries["chunk"][1], entries["shard"][1]
    index = store.index(entries, (0, shard), report)
    right = every(index[0, ceil_div(used, chunk) :] == ABSENT)
    report.must(right, "CNT-8", where, "has chunks that hold nothing of a cell")
    tail = store.raw(entries, ((0, 2), (shard * e + used, shard * e + max(ceil_div(used, chunk), 1) * chunk)))
    report.must(every(tail == 65535), "CNT-8", where, "has elements beyond its last cell that are not the fill value")


def check_block(part: PartView, entries: Values, cells: slice, lengths: Values, tally: Tally) -> bool:
    """Check the entries of some cells and add them up; say whether they could be decoded."""
    report, where, g = part.data.report, f"{part.where}.entries", part.sources["n_genes"]
    if part.data.keys.size < g:
        raise UnreadError
    if not check_entries(where, entries, lengths, g, report):
        return False
    right = is_canonical(entries, lengths)
    report.must(right, "CNT-3", where, f"cells {cells.start} to {cells.stop - 1} are not all in the canonical form")
    cell, gene, value = decode_cells(entries, lengths)
    report.must(every(value < 2**53), "CNT-5", where, "a value is 2^53 or more")
    hashes = part.data.keys[gene] * value.astype(np.uint64)
    bounds = np.searchsorted(cell, np.arange(lengths.size + 1))
    tally.n_genes[cells] = np.diff(bounds)
    for sums, values in ((tally.total, value), (tally.hash, hashes)):  # those of hashes are modulo 2^64
        upto = np.concatenate([values[:0], np.zeros(1, values.dtype), np.cumsum(values, dtype=values.dtype)])
        sums[cells] = upto[bounds[1:]] - upto[bounds[:-1]]
    if part.source is not None:
        source = part.source[cells][cell]
        right = every(part.data.array(part.sources["measured"])[source, gene] == 1)
        report.must(right, "SRC-7", where, "a cell has a count for a gene that its source did not measure")
        tally.add(source * g + gene, value)
    return True


def check_figures(part: PartView, tally: Tally) -> None:
    """Check `total_counts` and `n_genes` [CEL-7] and the content hash [CEL-10].

    All are over all columns of a source. Where columns were left out of the index the entries show them only of cells
    that have no counts there; of the others they are lower bounds.
    """
    report, where, (source, records) = part.data.report, f"{part.where}.index", part.whole()
    names = ("n_left_out", "n_merged", "n_vars")
    left_out, merged, n_vars = (np.array([record[name] for record in records], np.int64)[source] for name in names)
    total, n_genes, content = part.field("total_counts"), part.field("n_genes"), part.data.array(part.part["content"])
    known = np.where(tally.total < 2**31, tally.total, TOO_LARGE)
    all_kept = (left_out == 0) | ((total == known) & (total != TOO_LARGE))
    right = every(np.where(all_kept, total == known, (total > tally.total) | (total == TOO_LARGE)))
    report.must(right, "CEL-7", where, "total_counts is not the sum of a cell's counts")
    between = (n_genes >= tally.n_genes) & (n_genes <= n_vars)
    right = every(np.where(all_kept & (merged == 0), n_genes == tally.n_genes, between))
    report.must(right, "CEL-7", where, "n_genes is not the number of a cell's columns with counts")
    h = tally.hash ^ (tally.hash >> np.uint64(32))
    h = (h * np.uint64(0xD6E8FEB86659FD93)) >> np.uint64(1)
    right = every(np.where(all_kept, content == h.astype(np.int64), content >= 0))
    report.must(right, "CEL-10", f"{part.where}.content", "is not the hash of a cell's counts")


def check_statistics(part: PartView, tally: Tally) -> None:
    """Check figures of the sources [SRC-11] and statistics of their genes [SRC-8]."""
    report, (_, records), g = part.data.report, part.whole(), part.sources["n_genes"]
    source, by_value = tally.pair // max(g, 1), tally.times * tally.value
    for k, record in enumerate(records):
        for name, values in (("n_nonzero", tally.times), ("total", by_value)):
            where, number = f"{part.where}.sources.records[{k}].{name}", values[source == k].sum()
            report.must(record[name] == number, "SRC-11", where, f"expected {number}, found {record[name]}")
    stats = part.data.array(part.sources["stats"]).reshape(4, -1)
    wanted = np.zeros(stats.shape, np.int64)
    if tally.pair.size:
        begins, upto = begins_of(tally.pair), np.cumsum(tally.times)
        pairs, number = tally.pair[begins], np.add.reduceat(tally.times, begins)
        middle = upto[begins] - tally.times[begins] + (number - 1) // 2  # place of the lower median among all values
        median = tally.value[np.searchsorted(upto, middle, "right")]
        wanted[:, pairs] = number, np.add.reduceat(by_value, begins), sums_of_squares(tally, begins), median
    right = stats == wanted
    right[2] |= (stats[2] == TOO_LARGE) & (wanted[2] > 2**53)  # beyond it the sum may be stored, or -3
    for k, at in np.argwhere(~right)[:1].tolist():
        where = f"{part.where}.sources.stats[{k}, {at // g}, {at % g}]"
        report("SRC-8", where, f"expected {wanted[k, at]}, found {stats[k, at]}")


def sums_of_squares(tally: Tally, begins: Values) -> Values:
    """Sum squares of each pair; -3 where int64 cannot hold the sum."""
    rough = np.add.reduceat(tally.times * tally.value.astype(np.float64) ** 2, begins)
    lengths = np.diff(begins, append=tally.pair.size)
    value = np.where(np.repeat(rough < 2**62, lengths), tally.value, 0)
    sums = np.add.reduceat(tally.times * value**2, begins)
    for k in np.flatnonzero(rough >= 2**62).tolist():
        group = slice(int(begins[k]), int(begins[k] + lengths[k]))
        number = sum(t * v * v for t, v in zip(tally.times[group].tolist(), tally.value[group].tolist(), strict=True))
        sums[k] = number if number < 2**63 else TOO_LARGE
    return np.asarray(sums)


# Labels


def check_label(where: str, label: Json, parts: Sequence[PartView], data: Data) -> None:
    """Check categories, codes and counts of a label, and its ontology."""
    report, categories = data.report, data.texts(label["categories"])
    n = len(categories)
    check_categories("LAB-2", where, label["categories"], data)
    right = sum(a > b for a, b in pairwise(categories)) < len(parts)
    report.must(right, "LAB-2", f"{where}.categories", "are not sorted, those of each append among themselves")
    totals = np.zeros(n, np.int64)
    for part in parts:
        codes = part.codes(part.part["labels"].get(label["name"]))
        if np.any((codes < MISSING) | (codes >= n)):
            refuse("LAB-7", f"{part.where}.labels[{label['name']!r}]", f"a code is not from -1 to {n - 1}")
        totals += np.bincount(codes[codes >= 0], minlength=n)
    right = np.array_equal(totals, data.array(label["counts"]))
    report.must(right, "LAB-4", f"{where}.counts", "are not the numbers of cells")
    if "ontology" in label:
        check_ontology(f"{where}.ontology", label["ontology"], categories, totals, data)


def check_ontology(where: str, graph: Json, categories: list[str], totals: Values, data: Data) -> None:
    """Check the terms of a label."""
    report, ids, names = data.report, data.texts(graph["id"]), data.texts(graph["name"])
    t, terms = len(ids), data.array(graph["category_terms"])
    right = ids == sorted(set(ids)) and "" not in names
    report.must(right, "LAB-11", f"{where}.id", "are not distinct and sorted, or a name is empty")
    prefixes = {name.partition(":")[0] for name in ids} - set(graph["releases"])
    report.must(not prefixes, "LAB-17", f"{where}.releases", f"lacks {sorted(prefixes)}")
    nodes = terms[terms >= 0]
    if np.any((terms < MISSING) | (terms >= t)) or np.unique(nodes).size < nodes.size:
        refuse("LAB-14", f"{where}.category_terms", f"are not distinct, or not from -1 to {t - 1}")
    for category, node in zip(categories, terms.tolist(), strict=True):
        right = node < 0 or category in (names[node], f"{names[node]} ({ids[node]})")
        report.must(right, "LAB-16", f"{where}.category_terms", f"{category[:80]!r} is not named like its term")
    offsets, closure = data.array(graph["closure_offsets"]), data.array(graph["closure"])
    right = cut(offsets, closure.size) and every((closure >= 0) & (closure < t))
    report.must(right, "LAB-13", f"{where}.closure", f"is not cut into {t} lists of nodes")
    child, parent = data.array(graph["edges"]).astype(np.int64)
    inside = every((child >= 0) & (child < t) & (parent >= 0) & (parent < t))
    sound = inside and every(np.diff(child * t + parent) > 0)
    report.must(sound, "LAB-12", f"{where}.edges", "are not distinct and sorted, or lead beyond the terms")
    if not right or not inside:
        raise UnreadError
    above = [closure[a:b].tolist() for a, b in pairwise(offsets.tolist())]
    check_closure(where, child, parent, above, report)
    counts = [0] * t
    for node, number in zip(terms.tolist(), totals.tolist(), strict=True):
        for reached in above[node] if node >= 0 else ():
            counts[reached] += number
    right = counts == data.array(graph["counts"]).tolist()
    report.must(right, "LAB-15", f"{where}.counts", "are not the numbers of cells at or below each term")


def check_closure(where: str, child: Values, parent: Values, closure: list[list[int]], report: Report) -> None:
    """Check that edges make no circle [LAB-12] and that the closure is what they reach [LAB-13]."""
    parents: list[list[int]] = [[] for _ in closure]
    children: list[list[int]] = [[] for _ in closure]
    for a, b in zip(child.tolist(), parent.tolist(), strict=True):
        parents[a].append(b)
        children[b].append(a)
    waiting = [len(nodes) for nodes in parents]
    ready = [node for node, number in enumerate(waiting) if not number]
    above: dict[int, set[int]] = {}
    while ready:
        node = ready.pop()
        above[node] = {node}.union(*(above[p] for p in parents[node]))
        if closure[node] != sorted(above[node]):
            refuse("LAB-13", f"{where}.closure", f"of node {node} is not what its edges reach")
        for c in children[node]:
            waiting[c] -= 1
            ready += [c] if not waiting[c] else []
    if len(above) < len(closure):
        refuse("LAB-12", f"{where}.edges", "lead in a circle")


# Splits


def split_thresholds(shares: Sequence[float]) -> list[int]:
    """T_s of each split [SPL-7]."""
    sums = [sum(map(exact, shares[: s + 1]), Fraction(0)) for s in range(len(shares) - 1)]
    return [*(min(math.floor(total * 2**64), 2**64) for total in sums), 2**64]


def group_key(values: Sequence[str | None]) -> int:
    """Key of a group of cells [SPL-8]."""
    pieces = [b"\0" if v is None else b"\1" + len(v.encode()).to_bytes(8, "little") + v.encode() for v in values]
    return int.from_bytes(hashlib.sha256(b"".join(pieces)).digest()[:8], "little")


def check_splits(splits: Json, parts: Sequence[PartView], data: Data) -> None:
    """Check split codes and their counts, and with shares the splits themselves."""
    names, report = splits["names"], data.report
    codes = np.concatenate([part.codes(part.part["split"]) for part in parts])
    if np.any((codes < MISSING) | (codes >= len(names))):
        refuse("SPL-3", "split", f"a code is not from -1 to {len(names) - 1}")
    numbers = np.bincount(codes[codes >= 0], minlength=len(names)).tolist()
    report.must(numbers == splits["counts"], "SPL-4", "splits.counts", f"expected {numbers}, found {splits['counts']}")
    if "shares" not in splits:
        return
    draws = u64(philox(splits["seed"], 10, np.concatenate([group_keys(part, splits["by"]) for part in parts]), 0))
    wanted = np.zeros(codes.size, np.int64)
    for threshold in split_thresholds(splits["shares"]):
        wanted += draws >= np.uint64(threshold) if threshold < 2**64 else 0
    # A cell can be in no split where one with the same counts is in another split [SPL-11].
    same = [np.concatenate([data.array(part.part["content"]) for part in parts])]
    same += [np.concatenate([part.field(name) for part in parts]) for name in ("total_counts", "n_genes")]
    twins = np.unique(np.stack(same), axis=1, return_inverse=True)[1].reshape(-1)
    least, most = np.full(codes.size, len(names)), np.full(codes.size, MISSING)
    np.minimum.at(least, twins[codes >= 0], codes[codes >= 0])
    np.maximum.at(most, twins[codes >= 0], codes[codes >= 0])
    apart = (most[twins] >= 0) & ((least[twins] != wanted) | (most[twins] != wanted))
    right = (codes == wanted) | ((codes == MISSING) & (same[2] > 0) & apart)
    for row in np.flatnonzero(~right)[:1].tolist():
        report("SPL-10", f"row {row}", f"expected the split {wanted[row]}, found {codes[row]}")


def group_keys(part: PartView, by: Sequence[str]) -> Values:
    """Key of each cell's group [SPL-8] [SPL-9]."""
    if not by:
        return np.asarray(part.data.array(part.part["content"]).astype(np.uint64))
    codes, texts = zip(*[text_column(part, name) for name in by], strict=True)
    groups, of = np.unique(np.stack(codes), axis=1, return_inverse=True)
    keys = [group_key([None if c < 0 else t[c] for c, t in zip(g, texts, strict=True)]) for g in groups.T.tolist()]
    return np.array(keys, np.uint64)[of.reshape(-1)]


def text_column(part: PartView, name: str) -> tuple[Values, list[str]]:
    """Codes and texts of a label or a categorical column; of others [SPL-8] does not say what the values are."""
    manifest, data = part.data.manifest, part.data
    labels = {label["name"]: label for label in manifest["labels"]}
    column = next((column for column in manifest["obs"] if column["name"] == name), None)
    if name in labels and (column is None or column.get("label") == name):
        return part.codes(part.part["labels"].get(name)), data.texts(labels[name]["categories"])
    if name in labels or column is None or "categories" not in column:
        raise UnreadError
    held = part.part["obs"].get(name)
    return part.codes(held and {"array": held["codes"]}), data.texts(column["categories"])


# Order


def check_order(part: PartView) -> None:
    """Check the order of the cells [ORD-1] to [ORD-5]."""
    order, (source, records), row = part.part["order"], part.whole(), part.field("source_row")
    keys: list[Values] = []
    if order["kind"] != "source":
        first_bytes = [int.from_bytes(bytes.fromhex(record["sha256"][:8]), "little") for record in records]
        words = np.array(first_bytes, np.uint64)[source]
        keys = [u64(philox(part.data.manifest["seed"], 9, row.astype(np.uint64), words))]  # [ORD-2]
    if order["kind"] == "stratified":
        keys += [part.codes(part.part["split"])] if "split" in part.part else []
        keys += [part.codes(part.part["labels"][name]) for name in reversed(order.get("by", []))]
    if not np.array_equal(np.lexsort([row, source, *keys]), np.arange(part.n)):
        statement = {"source": "ORD-1", "shuffled": "ORD-3", "stratified": "ORD-4"}[order["kind"]]
        only_ties = keys and np.array_equal(np.lexsort(keys), np.arange(part.n))
        where = f"{part.where}.order"
        refuse("ORD-5" if only_ties else statement, where, f"cells are not in the order {order['kind']}")


# Neighbours


def check_neighbours(where: str, table: Json, data: Data) -> None:
    """Check a neighbour table."""
    rows, report = data.array(table["rows"]).astype(np.int64), data.report
    there, ordered = rows >= 0, np.sort(rows, axis=0)
    right = every((rows >= MISSING) & (rows < table["n_rows"])) and not np.any(there[1:] & ~there[:-1])
    right = right and not np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0))
    right = right and not np.any(rows == np.arange(table["n_rows"]))
    report.must(right, "NBR-4", f"{where}.rows", "a row is beyond n_rows, follows -1, is there twice, or the cell")
    number, found = np.count_nonzero(there), table["n_neighbours"]
    report.must(number == found, "NBR-4", f"{where}.n_neighbours", f"expected {number}, found {found}")
    lines = ["scformat neighbours 1", f"cells {table['cells']}", f"k {table['k']}"]
    lines.append(f"rows {sha256(rows.T.astype('<i8').tobytes())}")
    if "weights" in table:
        weights = data.array(table["weights"])
        steps = np.diff(weights, axis=0)[there[1:]]
        right = every(np.isfinite(weights)) and not np.any(weights[~there] != 0)
        right = right and not np.any(steps < 0 if table["weight"] == "distance" else steps > 0)
        report.must(right, "NBR-5", f"{where}.weights", "are not finite, not 0 where there is no row, or not in order")
        lines.append(f"weights {sha256(weights.T.astype('<f4').tobytes())}")
    right = sha256("".join(f"{line}\n" for line in lines).encode()) == table["sha256"]
    report.must(right, "NBR-8", f"{where}.sha256", "is not the digest of the table")


# ---------------------------------------------------------------------------------------------------------------------
# Level 4: sampling tables
# ---------------------------------------------------------------------------------------------------------------------


def alias_table(masses: Sequence[int], bits: int) -> tuple[list[int], list[int]]:
    """Thresholds and aliases of masses [TAB-4]."""
    m = 2 ** (bits - 32)
    rest = [*masses, *[0] * (m - len(masses))]
    threshold, alias = [2**32] * m, list(range(m))
    small = [j for j in reversed(range(m)) if rest[j] < 2**32]
    large = [j for j in reversed(range(m)) if rest[j] > 2**32]
    while small:
        s, top = small.pop(), large[-1]
        threshold[s], alias[s] = rest[s], top
        rest[top] -= 2**32 - rest[s]
        if rest[top] < 2**32:
            small.append(large.pop())
        elif rest[top] == 2**32:
            large.pop()
    return threshold, alias


def masses_of(weights: Sequence[float], bits: int) -> list[int]:
    """Masses of weights [TAB-2]."""
    _, e = math.frexp(max(weights))
    scaled = [math.ldexp(w, -e) for w in weights]
    total = math.fsum(scaled)
    masses = [max(int(math.ldexp(v / total, bits)), 1 if w > 0 else 0) for v, w in zip(scaled, weights, strict=True)]
    masses[masses.index(max(masses))] += 2**bits - sum(masses)
    return masses


def masses_at(masses: Sequence[int], temperature: float, bits: int) -> list[int]:
    """Masses at a temperature [TAB-5]; at 1 they are those that are stored [TAB-3]."""
    if temperature == 1:
        return list(masses)
    shares = [q / max(masses) for q in masses]
    return masses_of([max(exact_power(u, 1 / temperature), 2.0**-1022) if u else 0.0 for u in shares], bits)


def exact_power(u: float, y: float) -> float:
    """Round the exact power, 0 < u <= 1, to the nearest binary64, ties to even [TAB-5]."""
    if y * math.log(u) < -720:
        return 0.0
    with localcontext(prec=120):
        power = (Decimal(u).ln() * Decimal(y)).exp()
    near = float(power)
    for neighbour in (math.nextafter(near, 0), math.nextafter(near, 2)):
        middle = (Fraction(near) + Fraction(neighbour)) / 2
        if abs(Fraction(power) - middle) < middle / 10**100:  # 120 digits cannot tell it from a tie: it is one
            return float(middle)
    return near


@dataclass(frozen=True)
class Table:
    """A sampling table that has been checked, without its rows."""

    store: Store
    entry: Json
    counts: list[int]
    masses: list[int]
    threshold: list[int]
    alias: list[int]
    offsets: Values

    @property
    def bits(self) -> int:
        """B of [TAB-1]."""
        return int(self.entry["bits"])

    def runs(self) -> tuple[Values, Values]:
        """Start and length of each run; rows are runs of one [TAB-7]."""
        if "rows" in self.entry:
            rows = self.store.read(self.entry["rows"]).astype(np.int64)
            return rows, np.ones_like(rows)
        return self.store.read(self.entry["run_start"]), self.store.read(self.entry["run_length"])

    def rows(self, strata: Values, k: Values) -> Values:
        """Row of the k-th cell of a stratum, for each of many [TAB-7]."""
        if "rows" in self.entry:  # only the chunks that are needed [TAB-11]
            array, places = self.entry["rows"], self.offsets[strata] + k
            found, chunk = np.zeros(places.size, np.int64), array["chunk"][0]
            for c in np.unique(places // chunk).tolist():
                data = self.store.read(array, ((c * chunk, min((c + 1) * chunk, array["shape"][0])),))
                found[places // chunk == c] = data[places[places // chunk == c] - c * chunk]
            return found
        start, length = self.runs()
        before = np.concatenate([[0], np.cumsum(length)])
        places = before[self.offsets[strata]] + k
        run = np.searchsorted(before, places, "right") - 1
        return np.asarray(start[run] + places - before[run])

    def all_rows(self) -> Values:
        """All rows of the table, ascending."""
        start, length = self.runs()
        rows = np.repeat(start - np.cumsum(length) + length, length)
        return np.sort(rows + np.arange(rows.size))


def open_table(store: Store, where: str, table: Json, report: Report) -> Table:
    """Check a table as far as it does not grow with the cells [TAB-11]."""
    bits, n_rows = 32 + (table["n_strata"] - 1).bit_length(), table["n_rows"]
    if table["bits"] != bits:
        refuse("TAB-1", f"{where}.bits", f"expected {bits}, found {table['bits']}")
    counts, masses, threshold, alias, offsets = (store.read(table[name]) for name in TABLE_ARRAYS[:5])
    q, n = masses.tolist(), counts.tolist()
    if sum(q) != 2**bits or min(q) < 0:
        refuse("TAB-1", f"{where}.masses", f"do not sum to 2^{bits}, or one is negative")
    right = all(cells > 0 for mass, cells in zip(q, n, strict=True) if mass)
    report.must(right, "TAB-1", f"{where}.masses", "a stratum without cells has a mass")
    right = alias_table(q, bits) == (threshold.tolist(), alias.tolist())
    report.must(right, "TAB-4", f"{where}.alias", "is not the alias table of the masses")
    ends = [part["start"] + part["n_cells"] for part in store.manifest["parts"]]
    right = table["cells"] == cells_digest(store.manifest, n_rows) and n_rows in ends
    report.must(right, "TAB-9", f"{where}.cells", "is not the digest of the cells up to the end of a part")  # [TAB-14]
    extent = table["rows" if "rows" in table else "run_start"]["shape"][0]
    if not cut(offsets, extent):
        refuse("TAB-7", f"{where}.offsets", f"do not go from 0 to {extent} without a step back")
    found = Table(store, table, n, q, threshold.tolist(), alias.tolist(), offsets)
    cells = np.diff(offsets)
    if "rows" not in table:
        start, length = found.runs()
        if start.size != length.size or np.any(length < 1):
            refuse("TAB-7", f"{where}.run_length", "there are runs without rows, or not as many lengths as starts")
        if np.any(start < 0) or np.any(start > n_rows) or np.any(length > n_rows - start):
            refuse("TAB-8", f"{where}.run_start", f"a row is not below {n_rows}")
        cells = np.diff(np.concatenate([[0], np.cumsum(length)])[offsets])
    if cells.tolist() != n:
        refuse("TAB-7", f"{where}.counts", "are not the numbers of rows of the strata")
    right = table["n_cells"] == sum(n) <= n_rows - table["n_missing"] - table["n_left_out"]
    report.must(right, "TAB-16", f"{where}.n_cells", "is not the sum of counts, or more than n_rows leaves")
    return found


def check_table(where: str, table: Json, store: Store, parts: Sequence[PartView], report: Report) -> None:
    """Check a table, with its rows."""
    found, n_rows = open_table(store, where, table, report), table["n_rows"]
    arrays = [name for name in TABLE_ARRAYS if name in table]
    lines = [b"scformat table 1\n", f"cells {cells_digest(store.manifest, n_rows)}\n".encode()]
    for name in arrays:
        values = store.read(table[name]).astype("<i8")
        lines += [f"{name} {values.size}\n".encode(), values.tobytes()]
    report.must(sha256(*lines) == table["sha256"], "TAB-10", f"{where}.sha256", "is not the digest of the table")
    start, length = found.runs()
    report.must(every((start >= 0) & (start < n_rows)), "TAB-8", where, f"a row is not below {n_rows}")
    stratum = np.repeat(np.arange(len(found.counts)), np.diff(found.offsets))
    gaps = (start[1:] - (start + length)[:-1])[np.diff(stratum) == 0]
    right = every(gaps >= 0) if "rows" in table else every(gaps > 0) and start.size <= 2**20
    report.must(right, "TAB-7", where, "runs are not maximal and ascending, or too many; or rows are not ascending")
    order = np.argsort(start, kind="stable")
    right = every((start + length)[order][:-1] <= start[order][1:])
    report.must(right, "TAB-8", where, "a row is in two strata, or twice in one")
    if every((start >= 0) & (start < n_rows)):
        rows = np.repeat(start - np.cumsum(length) + length, length) + np.arange(length.sum())
        check_members(where, table, rows, np.repeat(np.arange(len(found.counts)), found.counts), parts)


def check_members(where: str, table: Json, rows: Values, stratum: Values, parts: Sequence[PartView]) -> None:
    """Check that cells have the codes of their stratum, and are of the table's split [TAB-15]."""
    data, report = parts[0].data, parts[0].data.report
    labels = {label["name"]: label for label in data.manifest["labels"]}
    for key, codes in zip(table["keys"], data.array(table["codes"]), strict=True):
        name = key["name"]
        if key["kind"] != "label" or not report.must(name in labels, "TAB-15", f"{where}.keys", "names no label"):
            continue
        found = np.concatenate([part.codes(part.part["labels"].get(name)) for part in parts])[rows]
        named = [k for k, text in enumerate(data.texts(labels[name]["categories"])) if text == key.get("missing")]
        of_missing = np.isin(codes, named)  # strata whose category is the one for cells without a value
        right = every((found == codes[stratum]) | ((found == MISSING) & of_missing[stratum]))
        report.must(right, "TAB-15", f"{where}.codes", f"a cell's {name[:80]!r} is not that of its stratum")
    if table.get("split") is not None:
        names = data.manifest.get("splits", {"names": []})["names"]
        if report.must(table["split"] in names, "TAB-15", f"{where}.split", "there is no such split"):
            codes = np.concatenate([part.codes(part.part["split"]) for part in parts])[rows]
            report.must(every(codes == names.index(table["split"])), "TAB-15", f"{where}.split", "a cell is not in it")


# ---------------------------------------------------------------------------------------------------------------------
# Drawing cells
# ---------------------------------------------------------------------------------------------------------------------

DRAW, PHASE, BLOCKS, ROTATION, WINDOW = 1, 2, 3, 5, 6
"""Domains [SAM-2]."""


def words(seed: int, domain: int, i: int, j: int, n: int) -> list[int]:
    """Give the first n words of S(d, i, j) [SAM-1]."""
    found = [philox(seed, domain + 256 * m, i, j) for m in range(ceil_div(n, 4))]
    return [int(word[0]) for four in found for word in four][:n]


def fmix32(h: Values) -> Values:
    """Mix 32 bits [SAM-5]."""
    low = np.uint64(0xFFFFFFFF)
    h = h ^ (h >> np.uint64(16))
    h = (h * np.uint64(0x85EBCA6B)) & low
    h = h ^ (h >> np.uint64(13))
    h = (h * np.uint64(0xC2B2AE35)) & low
    return np.asarray(h ^ (h >> np.uint64(16)))


def permuted(n: int, k: Values, seed: int, domain: int, i: int, j: int) -> Values:
    """pi(k) of the permutation of n that (seed, d, i, j) names, for many k [SAM-3] [SAM-4]."""
    if n <= 256:
        out, random = list(range(n)), words(seed, domain, i, j, max(n - 1, 0))
        for x, word in zip(range(n - 1, 0, -1), random, strict=True):
            y = (word * (x + 1)) >> 32
            out[x], out[y] = out[y], out[x]
        return np.array(out, np.int64)[k]
    b = (n - 1).bit_length()
    low, mask_l, mask_r = (np.uint64(x) for x in (ceil_div(b, 2), 2 ** (b // 2) - 1, 2 ** ceil_div(b, 2) - 1))
    keys = [np.uint64(word) for word in words(seed, domain, i, j, 8)]
    at = k.astype(np.uint64)
    todo = np.ones(at.size, bool)
    while todo.any():
        left, right = at[todo] >> low, at[todo] & mask_r
        for even, odd in zip(keys[::2], keys[1::2], strict=True):
            left = left ^ (fmix32(right ^ even) & mask_l)
            right = right ^ (fmix32(left ^ odd) & mask_r)
        at[todo] = (left << low) | right
        todo = at >= np.uint64(n)
    return at.astype(np.int64)


def draw_independent(table: Table, seed: int, t: Values) -> Values:
    """Rows of independent draws [SAM-10]."""
    w = philox(seed, DRAW, t, 0)
    j = (w[0] >> np.uint64(64 - table.bits)).astype(np.int64)
    c = np.where(w[1] < np.array(table.threshold, np.uint64)[j], j, np.array(table.alias, np.int64)[j])
    wide = (w[2] | (w[3] << np.uint64(32))).tolist()
    k = [(x * table.counts[stratum]) >> 64 for x, stratum in zip(wide, c.tolist(), strict=True)]
    return table.rows(c, np.array(k, np.int64))


def appeared(table: Table, phases: Sequence[int], t: int) -> list[int]:
    """A_c(t): how often each stratum appears before position t of a stratified plan [SAM-21]."""

    def at(x: int) -> list[int]:
        return [(x * q + phase) >> table.bits for q, phase in zip(table.masses, phases, strict=True)]

    low, high = max(0, t - len(phases)), t + len(phases)  # N(low) <= t < N(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if sum(at(middle)) <= t else (low, middle)
    now, after = at(low), at(low + 1)
    growing = [c for c in range(len(now)) if after[c] > now[c]]
    for c in growing[: t - sum(now)]:
        now[c] += 1
    return now


def slots_of(u: Values, length: int, lanes: int, block: int, seed: int, window: int) -> Values:
    """Slot at each place u of a window of `length` positions [SAM-24] [SAM-25]."""
    whole = length - length % (block * lanes)
    slot, rest = np.zeros(u.size, np.int64), u >= whole
    slot[rest] = whole + permuted(length - whole, u[rest] - whole, seed, WINDOW, window, lanes)
    for v in np.unique(u[~rest] % lanes).tolist():
        of = ~rest & (u % lanes == v)
        i = permuted(whole // lanes, u[of] // lanes, seed, WINDOW, window, v)
        slot[of] = (i // block) * block * lanes + block * v + i % block
    return slot


def cells_of(p: Values, n: int, c: int, block: int, seed: int) -> Values:
    """Which cell of stratum c, of n cells, its p-th appearance is [SAM-23]."""
    found, m = np.zeros(p.size, np.int64), n // block
    for e in np.unique(p // n).tolist():
        of = p // n == e
        o = p[of] % n
        group = o // block
        group[group < m] = permuted(m, group[group < m], seed, BLOCKS, e, c)
        turn = (int(u64(philox(seed, ROTATION, e, c))[0]) * n) >> 64
        found[of] = (block * group + o % block + turn) % n
    return found


def draw_stratified(table: Table, seed: int, t: Values, window: int, lanes: int, block: int) -> Values:
    """Rows of the stratified plan [SAM-20] to [SAM-24]."""
    strata = np.arange(len(table.masses))
    phases = (u64(philox(seed, PHASE, 0, strata)) >> np.uint64(64 - table.bits)).tolist()
    c, k = np.zeros(t.size, np.int64), np.zeros(t.size, np.int64)
    for w in np.unique(t // window).tolist():
        begin, end = (appeared(table, phases, x * window) for x in (w, w + 1))
        first_slot = np.cumsum([0, *(b - a for a, b in zip(begin, end, strict=True))])  # of each stratum [SAM-22]
        here = np.flatnonzero(t // window == w)
        slot = slots_of(t[here] % window, window, lanes, block, seed, w)
        c[here] = np.searchsorted(first_slot, slot, "right") - 1
        for stratum in np.unique(c[here]).tolist():
            p = np.arange(begin[stratum], end[stratum])
            cells = np.sort(cells_of(p, table.counts[stratum], stratum, block, seed))
            k[here[c[here] == stratum]] = cells[slot[c[here] == stratum] - first_slot[stratum]]
    return table.rows(c, k)


def draw_epoch(n: int, seed: int, t: Values, window: int, lanes: int, block: int) -> Values:
    """Which of n cells are at the positions of the epoch plan [SAM-30]."""
    epoch, u, found = t // n, t % n, np.zeros(t.size, np.int64)
    number = epoch * ceil_div(n, window) + u // window
    for w in np.unique(number).tolist():
        of = number == w
        e, begin = int(epoch[of][0]), int(u[of][0]) // window * window
        length = min(window, n - begin)
        cells = np.sort(cells_of(np.arange(e * n + begin, e * n + begin + length), n, 0, block, seed))
        found[of] = cells[slots_of(u[of] - begin, length, lanes, block, seed, w)]
    return found


def parse_schedule(text: str, window: int) -> list[tuple[int, float]]:
    """Read POS:TEMP,POS:TEMP [SAM-40]."""
    try:
        pieces = [(int(position), float(t)) for position, t in (piece.split(":") for piece in text.split(","))]
    except ValueError:
        refuse("SAM-40", "--schedule", f"{text[:80]!r} is not POS:TEMP,POS:TEMP")
    positions = [position for position, _ in pieces]
    right = positions[0] == 0 and positions == sorted(set(positions)) and not any(p % window for p in positions)
    if not right or not all(0 < temperature < math.inf for _, temperature in pieces):
        refuse("SAM-40", "--schedule", "expected positions ascending from 0 in multiples of the window, and T > 0")
    return pieces


# ---------------------------------------------------------------------------------------------------------------------
# The four verbs
# ---------------------------------------------------------------------------------------------------------------------

SLIGHT = {"CNV-2", "VER-7", "VER-10", "TAB-13", "NBR-9", "MAN-7", "SPL-6", "PRT-4", "INT-4", "ZAR-1", "ZAR-2"}
"""Violations of level 1 beside which deeper levels can be checked: they touch nothing that those rely on."""


def validate(root: Path, level: int) -> Json:
    """Check a store at a level [CNF-1] [CNF-2] [CNF-3]."""
    report, manifest = Findings(), None
    try:
        manifest = check_root(root, report)
    except RefusedError as error:
        if error.finding[0] == "INT-13" and not root.is_dir():
            raise
        report("ZAR-1" if error.finding[0] == "INT-13" else error.finding[0], *error.finding[1:])
    if manifest is not None and all(finding["requirement"] in SLIGHT for finding in report.listed):
        store = Store(root, manifest)
        if level >= 2:
            check_hierarchy(store, report)
        parts = check_data(store, report) if level >= 3 else []
        for k, table in enumerate(manifest["tables"] if level >= 4 else ()):
            attempt(report, check_table, f"tables[{k}]", table, store, parts, report)
    return {"valid": not report.listed, "level": level, "findings": report.listed}


def describe(store: Store) -> Json:
    """Describe the store as a whole."""
    manifest, genes = store.manifest, store.manifest["genes"]
    labels, tables = {}, {}
    for label in manifest["labels"]:
        terms = None
        if "ontology" in label:
            graph = label["ontology"]
            terms = {"id": store.texts(graph["id"]), "name": store.texts(graph["name"])}
            terms["counts"] = store.read(graph["counts"]).tolist()
        counts = store.read(label["counts"]).tolist()
        labels[label["name"]] = {"categories": store.texts(label["categories"]), "counts": counts, "terms": terms}
    for k, table in enumerate(manifest["tables"]):
        found = open_table(store, f"tables[{k}]", table, REFUSE)
        masses = [str(q) for q in found.masses]
        figures = {name: table[name] for name in ("by", "n_strata", "n_cells")}
        tables[table["name"]] = {**figures, "counts": found.counts, "masses": masses, "digest": table["sha256"]}
    records = [source_record(store, part, k) for part in manifest["parts"] for k in range(part["sources"]["n"])]
    taxa = store.read(genes["taxon"]).tolist()
    return {
        "version": manifest["version"],
        "n_cells": manifest["n_cells"],
        "n_genes": genes["n"],
        "n_entries": manifest["n_entries"],
        "genes": {"id": store.texts(genes["id"]), "symbol": store.texts(genes["symbol"]), "taxon": taxa},
        "labels": labels,
        "sources": [{"name": record["name"], "n_cells": record["n_cells"]} for record in records],
        "splits": manifest["splits"]["names"] if "splits" in manifest else None,
        "tables": tables,
    }


def source_record(store: Store, part: Json, k: int) -> Json:
    """Record of a source [SRC-1]."""
    where = f"source {part['sources']['first'] + k}"
    record = parse_json(store.text(part["sources"]["records"], k).encode(), where, REFUSE)
    check_kind("SourceRecord", record, where, REFUSE, "SRC-1")
    return record


class Cell:
    """One cell of a store, read with no more than it needs."""

    def __init__(self, store: Store, row: int) -> None:
        parts = store.manifest["parts"]
        if not 0 <= row < store.manifest["n_cells"]:
            refuse("PRT-2", f"row {row}", f"rows run from 0 to {store.manifest['n_cells'] - 1}")
        self.store, self.row, self.where = store, row, f"row {row}"
        self.part = next(part for part in reversed(parts) if part["start"] <= row and part["n_cells"])  # [PRT-2]
        self.c = row - self.part["start"]
        box = ((0, len(self.part["fields"])), (max(self.c - 1, 0), self.c + 1))
        records = store.read(self.part["index"], box).tolist()
        self.before, self.record = records[0][0], [values[-1] for values in records]

    def values(self) -> tuple[list[int], list[int]]:
        """Genes with a value above 0, and the values [CNT-10] [CNT-1]."""
        part, rows = self.part, self.store.read(self.part["shard_rows"])
        if rows[0] != 0 or rows[-1] != part["n_cells"] or np.any(np.diff(rows) <= 0):
            refuse("CNT-9", self.where, "shard_rows of its part do not increase from 0 to the number of cells")
        shard, e = int(np.searchsorted(rows, self.c, "right")) - 1, part["entries"]["shard"][1]
        begin, end = (0 if self.c == rows[shard] else self.before), self.record[0]
        if not 0 <= begin <= end <= e:
            refuse("CNT-11", self.where, f"its entries are from {begin} to {end}")
        entries = self.store.read(part["entries"], ((0, 2), (shard * e + begin, shard * e + end)), pairs=True)
        lengths = np.array([end - begin])
        check_entries(self.where, entries, lengths, part["sources"]["n_genes"], REFUSE)
        _, gene, value = decode_cells(entries, lengths)
        return gene.tolist(), value.tolist()

    def code(self, place: Json | None, n: int, statement: str) -> int:
        """Read a code [LAB-5]; -1 where the part has none [LAB-6]."""
        if place is None:
            return MISSING
        code = int(self.record[place["field"]] if "field" in place else self.element(place["array"]))
        if not MISSING <= code < n:
            refuse(statement, self.where, f"its code {code} is not from -1 to {n - 1}")
        return code

    def element(self, array: Json) -> Any:
        """Read its element of an array of one value a cell."""
        return self.store.read(array, ((self.c, self.c + 1),))[0].item()

    def category(self, strings: Json, place: Json | None, statement: str) -> str | None:
        """Category; -1 is no place among them [LAB-8]."""
        code = self.code(place, n_strings(strings), statement)
        return None if code == MISSING else self.store.text(strings, code)

    def value_of(self, column: Json, labels: dict[str, str | None]) -> Json:
        """Value of an obs column; missing where the part does not have it [CEL-14]."""
        held = self.part["obs"].get(column["name"])
        if "label" in column:
            return labels[column["label"]]
        if held is None:
            return None
        if "codes" in held:
            return self.category(column["categories"], {"array": held["codes"]}, "CEL-19")
        flag = self.element(held["missing"]) if "missing" in held else 0
        value: Any = self.store.text(held["strings"], self.c) if "strings" in held else self.element(held["values"])
        if flag > 1 or (column["kind"] == "boolean" and value > 1):
            refuse("CEL-16" if flag > 1 else "CEL-18", self.where, "a flag is neither 0 nor 1")
        if flag:
            return None
        return bool(value) if column["kind"] == "boolean" else value

    def answer(self) -> Json:
        """All that is asked of a cell."""
        manifest, sources = self.store.manifest, self.part["sources"]
        _, source, source_row, total, number = self.record[:5]
        local, (genes, counts) = source - sources["first"], self.values()
        if not 0 <= local < sources["n"]:
            refuse("CEL-5", self.where, f"its source {source} is not one of its part's")
        measured = self.store.read(sources["measured"], ((local, local + 1), (0, sources["n_genes"])))
        REFUSE.must(every(measured <= 1), "SRC-5", self.where, "a flag of what was measured is neither 0 nor 1")
        splits, places = manifest.get("splits", {"names": []})["names"], self.part["labels"]
        split = self.code(self.part.get("split"), len(splits), "SPL-3")
        labels = {x["name"]: self.category(x["categories"], places.get(x["name"]), "LAB-7") for x in manifest["labels"]}
        return {
            "row": self.row,
            "source": source_record(self.store, self.part, local)["name"],
            "source_row": source_row,
            "barcode": self.store.text(self.part["barcode"], self.c),
            "total_counts": sum(counts) if total == TOO_LARGE else total,  # [CEL-8]
            "n_genes": len(genes) if number == TOO_LARGE else number,
            "split": None if split == MISSING else splits[split],
            "genes": genes,
            "counts": counts,
            "measured": int(measured.sum()),
            "labels": labels,
            "obs": {column["name"]: self.value_of(column, labels) for column in manifest["obs"]},
        }


def draw(store: Store, options: argparse.Namespace) -> list[int]:
    """Rows at positions of a plan, those of a rank [SAM-26]."""
    window, lanes, block, seed, start = options.window, options.lanes, options.block, options.seed, options.start
    if min(window, lanes, block) < 1 or window % (block * lanes):
        refuse("SAM-20", "--window", f"a window of {window} is no multiple of {lanes} lanes by {block}")
    if not 0 <= seed < 2**64 or min(start, options.count) < 0 or start + options.count > 2**61:
        refuse("SAM-10", "--seed, --start, --count", "expected a seed below 2^64 and positions below 2^61")
    if not 0 <= options.rank < options.world_size:
        refuse("SAM-26", "--rank", f"expected a rank from 0 to {options.world_size - 1}")
    schedule, table = parse_schedule(options.schedule, window), None
    if options.table is not None:
        k = next((k for k, entry in enumerate(store.manifest["tables"]) if entry["name"] == options.table), None)
        if k is None:
            refuse("TAB-6", "--table", f"there is no table {options.table[:80]!r}")
        table = open_table(store, f"tables[{k}]", store.manifest["tables"][k], REFUSE)
    t = np.arange(start, start + options.count)
    t = t[t % options.world_size == options.rank]
    if options.plan == "epoch":
        n = store.manifest["n_cells"] if table is None else sum(table.counts)
        if n == 0 or schedule != [(0, 1)]:
            refuse("SAM-40" if n else "SAM-30", "--plan", "an epoch has no cells, or a schedule")
        rows = draw_epoch(n, seed, t, window, lanes, block)
        return [int(row) for row in (rows if table is None else table.all_rows()[rows])]
    if table is None:
        refuse("SAM-10", "--table", f"the plan {options.plan} draws from a table")
    drawn = np.zeros(t.size, np.int64)
    ends = [*(position for position, _ in schedule[1:]), 2**61]
    for (begin, temperature), end in zip(schedule, ends, strict=True):
        of = (t >= begin) & (t < end)
        masses = masses_at(table.masses, temperature, table.bits)
        threshold, alias = alias_table(masses, table.bits)
        at = Table(store, table.entry, table.counts, masses, threshold, alias, table.offsets)
        if options.plan == "independent":
            drawn[of] = draw_independent(at, seed, t[of])
        else:
            drawn[of] = draw_stratified(at, seed, t[of], window, lanes, block)
    right = every((drawn >= 0) & (drawn < table.entry["n_rows"]))
    REFUSE.must(right, "TAB-8", "--table", f"a row is not below {table.entry['n_rows']}")
    return [int(row) for row in drawn]


def plain(value: Json) -> Json:
    """Make an answer JSON: large integers, NaN and infinities are text."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with an error line."""
        self.exit(2, f"error: {message}\n")


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description="The cell store format by its specification: validate, describe, read, draw.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("validate", "describe", "read", "draw"):
        verb = verbs.add_parser(name)
        verb.add_argument("store", type=Path)
        verb.add_argument("--json", action="store_true", help="changes nothing: answers are JSON")
    verbs.choices["validate"].add_argument("--level", type=int, choices=(1, 2, 3, 4), default=3)
    verbs.choices["read"].add_argument("--rows", required=True, help="numbers, with commas between")
    verb = verbs.choices["draw"]
    verb.add_argument("--table")
    verb.add_argument("--plan", choices=("independent", "stratified", "epoch"), required=True)
    numbers = {"seed": 0, "start": 0, "count": 10, "window": 65536, "lanes": 8, "block": 64, "rank": 0}
    for name, default in numbers.items():
        verb.add_argument(f"--{name}", type=int, default=default)
    verb.add_argument("--world-size", type=int, default=1)
    verb.add_argument("--schedule", default="0:1", help="POS:TEMP,POS:TEMP")
    return parser.parse_args()


def answer(options: argparse.Namespace) -> Json:
    """Answer a question. A reader refuses a root that is not as it has to be [VER-2] [VER-4] [INT-5] [CNF-5]."""
    if options.verb == "validate":
        return validate(options.store, options.level)
    store = Store(options.store, check_root(options.store, REFUSE))
    if options.verb == "describe":
        return describe(store)
    if options.verb == "draw":
        return {"rows": draw(store, options)}
    if not re.fullmatch(r"([0-9]{1,18}(,[0-9]{1,18})*)?", options.rows):
        refuse("PRT-2", "--rows", f"{options.rows[:80]!r} are not numbers with commas between")
    return {"cells": [Cell(store, int(row)).answer() for row in options.rows.split(",") if row]}


def main() -> int:
    """Run the command line."""
    try:
        found = answer(parse_arguments())
    except (RefusedError, OSError, MemoryError) as error:
        print(f"error: {str(error) or type(error).__name__}".splitlines()[0], file=sys.stderr)
        return 2
    print(json.dumps(plain(found), allow_nan=False))
    return 0 if found.get("valid", True) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Tables in a manifest, as pydantic models. No I/O."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from scformat.manifest import Array, Count, Digest, Model, Path
from scformat.sampling.masses import MAX_STRATA, mass_bits

FEATURE = "tables"
"""Optional feature of a store that has tables: who does not know it draws no cells by them."""

TableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", max_length=64)]
"""A name is part of a path."""


class TableKey(Model):
    """What strata are told apart by: a label, or the levels of a figure."""

    name: str
    kind: Literal["label", "figure"]
    missing: str | None = None
    """Name of the code -1, the cells without the label."""
    levels: list[float] | None = None
    """Lower bound of each level, then the upper one of the last."""

    @model_validator(mode="after")
    def _kind_fits(self) -> TableKey:
        bounds = self.levels
        if bounds is not None and any(a >= b for a, b in pairwise(bounds)):
            raise ValueError(f"{self.name}: levels do not ascend")
        if (self.kind == "figure") != (bounds is not None) or (bounds is not None and not 2 <= len(bounds) <= 17):
            raise ValueError(f"{self.name}: a figure has 1 to 16 levels, a label none")
        return self


class WeightsFile(Model):
    """A file that a custom scheme took its numbers from."""

    name: str
    sha256: Digest


class TableEntry(Model):
    """A sampling table.

    Strata are numbered 0 .. K-1; ``offsets`` says where the runs of each begin, or its rows.
    """

    name: TableName
    by: str
    keys: list[TableKey] = Field(min_length=1)
    split: str | None = None
    where: str | None = None
    temperature: Annotated[float, Field(gt=0)] = 1.0
    files: list[WeightsFile] = Field(default_factory=list)
    n_strata: Annotated[int, Field(ge=1, le=MAX_STRATA)]
    bits: Annotated[int, Field(ge=32, le=62)]
    n_cells: Count
    n_missing: Count
    n_left_out: Count
    n_rows: Count
    cells: Digest
    codes: Array
    counts: Array
    masses: Array
    threshold: Array
    alias: Array
    offsets: Array
    run_start: Array | None = None
    run_length: Array | None = None
    rows: Array | None = None
    sha256: Digest

    @model_validator(mode="after")
    def _shapes_fit(self) -> TableEntry:
        k, columns = self.n_strata, 1 << (self.bits - 32)
        shapes = [
            (self.codes, "int32", [len(self.keys), k]),
            (self.counts, "int64", [k]),
            (self.masses, "int64", [k]),
            (self.threshold, "int64", [columns]),
            (self.alias, "int32", [columns]),
            (self.offsets, "int64", [k + 1]),
        ]
        for array, dtype, shape in shapes:
            if array.dtype != dtype or array.shape != shape:
                raise ValueError(f"{array.path}: not {dtype} of shape {shape}")
        if self.bits != mass_bits(k):
            raise ValueError(f"{self.name}: {k} strata do not have {self.bits} bits")
        runs = (self.run_start, self.run_length)
        if self.rows is None:
            if any(a is None or a.dtype != "int64" or len(a.shape) != 1 for a in runs):
                raise ValueError(f"{self.name}: neither runs nor rows")
            if runs[0] is not None and runs[1] is not None and runs[0].shape != runs[1].shape:
                raise ValueError(f"{self.name}: run_start and run_length differ in length")
        elif any(a is not None for a in runs) or self.rows.dtype not in ("int32", "int64") or len(self.rows.shape) != 1:
            raise ValueError(f"{self.name}: both runs and rows, or rows that are no integers")
        return self


class TableFile(Model):
    """The attribute ``scformat_table`` of the root of a table that lies beside its store."""

    format: Literal["scformat-table"]
    version: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]
    generator: str
    table: TableEntry
    groups: dict[Path, Digest]
    sha256: Digest

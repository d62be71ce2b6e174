"""The options of a conversion, checked once."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scformat.conversion.cluster import check_cluster
from scformat.errors import UsageError, unknown_name
from scformat.expression import parse
from scformat.genes import organism_taxon
from scformat.random import check_seed
from scformat.sampling.parsing import parse_schemes
from scformat.splits import SplitSpec
from scformat.tables.publish import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from distributed import Client

    from scformat.expression import Expression

Order = Literal["source", "shuffled", "stratified"]
ORDERS = ("source", "shuffled", "stratified")

_SIZES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


@dataclass(frozen=True, kw_only=True)
class WeightsSpec:
    """A sampling table to make with the store: ``NAME=BY:SCHEME[@SPLIT]``."""

    name: str
    by: str
    split: str | None

    @classmethod
    def parse(cls, text: str, splits: Sequence[str] | None) -> WeightsSpec:
        """Read one, and check all of it that does not need the labels.

        `splits` are the names that there will be, None where a file gives them.
        """
        name, equals, rest = text.partition("=")
        by, at, split = rest.rpartition("@") if "@" in rest else (rest, "", "")
        if not equals or not by or (at and not split):
            raise UsageError(
                "bad-weights", "not a table", expected="NAME=BY:SCHEME or NAME=BY:SCHEME@SPLIT", found=text
            )
        if at and splits is not None and split not in splits:
            raise unknown_name("split", split, splits, where=text)
        parse_schemes(by)
        return cls(name=check_name(name), by=by, split=split or None)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a conversion was asked to do; see :func:`scformat.convert` for the meaning of each."""

    counts: str = "auto"
    genes: str = "union"
    gene_ids: str | None = None
    organism: int | None = None
    labels: tuple[str, ...] | None = None
    where: Expression | None = None
    order: Order = "source"
    stratify_by: tuple[str, ...] = ()
    splits: SplitSpec | None = None
    split_by: tuple[str, ...] = ()
    splits_file: Path | None = None
    ontology: bool = True
    on_bad: Literal["stop", "skip"] = "stop"
    seed: int = 0
    jobs: int = 1
    memory: int = 10**9
    overwrite: bool = False
    resume: bool = False
    weights: tuple[WeightsSpec, ...] = ()
    dask: str | Client | None = None

    @property
    def block_values(self) -> int:
        """Stored values of a source that one thread may hold at once."""
        return max(1 << 16, self.memory // self.jobs // BYTES_A_VALUE)


BYTES_A_VALUE = 40
"""Memory that a value of a block takes while it is read, checked and encoded, with all copies."""

DEFAULTS: dict[str, Any] = {
    "counts": "auto",
    "genes": "union",
    "gene_ids": None,
    "organism": None,
    "labels": None,
    "where": None,
    "order": "source",
    "stratify_by": None,
    "splits": None,
    "split_by": None,
    "splits_file": None,
    "ontology": True,
    "on_bad": "stop",
    "seed": 0,
    "jobs": None,
    "memory": "1GB",
    "overwrite": False,
    "resume": False,
    "weights": None,
    "dask": None,
}
"""Every option of :func:`scformat.convert` and its default."""


def check_options(
    *,
    counts: str,
    genes: str | os.PathLike[str],
    gene_ids: str | None,
    organism: str | int | None,
    labels: Sequence[str] | None,
    where: str | None,
    order: str,
    stratify_by: Sequence[str] | None,
    splits: str | SplitSpec | None,
    split_by: Sequence[str] | None,
    splits_file: str | os.PathLike[str] | None,
    ontology: bool,
    on_bad: str,
    seed: int,
    jobs: int | None,
    memory: str | int,
    overwrite: bool,
    resume: bool,
    weights: Sequence[str] | None,
    dask: str | Client | None,
) -> Options:
    """Check the options of a conversion before anything is read, and bring each to its own type."""
    if counts not in ("auto", "X", "raw", "matrix") and not counts.startswith("layers/"):
        raise unknown_name("place of counts", counts, ["auto", "X", "raw", "layers/NAME"])
    if order not in ORDERS:
        raise unknown_name("order", order, ORDERS)
    if on_bad not in ("stop", "skip"):
        raise unknown_name("choice", on_bad, ["stop", "skip"])
    strata = _names(stratify_by or (), "stratify_by")
    if order == "shuffled" and strata:
        raise UsageError(
            "conflicting-options",
            "stratify_by needs the order 'stratified'",
            found="the order 'shuffled'",
            hint="leave one of them out",
        )
    if splits is None and split_by:
        raise UsageError(
            "missing-option", "split_by without splits", hint="add for example --splits train=0.8,test=0.2"
        )
    if splits is not None and splits_file is not None:
        raise UsageError("conflicting-options", "both splits and a splits file are given", hint="leave one of them out")
    shares = None if splits is None else SplitSpec.of(splits)
    return Options(
        counts=counts,
        genes=os.fspath(genes),
        gene_ids=gene_ids,
        organism=None if organism is None else organism_taxon(str(organism)),
        labels=None if labels is None else _names(labels, "labels"),
        where=None if where is None else parse(where),
        order="stratified" if strata and order == "source" else order,  # type: ignore[arg-type]
        stratify_by=strata,
        splits=shares,
        split_by=_names(split_by or (), "split_by"),
        splits_file=None if splits_file is None else Path(splits_file),
        ontology=ontology,
        on_bad=on_bad,  # type: ignore[arg-type]
        seed=_seed(seed),
        jobs=_jobs(1 if jobs is None and dask is not None else jobs),
        memory=parse_size(memory),
        overwrite=overwrite,
        resume=resume,
        weights=_weights(weights, shares, from_file=splits_file is not None),
        dask=check_cluster(dask),
    )


def parse_size(text: str | float) -> int:
    """Read a size in bytes: ``1GB``, ``512 MiB``, ``200000000``."""
    if not isinstance(text, str):
        size = int(text)
    else:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?i?)b?\s*", text.lower())
        if match is None:
            raise UsageError("bad-size", "not a size", expected="for example 1GB or 512MB", found=repr(text))
        size = int(float(match[1]) * _SIZES[match[2]])
    if size < MIN_MEMORY:
        raise UsageError("bad-size", "too little memory", expected="at least 100MB", found=repr(text))
    return size


MIN_MEMORY = 100 * 10**6
"""Below, buffers would be smaller than one shard for each job."""


def _weights(given: Sequence[str] | None, splits: SplitSpec | None, *, from_file: bool) -> tuple[WeightsSpec, ...]:
    if isinstance(given, str):
        given = [given]
    known = None if from_file else () if splits is None else splits.names
    specs = tuple(WeightsSpec.parse(text, known) for text in given or ())
    _names([spec.name for spec in specs], "weights")
    return specs


def _seed(seed: int) -> int:
    if check_seed(seed) > MAX_SEED:
        raise UsageError("bad-seed", "a seed too large to be kept", expected=f"0 to {MAX_SEED}", found=seed)
    return seed


MAX_SEED = 2**53 - 1
"""The manifest keeps the seed as a number that every JSON reader can hold."""


def _jobs(jobs: int | None) -> int:
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs < 1:
        raise UsageError("bad-jobs", "not a number of jobs", expected="1 or more", found=jobs)
    return jobs


def _names(given: Sequence[str], option: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise UsageError(
            "not-a-list",
            f"{option} is one text",
            expected="a list of names",
            found=repr(given),
            hint="wrap it in a list",
        )
    names = tuple(given)
    if not all(names):
        raise UsageError("empty-name", f"{option} has an empty name", found=repr(list(names)))
    if len(set(names)) != len(names):
        raise UsageError("repeated-name", f"{option} names one column twice", found=repr(list(names)))
    return names

"""Several stores as one: where the rows, sources, genes, categories and splits of each go. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from scformat.errors import UsageError
from scformat.genes.table import GeneTable, unite
from scformat.labels import extend_label
from scformat.layout import MISSING
from scformat.manifest import Genes, Manifest, Model, ObsColumn, Splits
from scformat.manifest import Label as LabelManifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scformat.labels import Label
    from scformat.manifest import Part, Table

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitedGenes:
    """The genes of several stores.

    Attributes
    ----------
    table
        All of them: those of the first store in their places, then what each further one adds.
    genes : one a store: int32 array, shape (n_genes of the store,), or None
        Place of each of its genes; None: all are in their own places, and no store has others.
    first : int, one a store
        First of its genes among those of packed rows.
    packed : int32 array, or None
        Place of each gene of packed rows; None: its own.
    """

    table: GeneTable
    genes: tuple[NDArray[np.int32] | None, ...]
    first: tuple[int, ...]
    packed: NDArray[np.int32] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitedLabel:
    """A label of several stores.

    Attributes
    ----------
    label
        Categories, counts and terms of all cells: the first store's categories have their codes, then those that each
        further one adds.
    codes : one a store: int32 array, shape (n_categories of the store + 1,), or None
        Code of each of its categories, and -1; None where it lacks the label.
    """

    label: Label
    codes: tuple[NDArray[np.int32] | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class UnitedSplits:
    """The splits of several stores.

    Attributes
    ----------
    splits
        Names and counts of all cells; None where no store has any.
    codes : one a store: int32 array, shape (n_splits of the store + 1,)
        Split of each of its splits, and -1.
    same_rule
        Groups are assigned alike: one that two stores have is in one split.
    """

    splits: Splits | None
    codes: tuple[NDArray[np.int32], ...]
    same_rule: bool


def check_different(manifests: Sequence[Manifest], paths: Sequence[str]) -> None:
    """Refuse stores that have cells in common: one given twice, a copy, a store and what it was before an append.

    Raises
    ------
    UsageError
        ``same-store``.
    """
    seen: dict[tuple[str, str], int] = {}
    for k, (manifest, path) in enumerate(zip(manifests, paths, strict=True)):
        for part in manifest.parts:
            first = seen.setdefault((part.index.sha256, part.content.sha256), k)
            if part.n_cells and first != k:
                raise UsageError(
                    "same-store", "two of the stores have the same cells", where=path, found=f"those of {paths[first]}",
                    hint="give each store once",
                )  # fmt: skip


def unite_genes(digests: Sequence[str], tables: Mapping[str, GeneTable]) -> UnitedGenes:
    """Put the genes of stores together; `digests` says which of `tables` each has, in the order of the stores."""
    own = list(tables.values())
    which = [list(tables).index(digest) for digest in digests]
    if len(own) == 1:
        none = (None,) * len(digests)
        return UnitedGenes(table=own[0], genes=none, first=(0,) * len(digests), packed=None)
    table, genes = unite(own)
    first = [0, *accumulate(len(t) for t in own)]
    return UnitedGenes(
        table=table,
        genes=tuple(genes[k] for k in which),
        first=tuple(first[k] for k in which),
        packed=np.concatenate(genes),
    )


def unite_labels(labels: Sequence[Label | None]) -> UnitedLabel:
    """Put one label of several stores together; at least one has it."""
    whole: Label | None = None
    codes: list[NDArray[np.int32] | None] = []
    for label in labels:
        if label is None:
            codes.append(None)
            continue
        own = replace(label, codes=(np.arange(len(label.categories), dtype=np.int32),))
        whole = own if whole is None else extend_label(whole, own)
        codes.append(np.append(whole.codes[0], np.int32(MISSING)))
    assert whole is not None  # who asks for a label has found it in a store
    return UnitedLabel(label=replace(whole, codes=(), findings=()), codes=tuple(codes))


def unite_splits(splits: Sequence[Splits | None]) -> UnitedSplits:
    """Put the splits of stores together by their names."""
    there = [s for s in splits if s is not None]
    names = list(dict.fromkeys(name for s in there for name in s.names))
    codes = tuple(
        np.array([*(names.index(name) for name in (() if s is None else s.names)), MISSING], np.int32) for s in splits
    )
    if not there:
        return UnitedSplits(splits=None, codes=codes, same_rule=True)
    counts = np.zeros(len(names), np.int64)
    for s, own in zip(splits, codes, strict=True):
        if s is not None:
            np.add.at(counts, own[:-1], s.counts)
    first = there[0]
    rules = {(tuple(s.names), tuple(s.shares or ()), tuple(s.by), s.seed) for s in there}
    same = len(there) == 1 or (len(rules) == 1 and first.shares is not None)
    united = Splits(
        names=names,
        shares=first.shares if same else None,
        by=first.by if same else [],
        seed=first.seed if same else 0,
        counts=counts.tolist(),
        duplicates_left_out=sum(s.duplicates_left_out for s in there),
    )
    return UnitedSplits(splits=united, codes=codes, same_rule=same)


def place_parts(manifests: Sequence[Manifest]) -> list[list[Part]]:
    """Return the parts of each store with rows and sources numbered one store after another."""
    placed = []
    row = source = 0
    for manifest in manifests:
        own = []
        for part in manifest.parts:
            sources = part.sources.model_copy(update={"first": part.sources.first + source})
            own.append(part.model_copy(update={"start": part.start + row, "sources": sources}))
        placed.append(own)
        row += manifest.n_cells
        source += n_sources(manifest)
    return placed


def n_sources(manifest: Manifest) -> int:
    """Return the number of sources of a store."""
    return sum(part.sources.n for part in manifest.parts)


def unite_manifests(
    manifests: Sequence[Manifest],
    parts: Sequence[Sequence[Part]],
    *,
    n_genes: int,
    splits: Splits | None,
    tables: Sequence[Table],
) -> Manifest:
    """Say of several stores together what a manifest says of one, as far as it is no array of a single one.

    Its digest is SHA-256 over the digests of the manifests, a line each.
    """
    first = manifests[0]
    obs = {c.name: ObsColumn(name=c.name, kind=c.kind, dtype=c.dtype) for m in reversed(manifests) for c in m.obs}
    names = dict.fromkeys(c.name for m in manifests for c in m.obs)
    labels = dict.fromkeys(label.name for m in manifests for label in m.labels)
    held: dict[str, Any] = {
        "format": first.format,
        "version": max((m.version for m in manifests), key=_numbers),
        "required_features": ["parts"],
        "optional_features": [],
        "n_cells": sum(m.n_cells for m in manifests),
        "n_entries": sum(m.n_entries for m in manifests),
        "genes": _without_arrays(Genes, n=n_genes, mode="union"),
        "labels": [_without_arrays(LabelManifest, name=name) for name in labels],
        "obs": [obs[name] for name in names],
        "splits": splits,
        "parts": [part for own in parts for part in own],
        "tables": list(tables),
        "neighbours": None,
        "findings": [finding for m in manifests for finding in m.findings],
        "skipped": [skipped for m in manifests for skipped in m.skipped],
        "sha256": hashlib.sha256("".join(f"{m.sha256}\n" for m in manifests).encode()).hexdigest(),
    }
    return _without_arrays(Manifest, **held)


def _without_arrays(model: type[M], **held: Any) -> M:
    """Make a model without the members that are arrays of a single store: asking for one is an error."""
    made: M = model.model_construct(**held)  # type: ignore[assignment]
    return made


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))

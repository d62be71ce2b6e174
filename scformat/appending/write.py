"""An append on disk: a new part and what changed beside the parts, at new paths; then the root that names them."""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import numpy as np

from scformat.conversion.obs import ObsPlan, write_column
from scformat.conversion.write import write_genes, write_label, write_part
from scformat.errors import ScformatError
from scformat.layout import groups_above
from scformat.manifest import Finding, ObsColumn, as_json, every_array
from scformat.manifest import Table as ManifestTable
from scformat.publishing import Place, alone, check_unchanged
from scformat.storage import Storage
from scformat.store import Store
from scformat.strings import Strings
from scformat.tables import build_table, read_entry
from scformat.tables.files import table_path, write_table_arrays
from scformat.version import __version__
from scformat.writing import write_groups, write_strings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from scformat.appending.existing import Existing
    from scformat.appending.obs import MergedColumn
    from scformat.appending.plan import AppendPlan
    from scformat.conversion.engine import Engine
    from scformat.manifest import Genes, Label, Manifest, ObsValues, Part, Splits, Table

    Progress = Callable[[str, int, int], None]

_NUMBERED = ("parts", "labels", "genes")


def write_append(
    place: Place, existing: Existing, plan: AppendPlan, *, engine: Engine, scratch: Path, progress: Progress
) -> Manifest:
    """Write an append and publish it; where that fails, nothing of it stays.

    Raises
    ------
    StorageError
        ``store-changed``: another process replaced the root since the store was opened.
    """
    old = existing.manifest
    if place.directory is None:
        check_unchanged(existing.store, place)
    else:
        with alone(place.directory) as free:
            check_unchanged(existing.store, place)
            if free:
                # Nobody is at work: what lies at the paths to come is of a process that was killed.
                _remove(place.directory, _next_number(old))
    with place.adding() as begun, _claimed(place, old) as number:
        storage = place.storage
        part = write_part(storage, f"parts/{number}", plan.part, engine=engine, scratch=scratch, progress=progress)
        manifest = _manifest(storage, existing, plan, part, number)
        storage.sync()
        tables, findings = _tables(storage, existing, manifest, begun, progress)
        manifest = manifest.model_copy(update={"tables": tables, "findings": [*manifest.findings, *findings]})
        paths, known = ({array.path for array in every_array(m)} for m in (manifest, old))
        groups = write_groups(storage, paths - known)
        named = groups_above(paths)
        kept = {path: digest for path, digest in old.groups.items() if path in named}
        storage.sync()
        return place.replace_root(
            existing.store, manifest.model_copy(update={"groups": dict(sorted({**kept, **groups}.items()))})
        )


def _manifest(storage: Storage, existing: Existing, plan: AppendPlan, part: Part, number: int) -> Manifest:
    old, new = existing.manifest, plan.part
    parts = list(old.parts)
    obs = []
    for i, column in enumerate(plan.columns):
        obs.append(_obs_column(storage, existing, column, f"labels/{number}/obs-{i}"))
        if column.older is not None:
            parts = [
                _described_anew(storage, one, column.older, f"parts/{k}/obs-{number}/{i}")
                for k, one in enumerate(parts, start=1)
            ]
    return old.model_copy(
        update={
            "generator": f"scformat {__version__}",
            "required_features": sorted({*old.required_features, "parts"}),
            "n_cells": old.n_cells + part.n_cells,
            "n_entries": old.n_entries + part.n_entries,
            "genes": _genes(storage, old.genes, plan, f"genes/{number}"),
            "labels": _labels(storage, existing, plan, f"labels/{number}"),
            "obs": obs,
            "splits": _splits(old.splits, plan),
            "parts": [*parts, part],
            "findings": [*old.findings, *(Finding.model_validate(as_json(f)) for f in new.findings)],
            "skipped": [*old.skipped, *new.skipped],
        }
    )


def _genes(storage: Storage, old: Genes, plan: AppendPlan, path: str) -> Genes:
    index = plan.part.index
    if len(index.genes) == old.n:
        return old
    made = write_genes(storage, path, index, old.mode)
    # Of an organism that was there, the release that most of its genes are from stays.
    known = {o.taxon: o.reference for o in old.organisms if o.reference is not None}
    organisms = [o.model_copy(update={"reference": known.get(o.taxon, o.reference)}) for o in made.organisms]
    return made.model_copy(update={"mode": old.mode, "organisms": organisms})


def _labels(storage: Storage, existing: Existing, plan: AppendPlan, path: str) -> list[Label]:
    made = []
    for i, (old, label) in enumerate(zip(existing.manifest.labels, plan.part.labels.labels, strict=True)):
        same = all((codes < 0).all() for codes in label.codes)
        made.append(old if same else write_label(storage, f"{path}/{i}", label))
    return made


def _obs_column(storage: Storage, existing: Existing, column: MergedColumn, path: str) -> ObsColumn:
    categories = None
    if column.kind == "categorical" and column.label is None:
        old = column.described
        texts = column.categories or ()
        if old is not None and old.categories is not None and old.categories.n == len(texts) and column.older is None:
            categories = old.categories
        else:
            categories = write_strings(storage, path, Strings.of(texts))
    return ObsColumn(name=column.name, kind=column.kind, dtype=column.dtype, categories=categories, label=column.label)


def _described_anew(storage: Storage, part: Part, plan: ObsPlan, path: str) -> Part:
    """Write an obs column of an older part in its new kind."""
    if plan.name not in part.obs:
        return part
    some = np.arange(part.start, part.start + part.n_cells)
    own = ObsPlan(name=plan.name, column=plan.column.take(some), label=None)
    values: ObsValues = write_column(storage, path, own, None)
    return part.model_copy(update={"obs": {**part.obs, plan.name: values}})


def _splits(old: Splits | None, plan: AppendPlan) -> Splits | None:
    if old is None or plan.part.splits is None:
        return old
    new = plan.part.splits
    return old.model_copy(update={"counts": list(new.counts), "duplicates_left_out": new.duplicates_left_out})


def _tables(
    storage: Storage, existing: Existing, manifest: Manifest, begun: list[str], progress: Progress
) -> tuple[list[Table], list[Finding]]:
    """Build every table anew over all cells; one that cannot be stays, and is right for the cells it was made of."""
    tables: list[Table] = []
    findings = []
    store = Store(storage, manifest)
    for table in existing.manifest.tables:
        entry = read_entry(table, existing.store.path)
        try:
            made = build_table(
                store, entry.by, name=entry.name, split=entry.split, where=entry.where,
                temperature=entry.temperature, progress=progress,
            )  # fmt: skip
            if list(made.info.files) != entry.files:
                raise ScformatError("other-file", "its file of weights has changed")
        except ScformatError as error:
            tables.append(table)
            note = f"still over the first {entry.n_rows:,} cells: {error.what}"
            findings.append(Finding(what="table-not-extended", value=entry.name, note=note))
            continue
        path = table_path(entry.name, made.digest)
        begun.append(path)
        written = write_table_arrays(storage, path, made, name=entry.name)
        tables.append(ManifestTable.model_validate(as_json(written)))
    for near in existing.manifest.neighbours or ():
        note = f"still over the first {near.n_rows:,} cells"
        findings.append(Finding(what="neighbours-not-extended", value=near.name, note=note))
    return tables, findings


def _next_number(manifest: Manifest) -> int:
    numbers = [path.split("/")[1] for path in manifest.groups if path.split("/")[0] in _NUMBERED and "/" in path]
    return 1 + max((int(n) for n in numbers if n.isdecimal()), default=0)


@contextmanager
def _claimed(place: Place, old: Manifest) -> Iterator[int]:
    """Take a number that no root and no other append has used; on failure nothing of it stays."""
    number = _next_number(old)
    while not place.claim(f"parts/{number}"):
        number += 1
    try:
        yield number
    except BaseException:
        # What fails after the root took its place does not undo it.
        with suppress(ScformatError):
            if f"parts/{number}" not in place.root().groups:
                own = [f"{name}/{number}" for name in _NUMBERED if name != "parts"]
                again = [f"parts/{k}/obs-{number}" for k in range(1, number)]
                for path in [*own, *again, f"parts/{number}"]:
                    place.storage.discard(path)
        raise


def _remove(directory: Path, number: int) -> None:
    """Remove what appends wrote under all numbers from one on."""
    for name in _NUMBERED:
        for path in (directory / name).glob("*"):
            if path.name.isdecimal() and int(path.name) >= number:
                shutil.rmtree(path, ignore_errors=True)
    for path in (directory / "parts").glob("*/obs-*"):
        mark = path.name.removeprefix("obs-")
        if mark.isdecimal() and int(mark) >= number:
            shutil.rmtree(path, ignore_errors=True)

"""Splits of appended cells. No cell of the store changes its split, and no group is in two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.conversion.merge import codes_and_texts
from scformat.conversion.plan import SplitPlan
from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.layout import RECOMPUTE
from scformat.splits import (
    CELL_COLUMNS,
    NO_SPLIT,
    SplitSpec,
    assign_cells,
    assign_content,
    cells_per_split,
    number_groups,
    read_split_file,
    resolve_duplicates,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scformat.appending.existing import Existing
    from scformat.conversion.plan import Kept
    from scformat.manifest import Splits

    Groups = tuple[list[NDArray[np.int32]], list[tuple[str, ...]]]


def split_appended(
    existing: Existing, kept: Kept, file: Path | None, column: Callable[[str], Column | None]
) -> SplitPlan | None:
    """Assign the appended cells.

    Parameters
    ----------
    existing
        The store.
    kept
        The appended cells.
    file
        Gives splits of groups or cells that the store does not know; for stores whose splits came from a file.
    column
        Returns a column over the appended cells as the store will have it; None where no appended source has it.

    Returns
    -------
    SplitPlan or None
        Codes of the appended cells, counts over all cells. None where the store has no splits.
    """
    splits = existing.manifest.splits
    if file is not None and (splits is None or splits.shares is not None):
        raise UsageError(
            "unused-splits-file",
            "a splits file for a store whose splits came from none",
            where=file,
            hint="leave --splits-file out: appended cells are split as the store's are",
        )
    if splits is None:
        return None
    if splits.shares is None:
        codes = _by_file(existing, splits, kept, file, column)
    elif splits.by:
        spec = SplitSpec(tuple(splits.names), tuple(splits.shares))
        codes = assign_cells(spec, *_groups(splits, kept, column), splits.seed)
    else:
        spec = SplitSpec(tuple(splits.names), tuple(splits.shares))
        codes = assign_content(spec, kept.figures["content"], splits.seed)
    codes, left_out = _resolved(existing, kept, codes)
    counts = cells_per_split(splits.names, codes)
    return SplitPlan(
        names=tuple(splits.names),
        shares=None if splits.shares is None else tuple(splits.shares),
        by=tuple(splits.by),
        codes=codes,
        counts=tuple(before + counts[name] for name, before in zip(splits.names, splits.counts, strict=True)),
        duplicates_left_out=splits.duplicates_left_out + left_out,
    )


def figures_of(existing: Existing) -> dict[str, NDArray[np.int64]]:
    """Content hash, total and number of genes of the store's cells, as they are stored."""
    store, every = existing.store, existing.every
    content = [store._storage.read_array(part.content) for part in existing.manifest.parts]
    return {
        "content": np.concatenate(content),
        "total": store.field("total_counts", every).astype(np.int64),
        "n_genes": store.field("n_genes", every).astype(np.int64),
    }


def with_older(existing: Existing, kept: Kept) -> dict[str, NDArray[np.int64]]:
    """Return the same figures of all cells, the store's first."""
    small = np.iinfo(np.int32).max
    older = figures_of(existing)
    new = {name: kept.figures[name] for name in older}
    for name in ("total", "n_genes"):
        new[name] = np.where(new[name] <= small, new[name], RECOMPUTE)
    return {name: np.concatenate([values, new[name]]) for name, values in older.items()}


def _resolved(existing: Existing, kept: Kept, codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Take out appended cells that repeat one of another split; those of the store come first."""
    n = existing.store.n_cells
    figures = with_older(existing, kept)
    before = existing.store.field("split", existing.every)
    rank = np.concatenate([existing.every, n + kept.rank])
    every, left_out = resolve_duplicates(
        np.concatenate([before, codes]), figures["content"], figures["total"], np.abs(figures["n_genes"]), rank
    )
    return every[n:], left_out


def _groups(splits: Splits, kept: Kept, column: Callable[[str], Column | None]) -> Groups:
    """Codes and texts of the columns that make groups, over the appended cells."""
    codes: list[NDArray[np.int32]] = []
    texts: list[tuple[str, ...]] = []
    for name in splits.by:
        found = column(name)
        if found is None:
            codes.append(np.full(len(kept.row), -1, np.int32))
            texts.append(())
        else:
            own, categories = codes_and_texts(found)
            codes.append(own)
            texts.append(categories)
    return codes, texts


def _by_file(
    existing: Existing, splits: Splits, kept: Kept, file: Path | None, column: Callable[[str], Column | None]
) -> NDArray[np.int32]:
    """Put cells of known groups where the others are, and those of new ones where a file says."""
    given = None if file is None else read_split_file(file)
    if given is not None:
        if set(given.columns) != set(splits.by):
            raise InvalidDataError(
                "bad-split-file", "a file that goes by other columns than the store's splits", where=given.path,
                expected=", ".join(splits.by), found=", ".join(given.columns),
            )  # fmt: skip
        for name in given.names:
            if name not in splits.names:
                raise unknown_name("split", name, splits.names, where=given.path)
    rows = {} if given is None else given.rows
    columns = tuple(splits.by) if given is None else given.columns
    to_code = {} if given is None else {i: splits.names.index(name) for i, name in enumerate(given.names)}
    if columns == CELL_COLUMNS:
        return _by_barcode(kept, {key: to_code.get(code, NO_SPLIT) for key, code in rows.items()})
    known = _known_groups(existing, columns)
    codes, texts = _groups(splits.model_copy(update={"by": list(columns)}), kept, column)
    group, first = number_groups(codes, [len(t) for t in texts])
    out = np.full(len(first), NO_SPLIT, np.int32)
    for i, cell in enumerate(first.tolist()):
        values = tuple(t[c[cell]] if c[cell] >= 0 else None for c, t in zip(codes, texts, strict=True))
        wanted = to_code.get(rows.get(values, NO_SPLIT), NO_SPLIT)
        out[i] = known.get(values, wanted)
        if values in rows and values in known and known[values] != wanted:
            there = splits.names[wanted] if wanted >= 0 else "none"
            raise InvalidDataError(
                "group-moves",
                "the file puts a group of the store into another split",
                where=file,
                expected=splits.names[known[values]],
                found=f"{there}, for {values}",
                hint="leave the group out of the file",
            )
    return out[group]


def _by_barcode(kept: Kept, rows: dict[tuple[str | None, ...], int]) -> NDArray[np.int32]:
    names = [s.source.name for s in kept.surveyed]
    return np.array(
        [
            rows.get((name, barcode), NO_SPLIT)
            for name, barcodes in zip(names, kept.barcodes, strict=True)
            for barcode in barcodes
        ],
        np.int32,
    )


def _known_groups(existing: Existing, columns: Sequence[str]) -> dict[tuple[str | None, ...], int]:
    """Split of each group that has a cell in one."""
    store, every = existing.store, existing.every
    found = [codes_and_texts(existing.column(name)) for name in columns]
    split = store.field("split", every)
    group, first = number_groups([codes for codes, _ in found], [len(texts) for _, texts in found])
    of_group = np.full(len(first), NO_SPLIT, np.int32)
    some = split >= 0
    of_group[group[some]] = split[some]
    out: dict[tuple[str | None, ...], int] = {}
    for cell, code in zip(first.tolist(), of_group.tolist(), strict=True):
        if code >= 0:
            out[tuple(texts[codes[cell]] if codes[cell] >= 0 else None for codes, texts in found)] = code
    return out

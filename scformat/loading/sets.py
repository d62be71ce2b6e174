"""Sets of cells that share a combination of labels, with controls that match them: from what users give."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from scformat.errors import UsageError, unknown_name
from scformat.expression import parse
from scformat.loading.selection import choose_table, select_rows
from scformat.sampling.masses import integer_masses
from scformat.sampling.parsing import Item, parse_schemes, scheme_text
from scformat.sampling.schemes import Natural
from scformat.sampling.sets import Combinations, Controls, SetForm
from scformat.sampling.table import Table
from scformat.tables import SamplingTable, build_table

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from scformat.store import Store

SCOPES = ("selection", "store")


@dataclass(frozen=True, kw_only=True)
class Sets:
    """Batches of sets: each of cells that share a combination of labels, if wanted with control cells that match it.

    Attributes
    ----------
    size
        Cells of a set, 1 .. 65,536. No cell comes twice in a set of a combination that has as many cells; of one that
        has fewer, every cell comes before any does again.
    by
        Labels whose combinations sets are of. Each combination has the same share of the sets. Without `by` the
        loader's table says what sets are of, a stratum each, and the share of each.
    control
        Expression that is true for control cells: ``perturbation == 'control'``. These are in no set; every set has as
        many of them beside it. Cells for which it is unknown, as a value is missing, are in neither.
    match
        Labels in which a set and its controls are alike; they tell sets apart like those of `by`, and the combinations
        that `by` alone makes share their sets over them by the number of their cells. Empty: any control cell will
        do. Combinations that no control cell matches are left out, with a warning that says how many.
    control_scope
        ``selection``: controls are cells of the loader's split, where and organism, as all are. ``store``: of any split
        and where, for a split that holds out whole perturbations.
    min_cells
        Combinations with fewer cells are left out.

    Raises
    ------
    UsageError
        ``bad-set-size``, ``bad-sets``, ``not-a-list``, and those of the expression.
    """

    size: int
    by: Sequence[str] | None = None
    control: str | None = None
    match: Sequence[str] | None = None
    control_scope: Literal["selection", "store"] = "selection"
    min_cells: int = 1

    def __post_init__(self) -> None:
        _ = SetForm(size=self.size)
        for name in ("by", "match"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise UsageError("not-a-list", f"{name} is one text", expected="a list of labels", found=repr(given))
            if given is not None:
                object.__setattr__(self, name, tuple(dict.fromkeys(given)))
        if self.by == ():
            raise UsageError("bad-sets", "sets of no label", hint="name the labels of a combination in by")
        if (self.control is None) != (self.match is None):
            raise UsageError(
                "bad-sets",
                "control and match belong together",
                found=f"control={self.control!r}, match={self.match!r}",
                hint="match=[] takes any control cell",
            )
        if self.control is not None:
            parse(self.control)
        if self.control_scope not in SCOPES:
            raise unknown_name("control scope", self.control_scope, SCOPES)
        if type(self.min_cells) is not int or self.min_cells < 1:
            raise UsageError("bad-sets", "not a number of cells", expected="1 or more", found=repr(self.min_cells))


@dataclass(frozen=True, kw_only=True, eq=False)
class ChosenSets:
    """What a loader of sets draws.

    Attributes
    ----------
    combinations
        For plans.
    table
        The combinations by name.
    """

    combinations: Combinations
    table: SamplingTable

    @property
    def names(self) -> tuple[str, ...]:
        """Labels of a combination."""
        return tuple(key.name for key in self.table.info.keys)

    def codes(self, strata: NDArray[np.int32]) -> dict[str, NDArray[np.int64]]:
        """Return the codes of some combinations, by label; int64, shape (n,)."""
        return {name: codes[strata].astype(np.int64) for name, codes in zip(self.names, self.table.codes, strict=True)}

    @property
    def frame(self) -> pd.DataFrame:
        """The combinations: ``table.strata``, and with controls the number of ``controls`` that each can have."""
        frame = self.table.strata
        controls = self.combinations.controls
        if controls is not None:
            name = "controls" if "controls" not in frame else "controls_"
            frame[name] = controls.table.counts[controls.group]
        return frame


def choose_sets(
    store: Store,
    sets: Sets,
    table: Table | SamplingTable | str | os.PathLike[str] | None = None,
    *,
    batch_size: int,
    split: str | None = None,
    where: str | None = None,
    organism: str | None = None,
) -> ChosenSets:
    """Return what sets are drawn of.

    Parameters
    ----------
    batch_size
        Cells a batch: whole sets.
    table
        As for :func:`scformat.loading.selection.choose_table`; its strata are the combinations. None: `sets.by` says
        them.
    split, where, organism
        Restrict the cells first, control cells too.

    Warns
    -----
    UserWarning
        Combinations are left out as no control cell matches them.

    Raises
    ------
    UsageError
        ``bad-batch-size``; ``bad-sets``: neither or both of `table` and `by`; ``no-controls``; ``no-sets``: no
        combination has as many cells as are asked for. And those of tables.
    UnknownNameError
        ``unknown-label``, ``unknown-table``, ``unknown-split``.
    """
    if batch_size % sets.size:
        raise UsageError(
            "bad-batch-size", "a batch is not whole sets", expected=f"a multiple of {sets.size}", found=batch_size
        )
    if (table is None) == (sets.by is None):
        raise UsageError(
            "bad-sets",
            "either by says what sets are of, or the table does",
            found="neither" if table is None else "both",
            hint="give Sets(by=[...]), or a table and Sets without by",
        )
    perturbed = where if sets.control is None else _all_of(where, f"not ({sets.control})")
    found = _base(store, sets, table, split=split, where=perturbed, organism=organism)
    strata = found.table
    kept = (strata.masses > 0) & (strata.counts >= sets.min_cells)
    if not kept.any():
        raise UsageError(
            "no-sets", "no combination has so many cells", where=store.path, expected=f"{sets.min_cells} or more",
            found=f"at most {int(strata.counts.max())}",
        )  # fmt: skip
    controls = None
    if sets.control is not None and sets.match is not None:
        table_of_them, group = _matched(store, sets, found, split=split, where=where, organism=organism)
        lacking = kept & (group < 0)
        kept &= group >= 0
        alike = f"the same {', '.join(sets.match)}"
        if not kept.any():
            raise UsageError("no-controls", f"no combination has control cells of {alike}", where=store.path)
        if lacking.any():
            n_cells = int(strata.counts[lacking].sum())
            text = f"{lacking.sum():,} of {(kept | lacking).sum():,} combinations ({n_cells:,} cells) are left out"
            warnings.warn(f"{text}: there are no control cells of {alike}", UserWarning, stacklevel=3)
        controls = Controls(table=table_of_them, group=group[kept])
    drawn = _drawn(found, kept, by=sets.by)
    codes = found.codes[:, kept]
    return ChosenSets(
        combinations=Combinations(table=drawn, size=sets.size, controls=controls),
        table=SamplingTable(
            found.name, found.info, codes=lambda: codes, table=lambda: drawn, categories=found._categories
        ),
    )


def _base(
    store: Store,
    sets: Sets,
    table: Table | SamplingTable | str | os.PathLike[str] | None,
    *,
    split: str | None,
    where: str | None,
    organism: str | None,
) -> SamplingTable:
    """Return the strata of the cells that are no controls, told apart by the labels to match too."""
    match = sets.match or ()
    if table is None:
        items = tuple(_plain(store, name) for name in dict.fromkeys((*(sets.by or ()), *match)))
    elif isinstance(table, str) and store.tables.is_text(table):
        given = parse_schemes(table)
        known = {item.name for item in given}
        items = (*given, *(_plain(store, name) for name in match if name not in known))
    else:
        return _finished(store, table, match, split=split, where=where, organism=organism)
    return build_table(store, scheme_text(items), split=split, where=where, among=_among(store, organism))


def _finished(
    store: Store,
    table: Table | SamplingTable | str | os.PathLike[str],
    match: Sequence[str],
    *,
    split: str | None,
    where: str | None,
    organism: str | None,
) -> SamplingTable:
    """Return a table that is made already, over the cells that are asked for."""
    if isinstance(table, Table):
        raise UsageError(
            "bad-sets", "the strata of a bare table have no names", hint="give the SamplingTable, a name or labels"
        )
    found = store.tables.find(table)
    names = [key.name for key in found.info.keys]
    for name in match:
        if name not in names:
            raise UsageError(
                "bad-sets", f"the table does not tell {name!r} apart, in which controls are to match",
                where=found.name, found=", ".join(names), hint=f"give labels and schemes, such as {found.info.by}",
            )  # fmt: skip
    if split is None and where is None and organism is None:
        return found
    fewer = choose_table(store, found, split=split, where=where, organism=organism)
    return SamplingTable(
        found.name, found.info, codes=lambda: found.codes, table=lambda: fewer, categories=found._categories
    )


def _matched(
    store: Store, sets: Sets, found: SamplingTable, *, split: str | None, where: str | None, organism: str | None
) -> tuple[Table, NDArray[np.int64]]:
    """Return the control cells, and for each stratum the group of them that matches it, -1 for none."""
    match, names = sets.match or (), [key.name for key in found.info.keys]
    if sets.control_scope == "store":
        split = where = None
    where = _all_of(where, f"({sets.control})")
    missing = {item.name: item.missing for item in parse_schemes(found.info.by)}
    try:
        if match:
            text = scheme_text(tuple(_plain(store, name, missing=missing[name]) for name in match))
            of_them = build_table(store, text, split=split, where=where, among=_among(store, organism))
            table, codes = of_them.table, of_them.codes
        else:
            table = choose_table(store, None, split=split, where=where, organism=organism)
            codes = np.empty((0, 1), np.int32)
    except UsageError as error:
        if error.code not in ("no-cells", "nothing-to-draw"):
            raise
        raise UsageError(
            "no-controls", "there are no control cells", where=store.path, found=f"none where {where}",
            hint="control_scope='store' takes those of other splits too" if split is not None else None,
        ) from None  # fmt: skip
    groups = {tuple(each): g for g, each in enumerate(codes.T.tolist()) if table.counts[g]}
    own = found.codes[[names.index(name) for name in match]]
    return table, np.array([groups.get(tuple(each), -1) for each in own.T.tolist()], np.int64)


def _drawn(found: SamplingTable, kept: NDArray[np.bool_], *, by: Sequence[str] | None) -> Table:
    """Return the table over what is kept: with equal shares of the combinations of `by`, else with its masses."""
    table = found.table
    if by is None and kept.all():
        return table
    counts = table.counts[kept]
    weights = table.masses[kept].astype(np.float64)
    if by is not None:
        names = [key.name for key in found.info.keys]
        codes = found.codes[[names.index(name) for name in by]][:, kept]
        _, combination = np.unique(codes, axis=1, return_inverse=True)
        combination = combination.ravel()
        weights = counts / np.bincount(combination, weights=counts)[combination]
    strata = table.strata if kept.all() else table.strata.only(np.flatnonzero(kept))
    return Table(integer_masses(weights), counts, strata, cells_digest=table.cells_digest)


def _plain(store: Store, name: str, *, missing: str | None = None) -> Item:
    """Return the item of a label that only tells cells apart."""
    _ = store.labels[name]
    return Item(name=name, scheme=Natural(), missing=missing)


def _among(store: Store, organism: str | None) -> NDArray[np.bool_] | None:
    """Return which cells are of an organism; None where all are."""
    rows = select_rows(store, organism=organism)
    if rows is None:
        return None
    found = np.zeros(store.n_cells, np.bool_)
    found[rows] = True
    return found


def _all_of(where: str | None, also: str) -> str:
    return also if where is None else f"({where}) and {also}"

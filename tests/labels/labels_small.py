"""Columns and sources from plain lists, for the tests of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scformat.columns import Column
from scformat.labels import Label, LabelPlan, SourceObs
from scformat.strings import Strings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def categorical(values: Sequence[str | None], categories: Sequence[str] | None = None) -> Column:
    known = tuple(dict.fromkeys(v for v in values if v is not None)) if categories is None else tuple(categories)
    codes = np.array([-1 if v is None else known.index(v) for v in values], np.int32)
    return Column(kind="categorical", dtype="string", values=codes, categories=known)


def strings(values: Sequence[str | None]) -> Column:
    mask = np.array([v is None for v in values])
    return Column(kind="string", dtype="string", values=Strings.of([v or "" for v in values]), mask=mask)


def integers(values: Sequence[int]) -> Column:
    return Column(kind="integer", dtype="int64", values=np.array(values, np.int64))


def source(name: str, obs: Mapping[str, Column], *, n: int | None = None, **constants: str) -> SourceObs:
    n_cells = len(next(iter(obs.values()))) if n is None else n
    return SourceObs(name=name, n_cells=n_cells, obs=obs, constants=constants)


def decoded(label: Label, source: int) -> list[str | None]:
    return [None if code < 0 else label.categories[code] for code in label.codes[source].tolist()]


def counted(label: Label) -> dict[str, int]:
    return dict(zip(label.categories, label.counts.tolist(), strict=True))


def terms(label: Label) -> list[str | None]:
    assert label.ontology is not None
    graph = label.ontology.graph
    return [None if node < 0 else graph.ids[node] for node in label.ontology.terms.tolist()]


def summary(plan: LabelPlan) -> dict[str, dict[str, int]]:
    return {label.name: counted(label) for label in plan.labels}


def check(plan: LabelPlan, sources: Sequence[SourceObs]) -> None:
    """Assert what holds of every plan."""
    for label in plan.labels:
        assert label.categories == tuple(sorted(label.categories, key=str.encode))
        assert len(label.codes) == len(sources)
        every = np.concatenate([np.asarray(c) for c in label.codes])
        assert [c.shape for c in label.codes] == [(s.n_cells,) for s in sources]
        assert all(c.dtype == np.int32 and not c.flags.writeable for c in label.codes)
        assert every.min(initial=0) >= -1
        assert np.array_equal(np.bincount(every[every >= 0], minlength=len(label.categories)), label.counts)
        assert (label.counts > 0).all()
        assert label.n_missing == int((every < 0).sum())
        if label.ontology is not None:
            assert len(label.ontology.terms) == len(label.categories)
            assert all(id_ in label.ontology.graph.nodes for id_ in terms(label) if id_ is not None)

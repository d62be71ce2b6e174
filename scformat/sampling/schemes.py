"""Schemes: how much of the mass each category of a label gets.

Each says the mass of a category with n cells; a cell's weight is that by n. Sums are the binary64 number nearest
to the exact sum, so they do not depend on any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from scformat.errors import InvalidDataError, UsageError, unknown_name
from scformat.ontology.find import node_of
from scformat.sampling.masses import check_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from scformat.ontology.graph import TermGraph


@dataclass(frozen=True, kw_only=True, eq=False)
class Axis:
    """A label as far as schemes need it.

    Attributes
    ----------
    name
        The label.
    categories
        What its codes stand for.
    graph
        The terms of its ontology with all their ancestors; None where it has none.
    terms : int32 array, shape (n_categories,), or None
        Node of each category, -1 where it is no term.
    """

    name: str
    categories: tuple[str, ...]
    graph: TermGraph | None = None
    terms: NDArray[np.int32] | None = None

    def ontology(self, scheme: str) -> tuple[TermGraph, NDArray[np.int32]]:
        """Return graph and terms, or refuse (``no-ontology``)."""
        if self.graph is None or self.terms is None:
            raise UsageError(
                "no-ontology",
                f"{scheme} needs a label with an ontology",
                found=f"label {self.name!r} without one",
                hint="use balanced, scaled(s) or power(a)",
            )
        return self.graph, self.terms


@dataclass(frozen=True)
class Scheme:
    """How the categories of a label share a mass."""

    name: ClassVar[str]

    def masses(self, axis: Axis, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Masses of categories, in any unit.

        Parameters
        ----------
        axis
            The label.
        codes : int64 array, shape (n,)
            Categories that are present, each once and :meth:`placed`.
        counts : int64 array, shape (n,)
            Cells of each, all above zero.

        Returns
        -------
        float64 array, shape (n,)
            All above zero.
        """
        raise NotImplementedError

    def placed(self, axis: Axis) -> NDArray[np.bool_]:
        """Which categories can get a mass; cells of the others are left out; bool, shape (n_categories,).

        Raises
        ------
        UsageError, UnknownNameError, InvalidDataError
            The scheme does not fit the label.
        """
        return np.ones(len(axis.categories), np.bool_)


@dataclass(frozen=True)
class ByCount(Scheme):
    """A scheme in which a category's mass is a function of its number of cells alone."""

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        raise NotImplementedError

    def masses(self, axis: Axis, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Masses of categories, whatever they are."""
        # One call a distinct count, and of Python's own functions: numpy's differ between processors.
        distinct, inverse = np.unique(counts, return_inverse=True)
        return np.array([self._checked(n) for n in distinct.tolist()])[inverse]

    def _checked(self, n: int) -> float:
        try:
            mass = self.of(float(n))
        except OverflowError:
            mass = math.inf
        if not 0 < mass < math.inf:
            raise UsageError(
                "bad-weights",
                f"{self} gives no mass that a number can hold",
                found=f"{mass} for a category of {n:,} cells",
            )
        return mass


@dataclass(frozen=True)
class Natural(ByCount):
    """Every cell alike: mass n."""

    name: ClassVar[str] = "natural"

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        return n

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Balanced(ByCount):
    """Every category alike: mass 1."""

    name: ClassVar[str] = "balanced"

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        return 1.0

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Power(ByCount):
    """A cell's weight is n^-a, a category's mass n^(1-a): natural at a = 0, balanced at 1."""

    name: ClassVar[str] = "power"
    a: float

    def __post_init__(self) -> None:
        _check(self, "a", self.a, "a finite number", math.isfinite)

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        return math.pow(n, 1.0 - self.a)

    def __str__(self) -> str:
        return f"power({_number(self.a)})"


@dataclass(frozen=True)
class Scaled(ByCount):
    """A cell's weight is s/(n+s), a category's mass ns/(n+s): small s near balanced, large s near natural."""

    name: ClassVar[str] = "scaled"
    s: float

    def __post_init__(self) -> None:
        _check(self, "s", self.s, "a finite number above 0", lambda s: 0 < s < math.inf)

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        return n * self.s / (n + self.s)

    def __str__(self) -> str:
        return f"scaled({_number(self.s)})"


@dataclass(frozen=True)
class EffectiveNumber(ByCount):
    """A cell's weight is (1-b)/(1-b^n): natural at b = 0, balanced towards 1."""

    name: ClassVar[str] = "effective_number"
    b: float

    def __post_init__(self) -> None:
        _check(self, "b", self.b, "a number from 0 to below 1", lambda b: 0 <= b < 1)

    def of(self, n: float) -> float:
        """Mass of a category of `n` cells."""
        if self.b == 0:
            return n
        # 1 - b^n by expm1, which keeps its digits where b^n is near 1.
        return n * (1.0 - self.b) / -math.expm1(n * math.log(self.b))

    def __str__(self) -> str:
        return f"effective_number({_number(self.b)})"


@dataclass(frozen=True)
class OntologyNodes(Scheme):
    """Pick a node of the ontology, then a cell at or below it.

    E is the set of the distinct non-empty sets of present categories at or below a node; nodes with equal sets
    count once, a category that is no term is a node of its own. The mass of category t is the sum over the sets e
    that contain it of n_t / N_e, N_e being the cells of e.
    """

    name: ClassVar[str] = "ontology_nodes"

    def placed(self, axis: Axis) -> NDArray[np.bool_]:
        """Every category; the label must have an ontology."""
        axis.ontology(self.name)
        return super().placed(axis)

    def masses(self, axis: Axis, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Masses of categories."""
        graph, terms = axis.ontology(self.name)
        sets = {members.tobytes(): members for members in _sets_below(graph, _nodes(terms, codes))}
        return _mass_of_sets(list(sets.values()), counts)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Level(Scheme):
    """Balanced over chosen terms: pick one that has cells, then a cell at or below it.

    Categories below none of them are left out, or, with `rest`, are one choice more. A category below several
    gets a part from each.
    """

    name: ClassVar[str] = "level"
    terms: tuple[str, ...]
    rest: bool = False

    def __post_init__(self) -> None:
        if not self.terms:
            raise UsageError("bad-scheme", "level needs terms", expected="for example level('T cell', 'B cell')")

    def _chosen(self, axis: Axis) -> dict[int, str]:
        graph, _ = axis.ontology(self.name)
        nodes = [node_of(graph, term) for term in self.terms]
        if len(set(nodes)) < len(nodes):
            raise UsageError("bad-scheme", f"{self} names one term twice", found=f"label {axis.name!r}")
        return dict(zip(nodes, self.terms, strict=True))

    def placed(self, axis: Axis) -> NDArray[np.bool_]:
        """Categories at or below a chosen term, or all with `rest`."""
        chosen = self._chosen(axis)
        if self.rest:
            return super().placed(axis)
        graph, terms = axis.ontology(self.name)
        below = np.zeros(len(graph) + 1, np.bool_)  # the last entry is that of categories that are no terms
        for node in chosen:
            below[graph.descendants_of(node)] = True
        return np.asarray(below[_nodes(terms, np.arange(len(axis.categories)))])

    def masses(self, axis: Axis, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Masses of categories."""
        graph, terms = axis.ontology(self.name)
        nodes = _nodes(terms, codes)
        sets = [np.flatnonzero(np.isin(nodes, graph.descendants_of(node))) for node in self._chosen(axis)]
        covered = np.zeros(len(codes), np.bool_)
        for members in sets:
            covered[members] = True
        sets.append(np.flatnonzero(~covered))
        return _mass_of_sets([members for members in sets if len(members)], counts)

    def __str__(self) -> str:
        rest = ", rest=yes" if self.rest else ""
        return f"level({', '.join(map(quoted, self.terms))}{rest})"


@dataclass(frozen=True)
class Custom(Scheme):
    """What a file says of each category.

    Attributes
    ----------
    file
        Its path as given.
    values
        Number of each category, None before the file was read.
    per_cell
        The numbers are weights of cells; otherwise masses of categories.
    """

    name: ClassVar[str] = "custom"
    file: str
    values: Mapping[str, float] | None = None
    per_cell: bool = False

    def _values(self, axis: Axis) -> NDArray[np.float64]:
        """Return the number of each category, NaN for one that the file does not name."""
        if self.values is None:
            raise UsageError("bad-scheme", "a file of weights that was not read", found=self.file)
        known = set(axis.categories)
        for category in self.values:
            if category not in known:
                raise unknown_name("category", category, axis.categories, where=f"{self.file}: label {axis.name!r}")
        check_weights(np.array(list(self.values.values()), np.float64), where=self.file)
        return np.array([self.values.get(category, math.nan) for category in axis.categories], np.float64)

    def placed(self, axis: Axis) -> NDArray[np.bool_]:
        """Categories whose number is above zero, and those it does not name, to be refused if they are present."""
        return np.asarray(self._values(axis) != 0)

    def masses(self, axis: Axis, codes: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Masses of categories."""
        values = self._values(axis)[codes]
        lacking = np.flatnonzero(np.isnan(values))
        if len(lacking):
            names = [axis.categories[code] for code in codes[lacking].tolist()]
            raise InvalidDataError(
                "missing-weights",
                f"no weight for {len(names):,} of {len(codes):,} categories that have cells",
                where=self.file,
                found=", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else ""),
                hint="give each a number; 0 leaves its cells out",
            )
        return values * counts if self.per_cell else values

    def __str__(self) -> str:
        return f"custom({quoted(self.file)})"


@dataclass(frozen=True)
class Proportional(Scheme):
    """For a figure of the cells instead of a label: a cell's weight is the figure to the power a, in levels.

    Every cell of a level (see :mod:`scformat.sampling.levels`) has the weight of the level's middle.
    """

    name: ClassVar[str] = "proportional"
    a: float = 1.0

    def __post_init__(self) -> None:
        _check(self, "a", self.a, "a finite number", math.isfinite)

    def level_weights(self, middles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of a cell of each level."""
        try:
            powers = np.array([math.pow(x, self.a) for x in middles.tolist()])
        except OverflowError:
            powers = np.array([math.inf])
        if not ((powers > 0) & (powers < math.inf)).all():
            raise UsageError("bad-weights", f"{self} gives no weight that a number can hold")
        return powers

    def __str__(self) -> str:
        return self.name if self.a == 1 else f"proportional({_number(self.a)})"


SCHEMES: tuple[type[Scheme], ...] = (
    Natural, Balanced, Power, Scaled, EffectiveNumber, Level, OntologyNodes, Custom, Proportional,
)  # fmt: skip


def quoted(text: str) -> str:
    """Write a text in quotes; a quote inside is written twice."""
    return "'" + text.replace("'", "''") + "'"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _check(scheme: Scheme, name: str, value: float, expected: str, fits: Callable[[float], bool]) -> None:
    if not fits(value):
        raise UsageError(
            "bad-scheme", f"{scheme.name}({name}): not a value of {name}", expected=expected, found=repr(value)
        )


def _nodes(terms: NDArray[np.int32], codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Node of each category; -1 for those that are no term, or that were named for missing labels."""
    out = np.full(len(codes), -1, np.int64)
    known = codes < len(terms)
    out[known] = terms[codes[known]]
    return out


def _sets_below(graph: TermGraph, nodes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Places in `nodes` at or below each node of the graph that has some; then what is no term, one by one."""
    held = np.flatnonzero(nodes >= 0)
    above = [graph.ancestors_of(node) for node in nodes[held].tolist()]
    sizes = np.array([len(a) for a in above], np.int64)
    ancestors = np.concatenate([np.empty(0, np.int32), *above])
    members = np.repeat(held, sizes)
    order = np.argsort(ancestors, kind="stable")
    cuts = np.flatnonzero(np.diff(ancestors[order])) + 1
    sets = np.split(members[order], cuts) if len(members) else []
    return [*sets, *np.flatnonzero(nodes < 0).reshape(-1, 1)]


def _mass_of_sets(sets: list[NDArray[np.int64]], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over the sets e that contain t of n_t / N_e, for each t."""
    members = np.concatenate(sets)
    totals = np.repeat([int(counts[e].sum()) for e in sets], [len(e) for e in sets])
    parts = counts[members] / totals
    order = np.argsort(members, kind="stable")
    ends = np.cumsum(np.bincount(members, minlength=len(counts))).tolist()
    values = parts[order].tolist()
    return np.array([math.fsum(values[a:b]) for a, b in zip([0, *ends], ends, strict=False)])

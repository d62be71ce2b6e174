"""What a batch says of a label: its codes, codes in a vocabulary of one's own, or what its ontology makes of them.

Each is a value of every category, which the code of a cell looks up.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scformat.errors import UnknownNameError, UsageError, unknown_name
from scformat.ontology.find import node_of

if TYPE_CHECKING:
    from collections.abc import Sized

    from numpy.typing import NDArray

    from scformat.store import Store
    from scformat.store.labels import Ontology

Vocabulary: TypeAlias = Sequence[str] | Mapping[str, int]
"""Categories, whose code is their place, or the code of each category."""


@dataclass(frozen=True, init=False)
class Ancestors:
    """Target: at or below which of some terms of a label's ontology a cell lies.

    The value of a cell is a place in `terms`, -1 where it lies below none of them. Of several that it lies below the
    most specific one is meant: with ``["T cell", "CD4-positive, alpha-beta T cell"]`` a CD4 T cell is 1 and any other
    T cell 0.

    Attributes
    ----------
    label
        Name of a label with an ontology.
    terms
        Ids or names.
    """

    label: str
    terms: tuple[str, ...]

    def __init__(self, label: str, terms: Iterable[str]) -> None:
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "terms", _names(terms, "terms"))
        if not self.terms:
            raise UsageError("no-terms", "no terms to tell cells by", where=f"target over {label!r}")


Target: TypeAlias = str | Ancestors


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoding:
    """One entry of ``batch.labels`` or ``batch.targets``.

    Attributes
    ----------
    name
        In the batch.
    label
        Whose codes it is made of.
    values : array, shape (n_categories + 1, ...), or None
        Of each category; the last is that of a cell without one, so that the code -1 finds it. None: the code itself.
    """

    name: str
    label: str
    values: NDArray[Any] | None = None

    def of(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return the values of cells, a new array; shape (n, ...)."""
        found: NDArray[Any] = codes.copy() if self.values is None else self.values[codes]
        return found


def choose_labels(store: Store, labels: Sequence[str] | Mapping[str, Vocabulary | None]) -> tuple[Encoding, ...]:
    """Choose the labels of a batch: int64, shape (n,) each.

    Parameters
    ----------
    labels
        Names; or names and a vocabulary for each, None for the codes of the store. Categories that a vocabulary does
        not list are -1, as missing ones are.

    Raises
    ------
    UsageError
        ``not-a-list``, ``repeated-name``, ``bad-vocabulary``.
    UnknownNameError
        ``unknown-label``; ``unknown-category``: the label has none of a vocabulary's categories.

    Warns
    -----
    UserWarning
        The label lacks some of them.
    """
    given: Mapping[str, Vocabulary | None]
    given = labels if isinstance(labels, Mapping) else dict.fromkeys(_names(labels, "labels"))
    return tuple(_label(store, name, vocabulary) for name, vocabulary in given.items())


def _label(store: Store, name: str, vocabulary: Vocabulary | None) -> Encoding:
    label = store.labels[name]
    if vocabulary is None:
        return Encoding(name=name, label=name)
    if isinstance(vocabulary, Mapping):
        code_of = dict(vocabulary)
    else:
        code_of = {text: code for code, text in enumerate(_names(vocabulary, f"the vocabulary of {name!r}"))}
    codes: list[Any] = list(code_of.values())
    if not codes or not all(isinstance(code, int | np.integer) and -1 <= code < 1 << 63 for code in codes):
        raise UsageError(
            "bad-vocabulary", f"not a vocabulary of {name!r}", expected="categories, or a whole number for each",
            found=repr(vocabulary),
        )  # fmt: skip
    place_of = {text: place for place, text in enumerate(label.categories)}
    lacking = [text for text in code_of if text not in place_of]
    if lacking:
        _refuse_lacking(lacking, code_of, unknown_name("category", lacking[0], place_of, where=f"label {name!r}"))
    values = np.full(len(place_of) + 1, -1, np.int64)
    for text, code in code_of.items():
        if text in place_of:
            values[place_of[text]] = code
    return Encoding(name=name, label=name, values=values)


def choose_targets(store: Store, targets: Sequence[str] | Mapping[str, Target]) -> tuple[Encoding, ...]:
    """Choose the targets of a batch.

    Parameters
    ----------
    targets
        Names of labels with an ontology; or names in the batch, and a label or :class:`Ancestors` for each. A label
        gives bool, shape (n, n_terms): the terms at or above the cell's, in the order of the ontology's ``terms``, none
        where a cell has no term. :class:`Ancestors` gives int64, shape (n,).

    Raises
    ------
    UsageError
        ``not-a-list``, ``repeated-name``, ``bad-target``, ``no-ontology``; ``ambiguous-terms``: a category lies below
        two terms, neither of which lies below the other.
    UnknownNameError
        ``unknown-label``; ``unknown-ontology-term``: no cell lies below any of the terms.

    Warns
    -----
    UserWarning
        No cell lies below some of them.
    """
    given: Mapping[str, Target]
    given = targets if isinstance(targets, Mapping) else {name: name for name in _names(targets, "targets")}
    return tuple(
        Encoding(name=name, label=target.label, values=_below(store, target))
        if isinstance(target, Ancestors)
        else Encoding(name=name, label=target, values=_terms_above(store, target))
        for name, target in given.items()
    )


def _terms_above(store: Store, label: str) -> NDArray[np.bool_]:
    ontology = _ontology(store, label)
    graph, terms = ontology.graph, ontology.category_terms
    values = np.zeros((len(terms) + 1, len(graph)), np.bool_)
    for category, node in enumerate(terms.tolist()):
        if node >= 0:
            values[category, graph.ancestors_of(node)] = True
    return values


def _below(store: Store, target: Ancestors) -> NDArray[np.int64]:
    ontology = _ontology(store, target.label)
    graph, terms = ontology.graph, ontology.category_terms
    place_of: dict[int, int] = {}
    lacking = []
    unknown: UnknownNameError | None = None
    for place, text in enumerate(target.terms):
        try:
            node = node_of(graph, text)
        except UnknownNameError as error:
            unknown = error
            lacking.append(text)
            continue
        if node in place_of:
            raise UsageError("repeated-name", "a term is listed twice", where=repr(target.label), found=repr(text))
        place_of[node] = place
    if unknown is not None:
        _refuse_lacking(lacking, target.terms, unknown)
    values = np.full(len(terms) + 1, -1, np.int64)
    for category, node in enumerate(terms.tolist()):
        above = [up for up in graph.ancestors_of(node).tolist() if up in place_of] if node >= 0 else []
        lowest = [up for up in above if not any(up != low and up in graph.ancestors_of(low) for low in above)]
        if len(lowest) > 1:
            raise UsageError(
                "ambiguous-terms",
                f"{store.labels[target.label].categories[category]!r} lies below two of the terms",
                where=f"target over {target.label!r}",
                found=" and ".join(repr(graph.names[up]) for up in lowest),
                hint="list it, or a term between, as well: the most specific term counts",
            )
        if lowest:
            values[category] = place_of[lowest[0]]
    return values


def _ontology(store: Store, label: Any) -> Ontology:
    if not isinstance(label, str):
        raise UsageError(
            "bad-target", "not a target", expected="a label, or Ancestors(label, terms)", found=repr(label)
        )
    found = store.labels[label].ontology
    if found is None:
        known = [name for name in store.labels if store.labels[name].ontology is not None]
        raise UsageError(
            "no-ontology", f"the label {label!r} has no ontology", where=store.path,
            hint=f"labels that have one: {', '.join(known) or 'none'}",
        )  # fmt: skip
    return found


def _names(given: Any, what: str) -> tuple[str, ...]:
    names = None if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if names is None or not all(isinstance(name, str) for name in names):
        raise UsageError("not-a-list", f"{what}: not a list", expected="a list of names", found=repr(given))
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError("repeated-name", f"{what} names one twice", found=repr(name))
        seen.add(name)
    return names


def _refuse_lacking(lacking: Sequence[str], wanted: Sized, error: UnknownNameError) -> None:
    """Raise where a store has nothing of what is wanted; warn where it lacks some, which another store may have."""
    if len(lacking) == len(wanted):
        raise error
    some = ", ".join(map(repr, lacking[:5])) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
    warnings.warn(f"{error.where or 'the ontology'}: no cell of the store has {some}", UserWarning, stacklevel=7)

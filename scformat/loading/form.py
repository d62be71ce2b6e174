"""The form of batches: their genes, labels, transforms and output, from what users give."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from scformat.errors import UsageError, unknown_name
from scformat.loading.batches import OUTPUTS, Assembly, Output
from scformat.loading.encodings import choose_labels, choose_targets
from scformat.loading.genes import choose_genes
from scformat.loading.transforms import GeneSubset, TokenSpec, recipe
from scformat.random import check_seed

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from scformat.loading.encodings import Encoding, Target, Vocabulary
    from scformat.loading.genes import Columns
    from scformat.loading.transforms import Transform
    from scformat.store import Store


CELLS_TOGETHER = 1024
"""That one thread makes batches of, one after another, at most."""
BYTES_TOGETHER = 6 << 20
"""Of the batches that one thread makes so. Fewer at a time are handed over more often, and each time threads are
switched; but those on their way and those waited for should stay in a processor's outer cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Form:
    """What a batch looks like.

    Attributes
    ----------
    labels, targets
        What a batch says of labels.
    columns
        The genes.
    assembly
        How kernels make it.
    """

    labels: tuple[Encoding, ...]
    targets: tuple[Encoding, ...]
    columns: Columns
    assembly: Assembly

    @cached_property
    def read(self) -> tuple[str, ...]:
        """Names of the labels that are read, each once."""
        return tuple(dict.fromkeys(encoding.label for encoding in (*self.labels, *self.targets)))

    def seeded(self, seed: int) -> Form:
        """Return the same form with random transforms of another seed."""
        return replace(self, assembly=replace(self.assembly, seed=seed))


def choose_form(
    store: Store,
    *,
    labels: Sequence[str] | Mapping[str, Vocabulary | None] = (),
    targets: Sequence[str] | Mapping[str, Target] = (),
    output: Output | TokenSpec = "dense",
    tokens: TokenSpec | None = None,
    genes: Sequence[str] | str | os.PathLike[str] | None = None,
    organism: str | None = None,
    transforms: Iterable[Transform] = (),
    seed: int = 0,
) -> Form:
    """Decide the form of batches.

    Raises
    ------
    UsageError
        ``bad-transforms``, ``bad-output``, and those of :func:`scformat.loading.genes.choose_genes` and
        :mod:`scformat.loading.encodings`.
    UnknownNameError
        ``unknown-output``.
    """
    given = tuple(transforms)
    subsets = [t for t in given if isinstance(t, GeneSubset)]
    if len(subsets) + (genes is not None) > 1:
        raise UsageError("bad-transforms", "genes are chosen more than once", hint="give genes or one GeneSubset")
    columns = choose_genes(store, list(subsets[0].genes) if subsets else genes, organism=organism)
    spec = output if isinstance(output, TokenSpec) else tokens
    kind = "tokens" if isinstance(output, TokenSpec) else output
    if kind not in OUTPUTS:
        raise unknown_name("output", kind, OUTPUTS)
    if (kind == "tokens") != (spec is not None):
        raise UsageError(
            "bad-output", "tokens need a TokenSpec, and nothing else does", hint="give output=TokenSpec(max_len=...)"
        )
    return Form(
        labels=choose_labels(store, labels),
        targets=choose_targets(store, targets),
        columns=columns,
        assembly=Assembly(
            output=kind,
            n_genes=columns.n_packed,
            n_columns=len(columns),
            column_of_gene=columns.column_of_gene(),
            recipe=recipe(t for t in given if not isinstance(t, GeneSubset)),
            seed=check_seed(seed),
            tokens=spec,
            measured=columns.measured if spec is not None and spec.add_zero_genes else None,
        ),
    )


def made_together(store: Store, assembly: Assembly, batch_size: int) -> int:
    """Return how many batches one thread makes at a time."""
    if assembly.output == "dense":
        a_cell = 4.0 * assembly.n_columns
    elif assembly.tokens is not None:
        a_cell = 13.0 * assembly.tokens.max_len
    else:
        a_cell = 8.0 * store.manifest.n_entries / max(store.n_cells, 1)
    return max(1, min(CELLS_TOGETHER // batch_size, int(BYTES_TOGETHER / max(a_cell, 1.0)) // batch_size))
